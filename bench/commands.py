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

WAITING = 20
_PLANS = (1_000, 10_000, 100_000)
NOTHING = [sys.executable, "-c", "pass"]


def _seconds(command: Sequence[str], environ: dict[str, str]) -> float:
    return timed(
        lambda: subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    )


def _command(settings: Settings, words: Sequence[str], *, warm: bool = True) -> Generator[Sample]:
    """A command with 20 plans that wait; those that are more are over. `warm` is a process that takes it over."""
    program = SCRIPTS / "ca"
    if not os.access(program, os.X_OK):
        raise NotMeasuredError(f"there is no {program}")
    with scratch() as directory:
        home = Home(directory)
        with home.daemon() as client:
            make_plans(home, client, WAITING)
        add_finished_plans(home, settings.sized(WAITING) - WAITING)
        with home.daemon():
            ours, environ = [str(program), *words], home.environ | {"CLEVERAGENTS_WARM": str(int(warm))}
            _seconds(ours, environ)
            deadline = time.monotonic() + 20
            while warm and not (home.paths.run / "ca.sock").exists():
                if time.monotonic() > deadline:
                    raise NotMeasuredError("the command leaves no warm process behind")
                time.sleep(0.01)
            while True:
                yield alternate(
                    lambda: _seconds(ours, environ),
                    lambda: _seconds(NOTHING, home.environ),
                    settings.amount(15, 5),
                )


def _status(settings: Settings) -> Generator[Sample]:
    yield from _command(settings, ["status"])


def _plan_list(settings: Settings) -> Generator[Sample]:
    yield from _command(settings, ["plan", "list"])


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
        Limit(4.5), Limit(1.3), of="plans", sizes=_PLANS),
    Row("plan-list", "`ca plan list`, 20 plans, warm daemon, whole process", "`python -c pass`", "s", _plan_list,
        Limit(4.5), Limit(1.3), of="plans", sizes=_PLANS),
    Row("status-alone", "`ca status`, 20 plans, warm daemon, no warm process", "`python -c pass`", "s",
        functools.partial(_command, words=["status"], warm=False)),
    Row("cold-start", "daemon cold start until the first reply", "`python -c pass`", "s", _cold_start,
        Limit(15), Limit(7.5)),
]  # fmt: skip
