"""What it costs that nothing is lost: the beat of many running jobs, a job's start under load, a restart with much to do."""

import asyncio
import contextlib
import os
import signal
import statistics
import time
from collections.abc import Generator
from pathlib import Path
from typing import cast

import apsw
import msgspec

from bench import engine
from bench.homes import Home, compiled, make_plans
from bench.measure import Row, Sample, Settings, scratch
from bench.spawning import POLL_MEAN, Steps
from cleveragents_tui import client as clients
from daemon import protocol
from daemon.workers import Running
from store import names, records
from store.clock import Clock
from store.database import Connection

SLOTS = 64


async def _beats(directory: Path, times: int, slots: int) -> Sample:
    """Seconds of one durable beat of so many running jobs, and of one durable commit of a single row."""
    async with engine.opened(directory, workers=slots) as bench:
        go_on, all_run = asyncio.Event(), asyncio.Event()

        async def phase(running: Running) -> None:
            if len(workers.running) == slots:
                all_run.set()
            await go_on.wait()
            await bench.nothing(running)

        plan_ids = await bench.plans(slots)
        workers = await bench.start(phase)
        jobs = [asyncio.create_task(bench.job(plan_id)) for plan_id in plan_ids]
        await all_run.wait()
        taken: list[tuple[float, float]] = []
        for number in range(times):
            begin = time.perf_counter()
            await workers.beat()
            middle = time.perf_counter()
            await bench.db.write(
                lambda tx, n=number: tx.execute("INSERT OR REPLACE INTO meta VALUES ('bench', ?)", (n,))
            )
            taken.append((middle - begin, time.perf_counter() - middle))
        go_on.set()
        await asyncio.gather(*jobs)
        await bench.stop(workers)
        return Sample(*(statistics.median(column) for column in zip(*taken, strict=True)))


def _heartbeat(settings: Settings) -> Generator[Sample]:
    while True:
        with scratch() as directory:
            yield asyncio.run(_beats(directory, settings.amount(100, 20), settings.sized(SLOTS)))


async def _under_load(directory: Path, program: Path, times: int) -> float:
    """Seconds from the enqueue to the first instruction, while four lanes of other jobs start processes all the time."""
    async with engine.opened(directory, workers=8) as bench:
        plan_ids = await bench.plans(times)
        others = await bench.plans(20 * times)
        bench.keep_environments([*plan_ids, *others])
        steps = Steps(bench, [str(program)])
        workers = await bench.start(steps)
        left, ended = iter(others), asyncio.Event()

        async def lane() -> None:
            for plan_id in left:
                if ended.is_set():
                    return
                await bench.job(plan_id)

        lanes = [asyncio.create_task(lane()) for _ in range(4)]
        taken: list[float] = []
        for plan_id in plan_ids:
            await asyncio.sleep(0.02)
            begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            await bench.job(plan_id)
            job_id = bench.db.read.scalar("SELECT job_id FROM plans WHERE plan_id = ?", (plan_id,))
            taken.append((int(steps.log(job_id).read_text(encoding="ascii")) - begin) / 1e9)
        ended.set()
        await asyncio.gather(*lanes)
        await bench.stop(workers)
        return statistics.median(taken)


def _busy_start(settings: Settings) -> Generator[Sample]:
    with scratch() as tools:
        program = compiled("stamp", tools)
        while True:
            with scratch() as directory:
                yield Sample(asyncio.run(_under_load(directory, program, settings.amount(50, 15))), POLL_MEAN)


_WAITING = b"""\
name: local/wait
description: A step that waits
definition_of_done: It ended
steps:
  - id: wait
    run: sleep 3600
"""


class _Busy:
    """A home with 64 running steps, and, once its daemon is gone, 10,000 queued jobs."""

    def __init__(self, directory: Path, queued: int) -> None:
        self.home = Home(directory)
        self.home.environ |= {"CLEVERAGENTS_ASYNC_MAX_WORKERS": str(SLOTS), "CLEVERAGENTS_PLAN_CONCURRENCY": str(SLOTS)}
        client = self.home.start()
        make_plans(self.home, client, 1)
        client.call(protocol.ActionCreate(content=_WAITING, source="wait.yaml"))
        environment = {"PATH": os.fsencode(os.environ["PATH"])}
        request = protocol.PlanUse(
            action="local/wait", projects=["project"], profile="trusted", environment=environment
        )
        for _ in range(SLOTS):
            client.call(request)
        self._until_all_run(client)
        self._kill(client)
        self._queue(queued)

    def _until_all_run(self, client: clients.Client) -> None:
        while True:
            plans = client.call(protocol.PlanList(state="processing", limit=-1)).plans
            if sum(step.state == "running" for plan in plans for step in plan.steps) == SLOTS:
                return
            time.sleep(0.02)

    def _kill(self, client: clients.Client) -> None:
        os.kill(client.hello.pid, signal.SIGKILL)
        with contextlib.suppress(clients.ConnectionLostError):
            client.receive(10)
        client.close()

    def _queue(self, count: int) -> None:
        connection = cast("Connection", apsw.Connection(str(self.home.paths.database)))
        connection.execute("BEGIN")
        plan = msgspec.convert(
            connection.execute("SELECT * FROM plans ORDER BY plan_id LIMIT 1").fetchone(), records.Plan
        )
        for number in range(count):
            plan_id = names.new_ulid(Clock().now())
            made = msgspec.structs.replace(
                plan, plan_id=plan_id, root_plan_id=plan_id, name=f"queued-{number}", job_id=None,
                phase="execute", state="queued",
            )  # fmt: skip
            row = msgspec.to_builtins(made)
            connection.execute(f"INSERT INTO plans VALUES ({', '.join('?' * len(row))})", row)
            connection.execute(
                "INSERT INTO async_jobs SELECT ?, ?, 'execute', 'queued', 0, 0, payload_json, schema_version, timeout_s,"
                " NULL, created_at, NULL, NULL, NULL, NULL, NULL, NULL, ?, 0, turn + ?, NULL, NULL"
                " FROM async_jobs LIMIT 1",
                (names.new_ulid(Clock().now()), plan_id, plan_id, number + 1),
            )
        connection.execute("COMMIT")
        connection.close()

    def restart(self) -> tuple[float, float]:
        """Seconds until a new daemon answers, and until it has all the steps again; it is killed afterwards."""
        begin = time.perf_counter()
        client = self.home.start()
        answered = time.perf_counter() - begin
        self._until_all_run(client)
        adopted = time.perf_counter() - begin
        self._kill(client)
        return answered, adopted

    def end(self) -> None:
        """No step outlives its row."""
        client = self.home.start()
        client.call(protocol.DaemonStop(kill=True))
        with contextlib.suppress(clients.ConnectionLostError):
            client.receive(60)


def _restart(settings: Settings) -> Generator[Sample]:
    with scratch() as directory, scratch() as empty:
        busy = _Busy(directory, settings.sized(10_000, 1000))
        bare = Home(empty)
        notes = settings.notes.setdefault("restart", [])
        try:
            while True:
                answered, adopted = busy.restart()
                begin = time.perf_counter()
                client = bare.start()
                peer = time.perf_counter() - begin
                bare.stop(client)
                notes[:] = [f"all {SLOTS} steps were adopted {adopted:.2f} s after the start began"]
                yield Sample(answered, peer)
        finally:
            busy.end()


ROWS = [
    Row("heartbeat", "heartbeat and renewed leases of 64 running jobs, durable", "one durable commit of one row", "s",
        _heartbeat, of="running jobs", sizes=(1, 8, 64)),
    Row("busy-start", "enqueue to the first instruction, while four others start processes all the time",
        "a poll each second (mean 500 ms)", "s", _busy_start),
    Row("restart", "start until the first reply with 10,000 queued jobs and 64 running steps, after `kill -9`",
        "start of an empty home", "s", _restart, of="queued jobs", sizes=(100, 1_000, 10_000)),
]  # fmt: skip
