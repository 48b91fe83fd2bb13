"""The verbs of `ca plan` that stay with a plan and change nothing: follow, wait."""

import time
from collections.abc import Sequence
from typing import Any

import click

from cleveragents_tui.cli import plan_text
from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.following import spectator
from cleveragents_tui.cli.progress import Spectator
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.several import each
from cleveragents_tui.cli.watch import outcome, timed_out, watch
from cleveragents_tui.output import Result
from daemon import protocol, views
from store import errors


@make_verb(None, examples=["ca plan follow fix-types"])
@click.argument("plan")
def follow(session: Session, plan: str) -> Result[views.PlanView]:
    """The output of the whole plan from its start until it settles; Ctrl-C stops following only."""
    return _wait(session, plan, spectator(session.out, follow=True), None)


@make_verb(None, examples=["ca plan wait fix-types", "ca plan wait fix-types upgrade-deps --timeout 600"])
@click.argument("plans", metavar="PLAN...", nargs=-1, required=True)
@click.option("--timeout", type=click.FloatRange(min=0), metavar="S", help="Give up after so many seconds (exit 124).")
def wait(session: Session, plans: Sequence[str], timeout: float | None) -> Result[Any]:
    """Wait until nothing more happens by itself; the exit code tells how it ended."""
    deadline = None if timeout is None else time.monotonic() + timeout

    def one(plan: str) -> Result[Any]:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return _wait(session, plan, spectator(session.out, follow=False, quiet=True), left)

    return each(session, plans, one)


def _wait(session: Session, plan: str, watcher: Spectator, timeout: float | None) -> Result[Any]:
    found = session.call(protocol.PlanShow(plan=plan))
    try:
        settled = watch(session, found.plan_id, watcher, timeout)
    except errors.TimedOutError as error:
        watcher.end()
        return timed_out(error, found.name)
    return outcome(session, settled, plan_text.settled)
