"""Keys one after another, however fast they are typed: each has done its work before it is decided who gets the next.

Textual gives a key to whatever has the focus when it comes, and what the key before it opens may not have it yet: `/docs`
in one go would open the filter and then have `d`, `o`, `c` and `s` do something to the plan under the cursor.
"""

import time
from collections import deque

from textual import events, on
from textual.app import App
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.worker import Worker

TOGETHER = 0.5
"""Seconds within which a key may depend on what the one before it has not finished yet."""
PATIENCE = 3.0
"""Seconds after which keys go on although something has not opened: a daemon may not answer."""


class KeyDone(Message):
    """Sent after a key to whatever got it: what the key did on its way up is done when this arrives at the top.

    It goes twice: a key may send a message of its own, such as that a line was entered, which is behind the first one.
    """

    def __init__(self, target: Widget, *, again: bool) -> None:
        super().__init__()
        self.set_sender(target)  # else it would end at the child of who sends it: the application
        self.target = target
        self.again = again


class Keyboard(App[None]):
    """An application whose keys are not overtaken by each other."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: deque[events.Key] = deque()
        self._last: tuple[Widget, float] | None = None
        self._followed: Widget | None = None
        self._held: Timer | None = None
        self._opening: Worker[None] | None = None
        self._is_open = False

    async def on_event(self, event: events.Event) -> None:
        """Keys stand in line."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._keys.append(event)
            await self._give_keys()
        else:
            await super().on_event(event)

    async def _give_keys(self) -> None:
        """Give the first key to what has the focus, as soon as the key before it is done."""
        while self._keys and self.screen_stack and not self._must_wait():  # none when it is about to end
            key = self._keys.popleft()
            self._last = (self.focused or self.screen, time.monotonic())
            await super().on_event(key)

    def _must_wait(self) -> bool:
        last, self._last = self._last, None
        if last is not None and time.monotonic() - last[1] < TOGETHER:
            target, _ = last
            if self._is_there(target) and target.post_message(KeyDone(target, again=True)):
                self._followed = target
            if self._followed is not None or self._is_opening:
                self._held = self.set_timer(PATIENCE, self._too_long)
        return self._held is not None

    @property
    def _is_opening(self) -> bool:
        return self._opening is not None and not (self._opening.is_finished or self._is_open)

    def opens(self, worker: "Worker[None]") -> None:
        """What the last key began may open something; keys wait for that."""
        self._opening, self._is_open = worker, False

    async def has_opened(self) -> None:
        """It is there, and has the keyboard."""
        self._is_open = True
        await self._look_again()

    async def has_closed(self) -> None:
        """What was begun goes on, and may open something else."""
        self._is_open = False
        if self._followed is not None and not self._is_there(self._followed):
            self._followed = None  # the key has closed what it went to
        await self._look_again()

    async def has_ended(self) -> None:
        """Some worker is done; if it is the one that was begun, it opens nothing any more."""
        if self._opening is not None and self._opening.is_finished:
            await self.has_closed()

    @on(KeyDone)
    async def _key_done(self, done: KeyDone) -> None:
        if not (done.again and done.target.post_message(KeyDone(done.target, again=False))):
            self._followed = None
            await self._look_again()

    def _is_there(self, widget: Widget) -> bool:
        return widget.is_attached and widget.screen.is_current

    async def _look_again(self) -> None:
        if self._held is not None and self._followed is None and not self._is_opening:
            self._held.stop()
            self._held = None
            await self._give_keys()

    async def _too_long(self) -> None:
        self._followed = self._opening = None
        await self._look_again()
