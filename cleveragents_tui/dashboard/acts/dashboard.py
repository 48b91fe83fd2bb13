"""The verbs of the dashboard itself."""

from functools import partial
from typing import TYPE_CHECKING, Any

from cleveragents_tui import verbs
from cleveragents_tui.dashboard.palette import Palette
from cleveragents_tui.dashboard.room import Room
from cleveragents_tui.dashboard.screens.help import Help

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def _enter(room: str, app: "Dashboard", _subject: Any) -> None:
    await app.switch_mode(room)
    app.echo(verbs.VERBS[f"app.{room}"].ca)


async def palette(app: "Dashboard", _subject: Any) -> None:
    room = app.screen
    assert isinstance(room, Room), "only rooms have the verbs of the dashboard"
    act = await app.push_screen_wait(Palette(room))
    if act is not None:
        act()


async def help_(app: "Dashboard", _subject: Any) -> None:
    await app.push_screen(Help(app.screen))


async def start(app: "Dashboard", _subject: Any) -> None:
    app.link.start_daemon()
    app.echo("ca daemon start")


async def quit_(app: "Dashboard", _subject: Any) -> None:
    app.exit()


async def suspend(app: "Dashboard", _subject: Any) -> None:
    app.action_suspend_process()


TABLE = {
    **{
        f"app.{room}": partial(_enter, room) for room in ("plans", "jobs", "locks", "server", "settings", "diagnostics")
    },
    "app.palette": palette,
    "app.help": help_,
    "app.start": start,
    "app.suspend": suspend,
    "app.quit": quit_,
}
