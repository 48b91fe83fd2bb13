"""Putting single files into a project, each in one step: the new content under another name, durable, then renamed.

Decided here and only here: which paths may be written at all.
"""

import contextlib
import errno
import hashlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from daemon import git, raw_files
from daemon.checkouts import is_directory
from daemon.raw_files import LINK, RawFile, at
from store import crashpoints, errors

# Code points that HFS+ leaves out when it compares names: `.g\u200cit` is `.git` there.
_INVISIBLE = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def shown(path: bytes) -> str:
    r"""A path for people and JSON; bytes that are no UTF-8 become `\xNN`."""
    return path.decode(errors="backslashreplace")


def check_paths(root: Path, paths: Iterable[bytes], replaced: Collection[bytes]) -> None:
    """Refuse paths that do not stay in the project.

    Args:
        root: The project.
        paths: What is to be written or removed.
        replaced: Those of them that are files or links now and will not be: a directory may take the place of one.

    Raises:
        InvalidArgumentError: a path is absolute, has `..` or a form of `.git` in it, or goes through a symlink.
    """
    for path in paths:
        if any(_is_forbidden(part) for part in path.split(b"/")):
            raise errors.InvalidArgumentError(f"the change has the path {shown(path)!r}, which must not be written")
        link = raw_files.link_on_the_way(root, path)
        if link is not None and link not in replaced:
            raise errors.InvalidArgumentError(
                f"the change has the path {shown(path)!r}, but {shown(link)!r} is a symlink in the project",
                suggestions=["replace the link by a directory, or leave that file out of the plan"],
            )


class Placer:
    """Brings files of one project to given states; `finish` makes all of it durable."""

    def __init__(self, root: Path, blobs: git.Objects) -> None:
        self._root = root
        self._blobs = blobs

    def place(self, path: bytes, wanted: RawFile) -> None:
        """Put a file or link there, with the directories on the way.

        Raises:
            OSError: the system refuses; the path is as it was.
            CleverAgentsError: its content is missing.
        """
        whole, beside = at(self._root, path), self._beside(path)
        self._make_parents(path, wanted.mode)
        try:
            self._write(beside, wanted)
            if is_directory(whole):
                _remove_hollow(whole)
            crashpoints.reach("apply.rename")
            beside.rename(whole)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def remove(self, path: bytes) -> None:
        """Remove a file or link.

        Raises:
            OSError: the system refuses.
        """
        crashpoints.reach("apply.rename")
        at(self._root, path).unlink()

    def tidy(self, paths: Iterable[bytes]) -> None:
        """Remove what a crash left beside `paths`."""
        for path in paths:
            with contextlib.suppress(OSError):
                self._beside(path).unlink()

    def finish(self, paths: Iterable[bytes]) -> None:
        """Remove directories above `paths` that became empty, and make the rest of them durable."""
        directories = {parent for path in paths for parent in _ancestors(path)}
        for path in paths:
            self._remove_empty_parents(path)
        for directory in sorted(directories):
            _sync_directory(at(self._root, directory))

    def _beside(self, path: bytes) -> Path:
        """The name for a new content; the same after a crash, so that it is found again."""
        name = hashlib.sha256(path).hexdigest()[:16]
        return at(self._root, path).with_name(f".ca-{name}.tmp")

    def _make_parents(self, path: bytes, mode: int) -> None:
        """New directories are as open as the file that they are made for, a link's as the directory above."""
        above = self._root
        for directory in reversed(_ancestors(path)[:-1]):
            whole = at(self._root, directory)
            if not whole.is_dir():
                whole.mkdir()
                whole.chmod(_directory_mode(above.stat().st_mode if mode == LINK else mode))
            above = whole

    def _write(self, beside: Path, wanted: RawFile) -> None:
        beside.unlink(missing_ok=True)
        if wanted.mode == LINK:
            beside.symlink_to(os.fsdecode(self._blobs.read(wanted.blob)))
            return
        with beside.open("xb") as file:
            os.fchmod(file.fileno(), wanted.mode)
            self._blobs.copy(wanted.blob, file)
            file.flush()
            os.fsync(file.fileno())

    def _remove_empty_parents(self, path: bytes) -> None:
        for directory in _ancestors(path)[:-1]:
            try:
                at(self._root, directory).rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return


def _is_forbidden(part: bytes) -> bool:
    """Whether a part of a path is empty, a dot name, or what some file system takes for `.git`."""
    if part in {b"", b".", b".."}:
        return True
    name = part.decode(errors="replace").translate(_INVISIBLE).partition(":")[0].rstrip(". ").casefold()
    return name in {".git", "git~1"}


def _directory_mode(mode: int) -> int:
    """What can be read can be entered; the owner can do everything."""
    return (mode & 0o777) | (mode & 0o444) >> 2 | 0o700


def _ancestors(path: bytes) -> list[bytes]:
    """The directories above a path, nearest first; the last is the root, the empty name."""
    parts = path.split(b"/")[:-1]
    return [b"/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _remove_hollow(directory: Path) -> None:
    """Remove a directory that holds nothing but directories."""
    for entry in directory.iterdir():
        if not is_directory(entry):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(entry))
        _remove_hollow(entry)
    directory.rmdir()


def _sync_directory(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # it was removed; its parent is in the list too
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
