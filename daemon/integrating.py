"""Integration: the change of a child enters its parent, in the private repository.

Decided here and only here: what each merge strategy makes of a conflict, and what the result is when a version was chosen.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from daemon import changes, git, repositories
from daemon.changes import Attempt, Version
from daemon.repositories import Project


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A file that a child and its parent changed in ways that do not fit together.

    Attributes:
        path: The file.
        kind: As of `changes.Conflict`, or "overlap" where a merge was not even tried.
        base: The version that both started from, None when there is none; `parent` and `child` likewise.
    """

    path: bytes
    kind: str
    base: Version | None
    parent: Version | None
    child: Version | None


class Integrated(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an integration.

    Attributes:
        commit: The parent's new tip; None while there are conflicts.
        tree: Its tree.
        overridden: With last_wins the files of which the child's version was taken.
        conflicts: What is in the way, by path; those too that were settled, while others are open.
        open: The paths of those for which something has to be chosen yet.
    """

    commit: str | None = None
    tree: str | None = None
    overridden: list[bytes] = []
    conflicts: list[Conflict] = []
    open: list[bytes] = []


class Point(NamedTuple):
    """A commit with its tree."""

    commit: str
    tree: str


class Merge(msgspec.Struct, frozen=True):
    """What is to be merged: the commits that the child started from, that the parent is at, and that the child came to."""

    base: str
    parent: str
    child: str


def integrate(
    project: Project,
    *,
    base: Point,
    parent: Point,
    child: Point,
    strategy: str,
    ref: str,
    message: str,
    taken: Mapping[bytes, Version | None] | None = None,
) -> Integrated:
    """Merge a child's change into its parent's tip; no checkout is touched.

    Args:
        project: Whose private repository has the commits.
        base: What the child started from, an earlier tip of the parent.
        parent: The parent's tip.
        child: The child's tip, made on the base.
        strategy: The merge strategy of the step.
        ref: The full name of the ref that the new tip is kept by; moved before this returns.
        message: The message of the commit.
        taken: What was chosen for paths in conflict; None stands for absent. Paths that are in no conflict are passed over.

    Returns:
        The new tip, a commit on the parent's and the child's, or the parent's own when nothing changes; or the conflicts,
        when one of them is open.

    Raises:
        LostError: one of the commits is missing in the private repository.
        CleverAgentsError: git failed, see `git.call`.
    """
    merge, chosen = Merge(base.commit, parent.commit, child.commit), dict(taken or {})
    with repositories.lock(project):
        overlaps = _overlaps(project, merge) if strategy == "fail_on_conflict" else []
        open_ones = _open(overlaps, chosen)
        if open_ones:
            return Integrated(conflicts=overlaps, open=open_ones)
        points = zip(base, parent, child, strict=True)
        attempt = changes.attempt_related(project, *points)
        conflicts = _conflicts(project, merge, attempt)
        if strategy == "last_wins":
            chosen = {one.path: one.child for one in conflicts}
        known = {one.path for one in overlaps}
        conflicts = [*overlaps, *(one for one in conflicts if one.path not in known)]
        open_ones = _open(conflicts, chosen)
        if open_ones:
            return Integrated(conflicts=conflicts, open=open_ones)
        settled = {one.path: chosen[one.path] for one in conflicts}
        tree = _settled_tree(project, attempt, settled) if settled else attempt.tree
        tip = parent.commit
        if tree != parent.tree:
            tip = repositories.commit(project, tree, [parent.commit, child.commit], message)
        repositories.move_refs(project, [(ref, tip)])
        return Integrated(commit=tip, tree=tree, overridden=list(settled) if strategy == "last_wins" else [])


def _overlaps(project: Project, merge: Merge) -> list[Conflict]:
    mine = {file.path: file for file in changes.touched(project, merge.base, merge.parent)}
    return [
        Conflict(
            path=file.path,
            kind="overlap",
            base=_old(file),
            parent=_new(mine[file.path]),
            child=_new(file),
        )
        for file in changes.touched(project, merge.base, merge.child)
        if file.path in mine
    ]


def _conflicts(project: Project, merge: Merge, attempt: Attempt) -> list[Conflict]:
    """The unmerged files with what each side really has there: git's own versions may be merged already after renames."""
    if not attempt.unmerged:
        return []
    parent = {file.path: file for file in changes.touched(project, merge.base, merge.parent)}
    child = {file.path: file for file in changes.touched(project, merge.base, merge.child)}
    found: list[Conflict] = []
    for one in attempt.unmerged:
        mine, its = parent.get(one.path), child.get(one.path)
        some = mine or its
        base = _old(some) if some else None
        found.append(
            Conflict(
                path=one.path,
                kind=one.kind,
                base=base or one.base,
                parent=(_new(mine) if mine else base) or one.ours,
                child=(_new(its) if its else base) or one.theirs,
            )
        )
    return found


def _old(file: changes.Touched) -> Version | None:
    return (file.old_mode, file.old) if file.old_mode and file.old else None


def _new(file: changes.Touched) -> Version | None:
    return (file.new_mode, file.new) if file.new_mode and file.new else None


def _open(conflicts: Sequence[Conflict], chosen: Mapping[bytes, Version | None]) -> list[bytes]:
    """The paths for which nothing is chosen, or something that cannot be there because of another choice."""
    settled = {one.path: chosen[one.path] for one in conflicts if one.path in chosen}
    return [one.path for one in conflicts if one.path not in settled or _is_blocked(one.path, settled)]


def _is_blocked(path: bytes, settled: Mapping[bytes, Version | None]) -> bool:
    """Whether a file was chosen where `path` needs a directory."""
    above = path.split(b"/")[:-1]
    directories = (b"/".join(above[:count]) for count in range(1, len(above) + 1))
    return settled[path] is not None and any(settled.get(directory) for directory in directories)


def _settled_tree(project: Project, attempt: Attempt, settled: Mapping[bytes, Version | None]) -> str:
    """The tree of the attempt with the chosen versions, and without the names that git made up for the others."""
    gone = {name for one in attempt.unmerged for name in one.names}
    return replaced(project, attempt.tree, {**dict.fromkeys(sorted(gone)), **settled})


def replaced(project: Project, tree: str, entries: Mapping[bytes, Version | None]) -> str:
    """A tree with other entries; what goes goes first, since a file may take the place of a directory.

    Raises:
        CleverAgentsError: git failed, see `git.call`.
    """
    absent = [path for path, version in entries.items() if version is None]
    lines = [b"0 %s\t%s" % (b"0" * len(tree), path) for path in absent]
    lines += [b"%o %s\t%s" % (one[0], one[1].encode(), path) for path, one in entries.items() if one]
    with tempfile.TemporaryDirectory(dir=project.own) as aside:
        index = Path(aside) / "index"
        repositories.read_tree(project, index, tree)
        order = ["update-index", "-z", "--index-info"]
        git.run(order, git_dir=project.repository, index=index, input=git.joined(lines))
        return git.run(["write-tree"], git_dir=project.repository, index=index).decode().strip()
