"""Somebody who sits in front of `ca tui`: a terminal of our own, what its screen shows, keys, and when something is seen.

The terminal knows what the dashboard writes and no more: text, where it goes, and everything else to be left out.
"""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.homes import SCRIPTS, Home
from bench.idle import cpu

COLUMNS, LINES = 120, 40
PATIENCE = 30
QUIET = 0.15
"""Seconds without a byte after which nothing more is drawn for what was done."""

Seen = Callable[["Screen"], object]

_PIECES = re.compile(
    r"\x1b\[(?P<numbers>[0-9;]*)H|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[^\[\]]"
    r"|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)"
)


class Screen:
    """What is written on a terminal, without its colours."""

    def __init__(self) -> None:
        self.rows = [" " * COLUMNS for _ in range(LINES)]
        self._x = self._y = 0
        self._rest = ""

    def feed(self, text: str) -> None:
        """Draw; a sequence that is not whole yet waits for its end."""
        text = self._rest + text
        end = 0
        for piece in _PIECES.finditer(text):
            if piece.start() != end:  # what is between begins with an escape that is not whole
                break
            end = piece.end()
            self._draw(piece)
        self._rest = text[end:]

    def _draw(self, piece: "re.Match[str]") -> None:
        if (numbers := piece["numbers"]) is not None:
            line, _, column = numbers.partition(";")
            self._y, self._x = int(line or 1) - 1, int(column or 1) - 1
        elif piece["control"] == "\r":
            self._x = 0
        elif piece["control"] == "\n":
            self._y = min(self._y + 1, LINES - 1)
        elif text := piece["text"]:
            row = self.rows[self._y]
            self.rows[self._y] = (row[: self._x] + text + row[self._x + len(text) :])[:COLUMNS]
            self._x += len(text)

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def left(self) -> str:
        """The pane on the left, where the plans are."""
        return "\n".join(row[: self._edge] for row in self.rows)

    @property
    def right(self) -> str:
        return "\n".join(row[self._edge :] for row in self.rows)

    @property
    def _edge(self) -> int:
        """Where the second pane begins: at the second upper left corner."""
        return next((row.rindex("╭") for row in self.rows if row.count("╭") > 1), COLUMNS // 2)

    @property
    def height(self) -> int:
        """Lines between the upper and the lower edge of the panes."""
        tops = [number for number, row in enumerate(self.rows) if row.startswith("╭")]
        ends = [number for number, row in enumerate(self.rows) if row.startswith("╰")]
        return ends[0] - tops[0] - 1 if tops and ends else 0


class Desk:
    """A dashboard in a process of its own, behind a terminal; or another program, to compare it with."""

    def __init__(self, home: Home, command: Sequence[str | Path] = (SCRIPTS / "ca", "tui")) -> None:
        self.screen = Screen()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        environ = {**home.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
        self.begun = self.heard = time.perf_counter()
        self._process = subprocess.Popen(
            command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        os.close(self._ours)
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def fileno(self) -> int:
        """For `select`."""
        return self._ours

    def listen(self, seconds: float) -> bool:
        """Draw what has come, or comes within some seconds; whether anything did."""
        ready, _, _ = select.select([self], [], [], seconds)
        if not ready:
            return False
        with contextlib.suppress(OSError):  # the process has ended
            found = os.read(self._ours, 1 << 20)
            self.heard = time.perf_counter()
            self.screen.feed(self._decoder.decode(found))
        return True

    def until(self, seen: Seen) -> float:
        """Draw until something is seen; when the last bytes for that came."""
        deadline = time.perf_counter() + PATIENCE
        while not seen(self.screen):
            self.listen(0.5)
            if self._process.poll() is not None or time.perf_counter() > deadline:
                print(self.screen.text, file=sys.stderr)
                raise TimeoutError("what was waited for was not seen; the screen is above")
        return self.heard

    def settle(self, quiet: float = QUIET) -> None:
        """Draw until nothing comes any more."""
        while self.listen(quiet):
            pass

    def watch(self, seconds: float) -> None:
        """Draw what comes within so many seconds."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.listen(left)

    def press(self, keys: str) -> float:
        """Press keys; when."""
        now = time.perf_counter()
        os.write(self._ours, keys.encode())
        return now

    def answer(self, keys: str, seen: Seen) -> float:
        """Seconds from keys until something is seen."""
        begin = self.press(keys)
        return self.until(seen) - begin

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU time of the dashboard so far: all its threads, as the scheduler counts them."""
        return cpu(self.pid)
