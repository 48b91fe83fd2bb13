"""From anything on the screen to the dashboard that it is part of."""

from typing import TYPE_CHECKING, cast

from textual.binding import Binding
from textual.dom import DOMNode
from textual.markup import escape
from textual.widget import Widget

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

_MOVING = Binding.Group("Moving about")


def moving(keys: str, action: str, name: str, does: str, *, id: str | None = None) -> Binding:  # noqa: A002  as Binding has it
    """Keys that only change what is in view; help has them below those that do something."""
    return Binding(keys, action, name, show=False, tooltip=does, group=_MOVING, id=id)


def entitle(widget: Widget, title: str, subtitle: str = "") -> None:
    """The titles in a widget's border; Textual draws all of it anew for one that is given again."""
    title, subtitle = escape(title), escape(subtitle)
    if widget.border_title != title:
        widget.border_title = title
    if widget.border_subtitle != subtitle:
        widget.border_subtitle = subtitle


def dashboard_of(node: DOMNode) -> "Dashboard":
    """The application, as what it is."""
    return cast("Dashboard", node.app)
