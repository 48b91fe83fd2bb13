"""A team server whose answers a test decides: a few definitions in memory, real HTTP on loopback, and faults on demand."""

import asyncio
import contextlib
import hashlib
import json
from collections import Counter, deque
from typing import Any, Self

import msgspec

from daemon.team import wire

EPOCH = "01J00000000000000000000000"
Headers = dict[str, str]


class Refusal(msgspec.Struct, frozen=True):
    """An answer that is none: a status with headers."""

    status: int
    headers: dict[str, str] = {}


class ScriptedServer:
    """One namespace of a team server.

    Attributes:
        calls: How often each method was asked for, and `card` and `events`.
        tokens: What was sent as authorization with each request but those for the card.
        refusals: What the next calls are answered with, instead of an answer; None for an answer.
        refusal: What every call is answered with while it is there.
        push_refusal: The same for pushes.
        gate: While it is not set, calls wait for it; all of them, or the one that `held` names.
        held: A method, and which call of it.
        at_once: Calls that were at work at the same time, at most.
    """

    def __init__(self, namespace: str = "team", *, version: str = wire.A2A_VERSION) -> None:
        self.namespace = namespace
        self.version = version
        self.entities: dict[tuple[str, str], wire.Entity] = {}
        self.revision = 0
        self.calls: Counter[str] = Counter()
        self.tokens: list[str | None] = []
        self.refusals: deque[Refusal | None] = deque()
        self.refusal: Refusal | None = None
        self.push_refusal: Refusal | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.held: tuple[str, int] | None = None
        self.streams = True
        self.at_once = 0
        self._working = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._listeners: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.close()
        self.gate.set()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    @property
    def pulls(self) -> int:
        return self.calls[wire.PULL] + self.calls[wire.FULL]

    @property
    def listeners(self) -> int:
        """Event streams that are open."""
        return len(self._listeners)

    def put(self, name: str, content: str | None, kind: wire.Kind = "actor") -> None:
        """A definition as somebody else pushed it."""
        self.revision += 1
        self.entities[kind, name] = wire.Entity(
            kind=kind, namespace=self.namespace, name=name, revision=self.revision, content=content,
            digest=None if content is None else hashlib.sha256(content.encode()).hexdigest(), deleted=content is None,
            updated_at="2026-01-01T00:00:00.000Z", updated_by="somebody",
        )  # fmt: skip

    async def announce(self) -> None:
        """Tell every stream where the namespace stands now."""
        for writer in list(self._listeners):
            writer.write(f"id: {self.revision}\nevent: change\ndata: {{}}\n\n".encode())
            await writer.drain()

    def end_streams(self) -> None:
        for writer in list(self._listeners):
            writer.close()

    # --- HTTP ----------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass
        self._open.discard(writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path == wire.CARD_PATH:
            self.calls["card"] += 1
            _write(writer, json.dumps(self._card()).encode())
            return True
        self.tokens.append(headers.get("authorization"))
        if path.startswith(wire.EVENTS_PATH):
            return await self._stream(reader, writer)
        await self._call(writer, msgspec.json.decode(body))
        return True

    async def _call(self, writer: asyncio.StreamWriter, request: dict[str, Any]) -> None:
        self.calls[request["method"]] += 1
        self._working += 1
        self.at_once = max(self.at_once, self._working)
        if self.held in {None, (request["method"], self.calls[request["method"]])}:
            await self.gate.wait()
        self._working -= 1
        refusal = self.refusals.popleft() if self.refusals else self.refusal
        if request["method"] == wire.PUSH:
            refusal = refusal or self.push_refusal
        if refusal is not None:
            _write(writer, b"{}", refusal.status, refusal.headers)
            return
        result = self._result(request["method"], request["params"])
        _write(writer, msgspec.json.encode({"jsonrpc": "2.0", "id": request["id"], "result": result}))

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self.calls["events"] += 1
        if not self.streams:
            _write(writer, b"", 503)
            return True
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n:\n\n")
        self._listeners.add(writer)
        try:
            await reader.read()
        finally:
            self._listeners.discard(writer)
        return False

    # --- methods -------------------------------------------------------------------------------------------------------

    def _card(self) -> dict[str, Any]:
        return {
            "name": "scripted", "version": "9.9.9",
            "supportedInterfaces": [
                {"url": f"{self.url}/a2a", "protocolBinding": "JSONRPC", "protocolVersion": self.version}
            ],
            "capabilities": {"extensions": [{"uri": wire.EXTENSION}]},
        }  # fmt: skip

    def _result(self, method: str, params: dict[str, Any]) -> object:
        here = {"server_id": f"server-of-{self.url.rpartition(':')[2]}", "epoch": EPOCH, "cursor": str(self.revision)}
        live = [entity for entity in self.entities.values() if not entity.deleted]
        if method == wire.STATUS:
            return {**here, "entities": len(live)}
        if method == wire.FULL:
            return {**here, "entities": live}
        if method == wire.PULL:
            since = int(params["cursor"])
            changes = [entity for entity in self.entities.values() if entity.revision > since]
            return {**here, "changes": sorted(changes, key=lambda entity: entity.revision), "more": False}
        assert method == wire.PUSH, method
        return {"results": [self._push(change) for change in params["changes"]], "cursor": str(self.revision)}

    def _push(self, change: dict[str, Any]) -> dict[str, Any]:
        found = self.entities.get((change["kind"], change["name"]))
        named = {"kind": change["kind"], "name": change["name"]}
        if (found.revision if found else 0) != change["base_revision"]:
            return {**named, "status": "conflict", "revision": found.revision if found else None, "current": found}
        self.put(change["name"], change["content"], change["kind"])
        return {**named, "status": "accepted", "revision": self.revision}


def _write(writer: asyncio.StreamWriter, body: bytes, status: int = 200, headers: Headers | None = None) -> None:
    lines = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} Scripted\r\n{head}\r\n".encode() + body)
