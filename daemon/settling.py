"""Conflicts, settled: a checkout to edit in, and the versions that can be chosen, as objects of the private repository."""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from daemon import changes, checkouts, git, integrating, raw_files, repositories
from daemon.changes import GITLINK, Attempt, Version
from daemon.integrating import Conflict, Merge
from daemon.placing import shown
from daemon.raw_files import LINK
from daemon.repositories import Project
from store import errors

SCRATCH = ".conflicts"
"""Beside the sandboxes of a plan: checkouts in which conflicts can be edited."""
LARGEST = 100 * 1024 * 1024
"""Bytes of a file that is chosen."""

_MARKER = re.compile(rb"^(<{7,}|\|{7,}|>{7,}) ([0-9a-f]{4,64})", re.MULTILINE)
_LEFT = re.compile(rb"^(<{7,} parent|\|{7,} base|>{7,} child)\b", re.MULTILINE)
_SIDES = ("base", "parent", "child")


def scratch(project: Project, merge: Merge, names: Mapping[str, str], directory: Path) -> None:
    """Check the merge out, with markers in the files that do not fit; one that is there already is kept, with all edits.

    Args:
        project: Whose private repository has the commits.
        merge: What is to be merged.
        names: What people call the "parent" and the "child".
        directory: Where to.

    Raises:
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    record = directory.with_name(f"{directory.name}.merge")
    wanted = f"{merge.base} {merge.parent} {merge.child}\n".encode()
    with repositories.lock(project), tempfile.TemporaryDirectory(dir=project.own) as aside:
        if checkouts.is_directory(directory) and record.exists() and record.read_bytes() == wanted:
            return
        record.unlink(missing_ok=True)
        attempt = changes.attempt(project, merge.base, merge.parent, merge.child)
        tree = integrating.replaced(project, attempt.tree, _told_apart(attempt))
        checkouts.fresh(project, directory, Path(aside) / "index", tree)
        for one in attempt.unmerged:
            _name_sides(raw_files.at(directory, one.path), attempt.sides, names)
        repositories.write_file(record, wanted)


def _told_apart(attempt: Attempt) -> dict[bytes, Version | None]:
    """Names that git made up from the ids of commits, as `file~parent` and `file~child`."""
    found: dict[bytes, Version | None] = {}
    for one in attempt.unmerged:
        for name in one.names:
            if name != one.path:
                side, version = (b"parent", one.ours) if attempt.sides[1].encode() in name else (b"child", one.theirs)
                found |= {name: None, b"%s~%s" % (one.path, side): version}
    return found


def _name_sides(path: Path, commits: Sequence[str], names: Mapping[str, str]) -> None:
    if path.is_symlink() or not path.is_file():
        return

    labels = {one: f"{side} {names.get(side, '')}".rstrip() for side, one in zip(_SIDES, commits, strict=True)}

    def marker(found: re.Match[bytes]) -> bytes:
        side = next((label for one, label in labels.items() if one.startswith(found[2].decode())), None)
        return found[0] if side is None else b"%s %s" % (found[1], side.encode(errors="backslashreplace"))

    content = path.read_bytes()
    told = _MARKER.sub(marker, content)
    if told != content:
        path.write_bytes(told)


def edited(project: Project, directory: Path, conflict: Conflict) -> Version | None:
    """The file as it was edited in a checkout, read as a sandbox is; None when it is not there any more.

    Raises:
        InvalidArgumentError: it has markers left, is no file, or is too large.
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    known = next(filter(None, (conflict.parent, conflict.child, conflict.base)), None)
    if known is not None and known[0] == GITLINK:
        raise errors.InvalidArgumentError(
            f"{shown(conflict.path)!r} is a submodule; there is nothing to edit",
            suggestions=["take parent, child or base"],
        )
    if not raw_files.is_there(directory, conflict.path):
        return None
    _check_kind(raw_files.at(directory, conflict.path))
    with repositories.lock(project), tempfile.TemporaryDirectory(dir=project.own) as aside:
        index = Path(aside) / "index"
        # what git knew of the file decides where the system has no executable bit, and about line ends
        lines = [b"%o %s\t%s" % (known[0], known[1].encode(), conflict.path)] if known else []
        order = ["update-index", "-z", "--index-info"]
        git.run(order, git_dir=project.repository, index=index, input=git.joined(lines))
        order = ["update-index", "--add", "--replace", "-z", "--stdin"]
        git.run(order, git_dir=project.repository, work_tree=directory, index=index, input=conflict.path + b"\0")
        listed = git.run(["ls-files", "-s", "-z"], git_dir=project.repository, index=index)
        mode, blob, _ = listed.partition(b"\t")[0].decode().split(" ")
    if _LEFT.search(content(project, blob)):
        raise errors.InvalidArgumentError(
            f"{shown(conflict.path)!r} still has conflict markers in {directory}",
            detail={"path": shown(conflict.path), "directory": shown(os.fsencode(directory))},
            suggestions=["edit it until it is as it should be, then run the same command again"],
        )
    return int(mode, 8), blob


def content(project: Project, blob: str) -> bytes:
    with git.objects(project.repository) as known:
        return known.read(blob)


def file(project: Project, directory: Path, conflict: Conflict, source: Path) -> Version:
    """Any file or link of the user as the version of a path, with the content settings that hold for that path.

    Args:
        project: Whose private repository gets it.
        directory: A checkout, for the attributes in it.
        conflict: Whose path it is for.
        source: Where it is, absolute.

    Raises:
        NotFoundError: there is none.
        InvalidArgumentError: it is neither file nor link, or too large.
        CleverAgentsError: git or the file system failed, see `git.call`.
    """
    found = _check_kind(source)
    order: list[str | bytes] = ["hash-object", "-w", "--stdin"]
    with repositories.lock(project):
        if stat.S_ISLNK(found.st_mode):
            target = os.fsencode(source.readlink())
            blob = git.run([*order, "--no-filters"], git_dir=project.repository, input=target)
            return LINK, blob.decode().strip()
        order.append(b"--path=" + conflict.path)
        try:
            with source.open("rb") as stream:
                blob = git.run(order, git_dir=project.repository, work_tree=directory, input=stream)
        except OSError as error:
            raise errors.from_os_error(error, f"cannot read {source}") from error
        return 0o100755 if found.st_mode & stat.S_IXUSR else 0o100644, blob.decode().strip()


def _check_kind(path: Path) -> os.stat_result:
    try:
        found = path.lstat()
    except OSError as error:
        raise errors.from_os_error(error, f"cannot read {path}") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise errors.InvalidArgumentError(f"{path} is neither a file nor a symlink", detail={"path": str(path)})
    if found.st_size > LARGEST:
        raise errors.InvalidArgumentError(
            f"{path} has {found.st_size} bytes; a file that is chosen has at most {LARGEST}", detail={"path": str(path)}
        )
    return found


def keep(project: Project, plan_id: str, name: str, path: bytes, version: Version | None) -> None:
    """Let a ref of the plan hold what was chosen for a path, below `name`; errors as of `git.call`."""
    if version is not None and version[0] != GITLINK:
        ref = repositories.plan_ref(plan_id, f"{name}/{hashlib.sha256(path).hexdigest()[:16]}")
        with repositories.lock(project):
            repositories.move_refs(project, [(ref, version[1])])
