"""Diagnostics of a running daemon: everything that can be checked, what to do about it, and what can be put right."""

import asyncio
import os
import stat
from pathlib import Path

from daemon import aside, checks, detach, environments, leftovers, losses, show, soundness, views
from daemon.calls import Daemon
from daemon.checks import ok, warning
from daemon.locking import LockService
from store import damage, database, errors, jobs, locks, plans
from store.database import Transaction
from store.records import PlanProject
from store.states import State


async def run(daemon: Daemon, *, repair: bool) -> views.DiagnosticsView:
    """Run every check; with `repair` also put right what can be: the status is the state afterwards, `fix` what was done."""
    paths = daemon.paths
    found = [
        _store(daemon),
        await _integrity(daemon),
        await _records(daemon, repair=repair),
        await asyncio.to_thread(checks.set_aside, paths),
        await asyncio.to_thread(checks.store_copies, paths),
        _socket(daemon),
        _pid_file(daemon, repair=repair),
        await asyncio.to_thread(checks.git_program),
        await asyncio.to_thread(checks.processes),
        await asyncio.to_thread(checks.disk, paths),
        checks.config(paths, daemon.services.config),
        await asyncio.to_thread(checks.modes, paths, repair=repair),
        await _repositories(daemon, repair=repair),
        await _sandboxes(daemon, repair=repair),
        await _locks(daemon, repair=repair),
        await _environments(daemon, repair=repair),
        await asyncio.to_thread(_leftovers, daemon, repair=repair),
        _payloads(daemon),
        _workers(daemon),
        checks.sync(daemon.sync.status()),
    ]
    hosted = await asyncio.to_thread(checks.team_server, paths)
    return checks.summed([*found, *([hosted] if hosted else [])], show.workers(daemon.services.db.read))


def _store(daemon: Daemon) -> views.CheckView:
    path = daemon.paths.database
    try:
        size = path.stat().st_size / 1024**2
    except FileNotFoundError:
        text = f"{path} is gone; what changes now is lost when the daemon ends"
        return checks.error("store", text, f"ca daemon stop, then: {checks.REPAIR}")
    return ok("store", f"{path}, {size:.1f} MiB, SQLite {database.sqlite_version()}")


async def _integrity(daemon: Daemon) -> views.CheckView:
    verdict = await daemon.services.db.write(lambda tx: str(tx.scalar("PRAGMA quick_check(1)")))
    if verdict != "ok":
        return checks.error("integrity", f"the store is damaged: {verdict}", checks.REPAIR)
    return ok("integrity", "the store's pages are sound")


async def _records(daemon: Daemon, *, repair: bool) -> views.CheckView:
    """Rows that cannot be used are named one by one; everything else goes on without them."""
    paths, services = daemon.paths, daemon.services
    try:
        found = await asyncio.to_thread(_unsound, daemon)
    except errors.StoreDamagedError as error:
        return warning("records", f"not every row could be looked at: {error.message}")
    if not found:
        return ok("records", "every row of the store can be used")
    if not repair:
        return checks.error("records", _cannot(found), checks.REPAIR)

    def mend(tx: Transaction) -> list[str]:
        busy = frozenset(daemon.workers.running)
        done = aside.mend_queue(tx, services.lifecycle, paths.backups, busy=busy)
        return done + aside.set_aside(tx, soundness.find(tx), paths.backups)

    done = await services.db.write(mend)
    left = await asyncio.to_thread(_unsound, daemon)
    if left:
        return checks.error("records", _cannot(left), "cancel or wait for what runs, then: ca diagnostics --repair")
    return ok("records", "every row of the store can be used", f"set aside: {'; '.join(done)}")


def _unsound(daemon: Daemon) -> list[soundness.Finding]:
    """Looked for through a connection of its own: it takes its time, and nobody waits for it."""
    with database.reading(daemon.paths.database, daemon.services.db.clock) as reader:
        return soundness.find(reader)


def _cannot(found: list[soundness.Finding]) -> str:
    rows = "1 row" if len(found) == 1 else f"{len(found)} rows"
    return f"{rows} of the store cannot be used: {checks.listed([str(one) for one in found])}"


def _socket(daemon: Daemon) -> views.CheckView:
    path = daemon.paths.socket
    try:
        found = path.lstat()
    except FileNotFoundError:
        return checks.error("socket", f"{path} is gone; whoever misses it next has it bound again", "ca daemon status")
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        return checks.error("socket", f"{path} is not a socket of yours with mode 600", "ca daemon restart")
    wanted = daemon.paths.run / "daemon.sock"
    where = "" if wanted == path else f" (a short path; {wanted} would be too long)"
    return ok("socket", f"{path}{where}, pid {os.getpid()}, version {daemon.version}")


def _pid_file(daemon: Daemon, *, repair: bool) -> views.CheckView:
    path = daemon.paths.pid_file
    mine = detach.PidFile.here(version=daemon.version, socket=str(daemon.paths.socket))
    found, done = detach.PidFile.read(path), None
    if found != mine:
        wrong = f"names process {found.pid}, which does not serve this home" if found else "is missing or unreadable"
        if not repair:
            return warning("pid file", f"{path} {wrong}")
        detach.PidFile.write(path, mine)
        done = f"written anew: it {wrong.replace('names', 'named').replace('is ', 'was ')}"
    return ok("pid file", f"{path} names this daemon", done)


async def _repositories(daemon: Daemon, *, repair: bool) -> views.CheckView:
    """A private repository that lost something is named with the plans that need it; new plans get a new one."""
    try:
        found = await _losses(daemon)
    except errors.StoreDamagedError:
        return warning("repositories", "what they have to hold is not known before every row can be used")
    broken = [loss for loss in found if loss.why is not None and loss.project is not None]
    if broken and not repair:
        named = "; ".join(f"{loss.repository}: {loss.why}" for loss in broken)
        return checks.error("repositories", f"{named}. {_needed(found)}", checks.REPAIR)
    done: list[str] = []
    for loss in broken:
        try:
            done.append(await asyncio.to_thread(losses.make_anew, loss))
        except errors.CleverAgentsError as error:
            text = f"{loss.repository} cannot be made anew: {error.message}"
            return checks.error("repositories", text, next(iter(error.suggestions), "ca project list"))
    left = await _losses(daemon) if done else found
    if left:
        return warning("repositories", ". ".join([_needed(left), *done]), _way_out(left))
    return ok("repositories", "what plans need is in the private repositories", "; ".join(done) or None)


async def _losses(daemon: Daemon) -> list[losses.Loss]:
    def look() -> list[losses.Loss]:
        with database.reading(daemon.paths.database, daemon.services.db.clock) as reader:
            return losses.find(reader, daemon.paths)

    return await asyncio.to_thread(look)


def _needed(found: list[losses.Loss]) -> str:
    stuck = [plan for loss in found for plan in loss.open]
    applied = [plan for loss in found for plan in loss.applied]
    told = [f"the work of {checks.listed(stuck)} is lost"] if stuck else []
    told += [f"an undo of {checks.listed(applied)} may not find what it needs"] if applied else []
    return "; ".join(told)


def _way_out(found: list[losses.Loss]) -> str | None:
    stuck = [plan for loss in found for plan in loss.open]
    return f"ca plan revert {stuck[0]}, or: ca plan cancel {stuck[0]}" if stuck else None


async def _sandboxes(daemon: Daemon, *, repair: bool) -> views.CheckView:
    """Sandboxes that hold unapplied work are listed, so that nobody forgets them."""
    held = [project for project in plans.sandboxes(daemon.services.db.read) if not _is_over(daemon, project)]
    gone = await asyncio.to_thread(_without_directory, held)
    names = [_name(daemon, project) for project in gone]
    if gone and not repair:
        text = f"the sandboxes of {checks.listed(names)} are gone; their checkpoints are kept in the private repository"
        return warning("sandboxes", text)
    noted = [name for project, name in zip(gone, names, strict=True) if await _note_gone(daemon, project)]
    done = f"noted as gone: {checks.listed(noted)}; `ca plan execute` makes a new one from the last checkpoint"
    return ok("sandboxes", _holding(daemon), done if noted else None)


def _is_over(daemon: Daemon, project: PlanProject) -> bool:
    """Nobody works in the sandbox of such a plan any more; it may be on its way out right now."""
    try:
        plan = plans.get(daemon.services.db.read, project.plan_id)
    except damage.UnreadableRowError:
        return False
    return plan is not None and plan.terminal


def _without_directory(found: list[PlanProject]) -> list[PlanProject]:
    return [project for project in found if project.sandbox_path is None or not Path(project.sandbox_path).is_dir()]


def _name(daemon: Daemon, project: PlanProject) -> str:
    try:
        plan = plans.get(daemon.services.db.read, project.plan_id)
    except damage.UnreadableRowError:
        return project.plan_id
    return plan.name if plan else project.plan_id


async def _note_gone(daemon: Daemon, project: PlanProject) -> bool:
    """Correct the record of a sandbox; False while somebody works on its plan, who will meet it himself."""

    def note(tx: Transaction) -> bool:
        lock = locks.get(tx, "plan", project.plan_id)
        if lock is not None and not lock.stale(tx.clock):
            return False
        plans.update_project(tx, project, sandbox_status="removed")
        tx.event("sandbox.gone", plan_id=project.plan_id, project=project.project, path=project.sandbox_path)
        return True

    return await daemon.services.db.write(note)


def _holding(daemon: Daemon) -> str:
    held = [_name(daemon, project) for project in plans.sandboxes(daemon.services.db.read) if _holds(daemon, project)]
    return f"{len(held)} hold work that is not applied: {checks.listed(held)}" if held else "none holds unapplied work"


def _holds(daemon: Daemon, project: PlanProject) -> bool:
    """Whether a sandbox has work that is not applied; of a plan that cannot be read, whatever it has."""
    if project.tip_tree == project.base_tree:
        return False
    try:
        plan = plans.get(daemon.services.db.read, project.plan_id)
    except damage.UnreadableRowError:
        return True
    return plan is not None and not plan.terminal


async def _locks(daemon: Daemon, *, repair: bool) -> views.CheckView:
    stale = [f"{lock.resource} ({lock.owner_id})" for lock in locks.stale(daemon.services.db.read)]
    if stale and not repair:
        text = f"{len(stale)} expired: {checks.listed(stale)}; whoever needs one takes it over"
        return warning("locks", text)
    removed = len(await LockService(daemon.services.db, daemon.services.feed).cleanup_expired()) if stale else 0
    held = len(locks.all_locks(daemon.services.db.read))
    return ok("locks", f"{held} held, none expired", f"removed {removed}: {checks.listed(stale)}" if removed else None)


async def _environments(daemon: Daemon, *, repair: bool) -> views.CheckView:
    """A plan's environment may hold secrets; it stays only while the plan can still run something."""
    directory = daemon.paths.environments
    useless = [name for name in await asyncio.to_thread(_names, directory) if _is_useless(daemon, directory / name)]
    if useless and not repair:
        text = f"{len(useless)} kept for plans that are over or unknown: {checks.listed(useless)}"
        return warning("environments", text)
    for name in useless:
        await asyncio.to_thread(environments.remove, directory, name)
    return ok(
        "environments",
        "each belongs to a plan that can still use it",
        f"removed {len(useless)}: {checks.listed(useless)}" if useless else None,
    )


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if not path.name.endswith(leftovers.UNFINISHED))


def _is_useless(daemon: Daemon, path: Path) -> bool:
    """An applied plan that can be undone may be applied again, and runs its checks then."""
    try:
        plan = plans.get(daemon.services.db.read, path.name)
    except damage.UnreadableRowError:
        return False  # nobody can tell yet
    if plan is None:
        return leftovers.is_old(path)  # it is written just before its plan is
    return plan.terminal and (plan.state is State.CANCELLED or plan.pruned_at is not None)


def _leftovers(daemon: Daemon, *, repair: bool) -> views.CheckView:
    found = leftovers.find(daemon.paths)
    named = checks.listed([str(path) for path in found])
    if found and not repair:
        return warning("leftovers", f"{len(found)} unfinished files of ours: {named}")
    try:
        for path in found:
            leftovers.remove(daemon.paths, path)
    except errors.CleverAgentsError as failure:
        return checks.error("leftovers", failure.message, next(iter(failure.suggestions), None))
    return ok("leftovers", "no unfinished files", f"removed {len(found)}: {named}" if found else None)


def _payloads(daemon: Daemon) -> views.CheckView:
    newer = jobs.newer_payloads(daemon.services.db.read)
    if newer:
        text = f"payload_version: {newer} jobs were queued by a newer program and wait for it"
        return checks.error("jobs", text, "install the newer program again")
    return ok("jobs", f"{jobs.queued_count(daemon.services.db.read)} queued, {len(daemon.workers.running)} running")


def _workers(daemon: Daemon) -> views.CheckView:
    found = jobs.workers(daemon.services.db.read)
    busy = sum(worker.state == "busy" for worker in found)
    return ok("workers", f"{busy} of {len(found)} busy")
