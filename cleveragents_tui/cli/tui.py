"""`ca tui`: the dashboard."""

import click

from cleveragents_tui.cli.commands import make_verb
from cleveragents_tui.cli.session import Session
from cleveragents_tui.output import Result
from store import errors


@make_verb("tui", examples=["ca tui", "ca tui --read-only"])
@click.option("--read-only", is_flag=True, help="Look only: nothing can be changed from it.")
def command(session: Session, *, read_only: bool) -> Result[None]:
    """The dashboard: see everything, act on everything, from one terminal window."""
    if not session.has_screen:
        raise errors.UsageError(
            "the dashboard needs a terminal to draw on and to read keys from", suggestions=["ca status"]
        )
    from cleveragents_tui.dashboard import main  # noqa: PLC0415  textual is imported there

    return Result(None, exit_code=main.run(session.paths, session.environ, read_only=read_only))
