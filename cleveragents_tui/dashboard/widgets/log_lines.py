"""Where the lines of a log lie: how many line ends there are before each block of the file, and nothing else is kept.

That makes a file of any size cheap: 8 bytes for each 64 KiB of it, counted at the speed of the disk; to find a line one
block is read. Everything here reads files, so it is called in threads; the index only grows, and one thread at a time
makes it grow, so that others may read lines meanwhile.
"""

import enum
import os
import threading
from array import array
from bisect import bisect_left
from io import FileIO
from typing import NamedTuple

BLOCK = 65_536
"""How many bytes lie between two entries of the index."""

PIECE = 256 * BLOCK
"""How many bytes are looked through in one go."""

LONGEST = 16_384
"""How many bytes of one line are shown."""

TAIL = 2 * BLOCK
"""How many bytes from the end are shown before the lines of the whole file are counted."""

_SPAN = 1 << 20
_KNOWN = 64


class Line(NamedTuple):
    """The bytes of a line that are shown, and how many more it has."""

    raw: bytes
    more: int = 0


class Seen(enum.Enum):
    """What a look at a file found."""

    ABSENT = "there is no such file"
    SAME = "nothing is new"
    GROWN = "there is more of it"
    ANEW = "it begins again: it is shorter, or another file"


class Tail(NamedTuple):
    """The last lines of a file whose lines are not counted yet, and about how many lines there are."""

    lines: list[Line]
    about: int


class LogLines:
    """The lines of the file `path`, as far as it was looked through.

    Attributes:
        path: The file.
        length: How long it was at the last look.
        size: How many bytes of it were looked through.
        beginnings: How often it began again.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.beginnings = 0
        self._one_at_a_time = threading.Lock()
        self._block = bytearray(BLOCK)  # one for all reads: a new one for each leaves holes in the heap of each thread
        self._block_lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self.length = 0
        self.size = 0
        self._ends = 0
        self._before = array("q", [0])  # line ends before each block
        self._identity: tuple[int, int] | None = None
        self._last = b""

    @property
    def complete(self) -> bool:
        """Whether all that there was at the last look was looked through."""
        return self.size == self.length

    @property
    def count(self) -> int:
        """How many lines are known; one without an end counts as well."""
        return self._ends + (self._last[-1:] not in {b"", b"\n"})

    def look(self) -> Seen:
        """Look through the next piece of what is new.

        Raises:
            OSError: The file cannot be read.
        """
        with self._one_at_a_time:
            try:
                with opened(self.path) as stream:
                    return self._look(stream)
            except FileNotFoundError:
                self._forget()
                return Seen.ABSENT

    def _look(self, stream: FileIO) -> Seen:
        status = os.fstat(stream.fileno())
        identity = (status.st_dev, status.st_ino)
        anew = self._identity is not None and (
            identity != self._identity or status.st_size < self.size or not self._still_there(stream)
        )
        if anew:
            self._forget()
            self.beginnings += 1
        self._identity, self.length = identity, status.st_size
        grown = self._index(stream, min(self.length, self.size + PIECE))
        return Seen.ANEW if anew else Seen.GROWN if grown else Seen.SAME

    def _still_there(self, stream: FileIO) -> bool:
        """Whether the last bytes that were read are where they were: a new file may have the number of an old one."""
        return os.pread(stream.fileno(), len(self._last), self.size - len(self._last)) == self._last

    def _index(self, stream: FileIO, until: int) -> bool:
        begin = self.size
        with self._block_lock:
            while self.size < until:
                read = self._read_block(stream, self.size, min(BLOCK - self.size % BLOCK, until - self.size))
                if not read:
                    self.length = self.size  # it became shorter while it was read
                    break
                self._ends += self._block.count(b"\n", 0, read)
                self._last = (self._last + self._block[max(0, read - _KNOWN) : read])[-_KNOWN:]
                self.size += read
                if self.size % BLOCK == 0:
                    self._before.append(self._ends)
        return self.size > begin

    def _read_block(self, stream: FileIO, offset: int, most: int = BLOCK) -> int:
        """Read into `_block`, which the caller has locked; how many bytes there were."""
        return os.preadv(stream.fileno(), [memoryview(self._block)[:most]], offset)

    def lines(self, first: int, number: int) -> list[Line]:
        """The lines `first` and following, at most `number`.

        Raises:
            OSError: The file cannot be read.
        """
        number = min(number, self.count - first)
        if number <= 0:
            return []
        with opened(self.path) as stream:
            begin, end = self.offset(stream, first), self.offset(stream, first + number)
            if end - begin <= _SPAN:
                raw = os.pread(stream.fileno(), end - begin, begin).removesuffix(b"\n")
                return [_shortened(line) for line in raw.split(b"\n")]
            return [self._long_line(stream, line) for line in range(first, first + number)]

    def _long_line(self, stream: FileIO, number: int) -> Line:
        begin, end = self.offset(stream, number), self.offset(stream, number + 1)
        if end - begin <= _SPAN:
            return _shortened(os.pread(stream.fileno(), end - begin, begin).removesuffix(b"\n"))
        head, tail = (os.pread(stream.fileno(), LONGEST, at) for at in (begin, end - LONGEST))
        return _cut(head, tail.removesuffix(b"\n"), end - begin - tail.endswith(b"\n"))

    def offset(self, stream: FileIO, number: int) -> int:
        """Where line `number` begins in the file, which is open as `stream`."""
        if number <= 0:
            return 0
        if number > self._ends:
            return self.size
        before = self._before  # another one takes its place when the file begins again
        block = bisect_left(before, number) - 1
        at = 0
        with self._block_lock:
            read = self._read_block(stream, block * BLOCK)
            for _ in range(number - before[block]):
                at = self._block.find(b"\n", at, read) + 1
        return block * BLOCK + at

    def tail(self) -> Tail:
        """The last lines, found without counting all.

        Raises:
            OSError: The file cannot be read.
        """
        with opened(self.path) as stream:
            size = os.fstat(stream.fileno()).st_size
            raw = os.pread(stream.fileno(), TAIL, max(0, size - TAIL))
        _, cut, whole = raw.partition(b"\n")
        lines = (whole if cut else raw).removesuffix(b"\n").split(b"\n")
        return Tail([_shortened(line) for line in lines], max(len(lines), len(lines) * size // max(1, len(raw))))


def opened(path: str) -> FileIO:
    """`path` for reading; what is no file never makes the reader wait."""
    return FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _shortened(line: bytes) -> Line:
    if len(line) <= LONGEST:
        return Line(line)
    return _cut(line[:LONGEST], line[-LONGEST:], len(line))


def _cut(head: bytes, tail: bytes, length: int) -> Line:
    """The beginning of a long line; of one that was drawn again and again the last drawing."""
    redrawn = tail.rstrip(b"\r").rfind(b"\r")
    if redrawn >= 0:
        return Line(tail[redrawn + 1 :])
    return Line(head, length - len(head))
