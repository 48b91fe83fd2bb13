"""Checks of a home that need no running daemon, and what can be put right in one."""

import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daemon import detach, git, marks, sync_views, views
from daemon.settings import Settings
from store import copies, errors, raw
from store.paths import Paths

REPAIR = "ca diagnostics --repair"
DISK_WARNING = 1024**3
DISK_ERROR = 64 * 1024**2
DIRECTORY, FILE = 0o700, 0o600
NAMED = 5
"""Things that a message names before it counts the rest."""


def ok(name: str, message: str, done: str | None = None) -> views.CheckView:
    """A check that found nothing, or nothing any more since `done` was done."""
    return views.CheckView(name, "ok", message, done)


def warning(name: str, message: str, fix: str | None = REPAIR) -> views.CheckView:
    return views.CheckView(name, "warn", message, fix)


def error(name: str, message: str, fix: str | None) -> views.CheckView:
    return views.CheckView(name, "error", message, fix)


def summed(checks: list[views.CheckView], workers: list[views.WorkerView]) -> views.DiagnosticsView:
    """The checks with their numbers."""
    count = {status: sum(check.status == status for check in checks) for status in ("ok", "warn", "error")}
    summary = views.CheckSummaryView(count["ok"], count["warn"], count["error"])
    return views.DiagnosticsView(checks, workers, summary)


def listed(things: list[str]) -> str:
    """`a, b, c and 4 more`."""
    rest = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return ", ".join(things[:NAMED]) + rest


def git_program() -> views.CheckView:
    """Git is there and new enough."""
    try:
        git.check()
    except errors.CleverAgentsError as failure:
        return error("git", failure.message, next(iter(failure.suggestions), None))
    return ok("git", "git " + ".".join(map(str, git.version())))


def processes() -> views.CheckView:
    """How far the processes of steps can be followed, when they have to be ended; it is tried out."""
    level = marks.probe()
    return ok("processes", level.sentence) if level.whole else warning("processes", level.sentence, None)


def disk(paths: Paths) -> views.CheckView:
    """There is room to work."""
    free = shutil.disk_usage(paths.data).free
    text = f"{free / 1024**3:.1f} GiB free at {paths.data}"
    how = "free some space, for example: ca plan prune"
    if free < DISK_ERROR:
        return error("disk", text, how)
    return warning("disk", text, how) if free < DISK_WARNING else ok("disk", text)


def config(paths: Paths, settings: Settings) -> views.CheckView:
    """The configuration file can be read, and something reads every key of it."""
    try:
        settings.check()
        unknown = settings.unknown_keys()
    except errors.CleverAgentsError as failure:
        return error("config", failure.message, next(iter(failure.suggestions), "ca config list"))
    if unknown:
        return warning(
            "config", f"keys that nothing reads: {', '.join(unknown)}", "remove them, or correct their names"
        )
    return ok("config", str(paths.config_file))


def sync(view: sync_views.SyncView) -> views.CheckView:
    """Definitions go to and fro, and each side takes what the other has."""
    if view.namespace is None:
        return ok("sync", "no team server is connected")
    if view.last_error is not None:
        code = view.last_error.partition(":")[0]
        if code in {errors.UnauthorizedError.code, errors.ForbiddenError.code}:
            return error("sync", view.last_error, "ca server connect URL --token-stdin")
        say = warning if code == errors.UnreachableError.code else error
        return say("sync", view.last_error, "ca server status")
    if view.conflicts:
        text = f"{_definitions(view.conflicts)} of {view.namespace} changed here and on the server"
        return warning("sync", text, "ca sync conflicts")
    if view.invalid:
        named = "; ".join(f"{one.kind} {one.name}: {one.reason}" for one in view.invalid[:NAMED])
        text = f"{_definitions(len(view.invalid))} of {view.namespace} not taken over: {named}"
        return warning("sync", text, "ca sync status")
    pulled = "not pulled yet" if view.last_pull_at is None else f"last pull {view.last_pull_at}"
    return ok("sync", f"{_definitions(view.entities)} of {view.namespace}, {view.pending} to push, {pulled}")


def _definitions(number: int) -> str:
    return "1 definition" if number == 1 else f"{number} definitions"


def team_server(paths: Paths) -> views.CheckView | None:
    """The team server that this home hosts runs; None when it hosts none."""
    running = detach.PidFile.holder(paths.server_pid_file)
    if running is not None:
        return ok("server", f"the team server runs at {running.url}, pid {running.pid}")
    if paths.server_pid_file.exists():
        text = f"{paths.server_pid_file} names a process that is gone: the team server did not stop by itself"
        return warning("server", text, "ca server start")
    if paths.server_database.exists():
        return ok("server", f"the team server of {paths.server_database} does not run")
    return None


def store_copies(paths: Paths) -> views.CheckView:
    """From what the store could be restored."""
    found = copies.every(paths.backups)
    if not found:
        return ok("copies", "no copy of the store yet; the daemon makes one a day")
    newest = datetime.fromtimestamp(found[0].stat().st_mtime, UTC)
    return ok("copies", f"{len(found)} of the store, the newest of {newest:%Y-%m-%d %H:%M} UTC: {found[0]}")


def set_aside(paths: Paths) -> views.CheckView:
    """What was taken out of the store because it could not be used, and where it is."""
    found = raw.kept(paths.backups)
    if not found:
        return ok("set aside", "nothing was set aside")
    newest = found[-1]
    try:
        told = "; ".join(msgspec.json.decode(newest.read_bytes(), type=_SetAside).why)
    except (OSError, msgspec.DecodeError) as failure:
        told = f"it cannot be read: {failure}"
    return ok("set aside", f"{len(found)} files, the newest {newest}", f"{newest}: {told}")


class _SetAside(msgspec.Struct):
    why: list[str]


def modes(paths: Paths, *, repair: bool) -> views.CheckView:
    """Nobody else may read what is ours, and we may."""
    wrong = list(_wrong_modes(paths))
    named = listed([f"{path} ({found:04o})" for path, found, _ in wrong])
    if wrong and not repair:
        # a file behind a closed directory is out of reach as it is
        say = error if any(wanted == DIRECTORY for _, _, wanted in wrong) else warning
        return say("modes", f"wrong permissions: {named}", REPAIR)
    for path, _, wanted in wrong:
        try:
            path.chmod(wanted)
        except OSError as failure:
            return error("modes", f"cannot change the permissions of {path}: {failure.strerror}", f"ls -ld {path}")
    return ok("modes", "only you can read the home's files", f"set to 0700 and 0600: {named}" if wrong else None)


def _wrong_modes(paths: Paths) -> list[tuple[Path, int, int]]:
    """Path, mode and wanted mode; what lies deeper is behind closed directories."""
    directories = dict.fromkeys(paths.directories)  # in a home of its own the socket lies in one of the others
    files = [
        path
        for directory in (paths.data, paths.environments, paths.backups, paths.logs)
        for path in sorted(directory.iterdir())
        if stat.S_ISREG(path.lstat().st_mode)
    ]
    wanted = [*((path, DIRECTORY) for path in directories), *((path, FILE) for path in [*files, paths.config_file])]
    found = [(path, stat.S_IMODE(path.stat().st_mode), mode) for path, mode in wanted if path.exists()]
    return [(path, mode, right) for path, mode, right in found if mode & 0o077 or mode & right != right]
