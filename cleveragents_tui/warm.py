"""The warm process: it has imported every command, and forks a process that carries one out for a `ca` that was called.

One such process (a spare) waits at the socket all the time, so that nobody waits for a fork. What a spare does is what
`ca` does after its imports (`entry`), with the streams, the directory, the environment and the mask that it is sent.
Whatever an interpreter takes from its environment at its start only, and every file that was imported, has to be the
same here as there; else `ca` is told to do it itself, and a warm process whose files were replaced ends.

It holds a lock for as long as it lives, ends with the daemon or when nobody needed it for some minutes, and keeps nothing
of what it carried out.
"""

import contextlib
import fcntl
import gc
import importlib
import io
import os
import pkgutil
import select
import signal
import socket
import stat
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from cleveragents_tui import entry, warming
from cleveragents_tui.output import NeedsCallerError
from daemon import peers

IDLE_SECONDS = 600
"""So long it waits for the next command."""
LEAVE_SECONDS = 0.005
"""The parent does not fork before that: a short command, which may have to share its processor, is over by then."""
REQUEST_LIMIT = 8 << 20
"""Bytes; a system takes no longer command lines and environments."""
REQUEST_SECONDS = 5.0
"""How long a request may take to arrive."""
STREAMS = 4
REHEARSED = (["status"], ["plan", "list"], ["plan", "list", "--format", "json"])
REHEARSALS = 10
"""Times; Python has adapted its code after eight."""
PACKAGES = frozenset({"cleveragents_tui", "daemon", "store"})

_FIXED = tuple(beginning.encode() for beginning in warming.FIXED)


class Request(NamedTuple):
    """A command to carry out."""

    umask: int
    arguments: list[bytes]
    environ: dict[bytes, bytes]


class Parent(NamedTuple):
    """What a spare has of its parent.

    Attributes:
        listener: The socket.
        lock: Says that there is a warm process: held by the parent, and by a spare until it has a command.
        pid: Of the parent.
        life: Readable once the parent is gone.
        alive: Its other end, which only the parent has.
    """

    listener: socket.socket
    lock: int
    pid: int
    life: int
    alive: int


def main(place: str, lock: int) -> None:
    """Listen at `place` until it is time to end; `lock` is the descriptor of the lock."""
    os.chdir("/")
    os.umask(0o077)
    import_all()
    files = _files()
    _rehearse()
    listener = _listen(place)
    ours = os.lstat(place)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here asks how they ended
    signal.signal(signal.SIGTERM, _leave)
    gc.collect()
    gc.freeze()
    try:
        with contextlib.suppress(OSError):  # there is no daemon any more
            _serve(Parent(listener, lock, os.getpid(), *os.pipe()), _daemon(place), files)
    finally:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.lstat(place), ours):
                os.unlink(place)  # noqa: PTH108  names are text here: they come from and go to system calls


def _listen(place: str) -> socket.socket:
    """The socket, 0600; the lock is held, so a socket that is there is nobody's. Anything else is left alone.

    Raises:
        OSError: something else is there.
    """
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(place).st_mode):
            os.unlink(place)  # noqa: PTH108  as above
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(place)
    os.chmod(place, 0o600)  # noqa: PTH101  as above
    listener.listen(64)
    listener.settimeout(0)
    return listener


def import_all() -> None:
    """Everything that some command imports."""
    for package in ("cleveragents_tui", "cleveragents_tui.cli"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if not module.ispkg and module.name != "__main__":
                importlib.import_module(f"{package}.{module.name}")


def _rehearse() -> None:
    """Carry out what is asked all day, unseen: what Python and msgspec only make at the first use is there for everybody."""
    app = importlib.import_module("cleveragents_tui.cli.app")
    with contextlib.suppress(NeedsCallerError):
        for words in REHEARSED * REHEARSALS:
            if app.run(words, apart=True) != 0:
                break  # a daemon that does not answer, say


def _files() -> dict[str, tuple[int, int]]:
    """What was imported, and how to tell that it was replaced: its inode and time of change.

    Of ours each file. What others wrote is installed: that changes the directory that all of it is in.
    """
    modules = {name: getattr(module, "__file__", None) for name, module in list(sys.modules.items())}
    own = [file for name, file in modules.items() if file and name.partition(".")[0] in PACKAGES]
    places = [place for place in sys.path if "site-packages" in place and os.path.isdir(place)]  # noqa: PTH112  as above
    return {file: _version(file) for file in [*own, *places]}


def _version(file: str) -> tuple[int, int]:
    status = os.stat(file)  # noqa: PTH116  many files, for each command
    return status.st_ino, status.st_mtime_ns


def _replaced(files: Mapping[str, tuple[int, int]]) -> bool:
    try:
        return any(_version(file) != version for file, version in files.items())
    except OSError:
        return True


# --- the parent -----------------------------------------------------------------------------------------------------------


def _daemon(place: str) -> int:
    """A descriptor that becomes readable when the daemon, beside whose socket this one is, has ended.

    Raises:
        OSError: it has.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(os.path.join(os.path.dirname(place), "daemon.sock"))  # noqa: PTH118, PTH120  as all names here
        pid = peers.pid(connection)
    if sys.platform == "darwin":
        queue = select.kqueue()
        flags = select.KQ_EV_ADD | select.KQ_EV_ONESHOT
        queue.control([select.kevent(pid, select.KQ_FILTER_PROC, flags, select.KQ_NOTE_EXIT)], 0)
        return os.dup(queue.fileno())
    return os.pidfd_open(pid)


def _serve(parent: Parent, daemon: int, files: Mapping[str, tuple[int, int]]) -> None:
    """Have one spare after the other until it is time to end. Whoever is in the queue then does without us."""
    while True:
        taken = _spare(parent, files)
        ready, _, _ = select.select([taken, daemon], [], [], IDLE_SECONDS)
        if taken not in ready:
            return
        os.close(taken)
        time.sleep(LEAVE_SECONDS)


def _spare(parent: Parent, files: Mapping[str, tuple[int, int]]) -> int:
    """Fork one; what is returned becomes readable when it has a command, or is gone."""
    taken, free = os.pipe()
    if os.fork():
        os.close(free)
        return taken
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(taken)
        os.close(parent.alive)
        connection = _next(parent)
        os.close(free)
        if connection is not None:
            parent.listener.close()
            os.close(parent.lock)
            _attend(connection, parent, files)
        code = 0
    except BaseException:  # noqa: BLE001  as at the end of every Python program
        traceback.print_exc()
    os._exit(code)


def _leave(_number: int, _frame: object) -> NoReturn:
    raise SystemExit


# --- a spare ---------------------------------------------------------------------------------------------------------------


def _next(parent: Parent) -> socket.socket | None:
    """The next connection; None when the parent is gone."""
    while True:
        ready, _, _ = select.select([parent.listener, parent.life], [], [])
        if parent.listener in ready:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                return parent.listener.accept()[0]
        elif parent.life in ready:
            return None


def _attend(connection: socket.socket, parent: Parent, files: Mapping[str, tuple[int, int]]) -> None:
    """Carry out what comes over a connection, and answer."""
    if peers.uid(connection) != os.getuid():
        return
    connection.settimeout(REQUEST_SECONDS)
    try:
        connection.send(entry.GREETING)
        replaced = _replaced(files)
        content, descriptors = _receive(connection)
        request = _request(content)
    except (OSError, ValueError):  # it went away, or is none of ours; nothing was done
        return
    if replaced or request is None or len(descriptors) != STREAMS:
        connection.send(entry.HERE)
        if replaced and os.getppid() == parent.pid:
            os.kill(parent.pid, signal.SIGTERM)
    else:
        connection.send(_carried_out(connection, request, descriptors))


def _receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """One message and its descriptors.

    Raises:
        OSError: it did not arrive whole.
        ValueError: it is too long.
    """
    first, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, STREAMS, socket.MSG_CMSG_CLOEXEC)
    length = int.from_bytes(first[:4], "big")
    if len(first) < 4 or length > REQUEST_LIMIT:
        raise ValueError(length)
    content = bytearray(first[4:])
    while len(content) < length:
        chunk = connection.recv(1 << 16)
        if not chunk:
            raise ConnectionAbortedError
        content += chunk
    return bytes(content), descriptors


def _request(content: bytes) -> Request | None:
    """A message, read; None when this process would do it differently from the one that asks.

    Raises:
        ValueError: it is no request.
    """
    program, mask, count, *fields = content.split(b"\0")[:-1]
    arguments, pairs = fields[: int(count)], (field.partition(b"=") for field in fields[int(count) :])
    environ = {name: value for name, _, value in pairs}
    same = program == entry.identity() and _fixed(environ) == _fixed(os.environb)
    return Request(int(mask), arguments, environ) if same else None


def _fixed(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in environ.items() if name.startswith(_FIXED)}


def _carried_out(connection: socket.socket, request: Request, descriptors: Sequence[int]) -> bytes:
    """Be the command; the answer."""
    try:
        try:
            _become(request, descriptors)
            _heed(connection)
        except (OSError, ValueError):  # a variable without a name, say
            return entry.HERE
        code = importlib.import_module("cleveragents_tui.cli.app").run(sys.argv[1:], apart=True)
    except NeedsCallerError:
        return entry.HERE
    except KeyboardInterrupt:
        code = entry.INTERRUPTED
    except BaseException:  # noqa: BLE001  as at the end of every Python program
        traceback.print_exc()
        code = 1
    finally:
        signal.signal(signal.SIGIO, signal.SIG_IGN)
    return entry.DONE + bytes([code & 0xFF])


def _become(request: Request, descriptors: Sequence[int]) -> None:
    """Take on what a process has of its caller."""
    *streams, directory = descriptors
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.fchdir(directory)
    for descriptor in descriptors:
        os.close(descriptor)
    os.umask(request.umask)
    os.environb.clear()
    os.environb.update(request.environ)
    time.tzset()
    sys.argv[1:] = [os.fsdecode(argument) for argument in request.arguments]
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, _anew(getattr(sys, name), line_buffering=name == "stderr"))


def _anew(stream: io.TextIOWrapper, *, line_buffering: bool) -> io.TextIOWrapper:
    """The same stream as the interpreter would have made it for what its descriptor stands for now."""
    number = stream.fileno()
    file = io.FileIO(number, "r" if stream.readable() else "w", closefd=False)
    raw = io.BufferedReader(file) if stream.readable() else io.BufferedWriter(file)
    line_buffering = line_buffering or os.isatty(number)
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, newline="\n", line_buffering=line_buffering)


def _heed(connection: socket.socket) -> None:
    """Be interrupted when the one who asked is, and end when it does: both are told by a signal of the socket."""
    connection.settimeout(0)

    def heard(_number: int, _frame: object) -> None:
        try:
            said = connection.recv(64)
        except BlockingIOError:
            return
        if entry.INTERRUPT in said:
            signal.raise_signal(signal.SIGINT)
        elif not said:
            os.kill(os.getpid(), signal.SIGKILL)  # as it was killed itself

    signal.signal(signal.SIGIO, heard)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
    heard(signal.SIGIO, None)  # what came before that


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
