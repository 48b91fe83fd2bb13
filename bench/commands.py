"""Whole processes: short commands on a warm daemon, and the cold start of the daemon, against a bare interpreter."""

import functools
import os
import subprocess
import sys
import time
from collections.abc import Generator, Sequence

from bench.homes import SCRIPTS, Home, add_finished_plans, make_plans
from bench.measure import Limit, NotMeasuredError, Row, Sample, Settings, alternate, scratch, timed
from daemon import protocol

NOTHING = [sys.executable, "-c", "pass"]


def _seconds(command: Sequence[str], environ: dict[str, str]) -> float:
    return timed(
        lambda: subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    )


def _command(settings: Settings, words: Sequence[str], finished: int = 0) -> Generator[Sample]:
    """A command with 20 plans that wait, and so many that are over."""
    program = SCRIPTS / "ca"
    if not os.access(program, os.X_OK):
        raise NotMeasuredError(f"there is no {program}")
    with scratch() as directory:
        home = Home(directory)
        with home.daemon() as client:
            make_plans(home, client, 20)
        add_finished_plans(home, finished)
        with home.daemon():
            ours = [str(program), *words]
            _seconds(ours, home.environ)
            while True:
                yield alternate(
                    lambda: _seconds(ours, home.environ),
                    lambda: _seconds(NOTHING, home.environ),
                    settings.amount(15, 5),
                )


def _status(settings: Settings) -> Generator[Sample]:
    yield from _command(settings, ["status"])


def _plan_list(settings: Settings) -> Generator[Sample]:
    yield from _command(settings, ["plan", "list"])


def _growing(*words: str) -> list[Row]:
    """The same command with more plans in the store."""
    return [
        Row(f"{'-'.join(words)}-{total}", f"`ca {' '.join(words)}`, {total:,} plans, warm daemon", "`python -c pass`", "s",
            functools.partial(_command, words=words, finished=total - 20))
        for total in (1_000, 100_000)
    ]  # fmt: skip


def _cold_start(settings: Settings) -> Generator[Sample]:
    with scratch() as directory:
        home = Home(directory)
        home.stop(home.start())  # what is made once, the store, is there

        def ours() -> float:
            begin = time.perf_counter()
            client = home.start()
            client.call(protocol.Ping())
            took = time.perf_counter() - begin
            home.stop(client)
            return took

        while True:
            yield alternate(ours, lambda: _seconds(NOTHING, home.environ), settings.amount(5, 3))


ROWS = [
    Row("status", "`ca status`, 20 plans, warm daemon, whole process", "`python -c pass`", "s", _status,
        Limit(4.5), Limit(1.3)),
    Row("plan-list", "`ca plan list`, 20 plans, warm daemon, whole process", "`python -c pass`", "s", _plan_list,
        Limit(4.5), Limit(1.3)),
    *_growing("status"),
    *_growing("plan", "list"),
    Row("cold-start", "daemon cold start until the first reply", "`python -c pass`", "s", _cold_start,
        Limit(15), Limit(7.5)),
]  # fmt: skip
