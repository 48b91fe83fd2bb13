"""Retention: what is over long enough goes: events, finished jobs with their logs, and what Undo needed."""

import asyncio
import shutil

from daemon import environments, repositories
from daemon.phases.context import Services, project_of
from store import events, jobs, journals, plans
from store.clock import SECOND
from store.database import Transaction
from store.records import Plan


async def prune(services: Services) -> None:
    """Remove what is older than `async.retention`, `events.retention` and `plan.retention` say."""
    for job_id in await services.db.write(lambda tx: _forget(tx, services)):
        await asyncio.to_thread(shutil.rmtree, services.paths.jobs / job_id, ignore_errors=True)
    before = services.db.clock.now() - _microseconds(services, "plan.retention")
    for plan in plans.over_before(services.db.read, before):
        await _prune_plan(services, plan)


def _forget(tx: Transaction, services: Services) -> list[str]:
    events.prune(tx, tx.now - _microseconds(services, "events.retention"))
    return jobs.prune(tx, tx.now - _microseconds(services, "async.retention"))


def _microseconds(services: Services, key: str) -> int:
    return int(float(services.config.value(key)) * SECOND)


async def _prune_plan(services: Services, plan: Plan) -> None:
    """First the record, so that nobody relies on refs that are about to go."""

    def note(tx: Transaction) -> None:
        journals.remove(tx, plan.plan_id)
        plans.update(tx, plan, pruned_at=tx.now)
        tx.event("plan.pruned", plan_id=plan.plan_id)

    await services.db.write(note)
    for project in plans.projects(services.db.read, plan.plan_id):
        await asyncio.to_thread(repositories.forget_plan, project_of(services.paths, project), plan.plan_id)
    environments.remove(services.paths.environments, plan.plan_id)
