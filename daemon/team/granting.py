"""The tokens of a team server's store, beside the server or without it: several processes may have the store open."""

import contextlib
import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from daemon import sync_views
from daemon.detach import InstanceLock
from daemon.team import tokens
from store import team_opening
from store.clock import Clock
from store.database import Database

MAKING_SECONDS = 10.0
"""How long a server that has just been started may take to make its store."""
LOOK_SECONDS = 0.02


def lock_file(database: Path) -> Path:
    """Whoever holds the lock on it is the only one to make, check and migrate the store."""
    return database.with_name(f"{database.name}.lock")


async def create(database: Path, namespace: str, role: str, name: str | None) -> sync_views.NewTokenView:
    """Make a token; this is the only time that it is seen.

    Raises:
        InvalidArgumentError: the namespace, the role or the name is none.
    """
    async with _opened(database) as db:
        token, text = await db.write(lambda tx: tokens.create(tx, namespace, role, name))
    return sync_views.NewTokenView(
        token_id=token.token_id, token=text, namespace=token.namespace, role=token.role, name=token.name
    )


async def every(database: Path) -> sync_views.TokensView:
    """Every token, the revoked ones too."""
    async with _opened(database) as db:
        found = tokens.every(db.read)
    return sync_views.TokensView(tokens=[tokens.view(token) for token in found], total=len(found))


async def revoke(database: Path, token_id: str) -> sync_views.TokenView:
    """Have a token open nothing any more, from its next request on.

    Raises:
        NotFoundError: there is no such token.
    """
    async with _opened(database) as db:
        return tokens.view(await db.write(lambda tx: tokens.revoke(tx, token_id)))


async def any_exists(database: Path) -> bool:
    """Whether there is a token, even one that was revoked."""
    async with _opened(database, prepare=False) as db:
        return tokens.any_exists(db.read)


@contextlib.asynccontextmanager
async def _opened(database: Path, *, prepare: bool = True) -> AsyncGenerator[Database]:
    if prepare:
        _prepare(database)
    db = team_opening.open_(database, Clock())
    try:
        yield db
    finally:
        await db.close()


def _prepare(database: Path) -> None:
    """Have a store: a server that runs has made it, otherwise it is made here."""
    deadline = time.monotonic() + MAKING_SECONDS
    while (lock := InstanceLock.acquire(lock_file(database))) is None:
        if os.path.lexists(database) or time.monotonic() > deadline:
            return
        time.sleep(LOOK_SECONDS)
    try:
        team_opening.prepare(database)
    finally:
        lock.release()
