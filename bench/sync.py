"""The sync with a team server: what a look costs, how fast much of it goes, and how soon everybody hears of a change."""

import asyncio
import contextlib
import functools
import http.server
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import apsw
import httpx

from bench import team
from bench.homes import Home
from bench.idle import cpu, memory
from bench.measure import Limit, Row, Sample, Settings, alternate, scratch, shown, timed
from cleveragents_tui.client import Client
from daemon import protocol
from daemon.sync.remote import Endpoint, Remote
from daemon.team import wire
from store.database import Connection

CLIENTS = 8
"""That push at the same time."""
LISTENERS = 200
_DEFINITIONS = (100, 1_000, 10_000)
ALONE = "alone"
"""A namespace that one client listens to."""

# --- nothing new -------------------------------------------------------------------------------------------------------


def _nothing_new(settings: Settings) -> Generator[Sample]:
    times = settings.amount(1500, 300)
    with scratch() as directory, team.server(directory / "server") as server, server.line() as line:
        server.fill(settings.sized(100))
        pull, live = server.request(wire.PULL, _newest(server, line)), server.get("/live")
        for _ in range(200):
            line.ask(pull)
            line.ask(live)
        while True:
            yield alternate(lambda: line.time(pull), lambda: line.time(live), times)


def _newest(server: team.Server, line: team.Line) -> wire.PullParams:
    status = line.result(server.request(wire.STATUS, wire.StatusParams(namespace=team.NAMESPACE)), wire.StatusResult)
    return wire.PullParams(namespace=team.NAMESPACE, cursor=status.cursor)


def _nothing_new_here(settings: Settings) -> Generator[Sample]:
    times = settings.amount(500, 100)
    with scratch() as directory, team.server(directory / "server") as server, asyncio.Runner() as runner:
        server.fill(100)
        endpoint = Endpoint(url=server.url, namespace=team.NAMESPACE, token=server.token(), tls_verify=True, timeout=60)
        while True:
            yield runner.run(_pulls(endpoint, times))


async def _pulls(endpoint: Endpoint, times: int) -> Sample:
    async with Remote(endpoint) as remote, httpx.AsyncClient(base_url=endpoint.url) as bare:
        cursor = (await remote.status()).cursor
        pairs: list[tuple[float, float]] = []
        for _ in range(times):
            begin = time.perf_counter()
            await remote.pull(cursor)
            between = time.perf_counter()
            await bare.get("/live")
            pairs.append((between - begin, time.perf_counter() - between))
        ours, peer = zip(*pairs, strict=True)
        return Sample(statistics.median(ours), statistics.median(peer))


# --- everything --------------------------------------------------------------------------------------------------------


def _everything(settings: Settings) -> Generator[Sample]:
    count = settings.sized(10_000, 1000)
    with scratch() as directory, team.server(directory / "server") as server, server.line() as line:
        server.fill(count)
        bodies = list(team.pages(line, server))
        (directory / "file").write_bytes(b"".join(bodies))
        with _files(directory) as url:
            for number in itertools.count():
                notes: list[str] = []
                took = _first_sync(Home(directory / f"home-{number}"), server, count, notes)
                mean = shown((directory / "file").stat().st_size / 1e6, "MB")
                settings.notes["sync-full"] = [
                    f"{mean} in {len(bodies)} pages; {notes[0]}; the server has {server.memory():.0f} MiB"
                ]
                yield Sample(took, timed(lambda: httpx.get(f"{url}/file").raise_for_status()))


def _first_sync(home: Home, server: team.Server, count: int, notes: list[str]) -> float:
    """Seconds until a new daemon has everything."""
    home.directory.mkdir()
    with home.daemon() as daemon:
        before = memory(daemon.hello.pid)
        took = timed(lambda: _connect(daemon, server))
        known = daemon.call(protocol.SyncStatus()).entities
        if known != count:
            raise RuntimeError(f"the daemon has {known} definitions")
        peak = memory(daemon.hello.pid, "VmHWM")
        again = timed(lambda: daemon.call(protocol.SyncRun(what="full"), timeout=None))
        notes.append(f"the daemon grew from {before:.0f} to {peak:.0f} MiB; a full sync of the same took {again:.2f} s")
    return took


def _connect(daemon: Client, server: team.Server) -> None:
    request = protocol.ServerConnect(url=server.url, namespace=team.NAMESPACE, token=server.token())
    daemon.call(request, timeout=None)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the standard library calls it
        """Nobody reads it."""


@contextlib.contextmanager
def _files(directory: Path) -> Generator[str]:
    """A directory over HTTP, as the standard library serves it."""
    handler = functools.partial(_Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


# --- pushes ------------------------------------------------------------------------------------------------------------


class _Pushers:
    """Clients that push one new definition after the other, all at the same time, each on its own connection."""

    def __init__(self, server: team.Server, threads: ThreadPoolExecutor) -> None:
        self._server = server
        self._threads = threads
        self._lines = [team.Line(server.url) for _ in range(CLIENTS)]
        self._numbers = itertools.count()

    def rate(self, count: int) -> float:
        """Pushes per second."""
        each = [[self._next() for _ in range(count // CLIENTS)] for _ in self._lines]
        begin = time.perf_counter()
        answers = list(self._threads.map(self._push, self._lines, each))
        took = time.perf_counter() - begin
        if not all(b'"accepted"' in answer for some in answers for answer in some):
            raise RuntimeError("not every push was accepted")
        return count / took

    def _next(self) -> bytes:
        number = next(self._numbers)
        return self._server.push(f"push-{number}", [team.change(number)])

    def _push(self, line: team.Line, requests: list[bytes]) -> list[bytes]:
        return [line.ask(request) for request in requests]

    def close(self) -> None:
        for line in self._lines:
            line.socket.close()


@contextlib.contextmanager
def _pushers(directory: Path, workers: int) -> Generator[_Pushers]:
    with team.server(directory / f"workers-{workers}", workers) as server, ThreadPoolExecutor(CLIENTS) as threads:
        pushers = _Pushers(server, threads)
        try:
            yield pushers
        finally:
            pushers.close()


def _workers(settings: Settings) -> Generator[Sample]:
    count = settings.amount(800, 160)
    with scratch() as directory, _pushers(directory, 4) as four, _pushers(directory, 1) as one:
        while True:
            yield alternate(lambda: four.rate(count), lambda: one.rate(count), 3)


def _commits(settings: Settings, row: str, workers: int) -> Generator[Sample]:
    count = settings.amount(800, 160)
    with scratch() as directory, _pushers(directory, workers) as pushers, _raw(directory / "raw.db") as commit:
        while True:
            yield alternate(lambda: pushers.rate(count), lambda: count / timed(lambda: _repeat(commit, count)), 3)
            settings.notes[row] = [f"{CLIENTS} clients, each with one push at a time; the peer one after the other"]


@contextlib.contextmanager
def _raw(path: Path) -> Generator[Callable[[], None]]:
    """One durable commit of SQLite with the text of one definition, as bare as it can be."""
    content = cast("str", team.change(0).content)
    connection = cast("Connection", apsw.Connection(str(path)))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE contents (number INTEGER PRIMARY KEY, content TEXT)")

    def commit() -> None:
        connection.execute("INSERT INTO contents (content) VALUES (?)", (content,))

    try:
        yield commit
    finally:
        connection.close()


def _repeat(work: Callable[[], None], count: int) -> None:
    for _ in range(count):
        work()


# --- a daemon that has nothing to do -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _daemons(count: int) -> Generator[tuple[list[int], list[int]]]:
    """The processes of so many daemons that are connected and in step, and of as many that are not connected."""
    with scratch() as directory, team.server(directory / "server") as server, contextlib.ExitStack() as running:
        server.fill(100)
        pids: list[int] = []
        for number in range(2 * count):
            home = Home(directory / str(number))
            home.directory.mkdir()
            daemon = running.enter_context(home.daemon())
            if number < count:
                _connect(daemon, server)
                _until_it_streams(daemon)
            pids.append(daemon.hello.pid)
        time.sleep(1)
        yield pids[:count], pids[count:]


def _until_it_streams(daemon: Client) -> None:
    deadline = time.monotonic() + 20
    while not daemon.call(protocol.SyncStatus()).streaming:
        if time.monotonic() > deadline:
            raise RuntimeError("the daemon opens no event stream")
        time.sleep(0.02)


def _idle(settings: Settings) -> Generator[Sample]:
    with _daemons(settings.count) as (connected, alone):
        pids = [*connected, *alone]
        before = {pid: cpu(pid) for pid in pids}
        time.sleep(settings.amount(60, 10))
        spent = {pid: cpu(pid) - before[pid] for pid in pids}
        least, most = min(spent[pid] for pid in alone), max(spent[pid] for pid in alone)
        settings.notes["sync-idle-cpu"] = [f"those that are not connected: {least:.2g} to {most:.2g} ms"]
        yield from (Sample(spent[pid], 1) for pid in connected)


def _resident(settings: Settings) -> Generator[Sample]:
    with _daemons(settings.count) as (connected, alone):
        yield from (Sample(memory(one), memory(other)) for one, other in zip(connected, alone, strict=True))


# --- event streams -----------------------------------------------------------------------------------------------------


def _streams(settings: Settings, row: str, workers: int) -> Generator[Sample]:
    pushes, listeners = settings.amount(20, 5), settings.sized(LISTENERS)
    with (
        scratch() as directory,
        team.server(directory / "server", workers) as server,
        server.line() as pusher,
        contextlib.ExitStack() as open_streams,
    ):
        one = open_streams.enter_context(contextlib.closing(team.Listeners(server, ALONE, 1)))
        one.delays(pusher)
        before = server.memory()
        many = open_streams.enter_context(contextlib.closing(team.Listeners(server, team.NAMESPACE, listeners)))
        many.delays(pusher)
        grown = server.memory() - before
        while True:
            delays: list[list[float]] = []

            def last() -> float:
                delays.append(many.delays(pusher))  # noqa: B023  it is called in this very round
                return max(delays[-1])  # noqa: B023  as above

            sample = alternate(last, lambda: max(one.delays(pusher)), pushes)
            every = sorted(itertools.chain.from_iterable(delays))
            text = (
                f"one of the {listeners} hears of it after {shown(statistics.median(every), 's')} (p50),"
                f" {shown(every[-1], 's')} at most; they cost the server {grown:.1f} MiB beside its {before:.0f}"
            )
            settings.notes[row] = [text]
            yield sample


ROWS = [
    Row("sync-pull", "sync pull with nothing new, on a kept connection", "GET /live of the same server", "s",
        _nothing_new, Limit(1.5), Limit(1.1), of="definitions", sizes=_DEFINITIONS),
    Row("sync-pull-client", "sync pull with nothing new by our client, answer checked",
        "httpx: GET /live of the same server", "s", _nothing_new_here),
    Row("sync-full", "`server connect` of an empty home to 10,000 definitions", "httpx: one file of the same bytes", "s",
        _everything, of="definitions", sizes=_DEFINITIONS),
    Row("pushes-4", "pushes of one definition, 8 clients, 4 server processes", "the same with 1 server process", "/s",
        _workers),
    Row("pushes", "pushes of one definition, 8 clients, 1 server process", "raw SQLite commits, one row each", "/s",
        lambda settings: _commits(settings, "pushes", 1)),
    Row("sync-idle-cpu", "connected daemon idle, CPU time over 60 s", "", "ms", _idle, Limit(20, unit="ms"),
        Limit(2, unit="ms")),
    Row("sync-idle-memory", "connected daemon idle, resident memory", "daemon that is not connected", "MiB", _resident),
    Row("streams", "a push until 200 event streams have it", "one event stream", "s",
        lambda settings: _streams(settings, "streams", 1), of="listeners", sizes=(2, 20, 200)),
    Row("streams-2", "a push until 200 event streams of 2 server processes have it", "one event stream", "s",
        lambda settings: _streams(settings, "streams-2", 2)),
]  # fmt: skip
