"""Opening the store's file: what is made, migrated, checked, and what is refused and left as it is."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import apsw
import pytest

from store import copies, errors, events, opening, restoring
from store.clock import SECOND, Clock
from store.database import Connection
from tests.stores import Store, add_plan, opened

ROOT = Path(__file__).parents[2]
PAGE = 4096


def bare(path: Path) -> Connection:
    """The file in nobody's hands but the test's."""
    return cast("Connection", apsw.Connection(str(path)))


def filled(directory: Path, *, clean: bool = True) -> Path:
    """A store with some content that was closed, or whose daemon was killed."""
    with opened(directory) as store:
        for number in range(40):
            add_plan(store, f"p{number}")
    path = directory / "store.db"
    if not clean:
        connection = bare(path)
        connection.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
        connection.close()
    return path


def steps(directory: Path, *texts: str) -> Path:
    """A directory of migrations: the real ones and these after them."""
    shutil.copytree(opening.MIGRATIONS, directory)
    known = len(list(directory.glob("*.sql")))
    for number, text in enumerate(texts, start=known + 1):
        (directory / f"{number:04d}_more.sql").write_text(text)
    return directory


def refuse(directory: Path, migrations: Path = opening.MIGRATIONS) -> errors.StoreDamagedError:
    """The refusal of a store that stays as it is, byte for byte."""
    path = directory / "store.db"
    before = path.read_bytes()
    with pytest.raises(errors.StoreDamagedError) as caught:
        Store(directory, migrations=migrations)
    assert path.read_bytes() == before
    assert any(str(path) in suggestion for suggestion in caught.value.suggestions)
    return caught.value


def test_a_new_store_is_private_and_complete(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
        assert store.read.scalar("PRAGMA journal_mode") == "wal"
        assert store.read.scalar("PRAGMA user_version") == len(list(opening.MIGRATIONS.glob("*.sql")))
        add_plan(store, "p")
        assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("store.db*")} == {0o600}


def test_the_store_acknowledges_only_what_is_synced(tmp_path: Path) -> None:
    """synchronous is FULL (2) for the connection that writes."""
    with opened(tmp_path) as store:
        assert store.write(lambda tx: tx.scalar("PRAGMA synchronous")) == 2
        assert store.write(lambda tx: tx.scalar("PRAGMA foreign_keys")) == 1


def test_what_a_cut_creation_left_is_made_anew(tmp_path: Path) -> None:
    """A crash before the rename leaves a file under another name, which nobody mistakes for a store."""
    (tmp_path / "store.db.new").write_bytes(b"half")

    with opened(tmp_path) as store:
        add_plan(store, "p")

    assert not (tmp_path / "store.db.new").exists()


def test_what_was_stored_is_there_again(tmp_path: Path) -> None:
    filled(tmp_path)

    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT count(*) FROM plans") == 40


@pytest.mark.parametrize("clean", [True, False])
def test_a_migration_keeps_a_copy_of_the_store_before(tmp_path: Path, *, clean: bool) -> None:
    filled(tmp_path, clean=clean)
    migrations = steps(tmp_path / "m", "CREATE TABLE more (x INTEGER) STRICT", "INSERT INTO more VALUES (7)")

    with opened(tmp_path, migrations=migrations) as store:
        (copy,) = store.backups.glob("store-v*.db")
        assert store.read.scalar("SELECT x FROM more") == 7
        assert store.read.scalar("SELECT count(*) FROM plans") == 40
        assert store.read.scalar("PRAGMA user_version") == len(list(migrations.glob("*.sql")))

    old = bare(copy)
    assert old.execute("SELECT count(*) FROM plans").fetchone() == (40,)
    assert old.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
    old.close()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


def test_a_copy_can_be_put_back_and_migrated_again(tmp_path: Path) -> None:
    path = filled(tmp_path)
    migrations = steps(tmp_path / "m", "CREATE TABLE more (x INTEGER) STRICT")
    with opened(tmp_path, migrations=migrations):
        pass
    (copy,) = (tmp_path / "backups").glob("store-v*.db")
    shutil.copy(copy, path)

    with opened(tmp_path, migrations=migrations) as store:
        assert store.read.scalar("SELECT count(*) FROM more") == 0


def test_a_store_of_this_version_makes_no_copy(tmp_path: Path) -> None:
    filled(tmp_path)

    with opened(tmp_path) as store:
        assert list(store.backups.iterdir()) == []


def test_a_migration_that_fails_leaves_the_old_store_whole(tmp_path: Path) -> None:
    """All steps are one transaction: a failing one takes back those before it."""
    filled(tmp_path)
    migrations = steps(tmp_path / "m", "CREATE TABLE more (x INTEGER) STRICT", "INSERT INTO nowhere VALUES (7)")

    with pytest.raises(errors.StoreDamagedError, match="unchanged") as caught:
        Store(tmp_path, migrations=migrations)
    assert "nowhere" in caught.value.message

    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT count(*) FROM plans") == 40
        assert store.read.scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'more'") == 0


OPEN = """
import asyncio, sys
from pathlib import Path
from store import opening
from store.clock import Clock

async def main():
    home = Path(sys.argv[1])
    await opening.open_store(home / "store.db", home / "backups", Clock(), migrations=home / "m").close()

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_migration_that_is_killed_leaves_the_old_store_whole(tmp_path: Path, number: int) -> None:
    """Killed after any of its steps, the store is of the old version, and the next start migrates it."""
    filled(tmp_path)
    texts = ["CREATE TABLE more (x INTEGER) STRICT", "INSERT INTO more VALUES (7)", "UPDATE more SET x = 8"]
    migrations = steps(tmp_path / "m", *texts)
    environment = {**os.environ, "CLEVERAGENTS_CRASH_AT": f"store.migrate:{number}"}
    done = subprocess.run([sys.executable, "-c", OPEN, str(tmp_path)], env=environment, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL

    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'more'") == 0
        assert store.read.scalar("SELECT count(*) FROM plans") == 40
    with opened(tmp_path, migrations=migrations) as store:
        assert store.read.scalar("SELECT x FROM more") == 8


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """An older program does not touch what a newer one made, and says which version it knows."""
    path = filled(tmp_path)
    connection = bare(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    error = refuse(tmp_path)

    assert error.detail["version"] == 99
    assert error.detail["supported"] == len(list(opening.MIGRATIONS.glob("*.sql")))
    assert "newer program" in error.suggestions[0]


@pytest.mark.parametrize("names", [["0001_a.sql", "0003_b.sql"], ["0002_a.sql"], ["0001_a.sql", "0001_b.sql"]])
def test_migrations_that_are_not_numbered_in_a_row_are_refused(tmp_path: Path, names: list[str]) -> None:
    directory = tmp_path / "m"
    directory.mkdir()
    for name in names:
        (directory / name).write_text("")

    with pytest.raises(errors.InternalError, match="numbered"):
        Store(tmp_path, migrations=directory)
    assert not (tmp_path / "store.db").exists()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def foreign_text(path: Path) -> None:
    path.write_text("my notes\n" * 1000)


def foreign_database(path: Path) -> None:
    path.unlink()
    connection = bare(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()


def zero_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\0" * (path.stat().st_size - PAGE))


def cut_tail(path: Path) -> None:
    os.truncate(path, path.stat().st_size - PAGE)


DAMAGES = [truncate, zero, empty, foreign_text, foreign_database, zero_pages, cut_tail]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_store_is_refused_and_left_as_it_is(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """It is never replaced by an empty one; the message says what is wrong and how to go on."""
    path = filled(tmp_path, clean=False)
    damage(path)

    error = refuse(tmp_path)

    assert str(path) in error.message
    assert "left as it is" in error.message


@pytest.mark.parametrize("damage", [zero, empty, foreign_text, foreign_database], ids=lambda damage: damage.__name__)
def test_a_foreign_file_is_refused_after_a_clean_end_too(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(filled(tmp_path))

    refuse(tmp_path)


def test_flipped_bytes_are_found_after_an_unclean_end(tmp_path: Path) -> None:
    """Any page whose structure is broken is found by the integrity check."""
    path = filled(tmp_path, clean=False)
    whole = path.read_bytes()
    found = 0
    for offset in range(PAGE, len(whole), PAGE):
        torn = bytearray(whole)
        torn[offset : offset + 8] = bytes(byte ^ 0xFF for byte in torn[offset : offset + 8])
        path.write_bytes(torn)
        try:
            store = Store(tmp_path)
        except errors.StoreDamagedError:
            assert path.read_bytes() == bytes(torn)
            found += 1
        else:
            store.close()
            break
    assert found == len(whole) // PAGE - 1


def test_the_way_back_is_the_newest_copy(tmp_path: Path) -> None:
    path = filled(tmp_path)
    migrations = steps(tmp_path / "m", "CREATE TABLE more (x INTEGER) STRICT")
    with opened(tmp_path, migrations=migrations) as store:
        (copy,) = store.backups.glob("*.db")
    zero(path)

    error = refuse(tmp_path, migrations)

    assert error.suggestions[0] == "ca diagnostics --repair"
    assert opening.newest_sound_copy(tmp_path / "backups", migrations=migrations) == copy


def test_following_the_way_back_works(tmp_path: Path) -> None:
    """The commands that are suggested do what they say."""
    zero(filled(tmp_path))
    error = refuse(tmp_path)
    command = error.suggestions[-1].partition(": ")[2]
    subprocess.run(command, shell=True, check=True)

    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT count(*) FROM plans") == 0
    assert (tmp_path / "old-store" / "store.db").exists()


@pytest.mark.parametrize("left", ["store.db-wal", "backups/store-daily-1.db"])
def test_a_store_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path, left: str) -> None:
    """Its log would be taken for that of the new one; and who lost it by mistake has to hear of it."""
    path = filled(tmp_path)
    remains = tmp_path / left
    remains.parent.mkdir(exist_ok=True)
    path.rename(remains)

    with pytest.raises(errors.StoreDamagedError) as caught:
        Store(tmp_path)

    assert f"is gone, but {remains} is there" in caught.value.message
    assert not path.exists()
    subprocess.run(caught.value.suggestions[-1].partition(": ")[2], shell=True, check=True)
    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT count(*) FROM plans") == 0
    assert (tmp_path / "old-store" / left).exists()


def test_a_store_that_somebody_else_locks_is_refused_by_name(tmp_path: Path) -> None:
    path = filled(tmp_path)
    holder = bare(path)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(errors.LockConflictError, match="locked by another program") as caught:
            Store(tmp_path)
    finally:
        holder.execute("ROLLBACK")
        holder.close()

    assert str(path) in caught.value.message
    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT count(*) FROM plans") == 40


def test_a_directory_at_the_place_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()

    with pytest.raises(errors.CleverAgentsError, match=r"store\.db"):
        Store(tmp_path)
    assert (tmp_path / "store.db").is_dir()


def test_a_dangling_link_at_the_place_of_the_store_is_not_followed(tmp_path: Path) -> None:
    """No store is made where a broken link points: it may be a disk that is not mounted now."""
    target = tmp_path / "elsewhere" / "store.db"
    (tmp_path / "store.db").symlink_to(target)

    with pytest.raises(errors.CleverAgentsError):
        Store(tmp_path)
    assert not target.exists()


def test_an_unclean_end_is_noted_while_the_store_is_open(tmp_path: Path) -> None:
    """The mark is set before the first change, and taken away by the clean end only."""
    with opened(tmp_path) as store:
        assert store.read.scalar("SELECT value FROM meta WHERE key = 'clean'") == "0"

    connection = bare(tmp_path / "store.db")
    assert connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone() == ("1",)
    connection.close()


def test_a_lost_write_ahead_log_costs_the_last_changes_only(tmp_path: Path) -> None:
    """Without its log the store is an older one, but whole."""
    store = Store(tmp_path)
    store.write(lambda tx: tx.event("kept"))
    store.write(lambda tx: tx.execute("SELECT 1"))
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(store.path, copy / "store.db")
    store.close()

    with opened(copy) as older:
        assert older.read.scalar("PRAGMA integrity_check") == "ok"
        assert events.count(older.read) in {0, 1}


def test_a_copy_that_cannot_be_made_stops_the_migration(tmp_path: Path) -> None:
    """No backup, no change."""
    filled(tmp_path)
    migrations = steps(tmp_path / "m", "CREATE TABLE more (x INTEGER) STRICT")
    (tmp_path / "backups").rmdir()
    (tmp_path / "backups").write_text("in the way")

    async def attempt() -> None:
        opening.open_store(tmp_path / "store.db", tmp_path / "backups", Clock(), migrations=migrations)

    with pytest.raises(errors.CleverAgentsError) as caught:
        asyncio.run(attempt())
    assert caught.value.suggestions
    connection = bare(tmp_path / "store.db")
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
    connection.close()


# --- copies, and the way back from one ------------------------------------------------------------------------------------


def now(hours: float = 0) -> int:
    return time.time_ns() // 1000 + int(hours * 3600 * SECOND)


def test_a_store_that_changed_is_copied_once_a_day(tmp_path: Path) -> None:
    """Open and in use it is copied whole; without a change, or within a day, there is no other copy."""
    with opened(tmp_path) as store:
        assert copies.make_daily(store.path, store.backups, now()) is None, "nothing happened yet"
        add_plan(store, "p")
        store.write(lambda tx: tx.event("something"))

        first = copies.make_daily(store.path, store.backups, now())
        store.write(lambda tx: tx.event("something"))
        assert copies.make_daily(store.path, store.backups, now(23)) is None
        second = copies.make_daily(store.path, store.backups, now(25))
        assert copies.make_daily(store.path, store.backups, now(50)) is None, "nothing changed since"

    assert first is not None
    assert second is not None
    assert copies.every(tmp_path / "backups") == [second, first]
    assert {stat.S_IMODE(copy.stat().st_mode) for copy in (first, second)} == {0o600}
    copy = bare(first)
    assert copy.execute("SELECT count(*) FROM plans").fetchone() == (1,)
    copy.close()


def test_the_newest_daily_copies_stay_beside_those_of_migrations(tmp_path: Path) -> None:
    migrated = tmp_path / "backups" / "store-v1-20200101T000000000000.db"
    made: list[Path | None] = []
    with opened(tmp_path) as store:
        store.backups.mkdir(exist_ok=True)
        migrated.touch()
        for day in range(1, copies.KEPT + 3):
            store.write(lambda tx: tx.event("something"))
            made.append(copies.make_daily(store.path, store.backups, now(25 * day)))

    assert set(copies.every(tmp_path / "backups")) == {migrated, *made[-copies.KEPT :]}


def test_a_copy_that_cannot_be_made_leaves_the_earlier_ones(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.write(lambda tx: tx.event("something"))
        first = copies.make_daily(store.path, store.backups, now())
        store.write(lambda tx: tx.event("something"))
        (store.backups / "daily.db.new").mkdir()

        with pytest.raises(errors.CleverAgentsError):
            copies.make_daily(store.path, store.backups, now(25))
    assert copies.every(tmp_path / "backups") == [first]


def with_copy(directory: Path) -> Path:
    """A damaged store with a log beside it, and a sound copy of an earlier state; the copy."""
    with opened(directory) as store:
        add_plan(store, "early")
        store.write(lambda tx: tx.event("something"))
        copy = copies.make_daily(store.path, store.backups, now())
        assert copy is not None
        add_plan(store, "late")
        log = Path(f"{store.path}-wal").read_bytes()
    Path(f"{store.path}-wal").write_bytes(log)
    zero(store.path)
    return copy


def test_copies_that_are_damaged_or_newer_are_passed_over(tmp_path: Path) -> None:
    sound = with_copy(tmp_path)
    for name, damage in (("store-daily-8.db", cut_tail), ("store-daily-9.db", empty)):
        damage(Path(shutil.copy(sound, tmp_path / "backups" / name)))
    newer = bare(Path(shutil.copy(sound, tmp_path / "backups" / "store-v9.db")))
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    assert opening.newest_sound_copy(tmp_path / "backups") == sound
    sound.unlink()
    assert opening.newest_sound_copy(tmp_path / "backups") is None


def test_a_restored_store_is_the_copy_and_the_old_one_is_kept(tmp_path: Path) -> None:
    """Its log is set aside with it: SQLite would write it into the copy."""
    copy = with_copy(tmp_path)
    path = tmp_path / "store.db"
    old, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    assert log

    aside = restoring.exchange(path, copy)

    assert (aside.read_bytes(), Path(f"{aside}-wal").read_bytes()) == (old, log)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with opened(tmp_path) as store:
        assert [row[0] for row in store.read.execute("SELECT name FROM plans")] == ["early"]
        assert store.read.scalar("PRAGMA journal_mode") == "wal", "a copy is written without one"


EXCHANGE = """
import sys
from pathlib import Path
from store import restoring

restoring.exchange(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_restoration_that_is_killed_leaves_the_old_store_or_the_copy(tmp_path: Path, number: int) -> None:
    """Never none, which would be taken for a new home; from the rename that decides on, the next start completes it."""
    copy = with_copy(tmp_path)
    path = tmp_path / "store.db"
    old = path.read_bytes()
    environment = {**os.environ, "CLEVERAGENTS_CRASH_AT": f"store.restore:{number}"}
    command = [sys.executable, "-c", EXCHANGE, str(path), str(copy)]
    assert subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert path.exists()

    if number == 1:
        refuse(tmp_path)
        return
    with opened(tmp_path) as store:
        assert [row[0] for row in store.read.execute("SELECT name FROM plans")] == ["early"]
    (aside,) = (one for one in tmp_path.glob("store.db.damaged-*") if not one.name.endswith(("-wal", "-shm")))
    assert aside.read_bytes() == old
    assert Path(f"{aside}-wal").stat().st_size > 0
    assert not list(tmp_path.glob("store.db.restored-*"))
