"""Files of ours that a crash left unfinished: each is written under a name that nobody takes for the real one."""

import time
from pathlib import Path

from daemon import checkouts, repositories
from store.paths import Paths

UNFINISHED = ".new"
OLD = 600.0
"""Seconds after which nobody is still writing such a file."""


def find(paths: Paths) -> list[Path]:
    """What is there and old enough."""
    candidates = [
        *paths.config.glob(f".{paths.config_file.name}{UNFINISHED}"),
        *paths.data.glob(f"{paths.database.name}{UNFINISHED}*"),
        *paths.data.glob(f"{paths.database.name}.copy"),
        *paths.data.glob(f".{paths.pid_file.name}.*"),
        *paths.environments.glob(f"*{UNFINISHED}"),
        *paths.state.glob("dry-run-*"),
        *paths.backups.glob(f"*{UNFINISHED}*"),
        *paths.repositories.glob(f"*.git{UNFINISHED}"),
    ]
    return sorted(path for path in candidates if is_old(path))


def is_old(path: Path) -> bool:
    """Whether it has not been touched for a while; what is gone meanwhile is not there to be found."""
    try:
        return time.time() - path.lstat().st_mtime > OLD
    except FileNotFoundError:
        return False


def remove(paths: Paths, path: Path) -> None:
    """Remove one; a private repository that is being made right now stays.

    Raises:
        CleverAgentsError: the system refuses.
    """
    if path.parent != paths.repositories:
        checkouts.delete(path)
        return
    name = path.name.removesuffix(UNFINISHED)
    project = repositories.Project(name, paths.data, "folder", path.with_name(name))
    with repositories.lock(project):
        checkouts.delete(path)
