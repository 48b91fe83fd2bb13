"""Sandboxes: the isolated copies of a project in which the steps of a plan work.

A sandbox has a throw-away `.git` for the agents in it. What it holds is read with the private repository as git
directory and an index of ours, so nothing that a step plants in its own `.git` is ever executed. Its index and its
record are kept in the private repository, out of reach of the steps' relative paths.
"""

import contextlib
import itertools
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from daemon import changes, checkouts, inclusions, pool, repositories, worktrees
from daemon.preflight import KINDS, Uncarried
from daemon.repositories import Project
from store import crashpoints, errors

ASIDE = ".aside"
"""Beside the sandboxes of a plan: what was in the way in one of them, and could not be kept under a ref."""
MADE = ", made in the sandbox"
"""How the reasons end why something of a sandbox cannot be carried; those of a project never do."""


class Checkpoint(msgspec.Struct, frozen=True):
    """A sandbox's content as a commit.

    Attributes:
        commit: In the private repository; the parent itself when nothing changed.
        tree: Its tree.
        uncarried: What is in the sandbox and not in the commit, since git cannot carry it.
    """

    commit: str
    tree: str
    uncarried: list[Uncarried] = []


class Contents(msgspec.Struct, frozen=True):
    """What a sandbox holds beyond its last checkpoint.

    Attributes:
        edits: The paths in which it differs, ignored and included files left out.
        uncarried: What no ref could keep.
    """

    edits: list[bytes]
    uncarried: list[Uncarried]


class _Record(msgspec.Struct, frozen=True):
    """What is known of a sandbox.

    Attributes:
        commit: What it was made for.
        last: The commit that it was last equal to.
        include: What was asked for beside it.
        kept: What was copied in.
        complete: Whether it is whole.
        tree: The tree of `last`, where it is known.
        submodules: The places of submodules, which it has as empty directories.
    """

    commit: str
    last: str
    include: list[str]
    kept: list[bytes]
    complete: bool
    tree: str = ""
    submodules: list[bytes] = []


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


def set_up(project: Project, plan_id: str, path: Path) -> None:
    """Have what is in a new sandbox now, and no commit can keep, for the sandbox's own: it is nobody's work.

    Raises:
        CleverAgentsError: git failed, see `git.call`.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        assert record is not None, "it was made just now"
        made = {one.path for one in contents(project, plan_id, path).uncarried}
        left = [place for place in record.submodules if place not in made]
        kept = sorted({*record.kept, *made.difference(record.submodules)})
        _write(project, plan_id, msgspec.structs.replace(record, kept=kept, submodules=left))


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
        return Checkpoint(commit, staged.tree, _uncarried(path, _record(project, plan_id), staged.nested))


def keep(project: Project, plan_id: str, path: Path, name: str) -> str | None:
    """Commit what the sandbox holds beyond its last checkpoint to a ref of the plan; None when that is nothing.

    Args:
        project: The sandbox's project.
        plan_id: The sandbox's plan.
        path: The sandbox.
        name: The ref below the plan's; it gets a number when it is taken.

    Returns:
        The ref's name below the plan's.

    Raises:
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project):
        return _keep_state(project, plan_id, path, _record(project, plan_id), name).ref


def specials(project: Project, plan_id: str, path: Path) -> list[Uncarried]:
    """FIFOs, sockets and devices in a sandbox: git sees none of them, so all of it is walked through.

    Raises:
        CleverAgentsError: git failed, see `git.call`.
    """
    with repositories.lock(project):
        found = worktrees.specials(project.repository, path, _index(project, plan_id))
    kinds = ((name, KINDS.get(stat.S_IFMT(mode), "a special file")) for name, mode in found)
    return [Uncarried(name, f"is {kind}{MADE}") for name, kind in kinds]


def restore(project: Project, plan_id: str, path: Path, commit: str, *, discard: bool = False) -> Path | None:
    """Make the sandbox exactly `commit` again, whatever a step has done to it.

    Included files stay, and so do those that git ignores there: a step that built what a later one needs ran once.
    What no commit can keep is put aside.

    Args:
        project: The sandbox's project.
        plan_id: The sandbox's plan.
        path: The sandbox.
        commit: What it is to hold.
        discard: Nothing in it is anybody's work, so nothing need be put aside.

    Returns:
        Where something was put, if anything was.

    Raises:
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        kept = record.kept if record else []
        aside = None if discard else _put_aside(project, plan_id, path)
        checkouts.switch(project, path, _index(project, plan_id), commit, keep=kept, keep_ignored=True)
        checkouts.give_git(project, path, _index(project, plan_id), commit)
        if record:
            _fill(project, plan_id, path, msgspec.structs.replace(record, last=commit, tree=""))
        return aside


def put_away(project: Project, plan_id: str, path: Path) -> None:
    """Remove the sandbox whatever it holds, to make room for another: what no ref can keep is put aside.

    Raises:
        CleverAgentsError: its state cannot be kept, or it cannot be removed; then it is still there.
    """
    with repositories.lock(project):
        _put_aside(project, plan_id, path)
        remove(project, plan_id, path)


def remove(project: Project, plan_id: str, path: Path, *, room: int = pool.SIZE) -> None:
    """Remove the sandbox; what it holds beyond the last checkpoint is kept under the plan's ref `removed` first.

    One that holds what no ref can keep stays.

    Args:
        project: The sandbox's project.
        plan_id: The sandbox's plan.
        path: The sandbox.
        room: It goes to the pool, for the next plan, while there are fewer.

    Raises:
        InvalidTransitionError: it holds what no ref can keep; the message names it.
        CleverAgentsError: its state cannot be kept, or it cannot be removed; then it is still there.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        if checkouts.is_directory(path):
            if left := _keep_state(project, plan_id, path, record, "removed").uncarried:
                raise _refused(path, left)
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


def contents(project: Project, plan_id: str, path: Path) -> Contents:
    """What a sandbox holds beyond its last checkpoint; only looked at.

    Raises:
        CleverAgentsError: git cannot tell, see `git.call`.
    """
    with repositories.lock(project):
        record = _record(project, plan_id)
        found = worktrees.differing(project.repository, path, _index(project, plan_id))
        own = [name for name in found if not _is_kept(record, name.rstrip(b"/"))]
        nested = [name[:-1] for name in own if name.endswith(b"/")]
        return Contents([name for name in own if not name.endswith(b"/")], _uncarried(path, record, nested))


def edits(project: Project, plan_id: str, path: Path) -> list[bytes]:
    """The edits of `contents` alone; errors as there."""
    return contents(project, plan_id, path).edits


def _make(project: Project, plan_id: str, path: Path, commit: str, include: Sequence[str]) -> None:
    _clear(project, plan_id, path)
    record = _Record(commit, commit, list(include), [], complete=False)
    _write(project, plan_id, record)
    index = _index(project, plan_id)
    pool.take(project, path, index)
    checkouts.switch(project, path, index, commit)
    checkouts.give_git(project, path, index, commit)
    submodules = checkouts.submodules(project, index)
    _fill(project, plan_id, path, msgspec.structs.replace(record, submodules=submodules))


def _clear(project: Project, plan_id: str, path: Path) -> None:
    """Make room: a half-made sandbox holds no work, anything else does."""
    record = _record(project, plan_id)
    if record is not None and not record.complete:
        checkouts.delete(path)
    put_away(project, plan_id, path)


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

    def leave(name: bytes) -> bool:
        return _is_kept(record, name)

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


def _is_kept(record: _Record | None, name: bytes) -> bool:
    """Whether something is included, and so not a step's."""
    kept = [one.rstrip(b"/") for one in record.kept] if record else []
    return any(name == one or name.startswith(one + b"/") for one in kept)


class _State(msgspec.Struct, frozen=True):
    """What was kept of a sandbox: the name of the ref, if one was needed, and what that does not have."""

    ref: str | None
    uncarried: list[Uncarried]


def _keep_state(project: Project, plan_id: str, path: Path, record: _Record | None, name: str) -> _State:
    last = record.last if record else None
    if (
        record
        and record.tree
        and worktrees.is_as_written(project.repository, path, _index(project, plan_id), record.tree)
    ):
        return _State(None, _uncarried(path, record, []))
    staged = _stage(project, plan_id, path, last)
    left = _uncarried(path, record, staged.nested)
    if last is not None and _tree_of(project, plan_id, last) == staged.tree:
        return _State(None, left)
    ref = _free_name(project, plan_id, name)
    _note(project, plan_id, _commit(project, plan_id, ref, staged.tree, last), staged.tree)
    return _State(ref, left)


def _uncarried(path: Path, record: _Record | None, nested: Collection[bytes]) -> list[Uncarried]:
    """What of a sandbox has content that no commit can have."""
    filled = [place for place in record.submodules if _has_entries(path / os.fsdecode(place))] if record else []
    return [
        *(Uncarried(place, f"is a git repository of its own{MADE}") for place in nested),
        *(Uncarried(place, f"is a submodule with files{MADE}") for place in filled),
    ]


def _has_entries(directory: Path) -> bool:
    return checkouts.is_directory(directory) and any(directory.iterdir())


def _put_aside(project: Project, plan_id: str, path: Path) -> Path | None:
    """Move what no commit can keep out of the sandbox; returns where to."""
    if not checkouts.is_directory(path):
        return None
    record = _record(project, plan_id)
    try:
        found = contents(project, plan_id, path).uncarried
    except errors.CleverAgentsError:
        return None  # a torn index; what is there will be made anew
    if not found:
        return None
    above = path.parent.parent / ASIDE
    taken = {entry.name for entry in above.iterdir()} if above.exists() else set[str]()
    place = above / next(str(number) for number in itertools.count(1) if str(number) not in taken)
    for one in found:
        name = os.fsdecode(one.path)
        to = place / path.parent.name / path.name / name
        to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        (path / name).rename(to)
        if record is not None and one.path in record.submodules:
            (path / name).mkdir()
    return place


def _free_name(project: Project, plan_id: str, name: str) -> str:
    """`name`, or with a number when an earlier sandbox of the plan left its work under it."""
    taken = repositories.plan_refs(project, plan_id)
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _refused(path: Path, left: Sequence[Uncarried]) -> errors.InvalidTransitionError:
    said = ", ".join(f"{one.path.decode(errors='backslashreplace')} {one.reason}" for one in left[:5])
    return errors.InvalidTransitionError(
        f"the sandbox {path} stays, since no ref can keep what it holds: {said}",
        detail={"sandbox": str(path)},
        suggestions=["take out of it what you need, delete the rest, then: ca plan prune"],
    )


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
