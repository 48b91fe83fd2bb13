"""Somebody's editor in the terminal, and the dashboard behind it until it has ended."""

import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textual.app import App, SuspendNotSupported

EDITOR = "vi"
"""What edits a file when the environment names nothing."""


def edit(app: App[Any], environ: Mapping[str, str], file: Path) -> str:
    """Let somebody edit a file; nobody sees the screen meanwhile, so the editor is waited for.

    Returns:
        Why there is nothing new in the file; empty when it was written.
    """
    before = _state(file)
    try:
        command = _command(environ)
        code = _run(app, [*command, str(file)])
    except (SuspendNotSupported, OSError, ValueError) as error:
        return f"no editor can be started here: {error}"
    if code < 0:
        return f"{command[0]} was ended by {signal.Signals(-code).name}"
    if code > 0:
        return f"{command[0]} ended with {code}"
    return "" if _state(file) != before else "nothing was written"


def _command(environ: Mapping[str, str]) -> list[str]:
    """The editor with its options.

    Raises:
        ValueError: the variable has a quote that nothing closes.
    """
    for name in ("VISUAL", "EDITOR"):
        if words := shlex.split(environ.get(name, "")):
            return words
    return [EDITOR]


def _run(app: App[Any], command: list[str]) -> int:
    """The exit code. An editor that was killed left the terminal as it needed it, so that is put right.

    Raises:
        SuspendNotSupported: there is no terminal to edit in.
        OSError: it cannot be started.
    """
    failed: OSError | None = None
    code = 0
    with app.suspend():  # does not come back from an error within it
        terminal = sys.__stdin__
        kept = termios.tcgetattr(terminal) if terminal is not None else None
        try:
            code = subprocess.run(command, check=False).returncode
        except OSError as error:
            failed = error
        if terminal is not None and kept is not None:
            termios.tcsetattr(terminal, termios.TCSADRAIN, kept)
    if failed is not None:
        raise failed
    return code


def _state(file: Path) -> tuple[int, int] | None:
    """What is another one after somebody has written a file; None while it is not there."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
