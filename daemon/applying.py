"""Apply and Undo on the real project: the merge with what the project holds now, and the journal of what it changes.

`prepare` computes everything and writes nothing in the project; `daemon.writing` carries it out.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon import changes, checkouts, commits, entries, obstacles, repositories, snapshots
from daemon.changes import Conflict
from daemon.commits import MODES
from daemon.placing import shown
from daemon.repositories import Head, Project
from daemon.writing import advance, mixed, retreat, undo, write
from store import errors
from store.records import JournalEntry

__all__ = [
    "MODES",
    "JournalEntry",
    "Prepared",
    "advance",
    "mixed",
    "prepare",
    "retreat",
    "scratch",
    "undo",
    "write",
]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """An Apply that has been computed and not yet written.

    Attributes:
        tree: The content that the project will have, or, in mode `branch`, that the branch will have.
        entries: What `write` is to change.
        moved: Whether the project differs from the base of the plan.
        dirty: Paths of the change set that also have uncommitted changes in the project.
        commit: The commit that a branch will be at; None in the modes without one.
        files: How many files will change.
        insertions: Lines added in them.
        deletions: Lines removed from them.
    """

    tree: str
    entries: list[JournalEntry]
    moved: bool
    dirty: list[bytes]
    commit: str | None
    files: int
    insertions: int
    deletions: int


class _Now(msgspec.Struct, frozen=True):
    """The project at the moment of the Apply; a folder has only a snapshot, `index_tree` is there when needed."""

    here: Head | None
    snapshot: snapshots.Snapshot
    head_tree: str | None
    index_tree: str | None

    def is_still(self, later: "_Now") -> bool:
        """Whether nothing changed until `later`."""
        mine, its = (now.here and (now.here.commit, now.here.branch) for now in (self, later))
        return mine == its and self.snapshot.tree == later.snapshot.tree and self.index_tree == later.index_tree


class _Moving(Exception):  # noqa: N818  caught within this module
    """The project changed while it was being read."""


def prepare(
    project: Project,
    plan_id: str,
    base: str,
    result: str,
    mode: str,
    *,
    message: str,
    branch: str | None,
    umask: int,
) -> Prepared:
    """Merge the plan's change into what the project holds now, and list what has to be written for it.

    Nothing in the project is changed. What will be overwritten and what will be written is kept, byte for byte, in the
    private repository.

    Args:
        project: A git repository, or for `worktree` also a folder.
        plan_id: Whose refs keep the bytes.
        base: The commit that the plan started from.
        result: The commit that it arrived at.
        mode: One of `MODES`.
        message: The message of the commit, in the modes that make one.
        branch: The name of the new branch, in mode `branch`.
        umask: What a new file's permissions lack.

    Raises:
        MergeConflictError: the user's own changes collide with the plan's; `detail["files"]` has path, kind and the ids
            of the three versions, `detail["where"]` whether in the files, the index or HEAD.
        InvalidArgumentError: the mode does not go with this project as it is now; the message says why.
        NotFoundError: the project, or one of the commits, is gone.
        ChangeMovedError: the project does not hold still.
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project):
        commits.check_target(project, mode, branch)
        for _ in range(3):
            try:
                return _prepare(_Apply(project, plan_id, base, result, mode, umask), message, branch)
            except _Moving:
                continue
    raise errors.ChangeMovedError(
        f"project {project.name} changes while the plan is being applied",
        detail={"project": project.name},
        suggestions=["wait until what writes there is done, then apply again"],
    )


def scratch(project: Project, tree: str, base: str, directory: Path) -> None:
    """Check the merged result out into `directory`, for the checks; what was there is replaced.

    It has a `.git` as a sandbox has, in which the result is a commit after `base`.

    Raises:
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project), tempfile.TemporaryDirectory(dir=project.own) as aside:
        commit = repositories.commit(project, tree, [base], "merged result", durable=False)
        checkouts.fresh(project, directory, Path(aside) / "index", commit)
        checkouts.give_git(project, directory, Path(aside) / "index", commit)


class _Apply(msgspec.Struct, frozen=True):
    """What is to be applied where."""

    project: Project
    plan_id: str
    base: str
    result: str
    mode: str
    umask: int

    def merged(self, tree: str, where: str) -> str:
        """The tree that `tree` becomes with the plan's change in it."""
        merge = changes.merge(self.project, self.base, tree, self.result)
        if merge.tree is None:
            raise _collision(self.project, merge.conflicts, where)
        return merge.tree

    def look(self) -> _Now:
        """The project as it is now."""
        ref = repositories.plan_ref(self.plan_id, "applied/before")
        snapshot = snapshots.take(self.project, ref, parent=self.base)
        if self.project.kind != "git":
            return _Now(None, snapshot, None, None)
        here = repositories.head(self.project)
        nothing = repositories.empty_tree(snapshot.tree)
        head_tree = changes.tree_of(self.project, here.commit) if here.commit else nothing
        needs_index = self.mode in {"index", "commit"}
        return _Now(here, snapshot, head_tree, snapshots.index_tree(self.project, here) if needs_index else None)


def _prepare(apply: _Apply, message: str, branch: str | None) -> Prepared:
    project, now = apply.project, apply.look()
    before, after = _content(apply, now)
    found = [] if apply.mode == "branch" else _file_entries(apply, before, after)
    if now.index_tree is not None:
        found += entries.of_index(project, now.index_tree, apply.merged(now.index_tree, "index"))
    commit = None
    if apply.mode in {"commit", "branch"} and now.here and now.head_tree:
        tree = after if apply.mode == "branch" else apply.merged(now.head_tree, "HEAD")
        commit = commits.make(project, tree, now.here.commit, message)
        old = now.here.commit if apply.mode == "commit" else None
        found.append(entries.of_ref(project, branch or str(now.here.branch), old, commit))
    if not now.is_still(apply.look()):
        raise _Moving
    entries.keep(project, apply.plan_id, found, [after, *filter(None, [commit])])
    sums = changes.diff(project, before, after)
    return Prepared(
        tree=after,
        entries=found,
        moved=now.snapshot.tree != changes.tree_of(project, apply.base),
        dirty=_dirty(apply, now),
        commit=commit,
        files=len(sums.files),
        insertions=sums.insertions,
        deletions=sums.deletions,
    )


def _content(apply: _Apply, now: _Now) -> tuple[str, str]:
    """The tree before and after the change, of the files or, for a branch, of HEAD."""
    if apply.mode == "branch" and now.head_tree:
        return now.head_tree, apply.merged(now.head_tree, "HEAD")
    return now.snapshot.tree, apply.merged(now.snapshot.tree, "files")


def _collision(project: Project, conflicts: Sequence[Conflict], where: str) -> errors.MergeConflictError:
    files = [
        {
            "project": project.name,
            "path": shown(one.path),
            "kind": one.kind,
            "base": one.base,
            "ours": one.ours,
            "theirs": one.theirs,
        }
        for one in conflicts
    ]
    said = ", ".join(f"{file['path']} ({file['kind']})" for file in files[:10])
    more = f" and {len(files) - 10} more" if len(files) > 10 else ""
    place = {"files": "the files", "index": "the index", "HEAD": "the last commit"}[where]
    return errors.MergeConflictError(
        f"the plan's change collides with {place} of project {project.name}: {said}{more}; nothing was changed",
        detail={"project": project.name, "where": where, "files": files},
    )


def _dirty(apply: _Apply, now: _Now) -> list[bytes]:
    clean = now.head_tree if now.head_tree is not None else apply.base
    edited = {file.path for file in changes.touched(apply.project, clean, now.snapshot.tree)}
    return [file.path for file in changes.touched(apply.project, apply.base, apply.result) if file.path in edited]


def _file_entries(apply: _Apply, before: str, after: str) -> list[JournalEntry]:
    project = apply.project
    touched = entries.without_submodules(
        project, changes.touched(project, before, after), in_files=apply.mode == "worktree"
    )
    try:
        in_the_way = obstacles.find(project, touched)
        if in_the_way:
            raise _collision(project, in_the_way, "files")
        return entries.of_files(project, touched, after, apply.umask)
    except FileNotFoundError as error:
        raise _Moving from error
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read the files of {project.path}") from error
