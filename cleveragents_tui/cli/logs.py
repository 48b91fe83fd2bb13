"""Logs of steps: files that grow, read from where we stopped, and passed on byte for byte."""

import contextlib
import os
from pathlib import Path

TAIL_BYTES = 4096
"""How far from its end a log is searched for its last line."""


class Tail:
    """A log file and how much of it was read."""

    def __init__(self, path: str, offset: int = 0) -> None:
        self._path = path
        self._offset = offset

    def read(self) -> bytes:
        """What was written since the last call; nothing while there is no file."""
        with contextlib.suppress(FileNotFoundError, IsADirectoryError), Path(self._path).open("rb") as stream:
            if os.fstat(stream.fileno()).st_size < self._offset:
                self._offset = 0  # it was rotated: what is there now is all new
            stream.seek(self._offset)
            new = stream.read()
            self._offset += len(new)
            return new
        return b""


class Lines:
    """Whole lines out of a growing log."""

    def __init__(self, path: str, offset: int = 0) -> None:
        self._tail = Tail(path, offset)
        self._rest = b""

    def read(self, *, last: bool = False) -> list[bytes]:
        """The lines that were finished since the last call; with `last` also the unfinished one."""
        *lines, self._rest = (self._rest + self._tail.read()).split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return lines


def content(path: str | None) -> bytes | None:
    """A whole log; None when there is none (yet, or any more), or something else is in its place."""
    if path is None:
        return None
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        return Path(path).read_bytes()
    return None


def last_line(path: str) -> str:
    """The last line of a log that says something."""
    with contextlib.suppress(OSError), Path(path).open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL_BYTES))
        lines = stream.read(TAIL_BYTES).decode(errors="backslashreplace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")
    return ""


def last_lines(path: Path, number: int) -> tuple[list[bytes], int]:
    """The last lines of a file and its size; read from its end, so that a long file costs no more than a short one."""
    with path.open("rb") as stream:
        size = position = os.fstat(stream.fileno()).st_size
        found = b""
        while position > 0 and found.count(b"\n") <= number:
            step = min(65_536, position)
            position -= step
            stream.seek(position)
            found = stream.read(step) + found
    return (found.splitlines()[-number:] if number else []), size
