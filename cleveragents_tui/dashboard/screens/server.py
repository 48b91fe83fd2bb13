"""The team server: the connection, the sync, and the definitions that both sides changed."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from rich.style import Style
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.room import bindings
from cleveragents_tui.dashboard.screens import server_text
from cleveragents_tui.dashboard.screens.sync_conflict import sides
from cleveragents_tui.dashboard.screens.timed import TimedRoom, Working
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.dashboard.widgets.side_by_side import SideBySide
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, sync_views, views
from store import errors

EMPTY = """\
No team server is connected.  One lets a team share its actions, actors and projects:

  {connect:<3}ca server connect URL      use the one of your team
  {host:<3}ca server start            host one in this home"""
"""With the keys that work."""


ASKS = 15
"""Seconds after which the server is asked again: nobody tells of one that has ended."""


@dataclass(frozen=True)
class Standing:
    """What the verbs of the sync are about.

    Attributes:
        sync: How the sync stands.
        server: What the server said of itself; None while it was not asked.
        conflict: The conflict under the cursor.
    """

    sync: sync_views.SyncView
    server: sync_views.ServerView | None = None
    conflict: sync_views.SyncConflictView | None = None


class ConflictRows(Rows):
    """A line a definition that both sides changed."""

    conflicts: Sequence[sync_views.SyncConflictView] = ()

    def show(self, conflicts: Sequence[sync_views.SyncConflictView]) -> None:
        """Other conflicts; the cursor stays on its definition."""
        chosen = _key(self.chosen) if self.chosen else None
        self.conflicts = conflicts
        self.count = len(conflicts)
        self.cursor = next((row for row, one in enumerate(conflicts) if _key(one) == chosen), self.cursor)
        self.refresh()

    @property
    def chosen(self) -> sync_views.SyncConflictView | None:
        """The conflict under the cursor."""
        return self.conflicts[self.cursor] if self.cursor < len(self.conflicts) else None

    def cells(self, row: int, width: int) -> Cells:
        """Kind, name, and who changed it on the server."""
        one = self.conflicts[row]
        by = f"  changed by {one.server.changed_by}" if one.server.changed_by else ""
        sign = Mood.NEEDS_YOU
        cells = [
            (f" {sign.sign} ", self.tone(sign.tone)),
            (f"{one.kind:<8} ", Style.null()),
            (wording.one_line(one.name), Style(bold=True)),
            (wording.one_line(by), self.tone(Tone.WAITING)),
        ]
        return fit(cells, width)


def _key(conflict: sync_views.SyncConflictView) -> tuple[str, str]:
    return conflict.kind, conflict.name


class ServerRoom(TimedRoom):
    """How it stands, and below it what is in conflict, both versions side by side."""

    TITLE = "Team server"
    HELP = """\
The connection to the team server, when it is pulled from next, and what is wrong with it.
A definition that was changed here and on the server is in conflict: the one from here stays in force until somebody chooses.
Both versions of the one under the cursor are shown: ≠ the line differs, < only here, > only on the server.
Enter shows them whole, and there l keeps the one from here and s takes the server's. The other one stays in the history."""
    BINDINGS: ClassVar[list[BindingType]] = bindings("sync")
    DEFAULT_CSS = """
    ServerRoom {
        #standing { height: auto; max-height: 60%; }
        #facts { padding: 0 1; }
        #conflicts { height: auto; min-height: 3; max-height: 7; }
        #sides { height: 1fr; min-height: 5; }
        &.-narrow.-conflicts #standing { max-height: 5; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._ticks = 0
        self._sync: sync_views.SyncView | None = None
        self._server: sync_views.ServerView | None = None
        self._working = ""

    def body(self) -> Iterable[Widget]:
        """How it stands, then the conflicts."""
        standing = VerticalScroll(Static(id="facts"), id="standing", classes="pane")
        standing.border_title = "Team server"
        conflicts = ConflictRows(id="conflicts", classes="pane")
        conflicts.border_title = "Changed here and on the server"
        nothing = Static(id="nothing", classes="empty")
        yield Vertical(nothing, standing, conflicts, SideBySide(id="sides", classes="pane"))

    # --- what is there -------------------------------------------------------------------------------------------------------

    async def refill(self, happened: list[views.EventView]) -> None:
        """What the daemon knows at once; the server is asked when the room is entered, and when it may answer otherwise."""
        areas = {event.kind.partition(".")[0] for event in happened}
        if happened and not areas & {"sync", "server"}:
            return
        await self._look()
        if not happened or any(event.kind in _ASKED_AFTER for event in happened):
            self.run_worker(self._ask, name="server", group="server", exclusive=True, exit_on_error=False)

    async def _look(self) -> None:
        link = self.dashboard.link
        self._sync = await link.call(protocol.SyncStatus())
        if self._sync.namespace is None:
            found: Sequence[sync_views.SyncConflictView] = ()
        else:
            found = (await link.call(protocol.SyncConflicts())).conflicts
        self.filled = True
        self.query_one(ConflictRows).show(found)
        self.show()
        self._compare()
        self.attend()

    async def _ask(self) -> None:
        """It may be slow to answer, or never do."""
        try:
            self._server = await self.dashboard.link.call(protocol.ServerStatus(), timeout=None)
        except errors.DaemonUnavailableError:
            return  # the banner says so, and it is asked again when the daemon is back
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)
            return
        self._sync = self._server.sync
        self.show()
        self.refresh_bindings()
        self.attend()

    def on_working(self, event: Working) -> None:
        """A verb that takes long has begun, or has ended and changed how it stands."""
        self._working = event.text
        self.show()
        if not event.text:
            self.keep_up([])

    def subject(self, area: str) -> Any:
        """How it stands, with the conflict under the cursor."""
        if area != "sync" or self._sync is None:
            return None
        return Standing(self._sync, self._server, self.query_one(ConflictRows).chosen)

    # --- time ----------------------------------------------------------------------------------------------------------------

    def changes_with_time(self) -> bool:
        """The countdown, and how long ago the last pull was; a server of this home may end."""
        connected = self._sync is not None and self._sync.namespace is not None
        return connected or (self._server is not None and self._server.host.running)

    def tick(self) -> None:
        """Count down; a pull that brings nothing makes no event, so its end is asked for."""
        self.show()
        due = self._sync.next_pull_at if self._sync is not None else None
        if due is not None and wording.seconds(due) <= self.moment:
            self.run_worker(self._look_again, name="sync", group="sync", exclusive=True, exit_on_error=False)
        self._ticks += 1
        if self._ticks % ASKS == 0:
            self.run_worker(self._ask, name="server", group="server", exclusive=True, exit_on_error=False)

    async def _look_again(self) -> None:
        try:
            await self._look()
        except errors.DaemonUnavailableError:
            return  # the banner says so

    # --- drawing -------------------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """How it stands, or what stands for it."""
        connected = self._sync is not None and self._sync.namespace is not None
        rows, both = self.query_one(ConflictRows), self.query_one(SideBySide)
        rows.display = both.display = connected and bool(rows.conflicts)
        self.set_class(rows.display, "-conflicts")
        standing = self.query_one("#standing")
        standing.display = connected or bool(self._working) or (self._server is not None and self._server.host.running)
        standing.border_subtitle = self._working or _due(self._sync, self.moment)
        self.say_instead("#nothing", "" if connected else self._empty() if self.filled else self.nothing_yet())
        if self._sync is not None:
            self.query_one("#facts", Static).update(server_text.standing(self._sync, self._server, self.moment))
        if rows.display and self.focused is None:
            rows.focus()

    def _empty(self) -> str:
        """How to get a server; its keys where somebody may press them."""
        return EMPTY.format(**{verb.name: verb.key if self.dashboard.offers(verb, self) else "" for verb in _BEGINNING})

    def on_rows_moved(self) -> None:
        """Another definition is compared."""
        self._compare()
        self.refresh_bindings()

    def on_rows_opened(self) -> None:
        """Enter is where one chooses."""
        if self.dashboard.offers(server_text.RESOLVE):
            self.dashboard.action_verb(server_text.RESOLVE.id)

    def _compare(self) -> None:
        chosen = self.query_one(ConflictRows).chosen
        if chosen is not None:
            self.run_worker(partial(self._show_sides, chosen), name="sides", group="sides", exclusive=True)

    async def _show_sides(self, conflict: sync_views.SyncConflictView) -> None:
        found = await asyncio.to_thread(sides, conflict)
        both = self.query_one(SideBySide)
        if found != both.sides:
            both.show(found)


_BEGINNING = (verbs.VERBS["sync.connect"], verbs.VERBS["sync.host"])
_ASKED_AFTER = frozenset({"server.connected", "server.disconnected", "sync.failed", "sync.recovered"})
"""After these the server may answer differently."""


def _due(sync: sync_views.SyncView | None, now: float) -> str:
    """What comes next, where it is seen however much is said above it."""
    if sync is None or sync.next_pull_at is None:
        return ""
    pushes = f" · {sync.pending} to push" if sync.pending else ""
    return f"next pull in {wording.clock(wording.seconds(sync.next_pull_at) - now)}{pushes}"
