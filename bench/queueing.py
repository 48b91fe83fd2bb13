"""The queue: jobs without work from end to end against huey, and a claim beside a million finished jobs."""

import asyncio
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from pathlib import Path
from typing import Any

from bench import engine
from bench.measure import Limit, NotMeasuredError, Row, Sample, Settings, scratch
from store import jobs as store_jobs
from store import names
from store import plans as store_plans
from store.database import Transaction
from store.records import AsyncJob, Plan
from store.states import AsyncJobStatus, Phase

HUEY = Path(__file__).parent / "peers" / "huey_jobs.py"
SLOTS = 64
CLAIMS = 200


async def _ours(directory: Path, jobs: int, in_flight: int) -> float:
    async with engine.opened(directory, workers=SLOTS) as bench:
        plan_ids = await bench.plans(jobs)
        workers = await bench.start(bench.nothing)
        rate = await bench.jobs(plan_ids, in_flight=in_flight)
        await bench.stop(workers)
        return rate


class Queue:
    """The queue by itself: its rows and events, without the plan's moves and the lease that a job brings along."""

    def __init__(self, bench: engine.Engine) -> None:
        self._db = bench.db
        self._ended: dict[str, asyncio.Future[None]] = {}

    async def rate(self, plan_ids: Sequence[str], in_flight: int) -> float:
        """Jobs per second, so many of them in flight all the time."""
        found = [store_plans.get(self._db.read, plan_id) for plan_id in plan_ids]
        left = iter([plan for plan in found if plan is not None])
        slots = [asyncio.create_task(self._slot(f"worker-{number}")) for number in range(SLOTS)]
        await asyncio.sleep(0.2)

        async def lane() -> None:
            for plan in left:
                await self._job(plan)

        begin = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(in_flight)))
        took = time.perf_counter() - begin
        for slot in slots:
            slot.cancel()
        return len(plan_ids) / took

    async def _job(self, plan: Plan) -> None:
        job_id = names.new_ulid(self._db.clock.now())
        ended = self._ended[job_id] = asyncio.get_running_loop().create_future()
        await self._db.write(lambda tx: store_jobs.enqueue(tx, plan, Phase.EXECUTE, job_id, timeout_s=3600, payload={}))
        await ended

    async def _slot(self, worker_id: str) -> None:
        def claim(tx: Transaction) -> AsyncJob | None:
            return store_jobs.claim(tx, worker_id, execute_limit=SLOTS)

        while True:
            # As many stand by as jobs are in flight: whoever ends one stands by again before the next one is queued.
            job = await self._db.stand_by("job.queued", claim)
            assert job is not None, "it stands by for a job that is queued"
            await self._db.write(lambda tx, job=job: store_jobs.move(tx, job, AsyncJobStatus.SUCCEEDED))
            self._ended.pop(job.job_id).set_result(None)


async def _queue_alone(directory: Path, jobs: int, in_flight: int) -> float:
    async with engine.opened(directory, workers=SLOTS) as bench:
        return await Queue(bench).rate(await bench.plans(jobs), in_flight)


def _huey(file: Path, jobs: int, in_flight: int) -> float:
    command = [sys.executable, HUEY, file, str(jobs), str(in_flight)]
    return jobs / float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _against_huey(
    jobs: int, in_flight: int, measured: Callable[[Path, int, int], Coroutine[Any, Any, float]] = _ours
) -> Generator[Sample]:
    if importlib.util.find_spec("huey") is None:
        raise NotMeasuredError("huey is not installed")
    while True:
        with scratch() as directory:
            ours = asyncio.run(measured(directory, jobs, in_flight))
            yield Sample(ours, _huey(directory / "huey.db", jobs, in_flight))


def _at_once(settings: Settings) -> Generator[Sample]:
    yield from _against_huey(settings.sized(10_000, 2000), SLOTS)


def _alone(settings: Settings) -> Generator[Sample]:
    yield from _against_huey(settings.amount(10_000, 2000), SLOTS, _queue_alone)


def _in_a_row(settings: Settings) -> Generator[Sample]:
    yield from _against_huey(settings.amount(1000, 500), 1)


_FINISHED = """\
INSERT INTO async_jobs
SELECT printf('01AAAAAAAA%016d', n), plan_id, phase, 'succeeded', n % 3, 1, '{"schema_version":1}', 1, 3600, 'worker-1',
    n, n, n, NULL, n + 1, NULL, NULL, plan_id, 0, n, NULL, NULL
FROM (
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :count) SELECT n FROM numbers
) JOIN (SELECT row_number() OVER () - 1 AS place, plan_id, phase FROM plans) ON place = n % :plans
"""


async def _claims(bench: engine.Engine, plan_ids: list[str]) -> float:
    """Seconds that one claim takes: the median of many, each timed inside the transaction; then all of them end."""
    lifecycle = bench.services.lifecycle

    def work(tx: Transaction) -> float:
        for plan_id in plan_ids:
            lifecycle.execute(tx, plan_id)
        taken: list[float] = []
        for _ in plan_ids:
            begin = time.perf_counter()
            claim = lifecycle.claim(tx, "worker-1")
            taken.append(time.perf_counter() - begin)
            assert claim is not None, "as many are queued"
            lifecycle.complete(tx, claim)
        return statistics.median(taken)

    return await bench.db.write(work)


def _claim(settings: Settings) -> Generator[Sample]:
    finished = settings.sized(1_000_000, 100_000)
    with scratch() as directory, asyncio.Runner() as runner:
        full_context = engine.opened(directory / "full")
        empty_context = engine.opened(directory / "empty")
        full, empty = runner.run(full_context.__aenter__()), runner.run(empty_context.__aenter__())
        try:
            plans = len(runner.run(full.plans(10_000)))
            runner.run(full.db.write(lambda tx: tx.execute(_FINISHED, {"count": finished, "plans": plans})))
            count = runner.run(full.db.write(lambda tx: tx.scalar("SELECT count(*) FROM async_jobs")))
            assert count == finished, f"{count} finished jobs"
            while True:
                ours = runner.run(_claims(full, runner.run(full.plans(CLAIMS))))
                yield Sample(ours, runner.run(_claims(empty, runner.run(empty.plans(CLAIMS)))))
        finally:
            runner.run(full_context.__aexit__(None, None, None))
            runner.run(empty_context.__aexit__(None, None, None))


ROWS = [
    Row("jobs", "10,000 no-op jobs end to end, 64 in flight, 64 slots", "huey, SqliteHuey, fsync on, 4 threads", "/s",
        _at_once, Limit(7, at_least=True), Limit(25, at_least=True), of="jobs", sizes=(100, 1_000, 10_000)),
    Row("jobs-in-a-row", "the same, one after another", "huey, one after another, without its poll", "/s",
        _in_a_row, Limit(1, at_least=True), Limit(1.5, at_least=True)),
    Row("jobs-alone", "10,000 jobs that are nothing but entries in the queue: no plan moves, no lock is taken",
        "huey, SqliteHuey, fsync on, 4 threads", "/s", _alone),
    Row("claim", "claim with 1,000,000 finished jobs in the table", "claim in an empty table", "s", _claim,
        Limit(1.2), Limit(1.05), of="finished jobs", sizes=(10_000, 100_000, 1_000_000)),
]  # fmt: skip
