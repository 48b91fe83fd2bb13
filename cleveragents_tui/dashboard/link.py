"""The dashboard's way to the daemon: one connection with requests and the subscription on it, that comes back by itself.

A thread owns the blocking client, so that what it knows of versions, lost connections and dropped events is known once.
Whether the daemon is there is decided here and only here; the event loop is told, and never waits.
"""

import asyncio
import contextlib
import enum
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cleveragents_tui import client as clients
from daemon import protocol, views
from store import errors

V = TypeVar("V")

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0
"""Seconds between attempts to reach a daemon that is gone; they double from the first."""
SOON, SELDOM = 2.0, 15.0
"""Seconds without a word after which the daemon is asked whether it is there: while something is awaited, and while not."""
ANSWER = 3.0
"""Seconds within which it has to say so; whatever else it does, it answers that at once."""


class Status(enum.Enum):
    """Whether there is a daemon."""

    CONNECTING = "connecting"  # nothing is known yet
    UP = "up"  # it answers, and tells what happens
    SILENT = (
        "silent"  # it is connected and does not answer: stopped, or its machine is; what is on the screen is what was
    )
    GONE = "gone"  # nobody is connected; the same


@dataclass(frozen=True)
class LinkState:
    """Whether there is a daemon, and which.

    Attributes:
        status: Whether it is there.
        hello: What it said of itself, the last time it was there.
        reason: Why it is gone, in a sentence.
    """

    status: Status
    hello: protocol.Hello | None = None
    reason: str = ""


Told = LinkState | list[views.EventView]
"""What the link tells: how it stands, or what happened."""


@dataclass(frozen=True, eq=False)
class Asked(Generic[V]):
    """A request on its way, and who waits for its answer."""

    request: protocol.Request[V]
    answer: "asyncio.Future[V]"


class Link:
    """One connection at a time, from `open` to `close`.

    Attributes:
        state: How it stands.
        messages: Sentences that came beside answers, for the user; whoever shows them takes them out.
    """

    def __init__(self, path: Path, environ: Mapping[str, str], tell: Callable[[Told], None]) -> None:
        """`tell` is called in the event loop's thread with every change and every event."""
        self.state = LinkState(Status.CONNECTING)
        self.messages: deque[str] = deque()
        self._path = path
        self._environ = environ
        self._tell = tell
        self._asked: deque[Asked[Any]] = deque()
        self._gate = threading.Lock()  # nothing is asked of a daemon that is gone, to be sent to the next one
        self._last_seq: int | None = None
        self._start_one = True
        self._start_asked = False
        self._not_started: errors.CleverAgentsError | None = None
        self._heard = 0.0
        self._asked_whether: clients.Pending[str] | None = None
        self._closing = False
        self._awake, self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Connect, and start a daemon when there is none, as every command does."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Hang up; the daemon goes on."""
        self._closing = True
        self._nudge()

    def start_daemon(self) -> None:
        """Start a daemon at the next attempt, which is now; somebody asked for it, whatever the environment says."""
        self._start_one = self._start_asked = True
        self._nudge()

    async def call(self, request: protocol.Request[V], *, timeout: float | None = clients.REQUEST_SECONDS) -> V:
        """Ask the daemon, and wait for the answer.

        Raises:
            CleverAgentsError: what it refused the request with, or `daemon_unavailable`.
        """
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        with self._gate:
            if self.state.status is not Status.UP:
                raise self._unavailable()
            self._asked.append(Asked(request, answer))
        self._nudge()
        try:
            return await asyncio.wait_for(answer, timeout)
        except TimeoutError as error:
            raise errors.DaemonUnavailableError(
                f"the daemon has not answered for {timeout:g} s", suggestions=["ca daemon logs", "ca daemon restart"]
            ) from error

    def _unavailable(self) -> errors.DaemonUnavailableError:
        return errors.DaemonUnavailableError(
            self.state.reason or "the daemon is not there",
            suggestions=["ca daemon restart" if self.state.status is Status.SILENT else "ca daemon start"],
        )

    def _nudge(self) -> None:
        with contextlib.suppress(OSError):  # the thread has ended, or has a nudge waiting already
            self._wake.send(b"!", socket.MSG_DONTWAIT)

    # --- the thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing:
            try:
                found = self._connect()
            except errors.CleverAgentsError as error:
                self._gone(self._not_started or error)
                self._sleep(pause)
                pause = min(LONGEST_PAUSE, 2 * pause)
                continue
            pause = FIRST_PAUSE
            with contextlib.closing(found):
                self._serve(found)
            self._sleep(FIRST_PAUSE)
        self._awake.close()
        self._wake.close()

    def _connect(self) -> clients.Client:
        """The first time, and when somebody asked for it, a daemon is started; one that was stopped stays so."""
        if not self._start_one:
            return clients.connect(self._path)
        asked, self._start_one, self._start_asked = self._start_asked, False, False
        environ = {
            name: value for name, value in self._environ.items() if not asked or name != "CLEVERAGENTS_NO_AUTOSTART"
        }
        try:
            return clients.connect_or_start(self._path, environ, self.messages.append)
        except errors.CleverAgentsError as error:
            self._not_started = error  # why there is none, as long as there is none
            if asked:
                self.messages.append(error.message)  # the answer to the key, also when the banner says it already
            raise

    def _serve(self, found: clients.Client) -> None:
        """Ask, and be told, until the connection ends."""
        pending: dict[Asked[Any], clients.Pending[Any]] = {}
        try:
            found.subscribe(since=self._last_seq)
            self._last_seq = found.last_seq
            self._heard, self._asked_whether, self._not_started = time.monotonic(), None, None
            self._change(LinkState(Status.UP, found.hello))
            while not self._closing:
                self._send(found, pending)
                self._deliver(found, pending)
                self._listen(found, waiting=bool(pending))
        except errors.CleverAgentsError as error:
            self._gone(error)
        except Exception as error:  # noqa: BLE001  a thread that ended unseen would leave a screen that looks alive
            self._gone(errors.InternalError(f"this is a defect of `ca`: {type(error).__name__}: {error}"))
        finally:
            self._abandon(pending)

    def _listen(self, found: clients.Client, *, waiting: bool) -> None:
        """Until the daemon said something, something is to be asked, or it has been quiet for too long."""
        ready, _, _ = select.select([found, self._awake], [], [], self._patience(waiting=waiting))
        if self._awake in ready:
            self._awake.recv(4096)
        if found in ready:
            while found.receive(0):
                pass
            self._is_heard(found)
        elif not ready:
            self._is_quiet(found)

    def _patience(self, *, waiting: bool) -> float | None:
        """Seconds for which it may still be quiet; None when that has been said already."""
        if self.state.status is Status.SILENT:
            return None
        seconds = ANSWER if self._asked_whether is not None else SOON if waiting else SELDOM
        return max(0.0, self._heard + seconds - time.monotonic())

    def _is_heard(self, found: clients.Client) -> None:
        self._heard = time.monotonic()
        if self._asked_whether is not None and self._asked_whether.ready:
            self._asked_whether.result()
            self._asked_whether = None
        if self.state.status is Status.SILENT:
            self._change(LinkState(Status.UP, found.hello))

    def _is_quiet(self, found: clients.Client) -> None:
        """Ask whether it is there; who does not answer that either is not."""
        if self._asked_whether is None:
            self._heard, self._asked_whether = time.monotonic(), found.ask(protocol.Ping())
        else:
            self._change(LinkState(Status.SILENT, found.hello, "the daemon is not answering"))

    def _abandon(self, pending: Iterable[Asked[Any]]) -> None:
        lost = self._unavailable()
        for asked in [*pending, *self._asked]:
            self._post(_refuse, asked.answer, lost)
        self._asked.clear()

    def _send(self, found: clients.Client, pending: dict[Asked[Any], clients.Pending[Any]]) -> None:
        while self._asked:
            asked = self._asked.popleft()
            try:
                pending[asked] = found.ask(asked.request)
            except errors.InvalidArgumentError as error:  # this one cannot be sent; the connection is well
                self._post(_refuse, asked.answer, error)

    def _deliver(self, found: clients.Client, pending: dict[Asked[Any], clients.Pending[Any]]) -> None:
        """Hand out what has come. Events first: an answer may tell of what they announce."""
        happened = found.events()
        if happened:
            self._last_seq = found.last_seq
            self._post(self._tell, happened)
        for asked, question in [(asked, question) for asked, question in pending.items() if question.ready]:
            del pending[asked]
            try:
                self._post(_answer, asked.answer, question.result())
            except errors.CleverAgentsError as error:
                self._post(_refuse, asked.answer, error)
        self.messages += found.messages
        found.messages.clear()

    def _gone(self, error: errors.CleverAgentsError) -> None:
        state = LinkState(Status.GONE, self.state.hello, error.message)
        if state != self.state or self.messages:
            self._change(state)

    def _change(self, state: LinkState) -> None:
        with self._gate:
            self.state = state
        self._post(self._tell, state)

    def _sleep(self, seconds: float) -> None:
        """Until somebody nudges, at most."""
        ready, _, _ = select.select([self._awake], [], [], seconds)
        if ready:
            self._awake.recv(4096)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self._loop.call_soon_threadsafe(function, *arguments)


def _answer(answer: "asyncio.Future[V]", value: V) -> None:
    if not answer.done():
        answer.set_result(value)


def _refuse(answer: "asyncio.Future[Any]", error: errors.CleverAgentsError) -> None:
    if not answer.done():
        answer.set_exception(error)
