"""A real team server over a database of its own: uvicorn in a thread, real HTTP on loopback."""

import asyncio
import contextlib
import hashlib
import itertools
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec
import uvicorn

from daemon.team import app, tokens, wire
from daemon.team.cursors import Cursor
from store import team, team_opening
from store.clock import Clock
from store.database import Database, Transaction
from store.team import Token
from tests.waiting import wait_until

T = TypeVar("T")

NAMESPACE = "crew"
SECONDS = 30.0
"""How long an answer may take."""


class TeamServer:
    """One process's worth of a server; several may be had over one database.

    Attributes:
        http: A client with the server's address; no token.
        socket: It listens.
    """

    def __init__(
        self, database: Path, *, workers: int = 1, limits: app.Limits | None = None, clock: Clock | None = None
    ) -> None:
        self.database = database
        team_opening.prepare(database)
        application = app.build(database, workers=workers, limits=limits or app.Limits(rate=0), clock=clock)
        self._application = application
        # named, the protocol lets asyncio turn Nagle's algorithm off; answers would wait 40 ms for the client's next word
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(application, http="h11", ws="none", lifespan="on", loop="asyncio", log_config=None)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self.socket],), name="team-server")
        self.http = httpx.Client(base_url=self.url, trust_env=False, timeout=SECONDS)
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive())
        assert self._server.started, "the server did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()
        self.end_streams()
        self._server.should_exit = True
        self._thread.join(SECONDS)
        self.socket.close()

    def end_streams(self) -> None:
        """What the host does when it is told to stop."""
        self._server.servers[0].get_loop().call_soon_threadsafe(app.end_streams, self._application)

    # --- requests --------------------------------------------------------------------------------------------------------

    def post(
        self, body: bytes | dict[str, Any] | list[Any], token: str | None = None, **headers: str
    ) -> httpx.Response:
        """Any body to the endpoint."""
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", wire.VERSION_HEADER: wire.A2A_VERSION, **headers}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return self.http.post(
            wire.RPC_PATH,
            content=content,
            headers=_latin(sent),
        )

    def answer(self, method: str, params: Any, token: str | None = None) -> dict[str, Any]:
        """The document that a call is answered with."""
        request_id = next(self._numbers)
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        response = self.post(body, token)
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        assert (document["jsonrpc"], document["id"]) == ("2.0", request_id)
        return document

    def result(self, method: str, params: Any, token: str | None = None) -> dict[str, Any]:
        """The result of a call that has to succeed."""
        document = self.answer(method, params, token)
        assert "error" not in document, document
        return document["result"]

    def error(self, method: str, params: Any, token: str | None = None) -> tuple[int, str]:
        """The code and the reason of a call that has to fail."""
        return error_of(self.answer(method, params, token))

    def push(
        self,
        *changes: wire.Change,
        key: str | None = None,
        cursor: str | None = None,
        token: str | None = None,
        namespace: str = NAMESPACE,
    ) -> wire.PushResults:
        """Push; the idempotency key is a new one when none is given."""
        params = push_params(*changes, key=key, cursor=cursor, namespace=namespace)
        return msgspec.convert(self.result(wire.PUSH, params, token), wire.PushResults)

    def put(self, name: str, content: str, base: int = 0, **settings: Any) -> wire.PushResult:
        """Push one action."""
        return self.push(action(name, content, base), **settings).results[0]

    def remove(self, name: str, base: int) -> wire.PushResult:
        """Push one deletion."""
        return self.push(wire.Change(kind="action", name=name, base_revision=base, deleted=True)).results[0]

    def pull(self, cursor: str, limit: int | None = None, token: str | None = None) -> wire.PullResult:
        """One page of changes."""
        params = {"namespace": NAMESPACE, "cursor": cursor, "limit": limit}
        return msgspec.convert(self.result(wire.PULL, params, token), wire.PullResult)

    def full(self, page_token: str | None = None, limit: int | None = None) -> wire.FullResult:
        """One page of everything."""
        params = {"namespace": NAMESPACE, "page_token": page_token, "limit": limit}
        return msgspec.convert(self.result(wire.FULL, params), wire.FullResult)

    def status(self, token: str | None = None) -> wire.StatusResult:
        """Where the namespace stands."""
        return msgspec.convert(self.result(wire.STATUS, {"namespace": NAMESPACE}, token), wire.StatusResult)

    # --- the host's side -------------------------------------------------------------------------------------------------

    def write(self, work: Callable[[Transaction], T]) -> T:
        """A change of the database, by another program."""
        return written(self.database, work)

    def token(self, namespace: str = NAMESPACE, role: str = tokens.WRITE, name: str | None = None) -> tuple[Token, str]:
        """A new token."""
        return self.write(lambda tx: tokens.create(tx, namespace, role, name))

    def revoke(self, token: Token) -> Token:
        """Take a token out of use."""
        return self.write(lambda tx: tokens.revoke(tx, token.token_id))


def written(database: Path, work: Callable[[Transaction], T], clock: Clock | None = None) -> T:
    """Change a prepared database and close it again."""

    async def run() -> T:
        db: Database = team_opening.open_(database, clock or Clock())
        try:
            return await db.write(work)
        finally:
            await db.close()

    return asyncio.run(run())


def action(name: str, content: str, base: int = 0) -> wire.Change:
    """A change of an action, its digest beside it."""
    digest = hashlib.sha256(content.encode()).hexdigest()
    return wire.Change(kind="action", name=name, base_revision=base, content=content, digest=digest)


def _latin(headers: dict[str, str]) -> httpx.Headers:
    """Headers as HTTP has them, without the empty ones."""
    return httpx.Headers([(key.encode(), value.encode("latin-1")) for key, value in headers.items() if value])


_keys = itertools.count(1)


def push_params(
    *changes: wire.Change, key: str | None = None, cursor: str | None = None, namespace: str = NAMESPACE
) -> dict[str, Any]:
    """The parameters of a push."""
    return {
        "namespace": namespace,
        "changes": [msgspec.to_builtins(change) for change in changes],
        "idempotency_key": key or f"key-{next(_keys)}",
        "cursor": cursor,
    }


def error_of(document: dict[str, Any]) -> tuple[int, str]:
    """The code and the reason in an answer; its form is checked."""
    assert "result" not in document, document
    error = document["error"]
    assert error["message"]
    (info,) = error["data"]
    assert info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert all(isinstance(value, str) for value in info["metadata"].values())
    return error["code"], info["reason"]


@contextlib.contextmanager
def serving(directory: Path, **settings: Any) -> Generator[TeamServer]:
    """A server with a new database in a directory."""
    with TeamServer(directory / "server.db", **settings) as server:
        yield server


def pages(server: TeamServer, cursor: str, limit: int) -> Iterator[wire.PullResult]:
    """Every page of changes since a cursor."""
    while True:
        page = server.pull(cursor, limit)
        yield page
        if not page.more:
            return
        cursor = page.cursor


def beginning(server: TeamServer) -> str:
    """The cursor before the first change."""
    return str(Cursor(server.status().epoch, team.beginning(NAMESPACE)))
