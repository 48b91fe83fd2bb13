"""Undo: what Apply changed is restored, from the journal, under the plan's and the projects' locks."""

import asyncio
from collections.abc import Sequence

from daemon import holding, snapshots, writing
from daemon.moves import Outcome, the_plan
from daemon.phases.context import Services, project_of, shown
from store import crashpoints, errors, events, journals, locks, names, plans
from store.clock import rfc3339
from store.database import Transaction
from store.records import JournalEntry, Lock, Plan
from store.states import State

LOCK_SECONDS = 3600.0
RECENT = 100
"""How many of a plan's last events are looked at for its last move; few events are no move."""


async def undo(services: Services, plan: Plan, *, keep_going: bool) -> Outcome:
    """Restore the projects; the plan is execute/complete again, and the files that `keep_going` left out are named.

    Raises:
        InvalidTransitionError: the plan is not applied.
        NotFoundError: a project is not there; nothing was restored.
        ChangeMovedError: files were changed since, and `keep_going` is not given; nothing was restored.
        LockConflictError: somebody works on the plan or one of its projects.
    """
    owner = _owner(plan.plan_id)
    lock = await services.db.write(lambda tx: _begin(tx, plan.plan_id, owner))
    if lock is None:
        return Outcome(plan, f"the change of {plan.name} was taken out already")
    crashpoints.reach("undo.begun")
    entries = journals.entries(services.db.read, plan.plan_id)
    try:
        skipped = await _restore(services, plan, entries, keep_going=keep_going)
    except Exception:  # not a cancellation: the files are still being written then, and the next daemon completes it
        await services.db.write(lambda tx: _abandon(tx, plan.plan_id, owner))
        raise
    crashpoints.reach("undo.restored")
    undone = await services.db.write(lambda tx: _end(tx, services, lock, owner, skipped))
    left = f"left as they are, because they were changed since: {', '.join(skipped)}"
    return Outcome(undone, left if skipped else None)


async def finish_cut(services: Services, plan_id: str) -> None:
    """A crash cut an Undo: complete it, whatever part was done; files that somebody changed since stay as they are."""
    plan = plans.get(services.db.read, plan_id)
    if plan is None:
        return
    await services.db.write(lambda tx: _release_cut(tx, plan_id))
    for project in plans.projects(services.db.read, plan_id):
        await asyncio.to_thread(writing.check_there, project_of(services.paths, project))
    owner = _owner(plan_id)
    lock = await services.db.write(lambda tx: _take(tx, plan_id, owner))
    entries = journals.entries(services.db.read, plan_id)
    skipped: list[bytes] = []
    for project in plans.projects(services.db.read, plan_id):
        mine = [entry for entry in entries if entry.project == project.project]
        skipped += await asyncio.to_thread(writing.retreat, project_of(services.paths, project), mine)
    await services.db.write(lambda tx: _end(tx, services, lock, owner, [shown(path) for path in skipped]))


def _owner(plan_id: str) -> str:
    return f"{holding.UNDO_OWNER}{plan_id}:{names.new_ulid()}"


def _release_cut(tx: Transaction, plan_id: str) -> None:
    for lock in locks.all_locks(tx):
        if lock.owner_id.startswith(f"{holding.UNDO_OWNER}{plan_id}:"):
            locks.release_all_for_owner(tx, lock.owner_id)


def _begin(tx: Transaction, plan_id: str, owner: str) -> Lock | None:
    """Take an applied plan and its projects; None when its change is out of them already."""
    plan = the_plan(tx, plan_id)
    with holding.locked(tx, plan):
        if plan.state is not State.APPLIED and _is_out(tx, plan):
            return None
        _refuse_unless_undoable(tx, plan)
    return _take(tx, plan_id, owner)


def _is_out(tx: Transaction, plan: Plan) -> bool:
    """Whether the last move of the plan was an undo."""
    recent = [event.kind for event in events.last(tx, RECENT, plan_id=plan.plan_id)]
    moves = [kind for kind in recent if kind in {"plan.moved", "plan.undone"}]
    return moves[-1:] == ["plan.undone"]


def _refuse_unless_undoable(tx: Transaction, plan: Plan) -> None:
    if plan.state is not State.APPLIED:
        raise errors.InvalidTransitionError(
            f"{plan.name} is {plan.position}; only an applied plan can be undone",
            detail={"plan_id": plan.plan_id, "from": str(plan.position)},
            suggestions=["ca plan list --state applied"],
        )
    if journals.get(tx, plan.plan_id) is None:
        raise errors.InvalidTransitionError(
            f"{plan.name} was applied longer ago than plan.retention; what undo needs is no longer kept",
            detail={"plan_id": plan.plan_id, "pruned_at": rfc3339(plan.pruned_at)},
            suggestions=["use git to take the change back"],
        )


def _take(tx: Transaction, plan_id: str, owner: str) -> Lock:
    wanted = [("project", project.project) for project in plans.projects(tx, plan_id)]
    lock = locks.acquire(tx, "plan", plan_id, owner, LOCK_SECONDS)
    locks.acquire_all(tx, wanted, owner, LOCK_SECONDS)
    journals.set_state(tx, plan_id, "undoing")
    return lock


async def _restore(services: Services, plan: Plan, entries: Sequence[JournalEntry], *, keep_going: bool) -> list[str]:
    """All projects or none, unless `keep_going`."""
    projects = plans.projects(services.db.read, plan.plan_id)
    for project in projects:
        await asyncio.to_thread(writing.check_there, project_of(services.paths, project))
    mine = {p.project: [entry for entry in entries if entry.project == p.project] for p in projects}
    if not keep_going:
        await _refuse_if_changed(services, plan, mine)
    skipped: list[bytes] = []
    restored: list[tuple[snapshots.Project, list[JournalEntry]]] = []
    try:
        for project in projects:
            repository, all_ = project_of(services.paths, project), mine[project.project]
            left = await asyncio.to_thread(writing.undo, repository, all_, keep_going=keep_going)
            restored.append((repository, [entry for entry in all_ if entry.path not in left]))
            skipped += left
    except Exception:  # a defect must not leave one project restored and the other applied either
        for repository, entries_ in restored:
            await asyncio.to_thread(writing.advance, repository, entries_)
        raise
    return [shown(path) for path in skipped]


async def _refuse_if_changed(services: Services, plan: Plan, mine: dict[str, list[JournalEntry]]) -> None:
    """Asked of every project before the first is touched."""
    for project in plans.projects(services.db.read, plan.plan_id):
        try:
            await asyncio.to_thread(writing.check_undo, project_of(services.paths, project), mine[project.project])
        except errors.ChangeMovedError as error:
            error.suggestions = error.suggestions or [f"ca plan undo {plan.name} --keep-going"]
            raise


def _abandon(tx: Transaction, plan_id: str, owner: str) -> None:
    journals.set_state(tx, plan_id, "written")
    locks.release_all_for_owner(tx, owner)


def _end(tx: Transaction, services: Services, lock: Lock, owner: str, skipped: Sequence[str]) -> Plan:
    plan = services.lifecycle.undone(tx, lock.resource_id, lock)
    journals.remove(tx, plan.plan_id)
    locks.release_all_for_owner(tx, owner)
    tx.event("plan.undone", plan_id=plan.plan_id, skipped=list(skipped))
    return plan
