"""From anything on the screen to the dashboard that it is part of."""

from typing import TYPE_CHECKING, cast

from textual.dom import DOMNode

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


def dashboard_of(node: DOMNode) -> "Dashboard":
    """The application, as what it is."""
    return cast("Dashboard", node.app)
