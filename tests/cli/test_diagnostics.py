"""`ca diagnostics`: each thing that can be wrong with a home is named, and `--repair` puts right what can be."""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from store.database import Connection
from tests.cli.test_terminal import on_terminal
from tests.homes import Home

LONG_AGO = 1_500_000_000
Checks = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def used() -> Iterator[Home]:
    """A home with a plan that waits, for things that are broken and mended."""
    with Home() as home:
        home.use(home.action("echo x > new"), home.repository(), options=["--name", "waiting"])
        yield home


def checks(home: Home, *options: str, code: int | None = 0) -> Checks:
    """What diagnostics says, by the name of the check."""
    return {check["name"]: check for check in home.data("diagnostics", *options, code=code)["checks"]}


def store_of(home: Home) -> Path:
    return home.home / "data" / "store.db"


def write(home: Home, statement: str) -> None:
    """Change the store behind the daemon's back, while there is none."""
    home.data("daemon", "stop")
    connection = cast("Connection", apsw.Connection(str(store_of(home))))
    connection.execute(statement)
    connection.close()


def private(path: Path, content: bytes = b"half") -> Path:
    """A file with the mode that all of the home's files have."""
    path.touch(mode=0o600)
    path.write_bytes(content)
    return path


def old(path: Path) -> str:
    """The path as text, once it is old enough to belong to nobody."""
    os.utime(path, (LONG_AGO, LONG_AGO))
    return str(path)


# --- each breaks one thing, and returns what the check has to name ------------------------------------------------------


def open_directory(home: Home) -> str:
    path = home.home / "data" / "sandboxes"
    path.chmod(0o755)
    return f"{path} (0755)"


def open_directory_of_the_socket(home: Home) -> str:
    path = home.home / "run"
    path.chmod(0o755)
    return f"{path} (0755)"


def open_file(home: Home) -> str:
    path = home.home / "data" / "daemon.lock"
    path.chmod(0o644)
    return f"{path} (0644)"


def expired_lock(home: Home) -> str:
    write(home, "INSERT INTO locks VALUES ('user', 'deploy', 'ada@home', 1, 2, 'another boot', 1)")
    return "user:deploy (ada@home)"


def lost_sandbox(home: Home) -> str:
    shutil.rmtree(home.sandbox("waiting"))
    return "waiting"


def environment_of_nobody(home: Home) -> str:
    path = private(home.home / "data" / "environments" / "01ARZ3NDEKTSV4RRFFQ69G5FAV")
    old(path)
    return path.name


def environment_of_a_cancelled_plan(home: Home) -> str:
    plan = home.executed("true")
    path = home.home / "data" / "environments" / home.plan(plan)["plan_id"]
    kept = path.read_bytes()
    home.data("plan", "cancel", plan, "--yes")
    return private(path, kept).name


def half_made_store(home: Home) -> str:
    return old(private(home.home / "data" / "store.db.new"))


def half_made_repository(home: Home) -> str:
    path = home.home / "data" / "repos" / "01ARZ3NDEKTSV4RRFFQ69G5FAV.git.new"
    (path / "objects").mkdir(parents=True)
    return old(path)


def pid_of_a_stranger(home: Home) -> str:
    path = home.home / "data" / "daemon.pid"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": 1}))
    return "process 1"


BROKEN: list[tuple[Callable[[Home], str], str, str]] = [
    (open_directory, "modes", "error"),
    (open_directory_of_the_socket, "modes", "error"),
    (open_file, "modes", "warn"),
    (expired_lock, "locks", "warn"),
    (lost_sandbox, "sandboxes", "warn"),
    (environment_of_nobody, "environments", "warn"),
    (environment_of_a_cancelled_plan, "environments", "warn"),
    (half_made_store, "leftovers", "warn"),
    (half_made_repository, "leftovers", "warn"),
    (pid_of_a_stranger, "pid file", "warn"),
]


@pytest.mark.parametrize(("break_", "name", "status"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_what_is_broken_is_named_mended_and_well_again(
    used: Home, break_: Callable[[Home], str], name: str, status: str
) -> None:
    """Without `--repair` nothing is touched; with it the check says what was done, and the next one finds nothing."""
    thing = break_(used)
    code = 1 if status == "error" else 0

    for _ in range(2):
        found = checks(used, code=code)
        assert (found[name]["status"], found[name]["fix"]) == (status, "ca diagnostics --repair")
        assert found[name]["message"].count(thing) == 1
        assert [other for other in found if found[other]["status"] != "ok"] == [name]

    mended = checks(used, "--repair")[name]
    assert mended["status"] == "ok"
    assert thing in mended["fix"]
    assert checks(used)[name] == {**mended, "fix": None}


def test_sandbox_that_was_lost_is_made_anew_from_its_checkpoint(home: Home, tmp_path: Path) -> None:
    """The work of the steps that succeeded is in the private repository."""
    flag = tmp_path / "flag"
    plan = home.use(home.action("echo x > new", f"cat new; test -e {flag}"), home.repository(), code=1)
    shutil.rmtree(home.sandbox(plan))
    assert checks(home, "--repair")["sandboxes"]["status"] == "ok"
    assert home.plan(plan)["sandboxes"][0]["status"] == "removed"

    flag.touch()
    home.run("plan", "execute", plan, "--wait")

    assert (home.step(plan, "s1")["attempt"], home.log(plan, "s2")) == (1, "x\n")


def test_repair_leaves_alone_what_is_in_use(home: Home) -> None:
    """Fresh files may be half-written now, a running plan's sandbox is its own affair, an applied plan may be undone."""
    gate = home.gate()
    running = home.use(home.action(f"{gate.command}"), home.repository(), code=None)
    gate.wait()
    applied = home.executed("echo x > new")
    home.apply(applied)
    data = home.home / "data"
    fresh = [data / "store.db.new", data / "environments" / "01ARZ3NDEKTSV4RRFFQ69G5FAV"]
    for path in fresh:
        private(path)
    kept = [*fresh, *(data / "environments" / home.plan(plan)["plan_id"] for plan in (running, applied))]

    found = checks(home, "--repair")

    assert {check["status"] for check in found.values()} == {"ok"}
    assert all(path.exists() for path in kept)
    assert home.sandbox(running).is_dir()
    gate.open()
    home.run("plan", "wait", running)
    home.undo(applied)


@pytest.mark.parametrize("columns", [40, 80])
def test_text_tells_whole_what_is_wrong_and_what_was_done(used: Home, columns: int) -> None:
    """Only what is well is cut to the terminal; a path is never cut, so that it can be copied."""
    thing = open_file(used)

    before = on_terminal(used, "diagnostics", columns=columns).out
    after = on_terminal(used, "diagnostics", "--repair", columns=columns).out

    assert thing in " ".join(before.split())
    assert "ca diagnostics --repair" in " ".join(before.split())
    assert "1 warning" in before
    assert f"set to 0700 and 0600: {thing}" in " ".join(after.split())
    assert "0 warnings, 0 errors" in after


# --- a store that no daemon opens ---------------------------------------------------------------------------------------


@pytest.fixture
def copied(home: Home) -> Home:
    """A home whose store was copied, then changed; no daemon runs."""
    root = home.repository()
    home.use(home.action("true"), root, options=["--name", "early"])
    home.run("daemon", "restart")
    home.until(lambda: list((home.home / "data" / "backups").glob("store-daily-*.db")))
    home.use(home.action("true"), root, options=["--name", "late"])
    home.data("daemon", "stop")
    return home


def damage(home: Home) -> bytes:
    """Make the store one that no daemon opens; what it is then."""
    content = b"\0" * 4096 + store_of(home).read_bytes()[4096:]
    store_of(home).write_bytes(content)
    return content


def test_damaged_store_is_reported_and_set_aside_for_its_newest_copy(copied: Home) -> None:
    """Everything else is checked too; only after a yes is anything changed, and nothing of the damaged store is lost."""
    damaged = damage(copied)

    found = checks(copied, code=1)
    assert {name for name, check in found.items() if check["status"] == "error"} == {"daemon", "store"}
    assert set(found) >= {"copies", "git", "disk", "config", "modes"}
    assert found["store"]["fix"].startswith("ca diagnostics --repair")
    assert copied.error("diagnostics", "--repair", code=2)["code"] == "usage"
    assert on_terminal(copied, "diagnostics", "--repair", typed="n\n").code == 6
    assert store_of(copied).read_bytes() == damaged

    done = on_terminal(copied, "diagnostics", "--repair", typed="y\n", columns=200)

    aside, *_ = sorted(store_of(copied).parent.glob("store.db.damaged-*"))
    assert (done.code, str(aside) in done.out) == (0, True)
    assert aside.read_bytes() == damaged
    assert stat.S_IMODE(store_of(copied).stat().st_mode) == 0o600
    assert {check["status"] for check in checks(copied).values()} == {"ok"}
    assert [plan["name"] for plan in copied.data("plan", "list")["plans"]] == ["early"]
    copied.use(copied.data("action", "list")["actions"][0]["name"], copied.work / "p1")


def test_damage_that_only_diagnostics_finds_is_repaired_too(copied: Home) -> None:
    """A page that nobody has read since: the daemon runs, and has to go before its store can be exchanged."""
    connection = cast("Connection", apsw.Connection(str(store_of(copied))))
    row = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'journal_entries'").fetchone()
    connection.close()
    assert row is not None
    with store_of(copied).open("r+b") as file:
        file.seek((row[0] - 1) * 4096)
        file.write(b"\xff" * 4096)

    assert checks(copied, code=1)["integrity"]["fix"] == "ca diagnostics --repair"
    assert copied.data("daemon", "status")["running"]
    found = checks(copied, "--repair", "--yes")

    assert {check["status"] for check in found.values()} == {"ok"}
    assert "is now" in found["store"]["fix"]


def test_store_that_somebody_removed_is_missed_and_restored(copied: Home) -> None:
    """Also under a daemon that has it open: what that one writes now is lost with it."""
    copied.data("daemon", "start")
    store_of(copied).unlink()

    missed = checks(copied, code=1)["store"]
    assert (missed["status"], f"{store_of(copied)} is gone" in missed["message"]) == ("error", True)
    copied.data("daemon", "stop")
    assert copied.error("plan", "list", code=5)["code"] == "store_damaged"

    done = checks(copied, "--repair", "--yes")["store"]["fix"]
    assert done.startswith("the store was gone; in its place is the copy of ")
    assert [plan["name"] for plan in copied.data("plan", "list")["plans"]] == ["early"]


def test_repair_that_is_killed_is_completed_by_the_next_command(copied: Home) -> None:
    """Once it is decided which store it is to be, nobody finds the damaged one again, and never none."""
    damage(copied)

    error = copied.error("diagnostics", "--repair", "--yes", code=5, env={"CLEVERAGENTS_CRASH_AT": "store.restore:3"})

    assert "could not be restored" in error["message"]
    assert [plan["name"] for plan in copied.data("plan", "list")["plans"]] == ["early"]
    assert {check["status"] for check in checks(copied).values()} == {"ok"}


def test_without_a_sound_copy_a_damaged_store_is_not_touched(copied: Home) -> None:
    for copy in (copied.home / "data" / "backups").iterdir():
        copy.write_bytes(copy.read_bytes()[:5000])
    damaged = damage(copied)

    store = checks(copied, "--repair", "--yes", code=1)["store"]

    assert "damaged" in store["message"]
    assert store["fix"].startswith("set it aside and start with an empty store: mkdir ")
    assert store_of(copied).read_bytes() == damaged


def test_store_of_a_newer_version_is_whole_and_not_repaired(home: Home) -> None:
    """Even with a copy at hand: what the newer program did is not thrown away."""
    home.data("project", "list")
    write(home, "PRAGMA user_version = 99")
    private(home.home / "data" / "backups" / "store-v1.db", store_of(home).read_bytes())
    before = store_of(home).read_bytes()

    store = checks(home, "--repair", "--yes", code=1)["store"]

    assert "version 99" in store["message"]
    assert store["fix"] == "install the newer program again"
    assert store_of(home).read_bytes() == before


def test_other_reasons_why_no_daemon_starts_are_checked_too(home: Home) -> None:
    """A broken configuration is an error of its check; what is no check's affair is the daemon's own."""
    home.data("daemon", "start")
    home.data("daemon", "stop")
    file = home.home / "config" / "config.toml"
    file.write_text("[core]\nlog-level = 'loud'\n")
    assert "core.log-level" in checks(home, code=1)["config"]["message"]
    file.unlink()
    (home.home / "run" / "daemon.sock").mkdir(parents=True)

    assert "daemon.sock" in checks(home, code=1)["daemon"]["message"]
