"""The banner: what is on the screen is not what is, and why."""

from textual.content import Content
from textual.widgets import Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.pulse import Pulse


class Banner(Static):
    """Seen only while the daemon is gone, or does not answer."""

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
        status = pulse.link.status
        stale = status in {Status.GONE, Status.SILENT}
        self.set_class(stale, "-seen")
        self.screen.set_class(stale, "-stale")
        if stale:
            since = f"; this is from {wording.clock_time(pulse.as_of)}" if pulse.as_of else ""
            text = wording.one_line(pulse.link.reason)
            way_on = "ctrl+r starts it" if status is Status.GONE else "ca daemon restart"
            self.update(Content(f"✘ {text}{since} · {way_on}"))
