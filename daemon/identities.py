"""Who a process is, beyond its number, and whether it still lives."""

import enum
import os
import sys

import msgspec

from store import clock

PROC = "/proc"
"""Where Linux shows its processes."""


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
    return ProcessIdentity(pid, found.start_time, clock.boot_id())


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


def look(pid: int) -> Look | None:
    """What the system says of a number; None when no process has it.

    Raises:
        OSError: a process has it, but more is not told.
    """
    return _look_in_proc(pid) if sys.platform == "linux" else _look_by_psutil(pid)


def _look_by_psutil(pid: int) -> Look | None:
    import psutil  # noqa: PLC0415

    try:
        process = psutil.Process(pid)
        return Look(round(process.create_time() * clock.SECOND), process.status() == psutil.STATUS_ZOMBIE)
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
    # The name, in parentheses, may hold anything; fields 3 (state) and 22 (start time) are counted from its end.
    fields = content[content.rindex(b")") + 2 :].split()
    return Look(int(fields[19]), fields[0] in {b"Z", b"X"})


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
