"""The socket: who may connect, the hello, frames in and out, subscriptions.

What only reads is answered at once; every other request is a task of its own, so a slow one holds up nobody. A client that
does not read is no longer read from, one that does not finish what it began to send is hung up on, and so is one that
finds too many others here; a subscriber that falls behind is told to catch up from the store.
"""

import asyncio
import logging
import os
import resource
import socket
import stat
import time
from collections.abc import Coroutine, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import CoroutineType
from typing import Any, cast

from daemon import feed, lookup, peers, protocol, show, views
from daemon.calls import Call, Daemon, Handler
from daemon.haste import Haste
from store import errors, events
from store.records import Event

log = logging.getLogger(__name__)

WAITS = (protocol.PlanWait, protocol.JobWait, protocol.LockAcquire, protocol.PlanDryRun)
"""Requests that end with their connection. All others run to their end: what they began is not left half done."""
LEFT = (*WAITS, protocol.PlanCancel, protocol.JobCancel)
"""Requests that end with the daemon: what is cancelled was noted, and the next one stops what this one leaves."""
IN_FLIGHT = 64
"""Requests of one connection that may be worked on at once."""
CHUNK = 16 * 1024
"""Bytes that are read at once: what one connection may have answered before others get their turn."""
ALONE_SECONDS = 0.01
"""So long nobody else has sent anything, where one client is taken to be the only one that asks."""
BACKLOG = 256
CATCH_UP = 1000
"""Events that a new subscriber is sent at most; one that is further behind fetches them as pages."""
FRAME_SECONDS = 60.0
"""How long a client may take to send one frame; as long as it would wait for the answer."""
CONNECTIONS = 512
"""At once, at most; where the process may open few files, as many as leave some for steps and sandboxes."""
OWN_DESCRIPTORS = 48


class Listener:
    """The daemon's socket and its connections."""

    def __init__(self, daemon: Daemon, handlers: Mapping[type, Handler]) -> None:
        self.daemon = daemon
        self.handlers = handlers
        self.connections: set[Connection] = set()
        self.last_used = time.monotonic()
        self.requests: dict[asyncio.Task[None], protocol.Ask] = {}
        self.room = _room()
        self.chunk = memoryview(bytearray(CHUNK))  # of all connections: each takes out what is its own at once
        self._asker: Connection | None = None
        self._asker_since = 0.0
        self._server: asyncio.Server | None = None
        self._bound: os.stat_result | None = None

    async def open(self) -> None:
        """Bind the socket, 0600; called with the instance lock held, so what is there is nobody's.

        Raises:
            AlreadyRunningError: something that is not a socket of ours is in its place; it is left alone.
            CleverAgentsError: the system refused.
        """
        path = self.daemon.paths.socket
        _make_way(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            previous = os.umask(0o177)
            try:
                sock.bind(str(path))
            finally:
                os.umask(previous)
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: Connection(self), sock=sock, backlog=BACKLOG)
        except OSError as error:
            sock.close()
            raise errors.from_os_error(error, f"cannot listen on {path}") from error
        self._bound = path.lstat()

    def hears_only(self, asking: "Connection") -> bool:
        """Whether nobody else has sent anything for a while; those who only listen do not count."""
        now = time.monotonic()
        if asking is not self._asker:
            self._asker, self._asker_since = asking, now
        return now - self._asker_since > ALONE_SECONDS

    def forget(self, gone: "Connection") -> None:
        """It sends nothing any more."""
        if self._asker is gone:
            self._asker = None

    async def reopen_if_gone(self) -> None:
        """Bind again when somebody removed the socket; what cannot be done now is tried again by the next call."""
        path = self.daemon.paths.socket
        try:
            here = path.lstat()
        except FileNotFoundError:
            here = None
        if self._bound is not None and (here is None or here.st_ino != self._bound.st_ino):
            log.warning("the socket %s is gone; binding it again", path)
            if self._server is not None:
                self._server.close()
            try:
                self.daemon.paths.create()
                await self.open()
            except errors.CleverAgentsError as error:
                log.error("the daemon cannot be reached: %s", error.message)  # noqa: TRY400  the message says it all

    async def close(self) -> None:
        """Take no more connections and requests, let those that began end, remove the socket."""
        if self._server is not None:
            self._server.close()
        for task, ask in self.requests.items():
            if isinstance(ask.request, LEFT):
                task.cancel()
        while self.requests:
            await asyncio.wait(set(self.requests))
        for connection in list(self.connections):
            connection.close()
        path = self.daemon.paths.socket
        if self._bound is not None and path.exists() and path.lstat().st_ino == self._bound.st_ino:
            path.unlink()
        self._bound = None


def _room() -> int:
    """For how many connections at once there is room."""
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONNECTIONS if may_open == resource.RLIM_INFINITY else min(CONNECTIONS, max(1, may_open - OWN_DESCRIPTORS))


def _make_way(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise errors.AlreadyRunningError(
            f"{path} is there and is not our socket; it was left alone",
            detail={"path": str(path)},
            suggestions=[f"look at {path}, then move it away"],
        )
    path.unlink()


class Connection(asyncio.BufferedProtocol):
    """One client."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._greeted = False
        self._blocked = False
        self._wanted = True
        self._tasks: dict[asyncio.Task[None], protocol.Ask] = {}
        self._subscription = ExitStack()
        self._transport: asyncio.Transport | None = None
        self._haste: Haste | None = None
        self._hello_timer: asyncio.TimerHandle | None = None
        self._frame_timer: asyncio.TimerHandle | None = None

    # --- asyncio.BufferedProtocol ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._listener.connections.add(self)
        sock = cast("socket.socket", transport.get_extra_info("socket"))
        self._haste = Haste(sock.fileno(), self._listener.chunk, self._take)
        if peers.uid(sock) != os.getuid():
            self._refuse(errors.PermissionDeniedError("this socket is another user's"))
            return
        if len(self._listener.connections) > self._listener.room:
            text = f"the daemon has {self._listener.room} connections already, and takes no more"
            self._refuse(errors.DaemonUnavailableError(text, suggestions=["end some of the commands that wait"]))
            return
        self._hello_timer = self._loop.call_later(protocol.HELLO_SECONDS, self._no_hello)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio names it
        self._listener.connections.discard(self)
        self._listener.forget(self)
        self._listener.last_used = time.monotonic()
        for timer in (self._hello_timer, self._frame_timer):
            if timer is not None:
                timer.cancel()
        self._end_subscription()
        self.end_waits()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  asyncio names it
        return self._listener.chunk

    def buffer_updated(self, nbytes: int) -> None:
        assert self._haste is not None, "nothing is read before the connection is made"
        if self._listener.hears_only(self):
            self._haste.read(nbytes)
        else:  # while one is awaited the others are not heard
            self._take(nbytes)

    def _take(self, size: int) -> bool:
        """Take up what came; whether nothing is left to be done for this client until it asks again."""
        self._buffer += self._listener.chunk[:size]
        self._attend()
        return self._wanted and not self._buffer and not self._tasks

    def _attend(self) -> None:
        """Take up what was asked, as far as it may be begun now."""
        buffer = self._buffer
        try:
            while self._wanted and len(buffer) >= protocol.HEADER:
                end = protocol.HEADER + protocol.length(buffer, protocol.REQUEST_LIMIT)
                if len(buffer) < end:
                    break
                body = buffer[protocol.HEADER : end]
                del buffer[:end]
                if self._frame_timer is not None:
                    self._frame_timer.cancel()
                    self._frame_timer = None
                message = protocol.decode_request(body)
                if isinstance(message, protocol.Ask) and self._greeted:
                    self._ask(message)
                else:
                    self._hello(message)
        except errors.ProtocolError as error:
            self._refuse(error)
        if self._wanted and buffer and self._frame_timer is None:
            self._frame_timer = self._loop.call_later(FRAME_SECONDS, self._no_rest)

    def pause_writing(self) -> None:
        self._blocked = True
        self._flow()

    def resume_writing(self) -> None:
        self._blocked = False
        self._go_on()

    # --- one message ---------------------------------------------------------------------------------------------------

    def _hello(self, hello: protocol.FromClient) -> None:
        if not isinstance(hello, protocol.Hello):
            raise errors.ProtocolError("the first message must be a hello")
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        daemon = self._listener.daemon
        self._send(
            protocol.frame(
                protocol.Hello(
                    protocol=protocol.PROTOCOL_VERSION,
                    version=daemon.version,
                    pid=os.getpid(),
                    draining=daemon.draining,
                )
            )
        )
        if hello.protocol != protocol.PROTOCOL_VERSION:
            raise errors.ProtocolError(
                f"the client speaks protocol {hello.protocol}, this daemon {protocol.PROTOCOL_VERSION}",
                suggestions=["ca daemon restart"],
            )
        self._greeted = True

    def _no_hello(self) -> None:
        self._refuse(errors.ProtocolError(f"no hello within {protocol.HELLO_SECONDS:g} s"))

    def _no_rest(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._refuse(errors.ProtocolError(f"a frame was not sent whole within {FRAME_SECONDS:g} s"))
        else:  # it is we who do not read on
            self._frame_timer = self._loop.call_later(FRAME_SECONDS, self._no_rest)

    def _ask(self, ask: protocol.Ask) -> None:
        try:
            if isinstance(ask.request, protocol.Subscribe):
                self._subscribe(ask.id, ask.request)
                return
            call = Call(self._listener.daemon, [])
            found = self._listener.handlers[type(ask.request)](call, ask.request)
            if isinstance(found, CoroutineType):
                self._begin(ask, call, cast("Coroutine[Any, Any, Any]", found))
            else:
                self._send(protocol.reply(ask.id, found, call.messages))
        except Exception as error:  # noqa: BLE001  a defect of ours is one client's failure
            self._fail(ask, error)

    def _begin(self, ask: protocol.Ask, call: Call, work: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(self._answer(ask, call, work), name=f"request {type(ask.request).__name__}")
        self._tasks[task] = ask
        self._listener.requests[task] = ask
        task.add_done_callback(partial(self._answered, work))
        self._flow()

    async def _answer(self, ask: protocol.Ask, call: Call, work: Coroutine[Any, Any, Any]) -> None:
        try:
            self._send(protocol.reply(ask.id, await work, call.messages))
        except Exception as error:  # noqa: BLE001  as above
            self._fail(ask, error)

    def _answered(self, work: Coroutine[Any, Any, Any], task: asyncio.Task[None]) -> None:
        work.close()  # a task that is cancelled before its first step leaves it as it was
        del self._tasks[task]
        del self._listener.requests[task]
        self._go_on()

    def _fail(self, ask: protocol.Ask, error: Exception) -> None:
        if isinstance(error, OverflowError):
            error = errors.InvalidArgumentError(f"a number of the request is too large: {error}")
        if not isinstance(error, errors.CleverAgentsError):
            log.error("the request %s failed", type(ask.request).__name__, exc_info=error)
            text = f"the daemon failed at {type(ask.request).__name__}: {type(error).__name__}: {error}"
            error = errors.InternalError(text, suggestions=["ca daemon logs"])
        self._send(protocol.frame(protocol.Failure.of(error, ask.id)))

    def end_waits(self) -> None:
        """Nobody waits any more."""
        for task, ask in self._tasks.items():
            if isinstance(ask.request, WAITS):
                task.cancel()

    def _go_on(self) -> None:
        """There may be room again: for more, and for what was asked already."""
        self._flow()
        self._attend()

    def _flow(self) -> None:
        """Read on only while the client reads and not too much of its work is under way."""
        if self._transport is None or self._transport.is_closing():
            self._wanted = False
            return
        self._wanted = not self._blocked and len(self._tasks) < IN_FLIGHT
        if self._wanted and not self._transport.is_reading():
            self._transport.resume_reading()
        elif not self._wanted and self._transport.is_reading():
            self._transport.pause_reading()

    # --- subscriptions ---------------------------------------------------------------------------------------------------

    def _subscribe(self, ask_id: int, request: protocol.Subscribe) -> None:
        """Everything after `since`: what is in the store now, then what comes; nothing in between is missed."""
        db = self._listener.daemon.services.db.read
        plan_id = lookup.plan(db, request.plan).plan_id if request.plan else None
        wanted = feed.Wanted(db, plan_id, tree=request.tree)
        newest = events.newest(db)
        since = newest if request.since is None else min(request.since, newest)
        self._end_subscription()
        said = [] if request.since is None else feed.gap(db, request.since)
        self._send(protocol.reply(ask_id, views.SubscribedView(since), said))
        past = wanted.since(since, CATCH_UP + 1)
        if len(past) > CATCH_UP:
            self._send(protocol.frame(protocol.CatchUp(seq=since)))
            return
        read = past[-1].seq if past and past[-1].seq > newest else newest

        def note(found: list[Event]) -> None:
            # The latest commit may have been read from the store before it is told here.
            self._notify([event for event in found if event.seq > read and event in wanted])

        self._subscription.enter_context(self._listener.daemon.services.feed.listen(note))
        self._notify(past)

    def _notify(self, found: list[Event]) -> None:
        """Send events; a client that does not read them is no longer subscribed, and is told where it stopped."""
        for event in found:
            if self._blocked:
                self._send(protocol.frame(protocol.CatchUp(seq=event.seq - 1)))
                self._end_subscription()
                return
            self._send(protocol.frame(protocol.Notice(event=show.event(event))))

    def _end_subscription(self) -> None:
        self._subscription.close()

    # --- out -------------------------------------------------------------------------------------------------------------

    def _send(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def _refuse(self, error: errors.CleverAgentsError) -> None:
        """Say why, then close this connection."""
        self._send(protocol.frame(protocol.Failure.of(error)))
        self.close()

    def close(self) -> None:
        """Send what is waiting, then close; a client that never reads is cut off."""
        if self._transport is None:
            return
        if self._blocked:
            self._transport.abort()
        else:
            self._transport.close()
        self._wanted = False


def table_of(*tables: Mapping[type[protocol.Request[Any]], Handler]) -> dict[type, Handler]:
    """One table of handlers from the nouns' own.

    Raises:
        InternalError: two nouns claim the same request.
    """
    merged: dict[type, Handler] = {}
    for table in tables:
        twice = merged.keys() & table.keys()
        if twice:
            raise errors.InternalError(f"two handlers for {', '.join(sorted(request.__name__ for request in twice))}")
        merged |= table
    return merged
