"""The mark: a number that all processes of a command inherit, by which they are found wherever they went.

It is the soft limit RLIMIT_LOCKS. Linux passes it on over fork and exec, shows it to everybody, and has not enforced it
since 2.4.25, so that no program has a reason to change it: a double fork, a session of its own, an empty environment
and another user leave it as it is. The hard limit stays, so that a daemon which itself runs in a step can mark its own.
"""

import contextlib
import functools
import hashlib
import logging
import os
import resource
import select
import shutil
import signal
import sys

import msgspec

from daemon import identities
from daemon.exit_watch import ExitWatch
from daemon.identities import ProcessIdentity

log = logging.getLogger(__name__)

_RLIMIT_LOCKS = 10  # the module `resource` has no name for it
_NAME = "Max file locks"  # its line in /proc/PID/limits
_OURS = 1 << 61  # no limit that somebody sets by hand is as large
_JOB_BITS, _STEP_BITS = 37, 24


class Mark(msgspec.Struct, frozen=True):
    """Tells the processes of one step, or of a whole job.

    Attributes:
        number: What they carry.
        mask: Which bits of it count.
    """

    number: int
    mask: int = -1

    def is_on(self, pid: int) -> bool:
        """Whether the process carries it.

        Raises:
            ProcessLookupError: there is no such process.
        """
        found = _read(pid)
        return found is not None and found & self.mask == self.number


def of_step(job_id: str, step_id: str) -> Mark:
    """The mark of a step; the next daemon finds the same."""
    return Mark(of_job(job_id).number | _digest(f"{job_id}/{step_id}", _STEP_BITS))


def of_job(job_id: str) -> Mark:
    """What the marks of all steps of a job have in common."""
    return Mark(_OURS | _digest(job_id, _JOB_BITS) << _STEP_BITS, -1 << _STEP_BITS)


def of_process(identity: ProcessIdentity) -> Mark:
    """The mark of a command that belongs to no job."""
    return of_step(f"{identity.boot_id}/{identity.start_time}", str(identity.pid))


def put(pid: int, mark: Mark) -> bool:
    """Mark a process of ours, and so all that it will start; False where that is impossible, which is logged once."""
    refusal = _put(pid, mark)
    if refusal is not None:
        _tell(refusal)
    return refusal is None


class Level(msgspec.Struct, frozen=True):
    """How far the end of a step reaches on this machine.

    Attributes:
        whole: Whether a process is found that left its session and emptied its environment.
        sentence: The same in words.
    """

    whole: bool
    sentence: str


def probe() -> Level:
    """Try it: mark a shell, let it start such a process and go, find that by the mark and end it; takes milliseconds."""
    try:
        refusal = _try()
    except OSError as error:
        refusal = str(error)
    if refusal is None:
        return Level(
            whole=True, sentence="a step is ended with everything that it started, as a try just now has shown"
        )
    text = f"a process that leaves its step's session and empties its environment may survive the step's end: {refusal}"
    return Level(whole=False, sentence=text)


def _digest(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()) >> 64 - bits


@functools.cache
def _tell(refusal: str) -> None:
    log.warning("processes of steps cannot be marked: %s", refusal)


def _put(pid: int, mark: Mark) -> str | None:
    """Why it is impossible; None when it is done."""
    if sys.platform != "linux":  # pragma: no cover  measured on Linux
        return f"{sys.platform} has nothing that every process inherits and no program touches"
    try:
        _, hard = resource.prlimit(pid, _RLIMIT_LOCKS)
        resource.prlimit(pid, _RLIMIT_LOCKS, (mark.number, hard))
    except (OSError, ValueError) as error:  # ValueError: the hard limit is lower
        return f"the system refuses to set the limit RLIMIT_LOCKS: {error}"
    return None


def _read(pid: int) -> int | None:
    if sys.platform != "linux":  # pragma: no cover  measured on Linux
        return None
    try:
        return resource.prlimit(pid, _RLIMIT_LOCKS)[0]
    except ProcessLookupError:
        raise
    except OSError:  # another user's
        return _read_in_proc(pid)


def _read_in_proc(pid: int) -> int | None:
    try:
        with open(f"{identities.PROC}/{pid}/limits", encoding="ascii") as file:  # noqa: PTH123  no path to build
            line = next(line for line in file if line.startswith(_NAME))
        return int(line.removeprefix(_NAME).split()[0])
    except (OSError, StopIteration, ValueError):  # gone, hidden, or unlimited
        return None


_SCRIPT = """\
IFS= read -r go || exit
(cd / && exec "$@" /bin/sh -c "IFS= read -r end" <&3 3<&- >/dev/null 2>&1 &)
"""
_PATIENCE = 2000
"""Milliseconds for a process that got SIGKILL."""


def _try() -> str | None:
    """Why it does not work; None when it does."""
    setsid = shutil.which("setsid")
    away = ["/usr/bin/env", "-i", *([setsid] if setsid else [])]
    wait, go = os.pipe()
    held, hold = os.pipe()
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", _SCRIPT, "ca-probe", *away],
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, wait, 0), (os.POSIX_SPAWN_DUP2, held, 3)],
            setsid=True,
        )
        mark = of_step(f"probe of {os.getpid()}", str(pid))
        refusal = _put(pid, mark)
        if refusal is None:
            os.write(go, b"\n")
        os.close(go)
        go = -1
        os.waitpid(pid, 0)
        os.close(held)
        held = -1
        return refusal or _find_and_end(mark, hold)
    finally:
        # Whatever was started reads from these, and ends with them.
        for descriptor in (wait, go, held, hold):
            if descriptor != -1:
                os.close(descriptor)


def _find_and_end(mark: Mark, hold: int) -> str | None:
    ended = select.poll()
    ended.register(hold, 0)  # tells when nobody is left who could read from it
    found: list[int] = []
    for pid in identities.everybody():
        with contextlib.suppress(ProcessLookupError):
            if mark.is_on(pid):
                found.append(pid)
    for pid in found:
        with contextlib.suppress(ProcessLookupError), contextlib.closing(ExitWatch(pid)) as watch:
            if mark.is_on(pid):
                watch.signal(signal.SIGKILL)
    if not found:
        return "a process that was marked started another one, and that had no mark"
    return None if ended.poll(_PATIENCE) else f"process {found[0]} was found, but could not be ended"
