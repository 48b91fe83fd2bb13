"""Sandboxes: the isolated copies of a project in which the steps of a plan work.

A sandbox has a throw-away `.git` for the agents in it. What it holds is read with the private repository as git
directory and an index of ours, so nothing that a step plants in its own `.git` is ever executed. Its index and its
record are kept in the private repository, out of reach of the steps' relative paths.
"""

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec

from daemon import changes, checkouts, inclusions, pool, repositories, worktrees
from daemon.repositories import Project
from store import crashpoints, errors


class Checkpoint(msgspec.Struct, frozen=True):
    """A sandbox's content as a commit.

    Attributes:
        commit: In the private repository; the parent itself when nothing changed.
        tree: Its tree.
        nested: Git repositories that steps made in the sandbox; git cannot carry them, so they are not in the commit.
    """

    commit: str
    tree: str
    nested: list[bytes] = []


class _Record(msgspec.Struct, frozen=True):
    """What is known of a sandbox.

    Attributes:
        commit: What it was made for.
        last: The commit that it was last equal to.
        include: What was asked for beside it.
        kept: What was copied in.
        complete: Whether it is whole.
        tree: The tree of `last`, where it is known.
    """

    commit: str
    last: str
    include: list[str]
    kept: list[bytes]
    complete: bool
    tree: str = ""


def create(project: Project, plan_id: str, path: Path, commit: str, *, include: Sequence[str] = ()) -> list[str]:
    """Make the sandbox of a plan: the files of `commit`, and the ignored files that the plan asks for.

    A complete one for the same commit is kept as it is; a half-made one is replaced; one for another commit is
    snapshotted and replaced.

    Returns:
        The names of `include` that the project does not have.

    Raises:
        InvalidActionError: `include` names something outside the project.
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project):
        wanted = inclusions.checked(project, include)
        record = _record(project, plan_id)
        if record is None or record.commit != commit or not (record.complete and checkouts.is_directory(path)):
            _make(project, plan_id, path, commit, include)
        crashpoints.reach("sandbox.made")
        return [name for name, relative in zip(include, wanted, strict=True) if not _has(project, relative)]


def checkpoint(project: Project, plan_id: str, path: Path, name: str, parent: str) -> Checkpoint:
    """Commit what the sandbox holds to the plan's ref `name`.

    Args:
        project: The sandbox's project.
        plan_id: The sandbox's plan.
        path: The sandbox.
        name: The ref below the plan's, such as `checkpoint/<step_id>` or `partial/<step_id>-<attempt>`.
        parent: The commit's parent; when the tree is the same the ref gets this commit.

    Raises:
        StepFailedError: the sandbox is gone.
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project):
        if not checkouts.is_directory(path):
            raise _gone(path)
        staged = _stage(project, plan_id, path, parent)
        commit = _commit(project, plan_id, name, staged.tree, parent)
        crashpoints.reach("sandbox.committed")
        _note(project, plan_id, commit, staged.tree)
        return Checkpoint(commit, staged.tree, staged.nested)


def restore(project: Project, plan_id: str, path: Path, commit: str) -> None:
    """Make the sandbox exactly `commit` again, whatever a step has done to it.

    Included files stay, and so do those that git ignores there: a step that built what a later one needs ran once.

    Raises:
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        kept = record.kept if record else []
        checkouts.switch(project, path, _index(project, plan_id), commit, keep=kept, keep_ignored=True)
        checkouts.give_git(project, path, _index(project, plan_id), commit)
        if record:
            _fill(project, plan_id, path, msgspec.structs.replace(record, last=commit, tree=""))


def remove(project: Project, plan_id: str, path: Path, *, room: int = pool.SIZE) -> None:
    """Remove the sandbox; what it holds beyond the last checkpoint is kept under the plan's ref `removed` first.

    Args:
        project: The sandbox's project.
        plan_id: The sandbox's plan.
        path: The sandbox.
        room: It goes to the pool, for the next plan, while there are fewer.

    Raises:
        CleverAgentsError: its state cannot be kept, or it cannot be removed; then it is still there.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        if checkouts.is_directory(path):
            _keep_state(project, plan_id, path, record)
            crashpoints.reach("sandbox.saved")
            if not pool.put(project, path, _index(project, plan_id), room=room):
                checkouts.delete(path)
        else:
            checkouts.delete(path)
        crashpoints.reach("sandbox.deleted")
        _forget(project, plan_id)
        with contextlib.suppress(OSError):  # the directories of the namespace and of the plan, when they are empty
            path.parent.rmdir()
            path.parent.parent.rmdir()


def edits(project: Project, plan_id: str, path: Path) -> list[bytes]:
    """The paths in which a sandbox differs from its last checkpoint, ignored and included files left out; only looked at.

    Raises:
        CleverAgentsError: git cannot tell, see `git.call`.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        kept = [name.rstrip(b"/") for name in record.kept] if record else []
        found = worktrees.differing(project.repository, path, _index(project, plan_id))
        return [name for name in found if not any(name == one or name.startswith(one + b"/") for one in kept)]


def _make(project: Project, plan_id: str, path: Path, commit: str, include: Sequence[str]) -> None:
    _clear(project, plan_id, path)
    record = _Record(commit, commit, list(include), [], complete=False)
    _write(project, plan_id, record)
    index = _index(project, plan_id)
    pool.take(project, path, index)
    checkouts.switch(project, path, index, commit)
    checkouts.give_git(project, path, index, commit)
    _fill(project, plan_id, path, record)


def _clear(project: Project, plan_id: str, path: Path) -> None:
    """Make room: a half-made sandbox holds no work, anything else does."""
    record = _record(project, plan_id)
    if record is not None and not record.complete:
        checkouts.delete(path)
    remove(project, plan_id, path)


def _fill(project: Project, plan_id: str, path: Path, record: _Record) -> None:
    """Copy in what is included, and declare the sandbox complete."""
    kept = set(record.kept)
    for relative in inclusions.checked(project, record.include):
        kept.update(inclusions.copy_in(project, relative, path) or [])
    _write(project, plan_id, msgspec.structs.replace(record, kept=sorted(kept), complete=True))


def _has(project: Project, relative: Path) -> bool:
    path = project.path / relative
    return path.exists() or path.is_symlink()


def _stage(project: Project, plan_id: str, path: Path, base: str | None) -> worktrees.Staged:
    index = _index(project, plan_id)
    if base and not index.exists():
        repositories.read_tree(project, index, base)
    record = _record(project, plan_id)
    kept = [name.rstrip(b"/") for name in record.kept] if record else []

    def leave(name: bytes) -> bool:
        return any(name == one or name.startswith(one + b"/") for one in kept)

    try:
        staged = worktrees.stage(project.repository, path, index, leave=leave)
        if not staged.unreadable:
            return staged
    except errors.PermissionDeniedError:
        pass
    # a step has closed a file or directory to its own owner; it is work all the same
    checkouts.open_up(path)
    return worktrees.stage(project.repository, path, index, leave=leave)


def _commit(project: Project, plan_id: str, name: str, tree: str, parent: str | None) -> str:
    ref = repositories.plan_ref(plan_id, name)
    if parent and _tree_of(project, plan_id, parent) == tree:
        commit = parent
    else:
        commit = repositories.commit(project, tree, [parent] if parent else [], f"{name} of plan {plan_id}")
    repositories.move_refs(project, [(ref, commit)])
    return commit


def _keep_state(project: Project, plan_id: str, path: Path, record: _Record | None) -> None:
    last = record.last if record else None
    if (
        record
        and record.tree
        and worktrees.is_as_written(project.repository, path, _index(project, plan_id), record.tree)
    ):
        return
    staged = _stage(project, plan_id, path, last)
    if last is None or _tree_of(project, plan_id, last) != staged.tree:
        _commit(project, plan_id, _free_name(project, plan_id, "removed"), staged.tree, last)


def _free_name(project: Project, plan_id: str, name: str) -> str:
    """`name`, or with a number when an earlier sandbox of the plan left its work under it."""
    taken = repositories.plan_refs(project, plan_id)
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _gone(path: Path) -> errors.StepFailedError:
    return errors.StepFailedError(
        f"the step removed its own sandbox, {path}, or put something else in its place; its work is lost",
        detail={"sandbox": str(path)},
        suggestions=["let the step work inside the sandbox, not on the sandbox's directory itself"],
    )


def _index(project: Project, plan_id: str) -> Path:
    return project.own / "sandboxes" / f"{plan_id}.index"


def _record_path(project: Project, plan_id: str) -> Path:
    return project.own / "sandboxes" / f"{plan_id}.json"


def _record(project: Project, plan_id: str) -> _Record | None:
    try:
        return msgspec.json.decode(_record_path(project, plan_id).read_bytes(), type=_Record)
    except FileNotFoundError:
        return None


def _write(project: Project, plan_id: str, record: _Record) -> None:
    repositories.write_file(_record_path(project, plan_id), msgspec.json.encode(record))


def _note(project: Project, plan_id: str, last: str, tree: str) -> None:
    record = _record(project, plan_id)
    if record:
        _write(project, plan_id, msgspec.structs.replace(record, last=last, tree=tree))


def _tree_of(project: Project, plan_id: str, commit: str) -> str:
    record = _record(project, plan_id)
    return record.tree if record and record.tree and record.last == commit else changes.tree_of(project, commit)


def _forget(project: Project, plan_id: str) -> None:
    for path in (project.own / "sandboxes").glob(f"{plan_id}.*"):
        path.unlink()
