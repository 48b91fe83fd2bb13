"""A directory of files and an index of ours over it: how its present content becomes a tree.

The directory's own `.git`, if it has one, is never opened: the private repository is the git directory. So nothing that
is configured or planted there runs.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Collection, Generator, Sequence
from pathlib import Path

import msgspec

from daemon import git

_RACY_NS = 1_000_000_000
"""git compares whole seconds: a file changed in the second of its index cannot be told from an unchanged one."""


class Staged(msgspec.Struct, frozen=True):
    """What was found in a directory.

    Attributes:
        tree: Its content as a tree; blobs that the index took over from elsewhere may be missing in the repository.
        added: The files that the index did not have before.
        nested: Repositories in it that git cannot carry, those left out that are not to be added.
        unreadable: Whether git could not enter a directory.
    """

    tree: str
    added: list[bytes]
    nested: list[bytes]
    unreadable: bool


class UnmergedError(Exception):
    """The index has entries of an unfinished merge."""


def stage(
    git_dir: Path, work_tree: Path, index: Path, *, leave: Callable[[bytes], bool] = lambda _path: False
) -> Staged:
    """Bring the index to what the directory holds, ignored files left out, and write its tree.

    Args:
        git_dir: The private repository.
        work_tree: The directory.
        index: The index of ours that belongs to it.
        leave: Says which untracked files are not to be added.

    Raises:
        UnmergedError: the index has unmerged entries.
        CleverAgentsError: git failed, see `git.call`.
    """
    index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = time.time_ns()
    found = git.call(
        ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"],
        git_dir=git_dir,
        work_tree=work_tree,
        index=index,
    )
    states = [(entry[:2], entry[3:]) for entry in git.split(found.stdout)]
    if any(b"U" in state or state in {b"AA", b"DD"} for state, _ in states):
        raise UnmergedError
    _take_over(git_dir, work_tree, index, states, leave)
    tree = _write_tree(git_dir, index, started)
    untracked = [path for state, path in states if state == b"??"]
    added = [path for path in untracked if not path.endswith(b"/")]
    nested = [path[:-1] for path in untracked if path.endswith(b"/") and not leave(path[:-1])]
    return Staged(tree, added, nested, b"could not open directory" in found.stderr)


def is_as_written(git_dir: Path, work_tree: Path, index: Path, tree: str) -> bool:
    """Whether a directory holds what it held when `tree` was written of it, as far as git can tell by looking once."""
    record = index.with_name(f"{index.name}.tree")
    if not record.exists() or record.read_bytes() != _signature(index) + b" " + tree.encode():
        return False
    return not differing(git_dir, work_tree, index)


def differing(git_dir: Path, work_tree: Path, index: Path) -> list[bytes]:
    """The paths in which a directory differs from its index, ignored files left out; nothing is written.

    The path of a repository of its own ends in a slash.
    """
    asked = ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty"]
    looking = {"GIT_OPTIONAL_LOCKS": "0"}
    found = git.run(asked, git_dir=git_dir, work_tree=work_tree, index=index, env=looking)
    return [entry[3:] for entry in git.split(found) if entry[1:2] != b" "]


def specials(git_dir: Path, work_tree: Path, index: Path) -> list[tuple[bytes, int]]:
    """FIFOs, sockets and devices with their modes, those left out that git would ignore: it does not see them itself."""
    found = dict(_specials(os.fsencode(work_tree)))
    if not found:
        return []
    asked = ["check-ignore", "-z", "--stdin"]
    names = git.joined(found)
    said = git.run(asked, git_dir=git_dir, work_tree=work_tree, index=index, input=names, ok=(0, 1))
    return sorted((path, found[path]) for path in found.keys() - set(git.split(said)))


def drop_ignored(git_dir: Path, work_tree: Path, index: Path, among: Collection[bytes] | None = None) -> None:
    """Take files out of the index that are ignored by now; `among` limits it to these."""
    asked = ["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"]
    listed = git.run(asked, git_dir=git_dir, work_tree=work_tree, index=index)
    ignored = [path for path in git.split(listed) if among is None or path in among]
    if ignored:
        remove = ["update-index", "--force-remove", "-z", "--stdin"]
        git.run(remove, git_dir=git_dir, work_tree=work_tree, index=index, input=git.joined(ignored))


def _take_over(
    git_dir: Path,
    work_tree: Path,
    index: Path,
    states: Sequence[tuple[bytes, bytes]],
    leave: Callable[[bytes], bool],
) -> None:
    changed = [path for state, path in states if state[1:] in {b"M", b"T", b"A"}]
    replaced = [path for path in changed if _is_special(work_tree, path)]
    gone = replaced + [path for state, path in states if state[1:] == b"D"]
    fresh = [path for state, path in states if state == b"??" and not path.endswith(b"/") and not leave(path)]
    here = fresh + [path for path in changed if path not in replaced]
    for flags, paths in (["--force-remove"], gone), (["--add", "--remove", "--replace"], here):
        if paths:
            update = ["update-index", *flags, "-z", "--stdin"]
            git.run(update, git_dir=git_dir, work_tree=work_tree, index=index, input=git.joined(paths))


def _is_special(work_tree: Path, path: bytes) -> bool:
    """Whether a FIFO or the like is in the place of a file."""
    with contextlib.suppress(OSError):
        return not _is_carried((work_tree / os.fsdecode(path)).lstat().st_mode)
    return False


def _is_carried(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)


def _specials(root: bytes) -> Generator[tuple[bytes, int]]:
    """The kind of an entry comes with its name, not from a stat; repositories of their own are not entered."""
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(root + b"/" + below))
        except OSError:
            continue
        if below and any(entry.name == b".git" for entry in entries):
            continue
        for entry in entries:
            if entry.is_file(follow_symlinks=False) or entry.is_symlink():
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield below + entry.name, entry.stat(follow_symlinks=False).st_mode
            elif entry.name != b".git":
                waiting.append(below + entry.name + b"/")


def _write_tree(git_dir: Path, index: Path, started: int) -> str:
    """The tree of the index; for an index that git left untouched since the last time, the one of then."""
    record = index.with_name(f"{index.name}.tree")
    signature, _, known = record.read_bytes().partition(b" ") if record.exists() else (b"", b"", b"")
    if known and signature == _signature(index):
        tree = known.decode()
    else:
        # what a seeded index names may still be in the project's repository only; the caller copies it
        tree = git.run(["write-tree", "--missing-ok"], git_dir=git_dir, index=index).decode().strip()
    _settle(index, started)
    record.write_bytes(_signature(index) + b" " + tree.encode())
    return tree


def _signature(index: Path) -> bytes:
    found = index.stat() if index.exists() else None
    return b"%d-%d-%d-%d" % ((found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino) if found else (0,) * 4)


def _settle(index: Path, started: int) -> None:
    """Date an index that git left as it was to just before it was compared with the files.

    Every entry held then; without this, files written in the index's own second would be read again each time.
    """
    verified = started - _RACY_NS
    with contextlib.suppress(FileNotFoundError):
        if index.stat().st_mtime_ns < verified:
            os.utime(index, ns=(verified, verified))
