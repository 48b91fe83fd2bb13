"""Having a warm process (`warm`): started by a command that had to do without."""

import contextlib
import fcntl
import os
import resource
import signal
import sys
import time
from pathlib import Path

LOCK = "ca.lock"
ENDING_SECONDS = 2.0
"""How long the end of the daemon waits for it at most."""
FIXED = ("PYTHON", "LC_", "LANG")
"""Beginnings of variables that an interpreter reads at its start only."""
FEW_FILES = 256
_KEPT = (*FIXED, "PATH", "HOME", "CLEVERAGENTS_HOME", "XDG_RUNTIME_DIR", "TMPDIR", "COV")
"""Beginnings of what it gets of the environment: each command brings its own, and no secret of one stays with others'."""


def start(place: bytes) -> None:
    """Leave a warm process behind, unless there is one, nobody wants it, or it would belong to a plan's step."""
    directory = os.path.dirname(place)  # noqa: PTH120  bytes
    if os.environ.get("CLEVERAGENTS_NO_AUTOSTART") == "1" or "CA_JOB_ID" in os.environ or _is_limited():
        return
    with contextlib.suppress(OSError):
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(os.path.join(directory, os.fsencode(LOCK)), flags, 0o600)  # noqa: PTH118  as above
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _spawn(place, lock)
        finally:
            os.close(lock)


def await_end(directory: Path) -> None:
    """Wait until the warm process of a run directory has ended, which it does when the daemon has."""
    deadline = time.monotonic() + ENDING_SECONDS
    with contextlib.suppress(FileNotFoundError), (directory / LOCK).open("rb") as lock:
        while time.monotonic() < deadline:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return
            time.sleep(0.002)


def _is_limited() -> bool:
    """Whether this process has less than others: what it leaves behind would have no more."""
    endless = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in endless)
        or 0 <= files < FEW_FILES
        or os.nice(0) > 0
    )


def _spawn(place: bytes, lock: int) -> None:
    """Run it in a session of its own, with nothing of ours but the lock that it holds for as long as it lives."""
    environ = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    for name in os.listdir("/dev/fd"):  # noqa: PTH208  numbers
        with contextlib.suppress(OSError):  # the one that was open for the list
            os.set_inheritable(int(name), int(name) == lock)
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "cleveragents_tui.warm", os.fsdecode(place), str(lock)],
        environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)],
        setsid=True,
        setsigmask=[],
        setsigdef=signal.valid_signals()
        - {signal.SIGKILL, signal.SIGSTOP},  # a shell has its background jobs ignore some
    )
