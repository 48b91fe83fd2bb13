"""The pool: checkouts of a project that no plan needs now, kept since moving one is far cheaper than making one.

`<data>/sandboxes/.pool/<project_id>/<slot>/` holds `files`, the directory, and `index`, ours over it. Both come and go
by rename; a slot without one of them was cut by a crash and is swept.
"""

import contextlib
import os
from pathlib import Path

from daemon import checkouts, repositories
from daemon.repositories import Project

NAME = ".pool"
"""The directory beside the sandboxes."""

SIZE = 2
"""Checkouts kept for one project."""
CROWD = 8
"""While children come and go; what is beyond `SIZE` goes with the last of them."""


def put(project: Project, path: Path, index: Path, *, room: int) -> bool:
    """Take over a checkout whose state is kept elsewhere; False without room, or when a process still works in it."""
    slots = _slots(project)
    if len(slots) >= room or not index.exists() or _in_use(path):
        return False
    slot = _directory(project) / _free_name([used.name for used in slots])
    try:
        slot.mkdir(mode=0o700, parents=True)
        index.rename(slot / "index")
        path.rename(slot / "files")
    except OSError:
        # another file system, or a directory that may not be moved: the caller removes it instead
        checkouts.delete(slot)
        return False
    return True


def take(project: Project, path: Path, index: Path) -> bool:
    """Move a kept checkout, with leftovers and at some other commit, to `path`; False when there is none."""
    for slot in _slots(project):
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            (slot / "index").rename(index)
            (slot / "files").rename(path)
        except OSError:
            checkouts.delete(slot)
            continue
        slot.rmdir()
        return True
    return False


def trim(project: Project) -> None:
    """Remove the checkouts that are too many when no children are at work.

    Raises:
        CleverAgentsError: the system refuses.
    """
    with repositories.lock(project):
        for slot in _slots(project)[SIZE:]:
            checkouts.delete(slot)


def clear(project: Project) -> None:
    """Remove all kept checkouts of the project.

    Raises:
        CleverAgentsError: the system refuses.
    """
    with repositories.lock(project):
        checkouts.delete(_directory(project))


def all_slots(sandboxes: Path) -> dict[str, list[Path]]:
    """The slots of every project by its id, those that a crash has cut included; only looked at."""
    found: dict[str, list[Path]] = {}
    with contextlib.suppress(FileNotFoundError):
        for directory in sorted((sandboxes / NAME).iterdir()):
            found[directory.name] = sorted(directory.iterdir())
    return found


def _directory(project: Project) -> Path:
    return project.repository.parent.parent / "sandboxes" / NAME / project.repository.stem


def _slots(project: Project) -> list[Path]:
    """The whole slots; what a crash has left of others is removed."""
    whole: list[Path] = []
    with contextlib.suppress(FileNotFoundError):
        for slot in sorted(_directory(project).iterdir()):
            if (slot / "index").is_file() and checkouts.is_directory(slot / "files"):
                whole.append(slot)
            else:
                checkouts.delete(slot)
    return whole


def _free_name(used: list[str]) -> str:
    return next(name for name in map(str, range(len(used) + 1)) if name not in used)


def _in_use(path: Path) -> bool:
    """Whether a process of this user still stands in the directory; it would follow the directory to its next plan.

    Only Linux tells; elsewhere nothing is kept, since nobody can say.
    """
    processes = Path("/proc")
    if not (processes / "self" / "cwd").exists():
        return True
    prefix = f"{path}{os.sep}"
    for process in processes.iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{(process / 'cwd').readlink()}{os.sep}".startswith(prefix):
                    return True
    return False
