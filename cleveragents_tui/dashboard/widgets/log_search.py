"""Which lines of a log hold a text: found a piece at a time in the bytes of the file, so that nothing waits for all of it.

What is searched is what is seen: colours do not part a word, and what a progress bar drew over is not there any more. Case
counts when the text has a capital; without one, `A` to `Z` are the same as `a` to `z`.
"""

import os
import re
from array import array
from bisect import bisect_left, bisect_right

from cleveragents_tui.dashboard.widgets import ansi
from cleveragents_tui.dashboard.widgets.log_lines import LogLines, opened

PIECE = 262_144
"""How many bytes are searched in one go: less than a millisecond mostly, for meanwhile nothing else of the process runs."""

PIECES = 16
"""So many of them, before anybody is told."""

MOST = 1_000_000
"""After so many lines the search ends."""


class LogSearch:
    """The lines of `log` that hold `text`.

    Attributes:
        text: What is searched.
        found: The numbers of the lines, ascending.
        full: There may be more of them, but these are enough.
    """

    def __init__(self, log: LogLines, text: str) -> None:
        self.text = text
        self.found = array("q")
        self.full = False
        self._log = log
        self._exact = any(char.isupper() for char in text)
        self._needle = text.encode("utf-8", "surrogateescape")
        self._parted = [self._needle[:length] + ansi.ESCAPE for length in range(1, len(self._needle))]
        self._at = 0  # where the line `_line` begins, and how much of it was searched when it is longer than a piece
        self._line = 0
        self._size = -1
        self.pattern = re.compile(re.escape(text), re.NOFLAG if self._exact else re.IGNORECASE | re.ASCII)

    @property
    def done(self) -> bool:
        """Whether all that is known of the log was searched."""
        return self.full or self._size == self._log.size

    def search_on(self) -> None:
        """Search some pieces more.

        Raises:
            OSError: The file cannot be read.
        """
        for _ in range(PIECES):
            if not self.done:
                self._search_piece()

    def _search_piece(self) -> None:
        size = self._log.size
        with opened(self._log.path) as stream:
            raw = os.pread(stream.fileno(), min(PIECE, size - self._at), self._at)
        at_end = self._at + len(raw) >= size or not raw
        whole = raw.rfind(b"\n") + 1
        if whole:
            self._search(raw[:whole])
            self._at += whole
            self._line += raw.count(b"\n")
        elif not at_end:
            self._search(raw)
            self._at += (
                len(raw) - len(self._needle) + 1
            )  # the text may begin in one piece of a line and end in the next
        if at_end:
            self._search(raw[whole:])  # the line that has no end yet; it is searched again when there is more of it
            self._size = size

    def _search(self, raw: bytes) -> None:
        if not self._may_be_in(raw):
            return
        seen = self._folded(ansi.visible(raw))
        line, counted = self._line, 0
        at = seen.find(self._needle)
        while at >= 0 and not self.full:
            line += seen.count(b"\n", counted, at)
            counted = at
            self._note(line)
            next_line = seen.find(b"\n", at) + 1
            at = seen.find(self._needle, next_line) if next_line else -1

    def _folded(self, raw: bytes) -> bytes:
        return raw if self._exact else raw.lower()

    def _may_be_in(self, raw: bytes) -> bool:
        """Whether the text is there, whole or parted by an escape: much cheaper to tell than to take out all escapes."""
        raw = self._folded(raw)
        return self._needle in raw or (ansi.ESCAPE in raw and any(part in raw for part in self._parted))

    def _note(self, line: int) -> None:
        if not self.found or self.found[-1] < line:
            self.found.append(line)
            self.full = len(self.found) >= MOST

    def after(self, line: int) -> int | None:
        """The first line found behind `line`; from the beginning again when there is none."""
        if not self.found:
            return None
        return self.found[bisect_right(self.found, line) % len(self.found)]

    def before(self, line: int) -> int | None:
        """The last line found before `line`; from the end again when there is none."""
        return self.found[bisect_left(self.found, line) - 1] if self.found else None

    def place(self, line: int) -> int | None:
        """Which of the lines found `line` is, from 1; None when it is none."""
        place = bisect_left(self.found, line)
        return place + 1 if place < len(self.found) and self.found[place] == line else None
