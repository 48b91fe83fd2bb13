"""Snapshots: the state of a project, uncommitted and untracked files included, as a commit in its private repository.

The project is only read: its index is copied for the speed that its stat data gives, and never written.
"""

import contextlib
import os
import tempfile
from pathlib import Path

import msgspec

from daemon import changes, git, repositories, worktrees
from daemon import preflight as preflight_
from daemon.preflight import Inspection, Uncarried, inspect, preflight
from daemon.repositories import PLAN_REFS, Head, Project, prepare
from store import errors

__all__ = [
    "PLAN_REFS",
    "Inspection",
    "Project",
    "Snapshot",
    "Uncarried",
    "index_tree",
    "inspect",
    "preflight",
    "prepare",
    "take",
]


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A project at one moment.

    Attributes:
        commit: In the private repository; HEAD itself when the project is clean and no other parent was asked for.
        tree: The commit's tree.
        head: The project's HEAD; None for a folder and on an unborn branch.
        branch: The branch HEAD is on; None when detached, and for a folder.
        modified: How many files differ from HEAD, untracked ones included; 0 for a folder.
        nested: Repositories inside the project that were left out.
    """

    commit: str
    tree: str
    head: str | None
    branch: str | None
    modified: int
    nested: list[bytes] = []


def take(project: Project, ref: str, *, parent: str | None = None) -> Snapshot:
    """Commit the project as it is now to `ref` of its private repository.

    Args:
        project: A project that was prepared.
        ref: The full name of the ref that keeps the commit.
        parent: The commit's parent instead of HEAD.

    Raises:
        NotFoundError: the project's directory is gone.
        InvalidArgumentError: the project is in the middle of a merge or the like.
        PermissionDeniedError: a file cannot be read.
        CleverAgentsError: git failed, see `git.call`.
    """
    with repositories.lock(project):
        if not project.repository.is_dir():
            prepare(project)
        make = _of_repository if project.kind == "git" else _of_folder
        return make(project, ref, parent)


def index_tree(project: Project, here: Head) -> str:
    """The project's index as a tree of the private repository, with all that it names.

    Raises:
        CleverAgentsError: git failed, see `git.call`.
    """
    with repositories.lock(project), tempfile.TemporaryDirectory(dir=project.own) as aside:
        index = Path(aside) / "index"
        if not _copy_index(project, here, index):
            repositories.read_tree(project, index, "--empty")
        tree = git.run(["write-tree", "--missing-ok"], git_dir=project.repository, index=index).decode().strip()
        _adopt(project, here, tree)
        return tree


def _adopt(project: Project, here: Head, tree: str) -> list[changes.Touched]:
    """Copy what the project's index has staged and the private repository lacks; how the tree differs from HEAD."""
    changed = changes.touched(project, here.commit or repositories.empty_tree(tree), tree)
    repositories.adopt(project, (file.new for file in changed if file.new and file.new_mode != changes.GITLINK))
    return changed


def _of_repository(project: Project, ref: str, parent: str | None) -> Snapshot:
    here = preflight_.settled(project)
    head_tree = repositories.fetch_head(project, here)
    staged = _stage_seeded(project, here)
    changed = _adopt(project, here, staged.tree) if staged.tree != head_tree else []
    if here.commit and staged.tree == head_tree and parent in {None, here.commit}:
        made = here.commit
    else:
        made = _commit(project, staged.tree, parent or here.commit)
    _keep(project, ref, made)
    return Snapshot(
        commit=made,
        tree=staged.tree,
        head=here.commit,
        branch=here.branch,
        modified=len(changed),
        nested=staged.nested,
    )


def _of_folder(project: Project, ref: str, parent: str | None) -> Snapshot:
    if not project.path.is_dir():
        raise errors.NotFoundError(f"the directory of project {project.name}, {project.path}, does not exist")
    if _index(project).exists():
        worktrees.drop_ignored(project.repository, project.path, _index(project))
    staged = worktrees.stage(project.repository, project.path, _index(project))
    made = _commit(project, staged.tree, parent)
    _keep(project, ref, made)
    return Snapshot(commit=made, tree=staged.tree, head=None, branch=None, modified=0, nested=staged.nested)


def _commit(project: Project, tree: str, parent: str | None) -> str:
    return repositories.commit(project, tree, [parent] if parent else [], f"{project.name} as it was")


def _keep(project: Project, ref: str, commit: str) -> None:
    """The private repository's HEAD follows, since git compares each index that it looks at with HEAD as well."""
    at_commit = _content(project.repository / "HEAD") == commit.encode() + b"\n"
    repositories.move_refs(project, [(ref, commit)] if at_commit else [(ref, commit), ("HEAD", commit)])


def _index(project: Project) -> Path:
    return project.own / "index"


def _stage_seeded(project: Project, here: Head) -> worktrees.Staged:
    _seed(project, here)
    # what an earlier snapshot added may be ignored by now; what the project itself tracks stays, ignored or not
    added_list = project.own / "index.added"
    added = set(git.split(_content(added_list) or b""))
    if added:
        worktrees.drop_ignored(project.repository, project.path, _index(project), added)
    try:
        staged = worktrees.stage(project.repository, project.path, _index(project))
    except worktrees.UnmergedError as error:
        raise preflight_.unmerged(project) from error
    if not added.issuperset(staged.added):
        repositories.write_file(added_list, git.joined(sorted(added.union(staged.added))))
    return staged


def _seed(project: Project, here: Head) -> None:
    """Start from the project's index whenever that has changed: it decides which files are tracked, ignored or not."""
    seed = project.own / "index.seed"
    signature = _signature(here)
    if signature is not None and _index(project).exists() and _content(seed) == signature:
        return
    seed.unlink(missing_ok=True)
    (project.own / "index.added").unlink(missing_ok=True)
    if _copy_index(project, here, _index(project)):
        _see_hidden(project)
        repositories.write_file(seed, signature or b"")


def _signature(here: Head) -> bytes | None:
    try:
        found = (here.git_dir / "index").stat()
    except FileNotFoundError:
        return None
    return os.fsencode(f"{found.st_mtime_ns} {found.st_size} {found.st_ino} {here.git_dir}")


def _copy_index(project: Project, here: Head, to: Path) -> bool:
    """Copy the project's index; without one, `to` is gone afterwards."""
    try:
        with (here.git_dir / "index").open("rb") as source:
            found = os.fstat(source.fileno())
            repositories.write_file(to, source.read())
    except FileNotFoundError:
        to.unlink(missing_ok=True)
        return False
    # git trusts an entry only when it is older than its index: a copy with a younger date would hide late changes
    os.utime(to, ns=(found.st_mtime_ns, found.st_mtime_ns))
    if any(here.git_dir.glob("sharedindex.*")):
        # most entries may be in a second file beside the project's index
        git.run(["update-index", "--no-split-index"], git_dir=here.git_dir, index=to, cwd=project.path)
    return True


def _content(path: Path) -> bytes | None:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def _see_hidden(project: Project) -> None:
    """Drop the marks by which a user hides own edits from git: an Apply must know of them."""
    tagged = [(entry[:1], entry[2:]) for entry in git.split(_indexed(project, ["ls-files", "-v", "-z"]))]
    assumed = [path for tag, path in tagged if tag.islower()]
    skipped = [path for tag, path in tagged if tag in b"Ss" and _is_there(project, path)]
    for flag, paths in ("--no-assume-unchanged", assumed), ("--no-skip-worktree", skipped):
        if paths:
            _indexed(project, ["update-index", flag, "-z", "--stdin"], git.joined(paths))


def _indexed(project: Project, args: list[str], names: bytes | None = None) -> bytes:
    return git.run(args, git_dir=project.repository, work_tree=project.path, index=_index(project), input=names)


def _is_there(project: Project, path: bytes) -> bool:
    return os.path.lexists(project.path / os.fsdecode(path))
