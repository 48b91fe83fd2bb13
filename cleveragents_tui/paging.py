"""The pager: when there is one, and what it is told."""

import os
import re
import signal
from collections.abc import Mapping

DEFAULT = "less"
OPTIONS = "FRX"
"""For `less`, unless the user has options of his own: leave when all fits, pass colours on, do not clear the screen."""

_NOT_STARTED = {126, 127}
"""What a shell says of a program that it could not start."""
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def command(environ: Mapping[str, str]) -> str | None:
    """The user's pager as text for the shell; None when nothing shall be paged."""
    if environ.get("TERM") == "dumb":
        return None
    chosen = environ.get("PAGER")
    if chosen is None:
        directories = environ.get("PATH", os.defpath).split(os.pathsep)
        return DEFAULT if any(os.access(os.path.join(place, DEFAULT), os.X_OK) for place in directories) else None  # noqa: PTH118  a PATH
    return None if chosen.strip() in {"", "cat"} else chosen


def overflows(content: bytes, columns: int, rows: int) -> bool:
    """Whether the text needs more than a screen, which keeps one row for the prompt."""
    if content.count(b"\n") >= rows:
        return True
    lines = _SEQUENCE.sub("", content.decode(errors="replace")).split("\n")
    return sum(max(1, -(-len(line.expandtabs()) // columns)) for line in lines) > rows


def show(pager: str, content: bytes, environ: Mapping[str, str]) -> bool:
    """Hand the text to the pager and wait until it is left; False when the pager could not be started."""
    import subprocess  # noqa: PLC0415  slow to import, and most output fits its screen

    # Ctrl-C is the pager's business. A handler that does nothing is not inherited, as ignoring the signal would be.
    before = signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        process = subprocess.Popen(["/bin/sh", "-c", pager], stdin=subprocess.PIPE, env={"LESS": OPTIONS, **environ})
        process.communicate(content)  # a pager that is left early is no error
    finally:
        signal.signal(signal.SIGINT, before)
    return process.returncode not in _NOT_STARTED
