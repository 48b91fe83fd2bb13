"""The banner: what is on the screen is not what is, and why."""

from textual.content import Content
from textual.widgets import Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.pulse import Pulse


class Banner(Static):
    """Seen only while the daemon is gone."""

    DEFAULT_CSS = """
    Banner {
        display: none;
        height: auto;
        max-height: 3;
        padding: 0 1;
        background: $error-muted;
        color: $text-error;
        text-style: bold;
    }
    Banner.-seen { display: block; }
    """

    def on_mount(self) -> None:
        """Look at every pulse."""
        self.watch(dashboard_of(self), "pulse", self._show)

    def _show(self, pulse: Pulse) -> None:
        gone = pulse.link.status is Status.GONE
        self.set_class(gone, "-seen")
        self.screen.set_class(gone, "-stale")
        if gone:
            since = f"; what you see is from {wording.clock_time(pulse.as_of)}" if pulse.as_of else ""
            text = wording.one_line(pulse.link.reason)
            self.update(Content(f"✘ {text}{since} · ctrl+s starts it, and it is looked for meanwhile"))
