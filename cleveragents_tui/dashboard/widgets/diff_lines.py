"""The lines of a change, drawn one by one as they come into view.

The place is a row that may be anywhere in view: the last lines of a change cannot be scrolled to the top.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches, words
from cleveragents_tui.dashboard.widgets.file_list import MARKS, sizes
from cleveragents_tui.dashboard.widgets.patches import Hunk, Kind, Patch, Section

SIDEWAYS = 8
"""Columns of a step to the left or the right."""

_CLASSES = {
    Kind.FILE: "diff--file",
    Kind.NOTE: "diff--note",
    Kind.HUNK: "diff--hunk",
    Kind.ADDED: "diff--added",
    Kind.REMOVED: "diff--removed",
    Kind.REMARK: "diff--note",
}
_WORDS = {Kind.ADDED: "diff--added-word", Kind.REMOVED: "diff--removed-word"}
_SIGNS = {Kind.ADDED: "+", Kind.REMOVED: "−"}  # noqa: RUF001  as wide as the plus


class DiffLines(ScrollView):
    """All files of a change, one below the other, with the numbers of their lines.

    | Component class | What it is for |
    | :- | :- |
    | `diff--file` | The line with the name of a file. |
    | `diff--hunk`, `diff--place` | Where a hunk begins; the one that is jumped to. |
    | `diff--note` | What is to be known of a file or line beside its text. |
    | `diff--numbers` | The numbers of the lines. |
    | `diff--added`, `diff--removed` | A line that came, or went. |
    | `diff--added-word`, `diff--removed-word` | What differs in a line that was changed. |
    | `diff--match` | What was searched for. |
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *_CLASSES.values(),
        *_WORDS.values(),
        "diff--numbers",
        "diff--place",
        "diff--match",
    }
    DEFAULT_CSS = """
    DiffLines {
        width: 1fr; height: 1fr; scrollbar-size: 1 1; background: $surface; color: $foreground;
        & > .diff--file { background: $panel; color: $foreground; text-style: bold; }
        & > .diff--hunk { color: $text-muted; }
        & > .diff--place { color: $text-accent; text-style: bold; }
        & > .diff--note { color: $text-muted; text-style: italic; }
        & > .diff--numbers { color: $text-muted; }
        & > .diff--added { background: $success 14%; color: $foreground; }
        & > .diff--removed { background: $error 14%; color: $foreground; }
        & > .diff--added-word { background: $success 32%; color: $text; text-style: bold; }
        & > .diff--removed-word { background: $error 32%; color: $text; text-style: bold; }
        & > .diff--match { background: $warning; color: $text; text-style: bold; }
        &:ansi {
            & > .diff--file { text-style: bold reverse; }
            & > .diff--added { background: ansi_default; color: $success; }
            & > .diff--removed { background: ansi_default; color: $error; }
            & > .diff--added-word { background: ansi_default; color: $success; text-style: bold underline; }
            & > .diff--removed-word { background: ansi_default; color: $error; text-style: bold underline; }
            & > .diff--match { background: ansi_default; color: $warning; text-style: bold reverse; }
        }
        &:nocolor {
            & > .diff--added-word, & > .diff--removed-word { text-style: bold underline; }
            & > .diff--match { text-style: bold reverse; }
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "hunk(1)", "Next hunk", id="diff.next_hunk"),
        Binding("N", "hunk(-1)", "Previous hunk", id="diff.previous_hunk", show=False),
        Binding("right_square_bracket", "file(1)", "Next file", id="diff.next_file", key_display="]"),
        Binding(
            "left_square_bracket", "file(-1)", "Previous file", id="diff.previous_file", key_display="[", show=False
        ),
        Binding("j,down", "lines(1)", "Down", id="diff.down", show=False),
        Binding("k,up", "lines(-1)", "Up", id="diff.up", show=False),
        Binding("space,pagedown,ctrl+f", "pages(1.0)", "Page down", id="diff.page_down", show=False),
        Binding("b,pageup,ctrl+b", "pages(-1.0)", "Page up", id="diff.page_up", show=False),
        Binding("ctrl+d", "pages(0.5)", "Half a page down", id="diff.half_down", show=False),
        Binding("ctrl+u", "pages(-0.5)", "Half a page up", id="diff.half_up", show=False),
        Binding("g,home", "top", "To the top", id="diff.top", show=False),
        Binding("G,end", "bottom", "To the end", id="diff.bottom", show=False),
        Binding("h,left", "columns(-1)", "Left", id="diff.left", show=False),
        Binding("l,right", "columns(1)", "Right", id="diff.right", show=False),
    ]

    patch: reactive[Patch] = reactive(Patch, init=False)
    place: reactive[int] = reactive(0, init=False)
    """The row one is at."""
    needle: reactive[str] = reactive("")
    """What was searched for; it is marked wherever it is in view."""

    @dataclass
    class Moved(Message):
        """The place is in another file."""

        lines: "DiffLines"
        section: int

        can_replace_others: ClassVar[bool] = True

        @property
        def control(self) -> "DiffLines":
            return self.lines

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, DiffLines.Moved)

    @property
    def section(self) -> int:
        """The index of the file one is in."""
        return self.patch.section_at(self.place)

    def show(self, patch: Patch, place: int = 0) -> None:
        """Another change, at one of its rows."""
        self.patch = patch
        self.virtual_size = Size(self._gutter + patch.width, len(patch))
        self.jump(min(place, max(0, len(patch) - 1)))

    def jump(self, row: int) -> None:
        """Go to a row: it comes to the top, below the name of its file, unless the end is before."""
        before = self.section if self.patch.sections else 0
        self.place = row
        self.scroll_to(y=self._top(row), animate=False)
        self._tell(before)

    def jump_to_next(self, rows: Sequence[int], step: int) -> int:
        """Go to the next of some rows, or the one before, round the end; which of them it is, counted from 1, 0 without any."""
        if not rows:
            return 0
        index = bisect_right(rows, self.place) if step > 0 else bisect_left(rows, self.place) - 1
        index %= len(rows)
        self.jump(rows[index])
        self._reveal(rows[index])
        return index + 1

    def _reveal(self, row: int) -> None:
        """Scroll to the side as far as is needed to see what was searched for."""
        text = patches.shown(self.patch.texts[row][1:])
        start = wording.columns(text[: next(iter(_places(text, self.needle)), 0)])
        seen = range(self.scroll_offset.x, self.scroll_offset.x + self._room - self._gutter - len(self.needle))
        if start not in seen:
            self.scroll_to(x=max(0, start - self._room // 2), animate=False)

    def _top(self, row: int) -> int:
        is_file = row < len(self.patch) and self.patch.kinds[row] == Kind.FILE
        return max(0, min(row if is_file else row - 1, self.max_scroll_y))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls takes the place along, unless it is as far as the place lets one scroll."""
        super().watch_scroll_y(old_value, new_value)
        if not self.patch.sections or self.scroll_offset.y == self._top(self.place):
            return
        before, top = self.section, self.scroll_offset.y
        self.place = min(len(self.patch) - 1, top if self.patch.kinds[top] == Kind.FILE else top + 1)
        self._tell(before)

    def _tell(self, before: int) -> None:
        if self.patch.sections and self.section != before:
            self.post_message(self.Moved(self, self.section))

    # --- keys ----------------------------------------------------------------------------------------------------------

    def action_hunk(self, step: int) -> None:
        self._jump_among(self.patch.hunks, step)

    def action_file(self, step: int) -> None:
        self._jump_among(self.patch.sections, step)

    def _jump_among(self, starts: Sequence[Section] | Sequence[Hunk], step: int) -> None:
        find = bisect_right if step > 0 else bisect_left
        index = find(starts, self.place, key=lambda start: start.row) - (step < 0)
        if 0 <= index < len(starts):
            self.jump(starts[index].row)

    def action_lines(self, count: int) -> None:
        self.scroll_relative(y=count, animate=False)

    def action_pages(self, count: float) -> None:
        """A page less the line that the name of the file covers."""
        self.scroll_relative(y=round(count * max(1, self.scrollable_content_region.height - 1)), animate=False)

    def action_columns(self, count: int) -> None:
        self.scroll_relative(x=count * SIDEWAYS, animate=False)

    def action_top(self) -> None:
        self.jump(0)

    def action_bottom(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    # --- drawing -------------------------------------------------------------------------------------------------------

    def on_resize(self, _event: events.Resize) -> None:
        self.scroll_to(y=self._top(self.place), animate=False)

    @property
    def _gutter(self) -> int:
        return 2 * self.patch.digits + 4

    @property
    def _room(self) -> int:
        """Columns between the edges and the scroll bar."""
        return self.scrollable_content_region.width

    def render_line(self, y: int) -> Strip:
        """The top line always names the file."""
        row = self.scroll_offset.y + y
        width = self._room
        if row >= len(self.patch):
            return Strip.blank(width, self.rich_style)
        if y == 0:
            row = self.patch.sections[self.patch.section_at(row)].row
        kind = Kind(self.patch.kinds[row])
        if kind is Kind.FILE:
            return self._file(self.patch.section_at(row), width)
        if kind in {Kind.CONTEXT, Kind.ADDED, Kind.REMOVED}:
            return self._line(row, kind, width)
        return self._remark(row, kind, width)

    def _file(self, index: int, width: int) -> Strip:
        file = self.patch.sections[index].file
        style = self.get_component_rich_style("diff--file")
        name = patches.shown(self.patch.texts[self.patch.sections[index].row])
        end, (mark, _) = f" {sizes(file)} ", MARKS.get(file.status, ("?", None))
        start = f" {mark} {wording.cut_front(name, width - len(end) - 3)}"
        return self._filled([*self._marked(start, style), Segment(f"  {end}", style)], width, style)

    def _remark(self, row: int, kind: Kind, width: int) -> Strip:
        is_place = kind is Kind.HUNK and self.patch.hunk_at(row) == self.patch.hunk_at(self.place)
        name = "diff--place" if is_place else _CLASSES.get(kind)
        style = self.get_component_rich_style(name) if name else self.rich_style
        sign = "▸" if is_place else " "
        text = patches.shown(self.patch.texts[row])
        return self._filled([Segment(f"{sign:>{self._gutter - 1}} {text}", style)], width, style)

    def _line(self, row: int, kind: Kind, width: int) -> Strip:
        name = _CLASSES.get(kind)
        style = self.get_component_rich_style(name) if name else self.rich_style
        body = Strip(self._body(row, kind, style)).crop_extend(
            self.scroll_offset.x, self.scroll_offset.x + max(0, width - self._gutter), style
        )
        return Strip.join([Strip(self._numbers(row, kind, style), self._gutter), body])

    def _numbers(self, row: int, kind: Kind, style: Style) -> list[Segment]:
        digits = self.patch.digits
        old, new = ("" if number is None else number for number in self.patch.numbers(row))
        muted = style + Style(color=self.get_component_rich_style("diff--numbers").color)
        return [Segment(f"{old:>{digits}} {new:>{digits}} ", muted), Segment(f"{_SIGNS.get(kind, ' ')} ", style)]

    def _body(self, row: int, kind: Kind, style: Style) -> list[Segment]:
        text = patches.shown(self.patch.texts[row][1:])
        pair = self.patch.pair(row)
        if pair is None or [*_places(text, self.needle)]:
            return self._marked(text, style)
        other = patches.shown(self.patch.texts[pair][1:])
        spans = words.differing(text, other)[0] if kind is Kind.REMOVED else words.differing(other, text)[1]
        return words.painted(text, spans, style, self.get_component_rich_style(_WORDS[kind]))

    def _marked(self, text: str, style: Style) -> list[Segment]:
        """`text`, with what was searched for."""
        spans = [(place, place + len(self.needle)) for place in _places(text, self.needle)]
        return words.painted(text, spans, style, self.get_component_rich_style("diff--match"))

    def _filled(self, segments: list[Segment], width: int, style: Style) -> Strip:
        return Strip(segments).crop_extend(0, width, style)


def _places(text: str, needle: str) -> Iterable[int]:
    """Where `needle` is; case counts only when it has a capital."""
    within = text.lower() if needle == needle.lower() else text
    place = within.find(needle) if needle and len(within) == len(text) else -1
    while place >= 0:
        yield place
        place = within.find(needle, place + len(needle))
