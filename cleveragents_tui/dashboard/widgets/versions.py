"""The versions of a file in conflict, side by side: parent, base and child; where there is no room, one of them."""

from dataclasses import dataclass, field
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches, words
from cleveragents_tui.dashboard.widgets.three_ways import ThreeWays

SIDES = ("parent", "base", "child")
BASE = 1
SIDEWAYS = 8
"""Columns of a step to the left or the right."""


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


class Versions(ScrollView):
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
        Binding("j,down", "lines(1)", "Down", show=False),
        Binding("k,up", "lines(-1)", "Up", show=False),
        Binding("h,left", "columns(-1)", "Left", show=False),
        Binding("l,right", "columns(1)", "Right", show=False),
        Binding("space,pagedown,ctrl+f", "pages(1.0)", "Page down", show=False),
        Binding("pageup,ctrl+b", "pages(-1.0)", "Page up", show=False),
        Binding("ctrl+d", "pages(0.5)", "Half a page down", show=False),
        Binding("ctrl+u", "pages(-0.5)", "Half a page up", show=False),
        Binding("g,home", "top", "To the top", show=False),
        Binding("G,end", "bottom", "To the end", show=False),
    ]

    one_only: reactive[bool] = reactive(False)  # noqa: FBT003  a reactive's default
    """Whether there is room for one version only."""
    side: reactive[int] = reactive(0)
    """Which one is shown then."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  as Textual calls it
        super().__init__(id=id, classes=classes)
        self._shown = Shown()
        self._place = 0

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

    def on_resize(self) -> None:
        """The columns have another width."""
        self._measure()

    def _measure(self) -> None:
        """One scrolls to the side as far as the longest line is cut."""
        width = self._room
        hidden = max(0, self._shown.width + 2 - _split(width, 1 if self.one_only else len(SIDES))[-1])
        self.virtual_size = Size(width + hidden if hidden else 0, len(self._shown.ways.rows) + 1)

    @property
    def _room(self) -> int:
        """Columns between the edges and the scroll bar."""
        return self.scrollable_content_region.width

    # --- keys ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's signature
        """Tab goes on to the next widget where all versions are in view."""
        return action != "side" or self.one_only

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
        return max(0, min(self._place - 2, self.max_scroll_y))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Who scrolls goes on from what is at the top."""
        super().watch_scroll_y(old_value, new_value)
        if self.scroll_offset.y != self._top:
            self._place = self.scroll_offset.y

    def action_lines(self, count: int) -> None:
        self.scroll_relative(y=count, animate=False)

    def action_pages(self, count: float) -> None:
        """A page less the line with the headings."""
        self.scroll_relative(y=round(count * max(1, self.scrollable_content_region.height - 1)), animate=False)

    def action_columns(self, count: int) -> None:
        self.scroll_relative(x=count * SIDEWAYS, animate=False)

    def action_top(self) -> None:
        self._to(0)

    def action_bottom(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False)

    # --- drawing ------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """The headings stay at the top."""
        sides = (self.side,) if self.one_only else range(len(SIDES))
        widths = _split(self._room, len(sides))
        row = self.scroll_offset.y + y - 1
        strips: list[Strip] = []
        for side, width in zip(sides, widths, strict=True):
            if strips:
                strips.append(Strip([Segment("│", self.get_component_rich_style("versions--rule"))]))
            strips.append(self._heading(side, width) if y == 0 else self._cell(row, side, width))
        return Strip.join(strips)

    def _heading(self, side: int, width: int) -> Strip:
        style = self.get_component_rich_style("versions--heading")
        heading = self._shown.headings[side]
        others = f"  ({side + 1} of 3, tab)" if self.one_only else ""
        text = f" {patches.shown(heading.name)}{others}  "
        about = Segment(patches.shown(heading.about), style + Style(bold=False))
        return Strip([Segment(text, style), about]).crop_extend(0, width, style)

    def _cell(self, row: int, side: int, width: int) -> Strip:
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
        body = Strip(self._body(text, base if sign == "~" else None, style))
        start = self.scroll_offset.x
        line = body.crop_extend(start, start + max(0, width - 2), style)
        return Strip.join([Strip([Segment(f"{sign} "[: max(0, width)], mark)]), line])

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
