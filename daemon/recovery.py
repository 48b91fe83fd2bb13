"""What a new daemon does with what it finds: nothing that was begun is lost, nothing is done twice.

A job that was running goes back into the queue; when it is claimed, its phase adopts the steps whose processes still run.
An Apply goes on from its journal there; an Undo is completed here. One record that cannot be read stops nothing else.
"""

import logging

import msgspec

from daemon import cleanup, pruning, undo
from daemon.lifecycle import ROLLBACK_OWNER, Claim, owner_of
from daemon.phases.context import Services
from daemon.views import ErrorView
from store import errors, jobs, journals, locks, plans
from store.database import Transaction
from store.records import AsyncJob, Lock

log = logging.getLogger(__name__)

CLAIMS_LIMIT = 20
"""A job that was claimed this often and never ended takes its daemon with it; it is not tried again."""


async def recover(services: Services) -> list[str]:
    """Put everything in order; returns what could not be, in sentences."""
    await services.db.write(_release_left)
    problems: list[str] = []
    for job in jobs.running(services.db.read):
        try:
            await services.db.write(lambda tx, job=job: _take_back(tx, services, job))
        except (errors.CleverAgentsError, msgspec.ValidationError) as error:
            problems.append(f"job {job.job_id} was set aside: {error}")
    for journal in journals.unfinished(services.db.read):
        if journal.state == "undoing":
            try:
                await undo.finish_cut(services, journal.plan_id)
            except errors.CleverAgentsError as error:
                problems.append(f"the undo of plan {journal.plan_id} could not be completed: {error.message}")
    for problem in problems:
        log.error(problem)
    return problems


def _release_left(tx: Transaction) -> None:
    """What an earlier daemon locked for work that only it could end; there is one daemon at a time."""
    for lock in locks.all_locks(tx):
        if lock.owner_id.startswith((ROLLBACK_OWNER, pruning.OWNER)):
            locks.release_all_for_owner(tx, lock.owner_id)


async def clean_up(services: Services) -> None:
    """Remove the sandboxes that an earlier daemon had no time to remove."""
    for project in plans.sandboxes(services.db.read):
        await cleanup.after(services, project.plan_id)


def _take_back(tx: Transaction, services: Services, job: AsyncJob) -> None:
    plan = plans.get(tx, job.plan_id)
    if plan is None:
        raise errors.NotFoundError(f"its plan {job.plan_id} is not in the store")
    lock = locks.get(tx, "plan", plan.plan_id)
    claim = Claim(job, plan, lock or Lock("plan", plan.plan_id, owner_of(job), 0, 0, "", 0))
    if job.attempt >= CLAIMS_LIMIT:
        text = f"the job was begun {job.attempt} times and never ended"
        services.lifecycle.fail(tx, claim, ErrorView("lost", text, None, {"job_id": job.job_id}))
    else:
        services.lifecycle.requeue(tx, claim)
