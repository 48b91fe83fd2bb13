"""Holding a process, whoever its parent is: when does it end, and how to signal it and nobody else.

A pidfd on Linux, a kqueue on macOS, a look every tenth of a second where there is neither.
"""

import asyncio
import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence

from daemon import identities

POLL_INTERVAL = 0.1
"""Seconds between two looks at a process, where the system cannot tell when it ends."""

_PIDFD_SIGNAL_GROUP = 1 << 2  # <linux/pidfd.h> PIDFD_SIGNAL_PROCESS_GROUP, since Linux 6.9


class ExitWatch:
    """One process, held.

    Args:
        pid: Its number.
        poll: Look now and then, even where the system could tell.

    Raises:
        ProcessLookupError: there is no such process.
    """

    def __init__(self, pid: int, *, poll: bool = False) -> None:
        self.pid = pid
        self._queue: object = None
        self._timer: asyncio.TimerHandle | None = None
        self._watching = False
        self._descriptor = None if poll else self._hold()
        self._seen = None if sys.platform == "linux" and self._descriptor is not None else identities.look(pid)

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from the loop, when the process has ended, even if it is not reaped yet."""
        if self._descriptor is None:
            self._poll(callback)
            return
        loop, descriptor = asyncio.get_running_loop(), self._descriptor

        def ended() -> None:
            loop.remove_reader(descriptor)
            self._watching = False
            callback()

        loop.add_reader(descriptor, ended)
        self._watching = True

    def signal(self, number: int) -> bool:
        """Signal this process; False when it is gone.

        Raises:
            PermissionError: the system does not allow it: another user's process.
        """
        try:
            if sys.platform == "linux" and self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            elif self._has_number():
                os.kill(self.pid, number)
            else:
                return False
        except ProcessLookupError:
            return False
        return True

    def signal_group(self, number: int) -> bool:
        """Signal the group that the process leads or led; False when nobody is in it."""
        if sys.platform == "linux" and self._descriptor is not None:
            # Exact even after the leader was reaped and its number given away.
            with contextlib.suppress(_GroupByDescriptorUnknown):
                return _reached(_signal_group_of, self._descriptor, number)
        return _reached(os.killpg, self.pid, number)

    def close(self) -> None:
        """Let go of the process."""
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor is None:
            return
        if self._watching:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        if self._queue is None:
            os.close(self._descriptor)
        self._queue = self._descriptor = None

    def _hold(self) -> int | None:
        """A descriptor that becomes readable when the process ends; None where the system has none to give."""
        try:
            if sys.platform == "linux":
                return os.pidfd_open(self.pid)
            if sys.platform == "darwin":  # pragma: no cover  measured on Linux
                return self._hold_by_queue()
        except ProcessLookupError:
            raise
        except OSError:
            return None
        return None

    if sys.platform == "darwin":  # pragma: no cover  measured on Linux

        def _hold_by_queue(self) -> int:
            queue = select.kqueue()
            flags = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
            queue.control([select.kevent(self.pid, select.KQ_FILTER_PROC, flags, select.KQ_NOTE_EXIT)], 0)
            self._queue = queue
            return queue.fileno()

    def _poll(self, callback: Callable[[], None]) -> None:
        if self._has_number():
            self._timer = asyncio.get_running_loop().call_later(POLL_INTERVAL, self._poll, callback)
        else:
            callback()

    def _has_number(self) -> bool:
        """Whether the process lives and its number is not another's by now; asked where no descriptor holds it."""
        seen = identities.look(self.pid)
        if seen is None or seen.zombie or self._seen is None:
            return False
        return seen.start_time == self._seen.start_time


async def all_ended(watches: Sequence[ExitWatch], seconds: float) -> None:
    """Wait until all have ended, at most so long, and let go of them."""
    ended: list[asyncio.Event] = []
    for watch in watches:
        event = asyncio.Event()
        watch.when_ended(event.set)
        ended.append(event)
    try:
        async with asyncio.timeout(seconds):
            for event in ended:
                await event.wait()
    except TimeoutError:
        pass
    finally:
        for watch in watches:
            watch.close()


class _GroupByDescriptorUnknown(Exception):  # noqa: N818  not an error: an older kernel
    pass


def _reached(send: Callable[[int, int], None], whom: int, number: int) -> bool:
    try:
        send(whom, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _signal_group_of(descriptor: int, number: int) -> None:
    if sys.platform == "linux":
        try:
            signal.pidfd_send_signal(descriptor, number, None, _PIDFD_SIGNAL_GROUP)
        except (ProcessLookupError, PermissionError):
            raise
        except OSError as error:
            raise _GroupByDescriptorUnknown from error
