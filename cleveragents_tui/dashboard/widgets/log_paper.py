"""How the lines of a log are laid out and drawn.

The place is a line and, for a line that is wrapped, one of its rows. `scroll_y` counts lines whether they are wrapped or
not, and only lines that are seen are ever measured: so a log of any length is wrapped at once.
"""

from collections.abc import Iterator
from typing import ClassVar, cast

from rich.segment import Segment
from textual.app import App
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.log_pages import LogPages
from cleveragents_tui.dashboard.widgets.log_search import LogSearch
from cleveragents_tui.dashboard.widgets.log_strips import LogStrips, Looks, stood_out

GOES_ON = ("\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}", "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}")
"""At the left and the right edge of a line that was cut there."""

Place = tuple[int, int]
"""A line, and one of its rows."""


class LogPaper(ScrollView):
    """Lines of a log.

    | class | what it paints |
    | :- | :- |
    | `log--found` | text that was searched |
    | `log--current` | the same in the line that was jumped to |
    | `log--note` | what is said about the log, and is not in it |
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--found", "log--current", "log--note"}
    DEFAULT_CSS = """
    LogPaper {
        height: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 0;
        .log--found { background: $warning-muted; color: $text-warning; text-style: bold underline; }
        .log--current { background: $background; color: $warning; text-style: bold reverse; }
        .log--note { color: $text-muted; text-style: italic; }
    }
    """

    following: reactive[bool] = reactive[bool](default=False, init=False)
    wrap: reactive[bool] = reactive[bool](default=False, init=False)

    class Wanted(Message):
        """Pages have to be read."""

        def __init__(self, pages: list[int]) -> None:
            super().__init__()
            self.pages = pages

    def __init__(self) -> None:
        super().__init__()
        self.pages = LogPages()
        self.count = 0
        self.known = 0
        self.live = False
        self.note = ""
        self.strips = LogStrips()
        self._row = 0
        self._last_place: Place = (0, 0)
        self._layout: list[Place] = []
        self._steering = False
        self._measured = (0, 0)
        self._painting = False

    # --- what is shown -----------------------------------------------------------------------------------------------------

    def begin(self, note: str) -> None:
        """Another log, of which nothing is known yet: `note` is said until it is."""
        self.pages = LogPages()
        self.count = self.known = 0
        self.note = note
        self.strips.begin()
        self.scroll_to(0, 0, animate=False, force=True)
        self.settle()
        self.refresh()

    def mark(self, search: LogSearch | None, current: int = -1) -> None:
        """Let the text that is searched stand out, most of all in line `current`."""
        self.strips.mark(search, current)
        self.refresh()

    def settle(self) -> None:
        """How many lines there are changed, or how high or wide they are: the place is where it was, or at the end."""
        if not self._height:
            return
        self._look()
        self._measured = self._room
        self._last_place = self._walk((self.count, 0), -self._height)
        self._extend(Size(0 if self.wrap else self.strips.widest, self._last_place[0] + self._height))
        if self.following or self._place > self._last_place:
            self._go(self._last_place)
        self.refresh()

    def _extend(self, size: Size) -> None:
        """Tell the scroll bars; the screen is laid out anew only when one of them comes or goes."""
        bars = size.width > self._width, size.height > self._height
        if bars == (self.show_horizontal_scrollbar, self.show_vertical_scrollbar):
            self.set_reactive(LogPaper.virtual_size, size)  # pyright: ignore[reportArgumentType]  textual declares it as what it holds
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.window_virtual_size = size.height
        else:
            self.virtual_size = size

    def renumber(self, count: int, by: int) -> None:
        """The lines were counted: what is seen stays where it is, under numbers that differ `by`."""
        self.count = count
        line, row = self._place
        self.settle()
        if not self.following:
            self._go((line + by, row))

    # --- layout ------------------------------------------------------------------------------------------------------------

    @property
    def _height(self) -> int:
        return self.scrollable_content_region.height

    @property
    def _width(self) -> int:
        return max(1, self.scrollable_content_region.width)

    @property
    def _room(self) -> tuple[int, int]:
        """What lines are laid out for; a scroll bar takes some of it when it comes."""
        return self._width, self._height

    @property
    def _place(self) -> Place:
        return self.scroll_offset.y, self._row

    def _rows_of(self, number: int) -> int:
        """How many rows a line takes; one while it is not at hand."""
        strip = self._strip(number) if self.wrap else None
        return 1 if strip is None else max(1, -(-strip.cell_length // self._width))

    def _walk(self, place: Place, rows: int) -> Place:
        """The place so many rows further on, as far as there are lines."""
        line, row = place
        row += rows
        while row < 0 and line > 0:
            line -= 1
            row += self._rows_of(line)
        while row > 0 and line < self.count and row >= (rows_of := self._rows_of(line)):
            row -= rows_of
            line += 1
        return line, max(0, row)

    def _rows(self) -> Iterator[Place]:
        line, row = self._place
        for _ in range(self._height):
            yield line, row
            row += 1
            if row >= self._rows_of(line):
                line, row = line + 1, 0

    def _go(self, place: Place) -> None:
        line, row = min(max(place, (0, 0)), self._last_place)
        self._steering = True
        self.scroll_to(y=line, animate=False, force=True)  # the scroll bar, which would permit it, comes later
        self._steering = False
        if self._row != row:
            self._row = row
            self.refresh()

    def _go_to_column(self, column: int) -> None:
        if not self.wrap:
            self._extend(self.virtual_size.with_width(self.strips.widest))
            self.scroll_to(x=column, animate=False, force=True)

    # --- drawing -----------------------------------------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """What is seen; what is missing for it is asked for."""
        self._look()
        self._layout = list(self._rows())
        last = self._layout[-1][0] if self._layout else 0
        line = self._place[0]
        if self.known and line < self.known:
            wanted = self.pages.ask(line - self._height, min(last + self._height, self.known - 1))
            if wanted:
                self.post_message(self.Wanted(wanted))
        self._painting = True
        strips = super().render_lines(crop)
        self._painting = False
        if self._measured != self._room or (not self.wrap and self.strips.widest > self.virtual_size.width):
            self.call_later(self.settle)
        return strips

    def render_line(self, y: int) -> Strip:
        """One row of the screen. Textual asks for a single one to know what the mouse is on: only then each part says which.

        To say it always would make a style of its own for each part of each line ever painted, and thousands are kept.
        """
        width, base = self._measured[0], self.strips.looks.base
        if not self.count and y == 0:
            note = self.strips.looks.note
            return Strip([Segment(wording.cut(self.note, width), note)]).extend_cell_length(width, base)
        number, row = self._layout[y] if y < len(self._layout) else (self.count, 0)
        strip = self._strip(number) if number < self.count else None
        if strip is None:
            return Strip.blank(width, base)
        left = row * width if self.wrap else self.scroll_offset.x
        drawn = self._selected(number, strip).crop_extend(left, left + width, base)
        if not self.wrap:
            drawn = self._cut_off(drawn, before=left > 0, after=strip.cell_length > left + width)
        return drawn if self._painting else drawn.apply_offsets(left, number)

    def _cut_off(self, strip: Strip, *, before: bool, after: bool) -> Strip:
        """A sign at each end of a row beyond which its line goes on."""
        width, note = strip.cell_length, self.strips.looks.note
        begin, end = int(before), width - after
        if end - begin == width:
            return strip
        signs = [
            Strip([Segment(sign, note)]) if there else Strip([])
            for sign, there in zip(GOES_ON, (before, after), strict=True)
        ]
        return Strip.join([signs[0], strip.crop(begin, end), signs[1]])

    def _strip(self, number: int) -> Strip | None:
        """A whole line; None when it is not at hand."""
        line = self.pages.line(number)
        if line is None:
            return None
        return self.strips.strip(number, line)

    def _look(self) -> None:
        app = cast("App[object]", self.app)
        note = self.get_component_rich_style("log--note")
        found, current = (self.get_component_rich_style(name, partial=True) for name in ("log--found", "log--current"))
        self.strips.look(Looks(self.rich_style, note, found, current, app.current_theme.dark))

    def _selected(self, number: int, strip: Strip) -> Strip:
        selection = self.text_selection
        span = None if selection is None else selection.get_span(number)
        if span is None:
            return strip
        begin, end = span[0], len(strip.text) if span[1] == -1 else span[1]
        style = self.screen.get_component_rich_style("screen--selection")
        return stood_out(strip, [(begin, end)], style)

    # --- taking text out ---------------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text that was marked with the mouse, as far as it is at hand."""
        first = 0 if selection.start is None else selection.start.y
        last = self.count - 1 if selection.end is None else selection.end.y
        first, last = max(first, self._place[0] - len(self._layout)), min(last, self.count - 1)
        texts = [self._text_of(number, selection) for number in range(first, last + 1)]
        return "\n".join(texts), "\n"

    def _text_of(self, number: int, selection: Selection) -> str:
        strip, span = self._strip(number), selection.get_span(number)
        if strip is None or span is None:
            return ""
        return strip.text[span[0] : None if span[1] == -1 else span[1]]

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002  it is asked for when a line is drawn
        """Something else is marked."""
        self.refresh()

    @property
    def seen(self) -> list[str]:
        """The text of the lines on the screen."""
        numbers = sorted({number for number, _ in self._rows() if number < self.count})
        strips = (self._strip(number) for number in numbers)
        return [strip.text for strip in strips if strip is not None]
