"""What can be said of a home, and done for it, when no daemon can run there: mostly that its store is damaged.

The caller holds the home's instance lock, so nobody else has the store open.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon import checks, views
from daemon.settings import Settings
from store import database_file, errors, opening, restoring
from store.paths import Paths


class Examination(msgspec.Struct, frozen=True):
    """The checks, and the copy that would take the place of a damaged store; None when nothing can or need be restored."""

    diagnostics: views.DiagnosticsView
    copy: str | None


def examine(paths: Paths) -> Examination:
    """Run the checks that need no daemon; nothing is changed."""
    damage, copy = _damage(paths), None
    if isinstance(damage, errors.StoreDamagedError) and not _is_whole(damage):
        copy = opening.newest_sound_copy(paths.backups)
    found = [
        _store(paths, damage, copy),
        checks.store_copies(paths),
        checks.git_program(),
        checks.disk(paths),
        checks.config(paths, Settings(paths.config_file, os.environ)),
        checks.modes(paths, repair=False),
    ]
    return Examination(checks.summed(found, []), None if copy is None else str(copy))


def repair(paths: Paths) -> str:
    """Set a damaged store aside and put the newest sound copy in its place; says what was done.

    Raises:
        InvalidTransitionError: the store is not damaged.
        StoreDamagedError: it is, and there is no sound copy, or it is whole and only of a newer version.
        CleverAgentsError: the copy cannot be made; the store is as it was.
    """
    restoring.finish(paths.database)
    damage = _damage(paths)
    if damage is None:
        raise errors.InvalidTransitionError(
            "the store is not damaged; nothing was changed", suggestions=["ca diagnostics"]
        )
    if not isinstance(damage, errors.StoreDamagedError) or _is_whole(damage):
        raise damage
    copy = opening.newest_sound_copy(paths.backups)
    if copy is None:
        raise errors.StoreDamagedError(
            f"{damage.message} There is no sound copy in {paths.backups}; nothing was changed",
            detail=damage.detail,
            suggestions=damage.suggestions[-1:],
        )
    aside = restoring.exchange(paths.database, copy)
    told = f"the damaged store is now {aside}" if aside.exists() else "the store was gone"
    return f"{told}; in its place is the copy of {_date(copy)}. What happened since is not in it"


def _damage(paths: Paths) -> errors.CleverAgentsError | None:
    try:
        opening.examine(paths.database, paths.backups)
    except errors.CleverAgentsError as error:
        return error
    return None


def _is_whole(error: errors.StoreDamagedError) -> bool:
    return isinstance(error, database_file.NewerStoreError | database_file.OldSqliteError)


def _store(paths: Paths, damage: errors.CleverAgentsError | None, copy: Path | None) -> views.CheckView:
    if damage is None:
        return checks.ok("store", f"{paths.database} is sound")
    if copy is not None:
        how = f"{checks.REPAIR}: sets it aside and restores the copy of {_date(copy)}"
        return checks.error("store", damage.message, how)
    # of the ways that the error suggests, the repair is none: there is nothing to repair with
    ways = [way for way in damage.suggestions if way != checks.REPAIR]
    return checks.error("store", damage.message, next(iter(ways), None))


def _date(copy: Path) -> str:
    return f"{datetime.fromtimestamp(copy.stat().st_mtime, UTC):%Y-%m-%d %H:%M:%S} UTC"
