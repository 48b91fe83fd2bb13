"""Workers: slots that claim a job, run its phase, and record how it ended.

A worker that finds nothing to do stands by: the commit that queues a job also claims it. The poll is a safety net, and only
while something is queued. While phases run, their jobs beat and their locks are renewed, all in one transaction; a phase that
lost its lock is stopped. A phase that was told to stop and does not beats no more: its job is failed as stuck, and its worker
goes on without it. What it writes later is refused.

`async.max_workers` limits the phases that work. One that waits for its children lends its place to another, and so there may be
more slots than places for a while.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import msgspec

from daemon import aside, views
from daemon.holding import owner_of
from daemon.lifecycle import Lifecycle
from daemon.moves import Claim
from daemon.parents import BY_USER
from daemon.settings import Settings
from daemon.tokens import Stop, Stopped, Token
from store import damage, errors, jobs, locks
from store.clock import SECOND
from store.database import Database, Transaction
from store.records import AsyncJob, Event, Lock
from store.states import Phase

log = logging.getLogger(__name__)

_QUEUED = "job.queued"
_FREED = frozenset({"lock.released", "lock.expired", "subplan.admitted"})
"""Events after which a queued job may run that could not before."""
_GIVEN_UP = frozenset({"job.cancelled", "job.failed"})

Mend = Callable[[Collection[str]], Awaitable[list[str]]]
"""Sets aside what stops the queue, but none of these jobs; says what."""
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
    over: "asyncio.Future[None]"
    """Done when the phase has ended, or when its worker is not to wait for it any longer."""
    lend: Callable[[], AbstractAsyncContextManager[None]]
    """A context in which the phase only waits: its place is another one's, and is asked for again at the end."""


class Workers:
    """The worker slots of one daemon."""

    def __init__(
        self,
        db: Database,
        lifecycle: Lifecycle,
        config: Settings,
        phases: Mapping[Phase, PhaseWork],
        mend: Mend | None = None,
    ) -> None:
        self._db = db
        self._mend = mend
        self._lifecycle = lifecycle
        self._config = config
        self._phases = phases
        self._slots: dict[str, asyncio.Task[None]] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._running: dict[str, Running] = {}
        self._taken = 0
        self._lent: set[str] = set()
        self._to_stop: set[str] = set()
        self._back: deque[asyncio.Future[None]] = deque()
        self._live = 0
        self._noticed = 0
        self._stirred = 0
        self._poll: asyncio.TimerHandle | None = None
        self._next_beat: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        self._told: dict[str, int] = {}
        self._abandoned: set[asyncio.Task[None]] = set()
        self._started = False
        self._draining = False
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> Mapping[str, Running]:
        """The jobs that run here, by id."""
        return self._running

    @property
    def draining(self) -> bool:
        return self._draining

    @property
    def abandoned(self) -> bool:
        """Whether a phase that nobody waits for is still at work; a thread of it may never end."""
        return bool(self._abandoned)

    async def start(self) -> None:
        """Open the slots; they begin to claim at once."""

        def register(tx: Transaction) -> None:
            jobs.stop_workers(tx)
            for worker_id in self._wanted():
                jobs.worker_idle(tx, worker_id)

        await self._db.write(register)
        self._to_stop = jobs.to_stop(self._db.read)
        self._started = True
        self._noticed = self._places
        self._open_slots()
        self._watch_queue()

    def notice(self, events: list[Event]) -> None:
        """What was committed: a job that waits wakes a worker, a cancel request reaches its phase."""
        claimed = {event.job_id for event in events if event.kind == "job.running"}
        self._to_stop -= claimed | {event.job_id for event in events if event.kind in _GIVEN_UP}
        for event in events:
            if event.kind == _QUEUED and event.job_id not in claimed:  # else a worker stood by for it
                self._stirred += 1
                self._open_slots()
                self._wake_one()
                self._watch_queue()
            elif event.kind == "job.cancel-requested" and event.job_id in self._running:
                self._running[event.job_id].token.stop(Stop.CANCELLED)
            elif event.kind == "job.cancel-requested" and event.job_id is not None and event.job_id not in claimed:
                self._to_stop.add(event.job_id)
                self._stirred += 1
                self._open_slots()
                self._wake_one()
            elif event.kind in _FREED:
                self._stirred += 1
                self._wake_one()

    async def obey(self) -> None:
        """Have as many slots as the configuration says now, and list them; one that is too many ends with its job."""
        places = self._places
        if not self._started or self._draining or places == self._noticed:
            return
        self._noticed = places
        self._open_slots()
        self._wake_all()
        wanted = self._wanted()

        def list_them(tx: Transaction) -> None:
            listed = jobs.workers(tx)
            for worker in listed:
                if worker.job_id is None and worker.worker_id not in wanted:
                    jobs.stop_worker(tx, worker.worker_id)
            for worker_id in set(wanted) - {worker.worker_id for worker in listed}:
                jobs.worker_idle(tx, worker_id)

        try:
            await self._db.write(list_them)
        except errors.CleverAgentsError as error:
            log.warning("the workers could not be listed: %s", error.message)

    async def stop(self, *, grace: float, kill: bool) -> int:
        """No new claims; running phases get `grace` seconds, then are handed over, or ended with `kill`; how many were."""
        self._draining = True
        if self._poll is not None:
            self._poll.cancel()
        self._wake_all()
        busy = [task for task in self._slots.values() if not task.done()]
        if busy and self._running and grace > 0:
            await asyncio.wait(busy, timeout=grace)
        left = len(self._running)
        for running in self._running.values():
            running.token.stop(Stop.KILL if kill else Stop.SHUTDOWN)
        if busy:
            await asyncio.wait(busy)
        self._end_beats()
        if self._beating is not None:
            await asyncio.wait([self._beating])
        await self._db.write(jobs.stop_workers)
        return left

    @property
    def _places(self) -> int:
        """How many phases may work at the same time; to stop what works already needs no leave."""
        return int(self._config.value("async.max_workers")) + len(self._to_stop)

    @property
    def _slot_count(self) -> int:
        return self._places + len(self._lent)

    def _wanted(self) -> list[str]:
        return [f"worker-{number}" for number in range(1, self._slot_count + 1)]

    def _open_slots(self) -> None:
        if not self._started or self._draining or self._live >= self._slot_count:
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
        """Let one slot look around: one that has a place and waits for a job, else one that waits for a place."""
        if self._db.stand_down(_QUEUED):
            return
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._db.stand_down(_QUEUED):
            pass
        for _ in range(len(self._idle)):
            self._wake_one()

    async def _slot(self, worker_id: str) -> None:
        def claim(tx: Transaction) -> Claim | None:
            return self._lifecycle.claim(tx, worker_id)

        def claim_if_wanted(tx: Transaction) -> Claim | None:
            """For one who stood by: there may be fewer places by now."""
            return claim(tx) if self._taken <= self._places else None

        number = int(worker_id.rpartition("-")[2])
        seen = -1  # of what stirred the queue, when nothing in it could run
        while not self._draining and number <= (places := self._places) + len(self._lent):
            if self._taken >= places:
                await self._rest()
                continue
            stirred = self._stirred
            self._taken += 1
            try:
                if stirred == seen:
                    claimed = await self._db.stand_by(_QUEUED, claim_if_wanted)
                else:
                    claimed = await self._db.write(claim)
                    seen = stirred if claimed is None else seen
            except errors.CleverAgentsError as error:
                self._give_place_back()
                await self._after_failed_claim(error)
                continue
            if claimed is not None:
                await self._carry_out(claimed)
            else:
                self._give_place_back()  # nobody else is woken: nothing may run
        self._wake_one()  # what woke a slot that is no longer wanted is for another one
        if not self._draining:
            try:
                await self._db.write(lambda tx: jobs.stop_worker(tx, worker_id))
            except errors.CleverAgentsError as error:  # the next daemon finds it idle, and stops it
                log.warning("%s has stopped, and that could not be noted: %s", worker_id, error.message)

    def _leave_place(self) -> None:
        """A place is free: for a phase that lent its own, else for the next job."""
        self._give_place_back()
        self._wake_one()

    def _give_place_back(self) -> None:
        self._taken -= 1
        while self._back and self._taken < self._places:
            waiter = self._back.popleft()
            if not waiter.done():
                self._taken += 1
                waiter.set_result(None)

    @asynccontextmanager
    async def _lend(self, job_id: str, token: Token) -> AsyncGenerator[None]:
        """While a phase only waits, its place is another one's; it goes on when there is a place again.

        Raises:
            Stopped: the phase is to stop, and needs no place for that.
        """
        self._lent.add(job_id)
        self._leave_place()
        self._open_slots()
        yield
        if job_id not in self._lent:  # nobody waits for this phase any more
            return
        if self._taken >= self._places:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._back.append(waiter)
            self._wake_one()  # who has a place and nothing to do gives it back
            try:
                await token.watch(waiter)
            except BaseException:
                if waiter.done():
                    self._leave_place()
                waiter.cancel()
                raise
        else:
            self._taken += 1
        self._lent.discard(job_id)
        self._wake_all()

    async def _after_failed_claim(self, error: errors.CleverAgentsError) -> None:
        """A job that cannot be read would stop all others: it is set aside. Any other cause may go away by itself."""
        log.error("no job can be claimed: %s", error.message)
        if isinstance(error, damage.UnreadableRowError) and self._mend is not None:
            try:
                mended = await self._mend(self._running)
            except errors.CleverAgentsError as failure:
                log.error("the queue could not be put in order: %s", failure.message)  # noqa: TRY400  the message says it all
            else:
                for done in mended:
                    log.error(done)
                if mended:
                    return
        if not self._draining:
            self._watch_queue()
            await self._rest()

    async def _rest(self) -> None:
        """Until somebody wakes it: for a job that was queued, or to look again at those that could not run yet."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
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
        self._stirred += 1
        self._open_slots()
        self._wake_all()
        self._watch_queue()

    async def _carry_out(self, claim: Claim) -> None:
        """Until the phase has ended, or is given up."""
        job_id = claim.job.job_id
        token = Token()
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        running = Running(claim, token, over, lambda: self._lend(job_id, token))
        if claim.job.cancel_requested_at is not None or job_id in self._to_stop:  # asked for before this worker had it
            self._to_stop.discard(job_id)
            running.token.stop(Stop.CANCELLED)
        elif self._draining:
            running.token.stop(Stop.SHUTDOWN)
        self._running[job_id] = running
        self._watch_lease(claim.lock)
        deadline = self._deadline(running)
        phase = asyncio.create_task(self._phase(running), name=f"job {job_id}")
        phase.add_done_callback(lambda _: _settle(running.over))
        await running.over
        if deadline is not None:
            deadline.cancel()
        del self._running[job_id]
        self._told.pop(job_id, None)
        if job_id in self._lent:  # it was stopped while it waited
            self._lent.discard(job_id)
        else:
            self._give_place_back()  # nobody else is woken: its slot looks for the next job itself
        if not self._running:
            self._end_beats()
        if phase.done():
            phase.result()
        else:
            self._abandoned.add(phase)
            phase.add_done_callback(self._ended_at_last)

    def _ended_at_last(self, phase: asyncio.Task[None]) -> None:
        self._abandoned.discard(phase)
        if not phase.cancelled() and (error := phase.exception()) is not None:
            log.error("%s, which nobody waited for, ended with %r", phase.get_name(), error)

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
            why = (job.error_message if job else None) or BY_USER
            await self._record(claim, lambda tx: self._lifecycle.stopped(tx, claim, why))
        elif reason in {Stop.SHUTDOWN, Stop.KILL}:
            await self._record(claim, lambda tx: self._lifecycle.requeue(tx, claim, ended=reason is Stop.KILL))
        elif reason is Stop.TIMED_OUT:
            limit = "async.job_timeout" if claim.plan.parent_plan_id is None else "the timeout of its subplans step"
            text = f"the job did not end within {limit} ({claim.job.timeout_s} s)"
            await self._record_failure(claim, errors.TimedOutError(text))
        else:
            text = "the plan's lock was lost while the phase ran; its processes were ended"
            await self._record_failure(claim, errors.LockExpiredError(text))

    async def _record_failure(
        self, claim: Claim, error: errors.CleverAgentsError, *, constrained: bool = False
    ) -> None:
        view = _view(error)
        await self._record(claim, lambda tx: self._lifecycle.fail(tx, claim, view, constrained=constrained))

    async def _record(self, claim: Claim, end: Callable[[Transaction], object]) -> None:
        """Write how a phase ended, unless its job was taken from it meanwhile; on a full disk, once there is room."""
        while True:
            try:
                await self._db.write(end)
            except errors.LockExpiredError as late:
                log.warning("a late end was refused: %s", late.message)
            except damage.UnreadableRowError as error:
                log.exception("the end of job %s cannot be recorded with its plan", claim.job.job_id)
                await self._db.write(lambda tx, why=error.message: aside.give_up(tx, claim.job, why))
            except errors.DiskFullError as error:
                log.warning("the end of job %s is not recorded yet: %s", claim.job.job_id, error.message)
                if not self._draining:  # else the next daemon finds the job running
                    await asyncio.sleep(float(self._config.value("async.poll_interval")))
                    continue
            return

    def _deadline(self, running: Running) -> asyncio.TimerHandle | None:
        """The whole job's deadline; it is stored, so it holds after a restart."""
        if running.claim.job.deadline_at is None:
            return None
        left = (running.claim.job.deadline_at - self._db.clock.steady()) / SECOND
        return asyncio.get_running_loop().call_later(max(0.0, left), running.token.stop, Stop.TIMED_OUT)

    def _schedule_beat(self) -> None:
        """See to it that the next beat comes well before a lease or a heartbeat runs out."""
        interval = min(float(self._config.value("lock.ttl")), float(self._config.value("async.job_ttl"))) / 3
        loop = asyncio.get_running_loop()
        if self._next_beat is not None and self._next_beat.when() > loop.time() + interval:
            self._next_beat.cancel()
            self._next_beat = None
        if self._next_beat is None:
            self._next_beat = loop.call_later(interval, self._begin_beat)

    def _watch_lease(self, lock: Lock) -> None:
        """See to it that the next beat comes well before this lease runs out."""
        length = (lock.expires_at - lock.acquired_at) / SECOND
        if self._next_beat is None or self._next_beat.when() > asyncio.get_running_loop().time() + length / 3:
            self._schedule_beat()

    def _end_beats(self) -> None:
        """Nobody runs, so nobody beats."""
        if self._next_beat is not None:
            self._next_beat.cancel()
            self._next_beat = None

    def _begin_beat(self) -> None:
        self._next_beat = None
        if self._running and (self._beating is None or self._beating.done()):
            self._beating = asyncio.create_task(self.beat(), name="beat")

    async def beat(self) -> None:
        """First whoever is alive says so, then those that do not are judged, in the same transaction."""
        alive = [running for running in self._running.values() if self._is_alive(running)]
        ttl = float(self._config.value("lock.ttl"))
        silence = float(self._config.value("async.job_ttl"))
        try:
            beaten = await self._db.write(lambda tx: self._renew(tx, alive, ttl=ttl, silence=silence))
        except errors.CleverAgentsError as error:  # a full disk, say: the leases last for two more tries
            log.warning("the running jobs could not be renewed: %s", error.message)
        else:
            for running in beaten.lost:
                running.token.stop(Stop.LOCK_LOST)
            for job in beaten.silent:
                if job.job_id in self._running:
                    _settle(self._running[job.job_id].over)
        if self._running:
            self._schedule_beat()

    def _is_alive(self, running: Running) -> bool:
        """Whether the phase may be expected to end: one that was told to stop has some time for it."""
        if running.token.reason is None:
            return True
        now = self._db.clock.steady()
        told = self._told.setdefault(running.claim.job.job_id, now)
        patience = float(self._config.value("async.cancel-grace")) + float(self._config.value("async.job_ttl"))
        return now - told <= patience * SECOND

    def _renew(self, tx: Transaction, alive: list[Running], *, ttl: float, silence: float) -> "_Beaten":
        lost = [running for running in alive if not _renewed(tx, running.claim, ttl)]
        silent = jobs.silent(tx, tx.steady - int(silence * SECOND))
        if not self._draining:  # else the next daemon goes on with them
            for job in silent:
                try:
                    self._rescue(tx, job, silence)
                except damage.UnreadableRowError as error:  # its plan cannot be moved, and all others have to beat
                    aside.give_up(tx, job, error.message)
        return _Beaten(lost, silent)

    def _rescue(self, tx: Transaction, job: AsyncJob, silence: float) -> None:
        error = errors.StuckError(
            f"{job.phase} is stuck: its worker was told to stop, or is gone, and gave no sign of life for {silence:g} s; "
            f"something of it may still be at work in the sandbox",
            detail={"job_id": job.job_id, "worker_id": job.worker_id},
            suggestions=["ca daemon logs"],
        )
        log.error("job %s of plan %s: %s", job.job_id, job.plan_id, error.message)
        self._lifecycle.rescue(tx, job, _view(error))


class _Beaten(msgspec.Struct, frozen=True):
    """Whose lock is gone, and which jobs have been silent for too long."""

    lost: list[Running]
    silent: list[AsyncJob]


def _renewed(tx: Transaction, claim: Claim, ttl: float) -> bool:
    """Note the job's sign of life and extend its leases; False when the job or the plan is no longer its own."""
    try:
        if jobs.beat(tx, claim.job) is None:
            return False
        locks.check(tx, claim.lock)
    except (errors.LockExpiredError, damage.UnreadableRowError) as error:
        log.warning("job %s: %s", claim.job.job_id, error.message)
        return False
    locks.keep_all_for_owner(tx, owner_of(claim.job), ttl)
    return True


def _view(error: errors.CleverAgentsError) -> views.ErrorView:
    detail = {**error.detail, "suggestions": error.suggestions} if error.suggestions else error.detail
    return views.ErrorView(error.code, error.message, error.detail.get("step"), detail)


def _settle(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)
