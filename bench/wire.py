"""The round trip of the socket: the daemon against an echo server in C, asked by the same C client with the same frames."""

import contextlib
import subprocess
from collections.abc import Generator
from pathlib import Path

from bench.homes import Home, compiled
from bench.measure import Limit, Row, Sample, Settings, alternate, scratch
from daemon import protocol
from store.version import VERSION

HELLO = protocol.frame(protocol.Hello(protocol=protocol.PROTOCOL_VERSION, version=VERSION, pid=1)).hex()
PING = protocol.frame(protocol.Ask(id=1, request=protocol.Ping())).hex()


@contextlib.contextmanager
def _servers() -> Generator[tuple[Path, Path, Path]]:
    """The client program, the daemon's socket, the echo server's socket."""
    with scratch() as directory:
        client, server = compiled("ask", directory), compiled("echo", directory)
        socket = directory / "echo.sock"
        home = Home(directory)
        with (
            home.daemon(),
            subprocess.Popen([server, socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as echo,
        ):
            assert echo.stdout is not None
            echo.stdout.readline()
            yield client, home.paths.socket, socket
            echo.terminate()


def _ask(client: Path, socket: Path, clients: int, requests: int) -> tuple[float, float]:
    """The p50 of the round trips in seconds, and requests per second."""
    command = [client, socket, str(clients), str(requests), HELLO, PING]
    p50, whole = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(p50) / 1e9, requests / (int(whole) / 1e9)


def _one(settings: Settings) -> Generator[Sample]:
    requests = settings.amount(3000, 500)
    with _servers() as (client, daemon, echo):
        while True:
            yield alternate(lambda: _ask(client, daemon, 1, requests)[0], lambda: _ask(client, echo, 1, requests)[0], 3)


def _many(settings: Settings) -> Generator[Sample]:
    requests, clients = settings.amount(20_000, 3000), settings.sized(32)
    with _servers() as (client, daemon, echo):
        while True:
            yield alternate(
                lambda: _ask(client, daemon, clients, requests)[1],
                lambda: _ask(client, echo, clients, requests)[1],
                3,
            )


ROWS = [
    Row("reply", "reply of the daemon (Ping), one client in a row, p50", "C epoll echo server", "s", _one,
        Limit(1.5), Limit(1.1)),
    Row("reply-32", "replies of the daemon (Ping), 32 clients at once", "C epoll echo server", "/s", _many,
        Limit(0.15, at_least=True), Limit(0.4, at_least=True), of="clients", sizes=(1, 10, 100)),
]  # fmt: skip
