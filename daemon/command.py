"""What `python -P -m daemon start|run` does: one JSON line on stdout says how it went."""

import json
import os
import socket
import sys
import time

from daemon import detach, main
from store import errors, paths

START_SECONDS = 20.0


class _Attached(detach.Notify):
    """For `run`: the process stays in the foreground and says on stdout when it serves."""

    def __init__(self) -> None:
        self.error: errors.CleverAgentsError | None = None

    def ready(self, text: str) -> None:
        print(json.dumps({"ready": {"pid": int(text)}}), flush=True)  # noqa: T201  this is the command's output

    def failed(self, error: errors.CleverAgentsError) -> None:
        self.error = error


def start() -> dict[str, object]:
    """Have a daemon: a new one, or the one that another caller is starting at this moment."""
    home = paths.resolve()
    home.create()
    try:
        pid = int(detach.detach(lambda notify: main.serve(home, notify), log=home.daemon_log))
    except errors.AlreadyRunningError as error:
        if not _answers(home):
            raise
        pid = error.detail.get("pid")
    return {"pid": pid, "socket": str(home.socket)}


def _answers(home: paths.Paths) -> bool:
    """Whether the daemon that holds the lock takes connections, now or soon."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            try:
                sock.connect(str(home.socket))
            except OSError:
                time.sleep(0.02)
            else:
                return True
    return False


def run() -> int:
    """Be the daemon in the foreground."""
    os.umask(0o077)
    notify = _Attached()
    main.serve(paths.resolve(), notify)
    if notify.error is not None:
        raise notify.error
    return 0


def cli(arguments: list[str]) -> int:
    """The command; returns its exit code."""
    try:
        match arguments:
            case ["start"]:
                print(json.dumps({"ready": start()}))  # noqa: T201  this is the command's output
                return 0
            case ["run"]:
                return run()
            case _:
                raise errors.UsageError("python -P -m daemon start|run")
    except errors.CleverAgentsError as error:
        if arguments == ["run"]:
            print("\n  → ".join([error.message, *error.suggestions]), file=sys.stderr)  # noqa: T201  for who started it
            return error.exit_code
        document = {
            "code": error.code,
            "message": error.message,
            "detail": error.detail,
            "suggestions": error.suggestions,
        }
        print(json.dumps({"error": document}))  # noqa: T201  this is the command's output
        return error.exit_code
