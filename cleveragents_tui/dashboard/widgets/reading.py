"""A text to move about in, with the keys for that; who inherits draws its lines."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.scroll_view import ScrollView

SIDEWAYS = 8
"""Columns of a step to the left or the right."""


class Reading(ScrollView, can_focus=True):
    """Lines below one that always stays, at the top: the headings of what is shown."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "lines(-1)", "Up", show=False),
        Binding("down,j", "lines(1)", "Down", show=False),
        Binding("pageup,ctrl+b", "pages(-1.0)", "Page up", show=False),
        Binding("pagedown,ctrl+f,space", "pages(1.0)", "Page down", show=False),
        Binding("ctrl+u", "pages(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "pages(0.5)", "Half a page down", show=False),
        Binding("left,h", "columns(-1)", "Left", show=False),
        Binding("right,l", "columns(1)", "Right", show=False),
        Binding("home,g", "top", "To the top", show=False),
        Binding("end,G", "bottom", "To the end", show=False),
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
