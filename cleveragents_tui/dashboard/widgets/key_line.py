"""The last line: the keys that work now. One line of text, so that it costs nothing to draw it anew for another plan."""

from typing import NamedTuple, cast

from rich.segment import Segment
from textual import events
from textual.binding import ActiveBinding
from textual.keys import REPLACED_KEYS, key_to_character
from textual.screen import Screen
from textual.signal import Signal
from textual.strip import Strip
from textual.widget import Widget

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import dashboard_of

GAP = 2


class Key(NamedTuple):
    """What to press, what it does in a word, and the action."""

    label: str
    title: str
    action: str

    @property
    def width(self) -> int:
        """Columns that it takes."""
        return wording.columns(self.label) + 1 + wording.columns(self.title)


def _rank(active: ActiveBinding, focused: Widget | None, *, first: bool) -> int:
    """The way in and out, what the plan needs first, what the view with the keyboard can do, then everything else."""
    binding = active.binding
    if binding.key in {"enter", "escape"}:
        return 0
    is_verb = binding.action.startswith("app.verb(") and not binding.action.startswith("app.verb('make.")
    if is_verb and first:
        return 1
    if active.node is focused:
        return 2
    return 3 if is_verb else 4


def _is_typed(focused: Widget | None, key: str) -> bool:
    """Whether what has the keyboard takes a key as text; Textual knows that of most, and not of those that it renames."""
    character = key_to_character(REPLACED_KEYS.get(key, key))
    return focused is not None and focused.check_consume_key(key, character)


class KeyLine(Widget):
    """Keys of what is under the cursor from the left, those of the dashboard itself at the right, where they always are.

    | class | what it paints |
    | :- | :- |
    | `key-line--key` | a key |
    | `key-line--title` | what it does |
    """

    COMPONENT_CLASSES = {"key-line--key", "key-line--title"}  # noqa: RUF012  as Widget declares it
    DEFAULT_CSS = """
    KeyLine {
        height: 1;
        background: $footer-background;
        padding: 0 1;
        .key-line--key { color: $footer-key-foreground; text-style: bold; }
        .key-line--title { color: $footer-description-foreground; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[Key] = []
        self._spans: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        """Look again whenever the keys may have changed."""
        updated = cast("Signal[Screen[object]]", self.screen.bindings_updated_signal)  # pyright: ignore[reportUnknownMemberType]  Textual leaves the type of its screen open
        updated.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        shown: dict[str, Key] = {}
        ranks: dict[str, int] = {}
        for active in screen.active_bindings.values():
            if active.binding.show and active.enabled and not _is_typed(screen.focused, active.binding.key):
                label = dashboard_of(self).get_key_display(active.binding)
                shown.setdefault(active.binding.action, Key(label, active.binding.description, active.binding.action))
                ranks.setdefault(active.binding.action, _rank(active, screen.focused, first=1 not in ranks.values()))
        keys = sorted(shown.values(), key=lambda key: ranks[key.action])
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """As many keys from the left as there is room for before those at the right."""
        width = self.size.width
        if y:
            return Strip.blank(width, self.rich_style)
        mine = [key for key in self._keys if not key.action.startswith("app.verb('app.")]
        always = [key for key in self._keys if key not in mine]
        room = width - sum(key.width + GAP for key in always)
        shown: list[Key] = []
        for key in mine:
            if key.width + GAP > room:
                break
            shown.append(key)
            room -= key.width + GAP
        return self._strip([*shown, Key("", " " * max(0, room - GAP), ""), *always], width)

    def _strip(self, keys: list[Key], width: int) -> Strip:
        key_style = self.get_component_rich_style("key-line--key", partial=True)
        title_style = self.get_component_rich_style("key-line--title", partial=True)
        segments: list[Segment] = []
        self._spans, at = [], 0
        for key in keys:
            segments += [Segment(key.label, key_style), Segment(f" {key.title}", title_style), Segment(" " * GAP)]
            self._spans.append((at, at + key.width, key.action))
            at += key.width + GAP
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    async def on_click(self, event: events.Click) -> None:
        """A key can be clicked."""
        x = event.x - self.gutter.left
        action = next((action for start, end, action in self._spans if start <= x < end), "")
        if action:
            node = next(one.node for one in self.screen.active_bindings.values() if one.binding.action == action)
            await dashboard_of(self).run_action(action, node)
