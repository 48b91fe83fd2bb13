"""`plan prune`: what takes room and is needed no longer goes; what holds work is listed, and kept.

A sandbox of a plan that is over goes whatever `sandbox.cleanup` says, after what it holds is under the plan's refs. The
plan's lock is held meanwhile, so nobody works on the plan or moves it.
"""

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from daemon import changes, checkouts, cleanup, pool, repositories, retention, sandboxes, settling, views
from daemon.disk import allocated
from daemon.phases.context import Services, project_of, sandbox_path, shown
from store import crashpoints, definitions, errors, locks, names, plans
from store.database import Reader, Transaction
from store.records import Plan, PlanProject
from store.states import State

log = logging.getLogger(__name__)

SCRATCH = frozenset({".checks", settling.SCRATCH})
"""Beside the sandboxes of a plan: checkouts in which Apply runs checks, and in which conflicts are settled."""
NOTHING = "nothing that is not in the project"
OWNER = "prune:"


async def prune(services: Services, *, dry_run: bool) -> views.PruneView:
    """Find everything, and unless `dry_run` remove what is needed no longer."""
    owner = f"{OWNER}{names.new_ulid(services.db.clock.now())}"
    # looked at first: a sandbox that goes may be taken into the pool, and is not to be counted twice
    spares = await asyncio.to_thread(_spares, services.paths.sandboxes, _names_of_projects(services))
    boxes: list[views.PruneEntryView] = []
    for place in _places(services):
        entry = await _look(services, place)
        if entry.removed and not dry_run:
            entry = await _removed(services, place, entry, owner)
        boxes.append(entry)
    if not dry_run:
        spares = await _without_pools(services, spares)
    expired = await _past_retention(services, boxes, dry_run=dry_run)
    entries = [*boxes, *spares, *expired]
    return views.PruneView(dry_run, entries, sum(entry.bytes for entry in entries if entry.removed))


class _Place(msgspec.Struct, frozen=True):
    """A directory or file below `sandboxes/`: a plan's sandbox, its scratch checkouts, or something that nobody knows.

    `work` says what it is that nothing else holds, where that is known.
    """

    path: Path
    plan: Plan | None = None
    project: PlanProject | None = None
    work: str = ""


def _places(services: Services) -> Iterator[_Place]:
    for path in sorted(services.paths.sandboxes.iterdir()):
        if path.name == pool.NAME:
            continue
        plan = plans.get(services.db.read, path.name)
        if plan is None or not checkouts.is_directory(path):
            yield _Place(path)
        else:
            yield from _places_of(services, plan, path)


def _places_of(services: Services, plan: Plan, directory: Path) -> Iterator[_Place]:
    known = {
        sandbox_path(services.paths, project): project
        for project in plans.projects(services.db.read, plan.plan_id)
        if project.strategy == "clone"
    }
    for namespace in sorted(directory.iterdir()):
        if namespace.name in SCRATCH:
            yield _Place(namespace, plan)
        elif namespace.name == sandboxes.ASIDE:
            yield _Place(namespace, plan, work="what was put aside and is under no ref")
        elif not checkouts.is_directory(namespace):
            yield _Place(namespace)
        else:
            for path in sorted(namespace.iterdir()):
                yield _Place(path, plan, known[path]) if path in known else _Place(path)


async def _look(services: Services, place: _Place) -> views.PruneEntryView:
    """What is there; `removed` says whether it is to go."""
    plan, project = place.plan, place.project
    size = await asyncio.to_thread(allocated, place.path)
    goes = plan is not None and _is_over(services.db.read, plan) and not _is_held(services, plan)
    work = place.work
    if plan is None:
        holds = "nobody knows"
    elif project is None:
        holds = work or NOTHING
    else:
        repository = project_of(services.paths, project)
        holds, work = await asyncio.to_thread(_holds, repository, plan, project, place.path)
    return views.PruneEntryView(
        kind="unknown" if plan is None else "sandbox",
        plan_id=plan and plan.plan_id,
        plan=plan and plan.name,
        project=project and project.project,
        path=_text(place.path),
        bytes=size,
        holds=holds,
        removed=goes and not work,
        error=None,
    )


def _is_over(db: Reader, plan: Plan) -> bool:
    """Whether nobody works in its sandbox again; what a complete child made belongs to its root."""
    if plan.terminal or plan.parent_plan_id is None or plan.state is not State.COMPLETE:
        return plan.terminal
    root = plans.get(db, plan.root_plan_id)
    return root is not None and root.terminal


def _is_held(services: Services, plan: Plan) -> bool:
    lock, clock = locks.get(services.db.read, "plan", plan.plan_id), services.db.clock
    return lock is not None and not lock.stale(clock)


def _holds(repository: repositories.Project, plan: Plan, project: PlanProject, path: Path) -> tuple[str, str]:
    """What would be missing in the project without the sandbox, in words, and what of it no ref could keep."""
    parts: list[str] = []
    try:
        if plan.state is not State.APPLIED and project.base and project.tip and project.base_tree != project.tip_tree:
            changed = len(changes.touched(repository, project.base, project.tip))
            parts.append(f"{_files(changed)} changed, not applied")
        found = sandboxes.contents(repository, plan.plan_id, path)
    except errors.CleverAgentsError as error:
        return f"unknown: {error.message}", ""
    if found.edits:
        parts.append(f"{_files(len(found.edits))} edited after the last checkpoint")
    work = "; ".join(f"{shown(one.path)}: {one.reason}, under no ref" for one in found.uncarried)
    return ", ".join([*parts, *([work] if work else [])]) or NOTHING, work


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


async def _removed(services: Services, place: _Place, entry: views.PruneEntryView, owner: str) -> views.PruneEntryView:
    """The entry once its place is gone, or with the reason why it is not."""
    assert place.plan is not None, "what nobody knows is never removed"
    plan_id = place.plan.plan_id
    try:
        await services.db.write(lambda tx: _hold(tx, services, plan_id, owner))
        crashpoints.reach("prune.held")
        try:
            if place.project is None:
                await asyncio.to_thread(checkouts.delete, place.path)
            else:
                await cleanup.remove(services, place.project)
        finally:
            await services.db.write(lambda tx: locks.release_all_for_owner(tx, owner))
    except errors.CleverAgentsError as error:
        log.warning("%s could not be pruned: %s", place.path, error.message)
        return msgspec.structs.replace(entry, removed=False, error=error.message)
    return entry


def _hold(tx: Transaction, services: Services, plan_id: str, owner: str) -> None:
    """Take the plan's lock, if the plan is still over."""
    plan = plans.get(tx, plan_id)
    if plan is None or not _is_over(tx, plan):
        where = plan.position if plan else "gone"
        raise errors.InvalidTransitionError(
            f"the plan is {where} now; its sandbox is kept", detail={"plan_id": plan_id}
        )
    locks.acquire(tx, "plan", plan_id, owner, float(services.config.value("lock.ttl")))


def _names_of_projects(services: Services) -> dict[str, str]:
    return {project.project_id: project.name for project in definitions.projects(services.db.read)}


def _spares(directory: Path, known: Mapping[str, str]) -> list[views.PruneEntryView]:
    """The checkouts in the pool, all of which may go."""
    return [
        views.PruneEntryView(
            kind="pool",
            plan_id=None,
            plan=None,
            project=known.get(project_id),
            path=_text(slot),
            bytes=allocated(slot),
            holds=NOTHING,
            removed=True,
            error=None,
        )
        for project_id, slots in pool.all_slots(directory).items()
        for slot in slots
    ]


async def _without_pools(services: Services, spares: list[views.PruneEntryView]) -> list[views.PruneEntryView]:
    """The entries once the pools are gone, those that are not with the reason."""
    refused: dict[str, str] = {}
    for project_id in pool.all_slots(services.paths.sandboxes):
        repository = services.paths.repositories / f"{project_id}.git"
        project = repositories.Project(project_id, services.paths.data, "folder", repository)
        try:
            await asyncio.to_thread(pool.clear, project)
        except errors.CleverAgentsError as error:
            log.warning("the pool of project %s could not be pruned: %s", project_id, error.message)
            refused[project_id] = error.message
    return [
        msgspec.structs.replace(entry, removed=why is None, error=why)
        for entry in spares
        for why in [refused.get(Path(entry.path).parent.name)]
    ]


async def _past_retention(
    services: Services, boxes: Sequence[views.PruneEntryView], *, dry_run: bool
) -> list[views.PruneEntryView]:
    """The plans whose refs, journal and environment `plan.retention` lets go; one that keeps its sandbox keeps them too."""
    staying = {entry.plan_id for entry in boxes if not entry.removed}
    candidates = [plan for plan in retention.expired(services, with_sandbox=True) if plan.plan_id not in staying]
    candidates = [plan for plan in candidates if not _is_held(services, plan)]
    sizes = {plan.plan_id: allocated(services.paths.environments / plan.plan_id) for plan in candidates}
    gone = candidates if dry_run else await retention.prune_plans(services)
    return [
        views.PruneEntryView(
            kind="plan",
            plan_id=plan.plan_id,
            plan=plan.name,
            project=None,
            path=_text(services.paths.environments / plan.plan_id),
            bytes=sizes.get(plan.plan_id, 0),
            holds="what undo needed, for longer than plan.retention",
            removed=True,
            error=None,
        )
        for plan in gone
    ]


def _text(path: Path) -> str:
    return shown(os.fsencode(path))
