"""A team server of one's own: its processes do the work, and whoever wants something of them sends an order.

Nothing here opens a store.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from daemon.team import orders
from store import errors

HOST = "127.0.0.1"
PORT = 8420
RATE = 1000.0
"""Requests a second and token."""
STOPPING_SECONDS = 10
"""Until a server that does not end is killed."""
COMMAND = (sys.executable, "-P", "-m", "daemon", "server")

V = TypeVar("V")


def encoded(order: orders.Order) -> str:
    """An order as the last argument of `COMMAND`.

    Raises:
        InvalidArgumentError: something in it is not UTF-8.
    """
    try:
        return msgspec.json.encode(order).decode()
    except UnicodeEncodeError as error:
        raise errors.InvalidArgumentError(
            "an argument is not UTF-8", suggestions=["use names and paths that are"]
        ) from error


def ask(environ: Mapping[str, str], log: Path, order: orders.Order, answer: type[V]) -> V:
    """Have the host's process carry out an order; waits for it.

    Args:
        environ: What the process gets, with the home in it.
        log: Where the server writes what went wrong.
        order: What to do.
        answer: The type of what it says then.

    Raises:
        CleverAgentsError: why it was not, in its own words.
    """
    done = subprocess.run(
        [*COMMAND, encoded(order)],
        env=dict(environ),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    try:
        said = msgspec.json.decode(done.stdout, type=dict[str, dict[str, Any]])
        if "answer" in said:
            return msgspec.convert(said["answer"], answer)
        refused = said["error"]
    except (msgspec.MsgspecError, KeyError) as error:
        last = (done.stderr + done.stdout).decode(errors="replace").strip().rpartition("\n")[2]
        raise errors.InternalError(
            f"the team server's command did not say how it went: {last or f'exit {done.returncode}'}",
            suggestions=[f"read {log}"],
        ) from error
    raise errors.from_code(refused["code"], refused["message"], refused["detail"], refused["suggestions"])
