"""Who is told of what was committed: workers, waiting requests, and subscribers on the socket.

Everything here happens in the event loop's thread, after the commit. Nobody who listens can slow the daemon down.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from store import events, trees
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


class Wanted:
    """The events that a subscriber asked for: all, those of a plan, or those of a plan and all its children."""

    def __init__(self, db: Reader, plan_id: str | None, *, tree: bool) -> None:
        self._db = db
        self._plan_id = plan_id
        self._tree = tree
        self._known: dict[str, bool] = {}  # a plan never gets another parent

    def __contains__(self, event: Event) -> bool:
        if self._plan_id is None or event.plan_id == self._plan_id:
            return True
        return self._tree and event.plan_id is not None and self._below(self._plan_id, event.plan_id)

    def _below(self, top: str, plan_id: str) -> bool:
        if plan_id not in self._known:
            self._known[plan_id] = trees.holds(self._db, top, plan_id)
        return self._known[plan_id]

    def since(self, seq: int, limit: int) -> list[Event]:
        """Those after `seq` that are in the store, oldest first."""
        if self._tree and self._plan_id is not None:
            return events.since_in_tree(self._db, seq, plan_id=self._plan_id, limit=limit)
        return events.since(self._db, seq, plan_id=self._plan_id, limit=limit)


def gap(db: Reader, since: int) -> list[str]:
    """What a subscriber who goes on after the event `since` has to know: that not all of them are there any more."""
    newest = events.newest(db)
    if since > newest:
        return [f"there is no event {since} in the store, whose newest is {newest}; what comes from now on is shown"]
    gone = events.missing(db, since)
    return [f"{gone} of the events after {since} are older than events.retention and are gone"] if gone else []
