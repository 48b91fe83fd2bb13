"""The last line but one: the `ca` command that the last key stood for."""

from textual.content import Content
from textual.widgets import Static

from cleveragents_tui.dashboard.here import dashboard_of


class EchoLine(Static):
    """The same on every screen."""

    DEFAULT_CSS = """
    EchoLine {
        height: 1;
        padding: 0 2;
        color: $tone-waiting;
        background: $background;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def on_mount(self) -> None:
        """Show what was done last, wherever that was."""
        self.watch(dashboard_of(self), "echoed", self._show)

    def _show(self, command: str) -> None:
        self.update(Content(f"$ {command}" if command else ""), layout=False)
