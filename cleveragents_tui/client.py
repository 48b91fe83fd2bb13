"""The blocking client of the daemon's socket: connect, say hello, ask, be told of events; start the daemon when there is none.

Whether a daemon that does not answer is down, deaf, foreign or of another version is decided here and only here.
"""

import contextlib
import errno
import os
import socket
import stat
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from cleveragents_tui.wording import printable
from daemon import peers, protocol, views
from store import errors
from store.version import VERSION

REQUEST_SECONDS = 60.0
"""How long an ordinary request may take."""
CATCH_UP_PAGE = 1000

_ABSENT = {errno.ENOENT, errno.ECONNREFUSED}
_CHUNK = 1 << 16
_LARGE_CHUNK = 1 << 20

V = TypeVar("V")


class NoDaemonError(errors.DaemonUnavailableError):
    """Nobody listens: the one case in which starting a daemon helps."""


class ConnectionLostError(errors.DaemonUnavailableError):
    """The daemon went away while it was being talked to."""


class VersionSkewError(errors.DaemonUnavailableError):
    """A daemon answers, and speaks another protocol.

    Attributes:
        older: Than this program.
        version: Of the daemon.
        pid: To be sent a signal, which every version understands; None when the kernel does not confirm it.
    """

    def __init__(self, hello: protocol.Hello, peer: int) -> None:
        self.older = hello.protocol < protocol.PROTOCOL_VERSION
        self.version = hello.version
        self.pid = peer if peer == hello.pid else None
        age = "older" if self.older else "newer"
        super().__init__(
            f"the running daemon (version {hello.version}, pid {hello.pid}) is {age} than this `ca` (version {VERSION}), "
            "and they do not understand each other",
            detail={"daemon_protocol": hello.protocol, "protocol": protocol.PROTOCOL_VERSION, "pid": hello.pid},
            suggestions=["ca daemon restart"] if self.older else ["update this `ca`", "ca daemon restart"],
        )


class Client:
    """One connection. Answers may come in any order; what comes while something else is awaited is kept.

    Attributes:
        hello: What the daemon said of itself.
        messages: Sentences that came beside the answers, for the user.
        last_seq: The number of the newest event that `events` handed out: with it a subscription goes on over another
            connection. None before the first subscription is answered.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = bytearray()
        self._last_id = 0
        self._answers: dict[int, protocol.Reply | protocol.Failure] = {}
        self._events: deque[views.EventView] = deque()
        self.last_seq: int | None = None
        self._newest = 0
        self._subscription: protocol.Subscribe | None = None
        self._behind: int | None = None
        self.messages: list[str] = []
        self.hello = self._greet()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def fileno(self) -> int:
        """For `select`: it is readable when the daemon sent something that `receive` has not taken in."""
        return self._socket.fileno()

    def _greet(self) -> protocol.Hello:
        mine = protocol.Hello(protocol=protocol.PROTOCOL_VERSION, version=VERSION, pid=os.getpid())
        deadline = time.monotonic() + protocol.HELLO_SECONDS
        lost: ConnectionLostError | None = None
        try:
            self._write(protocol.frame(mine), deadline)
        except ConnectionLostError as error:
            lost = error  # what it said before it hung up is the better reason
        while (body := self._next_body()) is None:
            self._fill(deadline)
        message = protocol.decode_answer(body)
        if isinstance(message, protocol.Failure):
            raise message.error()
        if not isinstance(message, protocol.Hello):
            raise errors.ProtocolError("the daemon did not say hello first", suggestions=["ca daemon restart"])
        if message.protocol != protocol.PROTOCOL_VERSION:
            raise VersionSkewError(message, peers.pid(self._socket))
        if lost is not None:
            raise lost
        return message

    def call(self, request: protocol.Request[V], *, timeout: float | None = REQUEST_SECONDS) -> V:
        """Ask, and wait for the answer.

        Raises:
            CleverAgentsError: what the daemon refused it with, `daemon_unavailable`, or `protocol_error`.
        """
        return self.ask(request).result(timeout)

    def ask(self, request: protocol.Request[V]) -> "Pending[V]":
        """Ask without waiting."""
        self._last_id += 1
        # AnyRequest is the union of all subclasses of Request; typing cannot say that a Request[V] is one of them.
        content: Any = request
        self._send(protocol.Ask(id=self._last_id, request=content), time.monotonic() + REQUEST_SECONDS)
        return Pending(self, self._last_id, protocol.answer_type(request))

    def subscribe(self, *, since: int | None = None, plan: str | None = None, tree: bool = False) -> None:
        """Be told of events from now on; they come out of `events`."""
        self._subscription = protocol.Subscribe(since=since, plan=plan, tree=tree)
        self._newest = self.call(self._subscription).seq
        if not self._events:
            self.last_seq = self._newest

    def events(self) -> list[views.EventView]:
        """The events that have come since the last call; those that the daemon dropped for a slow reader are fetched."""
        if self._behind is not None:
            self._catch_up(self._behind)
        found = list(self._events)
        self._events.clear()
        if found:
            self.last_seq = found[-1].seq
        return found

    def _catch_up(self, seq: int) -> None:
        assert self._subscription is not None
        self._behind = None
        plan, tree = self._subscription.plan, self._subscription.tree
        seq = max(seq, self._newest)
        while True:
            page = self.call(protocol.EventList(since=seq, plan=plan, tree=tree, limit=CATCH_UP_PAGE)).events
            for event in page:
                self._note(event)
            seq = max(seq, self._newest)
            if len(page) < CATCH_UP_PAGE:
                break
        self.subscribe(since=seq, plan=plan, tree=tree)

    def _note(self, event: views.EventView) -> None:
        if event.seq > self._newest:
            self._newest = event.seq
            self._events.append(event)

    def receive(self, timeout: float | None) -> bool:
        """Take in what the daemon sent; False when nothing came within `timeout` seconds.

        Raises:
            ConnectionLostError: the daemon went away.
        """
        while (body := self._next_body()) is None:
            if not self._fill_within(timeout):
                return False
        self._dispatch(protocol.decode_answer(body))
        return True

    def take(self, request_id: int) -> protocol.Reply | protocol.Failure | None:
        """The answer with that id, once."""
        return self._answers.pop(request_id, None)

    def _dispatch(self, message: protocol.FromDaemon) -> None:
        match message:
            case protocol.Failure(id=0):
                raise message.error()
            case protocol.Reply() | protocol.Failure():
                self._answers[message.id] = message
            case protocol.Notice(event=event):
                self._note(event)
            case protocol.CatchUp(seq=seq):
                self._behind = seq
            case protocol.Hello():
                raise errors.ProtocolError("the daemon said hello twice")

    def _send(self, message: protocol.Message, deadline: float) -> None:
        try:
            frame = protocol.frame(message)
        except UnicodeEncodeError as error:
            raise errors.InvalidArgumentError(
                f"'{printable(error.object)}' is not UTF-8 and cannot be sent to the daemon",
                detail={"value": ascii(error.object)},
            ) from error
        if len(frame) - protocol.HEADER > protocol.REQUEST_LIMIT:
            raise errors.InvalidArgumentError(
                f"the request is {len(frame)} bytes; {protocol.REQUEST_LIMIT} is the limit"
            )
        try:
            self._write(frame, deadline)
        except ConnectionLostError:
            self._read_last_words()
            raise

    def _write(self, frame: bytes, deadline: float) -> None:
        self._socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            self._socket.sendall(frame)
        except TimeoutError as error:
            raise _deaf() from error
        except OSError as error:
            raise _lost(error) from error

    def _read_last_words(self) -> None:
        """The daemon may have said why before it hung up; that is the better reason, and raised from here."""
        with contextlib.suppress(ConnectionLostError):
            while self.receive(0.2):
                pass

    def _next_body(self) -> bytes | None:
        if len(self._buffer) < protocol.HEADER:
            return None
        end = protocol.HEADER + protocol.length(bytes(self._buffer[: protocol.HEADER]), protocol.REPLY_LIMIT)
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[protocol.HEADER : end])
        del self._buffer[:end]
        return body

    def _fill(self, deadline: float) -> None:
        if not self._fill_within(max(0.001, deadline - time.monotonic())):
            raise _deaf()

    def _fill_within(self, timeout: float | None) -> bool:
        self._socket.settimeout(timeout)
        try:
            chunk = self._socket.recv(_CHUNK if len(self._buffer) < _CHUNK else _LARGE_CHUNK)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:
            raise _lost(error) from error
        if not chunk:
            raise _lost(None)
        self._buffer += chunk
        return True


class Pending(Generic[V]):
    """A question that was asked."""

    def __init__(self, client: Client, request_id: int, answer: type[V]) -> None:
        self._client = client
        self._id = request_id
        self._type = answer
        self._answer: protocol.Reply | protocol.Failure | None = None

    @property
    def ready(self) -> bool:
        """Whether the answer is here; `Client.receive` brings it."""
        if self._answer is None:
            self._answer = self._client.take(self._id)
        return self._answer is not None

    def result(self, timeout: float | None = None) -> V:
        """The answer, awaited for at most `timeout` seconds.

        Raises:
            CleverAgentsError: what the daemon refused it with, `daemon_unavailable`, or `protocol_error`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.ready:
            left = None if deadline is None else max(0.001, deadline - time.monotonic())
            if not self._client.receive(left):
                raise _deaf()
        assert self._answer is not None
        if isinstance(self._answer, protocol.Failure):
            raise self._answer.error()
        self._client.messages += self._answer.messages
        try:
            return msgspec.msgpack.decode(self._answer.data, type=self._type)
        except msgspec.DecodeError as error:
            raise errors.ProtocolError(
                f"the daemon's answer could not be read: {error}", suggestions=["ca daemon restart"]
            ) from error


def connect(path: Path) -> Client:
    """Talk to the daemon whose socket is at `path`.

    Raises:
        NoDaemonError: nobody listens there.
        DaemonUnavailableError: it does not answer, is another user's, is no socket, or speaks another protocol.
    """
    _check_place(path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(protocol.HELLO_SECONDS)
    try:
        connection.connect(os.fspath(path))
    except (TimeoutError, BlockingIOError) as error:
        connection.close()
        raise _deaf() from error
    except OSError as error:
        connection.close()
        if error.errno in _ABSENT:
            raise NoDaemonError("the daemon is not running", suggestions=["ca daemon start"]) from error
        raise errors.DaemonUnavailableError(f"cannot connect to {path}: {error.strerror}") from error
    try:
        return Client(connection)
    except BaseException:
        connection.close()
        raise


def _check_place(path: Path) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        raise NoDaemonError("the daemon is not running", suggestions=["ca daemon start"]) from None
    except OSError as error:
        raise errors.DaemonUnavailableError(f"cannot look at {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(found.st_mode):
        raise errors.DaemonUnavailableError(
            f"{path} is not a socket; the daemon's socket belongs there, and what is there was left alone",
            detail={"path": str(path)},
            suggestions=[f"move {path} away", "ca daemon start"],
        )
    if found.st_uid != os.getuid():
        raise errors.DaemonUnavailableError(
            f"{path} belongs to another user (uid {found.st_uid})", detail={"path": str(path), "uid": found.st_uid}
        )


def connect_or_start(path: Path, environ: Mapping[str, str], announce: Callable[[str], None]) -> Client:
    """As `connect`, and start the daemon when there is none, or replace one of an older version.

    Args:
        path: The daemon's socket.
        environ: `CLEVERAGENTS_NO_AUTOSTART=1` in it refuses the start; the daemon gets it as its own.
        announce: Told, in a sentence, that a daemon was started.

    Raises:
        DaemonUnavailableError: none runs and none may be, or could be, started.
    """
    try:
        found = connect(path)
    except (NoDaemonError, ConnectionLostError):  # the latter is one that was about to end
        found = None
    except VersionSkewError as skew:
        from cleveragents_tui import starting  # noqa: PLC0415  as below

        return starting.take_over(skew, path, environ, announce)
    if found is not None and not found.hello.draining and found.hello.version == VERSION:
        return found
    from cleveragents_tui import starting  # noqa: PLC0415  a command that finds its daemon does not need it

    return starting.bring_up(found, path, environ, announce)


def _deaf() -> errors.DaemonUnavailableError:
    return errors.DaemonUnavailableError(
        "the daemon is not answering", suggestions=["ca daemon logs", "ca daemon restart"]
    )


def _lost(error: OSError | None) -> ConnectionLostError:
    reason = f": {error.strerror}" if error is not None and error.strerror else ""
    return ConnectionLostError(
        f"the connection to the daemon was lost{reason}", suggestions=["ca daemon status", "ca daemon logs"]
    )
