"""`ca daemon`: the process in the background. Nothing here but `start` and `restart` starts it."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any, NoReturn

import click
import msgspec

from cleveragents_tui import client, starting, warming, wording
from cleveragents_tui.cli import logs
from cleveragents_tui.cli.commands import Noun
from cleveragents_tui.cli.session import Session
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import protocol, views
from store import errors

command = Noun(
    "daemon", help="The process in the background that runs plans. Other commands start it when it is needed."
)

STOP_SECONDS = 30.0
"""How long `stop` waits, beyond the grace it gave, until the daemon is gone."""
POLL_SECONDS = 0.02
FOLLOW_SECONDS = 0.2


class StoppedView(msgspec.Struct, frozen=True):
    """What `daemon stop` did."""

    running: bool
    stopped: bool
    pid: int | None
    left_running: int


@command.verb(examples=["ca daemon start"])
def start(session: Session) -> Result[views.DaemonView]:
    """Start the daemon; it goes on after this command and this terminal."""
    return Result(_started(session), status_lines)


def _started(session: Session) -> views.DaemonView:
    found = session.existing()
    if found is not None and not found.hello.draining:
        with contextlib.suppress(client.ConnectionLostError):  # it died in this moment, and another one is wanted
            status = found.call(protocol.DaemonStatus())
            session.messages.append(f"the daemon is running already (pid {found.hello.pid})")
            return status
    found = starting.start(session.paths.socket, session.environ, session.messages.append)
    return found.call(protocol.DaemonStatus())


@command.verb(examples=["ca daemon stop", "ca daemon stop --grace 60", "ca daemon stop --kill"])
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=0,
    metavar="S",
    help="Give running steps so many seconds to finish.",
)
@click.option("--kill", is_flag=True, help="End running steps; without it they go on, and the next daemon adopts them.")
def stop(session: Session, grace: float, *, kill: bool) -> Result[StoppedView]:
    """Stop the daemon and wait until it is gone."""
    return Result(_stopped(session, grace, kill=kill), _stop_lines)


def _stopped(session: Session, grace: float, *, kill: bool) -> StoppedView:
    try:
        found = session.existing()
        if found is None:
            return StoppedView(running=False, stopped=False, pid=None, left_running=0)
        answer = found.call(protocol.DaemonStop(grace=grace, kill=kill))
        session.collect(found)
        found.close()
    except client.VersionSkewError as error:
        if error.pid is None:
            raise
        # It would not understand a request of ours; every version understands SIGTERM.
        os.kill(error.pid, signal.SIGTERM)
        answer = views.StoppingView(pid=error.pid, left_running=0)
    _await_end(session, answer.pid, grace)
    warming.await_end(session.paths.run)
    return StoppedView(running=False, stopped=True, pid=answer.pid, left_running=answer.left_running)


def _await_end(session: Session, pid: int, grace: float) -> None:
    deadline = time.monotonic() + grace + STOP_SECONDS
    while _serves(session, pid):
        if time.monotonic() > deadline:
            raise errors.TimedOutError(
                f"the daemon (pid {pid}) was asked to stop and is still there",
                suggestions=["ca daemon logs", f"kill {pid}"],
            )
        time.sleep(POLL_SECONDS)


def _serves(session: Session, pid: int) -> bool:
    if session.paths.socket.exists():
        with contextlib.suppress(errors.DaemonUnavailableError):
            found = client.connect(session.paths.socket)
            found.close()
            return found.hello.pid == pid
    return _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # the number belongs to somebody else's process by now
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits for a parent that never asks, as in containers without an init."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123  a file of the kernel
        return stat.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    return False


@command.verb(examples=["ca daemon restart"])
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    default=0,
    metavar="S",
    help="Give running steps so many seconds to finish.",
)
@click.option("--kill", is_flag=True, help="End running steps; without it they go on, and the new daemon adopts them.")
def restart(session: Session, grace: float, *, kill: bool) -> Result[views.DaemonView]:
    """Stop the daemon if it runs, and start it."""
    stopped = _stopped(session, grace, kill=kill)
    if stopped.stopped:
        session.messages.append(f"stopped the daemon (pid {stopped.pid})")
    return Result(_started(session), status_lines)


@command.verb(examples=["ca daemon status", "ca daemon status --format json"])
def status(session: Session) -> Result[views.DaemonView]:
    """Whether the daemon runs, and what its workers do; never starts it."""
    found = session.existing()
    return Result(_absent(session) if found is None else found.call(protocol.DaemonStatus()), status_lines)


def _absent(session: Session) -> views.DaemonView:
    paths = session.paths
    return views.DaemonView(
        running=False, pid=None, version=None, protocol=None, socket=str(paths.socket), store=str(paths.database),
        log=str(paths.daemon_log), started_at=None, workers=[], queued=0, running_jobs=0, draining=False,
    )  # fmt: skip


class DaemonLogView(msgspec.Struct, frozen=True):
    log: str
    lines: list[str]


class LogLine(msgspec.Struct, frozen=True):
    line: str


@command.verb("logs", examples=["ca daemon logs", "ca daemon logs --lines 200", "ca daemon logs --follow"])
@click.option(
    "--lines", type=click.IntRange(min=0), default=50, show_default=True, metavar="N", help="So many of the last lines."
)
@click.option("--follow", is_flag=True, help="Go on as lines are written, until Ctrl-C.")
def logs_(session: Session, lines: int, *, follow: bool) -> Result[DaemonLogView]:
    """The daemon's own log."""
    path = session.paths.daemon_log
    try:
        found, size = logs.last_lines(path, lines)
    except FileNotFoundError:
        found, size = [], 0
        session.messages.append(f"there is no log yet: {path}")
    if follow:
        _follow(session, found, size)
    text = [line.decode(errors="backslashreplace") for line in found]
    return Result(DaemonLogView(str(path), text), lambda view, _look: view.lines)


def _follow(session: Session, found: list[bytes], size: int) -> NoReturn:
    growing = logs.Lines(str(session.paths.daemon_log), offset=size)
    while True:
        for line in found:
            if session.out.structured:
                session.out.line(LogLine(line.decode(errors="backslashreplace")))
            else:
                session.out.raw(line + b"\n")
        time.sleep(FOLLOW_SECONDS)
        found = growing.read()


@command.verb(examples=["ca daemon run"])
def run(session: Session) -> Result[Any]:
    """Be the daemon in the foreground, for service managers and for looking at it."""
    session.out.flush()
    arguments = [sys.executable, "-P", "-m", "daemon", "run", *(["structured"] if session.out.structured else [])]
    os.execve(sys.executable, arguments, dict(session.environ))


def _stop_lines(view: StoppedView, look: Look) -> Iterable[str]:
    if not view.stopped:
        yield look.dim("the daemon is not running")
        return
    left = (
        f"; {wording.count(view.left_running, 'running job')} left for the next daemon to adopt"
        if view.left_running
        else ""
    )
    yield f"{look.mood(Mood.DONE)} stopped the daemon (pid {view.pid}){left}"


def status_lines(daemon: views.DaemonView, look: Look) -> Iterable[str]:
    """The daemon, its places and its workers."""
    if not daemon.running:
        yield f"{look.mood(Mood.QUEUED)} the daemon is not running.  Start it: ca daemon start"
        yield from pairs(look, [("socket", daemon.socket), ("store", daemon.store), ("log", daemon.log)])
        return
    up = wording.age(daemon.started_at, look.now)
    word = "is stopping" if daemon.draining else "is running"
    facts = f"pid {daemon.pid}, version {daemon.version}, up {up}"
    yield f"{look.mood(Mood.RUNNING)} the daemon {word}"
    jobs = f"{daemon.running_jobs} running, {daemon.queued} queued"
    places = [("socket", daemon.socket), ("store", daemon.store), ("log", daemon.log)]
    yield from pairs(look, [("process", facts), ("jobs", jobs), *places])
    yield from worker_lines(daemon.workers, look)


_WORKERS = (
    Column("WORKER"),
    Column("STATE"),
    Column("JOB"),
    Column("DONE", right=True),
    Column("FAILED", right=True, drop=1),
    Column("CANCELLED", right=True, drop=3),
    Column("LAST BEAT", right=True, drop=2),
)


def worker_lines(workers: list[views.WorkerView], look: Look) -> Iterable[str]:
    """A line a worker."""
    yield from table(look, _WORKERS, [_worker(worker, look.now) for worker in workers], indent=2)


def _worker(worker: views.WorkerView, now: float) -> list[Cell | str]:
    busy = worker.job_id is not None
    return [
        worker.worker_id,
        Cell(worker.state, Tone.RUNNING if busy else Tone.WAITING),
        wording.short_id(worker.job_id) if worker.job_id else "",
        str(worker.jobs_processed),
        str(worker.jobs_failed),
        str(worker.jobs_cancelled),
        Cell(wording.age(worker.last_heartbeat, now), Tone.WAITING),
    ]
