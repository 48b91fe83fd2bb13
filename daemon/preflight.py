"""What can be a project, and whether a project can be sandboxed now.

Both only look. A project that cannot is refused with a sentence; what of it cannot be carried into a sandbox is named.
"""

import os
import stat
from collections.abc import Generator
from pathlib import Path

import msgspec

from daemon import git, repositories
from daemon.repositories import Head, Project
from store import errors

_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a series of cherry-picks or reverts",
}
KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
"""What git has no word for."""


class Inspection(msgspec.Struct, frozen=True):
    """What a directory would be as a project: its resolved root, and "git" or "folder"."""

    path: Path
    kind: str


class Uncarried(msgspec.Struct, frozen=True):
    """Something in a project that no sandbox gets.

    Attributes:
        path: Relative to the project.
        reason: Why not, as the end of a sentence that begins with the path.
    """

    path: bytes
    reason: str


def inspect(path: Path) -> Inspection:
    """What kind of project the directory would be.

    Raises:
        NotFoundError: it is not there.
        InvalidArgumentError: it cannot be a project; the message says why, the suggestions what could.
    """
    root = _directory(path)
    bare_or_inside = git.call(
        ["rev-parse", "--is-bare-repository", "--is-inside-git-dir"], cwd=root, env=_ANYWHERE, ok=None
    )
    if bare_or_inside.returncode != 0:
        return _no_repository(root, bare_or_inside.stderr)
    if b"true" in bare_or_inside.stdout:
        raise errors.InvalidArgumentError(
            f"{root} is a bare repository or the inside of one: it has no files to work on",
            suggestions=["register a clone or a worktree of it"],
        )
    top = Path(os.fsdecode(git.run(["rev-parse", "--show-toplevel"], cwd=root, env=_ANYWHERE)[:-1]))
    if not top.samefile(root):
        raise errors.InvalidArgumentError(
            f"{root} is inside the git repository {top}; a project is a whole repository",
            suggestions=[f"ca project add {top}"],
        )
    return Inspection(root, "git")


def preflight(project: Project) -> list[Uncarried]:
    """What of the project cannot be carried into a sandbox; ignored files are not mentioned.

    Raises:
        NotFoundError: the project's directory is gone.
        InvalidArgumentError: it cannot be sandboxed now, such as in the middle of a merge.
    """
    with repositories.lock(project):
        if project.kind != "git":
            repositories.prepare(project)
            return _uncarried(project, frozenset())
        settled(project)
        staged = git.split(repositories.look(project, ["ls-files", "-s", "-z"]))
        if any(entry.partition(b"\t")[0].endswith((b" 1", b" 2", b" 3")) for entry in staged):
            raise unmerged(project)
        return _uncarried(project, frozenset(e.partition(b"\t")[2] for e in staged if e.startswith(b"160000 ")))


def settled(project: Project) -> Head:
    """Where a git project stands, when nothing is under way in it.

    Raises:
        NotFoundError: the project's directory is gone.
        InvalidArgumentError: it is no git repository any more, or in the middle of a merge, rebase or the like.
    """
    if not project.path.is_dir():
        raise errors.NotFoundError(f"the directory of project {project.name}, {project.path}, does not exist")
    here = repositories.head(project)
    for name, what in _UNDER_WAY.items():
        if (here.git_dir / name).exists():
            raise errors.InvalidArgumentError(
                f"{what} is in progress in project {project.name} ({project.path})",
                suggestions=[f"finish or abort it: git -C {project.path} status"],
            )
    return here


def unmerged(project: Project) -> errors.InvalidArgumentError:
    """The error for an index with conflicts in it."""
    return errors.InvalidArgumentError(
        f"the index of project {project.name} has unmerged files",
        suggestions=[f"resolve them: git -C {project.path} status"],
    )


_ANYWHERE = {"GIT_CEILING_DIRECTORIES": "", "GIT_OPTIONAL_LOCKS": "0"}


def _directory(path: Path) -> Path:
    if not path.exists():
        raise errors.NotFoundError(f"{path} does not exist")
    root = path.resolve()
    if not root.is_dir():
        raise errors.InvalidArgumentError(f"{root} is not a directory", suggestions=[f"ca project add {root.parent}"])
    if not os.access(root, os.R_OK | os.X_OK):
        raise errors.InvalidArgumentError(f"{root} cannot be read", suggestions=[f"chmod u+rx {root}"])
    if root in {Path("/"), Path.home().resolve()}:
        raise errors.InvalidArgumentError(
            f"{root} is too much for a project: every snapshot would read all of it",
            suggestions=["register the directory of one piece of work"],
        )
    if ".git" in root.parts or "\n" in str(root):
        raise errors.InvalidArgumentError(
            f"{str(root)!r} cannot be a project: it is inside a .git directory, or has a newline in its name",
            suggestions=["register the directory that holds the files"],
        )
    return root


def _no_repository(root: Path, stderr: bytes) -> Inspection:
    if b"not a git repository" in stderr and not (root / ".git").exists():
        return Inspection(root, "folder")
    words = stderr.decode(errors="backslashreplace").strip()
    raise errors.InvalidArgumentError(f"git cannot use {root}: {words}", suggestions=[f"git -C {root} status"])


def _uncarried(project: Project, submodules: frozenset[bytes]) -> list[Uncarried]:
    found = sorted(_suspects(project, submodules), key=lambda item: item.path)
    names = git.joined(item.path for item in found)
    if not names:
        return []
    ignored = set(git.split(_reading(project, ["check-ignore", "-z", "--stdin"], names)))
    return [item for item in found if item.path not in ignored]


def _reading(project: Project, args: list[str], names: bytes | None = None) -> bytes:
    """Run git over the project's files: a folder's ignore rules are read through the private repository."""
    git_dir, work_tree = (None, None) if project.kind == "git" else (project.repository, project.path)
    return git.run(args, git_dir=git_dir, work_tree=work_tree, cwd=project.path, env=_ANYWHERE, input=names, ok=(0, 1))


def _suspects(project: Project, submodules: frozenset[bytes]) -> Generator[Uncarried]:
    """Walk the project without its ignored directories; the kind of an entry comes with its name, not from a stat."""
    listed = _reading(project, ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"])
    ignored = {name[:-1] for name in git.split(listed) if name.endswith(b"/")}
    root = os.fsencode(project.path)
    waiting = [b""]
    while waiting:
        below = waiting.pop()
        try:
            entries = list(os.scandir(root + b"/" + below))
        except OSError as error:
            yield Uncarried(below, f"cannot be read: {error.strerror}")
            continue
        if below and _is_repository(entries):
            yield _nested(below, submodules)
            if below in submodules or not _holds_tracked(project, below):
                continue
        for entry in entries:
            name = below + b"/" + entry.name if below else entry.name
            if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                continue
            if not entry.is_dir(follow_symlinks=False):
                kind = KINDS.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), "a special file")
                yield Uncarried(name, f"is {kind}")
            elif name not in ignored and entry.name != b".git":
                waiting.append(name)


def _nested(path: bytes, submodules: frozenset[bytes]) -> Uncarried:
    if path in submodules:
        return Uncarried(path, "is a submodule: the sandbox knows its commit and has an empty directory")
    return Uncarried(path, "is a git repository of its own and not a submodule")


def _is_repository(entries: list["os.DirEntry[bytes]"]) -> bool:
    """A directory called `.git` that git would not accept is a directory like any other."""
    for entry in entries:
        if entry.name == b".git":
            return entry.is_file(follow_symlinks=False) or Path(os.fsdecode(entry.path), "HEAD").exists()
    return False


def _holds_tracked(project: Project, below: bytes) -> bool:
    """Whether git looks below it all the same, since it has files there."""
    return project.kind == "git" and bool(
        repositories.look(project, ["--literal-pathspecs", "ls-files", "-z", "--", below])
    )
