"""A list that may be long: it draws the lines that are seen, from whatever its owner has of them.

Nothing is kept per row, so a million rows cost what forty do.
"""

from collections.abc import Sequence
from typing import ClassVar, cast

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import Reactive, reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar
from textual.strip import Strip
from textual.widget import Widget

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import moving
from cleveragents_tui.wording import Tone

Cells = Sequence[tuple[str, Style]]
"""The parts of a line, from left to right."""


class Rows(ScrollView, can_focus=True):
    """Lines with a cursor. Who inherits says how many there are and what each one shows.

    | class | what it paints |
    | :- | :- |
    | `rows--cursor` | the line under the cursor |
    | `rows--blurred` | the same while something else has the focus |
    | `rows--hover` | the line under the mouse |
    | `tone--amber` … | text in a tone; the words say the same |
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--cursor",
        "rows--blurred",
        "rows--hover",
        *(f"tone--{tone}" for tone in Tone),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        moving("up,k", "step(-1)", "Up", "The line above."),
        moving("down,j", "step(1)", "Down", "The line below."),
        moving("pageup,ctrl+b", "leap(-1)", "Page up", "As many lines up as are in view."),
        moving("pagedown,ctrl+f", "leap(1)", "Page down", "As many lines down as are in view."),
        moving("ctrl+u", "leap(-0.5)", "Half a page up", "Half as many lines as are in view."),
        moving("ctrl+d", "leap(0.5)", "Half a page down", "Half as many lines as are in view."),
        moving("home,g", "first", "First", "The first line."),
        moving("end,G", "last", "Last", "The last line."),
        Binding("enter", "open", "Open", show=False, tooltip="What is under the cursor."),
    ]
    DEFAULT_CSS = """
    Rows {
        height: 1fr;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        .rows--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
            text-style: $block-cursor-text-style;
        }
        .rows--blurred { background: $block-cursor-blurred-background; text-style: bold; }
        .rows--hover { background: $block-hover-background; }
    }
    """

    count: reactive[int] = reactive(0)
    cursor: reactive[int] = reactive(0)
    hovered: reactive[int] = reactive(-1)

    _base = Style.null()
    _width = 0

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  as every widget has them
        super().__init__(id=id, classes=classes)
        self._tones: dict[tuple[Tone, bool], Style] = {}
        self._painted: dict[int, tuple[Style, Style]] = {}

    class Moved(Message):
        """The cursor is on another line, or another thing is on its line."""

        def __init__(self, rows: "Rows", cursor: int) -> None:
            super().__init__()
            self.rows = rows
            self.cursor = cursor

        @property
        def control(self) -> "Rows":
            return self.rows

        def can_replace(self, message: Message) -> bool:
            """Only where the cursor comes to rest matters."""
            return isinstance(message, Rows.Moved) and message.rows is self.rows

    class Opened(Message):
        """The line under the cursor was chosen, by enter or by a second click."""

        def __init__(self, rows: "Rows", cursor: int) -> None:
            super().__init__()
            self.rows = rows
            self.cursor = cursor

        @property
        def control(self) -> "Rows":
            return self.rows

    # --- what who inherits says ----------------------------------------------------------------------------------------

    def cells(self, row: int, width: int) -> Cells:
        """What a line shows; it is cut and filled to `width`, and painted over when the cursor is on it."""
        raise NotImplementedError

    def selectable(self, row: int) -> bool:  # noqa: ARG002  most lists have nothing but things in them
        """Whether the cursor may rest on a line; headings are jumped over."""
        return True

    # --- drawing -------------------------------------------------------------------------------------------------------

    def tone(self, tone: Tone, *, bold: bool = False) -> Style:
        """How text in a tone is drawn under the theme of the moment."""
        known = self._tones.get((tone, bold))
        if known is None:
            known = self.get_component_rich_style(f"tone--{tone}", partial=True) + Style(bold=bold or None)
            self._tones[tone, bold] = known
        return known

    def render_lines(self, crop: Region) -> list[Strip]:
        """What all lines have in common is looked up once for them: it costs more than a line."""
        self._base, self._width = self.rich_style, self.scrollable_content_region.width
        self._tones.clear()
        self._painted.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        row = self.scroll_offset.y + y
        width, base = self._width, self._base
        if row >= self.count:
            return Strip.blank(width, base)
        cells = self.cells(row, width)
        if row not in {self.cursor, self.hovered}:
            painted = [Segment(text, self._on_ground(style)) for text, style in cells if text]
            return Strip(painted).adjust_cell_length(width, base)
        strip = Strip([Segment(text, style) for text, style in cells if text]).adjust_cell_length(width)
        if row == self.cursor:
            return self._under_cursor(strip, base)
        return strip.apply_style(base + self.get_component_rich_style("rows--hover", partial=True))

    def _on_ground(self, style: Style) -> Style:
        """A style on the ground of the list. The few that there are are added once for all lines: Rich takes long for it."""
        known = self._painted.get(id(style))
        if known is None:
            known = self._painted[id(style)] = (
                style,
                self._base + style,
            )  # the first is kept, so that its id is its own
        return known[1]

    def _under_cursor(self, strip: Strip, base: Style) -> Strip:
        """With the focus the whole line is of one colour, so that it can be read on whatever the theme paints it."""
        if self.has_focus:
            style = self.get_component_rich_style("rows--cursor", partial=True)
            text = "".join(part.text for part in strip)
            return Strip([Segment(f"▌{text[1:]}" if text[:1] == " " else text, base + style)], strip.cell_length)
        return strip.apply_style(base + self.get_component_rich_style("rows--blurred", partial=True))

    def redraw(self, row: int) -> None:
        """Something about one line changed."""
        self.refresh(Region(0, row - self.scroll_offset.y, self.size.width, 1))

    @property
    def seen(self) -> range:
        """The rows on the screen."""
        top = self.scroll_offset.y
        return range(top, min(self.count, top + self.scrollable_content_region.height))

    # --- state ---------------------------------------------------------------------------------------------------------

    def watch_count(self) -> None:
        """The scroll bar follows, and the cursor stays on a line that exists."""
        size = Size(0, self.count)
        if self.styles.is_auto_height or self.show_vertical_scrollbar != (self.count > self.container_size.height):
            self.virtual_size = size  # the whole screen is laid out anew
        else:
            self.set_reactive(cast("Reactive[Size]", Widget.virtual_size), size)
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.window_virtual_size = self.count
            self.scroll_y = self.validate_scroll_y(self.scroll_y)  # on lines that exist
        self.cursor = self.cursor  # validated anew
        self.refresh()

    def validate_cursor(self, cursor: int) -> int:
        """On a line that exists, and that can be chosen."""
        cursor = max(0, min(cursor, self.count - 1))
        return self._resting_place(cursor, 1) if self.count else 0

    def _resting_place(self, row: int, way: int) -> int:
        """The nearest line that can be chosen, first the one way, then the other."""
        for direction in (way, -way):
            found = row
            while 0 <= found < self.count:
                if self.selectable(found):
                    return found
                found += direction
        return row

    def watch_cursor(self, old: int, new: int) -> None:
        """It is drawn at its new place, and brought into view."""
        self.redraw(old)
        self.redraw(new)
        self._reveal(new)
        if old != new:
            self.post_message(self.Moved(self, new))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Of many lines a page moves the scroll bar by less than can be seen; it is not drawn anew for that."""
        if self._thumb(old_value) == self._thumb(new_value):
            self.vertical_scrollbar.set_reactive(ScrollBar.position, new_value)
        super().watch_scroll_y(old_value, new_value)

    def _thumb(self, position: float) -> int:
        """Where the scroll bar's thumb begins, in the eighths of a line in which it is drawn."""
        return int(position * self.size.height * 8 / max(1, self.count))

    def _reveal(self, row: int) -> None:
        """Show a row; with the first one that can be chosen, the headings above it too."""
        if not self.is_mounted or not self.size.height:
            return
        top = row
        while top > 0 and not self.selectable(top - 1):
            top -= 1
        region = Region(0, top, 1, row - top + 1)
        self.scroll_to_region(region, animate=False, force=True)

    def watch_hovered(self, old: int, new: int) -> None:
        """The mouse is somewhere else."""
        self.redraw(old)
        self.redraw(new)

    def on_focus(self) -> None:
        """The cursor is drawn stronger."""
        self.redraw(self.cursor)

    def on_blur(self) -> None:
        """The cursor is drawn weaker."""
        self.redraw(self.cursor)

    # --- keys and mouse ------------------------------------------------------------------------------------------------

    def action_step(self, by: int) -> None:
        """The next line that can be chosen."""
        target = self.cursor + by
        if 0 <= target < self.count:
            self.cursor = self._resting_place(target, by)
        elif by < 0:
            self._reveal(self.cursor)

    def action_leap(self, pages: float) -> None:
        """A page, or half of one."""
        target = self.cursor + int(pages * max(1, self.scrollable_content_region.height - 1))
        target = max(0, min(self.count - 1, target))
        self.cursor = self._resting_place(target, 1 if pages > 0 else -1)

    def action_first(self) -> None:
        """The first line."""
        self.cursor = 0
        self.scroll_home(animate=False)

    def action_last(self) -> None:
        """The last line."""
        self.cursor = self._resting_place(self.count - 1, -1)

    def action_open(self) -> None:
        """Choose the line under the cursor."""
        if self.count and self.selectable(self.cursor):
            self.post_message(self.Opened(self, self.cursor))

    def _row_at(self, event: events.MouseEvent) -> int:
        return self.scroll_offset.y + event.y

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The line under the mouse is marked, if it can be chosen."""
        row = self._row_at(event)
        self.hovered = row if row < self.count and self.selectable(row) else -1

    def on_leave(self) -> None:
        """The mouse is gone."""
        self.hovered = -1

    def on_click(self, event: events.Click) -> None:
        """Once moves the cursor, twice opens."""
        row = self._row_at(event)
        if row < self.count and self.selectable(row):
            self.cursor = row
            if event.chain > 1:
                self.action_open()


def fit(cells: Cells, width: int) -> list[tuple[str, Style]]:
    """Cells in exactly `width` columns: the last one that does not fit is cut."""
    found: list[tuple[str, Style]] = []
    left = width
    for text, style in cells:
        taken = wording.columns(text)
        if taken > left:
            text = wording.cut(text, left)  # noqa: PLW2901  what does not fit is cut
            taken = wording.columns(text)
        if text:
            found.append((text, style))
        left -= taken
        if left <= 0:
            break
    if left > 0:
        found.append((" " * left, Style.null()))
    return found
