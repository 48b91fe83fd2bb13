"""Event streams: how their bytes are read, and what the client makes of them."""

import asyncio
import threading
import traceback
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from daemon.sync import events
from daemon.sync.events import Event, Parser
from daemon.sync.remote import Endpoint, Remote
from daemon.team import wire
from store import errors
from tests.sync import hostile
from tests.sync.hostile import Request, Server, respond, stream

TOKEN = "canary-5d1e77ab90c2"

LONG = (
    b"\xef\xbb\xbfdata: first\n\n: hello\n\nevent: change\r\nid: c1\r\ndata: one\r\ndata:two\r\n\r\n"
    b"data\rid: c2\r\revent: change\n\n:\n\nid\ndata:  \xc3\xa9\xff\nretry: 7\nunknown: x\nfoo\n\n"
    b"id: n\0l\ndata: last\n\ndata: lost"
)
EVENTS = [
    Event("", "message", "first"),
    Event("c1", "change", "one\ntwo"),
    Event("c2", "message", ""),
    Event("", "message", " é\ufffd"),
    Event("", "message", "last"),
]


def read(*pieces: bytes) -> list[Event]:
    parser = Parser()
    return [event for piece in pieces for event in parser.feed(piece)]


def test_a_stream_is_read_as_the_standard_says() -> None:
    assert read(LONG) == EVENTS


def test_it_is_the_same_however_it_is_cut() -> None:
    for cut in range(len(LONG) + 1):
        assert read(LONG[:cut], LONG[cut:]) == EVENTS
        assert read(LONG[:cut], b"", LONG[cut : cut + 1], LONG[cut + 1 :]) == EVENTS
    assert read(*(LONG[place : place + 1] for place in range(len(LONG)))) == EVENTS


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_end_of_a_line_ends_it(end: bytes) -> None:
    text = end.join([b"id: 1", b"data: x", b"", b"id: 2", b"data: y", b"", b""])

    # The last CR may still become a CR LF, but it has ended its line.
    assert read(text) == [Event("1", "message", "x"), Event("2", "message", "y")]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"x" * (events.LIMIT + 1)],
        [b"x" * 1000] * 66,
        [b": " + b"x" * events.LIMIT + b"\n"],
        [b"data: " + b"x" * 1000 + b"\n"] * 66,
        [b"data\n"] * (events.LIMIT + 1),
    ],
)
def test_what_is_too_long_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(errors.ProtocolError):
        read(*pieces)


# --- the client


def endpoint(server: Server, *, timeout: float = 10.0, token: str | None = TOKEN) -> Endpoint:
    return Endpoint(url=server.url, namespace="team", token=token, tls_verify=True, timeout=timeout)


def listen(where: Endpoint, last_id: str | None = None, *, count: int = 1000) -> tuple[list[str], list[str]]:
    """The ids of a stream, the first of them `opened`, and the code of what ended it before there were `count`."""
    found: list[str] = []
    codes: list[str] = []

    async def main() -> None:
        async with (
            Remote(where) as remote,
            aclosing(remote.notices(last_id, lambda: found.append("opened"))) as notices,
        ):
            async for one in notices:
                found.append(one)
                if len(found) > count:
                    return

    try:
        asyncio.run(main())
    except errors.CleverAgentsError as error:
        codes = [error.code]
        told = "".join(traceback.format_exception(error)) + repr(error.detail)
        found += ["the token"] * (TOKEN in told)
    return found, codes


def change(cursor: str) -> bytes:
    return f"id: {cursor}\nevent: change\ndata: {{}}\n\n".encode()


def test_changes_are_told_by_their_cursors() -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield stream() + b": team\nid: c0\n\n"
        yield change("c1") + b":\n\n" + b"event: brand_new\ndata: x\n\n" + change("c2")
        yield b"event: full_sync_required\ndata: {}\n\n" + change("c3")
        server.ended.wait()

    with Server(script) as server:
        assert listen(endpoint(server), count=4) == (["opened", "c1", "c2", "", "c3"], [])


@pytest.mark.parametrize("last_id", [None, "e1.7.abc"])
def test_a_stream_is_asked_for_from_where_we_are(last_id: str | None) -> None:
    with Server(lambda _: stream() + change("c1")) as server:
        assert listen(endpoint(server), last_id) == (["opened", "c1"], ["unreachable"])

    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/a2a/events?namespace=team")
    assert request.headers.get("last-event-id") == last_id
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["a2a-version"] == "1.0"


def test_an_end_in_the_middle_of_an_event_is_no_event() -> None:
    with Server(lambda _: stream() + change("c1") + b"id: c2\nevent: change\ndata: {}\n") as server:
        assert listen(endpoint(server)) == (["opened", "c1"], ["unreachable"])


def test_a_reset_ends_it() -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield stream(**{"content-length": "1000"}) + change("c1")
        raise hostile.ResetNow

    with Server(script) as server:
        found, code = listen(endpoint(server))

    assert code == ["unreachable"]
    assert found[0] == "opened"


@pytest.mark.parametrize("cursor", ["", "two words", "é", "x" * 2000])
def test_a_cursor_that_could_not_be_sent_back_ends_it(cursor: str) -> None:
    with Server(lambda _: stream() + change(cursor)) as server:
        assert listen(endpoint(server)) == (["opened"], ["protocol_error"])


def test_a_line_without_end_ends_it() -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield stream()
        while not server.ended.is_set():
            yield b"x" * 65_536

    with Server(script) as server:
        assert listen(endpoint(server)) == (["opened"], ["protocol_error"])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (respond(b"", 401), "unauthorized"),
        (respond(b"", 403), "forbidden"),
        (respond(b"", 404), "unreachable"),
        (respond(b"", 503, retry_after="5"), "unreachable"),
        (respond(b"", 302, location="http://127.0.0.1:1/"), "unreachable"),
        (respond({}), "unreachable"),
        (stream(**{"content-encoding": "gzip"}), "protocol_error"),
    ],
)
def test_a_refusal_is_told(answer: bytes, code: str) -> None:
    with Server(lambda _: answer) as server:
        assert listen(endpoint(server)) == ([], [code])


def test_it_must_begin_within_the_deadline() -> None:
    def script(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200"
        server.ended.wait()

    with Server(script) as server:
        assert listen(endpoint(server, timeout=0.2)) == ([], ["unreachable"])


def test_it_may_be_quiet_for_longer_than_the_deadline() -> None:
    """The deadline is for the beginning; after it only silence for three comments long ends the stream."""

    def script(_: Request) -> Iterator[bytes]:
        yield stream()
        server.ended.wait(2.5)
        yield change("c1")

    with Server(script) as server:
        assert listen(endpoint(server, timeout=2)) == (["opened", "c1"], ["unreachable"])


def test_silence_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEEP_ALIVE_SECONDS", 0.05)

    def script(_: Request) -> Iterator[bytes]:
        yield stream() + change("c1")
        server.ended.wait()

    with Server(script) as server:
        assert listen(endpoint(server)) == (["opened", "c1"], ["unreachable"])


def test_a_cancelled_listener_closes_its_connection() -> None:
    """Who disconnects has no connection left open to the server."""

    async def main(server: Server) -> bool:
        opened = asyncio.Event()

        async def listener(remote: Remote) -> None:
            async for _ in remote.notices(None, opened.set):
                pass

        async with Remote(endpoint(server)) as remote:
            task = asyncio.create_task(listener(remote))
            await opened.wait()
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled() and await asyncio.to_thread(gone.acquire, timeout=30)

    def script(_: Request) -> Iterator[bytes]:
        yield stream()
        try:
            while True:
                yield b":\n\n"
                server.ended.wait(0.01)
        finally:
            gone.release()

    gone = threading.Semaphore(0)
    with Server(script) as server:
        assert asyncio.run(main(server))
