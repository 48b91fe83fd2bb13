"""The socket: what it takes, what it refuses, and that nobody on it can hold up the others."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import psutil
import pytest

from daemon import haste, listener, protocol
from daemon.calls import Call, Handler
from daemon.calls import Daemon as Serving
from store import errors, paths
from store.clock import Clock
from store.version import VERSION
from tests import daemons
from tests.waiting import wait_until

PING = protocol.Ping()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[daemons.Home]:
    with daemons.temporary_home(tmp_path / "h") as made:
        yield made


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[daemons.Home]:
    """One daemon for the tests that only talk; each of them leaves it as good as it was."""
    with daemons.temporary_home(tmp_path_factory.mktemp("served") / "h") as made:
        made.start()
        yield made


def check_served(home: daemons.Home) -> None:
    """The daemon answers others as if nothing had happened."""
    with home.wire() as wire:
        assert wire.call(PING) == "pong"


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


def pack(document: Any) -> bytes:
    return framed(msgspec.msgpack.encode(document))


HELLO = {"type": "hello", "protocol": protocol.PROTOCOL_VERSION, "version": "x", "pid": 1}
ASK = {"type": "ask", "id": 1, "request": {"type": "ping"}}


def refusal(home: daemons.Home, data: bytes, *, hello: bool = True) -> protocol.Failure:
    """What the daemon says to these bytes before it hangs up."""
    with home.wire(hello=hello) as wire:
        with contextlib.suppress(ConnectionError):
            wire.raw(data)
        (failure,) = [message for message in wire.until_closed() if not isinstance(message, protocol.Hello)]
    assert isinstance(failure, protocol.Failure)
    return failure


# --- the hello ---------------------------------------------------------------------------------------------------------


def test_the_hello_names_version_protocol_and_process(served: daemons.Home) -> None:
    with served.wire(hello=False) as wire:
        wire.send(daemons.HELLO)
        hello = wire.receive()

    assert isinstance(hello, protocol.Hello)
    assert (hello.protocol, hello.version, hello.draining) == (protocol.PROTOCOL_VERSION, VERSION, False)
    assert psutil.Process(hello.pid).is_running()


def test_another_protocol_is_told_ours_and_refused(served: daemons.Home) -> None:
    """The client learns which daemon it met, so that it can say what to do."""
    with served.wire(hello=False) as wire:
        wire.raw(pack({**HELLO, "protocol": 99}))
        hello, failure = wire.until_closed()

    assert isinstance(hello, protocol.Hello)
    assert isinstance(failure, protocol.Failure)
    assert failure.code == "protocol_error"
    check_served(served)


def test_a_request_before_the_hello_is_refused(served: daemons.Home) -> None:
    assert refusal(served, pack(ASK), hello=False).code == "protocol_error"
    check_served(served)


def test_who_does_not_finish_its_hello_is_cut_off(served: daemons.Home) -> None:
    """After the seconds that a hello may take: who says nothing, and who says it one byte at a time."""
    whole = pack(HELLO)
    with served.wire(hello=False) as silent, served.wire(hello=False) as slow:
        silent.socket.settimeout(0.4)
        ended: list[protocol.FromDaemon] = []
        for byte in whole[:-1]:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                slow.raw(bytes([byte]))
            with contextlib.suppress(TimeoutError):
                ended += silent.until_closed()
                break
        ended += slow.until_closed()

    assert len(ended) == 2
    for failure in ended:
        assert isinstance(failure, protocol.Failure)
        assert "no hello" in failure.message


# --- frames ------------------------------------------------------------------------------------------------------------


BODIES: dict[str, bytes] = {
    "longest length": struct.pack(">I", 2**32 - 1),
    "one byte over the limit": struct.pack(">I", protocol.REQUEST_LIMIT + 1),
    "length nought": struct.pack(">I", 0),
    "not msgpack": struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1",
    "trailing bytes": struct.pack(">I", len(pack(ASK))) + pack(ASK)[4:] + b"\0\0\0\0",
    "a number": pack(7),
    "nothing": pack(None),
    "no tag": pack({"id": 1}),
    "an unknown tag": pack({"type": "dance"}),
    "an answer": pack({"type": "reply", "id": 1, "data": None}),
    "an unknown request": pack({"type": "ask", "id": 1, "request": {"type": "plan.dance"}}),
    "an unknown field": pack({**ASK, "extra": 1}),
    "an unknown field of a request": pack({"type": "ask", "id": 1, "request": {"type": "ping", "x": 1}}),
    "a wrong type": pack({**ASK, "id": "one"}),
    "a missing field": pack({"type": "ask", "id": 1, "request": {"type": "plan.show"}}),
    "a huge number": pack({**ASK, "id": 2**64 - 1}),
    "text that is not UTF-8": pack({"type": "ask", "id": 1, "request": {"type": "plan.show", "plan": "@@"}}).replace(
        b"@@", b"\xff\xfe"
    ),
    "deep nesting": framed(b"\x91" * 100_000 + b"\x90"),
    "deep nesting in a field": framed(b"\x82\xa4type\xa3ask\xa2id" + b"\x91" * 100_000 + b"\x01"),
    "a second hello of another protocol": pack({**HELLO, "protocol": 2}),
}


@pytest.mark.parametrize("name", [name for name in BODIES if name != "a second hello of another protocol"])
def test_a_bad_frame_is_a_typed_error_then_the_end(served: daemons.Home, name: str) -> None:
    """Only that connection closes; the others are served."""
    if name == "a huge number":
        with served.wire() as wire:
            wire.raw(BODIES[name])
            answer = wire.receive()
        assert isinstance(answer, protocol.Reply | protocol.Failure)
    else:
        failure = refusal(served, BODIES[name])
        assert (failure.id, failure.code) == (0, "protocol_error")
    check_served(served)


def test_good_requests_before_a_bad_frame_are_answered(served: daemons.Home) -> None:
    with served.wire() as wire:
        wire.raw(pack(ASK))
        first = wire.receive()
        wire.raw(pack({"type": "dance"}))
        (last,) = wire.until_closed()

    assert isinstance(first, protocol.Reply)
    assert isinstance(last, protocol.Failure)


def test_a_frame_cut_at_every_byte_harms_nobody(served: daemons.Home) -> None:
    """The client is gone in the middle of a header or a body; what was whole before it was answered."""
    whole = pack(HELLO) + pack(ASK)
    for cut in range(len(whole)):
        with served.wire(hello=False) as wire:
            wire.raw(whole[:cut])
    check_served(served)


def test_one_byte_at_a_time_is_a_frame_in_the_end(served: daemons.Home) -> None:
    with served.wire(hello=False) as wire:
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for byte in pack(HELLO) + pack(ASK):
            wire.raw(bytes([byte]))
        hello, answer = wire.receive(), wire.receive()

    assert isinstance(hello, protocol.Hello)
    assert isinstance(answer, protocol.Reply)


def test_many_frames_in_one_write_are_all_answered(served: daemons.Home) -> None:
    with served.wire() as wire:
        wire.raw(b"".join(pack({**ASK, "id": number}) for number in range(500)))
        answers = [wire.receive() for _ in range(500)]

    assert {answer.id for answer in answers if isinstance(answer, protocol.Reply)} == set(range(500))


def test_the_longest_request_is_read(served: daemons.Home) -> None:
    """8 MiB of a request are read; that its content is no good is an answer, not the end of the connection."""
    room = protocol.REQUEST_LIMIT - 200
    with served.wire() as wire, pytest.raises(errors.CleverAgentsError):
        wire.call(protocol.ActionValidate(content=b"#" * room, source="x"))
    check_served(served)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (protocol.PlanShow(plan="nothing-like-it"), "not_found"),
        (protocol.PlanShow(plan=""), "not_found"),
        (protocol.JobShow(job="01ZZZZZZ"), "not_found"),
        (protocol.ActionCreate(content=b"\xff\xfe", source="x"), "invalid_action"),
        (protocol.ProjectAdd(path="/nowhere/at/all"), "not_found"),
        (protocol.PlanUse(action="no", projects=[]), "not_found"),
        (protocol.PlanDiff(plan="no"), "not_found"),
        (protocol.Subscribe(plan="no"), "not_found"),
    ],
)
def test_what_cannot_be_done_is_that_requests_failure(
    served: daemons.Home, request_: protocol.Request[Any], code: str
) -> None:
    """The connection goes on."""
    with served.wire() as wire:
        with pytest.raises(errors.CleverAgentsError) as caught:
            wire.call(request_)
        assert caught.value.code == code
        assert wire.call(PING) == "pong"


@pytest.mark.parametrize(
    "request_",
    [
        protocol.PlanList(limit=-(2**63)),
        protocol.PlanList(limit=2**63 - 1),
        protocol.EventList(since=-(2**63), limit=2**62),
        protocol.Status(limit=-1),
        protocol.Status(limit=0),
        protocol.JobList(status="\0"),
        protocol.PlanList(phase="'; DROP TABLE plans; --"),
        protocol.ProjectAdd(path="\0"),
        protocol.ProjectAdd(path="relative"),
        protocol.ActionValidate(content=b"\0" * 100, source="\0"),
    ],
)
def test_odd_values_are_answered_and_are_no_defect(served: daemons.Home, request_: protocol.Request[Any]) -> None:
    """An answer or a refusal; never `internal`."""
    with served.wire() as wire:
        wire.ask(request_)
        answer = wire.receive()
    assert isinstance(answer, protocol.Reply) or (isinstance(answer, protocol.Failure) and answer.code != "internal")
    check_served(served)


def test_number_that_the_store_cannot_hold_is_refused(home: daemons.Home) -> None:
    """It is the client's mistake: no defect is told to anybody, and nothing is logged."""
    daemon = home.start()
    for limit in (2**63, 2**64 - 1):
        with pytest.raises(errors.InvalidArgumentError, match="too large"):
            daemon.ask(protocol.EventList(since=limit))

    assert "OverflowError" not in home.log()


# --- slow and many -----------------------------------------------------------------------------------------------------


def memory_of(home: daemons.Home) -> int:
    info = msgspec.json.decode(home.paths.pid_file.read_bytes())
    return psutil.Process(info["pid"]).memory_info().rss


def test_a_client_that_never_reads_is_not_read_from(served: daemons.Home) -> None:
    """It blocks itself; the daemon's memory does not grow with it, and others are served."""
    before = memory_of(served)
    with served.wire() as deaf:
        deaf.socket.settimeout(0.5)
        frames = b"".join(pack({"type": "ask", "id": 1, "request": {"type": "diagnostics"}}) for _ in range(1000))
        with pytest.raises(TimeoutError):
            deaf.raw(frames * 500)
        check_served(served)
        assert memory_of(served) - before < 64 * 1024**2
    check_served(served)


def test_two_hundred_connections_at_once_are_served(served: daemons.Home) -> None:
    wires: list[daemons.Wire] = []
    try:
        for _ in range(200):
            wires.append(served.wire())  # noqa: PERF401  those that are open are closed even when one fails
        ids = [wire.ask(PING) for wire in wires]
        answers = [wire.receive() for wire in wires]
    finally:
        for wire in wires:
            wire.socket.close()

    assert ids == [1] * 200
    assert all(isinstance(answer, protocol.Reply) for answer in answers)


def test_more_connections_than_there_is_room_for_are_told_so(home: daemons.Home) -> None:
    """Those who are there are served, and when one leaves another one may come; the daemon keeps files for its own use."""
    home.start()
    wires: list[daemons.Wire] = []
    answers: list[protocol.FromDaemon] = []
    with contextlib.ExitStack() as stack:
        while not answers or isinstance(answers[-1], protocol.Hello):
            wires.append(stack.enter_context(home.wire(hello=False)))
            with contextlib.suppress(ConnectionError):  # it may have been refused before it said a word
                wires[-1].send(daemons.HELLO)
            answers.append(wires[-1].receive())

        assert 200 <= len(wires) <= listener.CONNECTIONS + 1
        assert isinstance(answers[-1], protocol.Failure)
        assert "connections already" in answers[-1].message
        assert {wire.call(PING) for wire in wires[:-1]} == {"pong"}
        wires[0].socket.close()
        assert wait_until(lambda: is_served(home))


def is_served(home: daemons.Home) -> bool:
    try:
        check_served(home)
    except (AssertionError, daemons.ConnectionEnded, OSError):
        return False
    return True


def test_two_hundred_clients_that_come_at_the_same_moment_are_served(served: daemons.Home) -> None:
    """None is refused by a full backlog."""
    barrier = threading.Barrier(200)
    answers: list[str] = []

    def come() -> None:
        barrier.wait(daemons.SECONDS)
        with served.wire() as wire:
            answers.append(wire.call(PING))

    threads = [threading.Thread(target=come) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == ["pong"] * 200


def test_a_slow_request_holds_up_no_other(served: daemons.Home) -> None:
    """Answers come as they are ready, by id, on one connection."""
    with served.wire() as wire:
        slow = wire.ask(protocol.Subscribe())
        assert isinstance(wire.receive(), protocol.Reply)
        quick = wire.ask(PING)
        answer = wire.receive()

    assert isinstance(answer, protocol.Reply)
    assert (slow, answer.id) == (1, quick)


def test_a_subscriber_gets_every_event_in_order(home: daemons.Home, tmp_path: Path) -> None:
    """From the store what is past, from the feed what comes, nothing twice and nothing missed."""
    daemon = home.start()
    for number in range(5):
        add_folder(daemon, tmp_path / f"f{number}")
    with home.wire() as wire:
        wire.ask(protocol.Subscribe(since=2))
        for number in range(5, 10):
            add_folder(daemon, tmp_path / f"f{number}")
        messages = [wire.receive() for _ in range(9)]

    assert isinstance(messages[0], protocol.Reply)
    assert [m.event.seq for m in messages if isinstance(m, protocol.Notice)] == list(range(3, 11))


def test_a_subscriber_whose_replay_is_cut_gets_nothing_more_until_it_caught_up(
    home: daemons.Home, tmp_path: Path
) -> None:
    """What comes next would otherwise hide from it that something is missing in between."""
    daemon = home.start()
    add_folder(daemon, tmp_path / "f")
    daemon.kill()
    fill_events(home, 900, {"text": "x" * 2000})
    daemon = home.start()
    with home.wire() as slow:
        slow.ask(protocol.Subscribe(since=0))
        check_served(home)  # the daemon has answered, as far as it could
        add_folder(daemon, tmp_path / "f2")
        *sent, catch_up = iter_until(slow, protocol.CatchUp)
        add_folder(daemon, tmp_path / "f3")
        asked = slow.ask(PING)
        answer = slow.receive()

    seen = [message.event.seq for message in sent if isinstance(message, protocol.Notice)]
    assert seen == list(range(1, len(seen) + 1))
    assert isinstance(catch_up, protocol.CatchUp)
    assert catch_up.seq == len(seen) < 900
    assert isinstance(answer, protocol.Reply)
    assert answer.id == asked


def test_a_subscriber_in_the_middle_of_commits_is_told_each_once(home: daemons.Home) -> None:
    """Whether its subscription found an event in the store or was there when it was committed."""
    home.start()
    with home.wire() as busy, home.wire() as subscriber:
        for round_ in range(20):
            for number in range(10):
                content = b'{"name": "a", "steps": [{"id": "s", "run": "echo %d %d"}]}' % (round_, number)
                busy.ask(protocol.ActionCreate(content=content, source="x", update=True))
            subscriber.ask(protocol.Subscribe(since=0))
            for _ in range(10):
                assert isinstance(busy.receive(), protocol.Reply)
            last = subscriber.ask(PING)
            told: list[int] = []
            while not isinstance(message := subscriber.receive(), protocol.Reply) or message.id != last:
                if isinstance(message, protocol.Notice):
                    told.append(message.event.seq)
                else:  # the answer to the subscription; what came before it is of the one before
                    told.clear()

            assert told == list(range(1, 10 * (round_ + 1) + 1))


def add_folder(daemon: daemons.Daemon, path: Path) -> None:
    path.mkdir()
    daemons.add_project(daemon, path)


def test_a_subscriber_that_is_far_behind_is_sent_to_the_store(home: daemons.Home, tmp_path: Path) -> None:
    daemon = home.start()
    add_folder(daemon, tmp_path / "f")
    daemon.kill()
    fill_events(home, 2000, {})
    home.start()
    with home.wire() as wire:
        wire.ask(protocol.Subscribe(since=0))
        reply, catch_up = wire.receive(), wire.receive()
        page = wire.call(protocol.EventList(since=0, limit=5))

    assert isinstance(reply, protocol.Reply)
    assert isinstance(catch_up, protocol.CatchUp)
    assert catch_up.seq == 0
    assert [event.seq for event in page.events] == [1, 2, 3, 4, 5]


def fill_events(home: daemons.Home, count: int, detail: dict[str, str]) -> None:
    connection = daemons.raw_store(home)
    connection.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?)"
        " INSERT INTO events (time, kind, detail_json) SELECT ?, 'filler', ? FROM n",
        (count, Clock().now(), json.dumps(detail)),
    )
    connection.close()


def test_a_subscriber_that_does_not_read_slows_nobody(home: daemons.Home, tmp_path: Path) -> None:
    """It is told to catch up when it reads again."""
    daemon = home.start()
    add_folder(daemon, tmp_path / "f")
    with home.wire() as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.ask(protocol.Subscribe())
        assert isinstance(deaf.receive(), protocol.Reply)
        with home.wire() as busy:
            for round_ in range(80):
                for number in range(50):
                    action = b'{"name": "a", "steps": [{"id": "s", "run": "echo %d %d"}]}' % (round_, number)
                    busy.ask(protocol.ActionCreate(content=action, source="x", update=True))
                for _ in range(50):
                    assert isinstance(busy.receive(), protocol.Reply)
        kinds = {type(message) for message in iter_until(deaf, protocol.CatchUp)}

    assert protocol.CatchUp in kinds


def iter_until(wire: daemons.Wire, kind: type[protocol.Message]) -> list[protocol.FromDaemon]:
    found: list[protocol.FromDaemon] = []
    while not found or not isinstance(found[-1], kind):
        found.append(wire.receive())
    return found


def test_a_daemon_that_dies_in_mid_reply_is_a_lost_connection(home: daemons.Home) -> None:
    """The client has a part of the answers, knows that it is a part, and the next daemon serves it."""
    daemon = home.start()
    with home.wire() as wire:
        wire.raw(b"".join(pack({"type": "ask", "id": n, "request": {"type": "diagnostics"}}) for n in range(500)))
        first = wire.receive()
        daemon.kill()
        rest = wire.until_closed()

    assert isinstance(first, protocol.Reply)
    assert len(rest) < 499
    assert home.start().ask(PING) == "pong"


def test_an_answer_that_a_crash_swallowed_was_durable(home: daemons.Home) -> None:
    """The daemon died after the commit and before the reply: what was asked for is there."""
    daemon = home.start(crash_at="store.after-commit:9")
    made = 0
    while daemon.try_ask(protocol.ActionCreate(content=numbered(made), source="x")) is not None:
        made += 1
    assert daemon.died_of_crash()

    assert home.start().ask(protocol.ActionList()).total == made + 1


def numbered(number: int) -> bytes:
    return b'{"name": "a%d", "steps": [{"id": "s", "run": "x"}]}' % number


def test_a_waiter_that_hangs_up_is_forgotten(home: daemons.Home) -> None:
    """Its request ends with it; the daemon can stop at once."""
    daemon = home.start()
    daemons.add_action(daemon, "work", ["true"])
    for _ in range(50):
        with home.wire() as wire:
            wire.ask(protocol.Subscribe())
    daemon.stop()


def test_a_frame_that_is_never_finished_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was whole before it was answered."""
    monkeypatch.setattr(listener, "FRAME_SECONDS", 0.2)

    async def scene() -> list[protocol.FromDaemon]:
        made, _ = bound(tmp_path / "s")
        await made.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(pack(HELLO) + pack(HELLO)[:-1])
        said = await reader.read()
        writer.close()
        await made.close()
        return decoded(said)

    hello, failure = asyncio.run(scene())

    assert isinstance(hello, protocol.Hello)
    assert isinstance(failure, protocol.Failure)
    assert "not sent whole" in failure.message


def decoded(data: bytes) -> list[protocol.FromDaemon]:
    found: list[protocol.FromDaemon] = []
    while data:
        end = protocol.HEADER + protocol.length(data[: protocol.HEADER], protocol.REPLY_LIMIT)
        found.append(protocol.decode_answer(data[protocol.HEADER : end]))
        data = data[end:]
    return found


# --- what is answered at once, and what is not --------------------------------------------------------------------------


async def receive(reader: asyncio.StreamReader) -> protocol.FromDaemon:
    size = protocol.length(await reader.readexactly(protocol.HEADER), protocol.REPLY_LIMIT)
    return protocol.decode_answer(await reader.readexactly(size))


async def greeted(path: Path) -> None:
    """Somebody else comes, and is served."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(pack(HELLO))
    assert isinstance(await receive(reader), protocol.Hello)
    writer.close()


def questions(count: int) -> bytes:
    return b"".join(pack({**ASK, "id": number}) for number in range(count))


def fail_at_once(_call: Call, _request: protocol.Ping) -> str:
    raise KeyError("a defect")


async def fail_later(_call: Call, _request: protocol.Ping) -> str:
    raise KeyError("a defect")


@pytest.mark.parametrize("ping", [fail_at_once, fail_later])
def test_a_defect_is_one_requests_failure_and_logged(
    tmp_path: Path, ping: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    """With where it happened; the connection goes on."""

    async def scene() -> list[protocol.FromDaemon]:
        made, _ = bound(tmp_path / "s", ping)
        await made.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(pack(HELLO) + questions(2))
        said = [await receive(reader) for _ in range(3)]
        writer.close()
        await made.close()
        return said

    _, *failures = asyncio.run(scene())

    assert [failure.id for failure in failures if isinstance(failure, protocol.Failure)] == [0, 1]
    assert {failure.code for failure in failures if isinstance(failure, protocol.Failure)} == {"internal"}
    assert "fail_" in caplog.text


def test_a_client_that_does_not_read_is_owed_few_answers(tmp_path: Path) -> None:
    """However many it asked for in one breath; it gets all of them when it reads."""
    owed = most = 0

    def answer(_call: Call, _request: protocol.Ping) -> str:
        nonlocal owed, most
        owed += 1
        most = max(owed, most)
        return "x" * 1024**2

    async def scene() -> list[int]:
        nonlocal owed
        made, _ = bound(tmp_path / "s", answer)
        await made.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(pack(HELLO) + questions(300))
        await receive(reader)
        ids: list[int] = []
        for _ in range(300):
            message = await receive(reader)
            assert isinstance(message, protocol.Reply)
            ids.append(message.id)
            owed -= 1
        writer.close()
        await made.close()
        return ids

    assert asyncio.run(scene()) == list(range(300))
    assert most < 8


def test_so_many_requests_of_one_client_are_worked_on_and_no_more(tmp_path: Path) -> None:
    """What it asked beyond that begins when something ends."""
    begun = most = 0

    async def scene() -> set[int]:
        full, released = asyncio.Event(), asyncio.Event()

        async def work(_call: Call, _request: protocol.Ping) -> str:
            nonlocal begun, most
            begun += 1
            most = max(begun, most)
            if begun == listener.IN_FLIGHT:
                full.set()
            await released.wait()
            begun -= 1
            return "done"

        made, _ = bound(tmp_path / "s", work)
        await made.open()
        reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
        writer.write(pack(HELLO) + questions(200))
        await receive(reader)
        await full.wait()
        await greeted(tmp_path / "s")
        released.set()
        answers = [await receive(reader) for _ in range(200)]
        writer.close()
        await made.close()
        return {answer.id for answer in answers if isinstance(answer, protocol.Reply)}

    assert asyncio.run(scene()) == set(range(200))
    assert most == listener.IN_FLIGHT


def test_one_who_asks_in_a_row_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if it is awaited each time: timers fire, others come and are answered, it is answered itself to the end."""
    monkeypatch.setattr(haste, "WINDOW", 1000.0)
    path = tmp_path / "s"
    stop = threading.Event()
    rounds = 0
    hundred = asyncio.Event()

    def answer(_call: Call, _request: protocol.Ping) -> str:
        nonlocal rounds
        rounds += 1
        if rounds % 100 == 0:
            hundred.set()
        return "pong"

    def ask_in_a_row() -> None:
        with daemons.Wire(path) as wire:
            while not stop.is_set():
                assert wire.call(PING) == "pong"

    async def scene() -> None:
        made, _ = bound(path, answer)
        await made.open()
        asking = asyncio.create_task(asyncio.to_thread(ask_in_a_row))
        for _ in range(3):
            hundred.clear()
            await hundred.wait()
            timer = asyncio.Event()
            asyncio.get_running_loop().call_later(0.001, timer.set)
            await timer.wait()
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(pack(HELLO) + questions(1))
            assert isinstance(await receive(reader), protocol.Hello)
            assert isinstance(await receive(reader), protocol.Reply)
            writer.close()
        stop.set()
        await asking
        await made.close()

    asyncio.run(scene())


def test_one_who_asks_in_a_row_is_awaited_beside_others_that_only_listen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two answers in one turn of the loop: the second question was taken where it was awaited."""
    monkeypatch.setattr(haste, "WINDOW", 1000.0)
    path = tmp_path / "s"
    awaited = threading.Event()
    turns = 0
    last = -1

    def answer(_call: Call, _request: protocol.Ping) -> str:
        nonlocal last
        if turns == last:
            awaited.set()
        last = turns
        return "pong"

    def ask_in_a_row() -> bool:
        with daemons.Wire(path) as wire:
            return any(wire.call(PING) == "pong" and awaited.is_set() for _ in range(100_000))

    async def scene() -> bool:
        made, _ = bound(path, answer)
        await made.open()
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(pack(HELLO))
        assert isinstance(await receive(reader), protocol.Hello)

        def turn() -> None:
            nonlocal turns, handle
            turns += 1
            handle = loop.call_soon(turn)

        loop = asyncio.get_running_loop()
        handle = loop.call_soon(turn)
        try:
            return await asyncio.to_thread(ask_in_a_row)
        finally:
            handle.cancel()
            writer.close()
            await made.close()

    assert asyncio.run(scene())


def test_a_cancel_whose_plan_never_comes_to_rest_keeps_no_daemon_from_ending(tmp_path: Path) -> None:
    """Whether or not somebody still waits for it: it is in the store, and the next daemon's matter."""

    async def scene() -> None:
        begun = asyncio.Event()

        async def work(_call: Call, _request: protocol.PlanCancel) -> None:
            begun.set()
            await asyncio.Event().wait()

        made, _ = bound(tmp_path / "s")
        made.handlers = {protocol.PlanCancel: work}
        await made.open()
        writers: list[asyncio.StreamWriter] = []
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "s"))
            writers.append(writer)
            writer.write(pack(HELLO) + pack({**ASK, "request": {"type": "plan.cancel", "plan": "p"}}))
            await receive(reader)
            await begun.wait()
            begun.clear()
        writers.pop().close()
        async with asyncio.timeout(20):
            await made.close()
        writers.pop().close()

    asyncio.run(scene())


# --- its place ---------------------------------------------------------------------------------------------------------


def test_the_socket_is_the_users_own(home: daemons.Home) -> None:
    home.start()

    assert stat.S_IMODE(home.paths.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.paths.run.stat().st_mode) == 0o700
    for directory in (home.paths.data, home.paths.state, home.paths.config, home.paths.logs, home.paths.jobs):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in (home.paths.database, home.paths.pid_file, home.paths.lock_file, home.paths.daemon_log):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def as_nobody(path: Path) -> str:
    """What another user's process gets out of the socket; it is let through the directories."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with daemons.Wire(path, hello=False) as wire:
                wire.send(daemons.HELLO)
                said = " ".join(
                    message.code if isinstance(message, protocol.Failure) else type(message).__name__
                    for message in wire.until_closed()
                )
        except BaseException as error:  # noqa: BLE001  a child that must not run on
            said = type(error).__name__
        finally:
            os.write(write, said.encode())
            os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_is_refused_even_with_an_open_door() -> None:
    """The modes keep others out; when they are wrong, the uid of the peer still does."""
    with tempfile.TemporaryDirectory() as root, daemons.temporary_home(Path(root) / "h") as home:
        Path(root).chmod(0o755)
        daemon = home.start()
        assert as_nobody(home.paths.socket) == "PermissionError"

        home.root.chmod(0o755)
        home.paths.run.chmod(0o755)
        home.paths.socket.chmod(0o666)
        assert as_nobody(home.paths.socket) in {"permission_denied", "BrokenPipeError", "ConnectionResetError"}
        assert daemon.ask(PING) == "pong"


def bound(path: Path, ping: Handler = lambda _call, _request: "pong") -> tuple[listener.Listener, Callable[[], None]]:
    """A listener at this place, in this process, without a daemon behind it."""
    where = cast("paths.Paths", SimpleNamespace(socket=path, create=lambda: None))
    serving = cast("Serving", SimpleNamespace(paths=where, draining=False, version="x"))
    made = listener.Listener(serving, {protocol.Ping: ping})
    return made, lambda: path.unlink(missing_ok=True)


def test_a_socket_that_was_removed_is_bound_again(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def scene() -> None:
        made, remove = bound(path)
        await made.open()
        before = path.stat().st_ino
        await made.reopen_if_gone()
        assert path.stat().st_ino == before
        remove()
        await made.reopen_if_gone()
        assert stat.S_ISSOCK(path.lstat().st_mode)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(protocol.frame(daemons.HELLO))
        assert (await reader.readexactly(4)) != b""
        writer.close()
        await made.close()
        assert not path.exists()

    asyncio.run(scene())


def make_file(path: Path) -> None:
    path.write_text("mine")


def make_directory(path: Path) -> None:
    path.mkdir()
    (path / "kept").write_text("mine")


def make_link(path: Path) -> None:
    (path.parent / "target").write_text("mine")
    path.symlink_to(path.parent / "target")


def make_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


THINGS = [make_file, make_directory, make_link, make_dangling_link, make_pipe]


def fingerprint(path: Path) -> tuple[int, int, int, list[str]]:
    found = path.lstat()
    inside = sorted(entry.name for entry in path.iterdir()) if stat.S_ISDIR(found.st_mode) else []
    return found.st_ino, found.st_mode, found.st_size, inside


@pytest.mark.parametrize("make", THINGS, ids=lambda make: make.__name__)
def test_what_is_not_our_socket_is_refused_by_name_and_kept(home: daemons.Home, make: Callable[[Path], None]) -> None:
    """The start says what is in the way; nothing of it is touched."""
    home.paths.create()
    make(home.paths.socket)
    before = fingerprint(home.paths.socket)

    word = home.launch().first_word()
    command = home.ca("status")

    assert str(home.paths.socket) in word["error"]
    assert command.returncode == 5
    assert str(home.paths.socket) in command.stderr
    assert fingerprint(home.paths.socket) == before


@pytest.mark.parametrize("make", THINGS, ids=lambda make: make.__name__)
def test_what_took_the_place_of_the_socket_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A running daemon whose socket somebody replaced neither removes the thing nor dies of it."""
    path = tmp_path / "s"

    async def scene() -> None:
        made, remove = bound(path)
        await made.open()
        remove()
        make(path)
        before = fingerprint(path)
        await made.reopen_if_gone()
        assert fingerprint(path) == before
        await made.close()
        assert fingerprint(path) == before

    asyncio.run(scene())


def test_a_stale_socket_is_replaced(home: daemons.Home) -> None:
    """What a killed daemon left is nobody's."""
    first = home.start()
    first.kill()
    assert stat.S_ISSOCK(home.paths.socket.lstat().st_mode)

    assert home.start().ask(PING) == "pong"


def test_a_long_home_gets_a_short_socket(tmp_path: Path) -> None:
    """The path would not fit into a socket's address; a private short one is used and reported."""
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "h"
    deep.parent.mkdir(parents=True)
    with daemons.temporary_home(deep) as home:
        daemon = home.start()
        view = daemon.ask(protocol.DaemonStatus())

        assert view.socket == str(home.paths.socket)
        assert len(os.fsencode(view.socket)) <= paths.SOCKET_PATH_LIMIT
        assert stat.S_IMODE(home.paths.socket.parent.stat().st_mode) == 0o700
        daemon.stop()
        home.paths.socket.parent.rmdir()


def test_the_end_hangs_up_on_everybody(home: daemons.Home) -> None:
    """Subscribers and waiters learn of it at once."""
    daemon = home.start()
    with home.wire() as wire:
        wire.ask(protocol.Subscribe())
        wire.receive()
        daemon.process.send_signal(signal.SIGTERM)
        wire.until_closed()
    assert daemon.wait_end() == 0
    wait_until(lambda: not home.paths.socket.exists())
