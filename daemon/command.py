"""What `python -P -m daemon start|recall|run|examine|repair|server …` does: one JSON line on stdout says how it went."""

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Generator
from typing import Literal

import msgspec

from daemon import detach, envelopes, main, repairing
from store import errors, paths

START_SECONDS = 20.0
RECALL_SECONDS = 5.0
"""How long a daemon that lost its socket may take to bind it again."""
LEAVING_SECONDS = 5.0
"""How long a daemon that failed to start may take to let go of its home."""


class _Attached(detach.Notify):
    """For `run`: the process stays in the foreground and says on stdout when it serves."""

    def __init__(self) -> None:
        self.error: errors.CleverAgentsError | None = None
        self.serves = False

    def ready(self, text: str) -> None:
        self.serves = True
        print(json.dumps({"ready": {"pid": int(text)}}), flush=True)  # noqa: T201  this is the command's output

    def failed(self, error: errors.CleverAgentsError) -> None:
        self.error = error


def start() -> dict[str, object]:
    """Have a daemon: a new one, the one that another caller is starting at this moment, or one that had lost its socket."""
    home = paths.resolve()
    home.create()
    deadline = time.monotonic() + START_SECONDS
    recalled = False
    while True:
        try:
            pid = int(detach.detach(lambda notify: main.serve(home, notify), log=home.daemon_log))
        except errors.AlreadyRunningError as error:
            if "pid" not in error.detail:  # not a daemon: something is in the socket's place
                raise
            answer = _answers(home, deadline)
            if answer is None:
                if time.monotonic() > deadline:
                    raise
                continue
            pid, recalled = error.detail["pid"], answer == "recalled"
        return {"pid": pid, "socket": str(home.socket), "recalled": recalled}


def recall() -> bool:
    """Whether a daemon takes connections, one that lost its socket after it was told.

    Raises:
        DaemonUnavailableError: one has the home, and nobody can talk to it.
    """
    home = paths.resolve()
    there = _answers(home, time.monotonic() + RECALL_SECONDS) is not None
    if not there:
        lock = detach.InstanceLock.acquire(home.lock_file)
        if lock is None:
            raise errors.DaemonUnavailableError(
                f"a daemon runs, and nobody listens at {home.socket}", suggestions=["ca daemon logs"]
            )
        lock.release()
    return there


def _answers(home: paths.Paths, deadline: float) -> Literal["there", "recalled"] | None:
    """Whether the daemon that has the home takes connections, now or soon; not if it was one that left meanwhile.

    It was recalled when it had to be told that its socket is gone.
    """
    told = False
    while time.monotonic() < deadline:
        served = detach.PidFile.holder(home.pid_file) is not None  # it was written when the socket was there
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, contextlib.suppress(OSError):
            sock.settimeout(START_SECONDS)
            sock.connect(str(home.socket))
            return "recalled" if told else "there"
        if (lock := detach.InstanceLock.acquire(home.lock_file)) is not None:
            lock.release()
            return None
        told = told or (served and detach.PidFile.recall(home.pid_file))
        time.sleep(0.02)
    return None


def run(*, structured: bool) -> None:
    """Be the daemon in the foreground; `structured` says that a refusal is for a program."""
    os.umask(0o077)
    began = time.monotonic()
    notify = _Attached()
    try:
        main.serve(paths.resolve(), notify)
        if notify.error is not None:
            raise notify.error
    except errors.CleverAgentsError as error:
        if notify.serves or not structured:
            raise
        print(json.dumps(envelopes.refused("daemon run", error, began)))  # noqa: T201  this is the command's output
        raise SystemExit(error.exit_code) from error


def examine() -> repairing.Examination:
    """Check a home in which no daemon runs."""
    home = paths.resolve()
    with _alone(home):
        return repairing.examine(home)


def repair() -> str:
    """Restore a damaged store; says what was done."""
    home = paths.resolve()
    with _alone(home):
        return repairing.repair(home)


@contextlib.contextmanager
def _alone(home: paths.Paths) -> Generator[None]:
    """Have the home for oneself.

    Raises:
        AlreadyRunningError: a daemon has it.
    """
    home.create()
    deadline = time.monotonic() + LEAVING_SECONDS
    while (lock := detach.InstanceLock.acquire(home.lock_file)) is None:
        if time.monotonic() > deadline:
            raise errors.AlreadyRunningError(
                "a daemon runs in this home, and only it may touch the store",
                suggestions=["ca daemon stop", "ca daemon status"],
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def cli(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    try:
        match arguments:
            case ["start"]:
                print(json.dumps({"ready": start()}))  # noqa: T201  this is the command's output
            case ["recall"]:
                print(json.dumps({"recalled": {"there": recall()}}))  # noqa: T201  this is the command's output
            case ["run"] | ["run", "structured"]:
                run(structured=len(arguments) > 1)
            case ["examine"]:
                print(msgspec.json.encode({"examined": examine()}).decode())  # noqa: T201  this is the command's output
            case ["repair"]:
                os.umask(0o077)
                print(json.dumps({"repaired": {"done": repair()}}))  # noqa: T201  this is the command's output
            case ["server", *rest]:
                from daemon.team import command as team  # noqa: PLC0415  the sidecar needs nothing of it

                team.carry_out(rest)
            case _:
                raise errors.UsageError("python -P -m daemon start|recall|run|examine|repair|server")
    except errors.CleverAgentsError as error:
        if arguments[:1] == ["run"] or arguments[:2] == ["server", "serve"]:
            print("\n  → ".join([error.message, *error.suggestions]), file=sys.stderr)  # noqa: T201  for who started it
            return error.exit_code
        print(json.dumps({"error": envelopes.body(error)}))  # noqa: T201  this is the command's output
        return error.exit_code
    return 0
