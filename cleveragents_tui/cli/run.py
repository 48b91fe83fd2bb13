"""`ca run`: one command, in a sandbox of the project that one is in."""

import os
import shlex
from collections.abc import Sequence

import click

from cleveragents_tui.cli import plan_text
from cleveragents_tui.cli.commands import HELP_NAMES, NameOf, make_verb
from cleveragents_tui.cli.places import absolute, project_word
from cleveragents_tui.cli.plan_moves import stay_with, staying, stays_by_itself
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from cleveragents_tui.surroundings import environment, umask
from daemon import protocol, views
from store import errors


@make_verb(
    "run",
    examples=[
        "ca run -- ruff check --fix .",
        "ca run --follow 'make lint && make test'",
        "ca run --project web --name upgrade -- npm update",
    ],
    context_settings={**HELP_NAMES, "allow_interspersed_args": False},
)
@click.option("--project", metavar="P", help="The project; without it the one that the current directory lies in.")
@click.option("--name", help="What to call the plan; without it run-1, run-2 and so on.")
@click.option(
    "--profile",
    metavar="PROFILE",
    help="Which moves happen by themselves; without it the configured one, else trusted: it is executed, not applied.",
)
@staying
@click.argument("command_words", metavar="CMD...", nargs=-1, required=True, type=NameOf("file"))
def command(
    session: Session, *, project: str | None, name: str | None, profile: str | None, wait: bool, follow: bool,
    command_words: Sequence[str],
) -> Result[views.PlanView]:  # fmt: skip
    """Run one command in a sandbox; look at what it changed before you apply it.

    One argument is text for the shell, several are the words of one command. Options come before the command.
    """
    stay = wait or follow or stays_by_itself(session)
    plan = session.call(
        protocol.PlanRun(
            command=_text(command_words), directory=absolute("."),
            project=None if project is None else project_word(project), name=name, profile=profile,
            environment=environment(session.environ, session.messages.append), umask=umask(),
        )
    )  # fmt: skip
    if stay:
        return stay_with(session, plan, follow=follow)
    return Result(plan, plan_text.used)


def _text(words: Sequence[str]) -> str:
    """The command as text for the shell."""
    text = words[0] if len(words) == 1 else shlex.join(words)
    if text.isascii():
        return text
    try:
        # Where the locale knows only ASCII, UTF-8 arrives as escaped bytes.
        return os.fsencode(text).decode() if any("\udc80" <= char <= "\udcff" for char in text) else text
    except UnicodeDecodeError as error:
        raise errors.UsageError(
            "the command has bytes that are not UTF-8; write them for the shell",
            suggestions=["ca run \"rm $(printf 'a\\377.txt')\""],
        ) from error
