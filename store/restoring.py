"""Putting a sound copy in the place of a damaged store. Killed at any moment, the store is the old one or the copy.

The copy is made whole beside the store under a name that nobody takes for it. One rename decides; from then on whoever
opens the store completes the exchange first. Nothing of the damaged store is deleted.
"""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from store import crashpoints, errors
from store.database_file import sync

_SUFFIXES = ("", "-wal", "-shm")
"""A store is its file, the log of what was not yet written into it, and the index of that log."""


def exchange(path: Path, copy: Path) -> Path:
    """Put `copy` in the place of the store; where the old one is now. Nobody may have either of them open.

    Raises:
        CleverAgentsError: the copy cannot be made (`disk_full`, `permission_denied`); the store is as it was.
    """
    path = Path(os.path.realpath(path))
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    fresh = path.with_name(f"{path.name}.copy")
    try:
        shutil.copyfile(copy, fresh)
        fresh.chmod(0o600)
        sync(fresh)
        crashpoints.reach("store.restore")
        fresh.rename(path.with_name(f"{path.name}.restored-{stamp}"))
        sync(path.parent)
        crashpoints.reach("store.restore")
    except OSError as error:
        raise errors.from_os_error(error, f"cannot put the copy {copy} in the place of {path}") from error
    finish(path)
    return _aside(path, stamp)


def finish(path: Path) -> None:
    """Complete an exchange that was decided; nothing, when there is none.

    Raises:
        CleverAgentsError: a file cannot be renamed or linked (`permission_denied`); the exchange is still decided.
    """
    path = Path(os.path.realpath(path))
    prefix = f"{path.name}.restored-"
    try:
        for decided in path.parent.glob(f"{prefix}*"):
            _finish(path, decided, _aside(path, decided.name.removeprefix(prefix)))
    except OSError as error:
        raise errors.from_os_error(error, f"cannot put the copy in the place of {path}") from error


def _finish(path: Path, decided: Path, aside: Path) -> None:
    for suffix in _SUFFIXES:
        _keep(Path(f"{path}{suffix}"), Path(f"{aside}{suffix}"))
    sync(path.parent)
    crashpoints.reach("store.restore")
    for suffix in _SUFFIXES[1:]:  # the old log must not meet the copy: SQLite would write it into it
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    sync(path.parent)
    crashpoints.reach("store.restore")
    decided.replace(path)
    sync(path.parent)
    crashpoints.reach("store.restore")


def _keep(path: Path, aside: Path) -> None:
    """Give a file a second name; where the file system has no links, copy it."""
    if not path.exists() or aside.exists():
        return
    try:
        aside.hardlink_to(path)
    except OSError:
        half = aside.with_name(f"{aside.name}.half")
        shutil.copy2(path, half)
        sync(half)
        half.rename(aside)


def _aside(path: Path, stamp: str) -> Path:
    return path.with_name(f"{path.name}.damaged-{stamp}")
