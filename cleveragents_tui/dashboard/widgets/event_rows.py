"""What happened to a plan, the latest first; pages come when they are looked at."""

from collections.abc import Sequence

from rich.style import Style
from textual.message import Message

from cleveragents_tui import wording
from cleveragents_tui.cli.events import detail
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows
from cleveragents_tui.wording import Tone
from daemon import views

PAGE = 128


class EventRows(Rows):
    """Events by how many are newer."""

    class Wanted(Message):
        """Lines are in view whose events are not known yet."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id)
        self._known: dict[int, views.EventView] = {}

    def forget(self) -> None:
        """Another plan, or newer events: every number means another event."""
        self._known.clear()

    @property
    def wanted(self) -> int | None:
        """The first position of a page that is in view and not known; None when there is none."""
        missing = next((row for row in self.seen if row not in self._known), None)
        return None if missing is None else missing - missing % PAGE

    def take(self, offset: int, events: Sequence[views.EventView], total: int) -> None:
        """Events behind the newest `offset`, oldest first as the daemon lists them."""
        self._known |= dict(enumerate(reversed(events), start=offset))
        self.count = total
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Lines that come into view are asked for."""
        super().watch_scroll_y(old_value, new_value)
        if self.wanted is not None:
            self.post_message(self.Wanted())

    def cells(self, row: int, width: int) -> Cells:
        """When, what, and what is known of it."""
        del width
        event = self._known.get(row)
        if event is None:
            return []
        return [
            (f" {wording.local_time(event.time)[11:]}  ", self.tone(Tone.WAITING)),
            (f"{event.kind:<22} ", Style(bold=True)),
            (detail(event), self.tone(Tone.WAITING)),
        ]
