"""Files as they are on disk: their exact bytes, unfiltered, as blobs of the private repository.

What an Apply replaces is kept in this form, so that an Undo gives back every byte even where git would convert it.
"""

import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

import msgspec

from daemon import git
from daemon.checkouts import is_directory
from daemon.repositories import Project

LINK = 0o120000
"""The mode of a symlink; its content is the path that it holds."""

_PIECE = 1 << 20


class _Digest(Protocol):
    """A hash that is being computed."""

    def update(self, data: bytes, /) -> object: ...
    def hexdigest(self) -> str: ...


class RawFile(msgspec.Struct, frozen=True):
    """A file's permission bits, or `LINK`, and the id of its bytes."""

    mode: int
    blob: str


def at(root: Path, path: bytes) -> Path:
    """Where git's `path` is; names that are no text come through whole."""
    return root / os.fsdecode(path)


def is_there(root: Path, path: bytes) -> bool:
    """Whether there is something other than a directory, and not merely beyond a link."""
    whole = at(root, path)
    return os.path.lexists(whole) and not is_directory(whole) and not link_on_the_way(root, path)


def state(root: Path, path: bytes, *, sha256: bool = False) -> RawFile | None:
    """What is at `path` below `root`; None for nothing, for a directory, and for what only a link leads to.

    Raises:
        OSError: it cannot be read.
    """
    if not is_there(root, path):
        return None
    whole = at(root, path)
    return _read(whole, whole.lstat(), None, sha256=sha256)


def link_on_the_way(root: Path, path: bytes) -> bytes | None:
    """The first directory on the way to `path` that is a symlink."""
    parts = path.split(b"/")[:-1]
    for count in range(1, len(parts) + 1):
        directory = b"/".join(parts[:count])
        if at(root, directory).is_symlink():
            return directory
    return None


def store(project: Project, files: Sequence[Path], *, sha256: bool = False) -> list[RawFile]:
    """Put the bytes of files, named absolutely, into the private repository.

    Raises:
        OSError: a file cannot be read.
        CleverAgentsError: git failed, see `git.call`.
    """
    with tempfile.TemporaryFile(dir=project.own) as stream:
        found = [_read(path, path.lstat(), stream, sha256=sha256) for path in files]
        stream.seek(0)
        if files:
            git.run(["fast-import", "--quiet"], git_dir=project.repository, input=stream)
    return found


def _read(path: Path, found: os.stat_result, to: IO[bytes] | None, *, sha256: bool) -> RawFile:
    """Name the bytes of a file or link, and write them `to` a stream for fast-import."""
    if stat.S_ISLNK(found.st_mode):
        target = os.fsencode(path.readlink())
        begun = _begin(len(target), to, sha256=sha256)
        _go_on(target, begun, to)
        return RawFile(LINK, begun.hexdigest())
    if not stat.S_ISREG(found.st_mode):
        return RawFile(found.st_mode, "")
    with open(path, "rb", opener=_no_link) as source:
        size = os.fstat(source.fileno()).st_size
        begun = _begin(size, to, sha256=sha256)
        while piece := source.read(min(size, _PIECE)):
            _go_on(piece, begun, to)
            size -= len(piece)
    if size:
        raise OSError(f"{path} shrank while it was read")
    return RawFile(stat.S_IMODE(found.st_mode), begun.hexdigest())


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _begin(size: int, to: IO[bytes] | None, *, sha256: bool) -> _Digest:
    if to:
        to.write(b"blob\ndata %d\n" % size)
    # git's names for content, not a matter of security
    return (hashlib.sha256 if sha256 else hashlib.sha1)(b"blob %d\0" % size, usedforsecurity=False)


def _go_on(piece: bytes, begun: _Digest, to: IO[bytes] | None) -> None:
    begun.update(piece)
    if to:
        to.write(piece)
