"""However a step is ended, what it started is ended with it, however far that went."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from daemon import processes
from tests import escapees
from tests.homes import Home

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no mark")


def started(home: Home, *, stubborn: bool = False) -> tuple[str, psutil.Process]:
    """A plan whose step runs, and who got away from it."""
    pid_file = home.root / home.fresh("pid")
    action = home.action(f"{escapees.escape(pid_file, stubborn=stubborn)}; sleep 1000")
    plan = home.use(action, home.repository(), code=None)
    return plan, escapees.found(pid_file)


def kill_daemon(home: Home) -> None:
    daemon = psutil.Process(home.data("daemon", "status")["pid"])
    daemon.kill()
    home.until(lambda: not escapees.runs(daemon))


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancel_ends_the_escapee(home: Home, *, stubborn: bool) -> None:
    home.set("async.cancel-grace", "0.2" if stubborn else "30")
    plan, escapee = started(home, stubborn=stubborn)

    home.run("plan", "cancel", plan, "--yes")
    home.run("plan", "wait", plan, code=None)

    assert home.position(plan) == "execute/cancelled"
    assert not escapees.runs(escapee)


def test_cancel_of_an_adopted_step_ends_the_escapee(home: Home) -> None:
    plan, escapee = started(home)
    kill_daemon(home)
    assert escapees.runs(escapee)

    home.run("plan", "cancel", plan, "--yes")
    home.run("plan", "wait", plan, code=None)

    assert home.position(plan) == "execute/cancelled"
    assert not escapees.runs(escapee)


def test_cancel_ends_what_an_earlier_step_left(home: Home) -> None:
    """That step ended well, and what it left in a session of its own was meant to serve the next one."""
    pid_file = home.root / "pid"
    gate = home.gate()
    plan = home.use(home.action(escapees.escape(pid_file), gate.command), home.repository(), code=None)
    gate.wait()
    escapee = escapees.found(pid_file)
    assert home.step_states(plan) == ["succeeded", "running"]

    home.run("plan", "cancel", plan, "--yes")

    assert home.position(plan) == "execute/cancelled"
    assert not escapees.runs(escapee)


def test_stop_with_kill_ends_the_escapee_and_stop_without_leaves_it(home: Home) -> None:
    _, escapee = started(home)

    home.run("daemon", "stop")
    assert escapees.runs(escapee)
    home.run("daemon", "start")
    home.run("daemon", "stop", "--kill")

    assert not escapees.runs(escapee)


def test_killed_wrapper_is_a_lost_step_and_ends_the_escapee(home: Home) -> None:
    """Before the plan says so, nothing of the step is left."""
    plan, escapee = started(home)
    (wrapper,) = [one for one in home.processes(having="CA_STEP_ID") if os.getsid(one.pid) == one.pid]

    wrapper.send_signal(signal.SIGKILL)
    home.run("plan", "wait", plan, code=None)

    assert home.position(plan) == "execute/errored"
    assert home.step(plan, "s1")["state"] == "lost"
    assert not escapees.runs(escapee)
    home.until(lambda: not home.processes(having="CA_STEP_ID"))


def by_step(home: Home, text: str) -> str:
    return home.action(steps=[{"id": "s1", "run": text, "timeout": "2s"}])


def by_job(home: Home, text: str) -> str:
    home.set("async.job_timeout", "2")
    return home.action(text)


@pytest.mark.parametrize("limit", [by_step, by_job])
def test_timeout_ends_the_escapee(home: Home, limit: Callable[[Home, str], str]) -> None:
    pid_file: Path = home.root / "pid"
    plan = home.use(limit(home, f"{escapees.escape(pid_file)}; sleep 1000"), home.repository(), code=None)

    home.run("plan", "wait", plan, code=None)

    assert home.plan(plan)["error"]["code"] == "timed_out"
    assert not pid_file.exists() or processes.identify(int(pid_file.read_text())) is None
