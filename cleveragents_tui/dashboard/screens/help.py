"""Help for the screen in view: what it shows, and every key that works in it."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from textual.binding import ActiveBinding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui.dashboard.dialogs import Text
from cleveragents_tui.dashboard.here import dashboard_of

_KEYS, _NAME = 12, 18
"""Columns of the keys, and of what they are called."""

_HERE, _ALWAYS = "Here", "Everywhere"


class Help(Text):
    """A screen's own words, and the keys that are alive in it now."""

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__(f"Help: {screen.title or type(screen).__name__}", [])
        self._words = (screen.HELP or "").strip()
        self._keys = list(_keys(screen))

    def text(self) -> Iterable[Widget]:
        """It fits whatever width there is."""
        yield _Pages(self._words, self._keys)


class _Pages(Static):
    """The words, and the keys below headings."""

    def __init__(self, words: str, keys: Sequence[tuple[str, str, str, str]]) -> None:
        super().__init__()
        self._words = words
        self._keys = keys

    def on_resize(self) -> None:
        """What a key does is one column, however many lines it takes."""
        self.update(Content("\n").join(self._lines(self.size.width)))

    def _lines(self, width: int) -> Iterator[Content]:
        for line in self._words.splitlines():
            yield Content(line)
        last = ""
        for heading, keys, name, does in self._keys:
            if heading != last:
                yield Content("")
                yield Content.styled(heading, "bold $tone-waiting")
                last = heading
            first, *rest = textwrap.wrap(does, max(20, width - _KEYS - _NAME)) or [""]
            yield Content.assemble((f"{keys:<{_KEYS}}", "bold $primary"), f"{name:<{_NAME}}", (first, "dim"))
            for more in rest:
                yield Content.styled(" " * (_KEYS + _NAME) + more, "dim")


def _keys(screen: Screen[Any]) -> Iterator[tuple[str, str, str, str]]:
    """Heading, keys, name and sentence of each thing that can be done; Textual's own keys have no sentence."""
    dashboard = dashboard_of(screen)
    alive = [active for active in screen.active_bindings.values() if active.enabled and active.tooltip]
    said: dict[str, list[ActiveBinding]] = {}
    for active in alive:
        if active.node is not dashboard or active.binding.action.startswith("app.verb("):
            said.setdefault(active.binding.action, []).append(active)
    headings = dict.fromkeys((_HERE, *map(_heading, alive)))
    for heading in (*(one for one in headings if one != _ALWAYS), _ALWAYS):
        for same in said.values():
            if _heading(same[0]) == heading:
                keys = " ".join(dict.fromkeys(dashboard.get_key_display(active.binding) for active in same))
                yield heading, keys, same[0].binding.description, same[0].tooltip


def _heading(active: ActiveBinding) -> str:
    """What is about the thing under the cursor comes first, what is the same on all screens last."""
    if active.binding.action.startswith("app.verb('app."):
        return _ALWAYS
    return active.binding.group.description if active.binding.group is not None else _HERE
