"""Programs of two versions meet in one home: the newer daemon takes over, and what runs goes on."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon import protocol
from store.version import VERSION
from tests.homes import SECONDS, Gate, Home

TREE = Path(__file__).parents[2]
Environment = dict[str, str]


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Environment]:
    """Makes a copy of this program with other texts in its files; the environment in which `ca` is that copy."""

    def make(changes: dict[str, tuple[str, str]]) -> Environment:
        installed = tmp_path / "site-packages"  # where coverage looks for copies of the tree
        for package in ("cleveragents_tui", "daemon", "store"):
            shutil.copytree(TREE / package, installed / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name, (old, new) in changes.items():
            file = installed / name
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
        return {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}

    return make


NEWER_VERSION = {"store/version.py": (VERSION, "999.0")}
OTHER_PROTOCOL = {"daemon/protocol.py": ("PROTOCOL_VERSION = 1", "PROTOCOL_VERSION = 2")}


@pytest.fixture
def newer(build: Callable[..., Environment]) -> Environment:
    """The environment in which `ca` is a copy of this program with a higher version."""
    return build(NEWER_VERSION)


# --- what runs goes on ---------------------------------------------------------------------------------------------------


TIMEOUTS = (3, 6)


def kill(home: Home, _newer: Environment) -> Environment:
    """`kill -9`, and `ca daemon start` when the time of one step has passed and that of another has not, most likely."""
    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
    passed = time.monotonic() + TIMEOUTS[0]
    home.until(lambda: time.monotonic() > passed)
    home.run("daemon", "start")
    return {}


def upgrade(home: Home, newer: Environment) -> Environment:
    """Any command of a newer program; the time of both passes under the newer daemon, most likely."""
    done = home.run("status", env=newer)
    assert f"the daemon is version {VERSION}; 999.0 takes over, and running steps go on" in done.err
    return newer


@pytest.mark.parametrize("replace", [kill, upgrade])
def test_eight_long_steps_end_with_their_own_codes_under_the_next_daemon(
    home: Home, newer: Environment, replace: Callable[[Home, Environment], Environment]
) -> None:
    """Each ran once; the two whose time was over by then are timed out, and nothing of them is left."""
    home.set("async.max_workers", "8", "plan.concurrency", "8")
    project = home.repository()
    codes = (0, 3, 7, 42, 126, 255)
    gates = [home.gate() for _ in range(8)]
    plans = [
        home.use(home.action(f"{gate.command}; exit {code}"), project, code=None)
        for gate, code in zip(gates, codes, strict=False)
    ]
    slow = [
        home.use(timed(home, gate, limit), project, code=None) for gate, limit in zip(gates[6:], TIMEOUTS, strict=True)
    ]
    for gate in gates:
        gate.wait()
    before = home.data("daemon", "status")["pid"]

    env = replace(home, newer)
    for gate in gates[:6]:
        gate.open()

    for plan, code in zip(plans, codes, strict=True):
        home.run("plan", "wait", plan, code=1 if code else 0, env=env)
    for plan in slow:
        home.run("plan", "wait", plan, code=1, env=env)
    ended = [home.data("plan", "show", plan, env=env)["steps"][0] for plan in (*plans, *slow)]
    assert [(step["exit_code"], step["attempt"]) for step in ended[:6]] == [(code, 1) for code in codes]
    assert [(step["state"], step["attempt"]) for step in ended[6:]] == [("timed_out", 1)] * 2
    assert home.data("daemon", "status", env=env)["pid"] != before
    home.until(lambda: not home.processes(having="CA_STEP_ID"))


def timed(home: Home, gate: Gate, seconds: int) -> str:
    return home.action(steps=[{"id": "s1", "run": gate.command, "timeout": seconds}])


def test_replaced_files_of_a_running_daemon_are_not_read(home: Home, build: Callable[..., Environment]) -> None:
    """`pip install` over the program: the old daemon has all that it needs in memory, whatever it is asked for."""
    installed = build({})
    pid = home.data("daemon", "start", env=installed)["pid"]
    for package in ("daemon", "store"):
        for file in (Path(installed["PYTHONPATH"]) / package).rglob("*"):
            if file.is_file():
                file.write_text("raise SystemExit('a file of the new version was read')\n")

    project = home.repository()
    kept = home.executed("echo x > x", "cat x", project=project)
    home.apply(kept)
    home.undo(kept)
    failed = home.executed("false", project=project, code=1)
    home.run("plan", "prompt", failed, "try again")
    home.run("plan", "rollback", home.executed("true", "false", project=project, code=1), "s1")
    gate = home.gate()
    running = home.use(home.action(f"setsid sh -c '{gate.command}' & {gate.command}"), project, code=None)
    gate.wait()
    home.data("plan", "cancel", running, "--yes")
    home.error("plan", "show", "nonesuch", code=3)
    home.error("project", "add", str(project), "--name", "Ünmöglich", code=2)
    broken = home.work / "broken.yaml"
    broken.write_text("name: [\n")
    home.error("action", "create", str(broken), code=2)
    home.error("action", "validate", str(home.write_action(name="a", stepps=[])), code=2)
    home.set("plan.retention", "1.5h")
    for verb in (["plan", "prune"], ["job", "prune"], ["lock", "clean"], ["diagnostics"], ["status"], ["job", "list"]):
        home.data(*verb)

    assert home.data("daemon", "status")["pid"] == pid
    home.data("daemon", "stop")
    assert "a file of the new version" not in (home.home / "state" / "logs" / "daemon.log").read_text()


# --- who replaces whom ---------------------------------------------------------------------------------------------------


def test_newer_programs_at_once_get_one_newer_daemon(home: Home, newer: Environment) -> None:
    """All of them find the older one; each is answered by the same daemon."""
    home.data("daemon", "start")

    clients = [home.spawn("status", "--format", "json", env=newer) for _ in range(4)]
    answers = [client.communicate(timeout=SECONDS) for client in clients]

    assert [client.returncode for client in clients] == [0] * 4, answers
    (pid,) = {json.loads(out)["data"]["daemon"]["pid"] for out, _ in answers}
    assert home.data("daemon", "status", env=newer)["version"] == "999.0"
    home.until(lambda: [process.pid for process in home.processes()] == [pid])


def test_who_comes_while_a_daemon_drains_waits_for_the_next_one(home: Home, newer: Environment) -> None:
    """An older and a newer program wait together; in the end both were answered, and the newer daemon is there."""
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    with home.spawn("daemon", "stop", "--grace", "60") as stopping:
        home.until(lambda: home.data("daemon", "status")["draining"])
        waiting = [home.spawn("plan", "list", env=env) for env in ({}, newer)]
        for one in waiting:
            assert one.stderr is not None
            assert b"is stopping; waiting until it is gone" in one.stderr.readline()
        gate.open()
        assert stopping.wait(40) == 0
    ended = [one.communicate(timeout=SECONDS) for one in waiting]

    assert [one.returncode for one in waiting] == [0, 0], ended
    assert plan.encode() in ended[0][0]
    assert home.data("daemon", "status", env=newer)["version"] == "999.0"


def test_older_program_leaves_a_newer_daemon_alone_and_says_so(home: Home, newer: Environment) -> None:
    pid = home.data("daemon", "start", env=newer)["pid"]

    said = home.messages("plan", "list")

    assert any("999.0" in message and VERSION in message for message in said)
    assert home.data("daemon", "status")["pid"] == pid


def test_older_daemon_is_used_when_nothing_may_be_started(home: Home, newer: Environment) -> None:
    pid = home.data("daemon", "start")["pid"]

    home.run("plan", "list", env={**newer, "CLEVERAGENTS_NO_AUTOSTART": "1"})

    assert home.data("daemon", "status")["pid"] == pid


def test_another_protocol_is_refused_by_the_older_and_replaced_by_the_newer(
    home: Home, build: Callable[..., Environment]
) -> None:
    """They cannot talk to each other, and every version understands SIGTERM."""
    other = build(NEWER_VERSION | OTHER_PROTOCOL)
    home.data("daemon", "start")
    refused = home.run("plan", "list", env={**other, "CLEVERAGENTS_NO_AUTOSTART": "1"}, code=5)
    taken = home.run("plan", "list", env=other)
    pid = home.data("daemon", "status", env=other)["pid"]

    error = home.error("plan", "list", code=5)

    assert "is older than this `ca`" in refused.err
    assert "999.0 takes over" in taken.err
    assert "is newer than this `ca`" in error["message"]
    assert error["suggestions"] == ["update this `ca`", "ca daemon restart"]
    assert error["detail"] == {"daemon_protocol": 2, "protocol": protocol.PROTOCOL_VERSION, "pid": pid}
    assert home.data("daemon", "restart")["version"] == VERSION


def test_store_of_a_newer_version_is_refused_by_name_and_kept(home: Home, newer: Environment) -> None:
    """The older program came back after the newer one had migrated the store."""
    migrations = Path(newer["PYTHONPATH"]) / "store" / "migrations"
    (migrations / f"{len(list(migrations.glob('*.sql'))) + 1:04}_more.sql").write_text(
        "CREATE TABLE more (x ANY) STRICT;\n"
    )
    home.data("project", "add", str(home.work), env=newer)
    home.data("daemon", "stop", env=newer)
    store = home.home / "data" / "store.db"
    before = store.read_bytes()

    error = home.error("project", "list", code=5)

    assert str(store) in error["message"]
    assert "has version 2; this program knows versions up to 1" in error["message"]
    assert store.read_bytes() == before
    assert home.data("project", "list", env=newer)["total"] == 1
