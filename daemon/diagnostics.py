"""Diagnostics: everything that can be checked, each with what to do about it."""

import asyncio
import os
import shutil
import stat

from daemon import git, show, views
from daemon.calls import Daemon
from store import database, errors, jobs, locks, plans
from store.states import TERMINAL

DISK_WARNING = 1024**3
DISK_ERROR = 64 * 1024**2


async def run(daemon: Daemon) -> views.DiagnosticsView:
    """Run every check."""
    checks = [
        _store(daemon),
        await _integrity(daemon),
        _socket(daemon),
        await asyncio.to_thread(_git),
        await asyncio.to_thread(_disk, daemon),
        _config(daemon),
        _sandboxes(daemon),
        _locks(daemon),
        _payloads(daemon),
        _workers(daemon),
    ]
    count = {status: sum(check.status == status for check in checks) for status in ("ok", "warn", "error")}
    summary = views.CheckSummaryView(count["ok"], count["warn"], count["error"])
    return views.DiagnosticsView(checks, show.workers(daemon.services.db.read), summary)


def _ok(name: str, message: str) -> views.CheckView:
    return views.CheckView(name, "ok", message, None)


def _store(daemon: Daemon) -> views.CheckView:
    path = daemon.paths.database
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return views.CheckView("store", "error", f"{path} can be read by others (mode {mode:o})", f"chmod 600 {path}")
    return _ok("store", f"{path}, {path.stat().st_size / 1024**2:.1f} MiB, SQLite {database.sqlite_version()}")


async def _integrity(daemon: Daemon) -> views.CheckView:
    verdict = await daemon.services.db.write(lambda tx: str(tx.scalar("PRAGMA quick_check(1)")))
    if verdict != "ok":
        return views.CheckView(
            "integrity",
            "error",
            f"the store is damaged: {verdict}",
            "ca daemon stop, then restore a copy from backups/",
        )
    return _ok("integrity", "the store's pages are sound")


def _socket(daemon: Daemon) -> views.CheckView:
    path = daemon.paths.socket
    found = path.lstat()
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return views.CheckView("socket", "error", f"{path} is not a socket of yours with mode 600", "ca daemon restart")
    wanted = daemon.paths.run / "daemon.sock"
    where = "" if wanted == path else f" (a short path; {wanted} would be too long)"
    return _ok("socket", f"{path}{where}, pid {os.getpid()}, version {daemon.version}")


def _git() -> views.CheckView:
    try:
        git.check()
    except errors.CleverAgentsError as error:
        return views.CheckView("git", "error", error.message, next(iter(error.suggestions), None))
    return _ok("git", "git " + ".".join(map(str, git.version())))


def _disk(daemon: Daemon) -> views.CheckView:
    free = shutil.disk_usage(daemon.paths.data).free
    text = f"{free / 1024**3:.1f} GiB free at {daemon.paths.data}"
    if free < DISK_ERROR:
        return views.CheckView("disk", "error", text, "free some space")
    if free < DISK_WARNING:
        return views.CheckView("disk", "warn", text, "free some space")
    return _ok("disk", text)


def _config(daemon: Daemon) -> views.CheckView:
    config = daemon.services.config
    try:
        config.check()
        unknown = config.unknown_keys()
    except errors.CleverAgentsError as error:
        return views.CheckView("config", "error", error.message, next(iter(error.suggestions), "ca config list"))
    if unknown:
        return views.CheckView(
            "config", "warn", f"keys that nothing reads: {', '.join(unknown)}", "remove them, or correct their names"
        )
    return _ok("config", str(daemon.paths.config_file))


def _sandboxes(daemon: Daemon) -> views.CheckView:
    """Sandboxes that hold unapplied work are listed, so that nobody forgets them."""
    db = daemon.services.db.read
    held: list[str] = []
    missing: list[str] = []
    for project in plans.sandboxes(db):
        plan = plans.get(db, project.plan_id)
        if plan is None or plan.state in TERMINAL:
            continue
        if project.sandbox_path is not None and not os.path.isdir(project.sandbox_path):  # noqa: PTH112  a str from the store
            missing.append(plan.name)
        elif project.tip_tree != project.base_tree:
            held.append(plan.name)
    if missing:
        text = f"the sandboxes of {', '.join(missing)} are gone; their checkpoints are kept in the private repository"
        return views.CheckView("sandboxes", "warn", text, f"ca plan execute {missing[0]}")
    if held:
        return _ok("sandboxes", f"{len(held)} hold work that is not applied: {', '.join(held[:10])}")
    return _ok("sandboxes", "none holds unapplied work")


def _locks(daemon: Daemon) -> views.CheckView:
    found = locks.stale(daemon.services.db.read)
    if found:
        named = ", ".join(f"{lock.resource} ({lock.owner_id})" for lock in found[:5])
        return views.CheckView(
            "locks", "warn", f"{len(found)} expired locks: {named}", "they are taken over when they are needed"
        )
    return _ok("locks", f"{len(locks.all_locks(daemon.services.db.read))} held, none expired")


def _payloads(daemon: Daemon) -> views.CheckView:
    newer = jobs.newer_payloads(daemon.services.db.read)
    if newer:
        text = f"payload_version: {newer} jobs were queued by a newer program and wait for it"
        return views.CheckView("jobs", "error", text, "install the newer program again")
    return _ok("jobs", f"{jobs.queued_count(daemon.services.db.read)} queued, {len(daemon.workers.running)} running")


def _workers(daemon: Daemon) -> views.CheckView:
    found = jobs.workers(daemon.services.db.read)
    busy = sum(worker.state == "busy" for worker in found)
    return _ok("workers", f"{busy} of {len(found)} busy")
