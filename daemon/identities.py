"""Who a process is, beyond its number, and whether it still lives."""

import enum
import os
import sys
import time
from collections.abc import Mapping

import msgspec

from store import clock

PROC = "/proc"
"""Where Linux shows its processes."""

_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")  # nanoseconds


class ProcessIdentity(msgspec.Struct, frozen=True):
    """A process for all times: no other process of this machine, before or after, has the same three values.

    Attributes:
        pid: Its number.
        start_time: When it started: ticks since boot (Linux), microseconds since 1970 (macOS).
        boot_id: The boot of the machine that it belongs to.
    """

    pid: int
    start_time: int
    boot_id: str


class Likeness(enum.Enum):
    """Is the process that now has the number the one that was recorded?"""

    SAME = "same"  # it is, and it lives
    DIFFERENT = "different"  # the recorded one has ended
    UNKNOWN = "unknown"  # cannot tell; nobody may be signalled


def identify(pid: int) -> ProcessIdentity | None:
    """The identity of a living process; None when there is none, it is a zombie, or it cannot be seen."""
    try:
        found = look(pid)
    except OSError:
        return None
    if found is None or found.zombie:
        return None
    return found.identity(pid)


def compare(identity: ProcessIdentity) -> Likeness:
    """Does the recorded process still live? A zombie has ended, and so has everything of another boot."""
    if identity.boot_id != clock.boot_id():
        return Likeness.DIFFERENT
    try:
        found = look(identity.pid)
    except OSError:
        return Likeness.UNKNOWN
    if found is None or found.zombie or found.start_time != identity.start_time:
        return Likeness.DIFFERENT
    return Likeness.SAME


class Look(msgspec.Struct, frozen=True):
    """One look at a living process or a zombie."""

    start_time: int
    zombie: bool
    parent: int = 0

    def identity(self, pid: int) -> ProcessIdentity:
        """Of the process that was looked at."""
        return ProcessIdentity(pid, self.start_time, clock.boot_id())


def look(pid: int) -> Look | None:
    """What the system says of a number; None when no process has it.

    Raises:
        OSError: a process has it, but more is not told.
    """
    return _look_in_proc(pid) if sys.platform == "linux" else _look_by_psutil(pid)


class Births:
    """When the processes started that we start, mostly without a look at them.

    Linux counts a start by a clock that everybody can read, in ticks of a hundredth of a second: a child that was made
    within one tick started in it. A look would be a tenth of what a child costs us; when there has to be one, it also
    shows whether this system does count like that.
    """

    def __init__(self) -> None:
        self._by_clock = False

    def now(self) -> int:
        """The present moment as a start time; to be asked for just before a child is made."""
        if sys.platform != "linux":
            return 0
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // _TICK

    def start_time(self, pid: int, before: int) -> int:
        """When a child started that was made after the moment `before`; 0 when it is gone and its start is in doubt.

        Raises:
            OSError: the system does not tell.
        """
        after = self.now()
        if self._by_clock and before == after:
            return before
        seen = look(pid)
        if seen is None:
            return 0
        self._by_clock = sys.platform == "linux" and before <= seen.start_time <= after
        return seen.start_time


def everybody() -> list[int]:
    """The numbers of all processes that can be seen; the newest are mostly the last."""
    if sys.platform == "linux":
        return [int(name) for name in os.listdir(PROC) if name.isdigit()]  # noqa: PTH208  names, not paths
    import psutil  # noqa: PLC0415

    return psutil.pids()


def is_older(one: ProcessIdentity, other: ProcessIdentity) -> bool:
    """Whether one started before the other; known only where the clock of starts is never set."""
    return sys.platform == "linux" and one.start_time < other.start_time


def carries(pid: int, variables: Mapping[str, str]) -> bool:
    """Whether the process was started with these variables in its environment; at least one has to be asked for."""
    environment = _environment_in_proc(pid) if sys.platform == "linux" else _environment_by_psutil(pid)
    wanted = {os.fsencode(f"{name}={value}") for name, value in variables.items()}
    return bool(wanted) and wanted.issubset(environment)


def program(pid: int) -> str:
    """The name of a process's program; empty when it cannot be seen."""
    import psutil  # noqa: PLC0415

    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return ""


def _environment_in_proc(pid: int) -> list[bytes]:
    try:
        with open(f"{PROC}/{pid}/environ", "rb") as file:  # noqa: PTH123  for each process: no path to build
            return file.read().split(b"\0")
    except OSError:
        return []


def _environment_by_psutil(pid: int) -> list[bytes]:
    import psutil  # noqa: PLC0415

    try:
        return [os.fsencode(f"{name}={value}") for name, value in psutil.Process(pid).environ().items()]
    except (psutil.Error, OSError):
        return []


def _look_by_psutil(pid: int) -> Look | None:
    import psutil  # noqa: PLC0415

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            start_time = round(process.create_time() * clock.SECOND)
            return Look(start_time, process.status() == psutil.STATUS_ZOMBIE, process.ppid())
    except psutil.ZombieProcess:
        return Look(0, zombie=True)
    except (psutil.NoSuchProcess, ValueError):  # ValueError: a negative number
        return None
    except psutil.AccessDenied as error:
        raise PermissionError(str(error)) from error


def _look_in_proc(pid: int) -> Look | None:
    try:
        descriptor = os.open(f"{PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.read(descriptor, 1024)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        if pid > 0 and _exists(pid):
            raise PermissionError(f"process {pid} cannot be seen") from None
        return None
    # The name, in parentheses, may hold anything; fields 3 (state), 4 (parent), 20 (threads) and 22 (start time) are
    # counted from its end. With threads left, only the first one of them has ended.
    fields = content[content.rindex(b")") + 2 :].split()
    return Look(int(fields[19]), fields[0] in {b"Z", b"X"} and int(fields[17]) <= 1, int(fields[1]))


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
