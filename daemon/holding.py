"""Who holds a plan while it is moved, and how somebody who cannot have it is told."""

from collections.abc import Generator
from contextlib import contextmanager

from daemon import locking
from store import errors, jobs, locks
from store.clock import rfc3339
from store.database import Transaction
from store.records import AsyncJob, Lock, Plan

ROLLBACK_OWNER = "rollback:"
"""How the owners begin in whose names plans are rolled back."""
UNDO_OWNER = "undo:"
"""The same for those whose change is taken out again."""
_DOING = {ROLLBACK_OWNER: "rolled back", UNDO_OWNER: "taken out of its project"}


def owner_of(job: AsyncJob) -> str:
    """The name in which a running job holds locks."""
    return f"job:{job.job_id}"


def held(tx: Transaction, job: AsyncJob) -> Lock:
    """The plan's lock as its job had it; one that holds nothing when it is gone."""
    found = locks.get(tx, "plan", job.plan_id)
    return found or Lock("plan", job.plan_id, owner_of(job), 0, 0, "", 0)


@contextmanager
def locked(tx: Transaction, plan: Plan) -> Generator[None]:
    """The plan for one transaction: nobody can take it before the transaction ends, so that nobody has it is enough.

    Raises:
        LockConflictError: somebody else holds it; who, what that one is doing, since when.
    """
    try:
        locks.free(tx, "plan", plan.plan_id)
    except errors.LockConflictError as error:
        raise _busy(tx, plan, error) from error
    yield


def lock(tx: Transaction, plan: Plan, owner: str, ttl: float) -> Lock:
    """The plan's lock for `ttl` seconds.

    Raises:
        LockConflictError: somebody else holds it; who, what that one is doing, since when.
    """
    try:
        return locks.acquire(tx, "plan", plan.plan_id, owner, ttl)
    except errors.LockConflictError as error:
        raise _busy(tx, plan, error) from error


def _busy(tx: Transaction, plan: Plan, error: errors.LockConflictError) -> errors.LockConflictError:
    """The refusal in the words of the plan."""
    holder = str(error.detail.get("holder"))
    doing = next((words for owner, words in _DOING.items() if holder.startswith(owner)), None)
    if doing is not None:
        return errors.LockConflictError(
            f"{plan.name} is being {doing} since {error.detail['acquired_at']}",
            detail={**error.detail, "plan_id": plan.plan_id},
            suggestions=[f"ca plan show {plan.name}"],
        )
    job = jobs.open_of_plan(tx, plan.plan_id)
    if job is None or holder != owner_of(job):
        found = locks.get(tx, "plan", plan.plan_id)
        return error if found is None else locking.conflict(tx, found)
    return errors.LockConflictError(
        f"{plan.name} is {plan.position}: job {job.job_id} has worked on it since {rfc3339(job.started_at)}",
        detail={**error.detail, "plan_id": plan.plan_id, "job_id": job.job_id, "doing": str(plan.position)},
        suggestions=[f"ca plan wait {plan.name}", f"ca plan cancel {plan.name}"],
    )
