"""What a new daemon does with what it finds: nothing that was begun is lost, nothing is done twice.

A job that was running goes back into the queue; when it is claimed, its phase adopts the steps whose processes still run.
An Apply goes on from its journal there; an Undo is completed here. One record that cannot be read stops nothing else.
"""

import logging
from collections.abc import Collection

from daemon import aside, cleanup, pruning, undo
from daemon.holding import ROLLBACK_OWNER
from daemon.phases.context import Services
from daemon.views import ErrorView
from store import errors, jobs, journals, locks, plans
from store.database import Transaction
from store.records import AsyncJob

log = logging.getLogger(__name__)

CLAIMS_LIMIT = 20
"""A job that was claimed this often and never ended takes its daemon with it; it is not tried again."""


async def recover(services: Services) -> list[str]:
    """Put everything in order; returns what could not be, in sentences."""
    problems = await _mended(services)
    for job in jobs.running(services.db.read):
        try:
            await services.db.write(lambda tx, job=job: _take_back(tx, services, job))
        except Exception as error:  # whatever it is, it is this job's, and all others go on
            log.exception("job %s of plan %s", job.job_id, job.plan_id)
            why = f"the job was set aside: {error}"
            problems.append(f"job {job.job_id}: {why}")
            await services.db.write(lambda tx, job=job, why=why: aside.give_up(tx, job, why))
    for journal in journals.unfinished(services.db.read):
        if journal.state == "undoing":
            try:
                await undo.finish_cut(services, journal.plan_id)
            except Exception as error:  # as above
                log.exception("the undo of plan %s", journal.plan_id)
                problems.append(f"the undo of plan {journal.plan_id} could not be completed: {error}")
    for problem in problems:
        log.error(problem)
    return problems


async def mend(services: Services, busy: Collection[str]) -> list[str]:
    """Set aside what stops the queue, but none of the jobs that run; what it was, in sentences."""
    kept = services.paths.backups
    return await services.db.write(lambda tx: aside.mend_queue(tx, services.lifecycle, kept, busy=busy))


async def _mended(services: Services) -> list[str]:
    """See that the jobs and locks that an earlier daemon left can be used; what had to be set aside."""

    def mend(tx: Transaction) -> list[str]:
        done = aside.mend_queue(tx, services.lifecycle, services.paths.backups)
        _release_left(tx)
        return done

    try:
        return await services.db.write(mend)
    except Exception as error:  # without it the daemon does less, and without the daemon nothing can be done
        log.exception("the queue could not be put in order")
        return [f"the queue could not be put in order: {error}"]


def _release_left(tx: Transaction) -> None:
    """What an earlier daemon locked for work that only it could end; there is one daemon at a time."""
    for lock in locks.all_locks(tx):
        if lock.owner_id.startswith((ROLLBACK_OWNER, pruning.OWNER)):
            locks.release_all_for_owner(tx, lock.owner_id)


async def clean_up(services: Services) -> None:
    """Remove the sandboxes that an earlier daemon had no time to remove."""
    for project in plans.sandboxes(services.db.read):
        try:
            await cleanup.after(services, project.plan_id)
        except errors.CleverAgentsError as error:
            log.warning("the sandboxes of plan %s stay: %s", project.plan_id, error.message)


def _take_back(tx: Transaction, services: Services, job: AsyncJob) -> None:
    if job.attempt >= CLAIMS_LIMIT:
        text = f"the job was begun {job.attempt} times and never ended"
        services.lifecycle.rescue(tx, job, ErrorView("lost", text, None, {"job_id": job.job_id}))
    else:
        services.lifecycle.take_back(tx, job)
