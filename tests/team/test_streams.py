"""Event streams: a listener hears of every change once, can come back to where it was, and holds up nobody."""

import json
import socket
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from daemon.team import app, wire
from tests.team.server import NAMESPACE, TeamServer, action, serving
from tests.waiting import wait_until


class Event(NamedTuple):
    id: str
    kind: str
    data: dict[str, object]


class Listener:
    """The blocks of one stream, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()
        greeting = self.block()
        assert greeting[0] == f": {NAMESPACE}"
        self.id = greeting[1].removeprefix("id: ")

    def block(self) -> list[str]:
        """The lines up to the next empty one; none at the end of the stream."""
        block: list[str] = []
        for line in self._lines:
            if not line:
                return block
            block.append(line)
        return block

    def event(self) -> Event:
        """The next event; comments are passed over."""
        while (block := self.block()) == [":"]:
            pass
        fields = dict(line.split(": ", 1) for line in block)
        return Event(fields["id"], fields["event"], json.loads(fields["data"]))

    def names(self, count: int) -> list[object]:
        """What the next changes are about."""
        return [self.event().data["name"] for _ in range(count)]


@contextmanager
def listening(server: TeamServer, last_id: str | None = None, token: str | None = None) -> Generator[Listener]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    with server.http.stream("GET", wire.EVENTS_PATH, params={"namespace": NAMESPACE}, headers=headers) as response:
        assert response.status_code == 200
        listener = Listener(response)  # it has to stay: the stream would be closed with its lines
        yield listener


def test_a_listener_hears_what_happens_from_now_on(server: TeamServer) -> None:
    server.put("before", "x")
    with listening(server) as listener:
        server.put("a", "one")
        made = listener.event()
        server.remove("a", base=2)
        deleted = listener.event()

    status = server.status()
    assert listener.response.headers["Content-Type"].startswith("text/event-stream")
    assert made.kind == deleted.kind == "change"
    assert made.data == {
        "namespace": NAMESPACE, "kind": "action", "name": "a", "revision": 2, "deleted": False, "cursor": made.id,
    }  # fmt: skip
    assert (deleted.data["revision"], deleted.data["deleted"]) == (3, True)
    assert deleted.id == deleted.data["cursor"] == status.cursor


def test_only_changes_of_the_namespace_are_heard(server: TeamServer) -> None:
    with listening(server) as listener:
        server.push(action("theirs", "x"), namespace="others")
        server.put("ours", "x")

        assert listener.names(1) == ["ours"]


def test_what_was_not_written_is_not_heard(server: TeamServer) -> None:
    """A conflict, a rejection, and a change that changes nothing."""
    server.put("a", "one")
    with listening(server) as listener:
        server.push(action("a", "mine", base=9), action("Bad", "x"), action("a", "one"))
        server.put("b", "x")

        assert listener.names(1) == ["b"]


def test_a_listener_that_comes_back_misses_and_repeats_nothing(server: TeamServer) -> None:
    with listening(server) as listener:
        server.push(*(action(f"n{number}", "x") for number in range(3)))
        first = listener.event()
    server.put("n3", "x")

    with listening(server, first.id) as again:
        assert again.names(3) == ["n1", "n2", "n3"]
        server.put("n4", "x")
        assert again.names(1) == ["n4"]


def test_a_listener_may_come_back_to_where_it_began(server: TeamServer) -> None:
    """The id is known before anything happened."""
    with listening(server) as listener:
        begun = listener.id
    server.put("a", "x")

    with listening(server, begun) as again:
        assert again.names(1) == ["a"]


def test_a_cursor_of_the_sync_is_a_place_to_start_from(server: TeamServer) -> None:
    cursor = server.status().cursor
    server.put("a", "x")

    with listening(server, cursor) as listener:
        event = listener.event()

    assert server.pull(cursor).cursor == event.id
    assert server.pull(event.id).changes == []


@pytest.mark.parametrize(
    "last_id", ["nonsense", "7", "{epoch}.0.0000000000000000", "00000000000000000000000000.1.{chain}"]
)
def test_a_place_that_is_unknown_needs_a_full_sync_and_the_stream_goes_on(server: TeamServer, last_id: str) -> None:
    server.put("a", "x")
    epoch, _, chain = server.status().cursor.split(".")

    with listening(server, last_id.format(epoch=epoch, chain=chain)) as listener:
        event = listener.event()
        server.put("b", "x")

        assert (event.kind, event.id) == ("full_sync_required", f"{epoch}.1.{chain}")
        assert listener.names(1) == ["b"]


def test_many_changes_come_in_their_order(server: TeamServer) -> None:
    with listening(server) as listener:
        server.push(*(action(f"n{number}", "x") for number in range(450)))

        assert listener.names(450) == [f"n{number}" for number in range(450)]


def test_many_listeners_hear_the_same(server: TeamServer) -> None:
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening(server)) for _ in range(50)]
        server.put("a", "x")

        assert [listener.names(1) for listener in listeners] == [["a"]] * 50


def test_what_another_process_writes_is_heard_too(tmp_path: Path) -> None:
    with serving(tmp_path, workers=2) as one, serving(tmp_path, workers=2) as two:
        for number in range(2):  # the second listener comes when there was none for a while
            with listening(one) as listener:
                two.put(f"n{number}", "x")
                assert listener.names(1) == [f"n{number}"]


def test_a_quiet_stream_says_that_it_is_there(tmp_path: Path) -> None:
    with serving(tmp_path, limits=app.Limits(rate=0, keep_alive_seconds=0.05)) as server, listening(server) as listener:
        assert listener.block() == [":"]
        assert listener.block() == [":"]


def test_streams_end_when_the_server_is_told_to_stop(server: TeamServer) -> None:
    with listening(server) as one, listening(server) as two:
        server.end_streams()

        assert one.block() == two.block() == []
    refused = server.http.get(wire.EVENTS_PATH, params={"namespace": NAMESPACE})
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]


def test_a_revoked_token_hears_nothing_more(server: TeamServer) -> None:
    listens, text = server.token(role="read")
    _, writes = server.token()
    with listening(server, token=text) as listener:
        server.put("a", "x", token=writes)
        assert listener.names(1) == ["a"]
        server.revoke(listens)
        server.put("b", "x", token=writes)

        assert listener.block() == []


def test_a_listener_without_a_token_has_to_go_when_there_is_one(tmp_path: Path) -> None:
    with serving(tmp_path, limits=app.Limits(rate=0, keep_alive_seconds=0.05)) as server, listening(server) as listener:
        server.token()

        while listener.block() == [":"]:
            pass
        assert listener.block() == []


def test_only_get_opens_a_stream(standing: TeamServer) -> None:
    assert standing.http.head(wire.EVENTS_PATH, params={"namespace": NAMESPACE}).status_code == 405
    assert standing.http.post(wire.EVENTS_PATH).status_code == 405


def test_there_is_room_for_so_many_streams(tmp_path: Path) -> None:
    """One that goes leaves its place to the next."""
    with serving(tmp_path, limits=app.Limits(rate=0, streams=1)) as server:
        with listening(server):
            assert server.http.get(wire.EVENTS_PATH, params={"namespace": NAMESPACE}).status_code == 503
        wait_until(lambda: is_taken(server))


def is_taken(server: TeamServer) -> bool:
    with server.http.stream("GET", wire.EVENTS_PATH, params={"namespace": NAMESPACE}) as response:
        return response.status_code == 200


def test_a_listener_that_never_reads_harms_nobody_and_is_given_up(tmp_path: Path) -> None:
    server = TeamServer(tmp_path / "server.db", limits=app.Limits(rate=0, streams=2, send_seconds=2))
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # what is accepted has the same
    with server, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", server.port))
        request = f"GET {wire.EVENTS_PATH}?namespace={NAMESPACE} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        slow.sendall(request.encode())
        with listening(server) as quick, ThreadPoolExecutor(1) as pool:
            heard = pool.submit(quick.names, 2000)
            for batch in range(4):
                server.push(*(action(f"n{batch}-{number}", "x") for number in range(500)))

            assert len(set(heard.result(timeout=20))) == 2000
            wait_until(lambda: is_taken(server))
