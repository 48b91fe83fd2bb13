"""`ca config`, and that each key changes behaviour: a key without a test here fails the table."""

import json
import socket
import time
import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from daemon import protocol
from store.config import KEYS
from tests.cli.teamed import Team, action_text, answering, conflict, connected
from tests.dashboard.dashboards import Seat, sit
from tests.homes import Home
from tests.waiting import wait_until

# --- get, set, unset, list, path ---------------------------------------------------------------------------------------


def test_default_is_shown_with_its_level(shared: Home) -> None:
    shown = shared.data("config", "get", "async.max_workers")

    assert (shown["value"], shown["level"], shown["default"]) == (4, "default", 4)
    assert shown["env"] == "CLEVERAGENTS_ASYNC_MAX_WORKERS"
    assert [level["level"] for level in shown["chain"]] == ["flag", "environment", "project", "global", "default"]


def test_levels_override_each_other_in_order(home: Home) -> None:
    root = home.repository()

    def seen(**settings: Any) -> tuple[object, str]:
        shown = home.data("config", "get", "apply.mode", "--project", root.name, **settings)
        return shown["value"], shown["level"]

    assert seen() == ("worktree", "default")
    home.set("apply.mode", "index")
    assert seen() == ("index", "global")
    home.set("apply.mode", "commit", project=root.name)
    assert seen() == ("commit", "project")
    assert seen(env={"CLEVERAGENTS_APPLY_MODE": "branch"}) == ("branch", "environment")
    chain = {level["level"]: level["value"] for level in home.data(
        "config", "get", "apply.mode", "--project", root.name, env={"CLEVERAGENTS_APPLY_MODE": "branch"}
    )["chain"]}  # fmt: skip
    assert chain == {
        "flag": None,
        "environment": "branch",
        "project": "commit",
        "global": "index",
        "default": "worktree",
    }


def test_verbose_shows_the_whole_chain(home: Home) -> None:
    home.set("apply.mode", "index")

    text = home.run("config", "get", "apply.mode", "--verbose").out

    assert "CLEVERAGENTS_APPLY_MODE" in text
    assert "index" in text
    assert "worktree" in text
    assert home.run("config", "get", "apply.mode").out == "index  (global)\n"


def test_unset_brings_the_next_level_back(home: Home) -> None:
    home.set("apply.mode", "index")

    shown = home.data("config", "unset", "apply.mode")

    assert (shown["value"], shown["level"]) == ("worktree", "default")


def test_several_keys_are_set_together_or_not_at_all(home: Home) -> None:
    home.set("async.max_workers", "3")
    before = _file(home).read_bytes()

    error = home.error("config", "set", "async.max_workers", "5", "lock.ttl", "soon", code=2)

    assert error["code"] == "invalid_config"
    assert _file(home).read_bytes() == before
    shown = home.data("config", "set", "async.max_workers", "5", "lock.ttl", "20")
    assert [(key["key"], key["value"]) for key in shown["keys"]] == [("async.max_workers", 5), ("lock.ttl", 20)]


def test_file_is_private_and_keeps_comments(home: Home) -> None:
    home.set("core.log-level", "debug")
    path = _file(home)
    path.write_text(f"# mine\n{path.read_text()}unknown = 1  # kept\n")

    home.set("core.log-level", "warning")

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("# mine\n")
    assert "unknown = 1  # kept" in path.read_text()
    assert tomllib.loads(path.read_text())["core"]["log-level"] == "warning"


def test_a_home_that_the_first_setting_makes_is_private(home: Home) -> None:
    home.set("lock.ttl", "60")

    assert {path.stat().st_mode & 0o777 for path in (home.home, _file(home).parent)} == {0o700}


def test_path_is_printed_whether_the_file_is_there_or_not(home: Home) -> None:
    assert home.data("config", "path") == {"path": str(_file(home)), "exists": False}
    home.set("lock.ttl", "20")
    assert home.run("config", "path").lines == [str(_file(home))]
    assert home.data("config", "path")["exists"] is True


def test_list_has_every_key(home: Home) -> None:
    listed = home.data("config", "list")

    assert [key["key"] for key in listed["keys"]] == list(KEYS)
    assert listed["total"] == len(KEYS)
    assert all(key in home.run("config", "list").out for key in KEYS)


def test_unknown_key_names_the_nearest(shared: Home) -> None:
    for command in (["get", "apply.mod"], ["set", "apply.mod", "index"], ["unset", "apply.mod"]):
        error = shared.error("config", *command, code=3)
        assert (error["code"], "apply.mode" in error["message"]) == ("not_found", True)


def test_key_that_is_no_projects_is_refused_for_one(shared: Home) -> None:
    root = shared.folder()

    error = shared.error("config", "set", "async.max_workers", "2", "--project", root.name, code=2)

    assert "async.max_workers" in error["message"]


def test_environment_that_overrides_is_told(shared: Home) -> None:
    document = shared.document("config", "set", "lock.ttl", "300", env={"CLEVERAGENTS_LOCK_TTL": "60"})

    assert any("CLEVERAGENTS_LOCK_TTL" in message for message in document["messages"])


def test_bad_value_in_the_environment_names_the_variable(shared: Home) -> None:
    error = shared.error("config", "get", "lock.ttl", code=2, env={"CLEVERAGENTS_LOCK_TTL": "soon"})

    assert "CLEVERAGENTS_LOCK_TTL" in error["message"]


@pytest.mark.parametrize(
    ("key", "value"), [("lock.ttl", "-1"), ("async.cancel-grace", "-0.5"), ("async.retention", "-1h")]
)
def test_a_negative_value_is_a_value(shared: Home, key: str, value: str) -> None:
    error = shared.error("config", "set", key, value, "--project", "web", code=2)

    assert error["code"] == "invalid_config"
    assert error["message"].startswith(f"{key} must be ")


def test_an_option_that_is_none_is_still_one(shared: Home) -> None:
    assert shared.error("config", "set", "lock.ttl", "-x", code=2)["code"] == "usage"


@pytest.mark.parametrize(
    "verb", [["set", "apply.mode", "commit"], ["unset", "apply.mode"], ["get", "apply.mode"], ["list"]]
)
def test_a_project_that_is_not_registered_is_told(home: Home, verb: list[str]) -> None:
    """It may be registered later; without a daemon nobody knows."""
    assert home.messages("config", *verb, "--project", "nosuch") == []
    root = home.repository()

    (told,) = home.messages("config", *verb, "--project", "nosuch")
    assert "local/nosuch" in told
    assert home.messages("config", *verb, "--project", root.name) == []


@pytest.mark.parametrize("key", list(KEYS))
def test_value_out_of_range_is_refused(shared: Home, key: str) -> None:
    """The message says what is allowed."""
    if KEYS[key].type == "str":
        return
    error = shared.error("config", "set", key, "@@@", code=2)

    assert error["code"] == "invalid_config"
    assert KEYS[key].allowed in error["message"]


def test_unset_takes_away_one_level_only(home: Home) -> None:
    """The project's own value and the one for all are unset apart."""
    root = home.repository()
    for project in (root.name, None):
        home.set("apply.mode", "index" if project is None else "branch", "sandbox.cleanup", "manual", project=project)

    own = home.data("config", "unset", "apply.mode", "sandbox.cleanup", "--project", root.name)
    assert [(key["value"], key["level"]) for key in own["keys"]] == [("index", "global"), ("manual", "global")]
    home.set("apply.mode", "branch", project=root.name)
    home.data("config", "unset", "apply.mode")

    assert tomllib.loads(_file(home).read_text()) == {
        "projects": {f"local/{root.name}": {"apply": {"mode": "branch"}, "sandbox": {}}},
        "apply": {},
        "sandbox": {"cleanup": "manual"},
    }


def test_profile_comes_from_the_strongest_level(home: Home) -> None:
    root, action = home.repository(), home.action("echo x > x")
    env = {"CLEVERAGENTS_CORE_AUTOMATION_PROFILE": "full-auto"}

    def used(*options: str, **settings: Any) -> str:
        return home.data("plan", "use", action, root.name, *options, **settings)["automation_profile"]

    seen = [used()]
    home.set("core.automation-profile", "trusted")
    seen.append(used())
    home.set("core.automation-profile", "manual", project=root.name)
    seen += [used(), used(env=env), used("--profile", "supervised", env=env)]

    assert seen == ["supervised", "trusted", "manual", "full-auto", "supervised"]


def test_edits_by_hand_hold_without_a_restart(home: Home) -> None:
    """How many workers there are, how many plans may run, how often one may be reverted: read when they are needed."""
    _file(home).parent.mkdir(parents=True)
    _by_hand(home, "async.max_workers = 1\nplan.concurrency = 1\nplan.max-reversions = 0\n")
    gate, root = home.gate(), home.repository()
    reverted = home.executed("true", project=root)
    assert home.error("plan", "revert", reverted, "--yes", code=4)["code"] == "invalid_transition"
    blocking = home.use(home.action(gate.command), root, code=None)
    gate.wait()
    waiting = home.use(home.action("true"), root, profile="supervised", code=None)
    assert home.position(waiting) == "strategize/queued", "the only worker is busy"

    _by_hand(home, "async.max_workers = 2\nplan.concurrency = 1\nplan.max-reversions = 1\n")
    home.data("plan", "revert", reverted, "--yes")
    home.run("plan", "wait", waiting)
    assert home.position(waiting) == "strategize/complete", "there is a second worker"
    home.data("plan", "execute", waiting)
    assert home.position(waiting) == "execute/queued", "one plan may execute, and one does"

    _by_hand(home, "async.max_workers = 2\nplan.concurrency = 2\n")
    home.run("plan", "wait", waiting)
    assert home.position(waiting) == "execute/complete"
    assert home.position(blocking) == "execute/processing"


def test_a_daemon_at_rest_follows_what_is_set(home: Home) -> None:
    """How many workers it has, what it logs, and when it ends: nothing has to happen for that."""
    pid = home.data("daemon", "start")["pid"]
    log = Path(home.data("daemon", "status")["log"])

    for number in ("7", "2", "4"):
        home.set("async.max_workers", number)
        assert len(home.data("daemon", "status")["workers"]) == int(number)
        assert f"0 of {number} workers busy" in home.run("status").out

    home.set("core.log-level", "error")
    home.set("daemon.idle-timeout", "1s")
    home.until(lambda: pid not in {process.pid for process in home.processes()}, seconds=30)
    assert "ending" not in log.read_text()


def test_workers_edited_by_hand_are_shown(home: Home) -> None:
    _file(home).parent.mkdir(parents=True)
    home.data("daemon", "start")

    for number in (6, 1):
        _by_hand(home, f"async.max_workers = {number}\n")
        assert len(home.data("daemon", "status")["workers"]) == number
    _by_hand(home, "async.max_workers = 3\n")
    assert len(home.data("status")["daemon"]["workers"]) == 3


def test_retention_edited_by_hand_holds_for_the_next_pruning(home: Home) -> None:
    plan = home.executed("false", code=1)
    home.run("plan", "execute", plan, "--wait", code=1)
    assert home.data("job", "prune")["jobs"] == 0

    _file(home).parent.mkdir(exist_ok=True)
    _by_hand(home, 'async.retention = "0s"\n')

    assert home.data("job", "prune")["jobs"] == 2
    assert [job["job_id"] for job in home.data("job", "list")["jobs"]] == [home.plan(plan)["job_id"]]


def test_a_file_broken_by_hand_changes_nothing_for_the_daemon_and_is_told(home: Home) -> None:
    """The daemon goes on with what was in force, also for a key that it had not needed yet; `ca` says where the mistake is."""
    home.set("async.job_timeout", "77", "plan.max-reversions", "0")
    root = home.repository()
    plan = home.use(home.action("echo x > x"), root, profile="supervised")
    broken = f"{_file(home).read_text()}[apply\n"
    _by_hand(home, broken)

    home.run("plan", "execute", plan, "--wait", "--format", "json")
    assert home.data("job", "show", home.plan(plan)["job_id"])["timeout_s"] == 77
    assert "plan.max-reversions allows 0" in home.error("plan", "revert", plan, "--yes", code=4)["message"]

    lines = broken.count("\n")
    for command in (
        ["config", "get", "lock.ttl"],
        ["config", "list"],
        ["config", "set", "lock.ttl", "9"],
        ["config", "unset", "lock.ttl"],
    ):
        error = home.error(*command, code=2)
        assert (error["code"], error["detail"]) == (
            "invalid_config",
            {"file": str(_file(home)), "line": lines, "column": 7},
        )
    assert f"config.toml, line {lines}, column 7" in home.run("status", code=2).err
    assert _file(home).read_text() == broken
    assert "the configuration is not used as it is" in home.run("daemon", "logs", "--format", "plain").out


def test_a_wrong_format_can_be_put_right_with_the_command_that_is_suggested(home: Home) -> None:
    home.set("core.format", "plain")
    _by_hand(home, _file(home).read_text().replace("plain", "fancy"))

    done = home.run("plan", "list", code=2)

    assert "core.format must be one of" in done.err
    suggested = next(line.partition("ca ")[2] for line in done.err.splitlines() if "→ ca config set" in line)
    home.run(*suggested.split())
    home.run("plan", "list")


def _file(home: Home) -> Path:
    return home.home / "config" / "config.toml"


def _by_hand(home: Home, text: str) -> None:
    """Write the file as an editor does, in place."""
    _file(home).write_text(text)


# --- each key changes behaviour ----------------------------------------------------------------------------------------

EFFECTS: dict[str, Callable[[Home], None]] = {}


def shows(key: str) -> Callable[[Callable[[Home], None]], Callable[[Home], None]]:
    """Enter a function into the table as the one that shows what a key changes."""

    def enter(function: Callable[[Home], None]) -> Callable[[Home], None]:
        EFFECTS[key] = function
        return function

    return enter


@pytest.mark.parametrize("key", list(KEYS))
def test_key_changes_behaviour(home: Home, key: str) -> None:
    assert key in EFFECTS, f"{key} is registered, and nothing here shows what it changes"

    EFFECTS[key](home)


def test_every_key_that_is_tested_is_registered() -> None:
    assert set(EFFECTS) == set(KEYS)


@shows("core.automation-profile")
def _automation_profile(home: Home) -> None:
    root, action = home.repository(), home.action("echo x > x")

    def use() -> str:
        plan = home.data("plan", "use", action, root.name)["name"]
        home.run("plan", "wait", plan)
        return home.position(plan)

    assert use() == "strategize/complete"
    home.set("core.automation-profile", "trusted")
    assert use() == "execute/complete"


@shows("core.format")
def _format(home: Home) -> None:
    assert not home.run("config", "path").out.startswith("{")
    home.set("core.format", "json")
    assert home.run("config", "path").out.startswith("{")
    assert not home.run("config", "path", "--format", "plain").out.startswith("{")
    assert home.run("config", "path", env={"CLEVERAGENTS_CORE_FORMAT": "yaml"}).out.startswith("schema:")


@shows("core.log-level")
def _log_level(home: Home) -> None:
    home.set("core.log-level", "error")
    home.data("daemon", "start")
    assert "INFO" not in home.run("daemon", "logs").out
    home.set("core.log-level", "info")
    home.data("daemon", "restart")
    assert "INFO" in home.run("daemon", "logs").out


@shows("async.enabled")
def _enabled(home: Home) -> None:
    """Execute and apply come back when the phase has ended, with its result as the exit code."""
    root = home.repository()
    good, bad = (home.use(home.action(run), root, profile="supervised") for run in ("echo x > x", "exit 3"))
    home.set("async.enabled", "false")

    assert home.data("plan", "execute", good)["state"] == "complete"
    assert home.error("plan", "execute", bad, code=1)["code"] == "step_failed"
    home.run("plan", "apply", good, "--yes")
    assert home.position(good) == "apply/applied"


@shows("async.max_workers")
def _max_workers(home: Home) -> None:
    assert len(home.data("daemon", "start")["workers"]) == 4
    home.set("async.max_workers", "1")
    gate, root = home.gate(), home.repository()
    first = home.use(home.action(gate.command), root, code=None)
    gate.wait()
    second = home.use(home.action("true"), root, code=None)
    running = [worker for worker in home.data("daemon", "status")["workers"] if worker["state"] != "stopped"]
    assert (home.position(second), [worker["job_id"] for worker in running if worker["job_id"]]) == (
        "strategize/queued",
        [home.plan(first)["job_id"]],
    )
    home.set("async.max_workers", "2")
    home.run("plan", "wait", second)  # though no slot was free to see the change, and nothing new was queued
    assert home.position(second) == "execute/complete"
    assert home.position(first) == "execute/processing"


@shows("async.poll_interval")
def _poll_interval(home: Home) -> None:
    """What becomes possible without an event is found by the poll: room below `plan.concurrency` after a change."""
    home.set("plan.concurrency", "1", "async.poll_interval", "0.05")
    gate, root = home.gate(), home.repository()
    home.use(home.action(gate.command), root, code=None)
    gate.wait()
    waiting = home.use(home.action("true"), root, profile="supervised")
    home.data("plan", "execute", waiting)
    assert home.position(waiting) == "execute/queued"
    home.set("plan.concurrency", "2")
    home.run("plan", "wait", waiting, "--timeout", "10")
    assert home.position(waiting) == "execute/complete"

    home.set("async.poll_interval", "60")
    late = home.use(home.action(gate.command), root, profile="supervised")
    home.set("plan.concurrency", "1")
    home.data("plan", "execute", late)
    home.set("plan.concurrency", "2")
    assert home.error("plan", "wait", late, "--timeout", "0.5", code=124)["code"] == "timed_out"
    assert home.position(late) == "execute/queued"


@shows("async.job_timeout")
def _job_timeout(home: Home) -> None:
    home.set("async.job_timeout", "1")
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=1)
    assert home.plan(plan)["error"]["code"] == "timed_out"
    assert "async.job_timeout" in home.plan(plan)["error"]["message"]
    assert home.data("job", "show", home.plan(plan)["job_id"])["timeout_s"] == 1


@shows("async.job_ttl")
def _job_ttl(home: Home) -> None:
    """A job beats three times in it."""
    home.set("async.job_ttl", "3")
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    job = home.plan(plan)["job_id"]

    def beaten() -> bool:
        shown = home.data("job", "show", job)
        return shown["last_heartbeat"] > shown["started_at"]

    wait_until(beaten)


@shows("async.cancel-grace")
def _cancel_grace(home: Home) -> None:
    """How long a step that is asked to end may take: the longer one is used to the end, the shorter one is killed."""
    told = home.root / "told"
    gate = home.gate()
    root = home.repository()
    patient = f"trap 'read x < {told}.go; echo clean > {told}; exit 0' TERM; {gate.command} & wait"
    home.set("async.cancel-grace", "0")
    plan = home.use(home.action(f"mkfifo {told}.go; {patient}"), root, code=None)
    gate.wait()
    home.data("plan", "cancel", plan, "--yes")
    assert not told.exists()

    home.set("async.cancel-grace", "30")
    second = home.gate()
    polite = f"trap 'echo clean > {told}; exit 0' TERM; {second.command} & wait"
    plan = home.use(home.action(polite), root, code=None)
    second.wait()
    home.data("plan", "cancel", plan, "--yes")
    assert told.read_text() == "clean\n"


@shows("async.retention")
def _retention(home: Home) -> None:
    """Jobs past it are forgotten, with their logs, when the daemon keeps house; the newest of each plan stays."""
    plan = home.executed("false", code=1)
    first = home.plan(plan)["job_id"]
    home.run("plan", "execute", plan, "--wait", code=1)
    home.data("daemon", "restart")
    assert home.data("job", "list")["total"] == 3
    home.set("async.retention", "0")
    home.data("daemon", "restart")
    home.until(lambda: home.data("job", "list")["total"] == 1)
    assert home.data("job", "list")["jobs"][0]["job_id"] == home.plan(plan)["job_id"]
    home.until(lambda: not (home.home / "state" / "jobs" / first).exists())


@shows("plan.concurrency")
def _concurrency(home: Home) -> None:
    home.set("plan.concurrency", "1")
    gate, root = home.gate(), home.repository()
    home.use(home.action(gate.command), root, code=None)
    gate.wait()
    second = home.use(home.action("true"), root, profile="supervised")
    assert home.position(second) == "strategize/complete", "Strategize is not held back"
    home.data("plan", "execute", second)
    assert home.position(second) == "execute/queued"
    gate.open()
    home.run("plan", "wait", second)
    assert home.position(second) == "execute/complete"


@shows("plan.max-child-depth")
def _max_child_depth(home: Home) -> None:
    """A child is one deep, its own child is refused; another project has room for it."""
    narrow, wide = home.repository(), home.repository()
    child = home.action("true")
    parent = home.action(steps=[{"id": "each", "subplans": {"action": child, "for_each": ["a"]}}])
    above = home.action(steps=[{"id": "each", "subplans": {"action": parent, "for_each": ["a"]}}])
    home.set("plan.max-child-depth", "1", project=narrow.name)

    assert home.data("plan", "use", parent, narrow.name, "--dry-run")["plans"] == 2
    error = home.error("plan", "use", above, narrow.name, "--dry-run", code=2)
    assert "plan.max-child-depth" in error["message"]
    assert home.data("plan", "use", above, wide.name, "--dry-run")["plans"] == 3


@shows("plan.max-reversions")
def _max_reversions(home: Home) -> None:
    home.set("plan.max-reversions", "1")
    plan = home.executed("true")
    home.data("plan", "revert", plan, "--yes")
    home.run("plan", "wait", plan)
    error = home.error("plan", "revert", plan, "--yes", code=4)
    assert error["code"] == "invalid_transition"
    assert "plan.max-reversions" in error["message"]
    home.set("plan.max-reversions", "2")
    home.data("plan", "revert", plan, "--yes")


@shows("plan.retention")
def _plan_retention(home: Home) -> None:
    """The refs that Undo needs are kept so long."""
    root = home.repository()
    plan = home.executed("echo x > x", project=root)
    home.apply(plan)
    plan_id = home.plan(plan)["plan_id"]

    def refs() -> str:
        private = next((home.home / "data" / "repos").glob("*.git"))
        return home.git(private, "for-each-ref", f"refs/cleveragents/plans/{plan_id}")

    home.data("daemon", "restart")
    assert refs()
    home.set("plan.retention", "0")
    home.data("daemon", "restart")
    home.until(lambda: not refs())


@shows("events.retention")
def _events_retention(home: Home) -> None:
    """The last event of each plan is always kept."""
    plan = home.executed("echo x > x")
    before = home.data("events", "--plan", plan)["events"]
    home.set("events.retention", "0")
    home.data("daemon", "restart")
    home.until(lambda: home.data("events", "--plan", plan)["total"] == 1)
    assert home.data("events", "--plan", plan)["events"] == before[-1:]


@shows("sandbox.strategy")
def _strategy(home: Home) -> None:
    """`none`: the steps of a read-only action run in the project itself; other actions are refused."""
    root = home.repository()
    looking, writing = home.action("pwd", read_only=True), home.action("echo x > x")
    cloned = home.use(looking, root)
    assert home.log(cloned, "s1").strip() != str(root)

    home.set("sandbox.strategy", "none", project=root.name)
    plan = home.use(looking, root)
    assert home.log(plan, "s1").strip() == str(root)
    assert home.plan(plan)["sandboxes"][0]["strategy"] == "none"
    error = home.error("plan", "use", writing, root.name, code=2)
    assert "read_only" in error["message"]


@shows("sandbox.cleanup")
def _cleanup(home: Home) -> None:
    root = home.repository()

    def left(end: str) -> bool:
        plan = home.executed(f"echo {home.fresh('x')} > x", project=root)
        path = home.sandbox(plan)
        if end == "apply":
            home.apply(plan)
            home.until(lambda: home.plan(plan)["sandboxes"][0]["status"] == "removed" or mode == "manual")
        else:
            home.data("plan", "cancel", plan, "--yes")
        return path.exists()

    mode = "on_apply"
    assert (left("apply"), left("cancel")) == (False, True)
    mode = "on_terminal"
    home.set("sandbox.cleanup", mode)
    assert (left("apply"), left("cancel")) == (False, False)
    mode = "manual"
    home.set("sandbox.cleanup", mode)
    assert (left("apply"), left("cancel")) == (True, True)


@shows("apply.mode")
def _apply_mode(home: Home) -> None:
    root = home.repository()

    def applied(*options: str, **settings: Any) -> str:
        plan = home.executed(f"echo x > {home.fresh('x')}", project=root)
        home.run("plan", "apply", plan, "--yes", "--wait", *options, **settings)
        return home.plan(plan)["applied"]["mode"]

    assert applied() == "worktree"
    home.set("apply.mode", "index")
    assert applied() == "index"
    home.set("apply.mode", "branch", project=root.name)
    assert applied() == "branch"
    assert applied(env={"CLEVERAGENTS_APPLY_MODE": "worktree"}) == "worktree"
    assert applied("--mode", "index", env={"CLEVERAGENTS_APPLY_MODE": "branch"}) == "index"


@shows("lock.ttl")
def _lock_ttl(home: Home) -> None:
    """How long the lock of a running phase lasts unless it is renewed; a conflict tells until when."""
    gate, root = home.gate(), home.repository()

    def seconds_left(ttl: str) -> float:
        home.set("lock.ttl", ttl)
        plan = home.use(home.action(gate.command), root, code=None)
        home.until(lambda: home.position(plan) == "execute/processing")
        detail = home.error("plan", "revert", plan, "--yes", code=4)["detail"]
        until, since = (datetime.fromisoformat(text) for text in (detail["expires_at"], home.plan(plan)["updated_at"]))
        return (until - since).total_seconds()

    assert 25 < seconds_left("30") < 40
    assert 580 < seconds_left("600") < 620


@shows("server.url")
def _server_url(home: Home) -> None:
    """A running daemon connects at once, also when the address comes by `config set`."""
    team = Team(home)
    assert home.data("server", "status")["mode"] == "disabled"
    team.push("default/one", action_text("default/one", "true"))
    home.set("server.url", team.url)
    home.until(lambda: "default/one" in _actions(home))
    assert home.data("server", "status")["mode"] == "connected"
    home.data("config", "unset", "server.url")
    assert home.data("server", "status")["mode"] == "disabled"


def _actions(home: Home) -> list[str]:
    return [action["name"] for action in home.data("action", "list")["actions"]]


@shows("server.token")
def _server_token(home: Home) -> None:
    team = Team(home)
    token = team.token("default")["token"]
    home.set("server.url", team.url, "server.sync.auto", "false")
    assert home.data("server", "status")["reason"].startswith("unauthorized: ")
    home.run("config", "set", "server.token", token)
    assert home.data("server", "status")["mode"] == "connected"


@shows("server.namespace")
def _server_namespace(home: Home) -> None:
    team = Team(home)
    for name in ("default/one", "other/two"):
        team.push(name, action_text(name, "true"))
    home.set("server.url", team.url, "server.sync.auto", "false")
    home.data("sync", "now")
    assert _actions(home) == ["default/one"]
    home.set("server.namespace", "other")
    home.data("sync", "now")
    assert _actions(home) == ["default/one", "other/two"]


@shows("server.tls-verify")
def _server_tls_verify(home: Home) -> None:
    """What a certificate that nobody trusts comes to; behind it is no team server."""
    with answering({}, certificate="loopback.pem") as url:
        home.set("server.url", url, "server.sync.auto", "false")
        assert home.data("server", "status")["reason"].startswith("tls: ")
        home.set("server.tls-verify", "false")
        assert home.data("server", "status")["reason"].startswith("unreachable: ")


@shows("server.request-timeout")
def _server_request_timeout(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        home.set("server.sync.auto", "false", "server.url", f"http://127.0.0.1:{silent.getsockname()[1]}")
        home.set("server.request-timeout", "0.3")
        assert "within 0.3 s" in home.data("server", "status")["reason"]


@shows("server.sync.auto")
def _server_sync_auto(home: Home) -> None:
    team = connected_team(home)
    team.push("default/one", action_text("default/one", "true"))
    assert home.data("sync", "status")["active"] is False
    assert _actions(home) == []
    home.set("server.sync.auto", "true")
    home.until(lambda: _actions(home) == ["default/one"])
    assert home.data("sync", "status")["active"] is True


def connected_team(home: Home) -> Team:
    """A team server of the home's own, to which it is connected; it syncs when it is told to."""
    team = Team(home)
    connected(home, team, "default")
    return team


@shows("server.sync.interval")
def _server_sync_interval(home: Home) -> None:
    """Pulls come one after another, though nothing changes."""
    connected_team(home)
    home.set("server.sync.interval", "86400")
    home.set("server.sync.auto", "true")
    home.until(lambda: home.data("sync", "status")["next_pull_at"] is not None)
    shown = home.data("sync", "status")
    assert datetime.fromisoformat(shown["next_pull_at"]).timestamp() > time.time() + 70_000
    home.set("server.sync.interval", "1")
    home.until(lambda: home.data("sync", "status")["pulls"] > shown["pulls"] + 1)


@shows("server.sync.conflict")
def _server_sync_conflict(home: Home) -> None:
    team = connected_team(home)

    def after(policy: str) -> tuple[int, str, str]:
        home.set("server.sync.conflict", policy)
        name = home.fresh("both")
        conflict(home, team, f"default/{name}")
        home.data("sync", "now")
        number = home.data("sync", "conflicts")["total"]
        here = home.data("action", "show", f"default/{name}")["steps"][0]["run"]
        there = json.loads(team.entities("default")[name]["content"])["steps"][0]["run"]
        return number, here, there

    assert after("server_wins") == (0, "echo theirs", "echo theirs")
    assert after("local_wins") == (0, "echo ours", "echo ours")
    assert after("manual") == (1, "echo ours", "echo theirs")


@shows("tui.theme")
def _tui_theme(home: Home) -> None:
    async def play(seat: Seat) -> None:
        await seat.until(lambda: seat.app.theme == "gruvbox")

    home.set("tui.theme", "gruvbox")
    sit(home, play)


@shows("tui.refresh")
def _tui_refresh(home: Home) -> None:
    """What happened first is shown at once, what comes after it only when the time is over."""
    project = home.repository()

    async def play(seat: Seat) -> None:
        await seat.sees(home.use(home.action("true"), project, profile="manual"))
        second = home.use(home.action("true"), project, profile="manual")
        await seat.app.link.call(protocol.Ping())  # whatever happened before it has been told
        await seat.pilot.pause()
        assert second not in seat.text()

    home.set("tui.refresh", "60")
    sit(home, play)


@shows("daemon.idle-timeout")
def _idle_timeout(home: Home) -> None:
    home.set("daemon.idle-timeout", "3")
    home.data("daemon", "start")
    home.until(lambda: not home.processes())
