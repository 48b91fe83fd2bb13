"""A text to move about in, with the keys for that; who inherits draws its lines."""

from typing import ClassVar

from textual.binding import BindingType
from textual.scroll_view import ScrollView

from cleveragents_tui.dashboard.here import moving

SIDEWAYS = 8
"""Columns of a step to the left or the right."""


class Reading(ScrollView, can_focus=True):
    """Lines below one that always stays, at the top: the headings of what is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        moving("up,k", "lines(-1)", "Up", "The line above."),
        moving("down,j", "lines(1)", "Down", "The line below."),
        moving("pageup,ctrl+b", "pages(-1.0)", "Page up", "As many lines up as are in view."),
        moving("pagedown,ctrl+f,space", "pages(1.0)", "Page down", "As many lines down as are in view."),
        moving("ctrl+u", "pages(-0.5)", "Half a page up", "Half as many lines as are in view."),
        moving("ctrl+d", "pages(0.5)", "Half a page down", "Half as many lines as are in view."),
        moving("left,h", "columns(-1)", "Left", "Towards the beginning of long lines."),
        moving("right,l", "columns(1)", "Right", "Towards the end of long lines."),
        moving("home,g", "top", "To the top", "The first line."),
        moving("end,G", "bottom", "To the end", "The last line."),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is all in view does not move sideways, and its keys are somebody else's."""
        return super().check_action(action, parameters) if action != "columns" else self.max_scroll_x > 0

    def action_lines(self, count: int) -> None:
        """Up or down."""
        self.scroll_relative(y=count, animate=False)

    def action_pages(self, count: float) -> None:
        """A page less the line that stays."""
        self.scroll_relative(y=round(count * max(1, self.scrollable_content_region.height - 1)), animate=False)

    def action_columns(self, count: int) -> None:
        """To the left or the right."""
        self.scroll_relative(x=count * SIDEWAYS, animate=False)

    def action_top(self) -> None:
        """To the first line."""
        self.scroll_to(y=0, animate=False)

    def action_bottom(self) -> None:
        """To the last line."""
        self.scroll_to(y=self.max_scroll_y, animate=False)
