"""A daemon whose answers a test decides: the real protocol over a real socket, and behind it what was written down."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from daemon import protocol, views
from store import errors
from store.version import VERSION

PID = 4242
"""What it says its process is."""
CHUNK = 1 << 16

Answer = Callable[[protocol.Request[Any]], object]
"""What a request is answered with; a CleverAgentsError refuses it."""


class ScriptedDaemon:
    """Listens at a path from `come` to `go`, which it does again and again when it is told to.

    Attributes:
        asked: Every request that came, in order.
        broken: What no test meant to happen: a request for which nothing was written down.
    """

    def __init__(self, path: Path, answer: Answer) -> None:
        self.asked: list[protocol.Request[Any]] = []
        self.broken: list[str] = []
        self._path = path
        self._answer = answer
        self._talks: list[_Talk] = []
        self._listener: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._gate = threading.Lock()

    def __enter__(self) -> Self:
        self.come()
        return self

    def __exit__(self, *_error: object) -> None:
        self.go()

    def come(self) -> None:
        """Listen."""
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._begin(self._accept, self._listener)

    def go(self) -> None:
        """End as a daemon that was killed: everybody's connection is gone, and nobody listens any more."""
        if self._listener is None:
            return
        self._path.unlink()
        with self._gate:
            listener, self._listener = self._listener, None
            talks, self._talks = self._talks, []
        for connection in (listener, *(talk.connection for talk in talks)):
            with contextlib.suppress(OSError):  # its other end hung up first
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def tell(self, *happened: views.EventView) -> None:
        """Tell every subscriber of events."""
        with self._gate:
            for talk in self._talks:
                talk.tell(happened)

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, name="scripted daemon", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return  # it was shut down
                self._welcome(connection)

    def _welcome(self, connection: socket.socket) -> None:
        with self._gate:
            if self._listener is None:
                connection.close()
                return
            talk = _Talk(connection)
            self._talks.append(talk)
            self._begin(self._serve, talk)

    def _serve(self, talk: "_Talk") -> None:
        with talk.connection, contextlib.suppress(OSError):
            talk.send(protocol.frame(protocol.Hello(protocol.PROTOCOL_VERSION, VERSION, PID)))
            while (message := talk.receive()) is not None:
                if isinstance(message, protocol.Ask):
                    talk.send(self._reply(talk, message))
        with self._gate:
            self._talks = [one for one in self._talks if one is not talk]

    def _reply(self, talk: "_Talk", ask: protocol.Ask) -> bytes:
        self.asked.append(ask.request)
        if isinstance(ask.request, protocol.Subscribe):
            talk.subscribed = True
        try:
            return protocol.reply(ask.id, self._answer(ask.request), [])
        except errors.CleverAgentsError as error:
            return protocol.frame(protocol.Failure.of(error, ask.id))
        except Exception as error:  # noqa: BLE001  whatever is wrong with a script is told to its test, which runs in another thread
            self.broken.append(f"{ask.request}: {error!r}")
            return protocol.frame(protocol.Failure.of(errors.InternalError(repr(error)), ask.id))


class _Talk:
    """One client's connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.subscribed = False
        self._buffer = b""
        self._sending = threading.Lock()

    def send(self, frame: bytes) -> None:
        with self._sending:
            self.connection.sendall(frame)

    def tell(self, happened: Iterable[views.EventView]) -> None:
        if self.subscribed:
            for event in happened:
                self.send(protocol.frame(protocol.Notice(event=event)))

    def receive(self) -> protocol.FromClient | None:
        """The next message; None when the client hung up."""
        while len(self._buffer) < protocol.HEADER or len(self._buffer) < self._end:
            chunk = self.connection.recv(CHUNK)
            if not chunk:
                return None
            self._buffer += chunk
        body, self._buffer = self._buffer[protocol.HEADER : self._end], self._buffer[self._end :]
        return protocol.decode_request(body)

    @property
    def _end(self) -> int:
        """Where the first message in the buffer ends."""
        return protocol.HEADER + protocol.length(self._buffer[: protocol.HEADER], protocol.REQUEST_LIMIT)
