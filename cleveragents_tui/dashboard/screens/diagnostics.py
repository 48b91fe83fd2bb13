"""Diagnostics: everything that can be checked, what is wrong first."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import msgspec
from rich.style import Style
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import starting, verbs, wording
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.room import bindings
from cleveragents_tui.dashboard.screens.timed import TimedRoom, Working
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import protocol, views
from store import errors

MODE = "diagnostics"
"""What the application calls this room."""
SIGNS = {"error": ("✘", Tone.FAILED), "warn": ("◆", Tone.NEEDS_YOU), "ok": ("✔", Tone.DONE)}
"""By urgency."""


class Checked(Message):
    """Everything was checked, for whoever shows it."""

    def __init__(self, found: views.DiagnosticsView) -> None:
        super().__init__()
        self.found = found


class CheckRows(Rows):
    """A line a check: sign, name, and the message as far as it fits."""

    checks: Sequence[views.CheckView] = ()

    def show(self, checks: Sequence[views.CheckView]) -> None:
        """Other results, the urgent ones first; the cursor stays on its check."""
        chosen = self.chosen.name if self.chosen else None
        self.checks = sorted(checks, key=lambda check: list(SIGNS).index(check.status))
        self.count = len(self.checks)
        self.cursor = next((row for row, check in enumerate(self.checks) if check.name == chosen), 0)
        self.refresh()

    @property
    def chosen(self) -> views.CheckView | None:
        """The check under the cursor."""
        return self.checks[self.cursor] if self.checks else None

    def cells(self, row: int, width: int) -> Cells:
        """The names are as wide as the longest."""
        check = self.checks[row]
        sign, tone = SIGNS[check.status]
        names = max(len(one.name) for one in self.checks)
        cells = [
            (f" {sign} ", self.tone(tone)),
            (f"{check.name:<{names}}  ", Style(bold=check.status != "ok")),
            (wording.one_line(_brief(check)), Style.null()),
        ]
        return fit(cells, width)


def _brief(check: views.CheckView) -> str:
    """What was found; of what is well again, what was done."""
    return check.fix if check.fix and check.status == "ok" else check.message


class DiagnosticsRoom(TimedRoom):
    """The list, and the check under the cursor whole, with what to do."""

    TITLE = "Diagnostics"
    HELP = """\
Everything that can be checked: the store, the sockets and files, git, the sandboxes, the locks, the sync.
✘ is broken, ◆ deserves a look, ✔ is well. The check under the cursor is told whole, with what to do.
Repair puts right what can be. A damaged store is restored by ca diagnostics --repair: the daemon has to end for it."""
    BINDINGS: ClassVar[list[BindingType]] = bindings("check")
    DEFAULT_CSS = """
    DiagnosticsRoom {
        #checks { width: 3fr; }
        #check { width: 2fr; }
        #told { padding: 0 1; }
        &.-narrow #both { layout: vertical; }
        &.-narrow #checks { width: 1fr; height: 1fr; }
        &.-narrow #check { width: 1fr; height: auto; max-height: 9; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: views.DiagnosticsView | None = None
        self._working = ""
        self._outdated = True

    def body(self) -> Iterable[Widget]:
        """The list beside the check."""
        rows = CheckRows(id="checks", classes="pane")
        rows.border_title = "Diagnostics"
        check = VerticalScroll(Static(id="told"), id="check", classes="pane")
        yield Vertical(Static(id="nothing", classes="empty"), Horizontal(rows, check, id="both"))

    # --- what is checked -----------------------------------------------------------------------------------------------------

    async def refill(self, happened: list[views.EventView]) -> None:
        """Check when the room is entered, not whenever something happens."""
        if happened or not self._outdated:
            return
        self._outdated = False
        before = self._found
        self._work("checking…")
        try:
            found = await self.dashboard.link.call(protocol.Diagnostics(), timeout=None)
        finally:
            self._work("")
        if self._found is before:  # else a repair was quicker, and knows better
            self._take(found)

    def check_again(self) -> None:
        """What was found is not to be relied on any more."""
        self._outdated = True
        if self.dashboard.pulse.link.status is Status.GONE:
            self.run_worker(self._examine, name="examine", group="examine", exclusive=True, exit_on_error=False)
        else:
            self.keep_up([])

    async def _examine(self) -> None:
        """What can be checked without a daemon. Only when somebody asks: meanwhile none can start in this home."""
        self._work("checking without a daemon…")
        try:
            examined = await asyncio.to_thread(starting.examine, self.dashboard.environ)
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)
            return
        finally:
            self._work("")
        self._take(_alone(examined.diagnostics))

    def nothing_yet(self) -> str:
        """Without a daemon there is still something to be checked."""
        gone = self.dashboard.pulse.link.status is Status.GONE
        return super().nothing_yet() + ("\nr checks what can be checked without one." if gone else "")

    def on_screen_suspend(self) -> None:
        """Who comes back from another room wants to know how it is then; a dialog changes nothing."""
        self._outdated = self._outdated or self.dashboard.current_mode != MODE

    def on_working(self, event: Working) -> None:
        """A repair began, or ended."""
        self._work(event.text)

    def on_checked(self, event: Checked) -> None:
        """A repair looked at everything afterwards."""
        self._take(event.found)

    def _take(self, found: views.DiagnosticsView) -> None:
        self._found = found
        self.query_one(CheckRows).show(found.checks)
        self.show()

    def _work(self, text: str) -> None:
        self._working = text
        self.show()

    def troubles(self, *, repairable: bool) -> list[str]:
        """What is not well and a repair can put right, or cannot, a line each."""
        repair = verbs.VERBS["check.repair"].ca
        checks = [one for one in self.query_one(CheckRows).checks if (repair in (one.fix or "")) is repairable]
        return [
            f"{SIGNS[one.status][0]} {one.name}: {wording.one_line(one.message)}"
            for one in checks
            if one.status != "ok"
        ]

    def subject(self, area: str) -> Any:
        """The check under the cursor."""
        return self.query_one(CheckRows).chosen if area == "check" else None

    # --- drawing -------------------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """The summary, and what stands for checks that were never made."""
        self._outdated = self._outdated or not self.dashboard.pulse.up  # the next daemon may be another one
        rows = self.query_one(CheckRows)
        rows.border_subtitle = self._working or (_summary(self._found.summary) if self._found else "")
        self.say_instead("#nothing", "" if self._found else self._working or self.nothing_yet())
        self.query_one("#both").display = self._found is not None
        if self._found is not None and self.focused is None:
            self.query_one(CheckRows).focus()
        self._show_check()

    def on_rows_moved(self) -> None:
        """Another check is told whole."""
        self._show_check()

    def _show_check(self) -> None:
        chosen = self.query_one(CheckRows).chosen
        if chosen is not None:
            title = Content.assemble(toned(SIGNS[chosen.status][0], SIGNS[chosen.status][1]), f" {chosen.name}")
            self.query_one("#check").border_title = title.markup
            self.query_one("#told", Static).update(told(chosen))


def _alone(found: views.DiagnosticsView) -> views.DiagnosticsView:
    """What was found where no daemon is, that first."""
    check = views.CheckView("daemon", "error", "none runs; here is what can be checked without one", "ca daemon start")
    summary = msgspec.structs.replace(found.summary, errors=found.summary.errors + 1)
    return msgspec.structs.replace(found, checks=[check, *found.checks], summary=summary)


def told(check: views.CheckView) -> Content:
    """A check whole, and below it what to do, or what was done."""
    parts = [(wording.plain(check.message), "")]
    if check.fix:
        well = check.status == "ok"
        parts.append(toned("\n\n✔ ", Tone.DONE) if well else toned("\n\n→ ", Tone.WAITING))
        parts.append((wording.plain(check.fix), ""))
    return Content.assemble(*parts)


def _summary(summary: views.CheckSummaryView) -> str:
    warnings, broken = wording.count(summary.warnings, "warning"), wording.count(summary.errors, "error")
    return f"{summary.ok} ok, {warnings}, {broken}"
