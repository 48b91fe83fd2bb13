"""Becoming a daemon, and being the only one: for the sidecar and for the team server.

Decided here and only here: what a daemon keeps of its caller (nothing but its environment), how the caller learns that
it serves or why it does not, what makes it the only instance (a kernel lock), and what is believed of a PID file (who
holds it, never that somebody does).
"""

import contextlib
import errno
import fcntl
import io
import os
import signal
import stat
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from daemon import processes
from store import errors

PID_FILE_LIMIT = 4096
"""Bytes; a longer file is none of ours."""

LAST_LINES = 10
"""How much of the log the error shows when a daemon dies before it serves."""

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


class InstanceLock:
    """The kernel's lock that makes an instance the only one: held until `release` or the end of the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> "InstanceLock | None":
        """The lock on `path`, or None when another process holds it. The file is made 0600 and never deleted.

        Raises:
            PermissionDeniedError: the file is a symbolic link, or may not be opened.
            InvalidConfigError: there is something else at the file's place, or its file system has no locks.
            CleverAgentsError: the file cannot be made (`disk_full`, `not_found`, `internal`).
        """
        descriptor = _open_lock_file(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LOCKS:
                raise errors.from_os_error(error, f"cannot lock {path}") from error
            raise errors.InvalidConfigError(
                f"the file system of {path} has no file locks: {error.strerror}",
                suggestions=["set CLEVERAGENTS_HOME to a directory on a local disk"],
            ) from error
        return cls(descriptor)

    def release(self) -> None:
        """Let another instance be the one. The second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class PidFile(msgspec.Struct, frozen=True, kw_only=True):
    """Which process serves, and where: information, never proof.

    Attributes:
        pid: Its number, with `start_time` and `boot_id` its `ProcessIdentity`.
        version: Of the package that it runs.
        socket: The sidecar's socket.
        url: Where the team server answers.
    """

    pid: int
    start_time: int
    boot_id: str
    version: str
    socket: str | None = None
    url: str | None = None

    @property
    def identity(self) -> processes.ProcessIdentity:
        return processes.ProcessIdentity(self.pid, self.start_time, self.boot_id)

    @classmethod
    def here(cls, *, version: str, socket: str | None = None, url: str | None = None) -> "PidFile":
        """What this process writes of itself."""
        identity = processes.identify(os.getpid())
        if identity is None:
            raise errors.InternalError("the system does not tell when this process started")
        return cls(version=version, socket=socket, url=url, **msgspec.structs.asdict(identity))

    @staticmethod
    def write(path: Path, info: "PidFile") -> None:
        """Write it, 0600, so that a reader sees the old file or the new one.

        Raises:
            CleverAgentsError: the directory cannot be written (`disk_full`, `permission_denied`, …).
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(info) + b"\n")
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise errors.from_os_error(error, f"cannot write the PID file {path}") from error

    @staticmethod
    def read(path: Path) -> "PidFile | None":
        """What the file says; None when there is none, or none that could be one."""
        try:
            # O_NONBLOCK: a pipe at the file's place has nobody who writes into it
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return None
                content = file.read(PID_FILE_LIMIT + 1)
            info = msgspec.json.decode(content, type=PidFile)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return info if len(content) <= PID_FILE_LIMIT and info.pid > 0 else None

    @staticmethod
    def holder(path: Path) -> "PidFile | None":
        """What the file says, if the process that it names is alive and the very same."""
        info = PidFile.read(path)
        if info is None or processes.compare(info.identity) is not processes.Likeness.SAME:
            return None
        return info

    @staticmethod
    def recall(path: Path) -> bool:
        """Tell the process that the file names that its socket is gone; False when it does not live."""
        info = PidFile.holder(path)
        if info is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(info.pid, signal.SIGHUP)
        return info is not None

    @staticmethod
    def remove(path: Path) -> None:
        """Remove the file if it names this process."""
        info = PidFile.read(path)
        if info is not None and info.identity == processes.identify(os.getpid()):
            path.unlink(missing_ok=True)


class Notify:
    """The daemon's one word to the process that started it. Only the first call counts."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def ready(self, text: str) -> None:
        """It serves; `text` is what `detach` returns."""
        self._say(_Word(ready=text))

    def failed(self, error: errors.CleverAgentsError) -> None:
        """It will not serve; `detach` raises this error."""
        self._say(_Word(code=error.code, message=error.message, detail=error.detail, suggestions=error.suggestions))

    def _say(self, word: "_Word") -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
            pipe.write(msgspec.json.encode(word))


class _Word(msgspec.Struct, frozen=True, kw_only=True):
    ready: str | None = None
    code: str = ""
    message: str = ""
    detail: dict[str, object] = {}
    suggestions: list[str] = []


def detach(main: Callable[[Notify], None], *, log: Path, what: str = "daemon") -> str:
    """Run `main` in a daemon and wait until it serves.

    Args:
        main: Runs in the daemon; calls `Notify.ready` once it serves, or `Notify.failed`. A `CleverAgentsError` that
            leaves it before counts as `failed`.
        log: Where the daemon's standard streams go; made 0600, with its directory.
        what: What messages call it.

    Returns:
        The text given to `Notify.ready`.

    Raises:
        CleverAgentsError: the error given to `Notify.failed`; or the log cannot be opened.
        InternalError: the daemon died before it said anything.
    """
    log = log.absolute()
    log_descriptor = _open_log(log)
    begin = os.fstat(log_descriptor).st_size
    try:
        listen, say = _pipe()
    except OSError as error:
        os.close(log_descriptor)
        raise errors.from_os_error(error, f"cannot start the {what}") from error
    _flush()
    try:
        child = os.fork()
        if child == 0:
            _leave_the_caller(main, say, log_descriptor)
    except OSError as error:
        os.close(listen)
        raise errors.from_os_error(error, f"cannot start the {what}") from error
    finally:
        os.close(say)
        os.close(log_descriptor)
    with os.fdopen(listen, "rb") as pipe:
        content = pipe.read()
    with contextlib.suppress(ChildProcessError):  # a caller that ignores SIGCHLD has no children to wait for
        os.waitpid(child, 0)
    return _hear(content, log, begin, what)


def _hear(content: bytes, log: Path, begin: int, what: str) -> str:
    """What the daemon's word means here."""
    try:
        word = msgspec.json.decode(content, type=_Word)
    except msgspec.DecodeError as error:
        lines = _last_lines(log, begin)
        said = "its log ends with:\n" + "\n".join(f"    {line}" for line in lines) if lines else "its log says nothing"
        raise errors.InternalError(
            f"the {what} ended before it could serve; {said}",
            detail={"log": os.fspath(log), "last_lines": lines},
            suggestions=[f"read {log}"],
        ) from error
    if word.ready is None:
        raise errors.from_code(word.code, word.message, word.detail, word.suggestions)
    return word.ready


def _leave_the_caller(main: Callable[[Notify], None], say: int, log_descriptor: int) -> NoReturn:
    """The first child: a session of its own, then a second child that can never get a terminal again."""
    code = 1
    try:
        os.setsid()
        code = _run(main, say, log_descriptor) if os.fork() == 0 else 0
    except BaseException:  # noqa: BLE001  nothing of the caller's may run on in a child
        os.write(log_descriptor, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _run(main: Callable[[Notify], None], say: int, log_descriptor: int) -> int:
    """The daemon: cut all that ties it to the caller, then `main`."""
    os.umask(0o077)
    os.chdir("/")
    _reset_signals()
    _replace_streams(log_descriptor)
    _close_inherited(keep=say)
    notify = Notify(say)
    try:
        main(notify)
    except errors.CleverAgentsError as error:
        traceback.print_exc()
        notify.failed(error)
        return error.exit_code
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001  the log is the only place that can still hear of it
        traceback.print_exc()
        return 1
    finally:
        _flush()
    return 0


def _reset_signals() -> None:
    """What the caller ignores (SIGHUP under nohup, SIGINT behind `&`) or blocks is not the daemon's affair."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # as the interpreter itself begins: errors instead of signals
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _replace_streams(log_descriptor: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log_descriptor, 1)
    os.dup2(log_descriptor, 2)
    if null > 2:
        os.close(null)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _stream(1)
    sys.stderr = _stream(2)


def _stream(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def _close_inherited(keep: int) -> None:
    """An end of the caller's pipe that stayed open would let `x=$(ca daemon start)` wait for ever."""
    try:
        opened = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208  names, not paths
    except OSError:
        opened = range(3, os.sysconf("SC_OPEN_MAX"))
    for descriptor in opened:
        if descriptor > 2 and descriptor != keep:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def _flush() -> None:
    """What is buffered is written once, by its owner, not again by each copy of the process."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _above_streams(descriptor: int) -> int:
    """The same, out of the way of 0, 1 and 2, which a caller may have closed."""
    if descriptor > 2:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def _pipe() -> tuple[int, int]:
    listen, say = os.pipe()
    return _above_streams(listen), _above_streams(say)


def _open_log(log: Path) -> int:
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        return _above_streams(os.open(log, flags, 0o600))
    except OSError as error:
        raise errors.from_os_error(error, f"cannot open the log {log}") from error


def _open_lock_file(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK}:
            raise errors.PermissionDeniedError(
                f"{path} is a symbolic link; the lock file must be a file", suggestions=[f"remove the link {path}"]
            ) from error
        raise errors.from_os_error(error, f"cannot open the lock file {path}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise errors.InvalidConfigError(f"{path} is not a file", suggestions=[f"move {path} out of the way"])
    return descriptor


def _last_lines(log: Path, begin: int) -> list[str]:
    """The end of what this daemon wrote; nothing of earlier ones."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin, size - 8192))
            return file.read(8192).decode("utf-8", "replace").splitlines()[-LAST_LINES:]
    except OSError:
        return []
