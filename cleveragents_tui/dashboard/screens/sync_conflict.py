"""A definition that was changed here and on the team server: both versions whole, and which of them stays."""

import asyncio
from typing import ClassVar, Literal

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button

from cleveragents_tui import wording
from cleveragents_tui.dashboard.dialogs import Dialog
from cleveragents_tui.dashboard.widgets.side_by_side import SideBySide, Sides
from daemon import sync_views

Side = Literal["local", "server"]


def sides(conflict: sync_views.SyncConflictView) -> Sides:
    """Both versions, the one from here at the left; takes a moment for long ones."""
    headings = _about("here", conflict.local), _about("server", conflict.server)
    return Sides.of(headings, conflict.local.content, conflict.server.content)


def _about(whose: str, version: sync_views.SharedVersionView) -> str:
    parts = [
        f"{whose}: deleted" if version.content is None else whose,
        f"revision {version.revision}" if version.revision is not None else "",
        f"by {version.changed_by}" if version.changed_by else "",
        wording.local_time(version.changed_at) if version.changed_at else "",
    ]
    return ", ".join(filter(None, parts))


class SyncConflict(Dialog[Side | None]):
    """The choice; None when somebody left it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "take('local')", "Keep the one from here", priority=True),
        Binding("s", "take('server')", "Take the server's"),
        Binding("escape,q", "leave", "Leave"),
    ]
    DEFAULT_CSS = """
    SyncConflict {
        .pane { width: 96%; height: 92%; }
        .buttons { margin: 1 1 0 1; }
    }
    """

    def __init__(self, conflict: sync_views.SyncConflictView) -> None:
        super().__init__()
        self._conflict = conflict

    def compose(self) -> ComposeResult:
        """The versions above the two answers."""
        with Vertical(classes="pane") as box:
            name = f"{self._conflict.kind} {wording.one_line(self._conflict.name)}: which version stays?"
            box.border_title = Content(name).markup
            box.border_subtitle = "l keeps the one from here · s takes the server's · esc leaves"
            yield SideBySide()
            with Horizontal(classes="buttons"):
                yield Button("Keep the one from here", id="local", compact=True)
                yield Button("Take the server's", id="server", compact=True)
                yield Button("Leave", id="leave", compact=True)

    def on_mount(self) -> None:
        """Nothing is chosen by a key that was meant for something else."""
        self.query_one(SideBySide).focus()
        self._compare()

    @work
    async def _compare(self) -> None:
        found = await asyncio.to_thread(sides, self._conflict)
        self.query_one(SideBySide).show(found)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """That button's answer."""
        if event.button.id == "leave":
            self.action_leave()
        else:
            self.action_take("local" if event.button.id == "local" else "server")

    def action_take(self, side: Side) -> None:
        """That version stays."""
        self.dismiss(side)

    def action_leave(self) -> None:
        """Both stay as they are."""
        self.dismiss(None)
