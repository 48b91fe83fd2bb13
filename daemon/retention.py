"""Retention: what is over long enough goes: events, finished jobs with their logs, and what Undo needed; the rest is packed."""

import asyncio
import logging

from daemon import environments, packing, repositories
from daemon.checkouts import delete
from daemon.disk import allocated
from daemon.phases.context import Services, project_of
from store import errors, events, jobs, journals, locks, plans
from store.clock import SECOND
from store.database import Transaction
from store.records import Plan

log = logging.getLogger(__name__)

AT_ONCE = 100
"""Plans that are read together."""
JOBS_AT_ONCE = 1000
"""Jobs that are removed in one transaction; others wait for it no longer than for any other."""


async def prune(services: Services) -> None:
    """Remove what is older than `async.retention`, `events.retention` and `plan.retention` say, and pack what is kept."""
    before = services.db.clock.now() - _microseconds(services, "events.retention")
    await services.db.write(lambda tx: events.prune(tx, before))
    await prune_jobs(services)
    await prune_plans(services)
    await asyncio.to_thread(packing.pack_crowded, services.paths.repositories)


async def prune_jobs(services: Services) -> tuple[int, int]:
    """Remove the finished jobs that are older than `async.retention`, with their logs; how many, and the room of the logs."""
    before = services.db.clock.now() - _microseconds(services, "async.retention")
    count = freed = 0
    while True:
        pruned = await services.db.write(lambda tx: jobs.prune(tx, before, JOBS_AT_ONCE))
        freed += await asyncio.to_thread(_remove_logs, services, pruned)
        count += len(pruned)
        if len(pruned) < JOBS_AT_ONCE:
            return count, freed


async def prune_plans(services: Services) -> list[Plan]:
    """Let go of what Undo needed for plans that were over before `plan.retention`; the plans themselves are kept."""
    pruned: list[Plan] = []
    while True:
        found = expired(services, limit=AT_ONCE)
        let_go = [plan for plan in found if await _prune_plan(services, plan)]
        pruned += let_go
        # a plan that somebody works on is found again; the next run has it
        if len(found) < AT_ONCE or len(let_go) < len(found):
            return pruned


def expired(services: Services, *, with_sandbox: bool = False, limit: int = plans.EVERYTHING) -> list[Plan]:
    """The plans that have been over for longer than `plan.retention` and still keep what Undo needs."""
    before = services.db.clock.now() - _microseconds(services, "plan.retention")
    return plans.over_before(services.db.read, before, with_sandbox=with_sandbox, limit=limit)


def _microseconds(services: Services, key: str) -> int:
    return int(float(services.config.value(key)) * SECOND)


def _remove_logs(services: Services, job_ids: list[str]) -> int:
    """How many bytes they took."""
    return sum(_remove_log(services, job_id) for job_id in job_ids)


def _remove_log(services: Services, job_id: str) -> int:
    directory = services.paths.jobs / job_id
    size = allocated(directory)
    try:
        delete(directory)
    except errors.CleverAgentsError as error:
        log.warning("the logs of job %s could not be removed: %s", job_id, error.message)
        return 0
    return size


async def _prune_plan(services: Services, plan: Plan) -> bool:
    """First the record, so that nobody relies on refs that are about to go; False when somebody works on the plan."""
    if not await services.db.write(lambda tx: _note(tx, plan.plan_id)):
        return False
    for one in [plan, *plans.below(services.db.read, plan.plan_id)]:
        for project in plans.projects(services.db.read, one.plan_id):
            await asyncio.to_thread(repositories.forget_plan, project_of(services.paths, project), one.plan_id)
    environments.remove(services.paths.environments, plan.plan_id)
    return True


def _note(tx: Transaction, plan_id: str) -> bool:
    plan, lock = plans.get(tx, plan_id), locks.get(tx, "plan", plan_id)
    if plan is None or not plan.terminal or (lock and not lock.stale(tx.clock)):
        return False
    journals.remove(tx, plan_id)
    for one in [plan, *plans.below(tx, plan_id)]:
        plans.update(tx, one, pruned_at=tx.now)
        tx.event("plan.pruned", plan_id=one.plan_id)
    return True
