"""The team server's database: made whole, checked, migrated, and never replaced by anything less."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import apsw
import pytest

from daemon.team import wire
from store import database_file, errors, opening, rows, team_opening
from store.clock import Clock
from store.database import Connection
from tests.team.server import action, serving, written

FIRST = next(iter(team_opening.MIGRATIONS.glob("0001_*.sql"))).read_text()


def database(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


def connection(path: Path) -> Connection:
    return cast("Connection", apsw.Connection(str(path)))


def identity(path: Path) -> list[tuple[object, ...]]:
    return written(path, lambda tx: tx.execute("SELECT * FROM meta WHERE key IN ('epoch', 'server_id')"))


def test_a_new_database_is_for_its_user_alone_and_has_an_identity_for_ever(tmp_path: Path) -> None:
    path = database(tmp_path)
    team_opening.prepare(path)
    first = identity(path)

    team_opening.prepare(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key for key, _ in first] == ["epoch", "server_id"]
    assert identity(path) == first
    other = tmp_path / "other.db"
    team_opening.prepare(other)
    assert set(identity(other)).isdisjoint(first)


def test_what_an_earlier_crash_left_beside_it_is_no_hindrance(tmp_path: Path) -> None:
    path = database(tmp_path)
    path.with_name("server.db.new").write_bytes(b"half of one")

    team_opening.prepare(path)

    assert sorted(found.name for found in tmp_path.iterdir()) == ["server.db"]


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = database(tmp_path)
    path.write_bytes(content)

    with pytest.raises(errors.StoreDamagedError) as caught:
        team_opening.prepare(path)

    assert str(path) in caught.value.message
    assert caught.value.suggestions
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path)
    made = connection(path)
    made.execute("CREATE TABLE a (b)")
    made.close()

    with pytest.raises(errors.StoreDamagedError, match="not a database of a team server"):
        team_opening.prepare(path)


def test_the_daemons_store_is_not_taken_for_one(tmp_path: Path) -> None:
    assert opening.APPLICATION_ID != team_opening.APPLICATION_ID


@pytest.mark.parametrize("doing", [team_opening.prepare, identity])
def test_a_database_of_a_newer_program_is_refused(tmp_path: Path, doing: Callable[[Path], object]) -> None:
    path = database(tmp_path)
    team_opening.prepare(path)
    made = connection(path)
    made.execute("PRAGMA user_version = 99")
    made.close()

    with pytest.raises(database_file.NewerStoreError, match="version 99"):
        doing(path)


def test_a_damaged_page_is_found_after_an_unclean_end(tmp_path: Path) -> None:
    """The log that SQLite left behind says that the end was none."""
    path = database(tmp_path)
    with serving(tmp_path) as server:
        server.push(*(action(f"n{number}", "x" * 9000) for number in range(20)))
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096))
    team_opening.prepare(path)
    path.with_name("server.db-wal").touch()

    with pytest.raises(errors.StoreDamagedError, match="is damaged"):
        team_opening.prepare(path)


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.CleverAgentsError) as caught:
        team_opening.prepare(tmp_path / "missing" / "server.db")

    assert "missing" in caught.value.message
    (tmp_path / "server.db").mkdir()
    with pytest.raises(errors.PermissionDeniedError, match=r"server\.db"):
        team_opening.prepare(tmp_path / "server.db")


def test_only_a_prepared_database_is_opened(tmp_path: Path) -> None:
    with pytest.raises(errors.PermissionDeniedError, match=r"server\.db"):
        identity(database(tmp_path))

    assert list(tmp_path.iterdir()) == []


def steps(tmp_path: Path, *later: str) -> Path:
    """Migrations: the first one of the product, and others."""
    directory = tmp_path / "steps"
    directory.mkdir(exist_ok=True)
    for number, text in enumerate([FIRST, *later], 1):
        (directory / f"{number:04}_step.sql").write_text(text)
    return directory


def test_an_older_database_is_migrated_after_a_copy_was_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = database(home)
    team_opening.prepare(path)
    before = identity(path)

    team_opening.prepare(path, migrations=steps(tmp_path, "CREATE TABLE later (a)", "CREATE TABLE last (a)"))

    (copy,) = home.glob("server-v1-*.db")
    migrated = connection(path)
    assert migrated.pragma("user_version") == 3
    assert migrated.execute("SELECT count(*) FROM later, last").fetchone() == (0,)
    migrated.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert identity(copy) == before


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = database(tmp_path)
    team_opening.prepare(path)
    before = identity(path)

    with pytest.raises(errors.CleverAgentsError):
        team_opening.prepare(path, migrations=steps(tmp_path, "CREATE TABLE later (a)", "nonsense"))

    assert identity(path) == before
    team_opening.prepare(path)


def test_a_database_that_was_not_migrated_yet_is_not_opened(tmp_path: Path) -> None:
    path = database(tmp_path)
    team_opening.prepare(path)
    made = connection(path)
    made.execute("PRAGMA user_version = 0")
    made.close()

    with pytest.raises(errors.StoreDamagedError, match="older version 0"):
        identity(path)


def test_a_copy_in_another_journal_mode_is_put_right(tmp_path: Path) -> None:
    """Somebody put a copy back by hand."""
    path = database(tmp_path)
    team_opening.prepare(path)
    made = connection(path)
    made.pragma("journal_mode", "delete")
    made.close()

    team_opening.prepare(path)

    opened = connection(path)
    assert opened.pragma("journal_mode") == "wal"
    opened.close()


def test_a_writer_waits_for_the_writers_of_other_processes(tmp_path: Path) -> None:
    """Somebody holds the database for a moment: the push waits, and nothing fails."""
    with serving(tmp_path) as server:
        other = connection(server.database)
        other.execute("BEGIN IMMEDIATE")

        with ThreadPoolExecutor(1) as pool:
            push = pool.submit(server.put, "a", "one")
            assert server.status().entities == 0  # reading goes on
            other.execute("COMMIT")
            assert push.result().status == "accepted"
        other.close()


def test_every_statement_over_what_grows_uses_an_index() -> None:
    schema = connection(Path(":memory:"))
    schema.execute(FIRST)
    found = {
        name: [str(row[3]) for row in schema.execute(f"EXPLAIN QUERY PLAN {statement}", _nothing(statement)).fetchall()]
        for name, statement in rows.statements("team").items()
    }
    schema.close()

    scans = {name for name, plan in found.items() if any(step.startswith("SCAN") for step in plan)}
    assert scans == {"any_token", "tokens", "floors"}  # no rows, few tokens, once a day
    assert not [name for name in ("changed", "alive", "notices") if any("TEMP B-TREE" in step for step in found[name])]


def _nothing(statement: str) -> dict[str, None] | list[None]:
    names = [word.strip(":,()") for word in statement.split() if word.strip("(").startswith(":")]
    return dict.fromkeys(names) if names else [None] * statement.count("?")


def test_the_clock_of_the_database_is_the_one_that_was_given(tmp_path: Path) -> None:
    class Noon(Clock):
        def now(self) -> int:
            return 1_000_000_000_000_000

    with serving(tmp_path, clock=Noon()) as server:
        server.put("a", "one")

        assert server.full().entities[0].updated_at == "2001-09-09T01:46:40.000Z"
        assert server.error(wire.STATUS, {})[0] == wire.INVALID_PARAMS


# --- killed in the middle ------------------------------------------------------------------------------------------------

PREPARE = "import sys; from pathlib import Path; from store import team_opening; team_opening.prepare({})"
PUSH = """
import sys
from pathlib import Path
from store import team
from tests.team.server import NAMESPACE, written
written(Path(sys.argv[1]), lambda tx: team.push(tx, NAMESPACE, team.Change("action", "a", 1, "two"), "me"))
"""


def killed_at(point: str, code: str, *arguments: Path) -> None:
    """Run code in a process that dies at a point, as in a power cut."""
    environ = {**os.environ, "CLEVERAGENTS_CRASH_AT": point}
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=root, env=environ, check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL


def test_a_database_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    path = database(tmp_path)
    killed_at("store.create", PREPARE.format("Path(sys.argv[1])"), path)
    assert not path.exists()

    team_opening.prepare(path)

    assert len(identity(path)) == 2


def test_a_migration_that_was_killed_did_not_happen(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = database(home)
    team_opening.prepare(path)
    before = identity(path)
    later = steps(tmp_path, "CREATE TABLE later (a)")
    arguments = "Path(sys.argv[1]), migrations=Path(sys.argv[2])"
    killed_at("store.migrate", PREPARE.format(arguments), path, later)

    team_opening.prepare(path)

    assert identity(path) == before
    assert written(path, lambda tx: tx.execute("SELECT name FROM sqlite_schema WHERE name = 'later'")) == []


@pytest.mark.parametrize(("point", "content", "revision"), [("before", "one", 1), ("after", "two", 2)])
def test_a_push_that_was_killed_is_whole_or_never_was(tmp_path: Path, point: str, content: str, revision: int) -> None:
    """With its revision, its place in the history, and the answer."""
    with serving(tmp_path) as server:
        server.put("a", "one")
        cursor = server.status().cursor
    killed_at(f"store.{point}-commit", PUSH, database(tmp_path))

    with serving(tmp_path) as server:
        (entity,) = server.full().entities
        assert (entity.content, entity.revision) == (content, revision)
        assert [change.content for change in server.pull(cursor).changes] == ["two"] * (revision - 1)
        assert server.put("a", "three", base=revision).status == "accepted"
