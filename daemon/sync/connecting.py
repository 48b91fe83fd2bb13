"""Connecting to a team server and leaving it: wholly or not at all.

Everything is asked of the new server before anything is written. Then the configuration is one change, what came from the
server is one transaction, and should that fail the configuration is put back. The old connection works until the new one
takes its place.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from daemon import protocol
from daemon.sync import origins
from daemon.sync.engine import Engine, Fetched, Outcome
from daemon.sync.origins import Endpoint
from daemon.sync.remote import Remote
from daemon.sync.syncer import Syncer
from daemon.sync.wanted import Wanted
from store import config, entities, errors
from store.config import Level, Value
from store.database import Transaction

log = logging.getLogger(__name__)

KEYS = ("server.url", "server.namespace", "server.tls-verify", "server.token")
"""What makes a connection, in the order in which it is written; `disconnect` clears it."""


class Connected(NamedTuple):
    """What became of a connect.

    Attributes:
        version: The server's, when it was asked.
        in_force: Nothing in the environment is stronger than what was written.
        messages: What there is to say.
    """

    version: str | None
    in_force: bool
    messages: list[str]


async def connect(syncer: Syncer, request: protocol.ServerConnect) -> Connected:
    """Check the server, write what connects to it, take over what it has, and sync from then on.

    Raises:
        CleverAgentsError: it was not to be; configuration and connection are as before.
    """
    async with syncer.connecting:
        wanted = _asked(syncer.wanted(), request)
        endpoint = _endpoint(syncer, wanted, given=request.token)
        version, fetched = await syncer.ask(_look(syncer, endpoint, offline=request.offline))
        changes = _changes(syncer, request, wanted)
        messages = withheld(syncer, wanted, endpoint)
        async with syncer.switching:
            messages += await _switch(syncer, wanted, endpoint, changes, fetched)
        await syncer.obey()
        return Connected(version, syncer.wanted().same_connection(wanted), messages)


async def disconnect(syncer: Syncer) -> list[str]:
    """Stop syncing, then forget the server; what came from it stays.

    Returns:
        What there is to say.

    Raises:
        CleverAgentsError: the configuration cannot be written; the connection goes on.
    """
    async with syncer.connecting:
        url = syncer.wanted().url
        try:
            async with syncer.switching:
                await syncer.disconnect()
                await asyncio.to_thread(config.edit, syncer.services.paths.config_file, dict.fromkeys(KEYS))
        finally:
            await syncer.obey()  # what the configuration says now: nothing, or the old connection once more
    if url is None:
        return ["no team server was connected"]
    return [*await _note(syncer, url), *_overridden(syncer, dict.fromkeys(KEYS))]


async def check(endpoint: Endpoint) -> str:
    """Ask a server now whether it is there, and whether it knows us; its version.

    Raises:
        CleverAgentsError: why it is no use.
    """
    try:
        async with asyncio.timeout(endpoint.timeout), Remote(endpoint) as remote:
            version = await remote.check()
            await remote.status()
            return version
    except TimeoutError as error:
        raise errors.UnreachableError(
            f"{endpoint.url} gave no answer within {endpoint.timeout:g} s", suggestions=["ca server status"]
        ) from error


# --- what is asked for -------------------------------------------------------------------------------------------------


def _asked(now: Wanted, request: protocol.ServerConnect) -> Wanted:
    """What the configuration is to ask for; what was not given stays."""
    if request.token == "":
        raise errors.InvalidArgumentError(
            "an empty text is no token", detail={"what": "token"}, suggestions=["ca server connect URL --token-stdin"]
        )
    return msgspec.structs.replace(
        now,
        url=origins.parse_url(request.url),
        namespace=now.namespace if request.namespace is None else request.namespace,
        token=now.token if request.token is None else request.token,
        tls_verify=now.tls_verify if request.tls_verify is None else request.tls_verify,
    )


def _endpoint(syncer: Syncer, wanted: Wanted, *, given: str | None) -> Endpoint:
    endpoint = wanted.endpoint(syncer.services.db.read)
    assert endpoint is not None, "there is a URL"
    return endpoint if given is None else msgspec.structs.replace(endpoint, token=given)


def _changes(syncer: Syncer, request: protocol.ServerConnect, wanted: Wanted) -> dict[str, Value]:
    """What is to be written: what was given, and beside it what holds without having been said."""
    given: dict[str, Value | None] = dict(
        zip(KEYS, (wanted.url, request.namespace, request.tls_verify, request.token), strict=True)
    )
    found: dict[str, Value] = {}
    for key, value in given.items():
        resolved = syncer.services.config.get(key)
        written = resolved.value if value is None and resolved.level is Level.DEFAULT else value
        if written is not None:
            found[key] = written
    return found


def withheld(syncer: Syncer, wanted: Wanted, endpoint: Endpoint) -> list[str]:
    """That the saved token is not sent, when that is so."""
    if wanted.token is None or endpoint.token is not None:
        return []
    known = entities.bound_origin(syncer.services.db.read, wanted.token)
    return [f"the saved token was given for {known}; it is not sent to {endpoint.url}"]


def _overridden(syncer: Syncer, written: Mapping[str, Value | None]) -> list[str]:
    """Which variables of the daemon's environment are stronger than what was written."""
    found: list[str] = []
    for key, value in written.items():
        resolved = syncer.services.config.get(key)
        if resolved.level is Level.ENVIRONMENT and resolved.value != value:
            found.append(
                f"{resolved.key.env} is set in the daemon's environment and is stronger than {key} in the file"
            )
    return found


# --- the steps ---------------------------------------------------------------------------------------------------------


async def _look(syncer: Syncer, endpoint: Endpoint, *, offline: bool) -> tuple[str | None, Fetched | None]:
    """Everything that can go wrong with the server, before anything is written."""
    async with Remote(endpoint) as remote:
        if offline:
            return None, None
        version = await remote.check()
        try:
            await remote.status()
        except errors.UnauthorizedError as error:
            raise _unauthorized(syncer, endpoint, error) from error
        return version, await _engine(syncer, endpoint).fetch(remote)


def _unauthorized(syncer: Syncer, endpoint: Endpoint, error: errors.UnauthorizedError) -> errors.UnauthorizedError:
    kept_back = withheld(syncer, syncer.wanted(), endpoint)
    return errors.UnauthorizedError(
        "; ".join([error.message, *kept_back]),
        detail=error.detail,
        suggestions=[f"ca server connect {endpoint.url} --namespace {endpoint.namespace} --token-stdin"],
    )


def _engine(syncer: Syncer, endpoint: Endpoint) -> Engine:
    return Engine(syncer.services.db, endpoint.namespace, syncer.policy)


async def _switch(
    syncer: Syncer, wanted: Wanted, endpoint: Endpoint, changes: Mapping[str, Value], fetched: Fetched | None
) -> list[str]:
    """Write, take over, and have the new connection in the place of the old one."""
    async with _nothing_runs(syncer):
        syncer.refuse_at_the_end()
        async with _written(syncer, changes):
            overridden = _overridden(syncer, changes)
            now = syncer.wanted()
            if not now.same_connection(wanted):
                return overridden
            taken = await _engine(syncer, endpoint).take(fetched) if fetched is not None else None
            await _bind(syncer, endpoint, offline=fetched is None)
            timer = await syncer.make(now)
        await syncer.disconnect()
        if timer is not None:
            if taken is not None:
                timer.began_in_step()
            syncer.install(timer, now)
        return _told(taken)


@asynccontextmanager
async def _nothing_runs(syncer: Syncer) -> AsyncGenerator[None]:
    """No run of the old connection is at work, and none begins."""
    if syncer.timer is None:
        yield
        return
    async with syncer.timer.turn:
        yield


@asynccontextmanager
async def _written(syncer: Syncer, changes: Mapping[str, Value]) -> AsyncGenerator[None]:
    """The configuration is written; when what follows fails, it is put back."""
    path = syncer.services.paths.config_file
    edited = await asyncio.to_thread(config.edit, path, changes)
    try:
        yield
    except errors.CleverAgentsError as error:
        try:
            await asyncio.to_thread(config.restore, path, edited)
        except errors.CleverAgentsError as trouble:
            raise errors.from_code(
                error.code, f"{error.message}; {path} could not be put back: {trouble.message}", error.detail,
                ["ca server status", *error.suggestions],
            ) from error  # fmt: skip
        raise


def _told(taken: Outcome | None) -> list[str]:
    if taken is None or not taken.conflicts:
        return []
    return [f"{taken.conflicts} definitions are in conflict; next: ca sync conflicts"]


async def _bind(syncer: Syncer, endpoint: Endpoint, *, offline: bool) -> None:
    """From now on the token goes to this server only."""

    def bind(tx: Transaction) -> None:
        if endpoint.token is not None:
            entities.bind(tx, endpoint.token, origins.origin(endpoint.url))
        tx.event("server.connected", url=endpoint.url, namespace=endpoint.namespace, offline=offline)

    await syncer.services.db.write(bind)


async def _note(syncer: Syncer, url: str) -> list[str]:
    """Tell those who follow; the connection is gone, whether that can be noted or not."""
    try:
        await syncer.services.db.write(lambda tx: tx.event("server.disconnected", url=url))
    except errors.CleverAgentsError as error:
        log.warning("server.disconnected could not be noted: %s", error.message)
        return [f"that could not be noted among the events: {error.message}"]
    return []
