"""`ca daemon`, `ca status` and `ca diagnostics`: the process in the background, as its user meets it."""

import os
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.homes import SECONDS, Home
from tests.waiting import wait_until


def test_any_command_starts_it_and_says_so_once(home: Home) -> None:
    first = home.run("plan", "list")
    second = home.run("plan", "list")

    assert "started the daemon (pid " in first.err
    assert second.err == ""
    home.until(lambda: len(home.processes()) == 1)


def test_start_stop_status(home: Home) -> None:
    before = home.data("daemon", "status")
    assert (before["running"], before["pid"], before["workers"]) == (False, None, [])

    started = home.data("daemon", "start")
    assert started["running"] is True
    assert psutil.pid_exists(started["pid"])
    assert [worker["state"] for worker in started["workers"]] == ["idle"] * 4
    assert started["socket"] == str(home.home / "run" / "daemon.sock")
    assert home.data("daemon", "status")["pid"] == started["pid"]

    stopped = home.data("daemon", "stop")
    assert (stopped["stopped"], stopped["pid"]) == (True, started["pid"])
    home.until(lambda: not home.processes())
    assert home.data("daemon", "status")["running"] is False
    assert not Path(started["socket"]).exists()


def test_start_twice_and_stop_twice_say_so(home: Home) -> None:
    first = home.data("daemon", "start")
    again = home.document("daemon", "start")

    assert again["data"]["pid"] == first["pid"]
    assert any("already" in message for message in again["messages"])
    home.data("daemon", "stop")
    assert home.data("daemon", "stop")["stopped"] is False
    assert "not running" in home.run("daemon", "stop").out


def test_status_and_stop_never_start_it(home: Home) -> None:
    home.run("daemon", "status")
    home.run("daemon", "stop")
    home.run("daemon", "logs")
    home.run("config", "list")

    assert home.processes() == []


def test_autostart_can_be_forbidden(home: Home) -> None:
    error = home.error("plan", "list", code=5, env={"CLEVERAGENTS_NO_AUTOSTART": "1"})

    assert error["code"] == "daemon_unavailable"
    assert error["suggestions"] == ["ca daemon start"]
    home.until(lambda: not home.processes())


def test_eight_clients_at_once_get_one_daemon(home: Home) -> None:
    clients = [home.spawn("plan", "list", "--format", "json") for _ in range(8)]

    answers = [client.communicate(timeout=SECONDS) for client in clients]

    assert [client.returncode for client in clients] == [0] * 8, answers
    wait_until(lambda: len(home.processes()) == 1)  # those that came too late have answered and are on their way out
    assert home.processes()[0].pid == home.data("daemon", "status")["pid"]


def test_restart_is_another_process_with_the_same_store(home: Home) -> None:
    plan = home.executed("echo x > x")
    before = home.data("daemon", "status")["pid"]
    shown = home.plan(plan)

    after = home.data("daemon", "restart")

    assert after["pid"] != before
    assert home.plan(plan) == shown


def test_running_step_is_adopted_by_the_next_daemon(home: Home) -> None:
    """It goes on while there is no daemon, and its exit code is not lost."""
    gate = home.gate()
    plan = home.use(home.action(f"{gate.command}; echo x > x; exit 3"), home.repository(), code=None)
    gate.wait()

    stopped = home.data("daemon", "stop")
    assert stopped["left_running"] == 1
    assert home.processes(having="CA_STEP_ID")
    home.data("daemon", "start")
    gate.open()
    home.run("plan", "wait", plan, code=1)

    step = home.step(plan, "s1")
    assert (step["state"], step["exit_code"], step["attempt"]) == ("failed", 3, 1)


def test_step_that_ends_without_a_daemon_is_not_run_again(home: Home) -> None:
    gate, ran = home.gate(), home.root / "ran"
    plan = home.use(home.action(f"echo x >> {ran}; {gate.command}; echo x > x", "cat x"), home.repository(), code=None)
    gate.wait()
    home.data("daemon", "stop")
    gate.open()
    home.until(lambda: not home.processes(having="CA_STEP_ID"))

    home.run("plan", "wait", plan)

    assert ran.read_text() == "x\n"
    assert home.step_states(plan) == ["succeeded", "succeeded"]


def test_stop_with_kill_ends_running_steps(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()

    document = home.document("daemon", "stop", "--kill")

    assert document["data"]["left_running"] == 0
    assert any("was ended" in message for message in document["messages"])
    home.until(lambda: not home.processes())
    gate.open()
    home.run("plan", "wait", plan)
    assert home.position(plan) == "execute/complete"


def test_stop_with_grace_lets_a_step_finish(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()

    with home.spawn("daemon", "stop", "--grace", "30") as stopping:
        home.until(lambda: home.data("daemon", "status")["draining"])
        gate.open()
        assert stopping.wait(20) == 0

    home.until(lambda: not home.processes())
    assert home.step(plan, "s1")["attempt"] == 1


def test_killed_daemon_is_replaced_by_the_next_command(home: Home) -> None:
    plan = home.executed("echo x > x")
    shown = home.plan(plan)
    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)

    assert home.plan(plan) == shown
    home.until(lambda: len(home.processes()) == 1)  # git may be at work for a moment


def remove_socket(run: Path) -> None:
    (run / "daemon.sock").unlink()


def remove_directory(run: Path) -> None:
    shutil.rmtree(run)


@pytest.mark.parametrize("remove", [remove_socket, remove_directory], ids=lambda remove: remove.__name__)
def test_daemon_whose_socket_vanished_is_found_again_by_every_command(
    home: Home, remove: Callable[[Path], None]
) -> None:
    """It is told by the first one that misses it, and is neither taken for dead nor started twice."""
    pid = home.data("daemon", "start")["pid"]
    run = home.home / "run"

    remove(run)
    assert home.data("daemon", "status")["pid"] == pid
    remove(run)
    done = home.run("plan", "list")
    assert done.err.splitlines()[0] == f"found the daemon (pid {pid}) again: its socket was gone"
    assert "started" not in done.err
    remove(run)
    assert home.data("plan", "list", env={"CLEVERAGENTS_NO_AUTOSTART": "1"})["plans"] == []
    assert stat.S_IMODE(run.stat().st_mode) == 0o700
    remove(run)
    assert home.data("daemon", "stop")["pid"] == pid
    home.until(lambda: not home.processes())


def test_daemon_lives_on_when_its_socket_cannot_be_bound_again(home: Home) -> None:
    """What is in the way is named and left alone; once it is gone, the same daemon answers."""
    pid = home.data("daemon", "start")["pid"]
    place = home.home / "run" / "daemon.sock"
    place.unlink()
    place.mkdir()

    os.kill(pid, signal.SIGHUP)
    home.until(lambda: "the daemon cannot be reached" in home.run("daemon", "logs").out)
    error = home.error("plan", "list", code=5)
    assert str(place) in error["message"]
    assert place.is_dir()

    place.rmdir()
    assert home.data("daemon", "status")["pid"] == pid


def test_start_returns_inside_of_a_command_substitution(home: Home) -> None:
    """No descriptor of the caller stays open in the daemon."""
    done = home.run_shell('x=$("$@" 2>&1); echo "got: $x"', "daemon", "start")

    assert "the daemon is running" in done.out


def test_everything_is_private_to_the_user(home: Home) -> None:
    plan = home.executed("echo x > x")
    home.data("config", "set", "core.log-level", "debug")
    assert home.plan(plan)

    own = [path for path in home.home.rglob("*") if not {"sandboxes", "repos"} & set(path.relative_to(home.home).parts)]
    open_ = [path for path in own if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_ == []
    assert stat.S_IMODE((home.home / "data").stat().st_mode) == 0o700


def test_deep_home_gets_a_short_socket(home: Home) -> None:
    """A path that does not fit into a socket's address is replaced, and shown."""
    deep = {"CLEVERAGENTS_HOME": str(home.root / ("d" * 60) / ("e" * 60)), "XDG_RUNTIME_DIR": str(home.root)}

    started = home.data("daemon", "start", env=deep)
    try:
        assert len(started["socket"]) < 108
        assert home.data("plan", "list", env=deep) == {"plans": [], "total": 0}
        checks = home.data("diagnostics", env=deep)["checks"]
        assert any("short path" in check["message"] for check in checks if check["name"] == "socket")
    finally:
        home.run("daemon", "stop", "--kill", env=deep)


def test_relative_home_is_refused(home: Home) -> None:
    error = home.error("plan", "list", code=2, env={"CLEVERAGENTS_HOME": "here"})

    assert error["code"] == "invalid_config"
    assert "absolute" in error["message"]
    assert home.error("daemon", "run", code=2, env={"CLEVERAGENTS_HOME": "here"})["code"] == "invalid_config"


def test_second_daemon_in_the_foreground_is_refused_with_a_sentence(home: Home) -> None:
    pid = home.data("daemon", "start")["pid"]

    done = home.run("daemon", "run", code=4)

    assert f"pid {pid}" in done.err
    assert done.out == ""
    error = home.error("daemon", "run", code=4)
    assert (error["code"], error["detail"]["pid"]) == ("already_running", pid)


def test_daemon_in_the_foreground_serves_until_it_is_asked_to_stop(home: Home) -> None:
    with home.spawn("daemon", "run") as daemon:
        home.until(lambda: home.data("daemon", "status")["running"])
        assert home.data("daemon", "status")["pid"] == daemon.pid

        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0


def test_logs_show_the_last_lines(home: Home) -> None:
    home.data("daemon", "start")

    shown = home.data("daemon", "logs", "--lines", "1")

    assert shown["log"] == str(home.home / "state" / "logs" / "daemon.log")
    assert len(shown["lines"]) == 1
    assert "serves" in home.run("daemon", "logs").out


# --- status ------------------------------------------------------------------------------------------------------------


def test_status_teaches_when_there_is_nothing(home: Home) -> None:
    done = home.run("status")

    for command in ("ca project add", "ca action create", "ca plan use"):
        assert command in done.out
    assert home.run().out == home.run("status").out


def test_status_groups_what_needs_me_and_what_runs(home: Home) -> None:
    gate = home.gate()
    home.set("async.max_workers", "1")
    waiting, failed = home.executed("echo x > x"), home.executed("false", code=1)
    running = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    queued = home.use(home.action("true"), home.repository(), code=None)
    assert home.data("plan", "list")["total"] == 4

    shown = home.data("status")

    assert {plan["name"] for plan in shown["needs_you"]} == {waiting, failed}
    assert [plan["name"] for plan in shown["running"]] == [running]
    assert [plan["name"] for plan in shown["queued"]] == [queued]
    assert shown["daemon"]["running_jobs"] == 1
    text = home.run("status").out
    assert all(name in text for name in (waiting, failed, running, queued))


def test_workers_count_what_they_did(home: Home) -> None:
    home.set("async.max_workers", "1")
    home.executed("true")
    home.executed("false", code=1)
    home.data("plan", "cancel", home.executed("true"), "--yes")

    worker = home.data("daemon", "status")["workers"][0]

    assert (worker["state"], worker["job_id"]) == ("idle", None)
    assert (worker["jobs_processed"], worker["jobs_failed"], worker["jobs_cancelled"]) == (6, 1, 0)


def test_counters_of_workers_survive_every_end_of_the_daemon(home: Home) -> None:
    """A restart, a `kill -9`, and a kill while the worker is busy: what it did is not forgotten, and goes on to be counted."""
    home.set("async.max_workers", "1")
    gate = home.gate()
    running = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    home.data("job", "cancel", home.plan(running)["job_id"], "--yes")
    home.executed("false", code=1)
    counted = counters(home)
    assert counted == (4, 1, 1)

    home.run("daemon", "restart")
    assert counters(home) == counted
    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
    assert counters(home) == counted
    held = home.gate()
    plan = home.use(home.action(held.command), home.repository(), code=None)
    held.wait()
    busy = home.data("daemon", "status")["workers"][0]
    assert (busy["state"], busy["job_id"]) == ("busy", home.plan(plan)["job_id"])
    assert home.data("diagnostics")["workers"][0]["job_id"] == busy["job_id"]
    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
    home.run("daemon", "start")
    held.open()
    home.run("plan", "wait", plan)

    assert counters(home) == (6, 1, 1)


def counters(home: Home) -> tuple[int, int, int]:
    """What the only worker did, failed and cancelled; the same wherever it is shown."""
    (worker,) = home.data("diagnostics")["workers"]
    (same,) = home.data("daemon", "status")["workers"]
    assert {**worker, "last_heartbeat": None} == {**same, "last_heartbeat": None}
    assert (worker["state"], worker["job_id"]) == ("idle", None)
    return worker["jobs_processed"], worker["jobs_failed"], worker["jobs_cancelled"]


# --- diagnostics ---------------------------------------------------------------------------------------------------------


def test_diagnostics_of_a_sound_home_has_no_errors(home: Home) -> None:
    found = home.data("diagnostics")

    assert found["summary"]["errors"] == 0
    assert {check["name"] for check in found["checks"]} >= {"store", "integrity", "socket", "git", "disk", "config"}
    assert sum(found["summary"].values()) == len(found["checks"])
    assert len(found["workers"]) == 4


def test_diagnostics_names_what_is_wrong_and_what_to_do(home: Home) -> None:
    home.data("daemon", "start")
    config = home.home / "config" / "config.toml"
    config.write_text("[core\n")

    found = home.data("diagnostics", "--format", "json", code=1)

    wrong = [check for check in found["checks"] if check["status"] == "error"]
    assert [check["name"] for check in wrong] == ["config"]
    assert "config.toml" in wrong[0]["message"]
    assert wrong[0]["fix"]


@pytest.mark.parametrize("key", ["core.formt = 'x'", "[async]\nworkers = 3"])
def test_diagnostics_warns_of_keys_that_nothing_reads(home: Home, key: str) -> None:
    home.data("daemon", "start")
    (home.home / "config" / "config.toml").write_text(key)

    found = home.data("diagnostics")

    assert found["summary"]["warnings"] >= 1
    assert any("nothing reads" in check["message"] for check in found["checks"])


def test_start_right_after_the_daemon_was_killed_is_a_start(home: Home) -> None:
    """Whoever connects while the kernel still takes the dead one's socket down is no failure of the next."""
    for _ in range(5):
        pid = home.data("daemon", "start")["pid"]
        os.kill(pid, signal.SIGKILL)
        assert home.data("daemon", "start")["pid"] != pid
        os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
