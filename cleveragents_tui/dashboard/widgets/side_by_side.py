"""Two versions of a text side by side: what belongs together stands on one line, and what differs is marked as `sdiff` does."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from textual.geometry import Size
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches, words
from cleveragents_tui.dashboard.widgets.reading import Reading

MOST_LINES = 20_000
"""Lines that are compared one by one; of longer versions every line differs."""

SAME, CHANGED, LEFT_ONLY, RIGHT_ONLY = "│", "≠", "<", ">"


class Pair(NamedTuple):
    """What stands on one line: a line of each version, None where a version has none, and the mark between them."""

    left: str | None
    right: str | None
    mark: str


class Sides(NamedTuple):
    """Two versions, and what stands above each."""

    headings: tuple[str, str] = ("", "")
    pairs: Sequence[Pair] = ()
    width: int = 0

    @classmethod
    def of(cls, headings: tuple[str, str], left: str | None, right: str | None) -> "Sides":
        """Set two versions beside each other; takes a moment for long ones. One that is None has no lines."""
        pairs = _pairs(_lines(left), _lines(right))
        texts = (text for pair in pairs for text in (pair.left, pair.right) if text is not None)
        return cls(headings, pairs, max(map(wording.columns, texts), default=0))


def _lines(text: str | None) -> list[str]:
    if text is None:
        return []
    return [patches.shown(line) for line in text.removesuffix("\n").split("\n")]


def _pairs(left: Sequence[str], right: Sequence[str]) -> list[Pair]:
    if max(len(left), len(right)) > MOST_LINES:
        return [_pair(*both) for both in zip_longest(left, right)]
    codes = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    return [
        _pair(*both)
        for _, first, last, its_first, its_last in codes
        for both in zip_longest(left[first:last], right[its_first:its_last])
    ]


def _pair(left: str | None, right: str | None) -> Pair:
    if left is None:
        return Pair(left, right, RIGHT_ONLY)
    if right is None:
        return Pair(left, right, LEFT_ONLY)
    return Pair(left, right, SAME if left == right else CHANGED)


class SideBySide(Reading):
    """Both versions; they scroll together.

    | class | what it paints |
    | :- | :- |
    | `sides--heading` | what a version is |
    | `sides--differs` | a line that the other version has not |
    | `sides--word` | what differs within a line |
    | `sides--mark` | the sign between two lines |
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"sides--heading", "sides--differs", "sides--word", "sides--mark"}
    DEFAULT_CSS = """
    SideBySide {
        height: 1fr;
        scrollbar-size: 1 1;
        & > .sides--heading { text-style: bold; background: $panel; }
        & > .sides--differs { color: $tone-needs-you; }
        & > .sides--word { color: $tone-needs-you; text-style: bold underline; }
        & > .sides--mark { color: $tone-waiting; }
    }
    """

    sides = Sides()

    def show(self, sides: Sides) -> None:
        """Another pair of versions, from the first line that differs."""
        self.sides = sides
        self._measure()
        first = next((row for row, pair in enumerate(sides.pairs) if pair.mark != SAME), 0)
        self.scroll_to(0, max(0, first - 2), animate=False)
        self.refresh()

    def on_resize(self) -> None:
        """The halves have another width."""
        self._measure()

    def _measure(self) -> None:
        """One scrolls to the side as far as the longest line is cut."""
        hidden = max(0, self.sides.width + 1 - _half(self.size.width))
        self.virtual_size = Size(self.size.width + hidden, len(self.sides.pairs) + 1)

    # --- drawing -------------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """The headings stay at the top."""
        half = _half(self.size.width)
        if y == 0:
            return self._headings(half)
        row = self.scroll_offset.y + y - 1
        if row >= len(self.sides.pairs):
            return Strip.blank(self.size.width, self.rich_style)
        pair = self.sides.pairs[row]
        mark = Strip([Segment(f" {pair.mark} ", self.get_component_rich_style("sides--mark"))])
        line = Strip.join([self._text(pair, half, left=True), mark, self._text(pair, half, left=False)])
        return line.adjust_cell_length(self.size.width, self.rich_style)

    def _headings(self, half: int) -> Strip:
        style = self.get_component_rich_style("sides--heading")
        left, right = (f"{wording.cut(wording.one_line(text), half):<{half}}" for text in self.sides.headings)
        return Strip([Segment(f"{left}   {right}", style)]).adjust_cell_length(self.size.width, style)

    def _text(self, pair: Pair, width: int, *, left: bool) -> Strip:
        text, other = (pair.left, pair.right) if left else (pair.right, pair.left)
        base = self.rich_style
        style = base if pair.mark == SAME else self.get_component_rich_style("sides--differs")
        spans = words.differing(other, text)[1] if text is not None and other is not None and text != other else ()
        segments = words.painted(text or "", spans, style, self.get_component_rich_style("sides--word"))
        start = self.scroll_offset.x
        return Strip(segments).crop_extend(start, start + width, base)


def _half(width: int) -> int:
    return max(0, (width - 3) // 2)
