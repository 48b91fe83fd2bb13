"""Copies of the store, from which it is restored when it is damaged: before each migration, and one a day while it is used."""

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import apsw

from store.clock import SECOND
from store.database import Connection, from_sqlite
from store.database_file import sync
from store.errors import from_os_error

DAY = 24 * 3600
KEPT = 3
"""Daily copies that stay."""

_DAILY = "store-daily-"
_UNFINISHED = "daily.db.new"
_LAST_CHANGE = "SELECT max(seq) FROM events"


def every(backups: Path) -> list[Path]:
    """All copies, the newest first."""
    return sorted(backups.glob("store-*.db"), key=lambda copy: copy.stat().st_mtime, reverse=True)


def make_daily(path: Path, backups: Path, now: int) -> Path | None:
    """Copy the store if the last daily copy is a day old and something changed since; the oldest beyond `KEPT` go.

    It reads through a connection of its own, so that neither the writer nor the event loop waits for it.

    Args:
        path: The open store.
        backups: Where copies are.
        now: Microseconds since 1970.

    Returns:
        The new copy; None when none was due.

    Raises:
        DiskFullError, StoreDamagedError, PermissionDeniedError: it cannot be made; earlier copies are as they were.
    """
    dailies = [copy for copy in every(backups) if copy.name.startswith(_DAILY)]
    if dailies and 0 <= now / SECOND - dailies[0].stat().st_mtime < DAY:
        return None
    try:
        last = _last_change(path)
        if last is None or (dailies and last == _last_change(dailies[0])):
            return None
        made = _copy(path, backups / _UNFINISHED)
        copy = made.rename(backups / f"{_DAILY}{datetime.now(UTC):%Y%m%dT%H%M%S%f}.db")
        for old in dailies[KEPT - 1 :]:
            old.unlink()
    except apsw.Error as error:
        raise from_sqlite(error) from error
    except OSError as error:
        raise from_os_error(error, f"cannot copy the store into {backups}") from error
    return copy


def _last_change(path: Path) -> int | None:
    """The number of the newest event: every change that counts has one."""
    connection = _open(path)
    try:
        row = connection.execute(_LAST_CHANGE).fetchone()
        return None if row is None else cast("int | None", row[0])
    finally:
        connection.close()


def _copy(path: Path, to: Path) -> Path:
    to.unlink(missing_ok=True)
    connection = _open(path)
    try:
        connection.execute("VACUUM INTO ?", (str(to),))
    finally:
        connection.close()
    to.chmod(0o600)
    sync(to)
    return to


def _open(path: Path) -> Connection:
    connection = cast("Connection", apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY))
    connection.set_busy_timeout(2000)
    return connection
