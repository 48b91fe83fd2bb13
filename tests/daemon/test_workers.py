"""Worker slots: they claim when something is queued, sleep otherwise, and record how each phase ended."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from daemon.lifecycle import Lifecycle, owner_of
from daemon.settings import Settings
from daemon.tokens import Stop, Stopped
from daemon.views import DiffStatView
from daemon.workers import ConstrainedError, Running, Workers
from store import errors, events, jobs, locks, opening, plans
from store.clock import SECOND
from store.database import Database, Transaction
from store.records import Plan
from store.states import Phase, State
from tests.stores import SettableClock, new_plan
from tests.waiting import wait_until_async

T = TypeVar("T")
Work = Callable[[Running], Awaitable[None]]


class Scene:
    """A store, a life cycle and workers whose phases do what the test says."""

    def __init__(self, directory: Path, db: Database, work: Work, environ: dict[str, str]) -> None:
        self.db = db
        self.settings = Settings(directory / "config.toml", environ)
        self.lifecycle = Lifecycle(self.settings)
        self.workers = Workers(db, self.lifecycle, self.settings, dict.fromkeys(Phase, work))
        db.on_commit = self.workers.notice

    async def use(self, name: str, profile: str = "supervised") -> Plan:
        plan = new_plan(name, now=self.db.clock.now(), automation_profile=profile)
        return await self.db.write(lambda tx: self.lifecycle.use(tx, plan, []))

    async def at_rest(self) -> None:
        """Every worker sleeps until something is queued."""
        idle = self.workers._idle  # pyright: ignore[reportPrivateUsage]  nothing outside tells sleeping from claiming
        await wait_until_async(lambda: len(idle) == 4)

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
    **environ: str,
) -> T:
    """Open everything, start the workers, follow the script, stop and close; the stop has a bound."""

    async def scene() -> T:
        db = opening.open_store(directory / "store.db", directory, SettableClock())
        made: list[Scene] = []
        stage = Scene(directory, db, lambda running: work(made[0], running), environ)
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
