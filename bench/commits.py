"""Commits: one at a time against the disk, and many waiting at once against one at a time."""

import asyncio
import os
from collections.abc import Generator
from pathlib import Path

from bench import engine
from bench.measure import Limit, Row, Sample, Settings, alternate, scratch, timed
from store import jobs

WAITING = 100


async def _one_by_one(bench: engine.Engine, count: int) -> float:
    """Acknowledged commits per second; each changes one row."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(count):
        await bench.db.write(lambda tx: jobs.worker_idle(tx, "worker-1"))
    return count / (loop.time() - begin)


async def _together(bench: engine.Engine, count: int, callers: int) -> float:
    """The same, so many callers waiting at the same time."""

    async def caller() -> None:
        for _ in range(count // callers):
            await bench.db.write(lambda tx: jobs.worker_idle(tx, "worker-1"))

    loop = asyncio.get_running_loop()
    begin = loop.time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return count / (loop.time() - begin)


def _overwrites(file: Path, count: int) -> float:
    """Bare overwrites of 4 KiB with fdatasync per second."""
    block = b"x" * 4096
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)

    def work() -> None:
        for _ in range(count):
            os.pwrite(descriptor, block, 0)
            os.fdatasync(descriptor)

    try:
        os.pwrite(descriptor, block, 0)
        os.fsync(descriptor)
        return count / timed(work)
    finally:
        os.close(descriptor)


def _single(settings: Settings) -> Generator[Sample]:
    count = settings.amount(500, 200)
    with scratch() as directory, asyncio.Runner() as runner:
        context = engine.opened(directory)
        bench = runner.run(context.__aenter__())
        try:
            while True:
                yield alternate(
                    lambda: runner.run(_one_by_one(bench, count)), lambda: _overwrites(directory / "raw", count), 7
                )
        finally:
            runner.run(context.__aexit__(None, None, None))


def _group(settings: Settings) -> Generator[Sample]:
    count, callers = settings.amount(500, 200), settings.sized(WAITING)
    with scratch() as directory, asyncio.Runner() as runner:
        context = engine.opened(directory)
        bench = runner.run(context.__aenter__())
        try:
            while True:
                yield alternate(
                    lambda: runner.run(_together(bench, min(callers, 10) * count, callers)),
                    lambda: runner.run(_one_by_one(bench, count)),
                    5,
                )
        finally:
            runner.run(context.__aexit__(None, None, None))


ROWS = [
    Row("commits", "acknowledged single commits", "raw 4 KiB overwrite + fdatasync", "/s", _single,
        Limit(0.6, at_least=True), Limit(0.85, at_least=True)),
    Row("group-commit", "acknowledged commits, 100 callers waiting", "single commits", "/s", _group,
        of="callers", sizes=(1, 10, 100)),
]  # fmt: skip
