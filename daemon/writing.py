"""Carrying out a journal in a project: forwards for Apply, backwards for Undo, either way after a crash.

The order is files, index, ref. An entry is only ever moved from one of its two states to the other; what is neither is
somebody else's work and is left alone.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from daemon import changes, git, obstacles, repositories
from daemon.placing import Placer, check_paths, shown
from daemon.raw_files import RawFile, at, is_there, state
from daemon.repositories import Project
from store import crashpoints, errors
from store.records import JournalEntry

Side = Literal["old", "new"]
Stamp = tuple[int, int, int, int] | None
Key = tuple[str, bytes]

_OTHER: Mapping[Side, Side] = {"old": "new", "new": "old"}
_GITLINK = 0o160000


class _Thing(msgspec.Struct, frozen=True):
    """What an entry's place holds: a mode (0 for a ref) and an id."""

    mode: int
    name: str


class _Present(msgspec.Struct, frozen=True):
    """What all places hold now, and by what a file that changes meanwhile is noticed."""

    things: dict[Key, _Thing | None]
    stamps: dict[bytes, Stamp]
    keeps_modes: bool

    def holds(self, entry: JournalEntry, side: Side) -> bool:
        """Whether the entry's place is in its old or new state."""
        wanted, found = _wanted(entry, side), self.things[_key(entry)]
        if wanted is None or found is None:
            return wanted is found
        same_mode = wanted.mode == found.mode or (entry.target == "file" and not self.keeps_modes)
        return wanted.name == found.name and same_mode


def write(project: Project, entries: Sequence[JournalEntry]) -> None:
    """Bring every entry from its old to its new state, or, when that fails, leave every one at its old.

    The caller has made the entries durable.

    Raises:
        ChangeMovedError: something is no longer as the entries say; `detail["files"]` names it, nothing was written.
        InvalidArgumentError: a path does not stay in the project.
        DiskFullError, PermissionDeniedError: a file cannot be written.
    """
    with repositories.lock(project):
        _check_paths(project, entries, "new")
        _check_branch(project, entries)
        present = _look(project, entries)
        moved = [entry.path for entry in entries if not present.holds(entry, "old")]
        if moved:
            raise _moved(project, moved, "since the change was prepared")
        _carry_out(project, entries, "new", present)


def undo(project: Project, entries: Sequence[JournalEntry], *, keep_going: bool = False) -> list[bytes]:
    """Bring every entry back to its old state.

    Args:
        project: Where it was applied.
        entries: What was written.
        keep_going: Restore the others when some were changed since.

    Returns:
        The paths that were left alone.

    Raises:
        ChangeMovedError: something was changed since; `detail["files"]` names it, nothing was written. Of a commit or
            branch that others build on by now the suggestion says how to revert it; `keep_going` does not help there.
        DiskFullError, PermissionDeniedError: a file cannot be written.
    """
    with repositories.lock(project):
        present = _look(project, entries)
        changed = _check_undo(project, entries, present, keep_going=keep_going)
        rest = [entry for entry in entries if entry.path not in changed]
        _check_paths(project, rest, "old")
        _carry_out(project, rest, "old", present)
        return sorted(changed)


def check_undo(project: Project, entries: Sequence[JournalEntry]) -> None:
    """Raise what `undo` would refuse with, and write nothing: asked of every project before the first is touched."""
    with repositories.lock(project):
        _check_undo(project, entries, _look(project, entries), keep_going=False)


def check_there(project: Project) -> None:
    """See that there is a project at all: without one, everything in it looks as if somebody had removed it.

    Raises:
        NotFoundError: its directory is gone.
        InvalidArgumentError: it is no longer the git repository that it was.
    """
    if not project.path.is_dir():
        raise errors.NotFoundError(
            f"the directory of project {project.name}, {project.path}, does not exist",
            detail={"project": project.name},
            suggestions=[f"bring {project.path} back, then do the same again"],
        )
    if project.kind == "git":
        repositories.head(project)


def _check_undo(
    project: Project, entries: Sequence[JournalEntry], present: _Present, *, keep_going: bool
) -> set[bytes]:
    changed = {entry.path for entry in entries if not present.holds(entry, "new")}
    changed |= _obstructed(project, [entry for entry in entries if entry.path not in changed])
    _check_tip(project, entries, present)
    if changed and not keep_going:
        raise _moved(project, changed, "since it was applied")
    return changed


def _obstructed(project: Project, entries: Sequence[JournalEntry]) -> set[bytes]:
    """The files that cannot be restored: their place, or one above it, holds something that is not ours to remove."""
    restored = [
        changes.Touched(entry.path, entry.new_mode, entry.new, entry.old_mode, entry.old)
        for entry in entries
        if entry.target == "file"
    ]
    try:
        return {found.path for found in obstacles.find(project, restored)}
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read the files of {project.path}") from error


def advance(project: Project, entries: Sequence[JournalEntry]) -> list[bytes]:
    """After a crash: bring every entry that is still old to new; the paths that are neither, which are left alone."""
    with repositories.lock(project):
        return _bring(project, entries, "new", _look(project, entries))


def retreat(project: Project, entries: Sequence[JournalEntry]) -> list[bytes]:
    """After a crash: bring every entry that is new to old again; the paths that are neither, which are left alone."""
    with repositories.lock(project):
        present = _look(project, entries)
        with git.objects(project.repository) as blobs:
            Placer(project.path, blobs).tidy(entry.path for entry in entries if entry.target == "file")
        blocked = _obstructed(project, [entry for entry in entries if present.holds(entry, "new")])
        left = _bring(project, [entry for entry in entries if entry.path not in blocked], "old", present)
        return sorted({*left, *blocked})


def mixed(project: Project, entries: Sequence[JournalEntry]) -> list[bytes]:
    """The paths of the entries that are neither old nor new."""
    present = _look(project, entries)
    return [entry.path for entry in entries if not (present.holds(entry, "old") or present.holds(entry, "new"))]


def _carry_out(project: Project, entries: Sequence[JournalEntry], side: Side, present: _Present) -> None:
    try:
        _bring(project, entries, side, present)
    except Exception as error:
        left = _bring(project, entries, _OTHER[side], _look(project, entries))
        if left:
            raise _moved(project, left, "while it was written; everything else is as it was") from error
        raise
    crashpoints.reach("apply.written")


def _bring(project: Project, entries: Sequence[JournalEntry], side: Side, present: _Present) -> list[bytes]:
    """Move every entry that is on the other side; the paths of those that are on neither."""
    other = _OTHER[side]
    steps = [entry for entry in entries if present.holds(entry, other) and not present.holds(entry, side)]
    _give_objects(project, steps, side)
    _bring_files(project, [entry for entry in entries if entry.target == "file"], steps, side, present)
    _bring_index(project, [entry for entry in steps if entry.target == "index"], side)
    for entry in steps:
        if entry.target == "ref":
            crashpoints.reach("apply.ref")
            _move_ref(project, entry, side)
    return [entry.path for entry in entries if not (present.holds(entry, other) or present.holds(entry, side))]


def _bring_files(
    project: Project,
    files: Sequence[JournalEntry],
    steps: Sequence[JournalEntry],
    side: Side,
    present: _Present,
) -> None:
    """Removals go first: a file may take the place of a directory, or a directory that of a file."""
    if not files:
        return
    with git.objects(project.repository) as blobs:
        placer, paths = Placer(project.path, blobs), [entry.path for entry in files]
        placer.tidy(paths)
        removals = [entry for entry in steps if entry.target == "file" and _wanted(entry, side) is None]
        others = [entry for entry in steps if entry.target == "file" and _wanted(entry, side) is not None]
        try:
            for entry in [*removals, *others]:
                _bring_file(project, placer, entry, side, present)
        finally:
            placer.finish(paths)


def _bring_file(project: Project, placer: Placer, entry: JournalEntry, side: Side, present: _Present) -> None:
    if _stamp(project, entry.path) != present.stamps[entry.path]:
        raise _moved(project, [entry.path], "while the change was written")
    wanted = _wanted(entry, side)
    try:
        if wanted is None:
            placer.remove(entry.path)
        else:
            placer.place(entry.path, RawFile(wanted.mode, wanted.name))
    except (FileExistsError, NotADirectoryError) as error:
        raise _moved(project, [entry.path], "while the change was written") from error
    except OSError as error:
        raise errors.from_os_error(error, f"cannot write {shown(entry.path)} in {project.path}") from error


def _bring_index(project: Project, steps: Sequence[JournalEntry], side: Side) -> None:
    if not steps:
        return
    crashpoints.reach("apply.index")
    git.run(
        ["update-index", "-z", "--index-info"], cwd=project.path, input=b"".join(_index_line(e, side) for e in steps)
    )
    # the new entries have no stat data yet; without this the user's next diff would read every file
    git.run(["update-index", "-q", "--refresh"], cwd=project.path, ok=None)


def _index_line(entry: JournalEntry, side: Side) -> bytes:
    wanted = _wanted(entry, side) or _Thing(0, "0" * len(entry.old or entry.new or ""))
    return f"{wanted.mode:o} {wanted.name}\t".encode() + entry.path + b"\0"


def _move_ref(project: Project, entry: JournalEntry, side: Side) -> None:
    """Compare and swap, so that a commit made by the user meanwhile is not lost."""
    wanted, found = (entry.new, entry.old) if side == "new" else (entry.old, entry.new)
    nothing = "0" * len(wanted or found or "")
    words = ["update-ref", "-m", "cleveragents: " + ("apply" if side == "new" else "undo"), "--no-deref"]
    done = git.call([*words, entry.path, wanted or nothing, found or nothing], cwd=project.path, ok=None)
    if b"but expected" in done.stderr or b"already exists" in done.stderr:
        raise _moved(project, [entry.path], "while the change was written")
    if done.returncode != 0:
        raise git.failure(words, done.stderr, done.returncode)


def _give_objects(project: Project, steps: Sequence[JournalEntry], side: Side) -> None:
    """Copy what the index and refs are going to name from the private repository into the project's own."""
    named = [(entry, _wanted(entry, side)) for entry in steps if entry.target != "file"]
    wanted = {thing.name: entry.target for entry, thing in named if thing and thing.mode != _GITLINK}
    if not wanted:
        return
    asked = "".join(f"{name}\n" for name in wanted).encode()
    said = repositories.look(project, ["cat-file", "--buffer", "--batch-check"], feed=asked).decode().splitlines()
    missing = [line.split(" ")[0] for line in said if line.endswith(" missing")]
    # a commit with all that its parents have not
    revisions = "".join(f"{name}^!\n" if wanted[name] == "ref" else f"{name}\n" for name in missing).encode()
    if missing:
        packed = repositories.private(project, ["pack-objects", "-q", "--revs", "--stdout"], feed=revisions)
        git.run(["unpack-objects", "-q"], cwd=project.path, input=packed)


def _look(project: Project, entries: Sequence[JournalEntry]) -> _Present:
    """What the project has in every entry's place.

    Raises:
        CleverAgentsError: it cannot be read.
    """
    stamps: dict[bytes, Stamp] = {}
    things: dict[Key, _Thing | None] = {}
    for entry in entries:
        if entry.target == "file":
            stamps[entry.path] = _stamp(project, entry.path)
            things["file", entry.path] = _file(project, entry)
    things |= _indexed(project, {entry.path for entry in entries if entry.target == "index"})
    for entry in entries:
        if entry.target == "ref":
            things["ref", entry.path] = _ref(project, entry.path)
    return _Present(things, stamps, _keeps_modes(project))


def _file(project: Project, entry: JournalEntry) -> _Thing | None:
    try:
        found = state(project.path, entry.path, sha256=len(entry.old or entry.new or "") == 64)
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read {shown(entry.path)} in {project.path}") from error
    return _Thing(found.mode, found.blob) if found else None


def _stamp(project: Project, path: bytes) -> Stamp:
    if not is_there(project.path, path):
        return None
    found = at(project.path, path).lstat()
    return found.st_mode, found.st_ino, found.st_size, found.st_mtime_ns


def _indexed(project: Project, paths: set[bytes]) -> dict[Key, _Thing | None]:
    if not paths:
        return {}
    found: dict[Key, _Thing | None] = {("index", path): None for path in paths}
    for entry in git.split(repositories.look(project, ["ls-files", "-s", "-z"])):
        info, _, path = entry.partition(b"\t")
        if path in paths:
            mode, name, stage = info.decode().split(" ")
            found["index", path] = _Thing(int(mode, 8), name if stage == "0" else "unmerged")
    return found


def _ref(project: Project, ref: bytes) -> _Thing | None:
    said = git.run(["rev-parse", "-q", "--verify", ref], cwd=project.path, ok=(0, 1)).decode().strip()
    return _Thing(0, said) if said else None


def _keeps_modes(project: Project) -> bool:
    """Some file systems give every file the same permissions; there they say nothing."""
    asked = ["config", "--type=bool", "--default=true", "core.fileMode"]
    return repositories.private(project, asked).strip() == b"true"


def _wanted(entry: JournalEntry, side: Side) -> _Thing | None:
    mode, name = (entry.new_mode, entry.new) if side == "new" else (entry.old_mode, entry.old)
    return None if name is None else _Thing(mode or 0, name)


def _key(entry: JournalEntry) -> Key:
    return entry.target, entry.path


def _check_paths(project: Project, entries: Sequence[JournalEntry], side: Side) -> None:
    files = [entry for entry in entries if entry.target == "file"]
    replaced = [entry.path for entry in files if _wanted(entry, _OTHER[side]) and not _wanted(entry, side)]
    check_paths(project.path, [entry.path for entry in files], replaced)


def _commits(entries: Sequence[JournalEntry]) -> JournalEntry | None:
    """The entry of the branch that a commit goes on; a branch made by Apply comes alone and has no old value."""
    refs = [entry for entry in entries if entry.target == "ref"]
    return refs[0] if refs and (refs[0].old or len(entries) > 1) else None


def _check_branch(project: Project, entries: Sequence[JournalEntry]) -> None:
    entry = _commits(entries)
    if entry is None:
        return
    branch = repositories.head(project).branch
    if branch is None or f"refs/heads/{branch}".encode(errors="surrogateescape") != entry.path:
        name = shown(entry.path).removeprefix("refs/heads/")
        raise errors.ChangeMovedError(
            f"project {project.name} is no longer on branch {name}",
            detail={"project": project.name, "files": [shown(entry.path)]},
            suggestions=[f"git -C {project.path} switch {name}"],
        )


def _check_tip(project: Project, entries: Sequence[JournalEntry], present: _Present) -> None:
    """A commit or branch is taken back only while nothing was built on it."""
    for entry in entries:
        if entry.target == "ref" and not present.holds(entry, "new"):
            raise errors.ChangeMovedError(
                f"{shown(entry.path)} of project {project.name} is no longer at {entry.new}, the commit that was applied",
                detail={"project": project.name, "files": [shown(entry.path)]},
                suggestions=[f"git -C {project.path} revert {entry.new}"],
            )
    _check_branch(project, entries)
    alone = entries[0] if len(entries) == 1 and entries[0].target == "ref" and entries[0].old is None else None
    if alone is not None:
        asked = ["for-each-ref", "--format=%(worktreepath)", alone.path]
        used = os.fsdecode(repositories.look(project, asked)).strip()
        if used:
            raise errors.ChangeMovedError(
                f"{shown(alone.path)} is checked out in {used}",
                detail={"project": project.name, "files": [shown(alone.path)]},
                suggestions=[f"git -C {used} switch -", f"git -C {project.path} revert {alone.new}"],
            )


def _moved(project: Project, paths: Iterable[bytes], when: str) -> errors.ChangeMovedError:
    names = [shown(path) for path in sorted(paths)]
    said = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return errors.ChangeMovedError(
        f"{said} in project {project.name} changed {when}", detail={"project": project.name, "files": names}
    )
