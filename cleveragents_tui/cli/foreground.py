"""A command in the terminal of the one who runs `ca`: a process group of its own, signals passed on, job control kept."""

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

PASSED_ON = (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGUSR1, signal.SIGUSR2,
)  # fmt: skip
WAKING = (signal.SIGCHLD, signal.SIGCONT)
KILL_SECONDS = 5.0
"""How long the system may take to end what was killed."""
LOOK_SECONDS = 0.05
"""Between two looks at a group that is being ended: its members are not all children of ours."""


class Command:
    """A running command; signals that we get are its signals while the context lasts.

    With the terminal on both sides it gets the terminal's foreground, so that Ctrl-C, Ctrl-Z and questions are between it and
    the user. In a pipeline the foreground stays with all of it, and is given away when the command asks for it.
    """

    def __init__(self, words: Sequence[str], environ: Mapping[str, str], *, stdout: int | None = None) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        self._code: int | None = None
        self._terminal = next((number for number in (0, 1, 2) if os.isatty(number)), None)
        self._interactive = os.isatty(0) and os.isatty(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._handlers = self._handle()
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        try:
            self._process = subprocess.Popen(words, env=environ, stdout=stdout, preexec_fn=self._lead)  # noqa: PLW1509  one thread
        except BaseException:
            self._restore()
            raise
        for number in self._early:
            self._signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_terminal()
        self._restore()

    def wait(self, until: float) -> int | None:
        """Its exit code, 128+n for a signal; None when it still runs at `until` on the monotonic clock."""
        while True:
            self._look()
            left = until - time.monotonic()
            if self._code is not None or left <= 0:
                return self._code
            select.select([self._reader], [], [], left)
            with contextlib.suppress(BlockingIOError):
                while os.read(self._reader, 512):
                    pass

    def end(self, grace: float) -> None:
        """SIGTERM to its whole group, after `grace` seconds SIGKILL to what is left."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)
        if not self._gone_by(time.monotonic() + grace):
            self._signal(signal.SIGKILL)
            self._gone_by(time.monotonic() + KILL_SECONDS)

    def _gone_by(self, deadline: float) -> bool:
        """Whether its whole group is gone before `deadline`."""
        self.wait(deadline)
        while self._there() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        return not self._there()

    # --- the process -----------------------------------------------------------------------------------------------------

    def _lead(self) -> None:
        """In the new process, before the command: lead a group, in the terminal's foreground where it belongs there."""
        os.setpgid(0, 0)
        if self._interactive and self._in_foreground(os.getpgid(os.getppid())):
            self._give_terminal(os.getpid())

    @property
    def _group(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._group, number)

    def _there(self) -> bool:
        """Whether anything of its group is left."""
        self._look()
        try:
            os.killpg(self._group, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            return True
        return True

    def _look(self) -> None:
        """Note what became of it: it ended, or it was stopped."""
        assert self._process is not None, "it was started"
        while self._code is None:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                self._stopped(os.WSTOPSIG(status))
                continue
            code = os.waitstatus_to_exitcode(status)
            self._process.returncode = code
            self._code = code if code >= 0 else 128 - code

    # --- signals ---------------------------------------------------------------------------------------------------------

    def _handle(self) -> dict[int, Any]:
        """Handlers for what is not ignored: `nohup` stays in force."""
        handlers: dict[int, Callable[[int, FrameType | None], None]] = dict.fromkeys(PASSED_ON, self._pass_on)
        handlers |= dict.fromkeys(WAKING, _wake)
        wanted = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
        return {number: signal.signal(number, handler) for number, handler in wanted.items()}

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif self._code is None:
            self._signal(number)

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    # --- the terminal ----------------------------------------------------------------------------------------------------

    def _stopped(self, number: int) -> None:
        """It was stopped: for want of the terminal, which it gets if it is ours, or by the user, who wants us to stop too."""
        if number in {signal.SIGTTIN, signal.SIGTTOU} and self._in_foreground(os.getpgrp()):
            self._give_terminal(self._group)
        elif self._terminal is not None and _has_job_control():
            self._take_terminal()
            os.kill(os.getpid(), signal.SIGSTOP)
            if self._interactive and self._in_foreground(os.getpgrp()):
                self._give_terminal(self._group)
        elif number != signal.SIGTSTP or self._terminal is None:
            return  # whoever stopped it will continue it
        self._signal(signal.SIGCONT)

    def _in_foreground(self, group: int) -> bool:
        if self._terminal is None:
            return False
        try:
            return os.tcgetpgrp(self._terminal) == group
        except OSError:  # not the terminal of this session
            return False

    def _give_terminal(self, group: int) -> None:
        assert self._terminal is not None, "there is one that is in our hands"
        previous = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            with contextlib.suppress(OSError):
                os.tcsetpgrp(self._terminal, group)
        finally:
            signal.signal(signal.SIGTTOU, previous)

    def _take_terminal(self) -> None:
        if self._process is not None and self._in_foreground(self._group):
            self._give_terminal(os.getpgrp())


def _wake(_number: int, _frame: FrameType | None) -> None:
    """Only so that the wait ends."""


def _has_job_control() -> bool:
    """Whether there is a shell that would continue us if we stopped."""
    try:
        return os.getsid(os.getppid()) == os.getsid(0) and os.getpgid(os.getppid()) != os.getpgrp()
    except ProcessLookupError:
        return False
