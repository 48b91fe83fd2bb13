"""What an Apply has to change, as journal entries: computed from trees, and from the bytes that are on disk now."""

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from daemon import changes, git, raw_files, repositories
from daemon.changes import GITLINK, Touched
from daemon.placing import shown
from daemon.raw_files import LINK, RawFile
from daemon.repositories import Project
from store import errors
from store.records import JournalEntry


def of_files(project: Project, touched: Sequence[Touched], after: str, umask: int) -> list[JournalEntry]:
    """Entries for files; the bytes before and after are in the private repository then.

    Args:
        project: Whose files they are.
        touched: How the paths differ between the project's content now and the tree `after`.
        after: The tree that the project is to hold.
        umask: What a new file's permissions lack.

    Raises:
        OSError: a file cannot be read, or is gone.
        CleverAgentsError: git failed, see `git.call`.
    """
    sha256 = len(after) == 64
    there = [file.path for file in touched if raw_files.is_there(project.path, file.path)]
    olds = raw_files.store(project, [raw_files.at(project.path, path) for path in there], sha256=sha256)
    old = dict(zip(there, olds, strict=True))
    rewritten = [file.path for file in touched if file.new and (file.new != file.old or _changes_kind(file))]
    new = dict(zip(rewritten, _as_written(project, after, rewritten, sha256=sha256), strict=True))
    return [_of_file(project, file, old.get(file.path), new.get(file.path), umask) for file in touched]


def of_index(project: Project, before: str, after: str) -> list[JournalEntry]:
    """Entries for the project's index."""
    return [
        _entry("index", project, file.path, (file.old_mode, file.old), (file.new_mode, file.new))
        for file in changes.touched(project, before, after)
    ]


def of_ref(project: Project, branch: str, old: str | None, new: str) -> JournalEntry:
    """The entry for a branch."""
    return _entry("ref", project, os.fsencode(f"refs/heads/{branch}"), (None, old), (None, new))


def without_submodules(project: Project, touched: Sequence[Touched], *, in_files: bool) -> list[Touched]:
    """The paths that are files.

    Raises:
        InvalidArgumentError: the change moves a submodule where only files can be written, or makes one of files.
    """
    for file in touched:
        modes = {file.old_mode, file.new_mode}
        if GITLINK in modes and (in_files or not modes <= {GITLINK, None}):
            raise errors.InvalidArgumentError(
                f"the change moves the submodule {shown(file.path)} of project {project.name}; it is no file to write",
                suggestions=["apply it with `--mode commit` or `--mode branch`, then `git submodule update`"],
            )
    return [file for file in touched if GITLINK not in {file.old_mode, file.new_mode}]


def keep(project: Project, plan_id: str, entries: Sequence[JournalEntry], others: Sequence[str]) -> None:
    """Let refs of the plan hold all that the entries name, and `others`, so that nothing prunes them."""
    old = [entry.old for entry in entries if entry.old and entry.old_mode not in {None, GITLINK}]
    new = [entry.new for entry in entries if entry.new and entry.new_mode not in {None, GITLINK}]
    refs = [("old", _bundle(project, old)), ("new", _bundle(project, new))]
    refs += [(f"result-{position}", name) for position, name in enumerate(others)]
    repositories.move_refs(project, [(repositories.plan_ref(plan_id, f"applied/{ref}"), name) for ref, name in refs])


def _bundle(project: Project, blobs: Sequence[str]) -> str:
    """A tree whose only meaning is that these blobs are in it."""
    lines = "".join(f"100644 blob {blob}\t{blob}\n" for blob in sorted(set(blobs)))
    return repositories.private(project, ["mktree"], feed=lines.encode()).decode().strip()


def _changes_kind(file: Touched) -> bool:
    return stat.S_IFMT(file.old_mode or 0) != stat.S_IFMT(file.new_mode or 0)


def _as_written(project: Project, tree: str, paths: Sequence[bytes], *, sha256: bool) -> list[RawFile]:
    """The bytes that git would write for these paths, line ends and filters included."""
    if not paths:
        return []
    with tempfile.TemporaryDirectory(dir=project.own) as aside:
        index, files = Path(aside) / "index", Path(aside) / "files"
        files.mkdir()
        repositories.read_tree(project, index, tree)
        git.run(
            ["checkout-index", "-q", "-z", "--stdin"],
            git_dir=project.repository,
            work_tree=files,
            index=index,
            input=git.joined(paths),
            env={"GIT_LFS_SKIP_SMUDGE": "0"},
        )
        return raw_files.store(project, [raw_files.at(files, path) for path in paths], sha256=sha256)


def _of_file(project: Project, file: Touched, old: RawFile | None, new: RawFile | None, umask: int) -> JournalEntry:
    before = (old.mode, old.blob) if old else (None, None)
    content = (new or old) if file.new else None
    if content is None:
        return _entry("file", project, file.path, before, (None, None))
    mode = LINK if content.mode == LINK else _permissions(file, old, umask)
    return _entry("file", project, file.path, before, (mode, content.blob))


def _permissions(file: Touched, old: RawFile | None, umask: int) -> int:
    """The user's own bits stay; git only decides about execution, and only where it says something new."""
    executable = file.new_mode == 0o100755
    if old is None or old.mode == LINK:
        return (0o777 if executable else 0o666) & ~umask
    if file.new_mode == file.old_mode:
        return old.mode
    return old.mode | (old.mode & 0o444) >> 2 if executable else old.mode & ~0o111


def _entry(
    target: str,
    project: Project,
    path: bytes,
    old: tuple[int | None, str | None],
    new: tuple[int | None, str | None],
) -> JournalEntry:
    return JournalEntry(project.name, target, path, *old, *new)
