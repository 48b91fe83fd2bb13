"""Programs that leave their step as far as a program can without another user: for tests of how they are ended."""

import os
import shlex
import signal
from pathlib import Path

import psutil

from tests.waiting import wait_until


def escape(pid_file: Path, *, stubborn: bool = False) -> str:
    """A shell command: a double fork, a session of its own, an empty environment, another directory, no streams.

    It returns at once; who got away writes its number into the file, and stays. A stubborn one ignores SIGTERM.
    """
    trap = "trap '' TERM; " if stubborn else ""
    stay = f'{trap}echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep 1000'
    leave = f'cd /; /bin/sh -c {shlex.quote(stay)} "$0" <&- >&- 2>&- &'
    return f"env -i setsid /bin/sh -c {shlex.quote(leave)} {shlex.quote(str(pid_file))}"


def found(pid_file: Path) -> psutil.Process:
    """Who got away, once it did."""
    wait_until(pid_file.exists)
    return psutil.Process(int(pid_file.read_text()))


def runs(process: psutil.Process) -> bool:
    """Whether it still does; a zombie does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end(process: psutil.Process) -> None:
    """End who was meant to stay."""
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not runs(process))
