"""Changes: the difference of two trees of a project, its text, its digest, and the merge of two differences.

All of it happens in the private repository, on commits and trees; no file of a project or sandbox is read.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from daemon import git, repositories
from daemon.raw_files import LINK
from daemon.repositories import Project
from store import errors

GITLINK = 0o160000
"""The mode of a submodule's entry: its id is a commit of another repository."""

Version = tuple[int, str]
"""What is at a path: git's mode and the id of its content, or of a submodule its commit."""

_STATUSES = {"A": "added", "D": "deleted", "M": "modified", "T": "modified", "R": "renamed"}
_MERGE = ("-c", "merge.conflictStyle=diff3", "merge-tree", "--write-tree", "-z")
_KINDS = (
    ("contents", "content"),
    ("modify/delete", "delete/modify"),
    ("binary", "binary"),
    ("rename", "rename"),
    ("file location", "rename"),
    ("directory", "file/directory"),
    ("mode", "mode"),
    ("submodule", "submodule"),
)


class Touched(msgspec.Struct, frozen=True):
    """A path that differs between two trees; modes and ids are None where the path is absent."""

    path: bytes
    old_mode: int | None
    old: str | None
    new_mode: int | None
    new: str | None


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a change set.

    Attributes:
        path: Where it is now; of a deleted file, where it was.
        old_path: Where it was, when it was renamed.
        status: "added", "modified", "deleted" or "renamed".
        binary: Whether its content is not text; it has no lines then.
        insertions: Lines added.
        deletions: Lines removed.
        old_mode: git's mode before, such as 0o100644.
        new_mode: git's mode after.
    """

    path: bytes
    old_path: bytes | None
    status: str
    binary: bool
    insertions: int | None
    deletions: int | None
    old_mode: int | None = None
    new_mode: int | None = None


class Changes(msgspec.Struct, frozen=True):
    """A change set: its files in git's order, and the sums of their lines."""

    files: list[FileChange]
    insertions: int
    deletions: int


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """A file that two sides changed in ways that do not fit together.

    Attributes:
        path: The file.
        kind: "content", "add/add", "delete/modify", "rename", "binary", "mode", "file/directory", "symlink",
            "submodule", or git's own word for a rarer one.
        base: The id of the version that both sides started from; None when there is none.
        ours: The id of the project's version.
        theirs: The id of the plan's version.
    """

    path: bytes
    kind: str
    base: str | None
    ours: str | None
    theirs: str | None


class Unmerged(msgspec.Struct, frozen=True, kw_only=True):
    """A path of which git left more than one version.

    Attributes:
        path: The file.
        names: Where the tree of the attempt has it: there, or beside it when something else has its name.
        kind: As of `Conflict`.
        base: What both sides started from, after renames; so for `ours` and `theirs`.
    """

    path: bytes
    names: list[bytes]
    kind: str
    base: Version | None
    ours: Version | None
    theirs: Version | None


class Attempt(msgspec.Struct, frozen=True):
    """A merge as far as git takes it.

    Attributes:
        tree: The result; files that are unmerged have markers in it.
        ours: The tree of our side.
        unmerged: What is in the way of a clean result, by path.
        sides: The commits of base, ours and theirs by whose ids the markers, and names beside others, tell the sides.
    """

    tree: str
    ours: str
    unmerged: list[Unmerged] = []
    sides: tuple[str, ...] = ()


class Merge(msgspec.Struct, frozen=True):
    """A merge: its tree when it is clean, else what is in the way."""

    tree: str | None
    conflicts: list[Conflict] = []


def touched(project: Project, old: str, new: str) -> list[Touched]:
    """Every path that differs between two trees or commits, renames not looked for; errors as of `git.call`."""
    if old == new:
        return []
    listed = repositories.private(project, ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", old, new])
    fields = iter(git.split(listed))
    return [_touched(header, path) for header, path in zip(fields, fields, strict=True)]


def entries(project: Project, tree: str, paths: Sequence[bytes]) -> dict[bytes, Version]:
    """What a commit or tree has at those of the paths that it has; errors as of `git.call`."""
    said = git.split(repositories.private(project, ["ls-tree", "-z", "--full-tree", tree, "--", *paths]))
    found = (entry.partition(b"\t") for entry in said)
    return {path: (int(info[:6], 8), info.split(b" ")[2].decode()) for info, _, path in found}


def diff(project: Project, base: str, result: str) -> Changes:
    """The change set from `base` to `result`, commits or trees; errors as of `git.call`."""
    files = [_change(file) for file in _files(project, base, result)]
    return Changes(files, sum(file.insertions or 0 for file in files), sum(file.deletions or 0 for file in files))


def patch(project: Project, base: str, result: str, *, within: str = "") -> bytes:
    """The change set as a diff to read: a binary file is one line with its sizes.

    Args:
        project: Whose trees these are.
        base: A commit or tree.
        result: Another.
        within: A directory that the names are shown in, such as `local/web/`, to tell several projects apart.
    """
    flags = ["-p", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "--no-commit-id"]
    prefixes = [f"--src-prefix=a/{within}", f"--dst-prefix=b/{within}"]
    text = repositories.private(project, ["diff-tree", *flags, *prefixes, base, result, "--"])
    return _with_sizes(project, text) if b"\nBinary files " in text else text


def digest(pairs: Sequence[tuple[str, str]]) -> str:
    """What a reviewer has seen: SHA-256 over the base and result trees of all projects, in their order."""
    return hashlib.sha256("".join(f"{base} {result}\n" for base, result in pairs).encode()).hexdigest()


def tree_of(project: Project, commit: str) -> str:
    """The tree of a commit; a tree is its own.

    Raises:
        NotFoundError: the private repository has no such commit.
    """
    return _trees(project, [commit])[0]


def merge(project: Project, base: str, ours: str, theirs: str) -> Merge:
    """Merge what `ours` and `theirs` changed since `base`; each is a commit or a tree. Errors as of `attempt`."""
    found = attempt(project, base, ours, theirs)
    return Merge(None, [_conflict(one) for one in found.unmerged]) if found.unmerged else Merge(found.tree)


def attempt(project: Project, base: str, ours: str, theirs: str) -> Attempt:
    """Merge what `ours` and `theirs` changed since `base`; each is a commit or a tree. Nothing is checked out.

    Raises:
        LostError: one of them is missing in the private repository.
        CleverAgentsError: git failed, see `git.call`.
    """
    with repositories.lock(project):
        root, mine, its = _sides(project, [base, ours, theirs])
        clean = _without_git(root.tree, mine.tree, its.tree)
        if clean is not None:
            return Attempt(clean, mine.tree)
        parent = root.commit or repositories.commit(project, root.tree, [], "base of a merge")
        sides = [_child(project, side, parent) for side in (mine, its)]
        return _attempt(project, mine.tree, (parent, *sides))


def attempt_related(project: Project, commits: tuple[str, str, str], trees: tuple[str, str, str]) -> Attempt:
    """The same for commits of which the base is the merge base by their history too; git need not be asked for that.

    Args:
        project: Whose private repository has them.
        commits: Base, ours, theirs.
        trees: Theirs, in the same order.
    """
    clean = _without_git(*trees)
    if clean is not None:
        return Attempt(clean, trees[1])
    base, _, theirs = commits
    # git would walk through all that entered our side since the base, so a thousand merges would cost a million steps
    ours = repositories.commit(project, trees[1], [base], "side of a merge", durable=False)
    return _attempt(project, trees[1], (base, ours, theirs))


def _without_git(base: str, ours: str, theirs: str) -> str | None:
    """The merge of three trees when only one side changed something, or both the same."""
    if base in {ours, theirs} or ours == theirs:
        return theirs if ours == base else ours
    return None


def _attempt(project: Project, ours: str, commits: tuple[str, ...]) -> Attempt:
    sides = commits[1:]
    with repositories.lock(project):
        done = git.call([*_MERGE, *sides], git_dir=project.repository, ok=(0, 1))
    if not done.stdout:  # it says so with the code that a conflict has too
        raise errors.LostError(
            f"the private repository of project {project.name} has lost a commit: {os.fsdecode(done.stderr).strip()}",
            detail={"repository": str(project.repository), "commits": list(sides)},
            suggestions=["ca diagnostics", "ca diagnostics --repair"],
        )
    tree, *listed = git.split(done.stdout)
    return Attempt(tree.decode(), ours, _unmerged(listed, sides) if done.returncode else [], commits)


class _Side(msgspec.Struct, frozen=True):
    """A commit with its tree and parents, or a tree alone."""

    tree: str
    commit: str | None
    parents: list[str]


def _sides(project: Project, names: Sequence[str]) -> list[_Side]:
    with git.objects(project.repository) as known:
        return [_side(*known.find(name)) for name in names]


def _side(name: str, kind: str, content: bytes) -> _Side:
    if kind != "commit":
        return _Side(name, None, [])
    header = content.partition(b"\n\n")[0].decode(errors="replace").splitlines()
    said = [line.partition(" ") for line in header]
    parents = [value for word, _, value in said if word == "parent"]
    return _Side(said[0][2], name, parents)


def _child(project: Project, side: _Side, parent: str) -> str:
    """The side as a commit on `parent` alone: git finds the base of a merge by ancestry, and must find this one."""
    if side.commit and side.parents == [parent]:
        return side.commit
    return repositories.commit(project, side.tree, [parent], "side of a merge")


def _trees(project: Project, names: Sequence[str]) -> list[str]:
    found = repositories.resolve(project, [f"{name}^{{tree}}" for name in names])
    for name, tree in zip(names, found, strict=True):
        if tree is None:
            raise errors.NotFoundError(f"the private repository of project {project.name} has no commit {name}")
    return [tree for tree in found if tree]


def _touched(header: bytes, path: bytes) -> Touched:
    old_mode, new_mode, old, new, _status = header[1:].decode().split(" ")
    before = (int(old_mode, 8), old) if int(old_mode, 8) else (None, None)
    after = (int(new_mode, 8), new) if int(new_mode, 8) else (None, None)
    return Touched(path, *before, *after)


class _Found(msgspec.Struct):
    """A file as diff-tree lists it, before its sizes are known."""

    touched: Touched
    status: str
    old_path: bytes | None
    lines: tuple[int, int] | None = None

    @property
    def old(self) -> tuple[int | None, str | None]:
        return self.touched.old_mode, self.touched.old

    @property
    def new(self) -> tuple[int | None, str | None]:
        return self.touched.new_mode, self.touched.new


def _files(project: Project, base: str, result: str) -> list[_Found]:
    flags = ["-r", "-z", "-M", "--raw", "--numstat", "--no-abbrev", "--no-commit-id", "--no-ext-diff", "--no-textconv"]
    fields = iter(git.split(repositories.private(project, ["diff-tree", *flags, base, result])))
    files: dict[bytes, _Found] = {}
    for field in fields:
        if field.startswith(b":"):
            found = _raw(field, fields)
            files[found.touched.path] = found
        else:
            path, lines = _numstat(field, fields)
            files[path].lines = lines
    return list(files.values())


def _raw(header: bytes, fields: Iterator[bytes]) -> _Found:
    letter = header.rsplit(b" ", 1)[1][:1].decode()
    path = next(fields)
    if letter != "R":
        return _Found(_touched(header, path), letter, None)
    return _Found(_touched(header, next(fields)), letter, path)


def _numstat(field: bytes, fields: Iterator[bytes]) -> tuple[bytes, tuple[int, int] | None]:
    added, deleted, path = field.split(b"\t", 2)
    if not path:  # a rename: both names follow
        next(fields)
        path = next(fields)
    return path, None if added == b"-" else (int(added), int(deleted))


def _change(file: _Found) -> FileChange:
    return FileChange(
        path=file.touched.path,
        old_path=file.old_path,
        status=_STATUSES[file.status],
        binary=file.lines is None,
        insertions=file.lines[0] if file.lines else None,
        deletions=file.lines[1] if file.lines else None,
        old_mode=file.touched.old_mode,
        new_mode=file.touched.new_mode,
    )


def _sizes(project: Project, blobs: Iterable[str]) -> dict[str, int]:
    """The sizes of those objects that are there; a submodule's commit is not."""
    asked = "".join(f"{blob}\n" for blob in sorted(set(blobs))).encode()
    if not asked:
        return {}
    said = repositories.private(
        project, ["cat-file", "--buffer", "--batch-check=%(objectname) %(objectsize)"], feed=asked
    )
    pairs = (line.split(" ") for line in said.decode().splitlines())
    return {blob: int(size) for blob, size in pairs if size.isdigit()}


_BINARY = re.compile(rb"^index ([0-9a-f]+)\.\.([0-9a-f]+)(?: \d+)?\n(Binary files .+) differ\n", re.MULTILINE)


def _with_sizes(project: Project, text: bytes) -> bytes:
    """Lines of content begin with a blank, a sign or `@`, so a line that begins with `index` or `Binary` is git's."""
    blobs = {blob.decode() for found in _BINARY.finditer(text) for blob in found.groups()[:2]}
    sizes = {name.encode(): size for name, size in _sizes(project, blobs).items()}

    def line(found: re.Match[bytes]) -> bytes:
        old, new = (sizes.get(blob) for blob in found.groups()[:2])
        said = f"{'absent' if old is None else f'{old} bytes'} -> {'absent' if new is None else f'{new} bytes'}"
        return found[0][:-1] + f": {said}\n".encode()

    return _BINARY.sub(line, text)


def _unmerged(listed: Sequence[bytes], sides: Sequence[str]) -> list[Unmerged]:
    """Read merge-tree's answer behind the tree: a line a stage of each unmerged file, an empty field, its messages.

    A conflict of which no file has stages, such as one about directories, leaves a whole result.
    """
    fields = iter(listed)
    beside = re.compile(rb"~(%s)(_\d+)?$" % b"|".join(side.encode() for side in sides))
    stages: dict[bytes, dict[str, Version]] = {}
    names: dict[bytes, list[bytes]] = {}
    for field in fields:
        if not field:
            break
        info, _, name = field.partition(b"\t")
        mode, blob, stage = info.decode().split(" ")
        path = beside.sub(b"", name)
        stages.setdefault(path, {})[stage] = (int(mode, 8), blob)
        names.setdefault(path, [])
        if name not in names[path]:
            names[path].append(name)
    kinds = _conflict_kinds(fields, beside)
    return [_unmerged_file(path, names[path], stages[path], kinds.get(path)) for path in sorted(stages)]


def _unmerged_file(path: bytes, names: list[bytes], stages: dict[str, Version], kind: str | None) -> Unmerged:
    base, ours, theirs = (stages.get(stage) for stage in "123")
    kind = kind_of(kind or "content", base, ours, theirs)
    return Unmerged(path=path, names=names, kind=kind, base=base, ours=ours, theirs=theirs)


def kind_of(said: str, base: Version | None, ours: Version | None, theirs: Version | None) -> str:
    """The kind of a conflict that git calls `said`, from what its versions are."""
    modes = {version[0] for version in (base, ours, theirs) if version}
    if GITLINK in modes:
        return "submodule"
    if said not in {"content", "add/add", "mode"}:
        return said
    if LINK in modes:
        return "symlink"
    if ours and theirs and ours[1] == theirs[1]:
        return "mode"
    return "add/add" if said == "content" and base is None else said


def _conflict(one: Unmerged) -> Conflict:
    ids = [version and version[1] for version in (one.base, one.ours, one.theirs)]
    return Conflict(path=one.path, kind=one.kind, base=ids[0], ours=ids[1], theirs=ids[2])


def _conflict_kinds(fields: Iterator[bytes], beside: re.Pattern[bytes]) -> dict[bytes, str]:
    """The kind for each path that a message of a conflict names; the first message wins."""
    kinds: dict[bytes, str] = {}
    for count in fields:
        if not count.isdigit():
            break  # advice about submodules, which git writes behind its records
        paths = [beside.sub(b"", next(fields)) for _ in range(int(count))]
        said = next(fields).decode()
        next(fields)
        if said.startswith("CONFLICT"):
            for path in paths:
                kinds.setdefault(path, _kind(said.removeprefix("CONFLICT (").removesuffix(")")))
    return kinds


def _kind(said: str) -> str:
    return next((ours for theirs, ours in _KINDS if theirs in said), said)
