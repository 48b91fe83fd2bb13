"""Worker slots: they claim when something is queued, sleep otherwise, and record how each phase ended."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from daemon import recovery
from daemon.feed import Feed
from daemon.holding import owner_of
from daemon.lifecycle import Lifecycle
from daemon.moves import Claim
from daemon.phases.context import Services
from daemon.settings import Settings
from daemon.tokens import Stop, Stopped
from daemon.views import DiffStatView
from daemon.workers import ConstrainedError, Running, Workers
from store import errors, events, jobs, locks, opening, paths, plans
from store.clock import SECOND
from store.database import Database, Transaction
from store.records import Event, Plan
from store.states import Phase, State
from tests.stores import SettableClock, new_plan
from tests.waiting import wait_until_async

T = TypeVar("T")
Work = Callable[[Running], Awaitable[None]]


class Scene:
    """A store, a life cycle and workers whose phases do what the test says."""

    def __init__(
        self, directory: Path, db: Database, work: Work, environ: dict[str, str], lifecycle: type[Lifecycle] = Lifecycle
    ) -> None:
        self.db = db
        self.settings = Settings(directory / "config.toml", environ)
        self.lifecycle = lifecycle(self.settings)
        places = paths.resolve({"CLEVERAGENTS_HOME": str(directory)})
        places.create()
        services = Services(db, Feed(), self.lifecycle, self.settings, places)
        self.workers = Workers(
            db, self.lifecycle, self.settings, dict.fromkeys(Phase, work), lambda busy: recovery.mend(services, busy)
        )
        db.on_commit = self.workers.notice

    async def use(self, name: str, profile: str = "supervised") -> Plan:
        plan = new_plan(name, now=self.db.clock.now(), automation_profile=profile)
        return await self.db.write(lambda tx: self.lifecycle.use(tx, plan, []))

    async def at_rest(self) -> None:
        """Every worker sleeps until something is queued."""
        standing = self.db._standing  # pyright: ignore[reportPrivateUsage]  nothing outside tells sleeping from claiming
        await wait_until_async(lambda: len(standing.get("job.queued", ())) == 4)

    def plan(self, plan: Plan) -> Plan:
        found = plans.get(self.db.read, plan.plan_id)
        assert found is not None
        return found

    async def until(self, plan: Plan, state: State) -> Plan:
        await wait_until_async(lambda: self.plan(plan).state is state)
        return self.plan(plan)


def play(
    directory: Path,
    work: Callable[["Scene", Running], Awaitable[None]],
    script: Callable[[Scene], Coroutine[Any, Any, T]],
    lifecycle: type[Lifecycle] = Lifecycle,
    /,
    **environ: str,
) -> T:
    """Open everything, start the workers, follow the script, stop and close; the stop has a bound."""

    async def scene() -> T:
        db = opening.open_store(directory / "store.db", directory, SettableClock())
        made: list[Scene] = []
        stage = Scene(directory, db, lambda running: work(made[0], running), environ, lifecycle)
        made.append(stage)
        try:
            await stage.workers.start()
            result = await script(stage)
            async with asyncio.timeout(10):
                await stage.workers.stop(grace=0, kill=False)
            return result
        finally:
            await db.close()

    return asyncio.run(scene())


async def done(stage: Scene, running: Running) -> None:
    await stage.db.write(lambda tx: complete(stage, tx, running))


def complete(stage: Scene, tx: Transaction, running: Running) -> None:
    diff = msgspec.json.encode(DiffStatView("d", 1, 1, 0)).decode()
    changes = {"diff_json": diff} if running.claim.plan.phase is Phase.EXECUTE else {}
    stage.lifecycle.complete(tx, running.claim, **changes)


async def until_told(_stage: Scene, running: Running) -> None:
    """A phase that goes on until its token says otherwise."""
    await running.token.watch(asyncio.Event().wait())


def test_a_queued_job_wakes_an_idle_worker(tmp_path: Path) -> None:
    """No poll is involved: the interval is a minute here."""

    async def script(stage: Scene) -> Plan:
        await stage.at_rest()
        return await stage.until(await stage.use("p"), State.COMPLETE)

    assert play(tmp_path, done, script, CLEVERAGENTS_ASYNC_POLL_INTERVAL="60").phase == "strategize"


def test_many_jobs_are_all_carried_out_once(tmp_path: Path) -> None:
    ran: list[str] = []

    async def work(stage: Scene, running: Running) -> None:
        ran.append(running.claim.plan.plan_id)
        await done(stage, running)

    async def script(stage: Scene) -> list[str]:
        made = [await stage.use(f"p{number}") for number in range(60)]
        for plan in made:
            await stage.until(plan, State.COMPLETE)
        return [plan.plan_id for plan in made]

    made = play(tmp_path, work, script)
    assert sorted(ran) == sorted(made)


def test_stopping_right_after_the_start_ends(tmp_path: Path) -> None:
    """Workers whose first look at the queue is under way do not lie down to rest for ever."""

    async def script(_stage: Scene) -> str:
        await asyncio.sleep(0)  # the slots have begun, and their first claims are on their way to the store
        return "stopped"

    assert play(tmp_path, done, script) == "stopped"


def test_stopping_while_a_worker_looks_for_its_next_job_ends(tmp_path: Path) -> None:
    """The moment after a phase ended is the most likely one for a stop."""

    async def script(stage: Scene) -> str:
        plan = await stage.use("p")
        await stage.until(plan, State.COMPLETE)
        return "stopped"

    assert play(tmp_path, done, script, CLEVERAGENTS_ASYNC_MAX_WORKERS="1") == "stopped"


def test_stopping_idle_workers_ends(tmp_path: Path) -> None:
    async def script(stage: Scene) -> str:
        await stage.at_rest()
        return "stopped"

    assert play(tmp_path, done, script) == "stopped"


def test_a_stop_hands_a_running_job_back_to_the_queue(tmp_path: Path) -> None:
    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        assert await stage.workers.stop(grace=0, kill=False) == 1
        assert locks.all_locks(stage.db.read) == []
        return stage.plan(plan)

    plan = play(tmp_path, until_told, script)
    assert (plan.phase, plan.state) == ("strategize", "queued")


def test_a_stop_with_grace_lets_the_phase_end(tmp_path: Path) -> None:
    gate = asyncio.Event

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        stopping = asyncio.create_task(stage.workers.stop(grace=10, kill=False))
        await asyncio.sleep(0)
        events_[0].set()
        assert await stopping == 0
        return stage.plan(plan)

    events_: list[asyncio.Event] = []

    async def work(stage: Scene, running: Running) -> None:
        events_.append(gate())
        await running.token.watch(events_[0].wait())
        await done(stage, running)

    assert play(tmp_path, work, script).state == "complete"


def test_nothing_is_claimed_while_draining(tmp_path: Path) -> None:
    async def script(stage: Scene) -> Plan:
        await stage.at_rest()
        await stage.workers.stop(grace=0, kill=False)
        plan = await stage.use("p")
        assert jobs.running(stage.db.read) == []
        return stage.plan(plan)

    assert play(tmp_path, done, script).state == "queued"


def test_a_cancel_reaches_the_running_phase(tmp_path: Path) -> None:
    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        await stage.db.write(lambda tx: stage.lifecycle.cancel(tx, plan.plan_id, "because"))
        return await stage.until(plan, State.CANCELLED)

    assert '"because"' in (play(tmp_path, until_told, script).error_json or "")


def test_a_cancel_at_the_moment_of_completion_wins(tmp_path: Path) -> None:
    """It was accepted before the completion was written."""

    async def work(stage: Scene, running: Running) -> None:
        await stage.db.write(lambda tx: stage.lifecycle.cancel(tx, running.claim.plan.plan_id, "because"))
        await done(stage, running)

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p", "trusted")
        return await stage.until(plan, State.CANCELLED)

    assert play(tmp_path, work, script).phase == "strategize"


def test_a_cancel_at_the_moment_of_a_failure_wins(tmp_path: Path) -> None:
    async def work(stage: Scene, running: Running) -> None:
        await stage.db.write(lambda tx: stage.lifecycle.cancel(tx, running.claim.plan.plan_id, "because"))
        raise errors.StepFailedError("no")

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p", "trusted")
        return await stage.until(plan, State.CANCELLED)

    assert '"because"' in (play(tmp_path, work, script).error_json or "")


FAILURES: list[tuple[BaseException, str, str]] = [
    (errors.StepFailedError("no"), "errored", "step_failed"),
    (ZeroDivisionError("oops"), "errored", "internal"),
    (Stopped(Stop.TIMED_OUT), "errored", "timed_out"),
    (Stopped(Stop.LOCK_LOST), "errored", "lock_lost"),
    (Stopped(Stop.CANCELLED), "cancelled", "cancelled"),
    (TimeoutError(), "errored", "internal"),
]


@pytest.mark.parametrize(("raised", "state", "code"), FAILURES, ids=lambda value: str(value) or "TimeoutError")
def test_however_a_phase_ends_it_is_written(tmp_path: Path, raised: BaseException, state: str, code: str) -> None:
    async def work(_stage: Scene, _running: Running) -> None:
        raise raised

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        return await stage.until(plan, State(state))

    plan = play(tmp_path, work, script)
    assert f'"code":"{code}"' in (plan.error_json or "")


def test_an_obstacle_of_apply_leaves_the_plan_constrained(tmp_path: Path) -> None:
    async def work(stage: Scene, running: Running) -> None:
        if running.claim.plan.phase is Phase.APPLY:
            raise ConstrainedError(errors.ChecksFailedError("no"))
        await done(stage, running)

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p", "trusted")
        await wait_until_async(lambda: stage.plan(plan).phase == "execute" and stage.plan(plan).state == "complete")
        await stage.db.write(
            lambda tx: stage.lifecycle.apply(tx, plan.plan_id, expect=None, allow_empty=True, payload={})
        )
        return await stage.until(plan, State.CONSTRAINED)

    assert play(tmp_path, work, script).phase == "apply"


def test_a_phase_that_lost_its_lock_is_stopped(tmp_path: Path) -> None:
    """Its lease expired and somebody else took it: what it still wants to write is refused."""
    refused: list[str] = []

    async def work(stage: Scene, running: Running) -> None:
        clock = stage.db.clock
        assert isinstance(clock, SettableClock)
        clock.advance(3601)
        await stage.db.write(lambda tx: locks.acquire(tx, "plan", running.claim.plan.plan_id, "thief", 60))
        try:
            await stage.db.write(lambda tx: stage.lifecycle.guard(tx, running.claim))
        except errors.LockExpiredError as error:
            refused.append(error.code)
            raise

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        return await stage.until(plan, State.ERRORED)

    plan = play(tmp_path, work, script)
    assert refused == ["lock_lost"]
    assert '"code":"lock_lost"' in (plan.error_json or "")


def test_the_beat_notices_a_stolen_lock(tmp_path: Path) -> None:
    """Renewed at a third of its time; when that fails, the phase is stopped with `lock_lost`."""

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        (running,) = stage.workers.running.values()
        await stage.db.write(lambda tx: locks.release_all_for_owner(tx, owner_of(running.claim.job)))
        return await stage.until(plan, State.ERRORED)

    plan = play(tmp_path, until_told, script, CLEVERAGENTS_ASYNC_JOB_TTL="3", CLEVERAGENTS_LOCK_TTL="5")
    assert '"code":"lock_lost"' in (plan.error_json or "")


def test_the_beat_renews_job_and_lock(tmp_path: Path) -> None:
    async def script(stage: Scene) -> tuple[int, int]:
        await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        clock = stage.db.clock
        assert isinstance(clock, SettableClock)
        clock.advance(4)
        await wait_until_async(lambda: jobs.running(stage.db.read)[0].last_heartbeat == clock.now())
        (lock,) = locks.all_locks(stage.db.read)
        return lock.expires_at, clock.now() + 5 * SECOND

    expires_at, wanted = play(tmp_path, until_told, script, CLEVERAGENTS_ASYNC_JOB_TTL="3", CLEVERAGENTS_LOCK_TTL="5")
    assert expires_at == wanted


Jump = Callable[[SettableClock], None]
YEAR = 365 * 86_400.0
JUMPS: dict[str, Jump] = {
    "a clock set a year forward": lambda clock: clock.set(YEAR),
    "a clock set a year back": lambda clock: clock.set(-YEAR),
    "a night of sleep": lambda clock: clock.sleep(8 * 3600),
    "a daemon that was stopped for an hour": lambda clock: clock.advance(3600),
}


@pytest.mark.parametrize("jump", JUMPS.values(), ids=JUMPS)
def test_no_jump_of_time_ends_a_job_that_is_alive(tmp_path: Path, jump: Jump) -> None:
    """It says so first and is judged then; its leases go on under the same fence."""
    go_on = asyncio.Event()

    async def work(stage: Scene, running: Running) -> None:
        await running.token.watch(go_on.wait())
        await done(stage, running)

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        clock = stage.db.clock
        assert isinstance(clock, SettableClock)
        (before,) = locks.all_locks(stage.db.read)
        jump(clock)
        clock.advance(1)
        await wait_until_async(lambda: jobs.running(stage.db.read)[0].last_heartbeat == clock.steady())
        (after,) = locks.all_locks(stage.db.read)
        assert after.fence == before.fence
        assert after.expires_at == clock.steady() + 5 * SECOND
        go_on.set()
        return await stage.until(plan, State.COMPLETE)

    play(tmp_path, work, script, CLEVERAGENTS_ASYNC_JOB_TTL="3", CLEVERAGENTS_LOCK_TTL="5")


class Stubborn:
    """A phase that hears nothing; when it is let go, it wants its end to be recorded after all."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.late: list[str] = []

    async def work(self, stage: Scene, running: Running) -> None:
        if running.claim.plan.name != "stubborn":
            await done(stage, running)
            return
        await self.let_go.wait()
        try:
            await done(stage, running)
        except errors.LockExpiredError as error:
            self.late.append(error.code)
            raise


STUCK = {
    "CLEVERAGENTS_ASYNC_JOB_TTL": "3",
    "CLEVERAGENTS_ASYNC_CANCEL_GRACE": "0",
    "CLEVERAGENTS_ASYNC_MAX_WORKERS": "1",
}


async def pass_until(stage: Scene, condition: Callable[[], object]) -> None:
    """Let time run, a second every few milliseconds, until a condition is true."""
    clock = stage.db.clock
    assert isinstance(clock, SettableClock)

    def passed() -> object:
        clock.advance(1)
        return condition()

    await wait_until_async(passed)


def test_a_phase_that_does_not_stop_is_failed_as_stuck_and_its_late_end_refused(tmp_path: Path) -> None:
    """Its worker goes on without it."""
    phase = Stubborn()

    async def script(stage: Scene) -> None:
        plan = await stage.use("stubborn")
        await wait_until_async(lambda: stage.workers.running)
        await stage.db.write(lambda tx: stage.lifecycle.cancel(tx, plan.plan_id, "because"))
        await pass_until(stage, lambda: stage.plan(plan).state is State.ERRORED)
        (job,) = jobs.latest(stage.db.read)
        assert (job.status, job.error_code) == ("failed", "stuck")
        assert '"code":"stuck"' in (stage.plan(plan).error_json or "")
        assert locks.all_locks(stage.db.read) == []
        await wait_until_async(lambda: stage.workers.abandoned)

        await stage.until(await stage.use("next"), State.COMPLETE)
        (worker,) = jobs.workers(stage.db.read)
        assert (worker.jobs_processed, worker.jobs_failed) == (2, 1)

        before = stage.plan(plan)
        phase.let_go.set()
        await wait_until_async(lambda: not stage.workers.abandoned)
        assert phase.late == ["lock_lost"]
        assert stage.plan(plan) == before
        assert jobs.get(stage.db.read, job.job_id) == job

    play(tmp_path, phase.work, script, **STUCK)


def test_a_phase_that_runs_is_never_stuck_however_long_it_takes(tmp_path: Path) -> None:
    """Only one that was told to stop has to end within a certain time."""

    async def script(stage: Scene) -> None:
        plan = await stage.use("p")
        await wait_until_async(lambda: stage.workers.running)
        (running,) = stage.workers.running.values()
        first = running.claim.job.last_heartbeat or 0
        await pass_until(stage, lambda: (jobs.running(stage.db.read)[0].last_heartbeat or 0) > first + 300 * SECOND)
        assert stage.plan(plan).state is State.PROCESSING

    play(tmp_path, until_told, script, **STUCK)


def test_a_running_job_without_a_worker_is_stuck(tmp_path: Path) -> None:
    """Whatever took its worker away: the row says that it runs, and nobody beats for it."""

    async def script(stage: Scene) -> Plan:
        orphan = await stage.use("orphan", "manual")
        await stage.use("alive")
        await wait_until_async(lambda: stage.workers.running)
        await stage.db.write(lambda tx: stage.lifecycle.execute(tx, orphan.plan_id))
        assert await stage.db.write(lambda tx: stage.lifecycle.claim(tx, "worker-77")) is not None
        await pass_until(stage, lambda: stage.plan(orphan).state is State.ERRORED)
        (running,) = jobs.running(stage.db.read)
        assert running.plan_id != orphan.plan_id
        return stage.plan(orphan)

    assert '"code":"stuck"' in (play(tmp_path, until_told, script, **STUCK).error_json or "")


def test_a_silent_job_whose_plan_cannot_be_read_stops_no_beat(tmp_path: Path) -> None:
    """Its job is ended alone; the jobs that are alive are renewed in the same beat."""

    async def script(stage: Scene) -> None:
        orphan = await stage.use("orphan", "manual")
        await stage.use("alive")
        await wait_until_async(lambda: stage.workers.running)
        (alive,) = stage.workers.running
        await stage.db.write(lambda tx: stage.lifecycle.execute(tx, orphan.plan_id))
        claim = await stage.db.write(lambda tx: stage.lifecycle.claim(tx, "worker-77"))
        assert claim is not None
        statement = "UPDATE plans SET created_at = 9e18 WHERE plan_id = ?"
        await stage.db.write(lambda tx: tx.execute(statement, (orphan.plan_id,)))
        await pass_until(stage, lambda: [job.job_id for job in jobs.running(stage.db.read)] == [alive])
        job = jobs.get(stage.db.read, claim.job.job_id)
        assert job is not None and job.status == "failed"  # noqa: PT018  one fact

    play(tmp_path, until_told, script, **STUCK)


def test_a_stop_does_not_wait_for_a_phase_that_does_not_end(tmp_path: Path) -> None:
    """It is left to the next daemon, as after a crash: not failed, not lost."""
    phase = Stubborn()

    async def script(stage: Scene) -> None:
        await stage.use("stubborn")
        await wait_until_async(lambda: stage.workers.running)
        stopping = asyncio.create_task(stage.workers.stop(grace=0, kill=False))
        await pass_until(stage, stopping.done)
        assert await stopping == 1
        assert [job.status for job in jobs.latest(stage.db.read)] == ["running"]
        assert stage.workers.abandoned

    play(tmp_path, phase.work, script, **STUCK)


def test_a_job_that_cannot_be_read_stops_no_other(tmp_path: Path) -> None:
    """It is damaged while the daemon runs, and next in the queue: it is set aside, and the others are carried out."""

    async def script(stage: Scene) -> None:
        bad, good = await stage.use("bad", "manual"), await stage.use("good", "manual")

        def queue(tx: Transaction) -> None:
            for plan in (bad, good):
                stage.lifecycle.execute(tx, plan.plan_id)
            tx.execute("UPDATE async_jobs SET created_at = 9e18 WHERE plan_id = ?", (bad.plan_id,))

        await stage.db.write(queue)
        await stage.until(good, State.COMPLETE)
        await stage.until(bad, State.COMPLETE)  # it got another job
        assert not stage.workers.failed.done()
        assert events.last(stage.db.read, 100, plan_id=None)
        (kept,) = (tmp_path / "data" / "backups").glob("set-aside-*.json")
        assert "async_jobs" in kept.read_text()

    play(tmp_path, done, script, CLEVERAGENTS_ASYNC_POLL_INTERVAL="0.05")


def test_an_end_that_cannot_be_recorded_with_its_plan_ends_the_job_alone(tmp_path: Path) -> None:
    """The plan is damaged while its phase runs; the worker goes on with the next job."""

    async def work(stage: Scene, running: Running) -> None:
        if running.claim.plan.name == "bad":
            statement = "UPDATE plans SET created_at = 9e18 WHERE plan_id = ?"
            await stage.db.write(lambda tx: tx.execute(statement, (running.claim.plan.plan_id,)))
        await done(stage, running)

    async def script(stage: Scene) -> None:
        await stage.use("bad")
        await stage.until(await stage.use("good"), State.COMPLETE)
        await wait_until_async(lambda: {job.status for job in jobs.latest(stage.db.read)} == {"failed", "succeeded"})
        assert not stage.workers.failed.done()

    play(tmp_path, work, script, CLEVERAGENTS_ASYNC_MAX_WORKERS="1")


def test_an_end_on_a_full_disk_is_recorded_once_there_is_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The job stays this worker's until then; nothing that was done is lost, and the daemon goes on."""

    async def may_grow(stage: Scene, *, pages: int) -> None:
        await stage.db.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {pages}"))

    async def work(stage: Scene, _running: Running) -> None:
        await may_grow(stage, pages=1)
        raise errors.StepFailedError("no " * 100_000)

    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        await wait_until_async(lambda: caplog.text.count("is not recorded yet") >= 2)
        assert stage.plan(plan).state is State.PROCESSING
        await may_grow(stage, pages=1_000_000)
        return await stage.until(plan, State.ERRORED)

    plan = play(tmp_path, work, script, CLEVERAGENTS_ASYNC_POLL_INTERVAL="0.05")
    assert '"step_failed"' in (plan.error_json or "")


def test_the_deadline_of_the_whole_job_ends_it(tmp_path: Path) -> None:
    async def script(stage: Scene) -> Plan:
        plan = await stage.use("p")
        return await stage.until(plan, State.ERRORED)

    plan = play(tmp_path, until_told, script, CLEVERAGENTS_ASYNC_JOB_TIMEOUT="1")
    assert '"code":"timed_out"' in (plan.error_json or "")


def test_no_more_jobs_run_at_once_than_there_are_workers(tmp_path: Path) -> None:
    most = [0]

    async def work(stage: Scene, running: Running) -> None:
        most[0] = max(most[0], len(stage.workers.running))
        await asyncio.sleep(0)
        await done(stage, running)

    async def script(stage: Scene) -> None:
        for plan in [await stage.use(f"p{number}") for number in range(12)]:
            await stage.until(plan, State.COMPLETE)

    play(tmp_path, work, script, CLEVERAGENTS_ASYNC_MAX_WORKERS="2")
    assert most[0] <= 2


def test_a_worker_that_stands_by_has_the_job_in_the_commit_that_queues_it(tmp_path: Path) -> None:
    async def script(stage: Scene) -> list[list[str]]:
        await stage.at_rest()
        commits: list[list[str]] = []

        def committed(found: list[Event]) -> None:
            commits.append([event.kind for event in found])
            stage.workers.notice(found)

        stage.db.on_commit = committed
        await stage.until(await stage.use("p"), State.COMPLETE)
        return commits

    commits = play(tmp_path, done, script)
    assert commits[0] == ["plan.created", "job.queued", "job.running", "plan.moved"]
    assert [commit for commit in commits[1:] if "job.running" in commit] == []


def test_fewer_places_hold_for_workers_that_stand_by(tmp_path: Path) -> None:
    """The limit counts when a job is claimed, not when its worker went to rest."""
    most = [0]

    async def work(stage: Scene, running: Running) -> None:
        most[0] = max(most[0], len(stage.workers.running))
        await asyncio.sleep(0)
        await done(stage, running)

    async def script(stage: Scene) -> None:
        await stage.at_rest()
        (tmp_path / "config.toml").write_text("[async]\nmax_workers = 1\n")
        for plan in [await stage.use(f"p{number}") for number in range(8)]:
            await stage.until(plan, State.COMPLETE)

    play(tmp_path, work, script)
    assert most[0] == 1


def test_workers_whose_claims_fail_rest(tmp_path: Path) -> None:
    """One that fails does not send the next one to fail; the poll, or the next job, has them look again."""
    claims = [0]

    class Failing(Lifecycle):
        def claim(self, tx: Transaction, worker_id: str) -> Claim | None:
            if jobs.queued_count(tx) == 0:
                return None
            claims[0] += 1
            raise errors.DiskFullError(f"no room for {worker_id}")

    async def script(stage: Scene) -> int:
        await stage.use("p")
        for _ in range(50):
            await stage.db.write(lambda tx: tx.now)
        return claims[0]

    assert 1 <= play(tmp_path, done, script, Failing) <= 8


def test_idle_workers_do_nothing(tmp_path: Path) -> None:
    """Nothing queued: no poll and no beat, so no commit, however short the interval."""

    async def script(stage: Scene) -> list[int]:
        await stage.at_rest()
        commits: list[int] = []
        stage.db.on_commit = lambda found: commits.append(len(found))
        before = events.newest(stage.db.read)
        changes = stage.db.read.scalar("PRAGMA data_version")
        for _ in range(3):
            await asyncio.sleep(0.06)
        assert stage.db.read.scalar("PRAGMA data_version") == changes
        assert events.newest(stage.db.read) == before
        stage.db.on_commit = stage.workers.notice
        return commits

    assert play(tmp_path, done, script, CLEVERAGENTS_ASYNC_POLL_INTERVAL="0.05") == []
