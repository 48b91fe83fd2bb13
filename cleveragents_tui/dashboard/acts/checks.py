"""The verbs of diagnostics."""

from typing import TYPE_CHECKING, Any

from cleveragents_tui import verbs
from cleveragents_tui.dashboard.dialogs import Question
from cleveragents_tui.dashboard.screens.diagnostics import MODE, Checked, DiagnosticsRoom
from cleveragents_tui.dashboard.screens.timed import working
from daemon import protocol, views
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def again(app: "Dashboard", _subject: Any) -> None:
    if isinstance(app.screen, DiagnosticsRoom):
        app.screen.check_again()
    else:
        await app.switch_mode(MODE)  # it checks when it is entered
    app.echo(verbs.VERBS["check.again"].ca)


async def repair(app: "Dashboard", _subject: Any) -> None:
    verb = verbs.VERBS["check.repair"]
    await app.switch_mode(MODE)
    room = app.screen
    lines: list[str] = []
    if isinstance(room, DiagnosticsRoom):
        lines = room.troubles(repairable=True) or ["nothing is known to be wrong that can be put right from here"]
        if staying := room.troubles(repairable=False):
            lines += ["", "This stays with you:", *staying]
    if not await app.push_screen_wait(Question(verb.ask, *lines, yes=verb.title)):
        return
    async with working(app, "putting right what can be…"):
        found = await app.link.call(protocol.Diagnostics(repair=True), timeout=None)
    room.post_message(Checked(found))
    app.echo(verb.ca)
    _refuse_damage(found)
    done = sum(bool(check.fix) for check in found.checks if check.status == "ok")
    app.notify(f"{done} put right" if done else "there was nothing to put right")


def _refuse_damage(found: views.DiagnosticsView) -> None:
    """A daemon cannot exchange the store under its own feet.

    Raises:
        StoreDamagedError: the running daemon's store is damaged.
    """
    for check in found.checks:
        if check.name == "integrity" and check.status == "error":
            raise errors.StoreDamagedError(check.message, suggestions=["ca diagnostics --repair"])


TABLE = {"check.again": again, "check.repair": repair}
