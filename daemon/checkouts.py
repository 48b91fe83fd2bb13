"""Checkouts: directories that hold exactly the files of a commit, and the throw-away `.git` that one may have.

Git here runs with the private repository as git directory and an index of ours, so a checkout's own `.git` is written but
never opened.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from daemon import git, repositories
from daemon.repositories import Project
from store import errors

FILE_MASK = 0o022
"""Files have the modes that git gives them elsewhere, as the steps expect; the directories above are closed to others."""


def switch(
    project: Project, path: Path, index: Path, commit: str, *, keep: Collection[bytes] = (), keep_ignored: bool = False
) -> None:
    """Make the directory hold the files of `commit` and nothing else; what is broken in it is written anew.

    Args:
        project: Whose private repository has the commit.
        path: The directory; made when it is missing, replaced when it is something else.
        index: The index of ours that belongs to it.
        commit: A commit or tree.
        keep: Other files and directories that stay.
        keep_ignored: Files that git ignores stay too: what a build or a package manager made is no part of `commit`.

    Raises:
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    if is_directory(path):
        try:
            _read_tree(project, path, index, commit)
            ignored = _ignored(project, path, index) if keep_ignored else []
            _sweep(project, path, index, [*keep, *ignored])
        except (errors.CleverAgentsError, OSError):
            delete(path)  # read-only directories, files in use, a torn index: a new checkout needs none of it
        else:
            return
    fresh(project, path, index, commit)


def fresh(project: Project, path: Path, index: Path, commit: str) -> None:
    """Check `commit` out into a new directory; whatever has its name is gone first."""
    delete(path)
    index.unlink(missing_ok=True)
    path.mkdir(mode=0o700, parents=True)
    _read_tree(project, path, index, commit)


def give_git(project: Project, path: Path, index: Path, commit: str) -> None:
    """Give the checkout a new `.git` of its own that stands at `commit` and borrows all objects.

    It has no remote, since a push from it would reach the private repository.
    """
    directory = path / ".git"
    delete(directory)
    (directory / "objects" / "info").mkdir(mode=0o700, parents=True)
    (directory / "refs").mkdir()
    (directory / "info").mkdir()
    (directory / "objects" / "info" / "alternates").write_bytes(os.fsencode(project.repository / "objects") + b"\n")
    (directory / "HEAD").write_text(commit + "\n", encoding="ascii")
    (directory / "config").write_bytes(_configuration(project, commit))
    (directory / "packed-refs").write_bytes(repositories.history(project))
    for name in "info/exclude", "info/attributes", "shallow":
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(project.repository / name, directory / name)
    # the copy keeps its date, by which git tells which entries it may trust
    shutil.copy2(index, directory / "index")


def submodules(project: Project, index: Path) -> list[bytes]:
    """The places of submodules, each an empty directory in a checkout."""
    return _links(_entries(project, index))


def is_directory(path: Path) -> bool:
    """Whether it is a directory itself, not a link to one."""
    return path.is_dir() and not path.is_symlink()


def delete(path: Path) -> None:
    """Remove whatever has this name, read-only directories included.

    Raises:
        CleverAgentsError: the system refuses.
    """
    try:
        if not is_directory(path):
            path.unlink(missing_ok=True)
            return
        try:
            shutil.rmtree(path)
        except PermissionError:
            open_up(path)
            shutil.rmtree(path)
    except OSError as error:
        raise errors.from_os_error(error, f"cannot remove {path}") from error


def open_up(path: Path) -> None:
    """Let the owner read and change every directory, and read every file below."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IRWXU)
    for entry in os.scandir(path):
        if entry.is_dir(follow_symlinks=False):
            open_up(Path(entry.path))
        elif entry.is_file(follow_symlinks=False) and not os.access(entry.path, os.R_OK):
            Path(entry.path).chmod(stat.S_IMODE(entry.stat().st_mode) | stat.S_IRUSR)


def _read_tree(project: Project, path: Path, index: Path, commit: str) -> None:
    index.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    order = ["read-tree", "--reset", "-u", commit]
    git.run(order, git_dir=project.repository, work_tree=path, index=index, umask=FILE_MASK)
    index.chmod(0o600)  # the mask is for the project's files


def _configuration(project: Project, commit: str) -> bytes:
    sha256 = len(commit) == 64
    extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    settings = project.own / "project.config"
    include = b'[include]\n\tpath = "%s"\n' % os.fsencode(settings).replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    core = f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = false\n[gc]\n\tauto = 0\n{extension}"
    return core.encode() + include


def _ignored(project: Project, path: Path, index: Path) -> list[bytes]:
    listing = ["ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    found = git.split(git.run(listing, git_dir=project.repository, work_tree=path, index=index))
    return [name.rstrip(b"/") for name in found]


def _sweep(project: Project, path: Path, index: Path, keep: Collection[bytes]) -> None:
    """Remove what is not in the index, whatever it is, and what steps have put into the places of submodules."""
    listed = _entries(project, index)
    links = set(_links(listed))
    files = {entry.partition(b"\t")[2] for entry in listed}.difference(links).union(keep, [b".git"])
    parents = _parents([*files, *links])
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        directory = os.fsencode(path) + b"/" + below
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            Path(os.fsdecode(directory)).chmod(stat.S_IRWXU)
        for entry in list(os.scandir(directory)):
            name = below + entry.name
            if name in files:
                continue
            if entry.is_dir(follow_symlinks=False) and (name in parents or name in links):
                waiting.append(name + b"/")
            else:
                delete(Path(os.fsdecode(entry.path)))


def _entries(project: Project, index: Path) -> list[bytes]:
    return git.split(git.run(["ls-files", "-s", "-z"], git_dir=project.repository, index=index))


def _links(listed: Iterable[bytes]) -> list[bytes]:
    return [entry.partition(b"\t")[2] for entry in listed if entry.startswith(b"160000 ")]


def _parents(names: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for name in names:
        directory = name.rpartition(b"/")[0]
        while directory and directory not in found:
            found.add(directory)
            directory = directory.rpartition(b"/")[0]
    return found
