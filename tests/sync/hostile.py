"""A server of HTTP that a test scripts down to the byte: what a broken or hostile team server may do, and an honest one.

Each connection gets one request answered and is closed. What was asked is kept in `requests`, whole heads included.
"""

import hashlib
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from daemon.team import wire

CERTIFICATES = Path(__file__).with_name("certificates")
LOOPBACK = CERTIFICATES / "loopback.pem"
"""For this machine's own addresses, valid, signed by nobody but itself."""
ELSEWHERE = CERTIFICATES / "elsewhere.pem"
"""The same for another host."""
EXPIRED = CERTIFICATES / "expired.pem"
"""The same as `LOOPBACK`, but its time is over."""

CURSOR = "e1.7.abc"
SECONDS = 20.0
"""A connection that does nothing for so long ends: no test waits for one."""


class Request(NamedTuple):
    """What a client sent; the names of the headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def call(self) -> dict[str, Any]:
        """The body, as the request of JSON-RPC that it is."""
        return msgspec.json.decode(self.body)


class ResetNow(Exception):  # noqa: N818  what a script does, not a failure of it
    """Raised by a script: the connection is reset instead of closed."""


Answer = bytes | Iterable[bytes]
Script = Callable[[Request], Answer]


def respond(body: object, status: int = 200, **headers: str) -> bytes:
    """A complete answer: bytes as they are, anything else as JSON; `_` in the name of a header is `-`."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    lines = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode() + content


def stream(**headers: str) -> bytes:
    """The head of an event stream, which ends with its connection."""
    lines = {"content-type": "text/event-stream", **headers}
    return ("HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n").encode()


def result(request: Request, value: object) -> bytes:
    """A call's answer."""
    return respond({"jsonrpc": "2.0", "id": request.call["id"], "result": value})


def failure(request: Request, code: int, message: str, data: object = None) -> bytes:
    """A call's refusal."""
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return respond({"jsonrpc": "2.0", "id": request.call["id"], "error": error})


def card(
    request: Request, *, url: str | None = None, version: str = "1.0", extension: str = wire.EXTENSION
) -> dict[str, Any]:
    """The agent card of a team server at the address that was asked."""
    return {
        "name": "team",
        "version": "9.9.9",
        "supportedInterfaces": [
            {
                "url": url or f"http://{request.headers['host']}{wire.RPC_PATH}",
                "protocolBinding": "JSONRPC",
                "protocolVersion": version,
            }
        ],
        "capabilities": {"streaming": False, "extensions": [{"uri": extension, "required": False}]},
        "aFieldOfNewerVersions": {"x": [1]},
    }


def entity(name: str = "tidy", **changes: object) -> dict[str, Any]:
    """A definition as a server tells it, with a digest that fits."""
    content = changes.get("content", "name: team/tidy\n")
    made: dict[str, Any] = {
        "kind": "action",
        "namespace": "team",
        "name": name,
        "revision": 7,
        "content": content,
        "digest": hashlib.sha256(content.encode()).hexdigest() if isinstance(content, str) else None,
        "deleted": False,
        "updated_at": "2026-01-02T03:04:05.678Z",
        "updated_by": "ada",
    }
    return made | changes


def page(key: str = "changes", *entities: dict[str, Any], **changes: object) -> dict[str, Any]:
    """The result of a pull, or with `key="entities"` of a full sync."""
    made: dict[str, Any] = {"server_id": "s1", "epoch": "e1", "cursor": CURSOR, key: list(entities)}
    return made | ({"more": False} if key == "changes" else {}) | changes


def honest(request: Request) -> bytes:
    """What a team server with nothing in it answers."""
    if request.path.endswith(wire.CARD_PATH):
        return respond(card(request))
    method = request.call["method"]
    if method == wire.FULL:
        return result(request, page("entities"))
    if method == wire.PULL:
        return result(request, page())
    if method == wire.PUSH:
        changes = request.call["params"]["changes"]
        answers = [{"kind": one["kind"], "name": one["name"], "status": "accepted", "revision": 8} for one in changes]
        return result(request, {"results": answers, "cursor": CURSOR})
    return result(request, {"server_id": "s1", "epoch": "e1", "cursor": CURSOR, "entities": 0})


class Server:
    """The server; use it with `with`."""

    def __init__(self, script: Script = honest, *, certificate: Path | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.ended = threading.Event()
        """Set at the end: what a script waits for when it says nothing more."""
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listener = _Listener(("127.0.0.1", 0), self._handle)
        self.port: int = self._listener.server_address[1]
        self.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.02,), name="hostile")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.ended.set()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def _handle(self, raw: socket.socket) -> None:
        raw.settimeout(SECONDS)
        try:
            connection = raw if self._context is None else self._context.wrap_socket(raw, server_side=True)
            with connection, connection.makefile("rb") as incoming:
                request = _read(incoming)
                if request is not None:
                    self.requests.append(request)
                    self._answer(connection, request)
        except OSError:
            return  # the client went away, or did not like the certificate: its test looks at the client

    def _answer(self, connection: socket.socket, request: Request) -> None:
        try:
            answer = self.script(request)
            for piece in (answer,) if isinstance(answer, bytes) else answer:
                connection.sendall(piece)
        except ResetNow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class _Listener(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handle: Callable[[socket.socket], None]) -> None:
        self._handle = handle
        super().__init__(address, socketserver.BaseRequestHandler)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  of the class above
        self._handle(request)

    def shutdown_request(self, request: Any) -> None:
        request.close()  # without the shutdown of the class above, which would turn a reset into an end


def _read(incoming: Any) -> Request | None:
    """The request, None when the client only connected; one without a method when it is not HTTP."""
    begin = incoming.peek(1)[:1]
    if not begin.isalpha():
        return Request("", "", {}, b"") if begin else None
    method, path, _ = incoming.readline().decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := incoming.readline().decode("latin-1").rstrip("\r\n")) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return Request(method, path, headers, incoming.read(int(headers.get("content-length", "0"))))
