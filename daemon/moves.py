"""The parts of every move of a plan: the row, its event, its job; which moves there are is decided above."""

from collections.abc import Mapping
from typing import Any

import msgspec

from daemon import holding, refusals
from daemon.settings import Settings
from store import errors, jobs, locks, names, plans, subplans
from store.database import Transaction, Value
from store.records import AsyncJob, Lock, Plan
from store.states import FORWARD, AsyncJobStatus, Phase, Position, State, StepState


class Outcome(msgspec.Struct, frozen=True):
    """A plan as it now stands, and, when nothing had to be done, the sentence that says so."""

    plan: Plan
    message: str | None = None


class Claim(msgspec.Struct, frozen=True):
    """A running job with its plan and the lock whose fence every write of the phase names."""

    job: AsyncJob
    plan: Plan
    lock: Lock


class Moves:
    """What every move is made of; each method runs inside the caller's transaction."""

    def __init__(self, config: Settings) -> None:
        self._config = config

    def guard(self, tx: Transaction, claim: Claim) -> None:
        """The fence of a phase's write.

        Raises:
            LockExpiredError: the phase no longer holds its plan.
        """
        locks.check(tx, claim.lock)

    def enqueue_again(self, tx: Transaction, plan: Plan, job_id: str, payload: Mapping[str, Any]) -> Plan:
        """Another job for a plan that is to be worked on and whose own job was lost; the plan stays where it is."""
        return self._enqueue(tx, plan, payload, job_id)

    def _enqueue(
        self, tx: Transaction, plan: Plan, payload: Mapping[str, Any] | None = None, job_id: str | None = None
    ) -> Plan:
        job_id = job_id or names.new_ulid(tx.now)
        job = jobs.enqueue(tx, plan, plan.phase, job_id, timeout_s=self._timeout(tx, plan), payload=dict(payload or {}))
        return plans.update(tx, plan, job_id=job.job_id)

    def _timeout(self, tx: Transaction, plan: Plan) -> int:
        """Seconds for the whole job, 0 for no limit; a child may have less."""
        general = int(self._config.value("async.job_timeout"))
        mine = subplans.get(tx, plan.plan_id) if plan.parent_plan_id is not None else None
        return min((limit for limit in (general, mine.timeout_s if mine else 0) if limit), default=0)

    def _queue(
        self, tx: Transaction, plan: Plan, phase: Phase, *, by: str, payload: Mapping[str, Any] | None = None
    ) -> Plan:
        attempt = plan.attempt if phase is plan.phase else 0
        plan = move(tx, plan, Position(phase, State.QUEUED), FORWARD, by=by, attempt=attempt, error_json=None)
        return self._enqueue(tx, plan, payload)

    def _end_job(
        self, tx: Transaction, claim: Claim, status: AsyncJobStatus, code: str | None = None, message: str | None = None
    ) -> None:
        if jobs.move(tx, claim.job, status, error_code=code, error_message=message) is None:
            raise errors.LockExpiredError(
                f"job {claim.job.job_id} is no longer this worker's; what it did late is not recorded",
                detail={"job_id": claim.job.job_id, "attempt": claim.job.attempt},
            )
        locks.release_all_for_owner(tx, holding.owner_of(claim.job))


def the_plan(tx: Transaction, plan_id: str) -> Plan:
    """The plan of an id.

    Raises:
        NotFoundError: there is none.
    """
    plan = plans.get(tx, plan_id)
    if plan is None:
        raise errors.NotFoundError(f"there is no plan {plan_id}", suggestions=["ca plan list"])
    return plan


def move(
    tx: Transaction,
    plan: Plan,
    target: Position,
    table: Mapping[Position, frozenset[Position]],
    *,
    by: str,
    **changes: Value,
) -> Plan:
    """The plan where `target` says, with an event.

    Raises:
        InvalidTransitionError: the table does not have the move; nothing changed.
    """
    if target not in table.get(plan.position, frozenset()):
        raise refusals.no_such_move(plan, target)
    moved = plans.update(tx, plan, phase=target.phase, state=target.state, **changes)
    tx.event(
        "plan.moved",
        plan_id=plan.plan_id,
        job_id=moved.job_id,
        **{"from": str(plan.position), "to": str(target), "by": by},
    )
    return moved


def end_running_steps(tx: Transaction, plan: Plan, state: StepState, *, but: str | None = None) -> None:
    """A phase that has ended has no running step; the processes are gone by now, unless nobody could see to that.

    Args:
        tx: The transaction.
        plan: The plan.
        state: How the steps ended.
        but: Steps of this kind are left as they are.
    """
    for step in plans.steps(tx, plan.plan_id):
        if step.state is StepState.RUNNING and step.kind != but:
            pid = step.pid if state is StepState.LOST else None
            plans.update_step(tx, plan.plan_id, step.step_id, state=state, finished_at=tx.now, pid=pid)
            tx.event("step.finished", plan_id=plan.plan_id, step=step.step_id, state=state, exit_code=None)
