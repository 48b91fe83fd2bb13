"""Opening the store's file: made when there is none, checked after an unclean end, migrated after a copy was made.

A damaged or newer store is refused with the way back, and never replaced by an empty one.
"""

import contextlib
import logging
import os
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import apsw

from store import copies, database_file, errors, restoring
from store.clock import Clock
from store.database import Connection, Database, from_sqlite
from store.database_file import NewerStoreError

log = logging.getLogger(__name__)

APPLICATION_ID = 0x43417374  # "CAst"
MIGRATIONS = Path(__file__).parent / "migrations"


def open_store(path: Path, backups: Path, clock: Clock, *, migrations: Path = MIGRATIONS) -> Database:
    """Open the store, made or migrated as needed; called in the event loop's thread, after the forks.

    Raises:
        StoreDamagedError: it is damaged, of a newer version, or not ours; the file is untouched.
        DiskFullError, PermissionDeniedError: it cannot be made or migrated.
    """
    database_file.check_library()
    steps = database_file.migrations(migrations)
    with _translated(path, backups):
        restoring.finish(path)
        if not os.path.lexists(path):
            _check_remains(path, backups)
            database_file.create(path, steps, APPLICATION_ID, {"clean": "1"})
        writer = _connect(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            _check(writer, path, backups, len(steps))
            _migrate(writer, path, backups, steps)
            _settle_clock(writer, clock)
            reader = _connect(path, apsw.SQLITE_OPEN_READONLY)
            writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        except BaseException:
            writer.close()
            raise
        return Database(writer, reader, clock)


@contextlib.contextmanager
def _translated(path: Path, backups: Path) -> Generator[None]:
    """SQLite's refusals as ours."""
    try:
        yield
    except apsw.FullError as error:
        raise from_sqlite(error) from error
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _damaged(path, backups, str(error)) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.IOError) as error:
        raise errors.PermissionDeniedError(
            f"cannot open the store {path}: {error}", suggestions=[f"check the owner and mode of {path}"]
        ) from error
    except apsw.BusyError as error:
        raise errors.LockConflictError(
            f"the store {path} is locked by another program",
            suggestions=["end the program that has it open, then try again"],
        ) from error


def examine(path: Path, backups: Path, *, migrations: Path = MIGRATIONS) -> None:
    """Raise what `open_store` would refuse the store with, every page of it read; the store is not changed.

    For a process that has the home to itself; a home that never had one is fine.

    Raises:
        NewerStoreError, StoreDamagedError, PermissionDeniedError, …: as `open_store`.
    """
    database_file.check_library()
    if not os.path.lexists(path):
        _check_remains(path, backups)
        return
    with _translated(path, backups):
        connection = _connect(path, apsw.SQLITE_OPEN_READONLY)
        try:
            _check_owner(connection, path, backups, len(database_file.migrations(migrations)))
            _check_pages(connection, path, backups)
        finally:
            connection.close()


def newest_sound_copy(backups: Path, *, migrations: Path = MIGRATIONS) -> Path | None:
    """The newest copy of the store that can be opened and whose every page is in order."""
    for copy in copies.every(backups):
        try:
            examine(copy, backups, migrations=migrations)
        except errors.CleverAgentsError as error:
            log.warning("the copy %s is of no use: %s", copy, error.message)
        else:
            return copy
    return None


def _connect(path: Path, flags: int) -> Connection:
    connection = cast("Connection", apsw.Connection(str(path), flags=flags))
    # a store that is refused stays as it is: closing it must not write its log into it
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    # else a statement whose plan might depend on a value is compiled again for every value
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.set_busy_timeout(2000)
    try:
        connection.execute("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF")
    except apsw.Error:
        connection.close()
        raise
    return connection


def _check(connection: Connection, path: Path, backups: Path, newest: int) -> None:
    """Refuse what is not ours, newer than us, or damaged; then note that the store is in use."""
    _check_owner(connection, path, backups, newest)
    if _meta(connection, "clean") != "1":
        _check_pages(connection, path, backups)
    if connection.pragma("journal_mode") != "wal":  # a copy that somebody put back by hand
        connection.pragma("journal_mode", "wal")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '0')")


def _meta(connection: Connection, key: str) -> str:
    """A note about the store itself; bytes that are no text are no note of ours."""
    row = connection.execute("SELECT CAST(value AS BLOB) FROM meta WHERE key = ?", (key,)).fetchone()
    return cast("bytes", row[0]).decode(errors="replace") if row else ""


def _settle_clock(connection: Connection, clock: Clock) -> None:
    """All daemons of one boot of the machine measure leases and deadlines from the same origin."""
    boot, _, origin = _meta(connection, "steady").rpartition(" ")
    if boot == clock.boot_id and origin.lstrip("-").isdecimal():
        clock.origin = int(origin)
    else:
        value = f"{clock.boot_id} {clock.origin}"
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('steady', ?)", (value,))


def _check_remains(path: Path, backups: Path) -> None:
    """Refuse to begin anew where a store was lost; its log would be taken for that of the new one, too."""
    if os.path.lexists(database_file.unfinished(path)):
        return
    log_of = path.with_name(f"{path.name}-wal")
    remains = [log_of] if os.path.lexists(log_of) else copies.every(backups)
    if remains:
        raise errors.StoreDamagedError(
            f"the store {path} is gone, but {remains[0]} is there; nothing was changed",
            detail={"path": str(path), "reason": "it is gone"},
            suggestions=_ways_back(path, backups),
        )


def _check_owner(connection: Connection, path: Path, backups: Path, newest: int) -> None:
    if path.stat().st_size == 0:
        raise _damaged(path, backups, "the file is empty")
    if connection.pragma("application_id") != APPLICATION_ID:
        raise _damaged(path, backups, "the file is not a store of CleverAgents")
    version = cast("int", connection.pragma("user_version"))
    if version > newest:
        raise NewerStoreError(
            f"the store {path} has version {version}; this program knows versions up to {newest}",
            detail={"path": str(path), "version": version, "supported": newest},
            suggestions=["install the newer program again", *_ways_to_older(path, backups)],
        )


def _check_pages(connection: Connection, path: Path, backups: Path) -> None:
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != ("ok",):
        raise _damaged(path, backups, str(verdict and verdict[0]))


def _migrate(connection: Connection, path: Path, backups: Path, steps: list[Path]) -> None:
    """Run the migrations that are missing in one transaction, after a copy of the store was made."""
    version = cast("int", connection.pragma("user_version"))
    if version == len(steps):
        return
    copy = backups / f"store-v{version}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.db"
    try:
        database_file.migrate(connection, steps, version, copy)
    except apsw.Error as error:
        if isinstance(error, (apsw.FullError, apsw.IOError)):
            raise  # the disk's fault, and not the migration's
        raise errors.StoreDamagedError(
            f"the store {path} could not be brought from version {version} to {len(steps)}: {error}; it is unchanged",
            suggestions=_ways_to_older(path, backups),
        ) from error
    log.info("store migrated from version %d to %d; the copy before is %s", version, len(steps), copy)


def _damaged(path: Path, backups: Path, reason: str) -> errors.StoreDamagedError:
    return errors.StoreDamagedError(
        f"the store {path} is damaged: {reason}. It was left as it is.",
        detail={"path": str(path), "reason": reason},
        suggestions=_ways_back(path, backups),
    )


def _ways_back(path: Path, backups: Path) -> list[str]:
    repair = ["ca diagnostics --repair"] if copies.every(backups) else []
    return [*repair, f"set it aside and start with an empty store: {_aside(path, backups)}"]


def _ways_to_older(path: Path, backups: Path) -> list[str]:
    """Of a whole store that this program cannot read."""
    found = copies.every(backups)
    if found:
        return [f"or go back to the newest copy, without what came later: {_aside(path)} && cp {found[0]} {path}"]
    return [f"or set it aside and start with an empty store: {_aside(path)}"]


def _aside(path: Path, *more: Path) -> str:
    """With its log: SQLite would write that into whatever takes the store's place."""
    directory = path.with_name("old-store")
    files = [f"{path}*"] if any(path.parent.glob(f"{path.name}*")) else []
    return f"mkdir {directory} && mv {' '.join([*files, *map(str, more)])} {directory}/"
