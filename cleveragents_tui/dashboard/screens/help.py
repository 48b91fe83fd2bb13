"""Help for the screen in view: what it shows, and every key that works in it."""

from collections.abc import Sequence
from typing import Any

from textual.binding import ActiveBinding
from textual.content import Content
from textual.screen import Screen

from cleveragents_tui.dashboard.dialogs import Text
from cleveragents_tui.dashboard.here import dashboard_of


class Help(Text):
    """A screen's own words, and the keys that are alive in it now."""

    @classmethod
    def of(cls, screen: Screen[Any]) -> "Help":
        """The help for a screen."""
        alive = [active for active in screen.active_bindings.values() if active.enabled and active.binding.description]
        alive.sort(key=_rank)  # what is about the thing under the cursor first, then the dashboard, then moving about
        said: dict[str, list[ActiveBinding]] = {}
        for active in alive:
            said.setdefault(active.binding.action, []).append(active)
        lines: list[str | Content] = [*(screen.HELP or "").strip().splitlines(), ""]
        lines += [_line(same, screen) for same in said.values()]
        return cls(f"Help: {screen.title or type(screen).__name__}", lines)


def _rank(active: ActiveBinding) -> int:
    action = active.binding.action
    if not action.startswith("app.verb("):
        return 2
    return 1 if action.startswith("app.verb('app.") else 0


def _line(same: Sequence[ActiveBinding], screen: Screen[Any]) -> Content:
    """All keys of one thing, and what it does."""
    dashboard, binding = dashboard_of(screen), same[0].binding
    keys = " ".join(dict.fromkeys(dashboard.get_key_display(active.binding) for active in same))
    return Content.assemble((f"{keys:>9}", "bold $primary"), f"  {binding.description:<15} ", (same[0].tooltip, "dim"))
