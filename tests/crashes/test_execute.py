"""The daemon dies while steps run: they go on, and the next daemon takes them over."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from daemon import protocol
from tests import daemons
from tests.waiting import wait_until

KILLED = [signal.SIGKILL, signal.SIGTERM]


def waiting_step(gate: Path, *, code: int = 0, then: str = ":") -> str:
    """A command that says `begin`, waits for the gate, changes a file and ends with that code."""
    return f"echo begin; until [ -e {gate} ]; do sleep 0.02; done; {then}; echo once >> a.txt; echo end; exit {code}"


def started(home: daemons.Home, project: Path, steps: list[str]) -> daemons.Daemon:
    """A daemon whose plan `p` runs its first step, a `waiting_step`."""
    daemon = home.start()
    daemons.add_action(daemon, "work", steps)
    daemon.ask(daemons.use("work", [daemons.add_project(daemon, project)], name="p"))
    until_it_runs(daemon)
    return daemon


def until_it_runs(daemon: daemons.Daemon, plan: str = "p") -> None:
    """Until the `waiting_step` s1 of a plan has said `begin`; it is noted before it may run."""
    log = Path(daemon.wait_for_step(plan, "s1").log or "")
    wait_until(lambda: "begin" in log.read_text())


def step_pid(home: daemons.Home) -> int:
    """The process of the running step: a session leader of its own in the sandbox's environment."""
    (pid,) = [pid for pid in daemons.processes_of(home.root) if _is_step_leader(pid)]
    return pid


def _is_step_leader(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):  # a `sleep` of the step, say, ends meanwhile
        return os.getsid(pid) == pid and "CA_STEP_ID" in psutil.Process(pid).environ()
    return False


def end(daemon: daemons.Daemon, number: signal.Signals) -> None:
    daemon.process.send_signal(number)
    daemon.wait_end()


@pytest.mark.parametrize("number", KILLED)
def test_a_running_step_is_adopted_by_the_next_daemon(
    home: daemons.Home, project: Path, gate: Path, number: signal.Signals
) -> None:
    """After `kill -9` as after a graceful stop the step goes on, its exit code and its whole log are kept."""
    first = started(home, project, [waiting_step(gate), "echo two >> b.txt"])
    pid = step_pid(home)
    end(first, number)
    assert daemons.runs(pid)

    second = home.start()
    assert second.wait_for_step("p", "s1").attempt == 1
    assert step_pid(home) == pid
    wait_until(lambda: [one.state for one in second.ask(protocol.DaemonStatus()).workers].count("busy") == 1)
    gate.touch()
    plan = second.wait_for("p")

    assert (plan.phase, plan.state) == ("execute", "complete")
    assert [(step.state, step.exit_code, step.attempt) for step in plan.steps] == [("succeeded", 0, 1)] * 2
    assert Path(plan.steps[0].log or "").read_text().split() == ["begin", "end"]
    assert plan.diff is not None
    assert (plan.diff.files, plan.diff.insertions) == (2, 2)


@pytest.mark.parametrize("number", KILLED)
def test_a_step_that_ended_without_a_daemon_keeps_its_result(
    home: daemons.Home, project: Path, gate: Path, number: signal.Signals
) -> None:
    first = started(home, project, [waiting_step(gate), "echo two >> b.txt"])
    pid = step_pid(home)
    end(first, number)
    gate.touch()
    wait_until(lambda: not daemons.runs(pid))

    plan = home.start().wait_for("p")

    assert (plan.phase, plan.state) == ("execute", "complete")
    assert [(step.state, step.exit_code, step.attempt) for step in plan.steps] == [("succeeded", 0, 1)] * 2


@pytest.mark.parametrize("adopted_alive", [True, False])
def test_a_failure_without_a_daemon_is_a_failure_with_its_own_code(
    home: daemons.Home, project: Path, gate: Path, *, adopted_alive: bool
) -> None:
    """The exit code is the command's, whether the next daemon saw the end or came after it."""
    first = started(home, project, [waiting_step(gate, code=7)])
    pid = step_pid(home)
    first.kill()
    if not adopted_alive:
        gate.touch()
        wait_until(lambda: not daemons.runs(pid))
    second = home.start()
    gate.touch()
    plan = second.wait_for("p")

    assert (plan.phase, plan.state) == ("execute", "errored")
    assert plan.error is not None
    assert (plan.error.code, plan.error.step, plan.error.detail["exit_code"]) == ("step_failed", "s1", 7)
    assert plan.error.detail["tail"] == ["begin", "end"]


def test_partial_work_of_an_adopted_attempt_stays_beside_that_of_the_next(
    home: daemons.Home, project: Path, gate: Path
) -> None:
    first = started(home, project, [waiting_step(gate, code=7)])
    first.kill()
    second = home.start()
    gate.touch()
    second.wait_for("p")
    second.ask(protocol.PlanExecute(plan="p"))
    second.wait_for("p")

    found = second.ask(protocol.PlanArtifacts(plan="p")).artifacts
    assert [(one.step, one.attempt) for one in found if one.kind == "partial"] == [("s1", 1), ("s1", 2)]


def test_a_step_whose_process_is_gone_without_a_code_is_lost(home: daemons.Home, project: Path, gate: Path) -> None:
    """The plan says so, and `plan execute` starts that step again from the last checkpoint."""
    first = started(home, project, [waiting_step(gate, then="echo partial >> b.txt")])
    pid = step_pid(home)
    first.kill()
    os.killpg(pid, signal.SIGKILL)
    wait_until(lambda: not daemons.runs(pid))

    second = home.start()
    plan = second.wait_for("p")
    assert (plan.phase, plan.state, plan.steps[0].state) == ("execute", "errored", "lost")
    assert plan.error is not None
    assert (plan.error.code, plan.error.step) == ("lost", "s1")

    gate.touch()
    second.ask(protocol.PlanExecute(plan="p"))
    plan = second.wait_for("p")
    assert (plan.phase, plan.state, plan.steps[0].attempt) == ("execute", "complete", 2)
    assert plan.diff is not None
    assert plan.diff.insertions == 2


def test_a_reused_process_number_is_not_adopted(home: daemons.Home, project: Path, gate: Path) -> None:
    """A stranger that has the step's number by now is neither waited for nor signalled."""
    first = started(home, project, [waiting_step(gate)])
    pid = step_pid(home)
    first.kill()
    os.killpg(pid, signal.SIGKILL)
    wait_until(lambda: not daemons.runs(pid))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        change_row(home, "UPDATE steps SET pid = ?", stranger.pid)
        plan = home.start().wait_for("p")

        assert (plan.state, plan.steps[0].state) == ("errored", "lost")
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_an_adopted_step_is_cancelled_with_everything_it_started(home: daemons.Home, project: Path, gate: Path) -> None:
    first = started(home, project, [waiting_step(gate, then="sleep 60")])
    pid = step_pid(home)
    first.kill()
    second = home.start()
    second.wait_for_step("p", "s1")

    plan = second.ask(protocol.PlanCancel(plan="p"))

    assert (plan.phase, plan.state, plan.steps[0].state) == ("execute", "cancelled", "cancelled")
    assert not daemons.runs(pid)


def test_a_step_deadline_holds_after_a_restart(home: daemons.Home, project: Path, gate: Path) -> None:
    """The time that passed without a daemon counts."""
    first = home.start()
    daemons.add_action(first, "work", [{"id": "s1", "run": waiting_step(gate), "timeout": "1000s"}])
    first.ask(daemons.use("work", [daemons.add_project(first, project)], name="p"))
    until_it_runs(first)
    first.kill()
    change_row(home, "UPDATE steps SET deadline_at = started_at + ?", 1)

    plan = home.start().wait_for("p")

    assert (plan.phase, plan.state, plan.steps[0].state) == ("execute", "errored", "timed_out")


def test_stop_with_kill_ends_the_step_and_keeps_the_plan(home: daemons.Home, project: Path, gate: Path) -> None:
    first = started(home, project, [waiting_step(gate, then="echo partial >> b.txt")])
    pid = step_pid(home)
    first.ask(protocol.DaemonStop(kill=True))
    assert first.wait_end() == 0
    assert not daemons.runs(pid)

    gate.touch()
    second = home.start()
    plan = second.wait_for("p")
    if plan.state == "errored":
        second.ask(protocol.PlanExecute(plan="p"))
        plan = second.wait_for("p")

    assert (plan.phase, plan.state) == ("execute", "complete")
    assert plan.diff is not None
    assert plan.diff.insertions == 2


def test_stop_with_grace_lets_the_step_finish(home: daemons.Home, project: Path, gate: Path) -> None:
    first = started(home, project, [waiting_step(gate)])
    answer = first.ask(protocol.DaemonStop(grace=SECONDS))
    assert answer.left_running == 1
    gate.touch()
    assert first.wait_end() == 0

    plan = home.start().plan("p")
    assert (plan.phase, plan.state, plan.steps[0].state) == ("execute", "complete", "succeeded")


SECONDS = daemons.SECONDS


def test_a_second_sigterm_is_harmless(home: daemons.Home, project: Path, gate: Path) -> None:
    """Signals in the middle of the graceful end do not cut it."""
    first = started(home, project, [waiting_step(gate)])
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        first.process.send_signal(number)
    assert first.wait_end() == 0
    assert not home.paths.socket.exists()
    assert not home.paths.pid_file.exists()

    second = home.start()
    gate.touch()
    assert second.wait_for("p").state == "complete"


def test_nothing_stays_locked_after_a_crash(home: daemons.Home, project: Path, gate: Path) -> None:
    """The locks of a dead daemon's job do not keep its plan or its project."""
    first = started(home, project, [waiting_step(gate)])
    first.kill()
    second = home.start()
    gate.touch()
    second.wait_for("p")
    second.ask(protocol.PlanApply(plan="p"))

    assert second.wait_for("p").state == "applied"
    assert (project / "a.txt").read_text() == "base\nonce\n"


def test_a_job_that_kills_its_daemon_is_not_tried_for_ever(home: daemons.Home, project: Path, gate: Path) -> None:
    """The attempt grows at the claim, and a job that was begun too often is failed as lost."""
    first = started(home, project, [waiting_step(gate)])
    first.kill()
    change_row(home, "UPDATE async_jobs SET attempt = ? WHERE status = 'running'", 1000)

    plan = home.start().wait_for("p")

    assert (plan.phase, plan.state) == ("execute", "errored")
    assert plan.error is not None
    assert plan.error.code == "lost"


def test_one_unreadable_plan_does_not_stop_the_daemon(home: daemons.Home, project: Path, gate: Path) -> None:
    """It is failed with what is wrong; the others go on."""
    first = started(home, project, [waiting_step(gate)])
    first.ask(daemons.use("work", ["proj"], name="q"))
    until_it_runs(first, "q")
    first.kill()
    change_row(home, "UPDATE plans SET definition_json = ? WHERE name = 'p'", "{")

    second = home.start()
    gate.touch()

    assert second.wait_for("q").state == "complete"
    assert second.wait_for("p").state == "errored"


def change_row(home: daemons.Home, statement: str, value: int | str) -> None:
    """Change the store while no daemon has it."""
    connection = daemons.raw_store(home)
    connection.execute(statement, (value,))
    connection.close()


def test_a_cancel_that_a_crash_cut_is_carried_out_by_the_next_daemon(
    home: daemons.Home, project: Path, gate: Path
) -> None:
    """Asked for, durable, and the daemon died over it: the step does not run on to its end for nothing."""
    first = home.start(CLEVERAGENTS_ASYNC_CANCEL_GRACE="60")
    daemons.add_action(first, "work", [f"trap : TERM; touch {gate}.up; until [ -e {gate} ]; do sleep 0.02; done"])
    first.ask(daemons.use("work", [daemons.add_project(first, project)], name="p"))
    wait_until(gate.with_name("gate.up").exists)
    with home.wire() as wire:
        wire.ask(protocol.PlanCancel(plan="p"))
        wait_until(lambda: "job.cancel-requested" in {e.kind for e in first.ask(protocol.EventList(plan="p")).events})
        first.kill()

    second = home.start(CLEVERAGENTS_ASYNC_CANCEL_GRACE="0.2")

    assert second.wait_for("p").state == "cancelled"
