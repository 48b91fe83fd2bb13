"""The client of the socket: who is believed to be a daemon, what is said when there is none, and events that are not lost."""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cleveragents_tui import client
from daemon import protocol
from store import errors
from tests.homes import Home


@pytest.fixture
def place(home: Home) -> Path:
    """Where a socket may be put."""
    return home.root / "s"


@contextmanager
def listening(place: Path, answer: Callable[[socket.socket], None]) -> Generator[None]:
    """Something that is no daemon listens, and does `answer` with whoever comes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind(str(place))
        server.listen()

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join(5)


def running(home: Home) -> Path:
    """The socket of a real daemon."""
    return Path(home.data("daemon", "start")["socket"])


def test_nobody_there_is_told_from_everything_else(place: Path) -> None:
    """No socket, and a socket nobody listens at: starting a daemon helps."""
    with pytest.raises(client.NoDaemonError):
        client.connect(place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(str(place))
    with pytest.raises(client.NoDaemonError):
        client.connect(place)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_named_and_left_alone(place: Path, kind: str) -> None:
    """A file, a directory or a link at the socket's place is refused by name."""
    {"file": place.touch, "directory": place.mkdir, "link": lambda: place.symlink_to("elsewhere")}[kind]()

    with pytest.raises(errors.DaemonUnavailableError, match="is not a socket") as caught:
        client.connect(place)

    assert str(place) in caught.value.message
    assert not isinstance(caught.value, client.NoDaemonError)
    assert place.is_symlink() or place.exists()


def test_a_deaf_daemon_is_not_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody takes the connection and says nothing."""
    monkeypatch.setattr(protocol, "HELLO_SECONDS", 0.1)
    silent = threading.Event()

    def say_nothing(_connection: socket.socket) -> None:
        silent.wait(5)

    with listening(place, say_nothing):
        with pytest.raises(errors.DaemonUnavailableError, match="not answering"):
            client.connect(place)
        silent.set()


@pytest.mark.parametrize(
    ("difference", "word", "first"), [(1, "newer", "update this `ca`"), (-1, "older", "ca daemon restart")]
)
def test_another_protocol_is_named_with_the_way_out(place: Path, difference: int, word: str, first: str) -> None:
    """A daemon of another version is not talked to, and the message says what to do."""
    hello = protocol.Hello(protocol=protocol.PROTOCOL_VERSION + difference, version="9.9", pid=42)
    with (
        listening(place, lambda connection: connection.sendall(protocol.frame(hello))),
        pytest.raises(client.VersionSkewError, match=word) as caught,
    ):
        client.connect(place)

    assert caught.value.pid is None, "the number is not that of the process that listens: nobody is sent a signal"
    assert caught.value.suggestions[0] == first
    assert caught.value.suggestions[-1] == "ca daemon restart"


def test_garbage_and_a_hang_up_are_errors_of_ours(place: Path) -> None:
    """Whatever answers, the caller gets an error with an exit code of 5."""
    for said in (b"\0\0\0\x02\xff\xff", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0", b""):
        place.unlink(missing_ok=True)
        with (
            listening(place, lambda connection, said=said: connection.sendall(said)),
            pytest.raises(errors.CleverAgentsError) as caught,
        ):
            client.connect(place)
        assert caught.value.exit_code == 5, said


def test_no_autostart_is_respected(home: Home) -> None:
    """The daemon is not started, and the error says why and how."""
    error = home.error("plan", "list", code=5, env={"CLEVERAGENTS_NO_AUTOSTART": "1"})

    assert error["code"] == "daemon_unavailable"
    assert error["suggestions"] == ["ca daemon start"]
    assert not home.data("daemon", "status")["running"]


def test_the_first_command_starts_the_daemon_and_says_so_once(home: Home) -> None:
    """One line on stderr, the first time only."""
    first, second = home.run("plan", "list"), home.run("plan", "list")

    assert first.err.startswith("started the daemon (pid ")
    assert not second.err


def test_answers_may_come_in_any_order(home: Home) -> None:
    """What is asked later may be answered first."""
    connection = client.connect(running(home))
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()

    waiting = connection.ask(protocol.PlanWait(plan=plan))
    assert connection.call(protocol.Ping()) == "pong"
    assert not waiting.ready
    gate.open()

    assert waiting.result(20).state == "complete"
    connection.close()


def test_a_refusal_is_raised_as_it_was_meant(home: Home) -> None:
    """Code, exit code and suggestions come through the socket."""
    connection = client.connect(running(home))

    with pytest.raises(errors.NotFoundError) as caught:
        connection.call(protocol.PlanShow(plan="nonesuch"))

    assert caught.value.suggestions
    connection.close()


def test_events_since_the_beginning_are_replayed_and_go_on(home: Home) -> None:
    """A subscriber that gives its last number misses nothing, and gets nothing twice."""
    path = running(home)
    home.repository()
    connection = client.connect(path)
    connection.subscribe(since=0)
    home.repository()

    seen: list[int] = []
    while len(seen) < 2:
        seen += [event.seq for event in connection.events()]
        assert len(seen) > 1 or connection.receive(10)

    assert seen == sorted(set(seen))
    assert seen[0] == 1
    connection.close()


def test_a_subscriber_that_was_too_slow_fetches_what_it_missed(home: Home) -> None:
    """Told to catch up, the client reads the events from the store and subscribes again: each event once, in order."""
    path = running(home)
    big = home.action("true", description="x" * 20_000)
    slow, busy = client.connect(path), client.connect(path)
    slow.subscribe(since=0)
    unread = [slow.ask(protocol.ActionShow(action=big)) for _ in range(64)]
    busy.call(protocol.Ping())
    for number in range(30):
        change(busy, number)

    seen: list[int] = []
    while len(seen) < 31:
        assert slow.receive(20)
        seen += [event.seq for event in slow.events()]
    change(busy, 30)
    while len(seen) < 32:
        assert slow.receive(20)
        seen += [event.seq for event in slow.events()]

    assert seen == list(range(1, 33))
    assert all(answer.ready for answer in unread)
    slow.close()
    busy.close()


def change(connection: client.Client, number: int) -> None:
    content = b'{"name": "a", "steps": [{"id": "s", "run": "echo %d"}]}' % number
    connection.call(protocol.ActionCreate(content=content, source="x", update=True))


def test_a_daemon_that_goes_is_a_lost_connection(home: Home) -> None:
    """Waiting for an answer ends when the other end is gone."""
    connection = client.connect(running(home))
    home.run("daemon", "stop")

    with pytest.raises(client.ConnectionLostError):
        connection.call(protocol.Ping())
    connection.close()


def test_what_is_not_utf_8_is_refused_before_it_is_sent(home: Home) -> None:
    """A plan whose name is no text cannot exist; the message shows its bytes."""
    error = home.error("plan", "show", b"\xff\xfe".decode(errors="surrogateescape"), code=2)

    assert error["code"] == "invalid_argument"
    assert "\\xff\\xfe" in error["message"]


def test_a_command_that_waits_survives_the_death_of_the_daemon(home: Home) -> None:
    """`kill -9`: the next daemon adopts the step, and the wait ends as if nothing had happened."""
    gate = home.gate()
    plan = home.use(home.action(gate.command, "echo x > new.txt"), home.repository(), code=None)
    gate.wait()
    with home.spawn("plan", "wait", plan, "--format", "json") as waiting:
        pid = home.data("daemon", "status")["pid"]
        os.kill(pid, signal.SIGKILL)
        gate.open()
        out, err = waiting.communicate(timeout=30)

    assert (waiting.returncode, json.loads(out)["data"]["state"]) == (0, "complete"), err


def test_following_events_goes_on_over_a_restart(home: Home) -> None:
    """A subscriber that reconnects with its last number misses nothing, and gets nothing twice."""
    running(home)
    with home.spawn("events", "--follow", "--since", "0", "--format", "json") as following:
        home.repository()
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())["seq"]  # it listens, so it is the one that has to come back
        home.run("daemon", "restart")
        home.repository()
        second = json.loads(following.stdout.readline())["seq"]
        done = following.interrupt()

    assert first < second
    assert (done.code, done.err) == (130, "")


def test_ctrl_c_says_that_the_plan_goes_on(home: Home) -> None:
    """Whoever stops watching is told how to stop the plan, and programs get a document all the same."""
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    with home.spawn("plan", "follow", plan, "--format", "json") as waiting:
        assert waiting.stderr is not None
        first = waiting.stderr.readline().decode()  # it has seen the plan, so it waits
        done = waiting.interrupt()

    assert plan in first
    assert done.code == 130
    assert json.loads(done.out)["exit_code"] == 130
    assert f"ca plan cancel {plan}" in done.err
    gate.open()
