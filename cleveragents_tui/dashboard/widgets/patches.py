"""A patch as rows to be drawn: one array of rows for all files, read once, so that any row is found at once.

The patch is git's, with the names and sizes that the daemon lists beside it: names are taken from there, for git quotes them.
"""

import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from itertools import pairwise

from cleveragents_tui import wording
from daemon import views

LONGEST = 10_000
"""Characters of a line that are shown; what is longer was made by a program for a program."""
MODES = {"100644": "file", "100755": "executable", "120000": "symlink", "160000": "submodule"}


class Kind(IntEnum):
    """What a row is."""

    FILE = 0  # a file begins
    NOTE = 1  # what is to be known of a file beside its lines
    HUNK = 2  # where in the file the next lines are
    CONTEXT = 3
    ADDED = 4
    REMOVED = 5
    REMARK = 6  # git's word on the line before: it does not end with a newline
    BLANK = 7  # between two files


@dataclass(frozen=True)
class Section:
    """A file of the patch: the row with its name, and the row behind its last."""

    file: views.FileView
    row: int
    end: int


@dataclass(frozen=True)
class Hunk:
    """A piece of a file: its row, and the numbers of its first line before and after; other rows follow from these."""

    row: int
    old: int
    new: int


@dataclass(eq=False)
class Patch:
    """All rows of a change.

    Attributes:
        texts: What each row shows; lines of content with their sign.
        kinds: The `Kind` of each row.
        sections: The files, in order.
        hunks: The pieces of all of them, in order.
        width: Columns of the widest line of content.
        digits: Columns of the highest line number.
    """

    texts: list[str] = field(default_factory=list[str])
    kinds: bytearray = field(default_factory=bytearray)
    sections: list[Section] = field(default_factory=list[Section])
    hunks: list[Hunk] = field(default_factory=list[Hunk])
    width: int = 0
    digits: int = 1

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def widths(self) -> "array[int]":
        """The columns of each line of content, 0 for other rows; only what folds long lines needs it."""
        content = bytes(kind in {Kind.CONTEXT, Kind.ADDED, Kind.REMOVED} for kind in Kind)
        rows = zip(self.kinds, self.texts, strict=True)
        return array("i", (wording.columns(shown(text[1:])) if content[kind] else 0 for kind, text in rows))

    def section_at(self, row: int) -> int:
        """The index of the file that `row` belongs to."""
        return max(0, bisect_right(self.sections, row, key=lambda section: section.row) - 1)

    def hunk_at(self, row: int) -> Hunk | None:
        """The hunk that `row` belongs to; None above the first one of a file."""
        found = bisect_right(self.hunks, row, key=lambda hunk: hunk.row) - 1
        if found < 0 or self.hunks[found].row < self.sections[self.section_at(row)].row:
            return None
        return self.hunks[found]

    def numbers(self, row: int) -> tuple[int | None, int | None]:
        """The number of a line before and after; None where it is not."""
        hunk, kind = self.hunk_at(row), self.kinds[row]
        assert hunk is not None, "only lines of content have numbers"
        kept, removed, added = (
            self.kinds.count(one, hunk.row + 1, row) for one in (Kind.CONTEXT, Kind.REMOVED, Kind.ADDED)
        )
        old = hunk.old + kept + removed if kind != Kind.ADDED else None
        return old, hunk.new + kept + added if kind != Kind.REMOVED else None

    def pair(self, row: int) -> int | None:
        """Of a removed line the row of the added one that came for it, and the other way round."""
        hunk, kind = self.hunk_at(row), Kind(self.kinds[row])
        if hunk is None or kind not in {Kind.ADDED, Kind.REMOVED}:
            return None
        first = self._run_before(hunk.row, row, kind)
        if kind is Kind.REMOVED:
            end = self.sections[self.section_at(row)].end
            other = self._run_after(row, end, kind)
            other += other < end and self.kinds[other] == Kind.REMARK
            found = other + row - first
            return found if found < self._run_after(other, end, Kind.ADDED) else None
        last = first - (self.kinds[first - 1] == Kind.REMARK)
        found = self._run_before(hunk.row, last, Kind.REMOVED) + row - first
        return found if found < last else None

    def _run_before(self, start: int, row: int, kind: Kind) -> int:
        """Where the lines of one kind begin that end before `row`."""
        return start + len(self.kinds[start:row].rstrip(bytes([kind])))

    def _run_after(self, row: int, end: int, kind: Kind) -> int:
        """Where the lines of one kind end that begin at `row`."""
        return end - len(self.kinds[row:end].lstrip(bytes([kind])))

    def find(self, text: str) -> "array[int]":
        """The rows of files and lines that have `text`; case counts only when it has a capital."""
        fold = text == text.lower()
        ours = bytes(kind not in {Kind.BLANK, Kind.NOTE, Kind.HUNK, Kind.REMARK} for kind in Kind)
        return array(
            "i",
            (
                row
                for row, (kind, line) in enumerate(zip(self.kinds, self.texts, strict=True))
                if ours[kind] and text in (line.lower() if fold else line)
            ),
        )


def read(diff: views.PlanDiffView) -> Patch:
    """The rows of a change; takes a moment for a long one, so not in the event loop."""
    return _Reader(diff.files).read(diff.patch)


def shown(text: str) -> str:
    r"""A line as it is drawn: tabs expanded, and whatever has no picture of its own as `^M`, `\x1b` or `\u202e`."""
    cut = "…" if len(text) > LONGEST else ""
    text = text[:LONGEST]
    if text.isascii() and text.isprintable():
        return text + cut
    text = text.expandtabs(4)
    if not text.isprintable():
        text = "".join(char if _has_picture(char) else _escaped(char) for char in text)
    return text + cut


def _has_picture(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escaped(char: str) -> str:
    if char == "\r":
        return "^M"
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def mode_word(mode: str) -> str:
    """What people call one of git's modes."""
    return MODES.get(mode, mode)


_WIDEST = 10
"""Columns that one character takes at most: `\\U000e0001`."""
_KINDS = {" ": Kind.CONTEXT, "+": Kind.ADDED, "-": Kind.REMOVED, "\\": Kind.REMARK}


class _Reader:
    """Reads a patch file by file; what it has found so far is in `patch`."""

    def __init__(self, files: Sequence[views.FileView]) -> None:
        self.patch = Patch()
        self._files = iter(files)
        self._old_mode = ""

    def read(self, text: str) -> Patch:
        lines = text.removesuffix("\n").split("\n")
        starts = [index for index, line in enumerate(lines) if line.startswith("diff ")]
        heading = ""
        for start, end in pairwise([*starts, len(lines)]):
            if lines[start] != heading:  # else a file became another kind of thing, and its second half follows
                heading = lines[start]
                name = heading.removeprefix("diff --git ")
                self._open(next(self._files, None) or _unlisted(name))
            self._part(lines[start + 1 : end])
        for file in self._files:  # such as have nothing in the patch
            self._open(file)
        self._close()
        return self.patch

    def _row(self, kind: Kind, text: str) -> None:
        self.patch.kinds.append(kind)
        self.patch.texts.append(text)

    def _open(self, file: views.FileView) -> None:
        if self.patch.sections:
            self._row(Kind.BLANK, "")
            self._close()
        start = len(self.patch)
        self.patch.sections.append(Section(file, start, start))
        self._row(Kind.FILE, file.path if file.old_path is None else f"{file.old_path} → {file.path}")

    def _close(self) -> None:
        if self.patch.sections:
            self.patch.sections[-1] = replace(self.patch.sections[-1], end=len(self.patch))

    def _part(self, lines: Sequence[str]) -> None:
        hunks = [index for index, line in enumerate(lines) if line.startswith("@@ ")]
        for line in lines[: hunks[0] if hunks else None]:
            self._about(line)
        for start, end in pairwise([*hunks, len(lines)]):
            self._hunk(lines[start], lines[start + 1 : end])

    def _about(self, line: str) -> None:
        """A line between a file's heading and its first hunk."""
        if line.startswith("old mode "):
            self._old_mode = line[9:]
        elif line.startswith("new mode "):
            self._row(Kind.NOTE, f"{mode_word(self._old_mode)} becomes {mode_word(line[9:])}")
        elif line.startswith(("new file mode ", "deleted file mode ")) and not line.endswith(" 100644"):
            self._row(Kind.NOTE, f"{line.partition(' ')[0]} {mode_word(line[-6:])}")
        elif line.startswith("similarity index "):
            same = "the same content" if line.endswith(" 100%") else f"{line[17:]} the same"
            self._row(Kind.NOTE, f"renamed, {same}")
        elif line.startswith("Binary files ") and " differ: " in line:
            self._row(Kind.NOTE, f"binary: {line.rpartition(' differ: ')[2].replace('->', '→')}")

    def _hunk(self, heading: str, lines: Sequence[str]) -> None:
        _, before, after, *_ = heading.split(" ", 3)
        old, new = (int(side[1:].partition(",")[0]) for side in (before, after))
        self.patch.hunks.append(Hunk(len(self.patch), old, new))
        self._row(Kind.HUNK, heading)
        self.patch.kinds.extend(_KINDS.get(line[:1], Kind.CONTEXT) for line in lines)
        self.patch.texts.extend(lines)
        self.patch.width = _widest(lines, self.patch.width)
        self.patch.digits = max(self.patch.digits, len(str(max(old, new) + len(lines))))


def _unlisted(name: str) -> views.FileView:
    return views.FileView(
        path=name, path_base64=None, old_path=None, old_path_base64=None,
        status="modified", binary=False, insertions=None, deletions=None,
    )  # fmt: skip


def _widest(lines: Iterable[str], width: int) -> int:
    """Only a line that may be the widest so far is measured."""
    for line in lines:
        longest = len(line) - 1 if line.isascii() and line.isprintable() else _WIDEST * len(line)
        if longest > width:
            width = max(width, wording.columns(shown(line[1:])))
    return width
