"""A room on which something changes with time alone: an age, a countdown. It is drawn once a second, while that is so."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.link import Status
from cleveragents_tui.dashboard.pulse import Pulse
from cleveragents_tui.dashboard.room import Room
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


class TimedRoom(Room):
    """Who inherits says whether something changes, and draws it.

    Attributes:
        filled: Whether anything was fetched so far.
    """

    DEFAULT_CSS = """
    TimedRoom .empty {
        height: auto;
        padding: 1 2;
        border: round $border-blurred;
        border-title-color: $foreground;
        border-title-style: bold;
        color: $tone-waiting;
    }
    """

    filled = False
    _refusal = ""
    _clock: Timer | None = None
    _shown = False
    _moment = 0.0

    # --- what who inherits says ------------------------------------------------------------------------------------------

    def changes_with_time(self) -> bool:
        """Whether anything on the screen will be different in a second."""
        return False

    def tick(self) -> None:
        """A second has passed: draw what it changed."""

    def show(self) -> None:
        """Draw everything anew from what was fetched."""
        raise NotImplementedError

    # --- time ------------------------------------------------------------------------------------------------------------

    @property
    def moment(self) -> float:
        """When what is shown is so: now, and without a daemon when it was drawn for the last time."""
        if self.dashboard.pulse.up:
            self._moment = self.dashboard.now()
        return self._moment

    def attend(self) -> None:
        """Let the clock run if somebody sees what changes with it."""
        if self._clock is None:
            return
        if self._shown and self.dashboard.pulse.up and self.changes_with_time():
            self._clock.resume()
        else:
            self._clock.pause()

    def on_mount(self) -> None:
        """What stands for nothing is shown at once; the clock stands until something changes with time."""
        self._clock = self.set_interval(1.0, self.tick, pause=True)
        self.watch(self.dashboard, "pulse", self._pulsed)
        self.call_after_refresh(self.show)

    def on_screen_resume(self) -> None:
        """Seen again."""
        self._shown = True
        self.attend()

    def on_screen_suspend(self) -> None:
        """Not seen: nothing is drawn for nobody."""
        self._shown = False
        self.attend()

    def _pulsed(self, old: Pulse, new: Pulse) -> None:
        if old.link.status is not new.link.status:
            self.show()
        self.attend()

    # --- nothing to show ---------------------------------------------------------------------------------------------------

    def nothing_yet(self) -> str:
        """What stands for things that were never fetched."""
        if self.dashboard.pulse.link.status is Status.GONE:
            start = verbs.VERBS["app.start"]
            return f"There is no daemon, so nothing is known.  Start it: {start.key}, or {start.ca}"
        return self._refusal or "looking…"

    def refused(self, error: errors.CleverAgentsError) -> None:
        """A room that is empty says why."""
        self._refusal = f"It could not be read: {wording.plain(error.message)}"
        self.show()

    def say_instead(self, selector: str, text: str) -> None:
        """Show a sentence in the place of something empty; nothing when there is no sentence."""
        place = self.query_one(selector, Static)
        place.display = bool(text)
        place.border_title = self.TITLE
        place.update(Content(text))


class Working(Message):
    """Something that takes long has begun; an empty text says that it has ended."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


@asynccontextmanager
async def working(app: "Dashboard", text: str) -> AsyncGenerator[None]:
    """Let the room in view say that something is under way, until it has ended."""
    screen = app.screen
    screen.post_message(Working(text))
    try:
        yield
    finally:
        screen.post_message(Working(""))
