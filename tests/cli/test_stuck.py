"""A phase that does not end, a daemon that was stopped for a while, and steps of which nobody can say whether they run."""

import os
import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.test_transitions import hold_git
from tests.homes import CA, Home


def daemon_pid(home: Home) -> int:
    return int(home.data("daemon", "status")["pid"])


def test_work_that_never_returns_is_failed_as_stuck_and_holds_nobody_up(home: Home) -> None:
    """Git hangs, as on a dead network drive: a cancel cannot reach it, so the job is given up, and the daemon can end."""
    home.set("async.job_ttl", "3", "async.cancel-grace", "0", "async.max_workers", "1")
    gate = home.gate()
    hold_git(home, "write-tree", gate.command)
    project = home.repository({"a.txt": "one\n", "b.txt": "two\n"})
    plan = home.use(home.action("echo x >> a.txt"), project, code=None)
    gate.wait()

    home.run("plan", "cancel", plan, "--yes", code=None)

    error = home.error("plan", "wait", plan, code=1)
    assert error["code"] == "stuck"
    job = home.data("job", "list", "--plan", plan)["jobs"][0]
    assert (job["status"], job["error_code"]) == ("failed", "stuck")
    (home.bin / "git").unlink()
    other = home.use(home.action("echo y > new.txt"), home.repository())
    assert home.position(other) == "execute/complete"
    worker = home.data("daemon", "status")["workers"][0]
    assert (worker["jobs_failed"], worker["state"]) == (1, "idle")

    gate.open()
    home.until(lambda: "a late end was refused" in home.run("daemon", "logs").out)
    assert home.position(plan) == "strategize/errored"
    home.run("plan", "execute", plan, "--wait")
    assert home.position(plan) == "execute/complete"


def test_a_daemon_whose_work_hangs_can_be_stopped_and_the_next_goes_on(home: Home) -> None:
    home.set("async.job_ttl", "3", "async.cancel-grace", "0")
    gate = home.gate()
    hold_git(home, "write-tree", gate.command)
    plan = home.use(home.action("echo x >> a.txt"), home.repository(), code=None)
    gate.wait()
    (home.bin / "git").unlink()

    home.run("daemon", "stop")

    home.run("plan", "wait", plan)
    assert home.position(plan) == "execute/complete"
    assert [job["status"] for job in home.data("job", "list", "--plan", plan)["jobs"]] == ["succeeded", "succeeded"]


def test_a_daemon_that_was_stopped_past_its_leases_keeps_its_jobs(home: Home) -> None:
    """SIGSTOP until the plan's lock has run out; nobody took it, so the step goes on under the same fence."""
    home.set("lock.ttl", "5", "async.job_ttl", "3")
    gate = home.gate()
    plan = home.use(home.action(gate.command, "echo x > new.txt"), home.repository(), code=None)
    gate.wait()
    (before,) = home.data("lock", "list")["locks"]
    pid = daemon_pid(home)
    os.kill(pid, signal.SIGSTOP)
    try:
        until = datetime.fromisoformat(before["expires_at"]).timestamp() + 1  # renewed at most a moment ago
        home.until(lambda: datetime.now(UTC).timestamp() > until)
    finally:
        os.kill(pid, signal.SIGCONT)

    home.until(lambda: home.data("lock", "list")["locks"][0]["expires_at"] > before["expires_at"])
    (after,) = home.data("lock", "list")["locks"]
    assert (after["fence"], after["stale"]) == (before["fence"], False)
    gate.open()
    home.run("plan", "wait", plan)
    assert [(step["state"], step["attempt"]) for step in home.plan(plan)["steps"]] == [("succeeded", 1)] * 2


def _can_hide_processes() -> bool:
    if os.getuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not _can_hide_processes(), reason="needs root and mount namespaces")
def test_a_step_that_cannot_be_told_is_signalled_by_nobody_and_runs_only_once(home: Home, tmp_path: Path) -> None:
    """The next daemon does not see who has the number: the plan says so, and goes on only when that is settled."""
    gate = home.gate()
    plan = home.use(home.action(f"echo ran >> {tmp_path}/ran; {gate.command}"), home.repository(), code=None)
    gate.wait()
    (leader,) = {os.getsid(process.pid) for process in home.processes(having="CA_STEP_ID")}
    os.kill(daemon_pid(home), signal.SIGKILL)
    hidden = f'mount -t tmpfs none /proc/{leader}; exec "$@"'
    blind = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", hidden, "sh", *CA, "daemon", "run"],
        env=home.environ, cwd=home.work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        quiet = {"CLEVERAGENTS_NO_AUTOSTART": "1"}
        home.until(lambda: home.data("daemon", "status", env=quiet)["running"])
        error = home.error("plan", "wait", plan, code=1, env=quiet)
        assert (error["code"], error["detail"]["process"]) == ("lost", "unknown")
        assert any("plan execute" in hint for hint in error["detail"]["suggestions"])
        assert home.error("plan", "execute", plan, "--wait", code=1, env=quiet)["code"] == "lost"
    finally:
        blind.send_signal(signal.SIGTERM)
        blind.wait(20)
    assert (tmp_path / "ran").read_text() == "ran\n"

    home.run("plan", "execute", plan)  # this daemon sees it, and takes it over
    home.until(lambda: home.position(plan) == "execute/processing")
    gate.open()
    home.run("plan", "wait", plan)
    assert (tmp_path / "ran").read_text() == "ran\n"
