"""Being the team server: from the lock to the last answer.

Everything that can be refused is refused before anybody is told that the server runs: the lock, the store, the address, the
places where the process is noted.
"""

import asyncio
import contextlib
import http.client
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from daemon.detach import InstanceLock, PidFile
from daemon.team import granting, listening, logs, orders
from store import errors, paths, team_opening
from store.paths import Paths
from store.version import VERSION

LEAVING_SECONDS = 3.0
"""How long a server that comes or goes may hold the lock without being noted."""
FREEING_SECONDS = 3.0
"""How long the workers of a server that was killed may take to leave their port."""
ANSWER_SECONDS = 20.0
"""How long a server may take until it answers."""
LOOK_SECONDS = 0.02

log = logging.getLogger(__name__)


class Serving(msgspec.Struct, frozen=True):
    """A server that answers."""

    pid: int
    url: str


def serve(order: orders.Serve, ready: Callable[[Serving], None]) -> None:
    """Be the team server until SIGTERM or SIGINT; `ready` is called once it answers.

    Raises:
        AlreadyRunningError: another one has the store or the PID file.
        CleverAgentsError: why it cannot serve.
    """
    logs.open_(order.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with contextlib.suppress(SystemExit):
        _serve(order, ready)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Before uvicorn takes over, and after it ended in order: it sends itself the signal again."""
    raise SystemExit(0)


def _serve(order: orders.Serve, ready: Callable[[Serving], None]) -> None:
    home = paths.resolve()
    home.create()
    database = database_of(order.database, home)
    with contextlib.ExitStack() as held:
        killed = held.enter_context(_alone(order, database, home))
        # Slow to import, and whoever is not alone needs nothing of it.
        from daemon.team import web  # noqa: PLC0415  as said

        settings = web.Settings(database, workers=order.workers, rate=order.rate_limit, log_level=order.log_level)
        place = listening.Place.of(order.host)
        team_opening.prepare(database)
        bound = held.enter_context(listening.bind(place, order.port, patience=FREEING_SECONDS if killed else 0))
        _refuse_strangers(database, place)
        port = bound.getsockname()[1]
        serving = Serving(os.getpid(), place.url(port))
        held.enter_context(_noted(order, database, home, serving))
        held.enter_context(_announced(place, port, lambda: ready(serving)))
        os.chdir("/")  # a directory that goes away, or is to be unmounted, is not the server's affair
        log.info("the team server %s serves %s at %s", VERSION, database, serving.url)
        web.serve(settings, bound)
        log.info("the team server has ended")


def database_of(given: str | None, home: Paths) -> Path:
    """The server's store: the one that was named, or the home's own."""
    return home.server_database if given is None else Path(given)


# --- being the only one -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _alone(order: orders.Serve, database: Path, home: Paths) -> Generator[bool]:
    """Have the store for oneself; says whether the one before was killed.

    The lock is the proof. What its file says of the holder is for those who come later, and goes with an end in order.
    """
    path = granting.lock_file(database)
    asked = _asked_pid_file(order, home)
    deadline = time.monotonic() + LEAVING_SECONDS
    while True:
        for note in (asked, path):
            if note is not None and (other := holder(note)) is not None:
                raise _already_running(f"at {other.url} (pid {other.pid})", {"pid": other.pid, "url": other.url})
        if (lock := InstanceLock.acquire(path)) is not None:
            break
        if time.monotonic() > deadline:
            raise _already_running(f"with the store {database}", {"pid": None, "url": None})
        time.sleep(LOOK_SECONDS)
    try:
        yield PidFile.read(path) is not None
    finally:
        with contextlib.suppress(OSError):  # the directory may be gone
            path.write_bytes(b"")
        lock.release()


def holder(path: Path) -> PidFile | None:
    """The living server that a file names."""
    found = PidFile.holder(path)
    return found if found is not None and found.url is not None else None


def _already_running(what: str, detail: dict[str, object]) -> errors.AlreadyRunningError:
    return errors.AlreadyRunningError(
        f"a team server is running already {what}",
        detail=detail,
        suggestions=["ca server stop", "another one needs its own --database, --port and --pid-file"],
    )


def _asked_pid_file(order: orders.Serve, home: Paths) -> Path | None:
    """The place that has to be free; a server in the foreground has none."""
    if order.pid_file is not None:
        return Path(order.pid_file)
    return home.server_pid_file if isinstance(order, orders.Start) else None


@contextlib.contextmanager
def _noted(order: orders.Serve, database: Path, home: Paths, serving: Serving) -> Generator[None]:
    """Be found: by `--pid-file`, and in the home's own place unless another server is noted there."""
    info = PidFile.here(version=VERSION, url=serving.url)
    # In place: the file that is locked must stay the same one.
    granting.lock_file(database).write_bytes(msgspec.json.encode(info))
    notes = {_asked_pid_file(order, home) or home.server_pid_file}
    if holder(home.server_pid_file) is None:
        notes.add(home.server_pid_file)
    try:
        for note in notes:
            if holder(note) is None:
                PidFile.write(note, info)
        yield
    finally:
        for note in notes:
            PidFile.remove(note)


# --- before the first answer --------------------------------------------------------------------------------


def _refuse_strangers(database: Path, place: listening.Place) -> None:
    if not place.is_loopback and not asyncio.run(granting.any_exists(database)):
        raise errors.ForbiddenError(
            f"{place.host} can be reached by other machines, and there is no token yet: everybody could change everything",
            detail={"host": place.host, "address": place.address},
            suggestions=["ca server token create --namespace NAME", "--host 127.0.0.1 serves this machine only"],
        )


@contextlib.contextmanager
def _announced(place: listening.Place, port: int, ready: Callable[[], None]) -> Generator[None]:
    """Call `ready` once the server answers, and end it when that takes too long.

    Raises:
        TimedOutError: at the end of a server that never answered.
    """
    over, late = threading.Event(), threading.Event()

    def look() -> None:
        deadline = time.monotonic() + ANSWER_SECONDS
        while not over.wait(LOOK_SECONDS):
            if _answers(place.reachable, port):
                ready()
                return
            if time.monotonic() > deadline:
                late.set()
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=look, name="announcing", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        if late.is_set():
            raise errors.TimedOutError(
                f"the team server did not answer within {ANSWER_SECONDS:g} s; its log says what its processes met",
                suggestions=["look for errors in the log of the server"],
            )


def _answers(address: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address, port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
