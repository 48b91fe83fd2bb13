"""Ignored files that a plan's steps need: checked, copied into the sandbox, never part of a result."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from daemon.repositories import Project
from store import errors


def checked(project: Project, names: Sequence[str]) -> list[Path]:
    """The wanted paths relative to the project, with symlinks on the way to them resolved.

    Raises:
        InvalidActionError: a name is absolute, goes through `..` or `.git`, or leads out of the project.
    """
    return [_checked(project, name) for name in names]


def copy_in(project: Project, relative: Path, sandbox: Path) -> list[bytes] | None:
    """Copy a file or directory of the project to the same place in the sandbox; what is there already stays.

    Returns:
        The paths that were added, a new directory as one; None when the project has no such thing.

    Raises:
        CleverAgentsError: it cannot be read or written (`permission_denied`, `disk_full`).
    """
    source = project.path / relative
    if not os.path.lexists(source):
        return None
    try:
        target = sandbox / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        return [os.fsencode(path.relative_to(sandbox)) for path in _copy(source, target)]
    except OSError as error:
        raise errors.from_os_error(error, f"cannot copy {source} into the sandbox") from error


def _checked(project: Project, name: str) -> Path:
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or any(part == ".." or part.lower() == ".git" for part in parts):
        raise _refused(project, name)
    root = project.path.resolve()
    wanted = (root / name).parent.resolve() / parts[-1]
    if not wanted.is_relative_to(root) or not wanted.resolve().is_relative_to(root):
        raise _refused(project, name)
    relative = wanted.relative_to(root)
    if not relative.parts or ".git" in (part.lower() for part in relative.parts):
        raise _refused(project, name)
    return relative


def _refused(project: Project, name: str) -> errors.InvalidActionError:
    return errors.InvalidActionError(
        f"sandbox.include: {name!r} is not the path of a file or directory inside project {project.name}",
        detail={"include": name},
        suggestions=["name it relative to the project, without `..`, `.git` or links that lead out"],
    )


def _copy(source: Path, target: Path) -> list[Path]:
    """Copy one thing; FIFOs, sockets and devices are left out."""
    if source.is_dir() and not source.is_symlink():
        return _copy_directory(source, target)
    if os.path.lexists(target):
        return []
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_file():
        shutil.copy2(source, target)
    return [target]


def _copy_directory(source: Path, target: Path) -> list[Path]:
    is_new = not os.path.lexists(target)
    if is_new:
        target.mkdir()
    elif not target.is_dir():
        return []
    added = [path for entry in sorted(source.iterdir()) for path in _copy(entry, target / entry.name)]
    return [target] if is_new else added
