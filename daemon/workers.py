"""Workers: slots that claim a job, run its phase, and record how it ended.

A worker that finds nothing to do sleeps until a commit queues a job; the poll is a safety net, and only while something is
queued. While a phase runs, its job beats and its locks are renewed; a phase that loses its lock is stopped.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import msgspec

from daemon import views
from daemon.lifecycle import Claim, Lifecycle, owner_of
from daemon.settings import Settings
from daemon.tokens import Stop, Stopped, Token
from store import errors, jobs, locks
from store.clock import SECOND
from store.database import Database, Transaction
from store.records import Event
from store.states import Phase

log = logging.getLogger(__name__)

PhaseWork = Callable[["Running"], Awaitable[None]]
"""Does the work of a phase and records its end through the lifecycle; raises what went wrong."""


class ConstrainedError(Exception):
    """Apply may not go on: the cause is an error that leaves the plan constrained, not errored."""

    def __init__(self, error: errors.CleverAgentsError) -> None:
        super().__init__(error.message)
        self.error = error


class Running(msgspec.Struct, frozen=True):
    """A job in a worker's hands."""

    claim: Claim
    token: Token


class Workers:
    """The worker slots of one daemon."""

    def __init__(self, db: Database, lifecycle: Lifecycle, config: Settings, phases: Mapping[Phase, PhaseWork]) -> None:
        self._db = db
        self._lifecycle = lifecycle
        self._config = config
        self._phases = phases
        self._slots: dict[str, asyncio.Task[None]] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._running: dict[str, Running] = {}
        self._live = 0
        self._queued = 0
        self._poll: asyncio.TimerHandle | None = None
        self._draining = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> Mapping[str, Running]:
        """The jobs that run here, by id."""
        return self._running

    @property
    def draining(self) -> bool:
        return self._draining

    async def start(self) -> None:
        """Open the slots; they begin to claim at once."""

        def register(tx: Transaction) -> None:
            jobs.stop_workers(tx)
            for worker_id in self._wanted():
                jobs.worker_idle(tx, worker_id)

        await self._db.write(register)
        self._open_slots()
        self._watch_queue()

    def notice(self, events: list[Event]) -> None:
        """What was committed: a queued job wakes a worker, a cancel request reaches its phase."""
        for event in events:
            if event.kind == "job.queued":
                self._queued += 1
                self._open_slots()
                self._wake_one()
                self._watch_queue()
            elif event.kind == "job.cancel-requested" and event.job_id in self._running:
                self._running[event.job_id].token.stop(Stop.CANCELLED)

    async def stop(self, *, grace: float, kill: bool) -> int:
        """No new claims; running phases get `grace` seconds, then are handed over, or ended with `kill`; how many were."""
        self._draining = True
        if self._poll is not None:
            self._poll.cancel()
        for waiter in self._idle:
            waiter.cancel()
        busy = [task for task in self._slots.values() if not task.done()]
        if busy and self._running and grace > 0:
            await asyncio.wait(busy, timeout=grace)
        left = len(self._running)
        for running in self._running.values():
            running.token.stop(Stop.KILL if kill else Stop.SHUTDOWN)
        if busy:
            await asyncio.wait(busy)
        await self._db.write(jobs.stop_workers)
        return left

    def _wanted(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, int(self._config.value("async.max_workers")) + 1)]

    def _open_slots(self) -> None:
        if self._draining or self._live >= int(self._config.value("async.max_workers")):
            return
        for worker_id in self._wanted():
            task = self._slots.get(worker_id)
            if task is None or task.done():
                self._live += 1
                self._slots[worker_id] = asyncio.create_task(self._slot(worker_id), name=worker_id)
                self._slots[worker_id].add_done_callback(self._slot_ended)

    def _slot_ended(self, task: asyncio.Task[None]) -> None:
        self._live -= 1
        if not task.cancelled() and task.exception() is not None and not self.failed.done():
            self.failed.set_exception(task.exception() or RuntimeError("a worker ended"))

    def _wake_one(self) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _slot(self, worker_id: str) -> None:
        number = int(worker_id.rpartition("-")[2])
        while not self._draining and number <= int(self._config.value("async.max_workers")):
            queued = self._queued
            claim = await self._db.write(lambda tx: self._lifecycle.claim(tx, worker_id))
            if claim is not None:
                await self._carry_out(claim)
            elif queued == self._queued and not self._draining:
                await self._rest()
        self._wake_one()  # what woke a slot that is no longer wanted is for another one

    async def _rest(self) -> None:
        """Until somebody wakes it: for a job that was queued, or to look again at those that could not run yet."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        with suppress(asyncio.CancelledError):
            await waiter

    def _watch_queue(self) -> None:
        """While jobs wait, look now and then whether they may run by now: limits in the configuration may have changed."""
        if self._poll is None and not self._draining:
            interval = float(self._config.value("async.poll_interval"))
            self._poll = asyncio.get_running_loop().call_later(interval, self._look_at_queue)

    def _look_at_queue(self) -> None:
        self._poll = None
        if self._draining or not jobs.queued_count(self._db.read):
            return
        self._open_slots()
        for _ in range(len(self._idle)):
            self._wake_one()
        self._watch_queue()

    async def _carry_out(self, claim: Claim) -> None:
        running = Running(claim, Token())
        if claim.job.cancel_requested_at is not None:  # asked for while an earlier daemon had the job
            running.token.stop(Stop.CANCELLED)
        self._running[claim.job.job_id] = running
        beating = asyncio.create_task(self._beat(running), name=f"beat {claim.job.job_id}")
        deadline = self._deadline(running)
        try:
            await self._phase(running)
        finally:
            beating.cancel()
            if deadline is not None:
                deadline.cancel()
            del self._running[claim.job.job_id]

    async def _phase(self, running: Running) -> None:
        """Run the phase; whatever happens, how it ended is written."""
        claim = running.claim
        try:
            await self._phases[claim.job.phase](running)
        except Stopped as stopped:
            await self._record_stop(claim, stopped.reason)
        except ConstrainedError as constrained:
            await self._record_failure(claim, constrained.error, constrained=True)
        except errors.CleverAgentsError as error:
            await self._record_failure(claim, error)
        except Exception as error:  # a defect of ours fails this plan and is logged, not the daemon's life
            log.exception("job %s of plan %s failed", claim.job.job_id, claim.plan.plan_id)
            internal = errors.InternalError(
                f"{claim.job.phase} failed inside the daemon: {type(error).__name__}: {error}",
                suggestions=["ca daemon logs"],
            )
            await self._record_failure(claim, internal)

    async def _record_stop(self, claim: Claim, reason: Stop) -> None:
        if reason is Stop.CANCELLED:
            job = jobs.get(self._db.read, claim.job.job_id)
            why = (job.error_message if job else None) or "cancelled by the user"
            await self._db.write(lambda tx: self._lifecycle.stopped(tx, claim, why))
        elif reason in {Stop.SHUTDOWN, Stop.KILL}:
            await self._db.write(lambda tx: self._lifecycle.requeue(tx, claim, ended=reason is Stop.KILL))
        elif reason is Stop.TIMED_OUT:
            text = f"the job did not end within async.job_timeout ({claim.job.timeout_s} s)"
            await self._record_failure(claim, errors.TimedOutError(text))
        else:
            text = "the plan's lock was lost while the phase ran; its processes were ended"
            await self._record_failure(claim, errors.LockExpiredError(text))

    async def _record_failure(
        self, claim: Claim, error: errors.CleverAgentsError, *, constrained: bool = False
    ) -> None:
        detail = {**error.detail, "suggestions": error.suggestions} if error.suggestions else error.detail
        view = views.ErrorView(error.code, error.message, error.detail.get("step"), detail)
        try:
            await self._db.write(lambda tx: self._lifecycle.fail(tx, claim, view, constrained=constrained))
        except errors.LockExpiredError as late:
            log.warning("a late end was refused: %s", late.message)

    def _deadline(self, running: Running) -> asyncio.TimerHandle | None:
        """The whole job's deadline; it counts from the first start, so it holds after a restart."""
        job = running.claim.job
        if job.timeout_s == 0 or job.started_at is None:
            return None
        left = (job.started_at - self._db.clock.now()) / SECOND + job.timeout_s
        return asyncio.get_running_loop().call_later(max(0.0, left), running.token.stop, Stop.TIMED_OUT)

    async def _beat(self, running: Running) -> None:
        """Renew the job's sign of life and its locks, each well before it ends."""
        while True:
            ttl = float(self._config.value("lock.ttl"))
            await asyncio.sleep(min(ttl, float(self._config.value("async.job_ttl"))) / 3)
            try:
                await self._db.write(lambda tx, ttl=ttl: self._renew(tx, running.claim, ttl))
            except errors.LockExpiredError as error:
                log.warning("job %s: %s", running.claim.job.job_id, error.message)
                running.token.stop(Stop.LOCK_LOST)
                return
            except errors.CleverAgentsError as error:  # a full disk, say: the lease lasts for two more tries
                log.warning("job %s could not renew: %s", running.claim.job.job_id, error.message)

    def _renew(self, tx: Transaction, claim: Claim, ttl: float) -> None:
        locks.renew(tx, claim.lock, ttl)
        locks.renew_all_for_owner(tx, owner_of(claim.job), ttl)
        if jobs.beat(tx, claim.job) is None:
            raise errors.LockExpiredError(f"job {claim.job.job_id} is no longer this worker's")
