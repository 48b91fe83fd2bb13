"""How a running phase is told to stop, and how it waits without missing that."""

import asyncio
import enum
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Stop(enum.StrEnum):
    """Why a phase is stopped before its end."""

    CANCELLED = "cancelled"  # somebody asked for it
    TIMED_OUT = "timed_out"  # the whole job's deadline passed
    LOCK_LOST = "lock_lost"  # the plan's lock could not be renewed
    SHUTDOWN = "shutdown"  # the daemon goes; running steps are left to the next one
    KILL = "kill"  # the daemon goes and ends what runs


class Stopped(Exception):  # noqa: N818  it is how a phase ends early, not an error
    """A phase notices its token."""

    def __init__(self, reason: Stop) -> None:
        super().__init__(str(reason))
        self.reason = reason


class Token:
    """One running phase's token; the first reason counts."""

    def __init__(self) -> None:
        self.reason: Stop | None = None
        self._stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def stop(self, reason: Stop) -> None:
        if self.reason is None:
            self.reason = reason
            self._stopped.set_result(None)

    def check(self) -> None:
        """Raise `Stopped` when the phase is to stop; called between operations that cannot be interrupted."""
        if self.reason is not None:
            raise Stopped(self.reason)

    async def watch(self, work: Awaitable[T], *, seconds: float | None = None) -> T:
        """The result of `work`, which is left alone (not cancelled) when the phase is to stop or the time is up.

        Raises:
            Stopped: the phase is to stop.
            TimeoutError: `seconds` passed.
        """
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task, self._stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        self.check()
        raise TimeoutError
