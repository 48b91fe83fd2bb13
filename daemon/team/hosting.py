"""Having a team server in the background, and ending it."""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
import psutil

from daemon import detach, processes, sync_views
from daemon.detach import PidFile
from daemon.team import listening, orders, serving
from store import errors, paths

LOG_BYTES = 5 * 1024 * 1024
"""A longer log is put aside when a server starts."""
KILL_SECONDS = 5.0
"""How long the system may take to end what was killed."""
LOOK_SECONDS = 0.02

log = logging.getLogger(__name__)


def start(order: orders.Start) -> orders.Started:
    """Have a team server in the background; returns when it answers.

    Raises:
        AlreadyRunningError: one runs already.
        CleverAgentsError: why it could not start.
    """
    home = paths.resolve()
    home.create()
    _put_aside(home.server_log)
    word = detach.detach(lambda notify: _serve(order, notify), log=home.server_log, what="team server")
    answering = msgspec.json.decode(word, type=serving.Serving)
    view = sync_views.ServerStartedView(
        url=answering.url,
        pid=answering.pid,
        pid_file=order.pid_file or str(home.server_pid_file),
        log=str(home.server_log),
    )
    return orders.Started(view, list(_warnings(order)))


def _serve(order: orders.Start, notify: detach.Notify) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it has no terminal that could be closed
    try:
        serving.serve(order, lambda answering: notify.ready(msgspec.json.encode(answering).decode()))
    except errors.CleverAgentsError as error:
        log.error("the team server could not serve: %s", error.message)  # noqa: TRY400  the message says it all
        notify.failed(error)


def _put_aside(path: Path) -> None:
    """Keep the log from growing for ever. Should a server still write into it: the file only has another name then."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(f"{path.name}.1"))


def stop(order: orders.Stop) -> orders.Stopped:
    """End the server that a PID file names, if it is the very same process; wait until it is gone.

    Raises:
        PermissionDeniedError: it is another user's.
        TimedOutError: it is still there after SIGKILL.
    """
    path = paths.resolve().server_pid_file if order.pid_file is None else Path(order.pid_file)
    info = serving.holder(path)
    if info is None:
        return orders.Stopped(sync_views.ServerStoppedView(running=False, stopped=False, pid=None), killed=False)
    _ask_to_end(info)
    killed = not _gone_within(info, order.timeout)
    if killed:
        _kill(info)
        _forget(path, info)
    return orders.Stopped(sync_views.ServerStoppedView(running=False, stopped=True, pid=info.pid), killed=killed)


def _ask_to_end(info: PidFile) -> None:
    try:
        os.kill(info.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended by itself
    except PermissionError as error:
        raise errors.PermissionDeniedError(
            f"the team server (pid {info.pid}) belongs to another user", suggestions=["ask its owner to stop it"]
        ) from error


def _gone_within(info: PidFile, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while processes.compare(info.identity) is processes.Likeness.SAME:
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _kill(info: PidFile) -> None:
    """The server and its workers, which could not be left to themselves: they may be stopped, too."""
    with contextlib.suppress(psutil.NoSuchProcess):
        master = psutil.Process(info.pid)
        for process in [master, *master.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    if not _gone_within(info, KILL_SECONDS):
        raise errors.TimedOutError(
            f"the team server (pid {info.pid}) was killed and is still there",
            detail={"pid": info.pid},
            suggestions=["ca server status"],
        )


def _forget(path: Path, info: PidFile) -> None:
    """What was killed cannot remove its PID file."""
    found = PidFile.read(path)
    if found is not None and found.identity == info.identity:
        path.unlink(missing_ok=True)


def _warnings(order: orders.Start) -> Iterable[str]:
    if not listening.Place.of(order.host).is_loopback:
        yield "what travels over http can be read on its way, tokens too: put a proxy with TLS in front of it"
