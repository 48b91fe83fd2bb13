"""The lines of a change, drawn one by one as they come into view.

The place is a row that may be anywhere in view: the last lines of a change cannot be scrolled to the top.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches, words
from cleveragents_tui.dashboard.widgets.file_list import MARKS, sizes
from cleveragents_tui.dashboard.widgets.folds import Folds, folded, of_patch
from cleveragents_tui.dashboard.widgets.patches import Hunk, Kind, Patch, Section
from cleveragents_tui.dashboard.widgets.reading import Reading

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


class DiffLines(Reading):
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
        Binding("n", "hunk(1)", "Next hunk", id="diff.next_hunk", tooltip="To the next piece that was changed."),
        Binding("N", "hunk(-1)", "Previous hunk", id="diff.previous_hunk", show=False, tooltip="To the one before."),
        Binding(
            "right_square_bracket", "file(1)", "Next file", id="diff.next_file", key_display="]",
            tooltip="To the next file.",
        ),
        Binding(
            "left_square_bracket", "file(-1)", "Previous file", id="diff.previous_file", key_display="[", show=False,
            tooltip="To the file before.",
        ),
        Binding("b", "pages(-1.0)", "Page up", id="diff.page_up", show=False),
    ]  # fmt: skip

    patch: reactive[Patch] = reactive(Patch, init=False)
    place: reactive[int] = reactive(0, init=False)
    """The row one is at."""
    needle: reactive[str] = reactive("")
    """What was searched for; it is marked wherever it is in view."""
    wrap: reactive[bool] = reactive(False)  # noqa: FBT003  a reactive's default
    """Whether long lines are wrapped, or cut."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as Textual calls it
        super().__init__(id=id)
        self._folds = Folds(0)
        self._drawn: dict[int, Sequence[Strip]] = {}

    @dataclass
    class Moved(Message):
        """The place is in another file or hunk."""

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
        self._fold()
        self.jump(min(place, max(0, len(patch) - 1)))

    def _fold(self) -> None:
        """Find out which row is on which line."""
        self._folds = of_patch(self.patch, self._columns) if self.wrap else Folds(len(self.patch))
        self.virtual_size = Size(0 if self.wrap else self._gutter + self.patch.width, self._folds.count)

    @property
    def _columns(self) -> int:
        """What a line of content has."""
        return max(1, self._room - self._gutter)

    def watch_wrap(self) -> None:
        """Lines are of another height; the place stays."""
        self._settle()
        self.scroll_to(x=0, animate=False)

    def on_resize(self) -> None:
        """There is more room, or less."""
        self._settle()

    def _settle(self) -> None:
        if not self.wrap or self._folds.columns != self._columns:
            self._fold()
        self.scroll_to(y=self._top(self.place), animate=False)
        self.refresh()

    def jump(self, row: int) -> None:
        """Go to a row: it comes to the top, below the name of its file, unless the end is before."""
        before = self._whereabouts
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
        """Scroll as far as is needed to see what was searched for: to the side, or down a line that is wrapped."""
        text = patches.shown(self.patch.texts[row][1:])
        start = wording.columns(text[: next(iter(_places(text, self.needle)), 0)])
        if self.wrap:
            self.scroll_to(y=self._top(row) + start // self._columns, animate=False)
            return
        seen = range(self.scroll_offset.x, self.scroll_offset.x + self._columns - len(self.needle))
        if start not in seen:
            self.scroll_to(x=max(0, start - self._room // 2), animate=False)

    def _top(self, row: int) -> int:
        is_file = row < len(self.patch) and self.patch.kinds[row] == Kind.FILE
        line = self._folds.line_of(row)
        return max(0, min(line if is_file else line - 1, self.max_scroll_y))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls takes the place along, unless it is as far as the place lets one scroll."""
        super().watch_scroll_y(old_value, new_value)
        top = self.scroll_offset.y
        if not self.patch.sections or top == self._top(self.place):
            return
        before, row = self._whereabouts, self._folds.at(top)[0]
        if self.patch.kinds[row] != Kind.FILE:
            row = self._folds.at(min(top + 1, self._folds.count - 1))[0]
        self.place = row
        self._tell(before)

    @property
    def _whereabouts(self) -> tuple[int, Hunk | None]:
        return (self.section, self.patch.hunk_at(self.place)) if self.patch.sections else (0, None)

    def _tell(self, before: tuple[int, Hunk | None]) -> None:
        if self.patch.sections and self._whereabouts != before:
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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While something is searched for, the keys of hunks go from find to find."""
        return not self.needle if action == "hunk" else super().check_action(action, parameters)

    def watch_needle(self) -> None:
        """Other keys work."""
        self.refresh_bindings()

    def action_top(self) -> None:
        self.jump(0)

    # --- drawing -------------------------------------------------------------------------------------------------------

    @property
    def _gutter(self) -> int:
        return 2 * self.patch.digits + 4

    @property
    def _room(self) -> int:
        """Columns between the edges and the scroll bar."""
        return self.scrollable_content_region.width

    def render_lines(self, crop: Region) -> list[Strip]:
        """A row that is wrapped is painted once for all its lines."""
        self._drawn.clear()
        if self.wrap and self._folds.columns != self._columns:  # a scroll bar came, or went
            self.call_later(self._settle)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The top line always names the file."""
        line = self.scroll_offset.y + y
        width = self._room
        if line >= self._folds.count:
            return Strip.blank(width, self.rich_style)
        row, part = self._folds.at(line)
        if y == 0:
            row = self.patch.sections[self.patch.section_at(row)].row
        kind = Kind(self.patch.kinds[row])
        if kind is Kind.FILE:
            return self._file(self.patch.section_at(row), width)
        if kind in {Kind.CONTEXT, Kind.ADDED, Kind.REMOVED}:
            return self._line(row, kind, part)
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

    def _line(self, row: int, kind: Kind, part: int) -> Strip:
        name = _CLASSES.get(kind)
        style = self.get_component_rich_style(name) if name else self.rich_style
        if self.wrap:
            body = self._parts(row, kind, style)[part].adjust_cell_length(self._columns, style)
        else:
            start = self.scroll_offset.x
            body = Strip(self._body(row, kind, style)).crop_extend(start, start + self._columns, style)
        if part:
            return Strip.join([Strip([Segment(" " * self._gutter, style)], self._gutter), body])
        return Strip.join([Strip(self._numbers(row, kind, style), self._gutter), body])

    def _parts(self, row: int, kind: Kind, style: Style) -> Sequence[Strip]:
        """The lines of a row that is wrapped."""
        if row not in self._drawn:
            text = patches.shown(self.patch.texts[row][1:])
            self._drawn[row] = folded(self._body(row, kind, style), text, self._folds.columns)
        return self._drawn[row]

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
