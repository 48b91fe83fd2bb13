"""A disk for SQLite that loses power or fails when it is told to.

While it is the default VFS, every file is read and written as ever, and the disk remembers what of it was synced. After
`power_cut` there is, in another directory, what a machine finds that lost its power at that moment: all that was synced,
and of the rest any part.
"""

import contextlib
import os
import random
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import apsw
import msgspec

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""
Operation: TypeAlias = Literal["open", "read", "write", "sync", "truncate", "delete"]
CHANGES: frozenset[Operation] = frozenset({"write", "sync", "truncate", "delete"})
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
_ERRORS: dict[Operation, int] = {
    "open": apsw.SQLITE_CANTOPEN,
    "read": apsw.SQLITE_IOERR_READ,
    "write": apsw.SQLITE_IOERR_WRITE,
    "sync": apsw.SQLITE_IOERR_FSYNC,
    "truncate": apsw.SQLITE_IOERR_TRUNCATE,
    "delete": apsw.SQLITE_IOERR_DELETE,
}


class _Write(msgspec.Struct, frozen=True):
    offset: int
    data: bytes

    def whole(self, content: bytearray) -> None:
        content.extend(b"\0" * (self.offset - len(content)))
        content[self.offset : self.offset + len(self.data)] = self.data

    def partly(self, content: bytearray, chance: random.Random) -> None:
        """Some of its sectors."""
        end = self.offset + len(self.data)
        at = self.offset
        while at < end:
            upto = min(end, (at // SECTOR + 1) * SECTOR)
            if chance.random() < 0.5:
                _Write(at, self.data[at - self.offset : upto - self.offset]).whole(content)
            at = upto


class _Truncate(msgspec.Struct, frozen=True):
    size: int

    def whole(self, content: bytearray) -> None:
        del content[self.size :]


class _Content(msgspec.Struct):
    """A file: what is on the platter, and what was done to it since."""

    synced: bytearray = msgspec.field(default_factory=bytearray)
    later: list[_Write | _Truncate] = []

    def sync(self) -> None:
        for change in self.later:
            change.whole(self.synced)
        self.later.clear()

    def after_cut(self, chance: random.Random) -> bytes:
        content = bytearray(self.synced)
        for change in self.later:
            match chance.randrange(3), change:
                case 0, _:
                    change.whole(content)
                case 1, _Write():
                    change.partly(content, chance)
                case _:
                    pass
        return bytes(content)


class _Entry(msgspec.Struct, frozen=True):
    """A change of a directory: a file that is new, gone (`new` is None), or has another name."""

    old: str | None
    new: str | None
    content: _Content


class Disk:
    """What one directory holds: as its system shows it, and as it is on the platter."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.passed: list[Operation] = []
        self._lock = threading.RLock()
        self._shown: dict[str, _Content] = {}
        self._synced: dict[str, _Content] = {}
        self._entries: list[_Entry] = []
        self._fault: Callable[[Operation], int | None] = lambda _operation: None
        for file in directory.iterdir():
            if file.is_file():
                self._shown[file.name] = self._synced[file.name] = _Content(bytearray(file.read_bytes()))

    # --- faults -------------------------------------------------------------------------------------------------------

    def cut_at(self, number: int) -> None:
        """From the Nth change on nothing reaches the disk any more."""
        left = self._count(CHANGES, number)
        self._fault = lambda operation: _ERRORS[operation] if left(operation) <= 0 else None

    def fail_at(self, operation: Operation, number: int, code: int | None = None, *, lasting: bool) -> None:
        """The Nth operation of a kind fails, and with `lasting` all of that kind after it."""
        left = self._count({operation}, number)

        def fault(now: Operation) -> int | None:
            count = left(now)
            fails = now == operation and (count == 0 or (lasting and count < 0))
            return (code or _ERRORS[now]) if fails else None

        self._fault = fault

    @staticmethod
    def _count(kinds: frozenset[Operation] | set[Operation], number: int) -> Callable[[Operation], int]:
        """How many of these kinds are still let through; below zero once it has run out."""
        left = number

        def count(operation: Operation) -> int:
            nonlocal left
            if operation in kinds:
                left -= 1
            return left

        return count

    def power_cut(self, into: Path, chance: random.Random) -> None:
        """Write what survives to another directory."""
        with self._lock:
            files = dict(self._synced)
            for entry in self._entries:
                if chance.random() < 0.5:
                    _apply(files, entry)
            for name, content in files.items():
                (into / name).write_bytes(content.after_cut(chance))
                (into / name).chmod(0o600)

    # --- what is done -------------------------------------------------------------------------------------------------

    def passes(self, operation: Operation) -> None:
        """Let an operation through, or fail it."""
        with self._lock:
            self.passed.append(operation)
            code = self._fault(operation)
        if code is not None:
            raise apsw.exception_for(code)

    def opened(self, name: str) -> _Content:
        with self._lock:
            if name not in self._shown:
                self._shown[name] = _Content()
                self._note(_Entry(None, name, self._shown[name]))
            return self._shown[name]

    def deleted(self, name: str) -> None:
        with self._lock:
            if name in self._shown:
                self._note(_Entry(name, None, self._shown.pop(name)))

    def renamed(self, old: str, new: str) -> None:
        with self._lock:
            if old in self._shown:
                self._shown[new] = self._shown.pop(old)
                self._note(_Entry(old, new, self._shown[new]))

    def sync_directory(self) -> None:
        with self._lock:
            for entry in self._entries:
                _apply(self._synced, entry)
            self._entries.clear()

    def changed(self, content: _Content, change: _Write | _Truncate) -> None:
        with self._lock:
            content.later.append(change)

    def synced(self, content: _Content) -> None:
        with self._lock:
            content.sync()

    def lost(self, content: _Content) -> None:
        """A sync failed: the system shows what was written, and will never try again to write it."""
        with self._lock:
            content.later.clear()

    def _note(self, entry: _Entry) -> None:
        self._entries.append(entry)


def _apply(files: dict[str, _Content], entry: _Entry) -> None:
    if entry.old is not None:
        files.pop(entry.old, None)
    if entry.new is not None:
        files[entry.new] = entry.content


class _File(apsw.VFSFile):
    """An open file; what is not overridden here, the shared memory of the log among it, is the system's own."""

    def __init__(self, disk: Disk, name: str, path: Any, flags: list[int]) -> None:
        disk.passes("open")
        super().__init__(_SYSTEM, path, flags)
        self._disk = disk
        self._content = disk.opened(name)
        # as SQLite's own: the first sync of a new journal or log is one of its directory too
        self._new_journal = bool(flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  SQLite's name
        self._disk.passes("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._disk.passes("write")
        cast("Any", super()).xWrite(data, offset)
        self._disk.changed(self._content, _Write(offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.passes("truncate")
        super().xTruncate(newsize)
        self._disk.changed(self._content, _Truncate(newsize))

    def xSync(self, flags: int) -> None:  # noqa: ARG002, N802  the real sync would only cost time
        try:
            self._disk.passes("sync")
        except apsw.Error:
            self._disk.lost(self._content)
            raise
        self._disk.synced(self._content)
        if self._new_journal:
            self._disk.sync_directory()
            self._new_journal = False


_SYSTEM = "unix"
_NAME = "losing"


class _FileSystem(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__(_NAME, _SYSTEM, makedefault=True)
        self._disk = disk

    def _own(self, path: object) -> str | None:
        """The name of a file in the disk's directory."""
        text = path.filename() if isinstance(path, apsw.URIFilename) else path
        if not isinstance(text, str) or Path(text).parent != self._disk.directory:
            return None
        return Path(text).name

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        own = self._own(name)
        return apsw.VFSFile(_SYSTEM, name, flags) if own is None else _File(self._disk, own, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: FBT001, N802
        own = self._own(filename)
        if own is None:
            super().xDelete(filename, syncdir)
            return
        self._disk.passes("delete")
        super().xDelete(filename, False)  # noqa: FBT003
        self._disk.deleted(own)
        if syncdir:
            self._disk.sync_directory()


@contextlib.contextmanager
def losing_disk(directory: Path) -> Generator[Disk]:
    """The disk of `directory`, as long as this lasts; other directories are as ever."""
    disk = Disk(directory)
    system = _FileSystem(disk)
    rename, unlink = os.rename, os.unlink

    def renamed(old: Any, new: Any, **keys: Any) -> None:
        rename(old, new, **keys)
        if Path(old).parent == directory == Path(new).parent:
            disk.renamed(Path(old).name, Path(new).name)

    def unlinked(path: Any, **keys: Any) -> None:
        unlink(path, **keys)
        if not isinstance(path, int) and Path(os.fsdecode(path)).parent == directory:
            disk.deleted(Path(os.fsdecode(path)).name)

    os.rename, os.unlink = cast("Any", renamed), cast("Any", unlinked)
    try:
        yield disk
    finally:
        os.rename, os.unlink = rename, unlink
        system.unregister()
