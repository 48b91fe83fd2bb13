"""The composition root: makes every service, hands each what it needs; startup, run, shutdown."""

import asyncio
import faulthandler
import logging
import logging.handlers
import os
import signal
import time
from contextlib import suppress
from typing import TextIO

from daemon import cleanup, detach, git, listener, recovery, retention
from daemon.calls import Daemon
from daemon.feed import Feed
from daemon.handlers import (
    action,
    actor,
    board,
    conflicts,
    job,
    lock,
    plan,
    plan_history,
    plan_recovery,
    plan_views,
    project,
    prune,
    server,
    sync,
    system,
)
from daemon.lifecycle import Lifecycle
from daemon.phases import apply, commands, execute, strategize
from daemon.phases.context import Context, Services
from daemon.settings import Settings
from daemon.sync.syncer import Syncer
from daemon.tokens import Stop, Stopped
from daemon.workers import PhaseWork, Running, Workers
from store import copies, errors, jobs, opening
from store.clock import Clock
from store.database import Database
from store.paths import Paths
from store.records import Event
from store.states import Phase
from store.version import VERSION

log = logging.getLogger(__name__)

LOG_BYTES = 5 * 1024 * 1024
LOG_FILES = 3
HOUSEKEEPING = 60.0
"""Seconds between two looks at what an idle daemon must look at."""
PRUNING = 3600.0

HANDLERS = listener.table_of(
    action.TABLE,
    actor.TABLE,
    board.TABLE,
    conflicts.TABLE,
    job.TABLE,
    lock.TABLE,
    plan.TABLE,
    plan_history.TABLE,
    plan_recovery.TABLE,
    plan_views.TABLE,
    project.TABLE,
    prune.TABLE,
    server.TABLE,
    sync.TABLE,
    system.TABLE,
)

_PHASES = {Phase.STRATEGIZE: strategize.run, Phase.EXECUTE: execute.run, Phase.APPLY: apply.run}


def serve(paths: Paths, notify: detach.Notify) -> None:
    """Be the daemon of this home until told to stop; the process is already what it should be.

    What goes wrong before the socket answers is told through `notify`.
    """
    try:
        lock = _take_home(paths)
    except errors.CleverAgentsError as error:
        notify.failed(error)
        return
    _open_log(paths)
    try:
        asyncio.run(_Main(paths, notify).run())
    except errors.CleverAgentsError as error:
        log.error("the daemon could not start: %s", error.message)  # noqa: TRY400  the message says it all
        notify.failed(error)
    finally:
        lock.release()


def _take_home(paths: Paths) -> detach.InstanceLock:
    paths.create()
    lock = detach.InstanceLock.acquire(paths.lock_file)
    if lock is None:
        holder = detach.PidFile.read(paths.pid_file)
        raise errors.AlreadyRunningError(
            f"a daemon is running already{f' (pid {holder.pid})' if holder else ''}",
            detail={"pid": holder.pid if holder else None, "socket": str(paths.socket)},
            suggestions=["ca daemon status"],
        )
    return lock


def _open_log(paths: Paths) -> None:
    handler = logging.handlers.RotatingFileHandler(
        paths.daemon_log, maxBytes=LOG_BYTES, backupCount=LOG_FILES, delay=True
    )
    formatter = logging.Formatter("{asctime} {levelname:<7} {name}: {message}", style="{", datefmt="%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.raiseExceptions = False  # a full disk must not end the daemon through its log
    root = logging.getLogger()
    root.handlers[:] = [handler]


class _Main:
    """One life of the daemon."""

    def __init__(self, paths: Paths, notify: detach.Notify) -> None:
        self._paths = paths
        self._notify = notify
        self._config = Settings(paths.config_file, os.environ)
        self._stop = asyncio.Event()
        self._grace = 0.0
        self._kill = False
        self._last_busy = time.monotonic()
        self._changed = asyncio.Event()
        self._stacks: TextIO | None = None

    async def run(self) -> None:
        """Startup, run, shutdown."""
        self._config.check()
        self._apply_log_level()
        git.check()
        clock = Clock()
        db = opening.open_store(self._paths.database, self._paths.backups, clock)
        try:
            await self._startup(db, clock)
            await self._run()
        finally:
            await self._shutdown(db)
        if self._workers.abandoned:
            log.warning("work that was given up goes on in this process; it ends with it")
            os._exit(0)  # the interpreter would wait for a thread that may never end

    async def _startup(self, db: Database, clock: Clock) -> None:
        feed = Feed()
        services = Services(db, feed, Lifecycle(self._config), self._config, self._paths)
        self._services = services
        self._workers = Workers(
            db,
            services.lifecycle,
            self._config,
            {phase: self._phase(phase) for phase in Phase},
            mend=lambda busy: recovery.mend(services, busy),
        )
        db.on_commit = self._committed
        await recovery.recover(services)
        self._sync = Syncer(services)
        self._daemon = Daemon(
            services, self._workers, VERSION, clock.now(), self._ask_to_stop, self._sync, self._obey_now
        )
        self._listener = listener.Listener(self._daemon, HANDLERS)
        await self._listener.open()
        await self._workers.start()
        self._handle_signals()
        info = detach.PidFile.here(version=VERSION, socket=str(self._paths.socket))
        detach.PidFile.write(self._paths.pid_file, info)
        log.info("daemon %s serves %s as pid %d", VERSION, self._paths.socket, os.getpid())
        self._notify.ready(str(os.getpid()))
        await self._sync.start()

    def _phase(self, phase: Phase) -> PhaseWork:
        async def work(running: Running) -> None:
            context = Context(self._services, running.claim, running.token, running.lend)
            try:
                await _PHASES[phase](context)
            except Stopped as stopped:
                if stopped.reason is not Stop.SHUTDOWN:  # then what runs is left to the next daemon
                    await commands.end_all(context)
                raise
            await cleanup.after(self._services, running.claim.plan.plan_id)

        return work

    def _committed(self, found: list[Event]) -> None:
        self._workers.notice(found)
        self._services.feed.publish(found)

    async def _run(self) -> None:
        """Until somebody asks to stop; a side task that dies stops the daemon loudly."""
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        keeping = asyncio.create_task(self._keep_house(), name="housekeeping")
        failed = {self._workers.failed, self._sync.failed}
        await asyncio.wait({stop, keeping, *failed}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if keeping.done():
            keeping.result()
        keeping.cancel()
        for side in failed:
            if side.done():
                side.result()

    async def _shutdown(self, db: Database) -> None:
        if hasattr(self, "_listener"):
            self._daemon.draining = True
            await self._sync.stop()
            left = await self._workers.stop(grace=self._grace, kill=self._kill)
            log.info("stopping; %d jobs are left to the next daemon", 0 if self._kill else left)
            await self._listener.close()
            detach.PidFile.remove(self._paths.pid_file)
        await db.close()

    def _ask_to_stop(self, grace: float, kill: bool) -> None:  # noqa: FBT001  the handler's words
        self._grace, self._kill = grace, kill
        self._daemon.draining = True
        self._stop.set()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._open_stacks()

    def _open_stacks(self) -> None:
        """Have SIGQUIT write the stacks to the log, as the file is that has its name now."""
        earlier, self._stacks = self._stacks, self._paths.daemon_log.open("a")
        faulthandler.register(signal.SIGQUIT, file=self._stacks, all_threads=True)
        if earlier is not None:
            earlier.close()

    def _reload(self) -> None:
        log.info("SIGHUP: configuration, log and socket are opened again")
        _open_log(self._paths)
        self._open_stacks()
        self._obeying = asyncio.create_task(self._obey_now(), name="settings")
        self._reopening = asyncio.create_task(self._listener.reopen_if_gone(), name="socket")

    async def _obey_now(self) -> None:
        """The configuration may have changed: what does not look at it when it needs it follows."""
        await self._obey()
        self._changed.set()

    async def _obey(self) -> None:
        self._apply_log_level()
        self._sync.notice_settings()
        await self._workers.obey()

    def _apply_log_level(self) -> None:
        logging.getLogger().setLevel(str(self._config.value("core.log-level")).upper())

    async def _keep_house(self) -> None:
        """What has to be looked at now and then: the socket, the settings, retention, the end of an idle daemon."""
        await recovery.clean_up(self._services)
        pruned = float("-inf")
        while True:
            try:
                await self._obey()
                if time.monotonic() - pruned >= PRUNING:
                    await retention.prune(self._services)
                    await self._copy_store()
                    pruned = time.monotonic()
                limit = float(self._config.value("daemon.idle-timeout"))
            except errors.CleverAgentsError as error:  # a broken configuration or a full disk does not end the daemon
                log.warning("housekeeping: %s", error.message)
                limit = 0.0
            await self._listener.reopen_if_gone()
            if limit and self._idle_for() >= limit:
                log.info("idle for %g s; ending", limit)
                self._stop.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(HOUSEKEEPING, limit / 4 or HOUSEKEEPING)):
                    await self._changed.wait()
            self._changed.clear()

    async def _copy_store(self) -> None:
        try:
            copy = await asyncio.to_thread(
                copies.make_daily, self._paths.database, self._paths.backups, self._services.db.clock.now()
            )
        except errors.CleverAgentsError as error:  # the store goes on without it
            log.warning("the store could not be copied: %s", error.message)
        else:
            if copy is not None:
                log.info("the store was copied to %s", copy)

    def _idle_for(self) -> float:
        """Seconds since something was queued, running or connected."""
        if self._listener.connections or self._workers.running or jobs.queued_count(self._services.db.read):
            self._last_busy = time.monotonic()
        return time.monotonic() - max(self._last_busy, self._listener.last_used)
