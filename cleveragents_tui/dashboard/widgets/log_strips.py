"""A line of a log as it is painted: its colours, what is searched standing out, and a note when it is too long."""

from itertools import chain, islice
from typing import NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.cache import LRUCache
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import ansi
from cleveragents_tui.dashboard.widgets.log_lines import Line
from cleveragents_tui.dashboard.widgets.log_search import LogSearch

LIKE_DARK_PAPER = frozenset({0})
"""The standard colours that nobody can read on a dark ground: black."""

LIKE_LIGHT_PAPER = frozenset({7, 15})
"""The same on a light ground: both whites."""

KEPT = 256
"""Lines that are kept painted: some screens of them. Each takes some kilobytes with what Textual keeps of it."""

MARKED = 200
"""So many matches stand out in one line."""


class Looks(NamedTuple):
    """The styles under the theme of the moment."""

    base: Style
    note: Style
    found: Style
    current: Style
    dark: bool


class LogStrips:
    """Painted lines.

    Attributes:
        looks: The styles that they are painted in.
        search: What stands out.
        current: The line in which it stands out more.
        widest: The columns of the widest line that was painted.
    """

    def __init__(self) -> None:
        self.search: LogSearch | None = None
        self.current = -1
        self.widest = 0
        self.looks = Looks(Style.null(), Style.null(), Style.null(), Style.null(), dark=True)
        self._kept: LRUCache[int, tuple[Line, Strip]] = LRUCache(KEPT)

    def begin(self) -> None:
        """Another log."""
        self.widest = 0
        self.mark(self.search)

    def mark(self, search: LogSearch | None, current: int = -1) -> None:
        """Let something else stand out."""
        self.search, self.current = search, current
        self._kept.clear()

    def look(self, looks: Looks) -> None:
        """Paint like this from now on."""
        if looks != self.looks:
            self.looks = looks
            self._kept.clear()

    def strip(self, number: int, line: Line) -> Strip:
        """The whole line."""
        kept = self._kept.get(number)
        if kept is not None and kept[0] == line:
            return kept[1]
        strip = self._marked(number, self._painted(line))
        self._kept[number] = (line, strip)
        self.widest = max(self.widest, strip.cell_length)
        return strip

    def _painted(self, line: Line) -> Strip:
        looks = self.looks
        found = ansi.pieces(line.raw, LIKE_DARK_PAPER if looks.dark else LIKE_LIGHT_PAPER)
        segments = [Segment(text, looks.base + style) for text, style in found]
        if line.more:
            segments.append(Segment(f"… {wording.size(line.more)} more", looks.note))
        return Strip(segments)

    def _marked(self, number: int, strip: Strip) -> Strip:
        if self.search is None:
            return strip
        style = self.looks.current if number == self.current else self.looks.found
        matches = islice(self.search.pattern.finditer(strip.text), MARKED)
        return stood_out(strip, [match.span() for match in matches], style)


def stood_out(strip: Strip, spans: list[tuple[int, int]], style: Style) -> Strip:
    """`strip` with some spans of its characters in another style."""
    if not spans:
        return strip
    text, column, begin = strip.text, 0, 0
    cuts: list[int] = []
    for at in chain.from_iterable(spans):
        column += cell_len(text[begin:at])
        cuts.append(column)
        begin = at
    segments: list[Segment] = []
    for place, part in enumerate(strip.divide([*cuts, strip.cell_length])):
        segments.extend(Segment.apply_style(part, post_style=style if place % 2 else None))
    return Strip(segments, strip.cell_length)
