"""Jobs that start a process: how many, against the bare system call, and how soon, against a poll of one second."""

import asyncio
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

from bench import engine
from bench.homes import compiled
from bench.measure import Limit, Row, Sample, Settings, scratch
from daemon import processes
from daemon.phases import commands
from daemon.phases.context import Context
from daemon.workers import Running
from store.database import Transaction

AT_ONCE = 4
SHELL = ["/bin/sh", "-e", "-c"]
"""What a step's text runs in."""
POLL_MEAN = 0.5


class Steps:
    """A phase that is one command, started as the steps of Execute are: its process is durable before it runs."""

    def __init__(self, bench: engine.Engine, argv: list[str]) -> None:
        self._bench = bench
        self._argv = argv

    def log(self, job_id: str) -> Path:
        return self._bench.services.paths.jobs / job_id / "step.1.log"

    async def __call__(self, running: Running) -> None:
        context = Context(self._bench.services, running.claim, running.token, running.lend)
        log = self.log(running.claim.job.job_id)
        command = processes.Command(
            argv=self._argv,
            cwd=self._bench.services.paths.data,
            environment={**context.environment, "CA_JOB_ID": running.claim.job.job_id, "CA_STEP_ID": "step"},
            umask=0o022,
            log=log,
            exit_file=log.with_suffix(".exit"),
        )

        async def started(identity: processes.ProcessIdentity) -> None:
            def note(tx: Transaction) -> None:
                tx.event("step.started", plan_id=running.claim.plan.plan_id, step="step", pid=identity.pid)

            await context.write(note)

        result = await commands.run(context, command, seconds=None, started=started)
        if result.code != 0:
            raise RuntimeError(f"the command ended with {result.code}")
        await self._bench.nothing(running)


async def _rate(directory: Path, argv: list[str], jobs: int) -> float:
    async with engine.opened(directory, workers=AT_ONCE) as bench:
        plan_ids = await bench.plans(jobs)
        bench.keep_environments(plan_ids)
        workers = await bench.start(Steps(bench, argv))
        rate = await bench.jobs(plan_ids, in_flight=4 * AT_ONCE)
        await bench.stop(workers)
        return rate


def _raw(program: Path, directory: Path, argv: list[str], jobs: int) -> float:
    directory.mkdir()
    command = [program, str(jobs), str(AT_ONCE), directory, *argv]
    return jobs / (int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1e9)


def _processes(settings: Settings) -> Generator[Sample]:
    yield from _against_spawn([*SHELL, ":"], settings.amount(400, 100))


def _working_processes(settings: Settings) -> Generator[Sample]:
    yield from _against_spawn([*SHELL, f"{shlex.quote(sys.executable)} -c pass"], settings.amount(200, 50))


def _against_spawn(argv: list[str], jobs: int) -> Generator[Sample]:
    with scratch() as tools:
        program = compiled("spawn", tools)
        while True:
            with scratch() as directory:
                ours = asyncio.run(_rate(directory / "home", argv, jobs))
                yield Sample(ours, _raw(program, directory / "raw", argv, jobs))


async def _latencies(directory: Path, program: Path, times: int) -> float:
    """Seconds from the enqueue to the first instruction of the command, nothing else going on: the median."""
    async with engine.opened(directory) as bench:
        plan_ids = await bench.plans(times)
        bench.keep_environments(plan_ids)
        steps = Steps(bench, [str(program)])
        workers = await bench.start(steps)
        taken: list[float] = []
        for plan_id in plan_ids:
            await asyncio.sleep(0.02)
            begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            await bench.job(plan_id)
            job_id = bench.db.read.scalar("SELECT job_id FROM plans WHERE plan_id = ?", (plan_id,))
            taken.append((int(steps.log(job_id).read_text(encoding="ascii")) - begin) / 1e9)
        await bench.stop(workers)
        return statistics.median(taken)


def _first_instruction(settings: Settings) -> Generator[Sample]:
    with scratch() as tools:
        program = compiled("stamp", tools)
        while True:
            with scratch() as directory:
                yield Sample(asyncio.run(_latencies(directory, program, settings.amount(50, 15))), POLL_MEAN)


ROWS = [
    Row("processes", "jobs that start one process each (`sh -e -c :`), 4 slots", "raw posix_spawn in C, 4 at once", "/s",
        _processes, Limit(0.6, at_least=True), Limit(0.9, at_least=True)),
    Row("working-processes", "jobs that start a process which does something (`python -c pass`), 4 slots",
        "raw posix_spawn in C, 4 at once", "/s", _working_processes),
    Row("first-instruction", "idle: enqueue to the first instruction of the job's process",
        "a poll each second (mean 500 ms)", "s", _first_instruction, Limit(1 / 100), Limit(1 / 300)),
]  # fmt: skip
