"""The team server's application under uvicorn: connections with limits, in this process or in several.

What a slow or dead client may cost is decided here for connections and request heads; the application decides about bodies,
rates and streams.
"""

import asyncio
import logging
import math
import multiprocessing
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from daemon.team import app, logs
from store import errors

CONNECTIONS = 2000
HEAD_SECONDS = 15.0
ENDING_SECONDS = 5
"""How long requests may take to end once the server is told to stop."""
BURST_SECONDS = 5
"""A client that was quiet may send as much at once as in so many seconds otherwise."""
DESCRIPTORS = 2 * CONNECTIONS + 512
"""Files that one process may have open, where the system allows so many."""

log = logging.getLogger(__name__)


class Connection(H11Protocol):
    """One connection; uvicorn itself would wait for ever for the head of a request."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  as in the class above
        """Take it, unless there are far too many."""
        super().connection_made(transport)
        if len(self.connections) > 2 * self._settings.connections:
            transport.abort()
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, by either end."""
        super().connection_lost(exc)
        self._forget_head()

    def shutdown(self) -> None:
        """The server is about to stop: streams end with it."""
        self._settings.end_streams()
        super().shutdown()

    @property
    def _settings(self) -> "Settings":
        assert isinstance(self.config, Settings), "no other server makes these connections"
        return self.config

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self._settings.head_seconds, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Settings(uvicorn.Config):
    """What one process of the server needs to know; travels to the workers.

    Args:
        database: Prepared.
        workers: Processes.
        rate: Requests a second of one token; 0 is any number.
        log_level: `debug info warning error`.
        connections: Of one process. A request on one more is answered with 503; twice as many are closed at once.
        head_seconds: How long a client may take for the head of a request.
    """

    def __init__(
        self,
        database: Path,
        *,
        workers: int,
        rate: float,
        log_level: str,
        connections: int = CONNECTIONS,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        super().__init__(
            "daemon.team.app:build",
            factory=True,
            http=Connection,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=logs.settings(log_level),
            access_log=False,
            server_header=False,
            workers=workers,
            limit_concurrency=connections,
            timeout_graceful_shutdown=ENDING_SECONDS,
        )
        self.connections = connections
        self.head_seconds = head_seconds
        self._database = database
        self._limits = app.Limits(rate=rate, burst=math.ceil(BURST_SECONDS * rate))
        self._made: Starlette | None = None

    def load_app(self) -> Any:
        """The factory of the application, called in the event loop of the process that serves it."""
        return self._make

    def _make(self) -> Starlette:
        _end_with_the_master()
        self._made = app.build(self._database, workers=self.workers, limits=self._limits)
        return self._made

    def end_streams(self) -> None:
        """Let nobody wait for what will not come; calling it again does nothing."""
        if self._made is not None:
            app.end_streams(self._made)


def serve(settings: Settings, bound: socket.socket) -> None:
    """Answer what comes in at a socket until SIGTERM or SIGINT.

    Raises:
        InternalError: the application could not start; the log says why.
    """
    _allow_many_connections()
    if settings.workers == 1:
        _serve_here(settings, bound)
    else:
        _serve_by_workers(settings, bound)


def _serve_here(settings: Settings, bound: socket.socket) -> None:
    try:
        uvicorn.Server(settings).run(sockets=[bound])
    except SystemExit as ended:
        if ended.code == STARTUP_FAILURE:
            raise _not_started() from ended


def _serve_by_workers(settings: Settings, bound: socket.socket) -> None:
    master = Multiprocess(settings, [bound])
    master.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in master.processes):
        raise _not_started()


def _not_started() -> errors.InternalError:
    return errors.InternalError("the team server could not start; its log says why")


def _allow_many_connections() -> None:
    """Many systems give a process 1,024 descriptors until it asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_with_the_master() -> None:
    """A worker whose master was killed would hold the port, and serve a store that others take for free."""
    master = multiprocessing.parent_process()
    if master is None:
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.remove_reader(master.sentinel)
        log.warning("the master is gone; this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(master.sentinel, gone)
