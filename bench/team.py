"""A team server to measure: its own processes, what is on it, and a client of bare sockets that costs next to nothing."""

import contextlib
import itertools
import re
import selectors
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from bench.homes import SCRIPTS, Home
from bench.idle import memory
from bench.measure import timed
from daemon.team import wire

NAMESPACE = "team"
CONTENT = """\
name: {namespace}/{name}
description: A step that does nothing, number {number}
definition_of_done: It ended
arguments:
  - {{name: target, type: path, required: true}}
steps:
  - id: nothing
    run: "true {number}"
"""
"""An action as people write them, about 200 bytes."""

T = TypeVar("T")
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Server:
    """A running team server.

    Attributes:
        url: Where it listens.
        pids: Of all its processes.
        database: Its store.
    """

    def __init__(self, home: Home, workers: int) -> None:
        self._home = home
        self.database = home.paths.database.with_name("server.db")
        self._tokens: dict[str, str] = {}
        self.token()  # before the start: a server with tokens lets nobody in without one
        started = self._run("start", "--port", "0", "--rate-limit", "0", "--workers", str(workers))
        self.url: str = started["url"]
        self._master: int = started["pid"]

    def token(self, namespace: str = NAMESPACE) -> str:
        """The token of a namespace."""
        if namespace not in self._tokens:
            self._tokens[namespace] = self._run("token", "create", "--namespace", namespace)["token"]
        return self._tokens[namespace]

    @property
    def pids(self) -> list[int]:
        children = Path(f"/proc/{self._master}/task/{self._master}/children").read_text(encoding="ascii")
        return [self._master, *(int(pid) for pid in children.split())]

    def memory(self) -> float:
        """Resident MiB of all processes."""
        return sum(memory(pid) for pid in self.pids)

    def stop(self) -> None:
        self._run("stop")

    def request(self, method: str, params: msgspec.Struct, namespace: str = NAMESPACE) -> bytes:
        """A call, as the bytes that ask for it."""
        rpc = wire.RpcRequest(id="1", method=method, params=msgspec.Raw(msgspec.json.encode(params)))
        body = msgspec.json.encode(rpc)
        head = (
            f"POST {wire.RPC_PATH} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n"
            f"Authorization: Bearer {self.token(namespace)}\r\n{wire.VERSION_HEADER}: {wire.A2A_VERSION}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def get(self, path: str, namespace: str | None = None) -> bytes:
        """A GET, as the bytes that ask for it; with the token of a namespace when one is named."""
        token = f"Authorization: Bearer {self.token(namespace)}\r\n" if namespace else ""
        return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(self.url).netloc}\r\n{token}\r\n".encode()

    def push(self, key: str, changes: list[wire.Change], namespace: str = NAMESPACE) -> bytes:
        params = wire.PushParams(namespace=namespace, changes=changes, idempotency_key=key)
        return self.request(wire.PUSH, params, namespace)

    def fill(self, count: int) -> None:
        """Put so many actions there."""
        with self.line() as line:
            for first in range(0, count, wire.PUSH_LIMIT):
                changes = [change(number) for number in range(first, min(first + wire.PUSH_LIMIT, count))]
                found = line.result(self.push(f"fill-{first}", changes), wire.PushResults)
                assert all(each.status == "accepted" for each in found.results)

    @contextlib.contextmanager
    def line(self) -> Generator["Line"]:
        """A connection that is kept."""
        line = Line(self.url)
        try:
            yield line
        finally:
            line.socket.close()

    def _run(self, *arguments: str) -> dict[str, Any]:
        command = [SCRIPTS / "ca", "server", *arguments, "--format", "json"]
        done = subprocess.run(command, env=self._home.environ, check=True, capture_output=True)
        return msgspec.json.decode(done.stdout)["data"]


@contextlib.contextmanager
def server(directory: Path, workers: int = 1) -> Generator[Server]:
    """A team server in a home of its own."""
    directory.mkdir()
    running = Server(Home(directory), workers)
    try:
        yield running
    finally:
        running.stop()


class Line:
    """One kept connection of HTTP: requests go out as prepared bytes, answers are only measured off."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.socket = socket.create_connection((place.hostname, place.port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """The body of the answer."""
        self.socket.sendall(request)
        answer = bytearray()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._receive()
        length = _LENGTH.search(answer, 0, end)
        if not answer.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(f"the server answered {bytes(answer[:200])!r}")
        whole = end + 4 + int(length[1])
        while len(answer) < whole:
            answer += self._receive()
        return bytes(answer[end + 4 : whole])

    def result(self, request: bytes, kind: type[T]) -> T:
        """The result of a call."""
        answer = msgspec.json.decode(self.ask(request))
        return msgspec.convert(answer["result"], kind)

    def time(self, request: bytes) -> float:
        """Seconds from the first byte to the last one."""
        return timed(lambda: self.ask(request))

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data


class Listeners:
    """Event streams of one namespace, read by one thread."""

    def __init__(self, server: Server, namespace: str, count: int) -> None:
        self._server = server
        self._namespace = namespace
        self._selector = selectors.DefaultSelector()
        self._numbers = itertools.count()
        request = server.get(f"{wire.EVENTS_PATH}?namespace={namespace}", namespace)
        self._lines = [Line(server.url) for _ in range(count)]
        for line in self._lines:
            line.socket.sendall(request)
            self._selector.register(line.socket, selectors.EVENT_READ)
        self._until_all_got(b"\r\n\r\n", b"id: ")

    def delays(self, pusher: Line) -> list[float]:
        """Seconds from before a push until each of them has it."""
        number = next(self._numbers)
        new = change(number, self._namespace)
        request = self._server.push(f"{self._namespace}-{number}", [new], self._namespace)
        begin = time.perf_counter()
        pusher.socket.sendall(request)
        times = self._until_all_got(b"event: change", new.name.encode())
        pusher.socket.recv(1 << 16)
        return [moment - begin for moment in times]

    def close(self) -> None:
        self._selector.close()
        for line in self._lines:
            line.socket.close()

    def _until_all_got(self, *parts: bytes) -> list[float]:
        """The moment when each of them had these parts."""
        came = {line.socket.fileno(): b"" for line in self._lines}
        times: dict[int, float] = {}
        while len(times) < len(came):
            ready = self._selector.select(60)
            if not ready:
                raise RuntimeError(f"{len(came) - len(times)} of {len(came)} streams heard nothing")
            for key, _ in ready:
                came[key.fd] += cast("socket.socket", key.fileobj).recv(1 << 16)
                if key.fd not in times and all(part in came[key.fd] for part in parts):
                    times[key.fd] = time.perf_counter()
        return list(times.values())


def change(number: int, namespace: str = NAMESPACE) -> wire.Change:
    """A new action."""
    name = f"bench-{number:06}"
    content = CONTENT.format(namespace=namespace, name=name, number=number)
    return wire.Change(kind="action", name=name, content=content)


def pages(line: Line, running: Server) -> Iterator[bytes]:
    """The bodies of a full sync."""
    token: str | None = None
    while True:
        body = line.ask(running.request(wire.FULL, wire.FullParams(namespace=NAMESPACE, page_token=token)))
        yield body
        token = msgspec.json.decode(body)["result"].get("next_page_token")
        if token is None:
            return
