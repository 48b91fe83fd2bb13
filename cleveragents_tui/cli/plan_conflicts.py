"""The verbs of `ca plan` for files that do not fit together: conflicts and resolve."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from cleveragents_tui.cli import conflict_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.places import absolute
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.several import each
from cleveragents_tui.output import Result
from daemon import protocol, views
from store import errors, names

VERSIONS = ("parent", "child", "base", "edited")
"""What `--take` means as a word; everything else is a path."""


@make_verb("conflicts", examples=["ca plan conflicts modernise-3", "ca plan conflicts modernise-3 src/app.py"])
@click.argument("plan")
@click.argument("conflict", metavar="[FILE]", required=False)
def conflicts_(session: Session, plan: str, conflict: str | None) -> Result[views.PlanConflictsView]:
    """The files that keep a child from entering its plan, or a plan its project; of FILE all versions."""
    found = session.call(protocol.PlanConflicts(plan=plan, path=conflict), timeout=None)
    if session.out.structured:
        return Result(found)
    whole = session.call(protocol.PlanShow(plan=found.plan_id))
    return Result(found, partial(conflict_text.versions if conflict else conflict_text.listed, plan=whole))


@make_verb(
    "resolve",
    examples=[
        "ca plan resolve modernise-3 src/app.py --take child",
        "ca plan resolve modernise-3 src/app.py --take edited",
        "ca plan resolve modernise-3 src/app.py --take ~/mine.py",
    ],
)
@click.argument("plan")
@click.argument("conflicts", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--take",
    metavar="VERSION",
    required=True,
    help="parent, child, base, edited (the file in the checkout that `conflicts` names), or the path of any file.",
)
def resolve(session: Session, plan: str, conflicts: Sequence[str], take: str) -> Result[Any]:
    """Settle conflicts: the version that FILE is to have. The plan goes on when you execute it."""
    word, file = (take, None) if take in VERSIONS else ("file", _existing(take))

    def one(conflict: str) -> Result[views.MergeConflictView]:
        asked = protocol.PlanResolve(plan=plan, path=conflict, take=word, file=file)
        return Result(session.call(asked, timeout=None), conflict_text.settled)

    return each(session, conflicts, one, noun="conflict")


def _existing(take: str) -> str:
    """A file as the daemon can find it.

    Raises:
        NotFoundError: there is none; it may have been meant for a word.
    """
    path = absolute(take)
    if os.path.lexists(path):
        return path
    near = names.nearest(take, VERSIONS)
    raise errors.NotFoundError(
        f"{take!r} is no version, and there is no such file" + (f"; did you mean {near!r}?" if near else ""),
        detail={"take": take, "path": path},
        suggestions=[f"--take {near or '|'.join(VERSIONS)}"],
    )
