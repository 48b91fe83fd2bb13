"""One command of a step: spawn, log, exit code, adopt, end.

Decided here and only here: how a command outlives the daemon and how a new daemon takes it over. It runs under a small
`/bin/sh` (`wrapper`) that leads a session of its own (`families`); a signal only ever goes to a process that was
recognised by more than its number (`identities`). Whoever leaves that session is found by its mark (`marks`).
"""

import array
import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import termios
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from daemon import identities, marks, wrapper
from daemon.exit_watch import ExitWatch
from daemon.families import KILL_WAIT, Family
from daemon.identities import Likeness, ProcessIdentity, compare, identify
from daemon.wrapper import NEVER_RAN
from store import clock, errors

__all__ = [
    "NEVER_RAN",
    "Command",
    "Exit",
    "Likeness",
    "Process",
    "ProcessIdentity",
    "adopt",
    "compare",
    "end_job",
    "identify",
    "named",
    "start",
]

log = logging.getLogger(__name__)

COOKIE_NAMES = ("CA_JOB_ID", "CA_STEP_ID")
"""Environment variables that tell a step's processes from all others, whatever session they moved to."""

LEFTOVER_GRACE = 0.5
"""Seconds that background processes of a command which ended by itself have between SIGTERM and SIGKILL."""

_BEGIN_PAUSE = 0.005  # seconds between two looks whether a command that is to be ended has begun
_BEGIN_LOOKS = 400

_births = identities.Births()
_DEFAULT_SIGNALS = [number for number in signal.valid_signals() if number not in {signal.SIGKILL, signal.SIGSTOP}]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What to run and where its output and its exit code go.

    Attributes:
        argv: The program and its arguments.
        cwd: The working directory, absolute.
        environment: The whole environment, not additions to ours.
        umask: The file mode mask of the command.
        log: Gets stdout and stderr, appended; created 0600.
        output: Gets stdout in place of the log, from its beginning; created 0600.
        exit_file: Gets the exit code. An earlier one is removed at the start.
        stdin: A file to read; None is an empty input.
    """

    argv: list[str]
    cwd: Path
    environment: dict[str, str]
    umask: int
    log: Path
    exit_file: Path
    stdin: Path | None = None
    output: Path | None = None


class Exit(msgspec.Struct, frozen=True):
    """How a command ended.

    Attributes:
        code: As a shell reports it: 143 for SIGTERM, 127 for a program that does not exist, 126 for one that cannot be
            run; `NEVER_RAN` when it was ended, or its daemon died, before it was released; None when it is lost: the wrapper
            is gone, left no code, and was not ended by us.
        leftovers: Processes that it left behind when it ended by itself, and that had to be ended after it.
    """

    code: int | None
    leftovers: list[int] = []


async def start(command: Command) -> "Process":
    """Start a command that waits for `Process.release`; if the daemon dies before that, it never runs.

    Raises:
        CleverAgentsError: the log cannot be written, or no process can be made (`disk_full`, `permission_denied`,
            `not_found`, `internal`).
        InvalidArgumentError: an argument or a variable holds a NUL character.
    """
    try:
        return _spawn(command)
    except OSError as error:
        raise errors.from_os_error(error, f"cannot start {command.argv[0]!r} with the log {command.log}") from error
    except ValueError as error:
        raise errors.InvalidArgumentError(f"cannot start {command.argv[0]!r}: {error}") from error


async def adopt(
    identity: ProcessIdentity, exit_file: Path, cookie: dict[str, str]
) -> "Process | Exit | Literal[Likeness.UNKNOWN]":
    """Take over a command that an earlier daemon started, or learn how it ended while nobody looked.

    What an ended command left running in its session is ended here; of a lost one, everything.

    Args:
        identity: What `Process.identity` was.
        exit_file: The command's exit file.
        cookie: The variables of the command's environment that only its processes have; may be empty.
    """
    watch = None
    with contextlib.suppress(ProcessLookupError):
        watch = ExitWatch(identity.pid)
    # Only now, with the process held by descriptor, does the comparison speak of what will be waited for.
    likeness = compare(identity)
    family = Family(identity, cookie, _mark(identity, cookie))
    if watch is not None and likeness is Likeness.SAME:
        return Process(family, watch, lambda: wrapper.read_exit_file(exit_file), None)
    if watch is not None:
        watch.close()
    if likeness is Likeness.UNKNOWN:
        return Likeness.UNKNOWN
    code = wrapper.read_exit_file(exit_file)
    if identity.boot_id == clock.boot_id():
        family.forget_number()
        await _clear(family, code)
    return Exit(code, sorted(family.ended))


async def end_job(job_id: str, grace: float) -> list[int]:
    """End what the steps of a job left running, those that ended long ago included; whoever could not be is returned.

    Args:
        job_id: The job; no step of it runs any more.
        grace: Seconds between SIGTERM and SIGKILL.
    """
    return await Family(None, {COOKIE_NAMES[0]: job_id}, marks.of_job(job_id)).clear(grace)


def named(pids: Iterable[int]) -> str:
    """Processes with the names of their programs, for people: `4711 (sleep), 4712`."""
    programs = {pid: identities.program(pid) for pid in pids}
    return ", ".join(f"{pid} ({program})" if program else str(pid) for pid, program in programs.items())


class Process:
    """A command, running or waiting for release. Made by `start` and `adopt`."""

    def __init__(
        self, family: "Family", watch: "ExitWatch", read_code: Callable[[], int | None], go: int | None
    ) -> None:
        self._family = family
        self._watch = watch
        self._read_code = read_code
        self._go = go
        self._sent: signal.Signals | None = None
        self._released = go is None
        self._ended = asyncio.Event()
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._conclusion: asyncio.Task[None] | None = None
        self._ending = asyncio.Lock()
        watch.when_ended(self._on_end)

    @property
    def identity(self) -> ProcessIdentity:
        return self._family.leader

    @property
    def exit(self) -> asyncio.Future[Exit]:
        """How it ended, once nothing of it runs; for whoever waits and cancels nothing, which is cheaper than `wait`."""
        return self._exit

    def release(self) -> None:
        """Let the command run. The second call and one after the end do nothing."""
        if self._released or self._go is None:
            return
        self._released = True
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, wrapper.WORD)

    async def wait(self) -> Exit:
        """How it ended, once nothing of it runs. Any number of tasks may wait, and be cancelled."""
        return await asyncio.shield(self._exit)

    def send(self, number: signal.Signals) -> None:
        """Signal the whole group; nothing when the command has ended."""
        if not self._exit.done():
            if number is not signal.SIGCONT:
                self._sent = number
            self._watch.signal_group(number)

    async def end(self, grace: float) -> list[int]:
        """End the command and all that it started.

        Args:
            grace: Seconds between SIGTERM and SIGKILL.

        Returns:
            The processes that could not be ended.
        """
        async with self._ending:
            if self._exit.done():
                return []
            if self._conclusion is not None:
                await asyncio.wait([self._conclusion])
                return []
            try:
                return await self._end(grace)
            finally:
                # Not before: while the wrapper is a zombie of ours, its number belongs to nobody else.
                if self._ended.is_set():
                    self._finish(self._read_code())

    async def _end(self, grace: float) -> list[int]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        await self._begun()
        await self._family.warn_runaways()
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process does not see its SIGTERM
        if not self._released:
            self._close_go()
        await _within(grace, self._ended.wait())
        stubborn = await self._family.clear(deadline - loop.time(), watch=self._watch)
        # The wrapper, alone now, ends by itself: the code of a command that was killed is written like any other.
        if not await _within(KILL_WAIT, self._ended.wait()):
            self.send(signal.SIGKILL)
            await _within(KILL_WAIT, self._ended.wait())
        return stubborn if self._ended.is_set() else [self.identity.pid, *stubborn]

    async def _begun(self) -> None:
        """Until the command's shell has heard the word to go: what is sent to it earlier may be lost on it."""
        for _ in range(_BEGIN_LOOKS if self._released else 0):
            if self._go is None or self._ended.is_set() or not _unread(self._go):
                return
            await asyncio.sleep(_BEGIN_PAUSE)

    def _on_end(self) -> None:
        self._ended.set()
        if self._ending.locked():
            return
        code = self._read_code()
        if code is None or self._watch.signal_group(0):
            self._conclusion = asyncio.create_task(self._conclude(code), name=f"leftovers of {self.identity.pid}")
        else:
            self._finish(code)

    async def _conclude(self, code: int | None) -> None:
        try:
            await _clear(self._family, code, self._watch)
        finally:
            self._finish(code, sorted(self._family.ended))

    def _finish(self, code: int | None, leftovers: Sequence[int] = ()) -> None:
        if not self._released:
            code = NEVER_RAN
        elif code is None and self._sent is not None:
            code = 128 + self._sent  # ours: it took the wrapper too, before it could write
        self._close_go()
        self._watch.close()
        if not self._exit.done():
            self._exit.set_result(Exit(code, list(leftovers)))

    def _close_go(self) -> None:
        if self._go is not None:
            os.close(self._go)
            self._go = None


def _spawn(command: Command) -> Process:
    argv, environment = wrapper.wrap(
        command.argv,
        command.environment,
        umask=command.umask,
        cwd=command.cwd,
        stdin=command.stdin,
        exit_file=command.exit_file,
    )
    command.exit_file.unlink(missing_ok=True)
    with contextlib.ExitStack() as held:
        log = os.open(command.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        held.callback(os.close, log)
        out = log
        if command.output is not None:
            out = os.open(command.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            held.callback(os.close, out)
        wait, go = os.pipe()
        held.callback(os.close, wait)
        unreleased = held.enter_context(contextlib.ExitStack())
        unreleased.callback(os.close, go)
        before = _births.now()
        pid = os.posix_spawn(
            "/bin/sh",
            argv,
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for ours, theirs in ((wait, 0), (out, 1), (log, 2))],
            setsid=True,
            setsigmask=[],
            setsigdef=_DEFAULT_SIGNALS,
        )
        # Nothing of the command runs yet: its shell waits for the pipe, and ends by itself when that is closed.
        identity = ProcessIdentity(pid, _births.start_time(pid, before), clock.boot_id())
        cookie = _cookie(command.environment)
        mark = _mark(identity, cookie)
        marks.put(pid, mark)
        with contextlib.suppress(BrokenPipeError):
            os.write(go, wrapper.WORD)
        family = Family(identity, cookie, mark)
        process = Process(family, ExitWatch(pid), lambda: _reap(pid, command.exit_file), go)
        unreleased.pop_all()
        return process


def _cookie(environment: Mapping[str, str]) -> dict[str, str]:
    """Without its job a step's name is not unique, and then it tells nobody apart."""
    if COOKIE_NAMES[0] not in environment:
        return {}
    return {name: environment[name] for name in COOKIE_NAMES if name in environment}


def _mark(identity: ProcessIdentity, cookie: Mapping[str, str]) -> marks.Mark:
    """Known to the next daemon too, which has the same of both."""
    if not cookie:
        return marks.of_process(identity)
    return marks.of_step(cookie[COOKIE_NAMES[0]], cookie.get(COOKIE_NAMES[1], ""))


async def _clear(family: Family, code: int | None, watch: ExitWatch | None = None) -> None:
    """End what a command left that ended by itself: in its session, or everything when it is lost.

    A program that went into a session of its own is meant to stay, such as the server of a build tool.
    """
    stubborn = await family.clear(LEFTOVER_GRACE, everywhere=code is None, watch=watch)
    if stubborn:
        log.warning("left by process %d, could not be ended: %s", family.leader.pid, named(stubborn))


def _unread(pipe: int) -> int:
    """Bytes that nobody has read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def _reap(pid: int, exit_file: Path) -> int | None:
    with contextlib.suppress(ChildProcessError):
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
    return wrapper.read_exit_file(exit_file)


async def _within(seconds: float, awaitable: Awaitable[object]) -> bool:
    try:
        await asyncio.wait_for(awaitable, seconds)
    except TimeoutError:
        return False
    return True
