"""The first line: is the daemon there, how busy is it, is the team in step, does anything need me."""

from textual import events
from textual.content import Content
from textual.widgets import Static

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.pulse import Pulse
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Mood, Tone

ROOMY = 118
"""Columns from which on all rooms are named."""
ROOM_GAP = 2
ROOMS = ("plans", "jobs", "locks", "server", "settings", "diagnostics")


class TopBar(Static):
    """Where one is, and how the daemon stands; drawn from the pulse."""

    DEFAULT_CSS = """
    TopBar { height: 1; background: $panel; padding: 0 1; }
    """

    def on_mount(self) -> None:
        """Draw now, with every pulse, and each second while a pull is waited for."""
        self._clock = self.set_interval(1.0, self.draw, pause=True)
        self.watch(dashboard_of(self), "pulse", self._show)

    def _show(self, pulse: Pulse) -> None:
        if pulse.up and pulse.next_pull is not None and self.screen.is_current:
            self._clock.resume()
        else:
            self._clock.pause()
        self.draw()

    def draw(self) -> None:
        """Anew, from what is known now."""
        pulse = dashboard_of(self).pulse
        width = dashboard_of(self).size.width
        left = self._rooms() if width >= ROOMY else self._room()
        parts = self._parts(pulse)
        while len(parts) > 1 and left.cell_length + sum(part.cell_length + 3 for part in parts) > width:
            parts.pop(-2)  # what needs me comes last, and stays
        right = Content("   ").join(parts)
        gap = max(2, width - 2 - left.cell_length - right.cell_length)
        self.update(Content.assemble(left, " " * gap, right), layout=False)

    def on_resize(self) -> None:
        """The right part stays at the right."""
        self.draw()

    def _rooms(self) -> Content:
        """Where one is, and where else one can go."""
        here = dashboard_of(self).current_mode
        parts = [
            Content.assemble((f"{verb.key} ", "dim"), (verb.title, "bold underline" if verb.name == here else ""))
            for verb in _named()
        ]
        return Content(" " * ROOM_GAP).join(parts)

    def on_click(self, event: events.Click) -> None:
        """The name of a room leads there."""
        if dashboard_of(self).size.width < ROOMY:
            return
        at = event.x - self.gutter.left
        for verb in _named():
            width = wording.columns(f"{verb.key} {verb.title}")
            if 0 <= at < width:
                dashboard_of(self).action_verb(verb.id)
            at -= width + ROOM_GAP

    def _room(self) -> Content:
        here = verbs.VERBS.get(f"app.{dashboard_of(self).current_mode}")
        return Content.assemble((here.title if here is not None else "", "bold"), ("  1-6 other rooms", "dim"))

    def _parts(self, pulse: Pulse) -> list[Content]:
        parts = [Content.assemble(("read-only", "bold"))] if dashboard_of(self).read_only else []
        parts.append(self._daemon(pulse))
        if pulse.up and pulse.workers:
            parts.append(Content(f"{pulse.busy}/{pulse.workers} workers"))
        if pulse.sync:
            parts.append(Content.assemble(toned(self._sync(pulse), Tone.FAILED if pulse.sync_failed else Tone.WAITING)))
        if pulse.needs_you:
            parts.append(
                Content.assemble((f"{Mood.NEEDS_YOU.sign} {needing(pulse.needs_you)}", "bold $tone-needs-you"))
            )
        return parts

    def _sync(self, pulse: Pulse) -> str:
        """With the time until the next pull, as long as all is well."""
        if pulse.sync_failed or pulse.next_pull is None or not pulse.up:
            return pulse.sync
        return f"{pulse.sync} {wording.clock(pulse.next_pull - dashboard_of(self).now())}"

    def _daemon(self, pulse: Pulse) -> Content:
        match pulse.link.status:
            case Status.UP if pulse.draining:
                return Content.assemble(("◌ daemon is stopping", "$tone-needs-you"))
            case Status.UP:
                return Content.assemble(("● ", "$tone-done"), "daemon")
            case Status.CONNECTING:
                return Content.assemble(("◌ connecting", "$tone-waiting"))
            case Status.SILENT:
                return Content.assemble(("✘ daemon not answering", "bold $tone-failed"))
            case Status.GONE:
                return Content.assemble(("✘ no daemon", "bold $tone-failed"))


def _named() -> list[verbs.Verb]:
    return [verb for verb in verbs.of("app") if verb.name in ROOMS]


def needing(number: int) -> str:
    """`1 needs you`, `2 need you`."""
    return f"{number} needs you" if number == 1 else f"{number} need you"
