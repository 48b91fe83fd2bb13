"""The server's event stream: it says at once that something changed. The timer is what is relied on."""

import asyncio
import logging
from collections.abc import Callable

from daemon.sync.pace import Pace
from daemon.sync.remote import Remote
from daemon.sync.schedule import rest
from store import errors
from store.clock import SECOND

log = logging.getLogger(__name__)

_FIRST_BACK_OFF = 1.0
_LONGEST_BACK_OFF = 300.0
_STEADY = 60.0
"""Seconds after which a stream was a good one: the next one is tried as soon as the first."""


class Stream:
    """Listens for as long as its connection works.

    Args:
        remote: The server.
        cursor: Where to go on from.
        changed: Called with the cursor of each change, and with '' when everything has to be looked at.
    """

    def __init__(
        self, remote: Remote, pace: Pace, cursor: Callable[[], str | None], changed: Callable[[str], None]
    ) -> None:
        self.up = False
        self.healthy = asyncio.Event()
        """Set while the timer's runs succeed: a server that does not answer is left to the timer."""
        self._remote = remote
        self._pace = pace
        self._cursor = cursor
        self._changed = changed

    async def keep(self) -> None:
        """Listen, and begin again when the stream ends; its failures are the timer's to tell."""
        failures = 0
        while True:
            await self.healthy.wait()
            began = self._pace.steady()
            error = await self._listen()
            failures = 1 if self._pace.steady() - began >= _STEADY * SECOND else failures + 1
            log.info("the event stream of the team server ended: %s", error.message)
            back_off = min(_FIRST_BACK_OFF * 2.0 ** min(failures - 1, 20), _LONGEST_BACK_OFF)
            await self._pace.wait(max(back_off, rest(error)), asyncio.Event())

    async def _listen(self) -> errors.CleverAgentsError:
        """Why the stream ended."""
        try:
            async for cursor in self._remote.notices(self._cursor(), self._opened):
                self._changed(cursor)
        except errors.CleverAgentsError as error:
            return error
        finally:
            self.up = False
        return errors.UnreachableError("the server closed it")

    def _opened(self) -> None:
        self.up = True
