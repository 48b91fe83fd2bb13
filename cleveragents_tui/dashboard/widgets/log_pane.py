"""How one moves through the lines of a log: keys, wheel and scroll bar, following its end, jumping to what was found."""

from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import BindingType
from textual.message import Message

from cleveragents_tui.dashboard.here import moving
from cleveragents_tui.dashboard.widgets.log_paper import LogPaper

WHEEL = 3
"""Rows that one step of the wheel moves."""

SIDEWAYS = 8
"""Columns that one key press moves."""


class LogPane(LogPaper, can_focus=True):
    """Lines of a log to move through."""

    BINDINGS: ClassVar[list[BindingType]] = [
        moving("up,k", "move(-1)", "Up", "The line above.", id="log.up"),
        moving("down,j", "move(1)", "Down", "The line below.", id="log.down"),
        moving("pageup,ctrl+b", "leap(-1)", "Page up", "As many lines up as are in view.", id="log.page_up"),
        moving(
            "pagedown,ctrl+f,space", "leap(1)", "Page down", "As many lines down as are in view.", id="log.page_down"
        ),
        moving("ctrl+u", "leap(-0.5)", "Half a page up", "Half as many lines as are in view.", id="log.half_up"),
        moving("ctrl+d", "leap(0.5)", "Half a page down", "Half as many lines as are in view.", id="log.half_down"),
        moving("left,h", "sideways(-1)", "Left", "Towards the beginning of long lines.", id="log.left"),
        moving("right,l", "sideways(1)", "Right", "Towards the end of long lines.", id="log.right"),
        moving("home,g", "start", "Start", "The first line.", id="log.start"),
        moving("end,G", "end", "End", "The last line, and whatever follows.", id="log.end"),
    ]

    class Followed(Message):
        """It follows the end now, or no longer does."""

    def __init__(self) -> None:
        super().__init__()
        self._beside = False

    # --- moving ------------------------------------------------------------------------------------------------------------

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Somebody pulled at the scroll bar, or we moved ourselves."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) == round(new_value):
            return
        self._row = 0
        if not self._steering:
            self._moved()

    def _moved(self) -> None:
        """Who leaves the end follows no longer; who comes back to it does again, while there is something to follow."""
        at_end = self._place >= self._last_place
        self.following = at_end and (self.live or self.following)

    def jump(self, line: int) -> None:
        """Show a line that was found, and mark it; where it is, when it is seen already."""
        if self.pages.has_tail:  # by now all numbers up to that of the line are known
            self.pages.drop_tail()
            self.count = self.known
        self.mark(self.strips.search, line)
        self.following = False
        self.settle()
        if line not in {number for number, _ in self._layout[:-1]}:
            self._go(self._walk((line, 0), -(self._height // 3)))
        self._beside = not self._show_beside()

    def settle(self) -> None:
        """The same; a line that was jumped to may have come to hand by now."""
        super().settle()
        if self._beside:
            self._beside = not self._show_beside()

    def _show_beside(self) -> bool:
        """Move sideways to what was found; False while the line is not at hand."""
        strip = self._strip(self.strips.current)
        search = self.strips.search
        if strip is None or search is None:
            return False
        match = search.pattern.search(strip.text)
        if match is not None and not self.wrap:
            left, right = (cell_len(strip.text[:at]) for at in match.span())
            begin, end = self.scroll_offset.x, self.scroll_offset.x + self._width
            if left < begin + (begin > 0) or right > end - (strip.cell_length > end):  # a sign may stand at either end
                self._go_to_column(0 if right < self._width else left - self._width // 2)
        return True

    def action_move(self, rows: int) -> None:
        """Some rows on."""
        self._go(self._walk(self._place, rows))
        self._moved()

    def action_leap(self, pages: float) -> None:
        """A page, or half of one."""
        self.action_move(int(pages * max(1, self._height - 1)))

    def action_sideways(self, way: int) -> None:
        """To what does not fit beside the rest."""
        self._go_to_column(self.scroll_offset.x + way * SIDEWAYS)

    def action_start(self) -> None:
        """The first line."""
        self._go((0, 0))
        self._moved()

    def action_end(self) -> None:
        """The last line, and whatever follows."""
        self.following = True

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves by rows."""
        self._on_wheel(event, WHEEL)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The same, the other way."""
        self._on_wheel(event, -WHEEL)

    def _on_wheel(self, event: events.MouseEvent, rows: int) -> None:
        if not (event.ctrl or event.shift):
            event.stop()
            event.prevent_default()
            self.action_move(rows)

    # --- what happens to it ------------------------------------------------------------------------------------------------

    def watch_following(self, following: bool) -> None:  # noqa: FBT001  how a watcher is called
        """To the end."""
        if following:
            self.settle()
        self.post_message(self.Followed())

    def watch_wrap(self) -> None:
        """Lines are of another height; the one at the top stays there."""
        self._row = 0
        self.scroll_to(x=0, animate=False, force=True)
        self.settle()

    def on_resize(self) -> None:
        """Another size of the window."""
        self.settle()
