"""A database as a file: what the daemon's store and the team server's have in common before they are opened.

A new one is made under another name first, and an older one is migrated in one transaction after a copy was made, so that a
crash leaves the old file or the new one.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import apsw

from store import crashpoints, errors
from store.database import Connection

OLDEST_SQLITE = (3, 51, 3)  # the first with the fix of the WAL-reset race


class OldSqliteError(errors.StoreDamagedError):
    """The SQLite library is too old to be trusted with any store."""


class NewerStoreError(errors.StoreDamagedError):
    """The store is of a newer version of the program: it is whole, and nothing here may replace it."""


def check_library() -> None:
    """See that SQLite can be trusted.

    Raises:
        OldSqliteError: it is too old.
    """
    if tuple(map(int, apsw.sqlite_lib_version().split("."))) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise OldSqliteError(
            f"SQLite {apsw.sqlite_lib_version()} can lose data in WAL mode; {oldest} or newer is needed",
            suggestions=["python -m pip install --upgrade apsw"],
        )


def migrations(directory: Path) -> list[Path]:
    """The migrations of a schema, in order; the version of a database is how many it has had.

    Raises:
        InternalError: one is missing.
    """
    steps = sorted(directory.glob("*.sql"))
    numbers = [int(step.name.split("_")[0]) for step in steps]
    if numbers != list(range(1, len(steps) + 1)):
        raise errors.InternalError(f"the migrations in {directory} are not numbered 1 to {len(steps)}: {numbers}")
    return steps


def unfinished(path: Path) -> Path:
    """Where a database is made that will be at `path`; it is there for as long as there never was a whole one."""
    return path.with_name(f"{path.name}.new")


def create(path: Path, steps: Sequence[Path], application_id: int, notes: Mapping[str, str]) -> None:
    """Make a new database, 0600; `notes` are the first rows of its table `meta`.

    Raises:
        apsw.Error, OSError: it cannot be made; nothing is at its place.
    """
    fresh = unfinished(path)
    for stale in (fresh, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        stale.unlink(missing_ok=True)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = cast("Connection", apsw.Connection(str(fresh), flags=flags))
    try:
        fresh.chmod(0o600)
        connection.pragma("journal_mode", "wal")
        connection.pragma("application_id", application_id)
        connection.execute("BEGIN IMMEDIATE")
        for step in steps:
            connection.execute(step.read_text(encoding="utf-8"))
        for note in notes.items():
            connection.execute("INSERT INTO meta VALUES (?, ?)", note)
        connection.execute(f"PRAGMA user_version = {len(steps)}; COMMIT")
    finally:
        connection.close()
    crashpoints.reach("store.create")
    fresh.rename(path)
    sync(path.parent)  # before its log is there, which without it would be taken for that of a lost one


def migrate(connection: Connection, steps: Sequence[Path], version: int, copy: Path) -> None:
    """Run the migrations after `version` in one transaction, after a copy of the database was made.

    Raises:
        apsw.Error: one failed; the database is as it was.
    """
    connection.execute("VACUUM INTO ?", (str(copy),))
    copy.chmod(0o600)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number, step in enumerate(steps[version:], start=version + 1):
            connection.execute(step.read_text(encoding="utf-8"))
            connection.execute(f"PRAGMA user_version = {number}")
            crashpoints.reach("store.migrate")
        connection.execute("COMMIT")
    except apsw.Error:
        if connection.in_transaction:  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise


def sync(path: Path) -> None:
    """Make what was written to a file, or which names a directory has, durable.

    Raises:
        OSError: the system does not.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
