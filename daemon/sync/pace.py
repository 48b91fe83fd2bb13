"""How the sync waits: the two clocks that it looks at, the waiting itself, and the jitter. A test hands in its own."""

import asyncio
import random
from contextlib import suppress

import msgspec

from store.clock import SECOND, Clock

JITTER = 0.1
"""How much longer or shorter an interval may be, so that not everybody asks the server at the same moment."""


class Moment(msgspec.Struct, frozen=True):
    """A moment on both time lines, in microseconds.

    It is reached as soon as one of them says so: the steady one stands still while the machine sleeps, and the wall clock
    may be put back.
    """

    steady: int
    wall: int

    def later(self, seconds: float) -> "Moment":
        """So many seconds after this one."""
        return Moment(self.steady + int(seconds * SECOND), self.wall + int(seconds * SECOND))


class Pace:
    """Time, as the sync goes by it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        return self._clock.now()

    def steady(self) -> int:
        """Microseconds on a time line that nobody can set, and that stands still while the machine sleeps."""
        return self._clock.steady()

    async def wait(self, seconds: float, wake: asyncio.Event) -> None:
        """Until so many seconds passed or `wake` is set."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()

    def jitter(self, seconds: float) -> float:
        """About so many seconds."""
        return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  nobody gains by guessing it

    def moment(self) -> Moment:
        """This one."""
        return Moment(self.steady(), self.now())

    def left(self, moment: Moment) -> float:
        """Seconds until a moment is reached; 0 or less when it is."""
        return min(moment.steady - self.steady(), moment.wall - self.now()) / SECOND
