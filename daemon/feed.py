"""Who is told of what was committed: workers, waiting requests, and subscribers on the socket.

Everything here happens in the event loop's thread, after the commit. Nobody who listens can slow the daemon down.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from store import events
from store.database import Reader
from store.records import Event

T = TypeVar("T")
Listener = Callable[[list[Event]], None]


class Feed:
    """The committed events, as they come."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener] = {}

    def publish(self, found: list[Event]) -> None:
        """Tell everybody; called once a commit, with its events in order."""
        for listener in list(self._listeners.values()):
            listener(found)

    @contextmanager
    def listen(self, listener: Listener) -> Generator[None]:
        """Have `listener` called with the events of each commit while the context lasts."""
        token = object()
        self._listeners[token] = listener
        try:
            yield
        finally:
            del self._listeners[token]

    async def until(
        self, condition: Callable[[], T | None], *, plan_id: str | None = None, timeout: float | None = None
    ) -> T | None:
        """What `condition` returns as soon as it returns something; `None` after `timeout` seconds.

        It is asked now and after each commit that has an event of the plan.
        """
        changed = asyncio.Event()

        def note(found: list[Event]) -> None:
            if plan_id is None or any(event.plan_id == plan_id for event in found):
                changed.set()

        with self.listen(note), suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while True:
                    changed.clear()
                    found = condition()
                    if found is not None:
                        return found
                    await changed.wait()
        return None


def gap(db: Reader, since: int) -> list[str]:
    """What a subscriber who goes on after the event `since` has to know: that not all of them are there any more."""
    newest = events.newest(db)
    if since > newest:
        return [f"there is no event {since} in the store, whose newest is {newest}; what comes from now on is shown"]
    gone = events.missing(db, since)
    return [f"{gone} of the events after {since} are older than events.retention and are gone"] if gone else []
