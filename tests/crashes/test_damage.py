"""What is damaged is named and set aside, and everything else goes on: rows, private repositories, files of jobs."""

import json
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import apsw
import pytest

from store.database import Connection
from tests.homes import Home, unchanged

NO_TEXT = "CAST(x'ff41' AS TEXT)"
NO_JSON = "'{'"
OTHER_JSON = "'[[1]]'"
NO_TIME = "9000000000000000000"

LISTS = {
    "plans": ("plan list", "name", {"sane", "waiting", "applied", "errored", "running", "queued"}),
    "locks": ("lock list", "resource_id", {"hurt", "sane"}),
    "actions": ("action list", "name", {"local/hurt", "local/other", "local/gate", "local/fails"}),
    "actors": ("actor list", "name", {"local/hurt"}),
    "projects": ("project list", "name", {"local/hurt", "local/other"}),
}
"""What is listed, by which command, named how, and what there is."""


class Hurt(NamedTuple):
    """One column of one row, and what it is overwritten with; `missing` is the list in which the row then is not shown."""

    table: str
    column: str
    value: str
    row: str
    missing: str | None = None


def of_plan(name: str, more: str = "TRUE") -> str:
    return f"plan_id = (SELECT plan_id FROM plans WHERE name = '{name}') AND {more}"


def hurts(kind: str) -> list[Hurt]:
    """One row of every table that can be hurt so, those that belong to a plan in different plans."""
    last = "seq = (SELECT max(seq) FROM events)"
    job = "job_id = (SELECT job_id FROM plans WHERE name = '{}')"
    return {
        "bytes that are no text": [
            Hurt("plans", "action", NO_TEXT, "name = 'waiting'", "plans"),
            Hurt("plan_projects", "branch", NO_TEXT, of_plan("running")),
            Hurt("steps", "title", NO_TEXT, of_plan("errored")),
            Hurt("decisions", "question", NO_TEXT, of_plan("applied", "kind = 'strategy_choice'")),
            Hurt("failures", "step_id", NO_TEXT, "TRUE"),
            Hurt("async_jobs", "worker_id", NO_TEXT, job.format("applied")),
            Hurt("async_jobs", "error_message", NO_TEXT, job.format("queued")),
            Hurt("locks", "owner_id", NO_TEXT, "resource_id = 'hurt'", "locks"),
            Hurt("events", "kind", NO_TEXT, last),
            Hurt("workers", "job_id", NO_TEXT, "worker_id = 'worker-9'"),
            Hurt("journals", "mode", NO_TEXT, "TRUE"),
            Hurt("journal_entries", "project", NO_TEXT, "position = 0"),
            Hurt("projects", "description", NO_TEXT, "name = 'local/hurt'", "projects"),
            Hurt("actions", "description", NO_TEXT, "name = 'local/hurt'", "actions"),
            Hurt("actors", "content", NO_TEXT, "name = 'local/hurt'", "actors"),
        ],
        "documents that are none": [
            Hurt("plans", "definition_json", NO_JSON, "name = 'waiting'"),
            Hurt("plan_projects", "uncarried_json", NO_JSON, of_plan("applied")),
            Hurt("steps", "spec_json", NO_JSON, of_plan("running")),
            Hurt("failures", "error_json", NO_JSON, "TRUE"),
            Hurt("async_jobs", "payload_json", NO_JSON, job.format("queued")),
            Hurt("events", "detail_json", NO_JSON, last),
            Hurt("actions", "content", NO_JSON, "name = 'local/hurt'", "actions"),
            Hurt("actors", "content", NO_JSON, "name = 'local/hurt'", "actors"),
        ],
        "documents of another shape": [
            Hurt("plans", "diff_json", OTHER_JSON, "name = 'waiting'"),
            Hurt("plans", "definition_json", OTHER_JSON, "name = 'running'"),
            Hurt("plan_projects", "uncarried_json", OTHER_JSON, of_plan("applied")),
            Hurt("steps", "spec_json", OTHER_JSON, of_plan("errored")),
            Hurt("failures", "error_json", OTHER_JSON, "TRUE"),
            Hurt("async_jobs", "payload_json", OTHER_JSON, job.format("queued")),
            Hurt("events", "detail_json", OTHER_JSON, last),
        ],
        "numbers that cannot be": [
            Hurt("plans", "created_at", NO_TIME, "name = 'waiting'", "plans"),
            Hurt("plan_projects", "position", "-1", of_plan("applied")),
            Hurt("steps", "started_at", NO_TIME, of_plan("running")),
            Hurt("decisions", "created_at", NO_TIME, of_plan("errored", "kind = 'strategy_choice'")),
            Hurt("async_jobs", "turn", NO_TIME, job.format("queued")),
            Hurt("locks", "expires_at", NO_TIME, "resource_id = 'hurt'", "locks"),
            Hurt("events", "time", NO_TIME, last),
            Hurt("workers", "jobs_failed", "-1", "worker_id = 'worker-9'"),
            Hurt("projects", "created_at", NO_TIME, "name = 'local/hurt'", "projects"),
            Hurt("actions", "updated_at", NO_TIME, "name = 'local/hurt'", "actions"),
            Hurt("actors", "updated_at", NO_TIME, "name = 'local/hurt'", "actors"),
        ],
        "ids that point nowhere": [
            Hurt("plan_projects", "plan_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAV'", of_plan("waiting")),
            Hurt("steps", "plan_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAV'", of_plan("running")),
            Hurt(
                "decisions", "plan_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAV'", of_plan("errored", "kind = 'strategy_choice'")
            ),
            Hurt("async_jobs", "plan_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAV'", job.format("queued")),
            Hurt("journals", "plan_id", "'01ARZ3NDEKTSV4RRFFQ69G5FAV'", "TRUE"),
        ],
    }[kind]


KINDS = (
    "bytes that are no text",
    "documents that are none",
    "documents of another shape",
    "numbers that cannot be",
    "ids that point nowhere",
)


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of the test's own: the crash tests around here mean another kind by that name."""
    with Home() as made:
        yield made


@pytest.fixture(scope="module")
def world() -> Iterator[Home]:
    """A home whose daemon was killed: plans in several positions, one of them in a step that has ended since, one queued."""
    with Home() as home:
        (home.work / "hurt.yaml").write_text("name: hurt\ntype: command\ncommand: ['true', '{prompt}']\n")
        home.data("actor", "create", str(home.work / "hurt.yaml"))
        hurt, other = home.repository(name="hurt"), home.repository(name="other")
        gate = home.gate()
        home.action("echo x >> new", name="local/hurt")
        home.action('touch "$CA_PLAN_ID"', name="local/other")
        home.action(f"{gate.command}; echo x >> new", name="local/gate")
        home.action("false", name="local/fails")
        home.use("local/other", other, options=["--name", "sane"])
        home.use("local/hurt", hurt, options=["--name", "waiting"])
        home.use("local/hurt", hurt, options=["--name", "applied"])
        home.apply("applied")
        home.use("local/fails", hurt, options=["--name", "errored"], code=1)
        home.set("plan.concurrency", "1")
        home.use("local/gate", hurt, options=["--name", "running"], code=None)
        gate.wait()
        home.use("local/hurt", hurt, options=["--name", "queued"], code=None)
        home.until(lambda: home.position("queued") == "execute/queued")
        for name in ("hurt", "sane"):
            home.data("lock", "acquire", f"user:{name}", "--ttl", "3600")
        home.run_program("kill", "-9", str(home.data("daemon", "status")["pid"]))
        gate.open()
        home.until(lambda: not home.processes(having="CA_STEP_ID"))
        change(home, "INSERT INTO workers VALUES ('worker-9', 'stopped', NULL, NULL, 1, 1, 1)")
        shutil.copytree(home.home, home.root / "saved", symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
        yield home


@pytest.fixture
def killed(world: Home) -> Home:
    """The same home, as it was then."""
    world.run("daemon", "stop", "--kill", code=None)
    shutil.rmtree(world.home)
    shutil.copytree(world.root / "saved", world.home, symlinks=True)
    return world


def change(home: Home, *statements: str) -> None:
    """Change rows behind the daemon's back, while there is none."""
    connection = cast("Connection", apsw.Connection(str(home.home / "data" / "store.db")))
    for statement in statements:
        connection.execute(statement)
        assert connection.execute("SELECT changes()").fetchone() == (1,), statement
    connection.close()


def hidden(home: Home) -> dict[str, int]:
    """How many things each list does not show."""
    shown = {noun: {row[key] for row in home.data(*words.split())[noun]} for noun, (words, key, _) in LISTS.items()}
    return {noun: len(there - shown[noun]) for noun, (_, _, there) in LISTS.items()}


def checks(home: Home, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in home.data("diagnostics", *options, code=code)["checks"]}


def kept(home: Home) -> list[dict[str, Any]]:
    """The rows that were set aside."""
    files = sorted((home.home / "data" / "backups").glob("set-aside-*.json"))
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    return [row for file in files for row in json.loads(file.read_text())["rows"]]


def applies(home: Home, name: str) -> None:
    """A plan of another project goes all its way."""
    home.use("local/other", home.work / "other", profile="full-auto", options=["--name", name])
    assert home.position(name) == "apply/applied"


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_rows_stop_nothing_else_and_are_set_aside(killed: Home, kind: str) -> None:
    """All at once, one of each table: the rest is shown and goes on, nothing of the damage is thrown away."""
    home, hurt = killed, hurts(kind)
    change(home, *(f"UPDATE {one.table} SET {one.column} = {one.value} WHERE {one.row}" for one in hurt))

    home.data("daemon", "start")
    pid = home.data("daemon", "status")["pid"]
    home.run("status")
    applies(home, "fresh")
    home.run("plan", "wait", "queued")
    assert home.position("queued") == "execute/complete"
    assert hidden(home) == {noun: sum(one.missing == noun for one in hurt) for noun in LISTS}
    assert len(home.data("job", "list")["jobs"]) > len(LISTS["plans"][2])
    assert len(home.data("events", "--limit", "1000")["events"]) > 50

    found = checks(home, code=1)
    assert (found["records"]["status"], found["records"]["fix"]) == ("error", "ca diagnostics --repair")
    assert [name for name, check in found.items() if check["status"] == "error"] == ["records"]

    mended = checks(home, "--repair")
    assert mended["records"]["status"] == "ok"
    assert {row["table"] for row in kept(home)} >= {one.table for one in hurt}
    after = checks(home)
    assert [name for name, check in after.items() if check["status"] == "error"] == []
    assert "set-aside-" in after["set aside"]["message"]

    applies(home, "later")
    home.apply("sane")
    assert home.data("daemon", "status")["pid"] == pid


# --- private repositories ------------------------------------------------------------------------------------------------


def remove(repository: Path, _commit: str) -> None:
    shutil.rmtree(repository)


def empty(repository: Path, _commit: str) -> None:
    shutil.rmtree(repository)
    repository.mkdir(mode=0o700)


def truncate(repository: Path, commit: str) -> None:
    """Not in place: the project's own repository may share the file."""
    file = repository / "objects" / commit[:2] / commit[2:]
    half = file.read_bytes()[:20]
    file.unlink()
    file.write_bytes(half)


@pytest.mark.parametrize("break_", [remove, empty, truncate])
def test_a_lost_private_repository_is_made_anew(home: Home, break_: Callable[[Path, str], None]) -> None:
    """Plans that need what is lost say so and can be reverted; other projects and new plans are not concerned."""
    hurt, other = home.repository(), home.repository()
    change_ = home.action('echo x >> a.txt; touch "$CA_PLAN_ID"')
    waiting, applied = (home.use(change_, hurt) for _ in range(2))
    home.apply(applied)
    sane = home.use(change_, other)
    shown = home.plan(waiting)
    record = f"cleveragents/sandboxes/{shown['plan_id']}.json"
    (repository,) = (path.parents[2] for path in (home.home / "data" / "repos").glob(f"*/{record}"))
    tip = home.git(repository, "rev-parse", f"refs/cleveragents/plans/{shown['plan_id']}/0/checkpoint/s1")
    break_(repository, tip)

    found = checks(home, code=1)["repositories"]
    assert (found["status"], found["fix"]) == ("error", "ca diagnostics --repair")
    assert str(repository) in found["message"]
    assert waiting in found["message"]
    with unchanged(hurt):
        assert home.document("plan", "apply", waiting, "--yes", "--wait", code=1)["status"] == "error"
    home.apply(sane)

    mended = checks(home, "--repair")["repositories"]
    assert waiting in mended["message"]
    assert mended["fix"] == f"ca plan revert {waiting}, or: ca plan cancel {waiting}"
    fresh = home.use(change_, hurt)
    home.apply(fresh)
    home.run("plan", "revert", waiting, "--yes")
    home.run("plan", "wait", waiting)
    assert home.position(waiting) == "execute/complete"
    home.apply(waiting)
