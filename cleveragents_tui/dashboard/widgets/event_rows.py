"""What happened to a plan, the latest first; pages come when they are looked at."""

import re
from collections.abc import Iterable, Sequence

from rich.style import Style
from textual.content import Content
from textual.message import Message

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Tone
from daemon import views

PAGE = 128

_SELF_EVIDENT = {"step", "state", "phase", "choice", "error", "name", "action", "project", "decision", "item", "worker"}
"""What a value is of these needs no word."""
_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")


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

    @property
    def event(self) -> views.EventView | None:
        """What is under the cursor."""
        return self._known.get(self.cursor)

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
        event = self._known.get(row)
        if event is None:
            return []
        return fit([
            (f" {wording.local_time(event.time)[11:]}  ", self.tone(Tone.WAITING)),
            (f"{event.kind:<18} ", Style(bold=True)),
            (said(event), self.tone(Tone.WAITING)),
        ], width)  # fmt: skip


def said(event: views.EventView) -> str:
    """What is known of an event, in one line: what matters first, files and what is empty not at all."""
    detail = dict(event.detail)
    parts: list[str] = []
    before, after = detail.pop("from", None), detail.pop("to", None)
    if before is not None and after is not None:
        parts.append(_moved(str(before), str(after)))
    author, code = detail.pop("by", None), detail.pop("exit_code", None)
    detail.pop("log", None)
    parts += [
        f"{value}" if key in _SELF_EVIDENT else f"{key.replace('_', ' ')} {value}"
        for key, value in detail.items()
        if value not in (None, "", [], {})
    ]
    parts += [f"exit {code}"] if code else []
    parts += [f"by {author}"] if author else []
    short = _ID.sub(lambda found: wording.short_id(found[0]), " · ".join(parts))
    return wording.one_line(short)


def _moved(before: str, after: str) -> str:
    """`execute: processing → complete`, or from one phase to another."""
    (phase, _, left), (next_phase, _, reached) = before.partition("/"), after.partition("/")
    if phase == next_phase:
        return f"{phase}: {left} → {reached}"
    return f"{phase} {left} → {next_phase} {reached}"


def whole(event: views.EventView) -> Iterable[Content]:
    """Everything that is known of an event, a line for each thing."""
    facts = {"when": wording.local_time(event.time), "number": event.seq, "plan": event.plan_id, "job": event.job_id}
    for name, value in (facts | event.detail).items():
        if value is not None:
            yield Content.assemble((f"{name.replace('_', ' '):<12} ", "dim"), wording.plain(str(value)))
