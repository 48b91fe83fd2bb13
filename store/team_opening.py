"""Opening the team server's database, which several processes have open at the same time.

One process prepares it: makes, checks and migrates. Then any number may open it; writers wait for each other.
"""

import contextlib
import logging
import os
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import apsw

from store import database_file, errors, names
from store.clock import Clock
from store.database import Connection, Database, from_sqlite
from store.database_file import NewerStoreError

log = logging.getLogger(__name__)

APPLICATION_ID = 0x43415473  # "CATs"
MIGRATIONS = Path(__file__).parent / "team_migrations"
PATIENCE_MS = 30_000
"""How long a writer waits for those of other processes."""


def prepare(path: Path, *, migrations: Path = MIGRATIONS) -> None:
    """Have a sound database of this version at `path`, made when there is none; nothing stays open.

    Only for the process that holds the server's lock, before any other one of the server opens it. An unclean end is told
    by the log that SQLite left behind; every page is read then.

    Raises:
        StoreDamagedError: it is damaged, of a newer version, or not a team server's; the file is untouched.
        DiskFullError, PermissionDeniedError: it cannot be made or migrated.
    """
    database_file.check_library()
    steps = database_file.migrations(migrations)
    with _translated(path):
        if not os.path.lexists(path):
            database_file.create(
                path, steps, APPLICATION_ID, {"server_id": names.new_ulid(), "epoch": names.new_ulid()}
            )
        unclean = path.with_name(path.name + "-wal").exists()
        with contextlib.closing(_connect(path, apsw.SQLITE_OPEN_READWRITE)) as connection:
            version = _check_owner(connection, path, len(steps))
            if unclean:
                _check_pages(connection, path)
            if connection.pragma("journal_mode") != "wal":  # a copy that somebody put back by hand
                connection.pragma("journal_mode", "wal")
            if version < len(steps):
                _migrate(connection, path, steps, version)


def open_(path: Path, clock: Clock) -> Database:
    """Open the prepared database, in the event loop's thread; other processes may have it open too.

    Raises:
        StoreDamagedError: it is of another version, or not a team server's.
        PermissionDeniedError: there is none, or it may not be read and written.
    """
    with _translated(path):
        writer = _connect(path, apsw.SQLITE_OPEN_READWRITE)
        try:
            _check_version(writer, path)
            reader = _connect(path, apsw.SQLITE_OPEN_READONLY)
        except BaseException:
            writer.close()
            raise
        return Database(writer, reader, clock)


def _check_version(connection: Connection, path: Path) -> None:
    newest = len(database_file.migrations(MIGRATIONS))
    version = _check_owner(connection, path, newest)
    if version < newest:
        raise errors.StoreDamagedError(
            f"the team server's database {path} is of the older version {version}",
            detail={"path": str(path), "version": version, "supported": newest},
            suggestions=["ca server stop", "ca server start"],
        )


@contextlib.contextmanager
def _translated(path: Path) -> Generator[None]:
    """SQLite's refusals, and the system's, as ours."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _damaged(path, str(error)) from error
    except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.IOError) as error:
        raise errors.PermissionDeniedError(
            f"cannot open the team server's database {path}: {error}",
            detail={"path": str(path)},
            suggestions=[f"check the owner and mode of {path} and of its directory"],
        ) from error
    except apsw.Error as error:
        raise from_sqlite(error) from error
    except OSError as error:
        raise errors.from_os_error(error, f"cannot make the team server's database {path}") from error


def _connect(path: Path, flags: int) -> Connection:
    connection = cast("Connection", apsw.Connection(str(path), flags=flags))
    connection.set_busy_timeout(PATIENCE_MS)
    try:
        connection.execute("PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF")
    except apsw.Error:
        connection.close()
        raise
    return connection


def _check_owner(connection: Connection, path: Path, newest: int) -> int:
    """The version of a database that is a team server's, and not newer than this program."""
    if path.stat().st_size == 0:
        raise _damaged(path, "the file is empty")
    if connection.pragma("application_id") != APPLICATION_ID:
        raise _damaged(path, "the file is not a database of a team server")
    version = cast("int", connection.pragma("user_version"))
    if version > newest:
        raise NewerStoreError(
            f"the team server's database {path} has version {version}; this program knows versions up to {newest}",
            detail={"path": str(path), "version": version, "supported": newest},
            suggestions=["install the newer program again"],
        )
    return version


def _check_pages(connection: Connection, path: Path) -> None:
    verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != ("ok",):
        raise _damaged(path, str(verdict and verdict[0]))


def _migrate(connection: Connection, path: Path, steps: list[Path], version: int) -> None:
    """Run the migrations that are missing in one transaction, after a copy of the database was made beside it."""
    copy = path.with_name(f"{path.stem}-v{version}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.db")
    database_file.migrate(connection, steps, version, copy)
    log.info("%s migrated from version %d to %d; the copy before is %s", path, version, len(steps), copy)


def _damaged(path: Path, reason: str) -> errors.StoreDamagedError:
    aside = path.with_name(f"old-{path.stem}")
    return errors.StoreDamagedError(
        f"the team server's database {path} is damaged: {reason}. It was left as it is.",
        detail={"path": str(path), "reason": reason},
        suggestions=[
            f"set it aside, then put a backup in its place or start empty: mkdir {aside} && mv {path}* {aside}/"
        ],
    )
