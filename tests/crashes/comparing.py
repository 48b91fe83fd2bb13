"""What the team server and the homes of its members have, looked at beside the processes that have it open."""

import contextlib
from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import apsw

from daemon import sync_views
from store.database import Connection
from tests import daemons
from tests.crashes import sharing

NEWEST = "SELECT max(revision) FROM changes WHERE namespace = ?"
ALIVE = "SELECT namespace || '/' || name, content FROM entities WHERE namespace = ? AND deleted = 0"


def check_equal(
    database: Path, homes: Iterable[daemons.Home], namespace: str, words: Mapping[str, str], *, revision: int
) -> None:
    """The server and all homes have these actors, and the server gave no revision for nothing."""
    wanted = {f"{namespace}/{name}": sharing.text(f"{namespace}/{name}", word) for name, word in words.items()}
    assert dict(rows(database, ALIVE, namespace)) == wanted
    for home in homes:
        assert held(home, namespace) == wanted
    assert revision_of(database, namespace) == revision


def check_idle(run: sync_views.SyncRunView) -> None:
    """It found nothing to do, and nothing is open."""
    assert (run.pulled, run.removed, run.pushed, run.pending, run.conflicts, run.invalid) == (0, 0, 0, 0, 0, [])


@contextlib.contextmanager
def opened(database: Path) -> Generator[Connection]:
    """A store beside whoever else has it open; the log that a killed process left is left to the next one."""
    connection = cast("Connection", apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.set_busy_timeout(5000)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def still(database: Path) -> Generator[None]:
    """Nobody writes to a store meanwhile."""
    with opened(database) as connection:
        before = connection.pragma("data_version")
        yield
        assert connection.pragma("data_version") == before, f"{database} was written"


@contextlib.contextmanager
def locked(database: Path) -> Generator[None]:
    """Whoever wants to write to a store waits."""
    with opened(database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def rows(database: Path, sql: str, namespace: str) -> list[tuple[Any, ...]]:
    with opened(database) as connection:
        return connection.execute(sql, [namespace]).fetchall()


def revision_of(database: Path, namespace: str) -> int:
    """How many revisions the server gave."""
    return rows(database, NEWEST, namespace)[0][0] or 0


def held(home: daemons.Home, namespace: str) -> dict[str, str]:
    """The actors of a namespace that are in force in a home."""
    return dict(rows(home.paths.database, "SELECT name, content FROM actors WHERE name GLOB ?", f"{namespace}/*"))
