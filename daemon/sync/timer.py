"""One connection to a team server: what runs, one at a time; when the next run is due; and how the last one went."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Literal

import msgspec

from daemon.sync.engine import Engine, Outcome
from daemon.sync.merging import Policy
from daemon.sync.origins import Endpoint
from daemon.sync.pace import Pace
from daemon.sync.remote import Remote
from daemon.sync.schedule import Schedule
from daemon.sync.stream import Stream
from store import entities, errors
from store.database import Database, Transaction

log = logging.getLogger(__name__)

What = Literal["now", "pull", "push", "full"]

SLICE = 60.0
"""Seconds of one wait at most: a machine that slept is noticed by then."""
SOON = 0.3
"""Seconds from a change made here to its push; what follows within them goes with it."""


class Hooks(msgspec.Struct, frozen=True):
    """What a timer asks of those who made it.

    Attributes:
        policy: Which side wins a conflict.
        look: Called now and then: the configuration may have changed.
    """

    policy: Callable[[], Policy]
    look: Callable[[], None]


class Timer:
    """The connection.

    Attributes:
        turn: Held by the run that is at work; whoever holds it keeps others from beginning.
        pulls: Runs that pulled.
    """

    def __init__(self, db: Database, endpoint: Endpoint, pace: Pace, interval: float, hooks: Hooks) -> None:
        self.endpoint = endpoint
        self.engine = Engine(db, endpoint.namespace, hooks.policy, self._pulled)
        self.schedule = Schedule(pace, interval)
        self.turn = asyncio.Lock()
        self.pulls = 0
        self._has_pulled = False
        self._db = db
        self._pace = pace
        self._look = hooks.look
        self._remote = Remote(endpoint)
        self._stream = Stream(self._remote, pace, self._cursor, self._changed_there)
        self._announced: str | None = None
        self._wake = asyncio.Event()
        self._runs: dict[What, asyncio.Task[Outcome]] = {}
        self._loops: list[asyncio.Task[None]] = []

    @property
    def active(self) -> bool:
        """Whether runs begin by themselves."""
        return bool(self._loops) and not self.schedule.halted

    @property
    def running(self) -> bool:
        return bool(self._runs)

    @property
    def streaming(self) -> bool:
        return self._stream.up

    # --- on and off ----------------------------------------------------------------------------------------------------

    def start(self) -> list[asyncio.Task[None]]:
        """Have runs begin by themselves, the first one at once; the tasks that see to it."""
        self.schedule.start()
        self._loops = [
            asyncio.create_task(self._keep_time(), name="sync timer"),
            asyncio.create_task(self._stream.keep(), name="sync stream"),
        ]
        return self._loops

    async def pause(self) -> None:
        """No run begins by itself any more."""
        loops, self._loops = self._loops, []
        await _end(loops)

    async def stop(self) -> None:
        """The end of the connection: when this returns nothing of it is under way, in the store neither."""
        await self.pause()
        await _end(self._runs.values())
        await self._remote.close()
        with suppress(errors.CleverAgentsError):  # refused or not: what a run handed to the store before had its turn
            await self._db.write(_nothing)

    def began_in_step(self) -> None:
        """A full sync was made for this connection before it was in force."""
        self._pulled()
        self._stream.healthy.set()
        self.schedule.succeeded()

    def change_interval(self, interval: float) -> None:
        """Go by another interval, at once."""
        self.schedule.change_interval(interval)
        self._wake.set()

    # --- runs ----------------------------------------------------------------------------------------------------------

    async def run(self, what: What) -> Outcome:
        """Sync, or join a run that does the same; others are waited for.

        Raises:
            CleverAgentsError: it failed, or was stopped with the connection.
        """
        under_way = self._runs.get(what)
        outcome = await self._ended(under_way or self._begin(what))
        if under_way is not None and what in {"now", "push"} and self._to_push():
            # what was joined had pushed already when this change was made
            outcome = await self._ended(self._runs.get(what) or self._begin(what))
        return outcome

    def _begin(self, what: What) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(self._run(what), name=f"sync {what}")
        self._runs[what] = task
        task.add_done_callback(lambda done: self._over(what, done))
        return task

    def _over(self, what: What, task: asyncio.Task[Outcome]) -> None:
        del self._runs[what]
        if not task.cancelled():
            task.exception()  # it is in the schedule, whether somebody waits for it or not
        self._wake.set()

    async def _ended(self, task: asyncio.Task[Outcome]) -> Outcome:
        await asyncio.wait({task})  # whoever waits may go; the run goes on
        if task.cancelled():
            raise errors.UnreachableError(
                "the connection to the team server was ended while it synced", suggestions=["ca server status"]
            )
        return task.result()

    async def _run(self, what: What) -> Outcome:
        async with self.turn:
            self.schedule.calm()
            self._announced = None
            self._has_pulled = False
            try:
                outcome = await self._work(what)
            except errors.CleverAgentsError as error:
                await self._failed(error)
                raise
            except Exception as error:  # a defect of ours: told and tried again like any other failure
                log.exception("a sync failed in a way that nobody foresaw")
                told = errors.InternalError(f"the sync failed: {type(error).__name__}", suggestions=["ca daemon logs"])
                await self._failed(told)
                raise told from error
            await self._succeeded()
            return outcome

    async def _work(self, what: What) -> Outcome:
        match what:
            case "now":
                return await self.engine.now(self._remote)
            case "pull":
                return await self.engine.pull(self._remote)
            case "push":
                return await self.engine.push(self._remote)
            case "full":
                return await self.engine.full(self._remote)

    async def _failed(self, error: errors.CleverAgentsError) -> None:
        self._stream.healthy.clear()
        if self.schedule.failed(error):
            log.warning("the sync with %s failed: %s", self.endpoint.url, error.message)
            await self._note("sync.failed", code=error.code, message=error.message)

    def _pulled(self) -> None:
        self.pulls += not self._has_pulled  # a run pulls again what its own push made
        self._has_pulled = True
        self.schedule.pulled()

    async def _succeeded(self) -> None:
        self._stream.healthy.set()
        if self.schedule.succeeded():
            log.info("the sync with %s works again", self.endpoint.url)
            await self._note("sync.recovered")

    async def _note(self, kind: str, **detail: str) -> None:
        """Tell those who follow; the run's own end does not depend on it."""
        try:
            await self._db.write(lambda tx: tx.event(kind, namespace=self.endpoint.namespace, **detail))
        except errors.CleverAgentsError as error:
            log.warning("%s could not be noted: %s", kind, error.message)

    # --- when ----------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            left = self.schedule.left()
            if left is not None and left <= 0:
                await self._tick()
                continue
            await self._pace.wait(SLICE if left is None else min(SLICE, left), self._wake)
            self._look()

    async def _tick(self) -> None:
        if not self.schedule.due() and not self._something_new():
            self.schedule.calm()
            return
        with suppress(errors.CleverAgentsError):  # it is in the schedule
            await self.run("now")

    def _something_new(self) -> bool:
        try:
            return self._to_push() > 0 or self._announced not in {None, self._cursor()}
        except errors.CleverAgentsError:  # a run will meet the same, and tell it
            return True

    def changed_here(self) -> None:
        """A definition was changed here."""
        if self._loops and self.schedule.hurry(SOON):
            self._wake.set()

    def _changed_there(self, cursor: str) -> None:
        self._announced = cursor
        if self.schedule.hurry(0):
            self._wake.set()

    def _to_push(self) -> int:
        return entities.pending(self._db.read, self.endpoint.namespace)

    def _cursor(self) -> str | None:
        state = entities.state(self._db.read, self.endpoint.namespace)
        return None if state is None else state.cursor


def _nothing(_tx: Transaction) -> None:
    pass


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
