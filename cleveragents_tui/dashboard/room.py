"""A screen that stays open: its frame, the verbs that work in it, and how it keeps up with what happens."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.worker import Worker

from cleveragents_tui import verbs
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.widgets.banner import Banner
from cleveragents_tui.dashboard.widgets.echo_line import EchoLine
from cleveragents_tui.dashboard.widgets.key_line import KeyLine
from cleveragents_tui.dashboard.widgets.top_bar import TopBar
from daemon import views
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

NARROW = 100
"""Columns below which a room shows one thing at a time."""
SHORT = 14
"""Lines below which a plan's frame is left out, so that there is room for the plan."""
BROAD = 180
"""Columns from which on there is room for a third thing beside two."""


def bindings(*areas: str) -> list[BindingType]:
    """The keys of some areas' verbs."""
    return [
        Binding(verb.key, f"app.verb('{verb.id}')", verb.title, id=verb.id, show=verb.footer, tooltip=verb.help)
        for area in areas
        for verb in verbs.of(area)
        if verb.key
    ]


class Room(Screen[None]):
    """One of the dashboard's places: plans, jobs, locks and so on.

    Who inherits names the areas of its verbs, composes a body, and says what is under the cursor.
    """

    AREAS: ClassVar[tuple[str, ...]] = ()
    AUTO_FOCUS = ""  # each room knows where the keyboard belongs; what is displayed first is a matter of chance
    HORIZONTAL_BREAKPOINTS: list[tuple[int, str]] | None = [  # noqa: RUF012  as Screen declares it
        (0, "-narrow"),
        (NARROW, "-wide"),
        (BROAD, "-broad"),
    ]
    VERTICAL_BREAKPOINTS: list[tuple[int, str]] | None = [(0, "-short"), (SHORT, "-high")]  # noqa: RUF012  as above

    def __init__(self) -> None:
        super().__init__()
        self._due: list[views.EventView] | None = None
        self._filling = False
        self._offers_shown: frozenset[str] | None = None

    @property
    def dashboard(self) -> "Dashboard":
        """The application, as what it is."""
        return dashboard_of(self)

    def compose(self) -> ComposeResult:
        """The frame around what is shown."""
        yield TopBar()
        yield Banner()
        yield from self.body()
        yield EchoLine()
        yield KeyLine()

    # --- what who inherits says ----------------------------------------------------------------------------------------

    def body(self) -> Iterable[Widget]:
        """What is between the bars."""
        raise NotImplementedError

    async def refill(self, happened: list[views.EventView]) -> None:
        """Fetch and show what is there now.

        Args:
            happened: The events since the last time; empty when the room was entered or the daemon came back, and
                anything may have changed.

        Raises:
            CleverAgentsError: it could not be fetched.
        """
        raise NotImplementedError

    def refused(self, error: errors.CleverAgentsError) -> None:
        """It could not be fetched, which is told already: what is on the screen stays, and does not promise more."""

    def subject(self, area: str) -> Any:  # noqa: ARG002  a room without a cursor has nothing under it
        """What a verb of an area would be done to: what is under the cursor; None when there is nothing."""
        return None

    # --- keeping up ----------------------------------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        """What was missed meanwhile is fetched."""
        self.call_later(self.dashboard.has_closed)
        self.query_one(TopBar).draw()
        self.keep_up([])

    def keep_up(self, happened: list[views.EventView]) -> None:
        """Something may have changed: show what is there, now or when the fetch that is under way has ended."""
        if self._due is None or not happened:
            self._due = list(happened)
        elif self._due:  # else everything is to be fetched already
            self._due += happened
        if not self._filling:
            self._filling = True
            self.run_worker(self._fill, name="refill", exit_on_error=False)

    async def _fill(self) -> None:
        try:
            while self._due is not None:
                happened, self._due = self._due, None
                await self.refill(happened)
        except errors.DaemonUnavailableError:
            pass  # the banner says so, and everything is fetched when it is back
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)
            self.refused(error)
        finally:
            self._filling = False
        self.refresh_keys()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What failed by a defect is not silent."""
        self.dashboard.own_up(event)

    def refresh_keys(self) -> None:
        """The footer shows what can be done to what is under the cursor now; it is built anew only when that has changed."""
        offered = frozenset(verb.id for verb in verbs.VERBS.values() if self.dashboard.offers(verb, self))
        if offered != self._offers_shown:
            self._offers_shown = offered
            self.refresh_bindings()
