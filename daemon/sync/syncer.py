"""The sync of this daemon: which connection is in force, and that the configuration is obeyed.

A daemon that is not connected does nothing here, and loads nothing for it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from daemon import sync_views
from daemon.phases.context import Services
from daemon.sync import origins, showing
from daemon.sync.pace import Pace
from daemon.sync.wanted import Wanted
from store import entities, errors
from store.clock import rfc3339
from store.records import Event

if TYPE_CHECKING:
    from daemon.sync.engine import Engine, Outcome
    from daemon.sync.merging import Policy
    from daemon.sync.timer import Timer, What

log = logging.getLogger(__name__)

T = TypeVar("T")

_CHANGES = ("action.", "actor.", "project.", "sync.resolved")
"""Events after which there may be something to push."""


class Syncer:
    """The sync, from the daemon's start to its end.

    Attributes:
        failed: Done when a part of it died that should never end.
        switching: Held while a connection takes the place of another one.
        connecting: Held by whoever connects or disconnects.
    """

    def __init__(self, services: Services, pace: Pace | None = None) -> None:
        self.services = services
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.switching = asyncio.Lock()
        self.connecting = asyncio.Lock()
        self.timer: Timer | None = None
        self._pace = pace or Pace(services.db.clock)
        self._in_force: Wanted | None = None
        self._problem: errors.CleverAgentsError | None = None
        self._pulls = 0
        self._changes: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[Any]] = set()
        self._listening = ExitStack()
        self._stopped = False

    # --- with the daemon -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, if the configuration says so."""
        self._listening.enter_context(self.services.feed.listen(self._committed))
        await self.obey()

    async def stop(self) -> None:
        """End everything: when this returns nothing syncs any more, and nothing will."""
        self._stopped = True
        self._listening.close()
        for task in self._asking:
            task.cancel()
        if self.timer is not None:
            await self.timer.stop()  # whoever switches waits for its runs
        await asyncio.gather(*self._asking, *self._changes, return_exceptions=True)
        async with self.switching:
            await self.disconnect()

    def _committed(self, found: list[Event]) -> None:
        if self.timer is not None and any(event.kind.startswith(_CHANGES) for event in found):
            self.timer.changed_here()

    # --- the configuration ---------------------------------------------------------------------------------------------

    def wanted(self) -> Wanted:
        """What the configuration asks for now."""
        return Wanted.read(self.services.config)

    def policy(self) -> "Policy":
        """Which side wins a conflict now."""
        return self.services.config.value("server.sync.conflict")

    def notice_settings(self) -> None:
        """The configuration may have changed: obey it, at once."""
        if not self._stopped and self.wanted() != self._in_force:
            task = asyncio.create_task(self.obey(), name="sync settings")
            self._changes.add(task)
            task.add_done_callback(self._changes.discard)
            task.add_done_callback(self._died)

    async def obey(self) -> None:
        """Bring what is in force to what the configuration says."""
        async with self.switching:
            wanted = self.wanted()
            if self._stopped or wanted == self._in_force:
                return
            if not wanted.same_connection(self._in_force):
                await self.disconnect()
                await self._connect(wanted)
            elif self.timer is not None:
                await self._follow(self.timer, wanted)
            self._in_force = wanted if self._problem is None or self._settled(self._problem) else None

    @staticmethod
    def _settled(problem: errors.CleverAgentsError) -> bool:
        """Whether trying again makes no sense before the configuration is another one."""
        return isinstance(problem, (errors.InvalidArgumentError, errors.InvalidConfigError))

    async def _connect(self, wanted: Wanted) -> None:
        try:
            timer = await self.make(wanted)
        except errors.CleverAgentsError as error:
            log.warning("the team server of the configuration is not used: %s", error.message)
            self._problem = error
            return
        if timer is not None:
            self.install(timer, wanted)

    async def make(self, wanted: Wanted) -> "Timer | None":
        """The connection that is wanted, not yet at work; None when none is.

        Raises:
            CleverAgentsError: it cannot be had.
        """
        endpoint = wanted.endpoint(self.services.db.read)
        if endpoint is None:
            return None
        from daemon.sync import timer  # noqa: PLC0415  a daemon that is not connected does not load it

        if endpoint.token is not None:
            await self.bind(endpoint.token, endpoint.url)
        elif wanted.token is not None:
            log.warning("server.token was given for another server; it is not sent to %s", endpoint.url)
        hooks = timer.Hooks(self.policy, self.notice_settings)
        return timer.Timer(self.services.db, endpoint, self._pace, wanted.interval, hooks)

    async def bind(self, token: str, url: str) -> None:
        """A token is sent to this server from now on, and to no other one."""
        origin = origins.origin(url)
        if entities.bound_origin(self.services.db.read, token) != origin:
            await self.services.db.write(lambda tx: entities.bind(tx, token, origin))

    def install(self, timer: "Timer", wanted: Wanted) -> None:
        """Have a connection in force; there must be no other one."""
        self.timer, self._in_force, self._problem = timer, wanted, None
        if wanted.auto and not self._stopped:
            self._watch(timer)

    async def disconnect(self) -> None:
        """End the connection that is in force, if there is one; `switching` is held."""
        timer, self.timer = self.timer, None
        self._in_force = self._problem = None
        if timer is not None:
            self._pulls += timer.pulls
            await timer.stop()

    async def _follow(self, timer: "Timer", wanted: Wanted) -> None:
        """The same connection in another rhythm."""
        before = self._in_force
        if before is None or wanted.interval != before.interval:
            timer.change_interval(wanted.interval)
        if before is not None and wanted.auto != before.auto:
            if wanted.auto:
                self._watch(timer)
            else:
                await timer.pause()

    def _watch(self, timer: "Timer") -> None:
        for task in timer.start():
            task.add_done_callback(self._died)

    def _died(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)

    # --- what people ask for -------------------------------------------------------------------------------------------

    async def run(self, what: "What") -> "Outcome":
        """Sync once, or join what runs.

        Raises:
            UnreachableError: there is no connection, or the server does not answer.
            CleverAgentsError: the sync failed.
        """
        await self.obey()
        self.refuse_at_the_end()
        if self.timer is None:
            raise self._problem or errors.UnreachableError(
                "no team server is connected", suggestions=["ca server connect URL"]
            )
        return await self.timer.run(what)

    async def ask(self, asking: Coroutine[Any, Any, T]) -> T:
        """Ask a server something for somebody who waits; it ends with the daemon.

        Raises:
            DaemonUnavailableError: the daemon is stopping.
            CleverAgentsError: what was raised there.
        """
        task = asyncio.create_task(asking, name="sync question")
        if self._stopped:
            task.cancel()
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        await asyncio.wait({task})
        if task.cancelled():
            self.refuse_at_the_end()
        return task.result()

    def refuse_at_the_end(self) -> None:
        """Let nothing begin that would outlive the daemon.

        Raises:
            DaemonUnavailableError: it is stopping.
        """
        if self._stopped:
            raise errors.DaemonUnavailableError("the daemon is stopping", suggestions=["run the same command again"])

    def engine(self) -> "Engine":
        """What settles conflicts, connected or not."""
        from daemon.sync.engine import Engine  # noqa: PLC0415  as above

        return Engine(self.services.db, self.wanted().namespace, self.policy)

    def status(self) -> sync_views.SyncView:
        """How the sync stands."""
        db, wanted, timer = self.services.db.read, self.wanted(), self.timer
        state = entities.state(db, wanted.namespace)
        error = self._problem if timer is None else timer.schedule.error
        return sync_views.SyncView(
            active=timer is not None and timer.active,
            auto=wanted.auto,
            interval=wanted.interval,
            cursor=state.cursor if state else None,
            epoch=state.epoch if state else None,
            entities=entities.count(db, wanted.namespace),
            last_pull_at=rfc3339(timer.schedule.last_pull) if timer else None,
            next_pull_at=rfc3339(timer.schedule.next_run) if timer and timer.active else None,
            last_error=reason(error) if error else None,
            pulls=self._pulls + (timer.pulls if timer else 0),
            conflicts=entities.conflicts_count(db, wanted.namespace),
            server_id=state.server_id if state else None,
            namespace=wanted.namespace if wanted.url else None,
            pending=entities.pending(db, wanted.namespace),
            streaming=timer is not None and timer.streaming,
            running=timer is not None and timer.running,
            invalid=[showing.unusable(entity) for entity in entities.unusable(db, wanted.namespace)],
        )


def reason(error: errors.CleverAgentsError) -> str:
    """Why something does not work, with its code."""
    return f"{error.code}: {error.message}"
