"""Every error code that this version can reach, produced once: its exit code, its sentence, and what to do."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.team.wire import CARD_PATH
from store import errors
from tests.cli import schemas
from tests.cli.teamed import Team, answering, card, closed_port, conflict, connected
from tests.homes import CA, SECONDS, Home

ELSEWHERE = {
    # Produced by faults that are injected below the command line: in the tests of the crashes and of the daemon.
    "lock_lost", "protocol_error", "disk_full", "payload_version", "internal", "stuck",
}  # fmt: skip
Produced = tuple[int, dict[str, Any]]
PRODUCERS: dict[str, Callable[[Home], Produced]] = {}


def produces(code: str) -> Callable[[Callable[[Home], Produced]], Callable[[Home], Produced]]:
    """Enter a function into the table of those that produce an error."""

    def enter(function: Callable[[Home], Produced]) -> Callable[[Home], Produced]:
        PRODUCERS[code] = function
        return function

    return enter


def failing(home: Home, *arguments: str, **settings: Any) -> Produced:
    document = home.document(*arguments, code=None, **settings)
    assert document["status"] == "error", document
    return document["exit_code"], document["error"]


@produces("not_found")
def _not_found(home: Home) -> Produced:
    return failing(home, "plan", "show", "nothing-like-it")


@produces("ambiguous")
def _ambiguous(home: Home) -> Produced:
    root, action = home.repository(), home.action("true")
    ids = [home.plan(home.use(action, root, profile="manual"))["plan_id"] for _ in range(2)]
    shared = next(length for length in range(26, 0, -1) if ids[0][:length] == ids[1][:length])
    code, error = failing(home, "plan", "show", ids[0][:shared])
    assert set(error["detail"]["candidates"]) == set(ids)
    return code, error


@produces("invalid_ttl")
def _invalid_ttl(home: Home) -> Produced:
    return failing(home, "lock", "acquire", home.fresh("res"), "--ttl", "4")


@produces("usage")
def _usage(home: Home) -> Produced:
    return failing(home, "plan", "shwo", "x")


@produces("invalid_action")
def _invalid_action(home: Home) -> Produced:
    return failing(home, "action", "validate", str(home.write_action(name="local/empty")))


@produces("invalid_argument")
def _invalid_argument(home: Home) -> Produced:
    action = home.action("echo {n}", arguments=[{"name": "n", "type": "integer", "required": True}])
    return failing(home, "plan", "use", action, home.repository().name, "--arg", "n=many")


@produces("invalid_config")
def _invalid_config(home: Home) -> Produced:
    return failing(home, "config", "set", "async.max_workers", "no")


@produces("invalid_transition")
def _invalid_transition(home: Home) -> Produced:
    plan = home.use(home.action("true"), home.repository(), profile="manual")
    return failing(home, "plan", "apply", plan, "--yes")


@produces("lock_conflict")
def _lock_conflict(home: Home) -> Produced:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    return failing(home, "plan", "revert", plan, "--yes")


@produces("already_running")
def _already_running(home: Home) -> Produced:
    action = home.write_action(name="local/twice", steps=[{"id": "s1", "run": "true"}])
    home.data("action", "create", str(action))
    action.write_text(action.read_text().replace("true", "false"))
    return failing(home, "action", "create", str(action))


@produces("change_moved")
def _change_moved(home: Home) -> Produced:
    return failing(home, "plan", "apply", home.executed("echo x > x"), "--yes", "--expect", "0" * 64)


@produces("merge_conflict")
def _merge_conflict(home: Home) -> Produced:
    root = home.repository()
    plan = home.executed("echo mine > a.txt", project=root)
    (root / "a.txt").write_text("yours\n")
    return failing(home, "plan", "apply", plan, "--yes", "--wait")


@produces("nothing_to_apply")
def _nothing_to_apply(home: Home) -> Produced:
    return failing(home, "plan", "apply", home.executed("true"), "--yes", "--wait")


@produces("checks_failed")
def _checks_failed(home: Home) -> Produced:
    plan = home.executed("echo x > x", checks=[{"run": "exit 5"}])
    return failing(home, "plan", "apply", plan, "--yes", "--wait")


@produces("step_failed")
def _step_failed(home: Home) -> Produced:
    return failing(home, "plan", "wait", home.executed("exit 5", code=1))


@produces("timed_out")
def _timed_out(home: Home) -> Produced:
    gate = home.gate()
    action = home.action(steps=[{"id": "slow", "run": gate.command, "timeout": "0.3s"}])
    return failing(home, "plan", "wait", home.use(action, home.repository(), code=1))


@produces("lost")
def _lost(home: Home) -> Produced:
    """The step's processes are killed, wrapper and all, while no daemon is there to see it."""
    gate = home.gate()
    plan = home.use(home.action(f"{gate.command}; true"), home.repository(), code=None)
    gate.wait()
    home.data("daemon", "stop")
    for group in {os.getpgid(process.pid) for process in home.processes(having="CA_STEP_ID")}:
        os.killpg(group, signal.SIGKILL)
    home.until(lambda: not home.processes(having="CA_STEP_ID"))
    return failing(home, "plan", "wait", plan)


@produces("cancelled")
def _cancelled(home: Home) -> Produced:
    plan = home.use(home.action("true"), home.repository(), profile="manual")
    home.data("plan", "cancel", plan, "--yes")
    return failing(home, "plan", "wait", plan)


@produces("daemon_unavailable")
def _daemon_unavailable(home: Home) -> Produced:
    return failing(home, "plan", "list", env={"CLEVERAGENTS_NO_AUTOSTART": "1"})


@produces("store_damaged")
def _store_damaged(home: Home) -> Produced:
    """The reason that the daemon did not start for is told by the command that needed it."""
    home.data("daemon", "start")
    home.data("daemon", "stop")
    (home.home / "data" / "store.db").write_bytes(b"this is no database at all\n" * 1000)
    code, error = failing(home, "plan", "list")
    assert code == 5, "for a command that needs the daemon it is not reachable"
    return 1, error


@produces("permission_denied")
def _permission_denied(home: Home) -> Produced:
    """Not even root may make a directory in the kernel's own file system."""
    return failing(home, "config", "set", "core.format", "plain", env={"CLEVERAGENTS_HOME": "/sys/cleveragents"})


@produces("unreachable")
def _unreachable(home: Home) -> Produced:
    return failing(home, "server", "connect", closed_port())


@produces("unauthorized")
def _unauthorized(home: Home) -> Produced:
    team = Team(home)
    team.token("team")
    return failing(home, "server", "connect", team.url, "--namespace", "team")


@produces("forbidden")
def _forbidden(home: Home) -> Produced:
    team = Team(home)
    token = team.token("team")["token"]
    return failing(home, "server", "connect", team.url, "--namespace", "other", "--token", token)


@produces("version_mismatch")
def _version_mismatch(home: Home) -> Produced:
    with answering({CARD_PATH: (200, "application/json", card("http://127.0.0.1:1", "0.3"))}) as url:
        return failing(home, "server", "connect", url)


@produces("tls")
def _tls(home: Home) -> Produced:
    with answering({}, certificate="loopback.pem") as url:
        return failing(home, "server", "connect", url)


@produces("sync_conflict")
def _sync_conflict(home: Home) -> Produced:
    team = Team(home)
    connected(home, team, "team")
    conflict(home, team, "team/both")
    return failing(home, "sync", "push")


@pytest.mark.parametrize("code", sorted(PRODUCERS))
def test_error_is_produced_with_its_exit_code(home: Home, code: str) -> None:
    """The code, the exit code of the table, a sentence that says what, and a suggestion that says what to do."""
    exit_code, error = PRODUCERS[code](home)

    assert error["code"] == code
    assert exit_code == errors.BY_CODE[code].exit_code
    assert len(error["message"].split()) >= 3
    assert error["suggestions"] or code == "cancelled", "what is cancelled is over"


def test_every_code_of_the_specification_is_accounted_for() -> None:
    """A new code without a test fails here."""
    assert set(PRODUCERS) | ELSEWHERE == set(schemas.CODES)
    assert not set(PRODUCERS) & ELSEWHERE
    assert set(errors.BY_CODE) <= set(PRODUCERS) | ELSEWHERE


def test_error_for_people_is_on_stderr_alone(shared: Home) -> None:
    shared.data("daemon", "start")

    done = shared.run("plan", "show", "nothing-like-it", code=3)

    assert done.out == ""
    assert done.err.startswith("✘ ")
    assert "ca plan list" in done.err


def test_damaged_store_is_never_replaced_by_an_empty_one(home: Home) -> None:
    home.data("daemon", "start")
    home.data("daemon", "stop")
    store = home.home / "data" / "store.db"
    store.write_bytes(b"\0" * 4096 + b"this is no database at all\n" * 1000)
    before = store.read_bytes()

    for _ in range(2):
        error = home.error("plan", "list", code=5)
        assert "store.db" in error["message"] or "store" in error["message"]
    kept = [path for path in (home.home / "data").rglob("*") if path.is_file() and path.read_bytes() == before]
    assert kept, "what was there is still there, wherever it was set aside"


def test_daemon_that_does_not_answer_is_told_from_one_that_is_not_there(home: Home) -> None:
    """A socket at which nobody reads."""
    home.data("daemon", "start")
    home.data("daemon", "stop")
    path = home.home / "run" / "daemon.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(0)
        error = home.error("plan", "list", code=5)

    assert error["code"] == "daemon_unavailable"
    assert "not answering" in error["message"]


def test_full_disk_of_stdout_is_an_error(shared: Home) -> None:
    """What could not be written is not silently lost."""
    full = Path("/dev/full")
    if not full.exists():
        return
    assert shutil.which("sh")
    shared.run("plan", "list")
    done = shared.run_shell('"$@" > /dev/full', "config", "list")
    failed = shared.run_shell('"$@" > /dev/full', "plan", "show", "nosuch", "--format", "json")

    assert (done.code, failed.code) == (1, 3)
    assert done.err == failed.err == "cannot write the output: No space left on device\n"
    assert shared.run_shell('"$@" 2> /dev/full', "plan", "show", "nosuch").code == 3


def test_closed_pipe_is_no_error(shared: Home) -> None:
    done = shared.run_shell('"$@" | true', "config", "list")

    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (["run", "--wait", "--project", "PROJECT", "--", "exit 3"], 1),
        (["plan", "show", "nosuch"], 3),
        (["plan", "show", "nosuch", "--format", "json"], 3),
    ],
)
def test_failure_that_nobody_reads_is_one(shared: Home, line: list[str], code: int) -> None:
    """Nor does it end a wait that nobody hears what is said meanwhile."""
    line = [shared.repository().name if word == "PROJECT" else word for word in line]
    reader, writer = os.pipe()
    os.close(reader)
    environ = shared.environ_of(*line)
    try:
        done = subprocess.run(
            [*CA, *line], cwd=shared.work, env=environ, check=False, stdout=writer, stderr=writer, timeout=SECONDS
        )
    finally:
        os.close(writer)

    assert done.returncode == code
