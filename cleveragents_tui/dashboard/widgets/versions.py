"""The versions of a file in conflict, side by side: parent, base and child; where there is no room, one of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches, words
from cleveragents_tui.dashboard.widgets.folds import Folds, folded, height
from cleveragents_tui.dashboard.widgets.reading import Reading
from cleveragents_tui.dashboard.widgets.three_ways import ThreeWays

SIDES = ("parent", "base", "child")
BASE = 1


@dataclass(frozen=True)
class Heading:
    """What stands above a version: what it is called, and what is to be known of it beside its lines."""

    name: str = ""
    about: str = ""


@dataclass(frozen=True)
class Shown:
    """A file in conflict: its lines side by side, and what stands above them, in the order of `SIDES`."""

    ways: ThreeWays = field(default_factory=ThreeWays)
    headings: tuple[Heading, Heading, Heading] = (Heading(), Heading(), Heading())
    width: int = 0

    @classmethod
    def of(cls, ways: ThreeWays, headings: tuple[Heading, Heading, Heading]) -> "Shown":
        """With its width measured; takes a moment for long versions."""
        lines = (line for side in (ways.parent, ways.base, ways.child) for line in side)
        return cls(ways, headings, max((wording.columns(patches.shown(line)) for line in lines), default=0))


class Versions(Reading):
    """Three versions in three columns that scroll together.

    | Component class | What it is for |
    | :- | :- |
    | `versions--heading` | What a column is. |
    | `versions--changed`, `versions--word` | A line that differs from the base, and what differs in it. |
    | `versions--gone` | Where a line of the base is missing. |
    | `versions--collides` | The mark where both sides differ. |
    | `versions--rule` | The line between two columns. |
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "versions--heading",
        "versions--changed",
        "versions--word",
        "versions--gone",
        "versions--collides",
        "versions--rule",
    }
    DEFAULT_CSS = """
    Versions {
        width: 1fr; height: 1fr; scrollbar-size: 1 1; background: $surface; color: $foreground;
        & > .versions--heading { background: $panel; color: $foreground; text-style: bold; }
        & > .versions--changed { background: $success 14%; color: $foreground; }
        & > .versions--word { background: $success 32%; color: $text; text-style: bold; }
        & > .versions--gone { background: $error 14%; color: $foreground; }
        & > .versions--collides { color: $text-warning; text-style: bold; }
        & > .versions--rule { color: $border-blurred; }
        &:ansi {
            & > .versions--heading { text-style: bold reverse; }
            & > .versions--changed { background: ansi_default; color: $success; }
            & > .versions--word { background: ansi_default; color: $success; text-style: bold underline; }
            & > .versions--gone { background: ansi_default; color: $error; }
        }
        &:nocolor > .versions--word { text-style: bold underline; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "side(1)", "Next version", id="conflict.side"),
        Binding("shift+tab", "side(-1)", "Previous version", id="conflict.side_back", show=False),
    ]

    one_only: reactive[bool] = reactive(False)  # noqa: FBT003  a reactive's default
    """Whether there is room for one version only."""
    side: reactive[int] = reactive(0)
    """Which one is shown then."""
    wrap: reactive[bool] = reactive(False)  # noqa: FBT003  as above
    """Whether long lines are wrapped, or cut."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  as Textual calls it
        super().__init__(id=id, classes=classes)
        self._shown = Shown()
        self._place = 0
        self._folds = Folds(0)
        self._drawn: dict[tuple[int, int], Sequence[Strip]] = {}

    def show(self, shown: Shown, *, stay: bool = False) -> None:
        """Another file, from its first difference on; or the same one anew, which stays where it is."""
        self._shown = shown
        self._measure()
        if not stay:
            self.scroll_to(0, 0, animate=False)
            self._to(shown.ways.differing[0] if shown.ways.differing else 0)
        self.refresh()

    def watch_one_only(self) -> None:
        """There is more room, or less."""
        self._measure()

    def watch_side(self) -> None:
        """Its lines are folded elsewhere."""
        self._measure()

    def watch_wrap(self) -> None:
        """Lines are of another height; the place stays."""
        self.scroll_to(x=0, animate=False)
        self._measure()

    def on_resize(self) -> None:
        """The columns have another width."""
        self._measure()

    def _measure(self) -> None:
        """Fold the lines; or else one scrolls to the side as far as the longest one is cut."""
        rows, columns = len(self._shown.ways.rows), self._columns
        if self.wrap and self._shown.width > columns:
            self._folds = Folds(rows, self._long(columns), columns)
            self.virtual_size = Size(0, self._folds.count + 1)
        else:
            self._folds = Folds(rows)
            hidden = max(0, self._shown.width - columns)
            self.virtual_size = Size(self._room + hidden if hidden and not self.wrap else 0, rows + 1)
        self.scroll_to(y=self._top, animate=False)
        self.refresh()

    def _long(self, columns: int) -> Iterable[tuple[int, int]]:
        """The rows of which a version in view takes more than one line, and how many."""
        ways = self._shown.ways
        for row in range(len(ways.rows)):
            texts = ways.texts(row)
            lines = max(height(texts[side] or "", columns) for side in self._sides)
            if lines > 1:
                yield row, lines

    @property
    def _sides(self) -> Sequence[int]:
        """What is in view."""
        return (self.side,) if self.one_only else range(len(SIDES))

    @property
    def _columns(self) -> int:
        """What a line has in each of them."""
        return max(1, _split(self._room, len(self._sides))[-1] - 2)

    @property
    def _room(self) -> int:
        """Columns between the edges and the scroll bar."""
        return self.scrollable_content_region.width

    # --- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Tab goes on to the next widget where all versions are in view."""
        return self.one_only if action == "side" else super().check_action(action, parameters)

    def action_side(self, step: int) -> None:
        self.side = (self.side + step) % len(SIDES)

    def go_to_difference(self, step: int) -> None:
        """The next place where something differs, or the one before."""
        found = self._shown.ways.next_difference(self._place, step)
        if found is not None:
            self._to(found)

    def _to(self, row: int) -> None:
        self._place = row
        self.scroll_to(y=self._top, animate=False)

    @property
    def _top(self) -> int:
        """A difference is shown with two lines of what is above it."""
        return max(0, min(self._folds.line_of(self._place) - 2, self.max_scroll_y))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls goes on from what is at the top."""
        super().watch_scroll_y(old_value, new_value)
        if self.scroll_offset.y != self._top:
            self._place = self._folds.at(self.scroll_offset.y)[0]

    def action_top(self) -> None:
        self._to(0)

    # --- drawing ------------------------------------------------------------------------------------------------------

    def render_lines(self, crop: Region) -> list[Strip]:
        """A line that is wrapped is painted once for all its pieces."""
        self._drawn.clear()
        if self._folds.columns and self._folds.columns != self._columns:  # a scroll bar came, or went
            self.call_later(self._measure)
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The headings stay at the top."""
        widths = _split(self._room, len(self._sides))
        row, part = self._folds.at(self.scroll_offset.y + y - 1) if y else (0, 0)
        strips: list[Strip] = []
        for side, width in zip(self._sides, widths, strict=True):
            if strips:
                strips.append(Strip([Segment("│", self.get_component_rich_style("versions--rule"))]))
            strips.append(self._cell(row, side, width, part) if y else self._heading(side, width))
        return Strip.join(strips)

    def _heading(self, side: int, width: int) -> Strip:
        style = self.get_component_rich_style("versions--heading")
        heading = self._shown.headings[side]
        others = f"  ({side + 1} of 3, tab)" if self.one_only else ""
        text = f" {patches.shown(heading.name)}{others}  "
        room = max(0, width - wording.columns(text))
        about = Segment(wording.cut(patches.shown(heading.about), room), style + Style(bold=False))
        return Strip([Segment(text, style), about]).crop_extend(0, width, style)

    def _cell(self, row: int, side: int, width: int, part: int) -> Strip:
        ways = self._shown.ways
        if row >= len(ways.rows):
            return Strip.blank(width, self.rich_style)
        text, base = ways.texts(row)[side], ways.texts(row)[BASE]
        if side == BASE:
            sign = "!" if row in ways.colliding else " "
            style, mark = self.rich_style, self.get_component_rich_style("versions--collides")
        else:
            sign = self._sign(row, side)
            style = mark = self.get_component_rich_style(_CLASSES[sign]) if sign in _CLASSES else self.rich_style
        body = self._body(text, base if sign == "~" else None, style)
        if columns := self._folds.columns:
            if (row, side) not in self._drawn:
                self._drawn[row, side] = folded(body, patches.shown(text or ""), columns)
            parts = self._drawn[row, side]
            line = parts[part] if part < len(parts) else Strip([])
            line = line.adjust_cell_length(max(0, width - 2), style)
        else:
            start = self.scroll_offset.x
            line = Strip(body).crop_extend(start, start + max(0, width - 2), style)
        return Strip.join([Strip([Segment(("  " if part else f"{sign} ")[: max(0, width)], mark)]), line])

    def _sign(self, row: int, side: int) -> str:
        """How a line of one side differs from the base."""
        ways = self._shown.ways
        text, base = ways.texts(row)[side], ways.texts(row)[BASE]
        if text == base or not ways.there[side // 2]:
            return " "
        return "−" if text is None else "+" if base is None else "~"  # noqa: RUF001  as wide as the plus

    def _body(self, text: str | None, base: str | None, style: Style) -> list[Segment]:
        drawn = patches.shown(text or "")
        spans = words.differing(patches.shown(base), drawn)[1] if base is not None else ()
        return words.painted(drawn, spans, style, self.get_component_rich_style("versions--word"))


_CLASSES = {"+": "versions--changed", "~": "versions--changed", "−": "versions--gone"}  # noqa: RUF001  as above


def _split(width: int, columns: int) -> list[int]:
    """Columns of the same width with a line between each two; what is left over goes to the first ones."""
    each, rest = divmod(max(0, width - (columns - 1)), columns)
    return [each + (index < rest) for index in range(columns)]
