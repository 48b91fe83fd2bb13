"""The life cycle: the only place where a plan changes phase or state.

Each move is one transaction: take the plan's lock, check, write plan, decision, event and job, release. While a phase is
processing, its job holds the lock; the functions that take a `Claim` are that job's, and name its fence.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from daemon import profiles, views
from daemon.settings import Settings
from store import errors, jobs, locks, names, plans
from store.clock import rfc3339
from store.database import Transaction, Value
from store.records import AsyncJob, Decision, Lock, Plan, PlanProject
from store.states import FORWARD, REVERSIONS, START, AsyncJobStatus, Phase, Position, State, StepState

BY_USER = "cancelled by the user"
_STEP_ENDS = {"timed_out": StepState.TIMED_OUT, "lost": StepState.LOST}
"""How the running steps of a failed phase end, by the error's code; otherwise they failed with it."""
ACTIVE = frozenset({State.QUEUED, State.PROCESSING})


class Outcome(msgspec.Struct, frozen=True):
    """A plan as it now stands, and, when nothing had to be done, the sentence that says so."""

    plan: Plan
    message: str | None = None


class Claim(msgspec.Struct, frozen=True):
    """A running job with its plan and the lock whose fence every write of the phase names."""

    job: AsyncJob
    plan: Plan
    lock: Lock


class Lifecycle:
    """Moves plans; every method runs inside the caller's transaction."""

    def __init__(self, config: Settings) -> None:
        self._config = config

    # --- what people ask for -------------------------------------------------------------------------------------------

    def use(self, tx: Transaction, plan: Plan, projects: list[PlanProject]) -> Plan:
        """A new plan at strategize/queued; with a job, unless its profile waits."""
        plans.insert(tx, plan, projects)
        tx.event("plan.created", plan_id=plan.plan_id, name=plan.name, action=plan.action)
        if profiles.PROFILES[plan.automation_profile].strategizes:
            return self._enqueue(tx, plan)
        return plan

    def execute(self, tx: Transaction, plan_id: str) -> Outcome:
        """What `plan execute` means where the plan stands: start, go on, retry, or nothing.

        Raises:
            InvalidTransitionError: the plan is past Execute.
            LockConflictError: somebody else holds the plan.
        """
        plan = _plan(tx, plan_id)
        here = plan.position
        if here == Position(Phase.EXECUTE, State.COMPLETE):
            return Outcome(plan, f"{plan.name} is {here} already; next: ca plan apply {plan.name}")
        if plan.phase is not Phase.APPLY and plan.state in ACTIVE and plan.job_id is not None:
            _refuse_newer_payload(tx, plan)
            return Outcome(plan, f"{plan.name} is {here} already")
        with _locked(tx, plan):
            if here == START:
                return Outcome(self._enqueue(tx, plan))
            target = Phase.STRATEGIZE if here == Position(Phase.STRATEGIZE, State.ERRORED) else Phase.EXECUTE
            return Outcome(self._queue(tx, plan, target, by="plan execute"))

    def apply(
        self, tx: Transaction, plan_id: str, *, expect: str | None, allow_empty: bool, payload: Mapping[str, Any]
    ) -> Outcome:
        """Queue Apply of exactly the change that was reviewed.

        Raises:
            ChangeMovedError: the digest is not `expect`.
            NothingToApplyError: the change set is empty and `allow_empty` is not given.
            InvalidTransitionError, LockConflictError: as for every move.
        """
        plan = _plan(tx, plan_id)
        if plan.phase is Phase.APPLY and plan.state in {*ACTIVE, State.APPLIED}:
            _refuse_newer_payload(tx, plan)
            return Outcome(plan, f"{plan.name} is {plan.position} already")
        with _locked(tx, plan):
            _refuse_unless_allowed(plan, Position(Phase.APPLY, State.QUEUED))
            _check_change(plan, expect, allow_empty=allow_empty)
            return Outcome(self._queue(tx, plan, Phase.APPLY, by="plan apply", payload=payload))

    def cancel(self, tx: Transaction, plan_id: str, reason: str) -> Outcome:
        """End a plan; a processing one is asked to stop, and its own job makes the move when its processes are gone.

        Raises:
            InvalidTransitionError: the plan is applied.
        """
        plan = _plan(tx, plan_id)
        if plan.state is State.CANCELLED:
            return Outcome(plan, f"{plan.name} is {plan.position} already")
        _refuse_unless_allowed(plan, Position(plan.phase, State.CANCELLED))
        job = jobs.open_of_plan(tx, plan.plan_id)
        if job is not None and job.status is AsyncJobStatus.RUNNING:
            jobs.cancel(tx, job, reason or BY_USER)
            return Outcome(plan)
        with _locked(tx, plan):
            if job is not None:
                jobs.cancel(tx, job, reason or BY_USER)
            return Outcome(self._cancelled(tx, plan, reason))

    def revert(self, tx: Transaction, plan_id: str, reason: str) -> Plan:
        """Back to the start; what was decided stays, marked.

        Raises:
            InvalidTransitionError: not from here, or `plan.max-reversions` is used up.
        """
        plan = _plan(tx, plan_id)
        with _locked(tx, plan):
            if START not in REVERSIONS.get(plan.position, frozenset()) or plan.state is State.APPLIED:
                raise _refusal(plan, START)
            limit = int(self._config.value("plan.max-reversions"))
            if plan.reversions >= limit:
                raise errors.InvalidTransitionError(
                    f"{plan.name} was reverted {plan.reversions} times; plan.max-reversions allows {limit}",
                    detail={"plan_id": plan.plan_id, "reversions": plan.reversions},
                    suggestions=[f"ca config set plan.max-reversions {limit + 1}", f"ca plan cancel {plan.name}"],
                )
            return self._reverted(tx, plan, reason)

    def undone(self, tx: Transaction, plan_id: str, lock: Lock) -> Plan:
        """What Apply changed is restored: the only way out of `applied`."""
        locks.check(tx, lock)
        plan = _plan(tx, plan_id)
        target = Position(Phase.EXECUTE, State.COMPLETE)
        return _move(tx, plan, target, REVERSIONS, by="plan undo", applied_json=None, finished_at=None)

    # --- what the job of a phase does ----------------------------------------------------------------------------------

    def claim(self, tx: Transaction, worker_id: str) -> Claim | None:
        """The next job, its plan at X/processing, and the plan's lock in the job's name."""
        limit = int(self._config.value("plan.concurrency"))
        job = jobs.claim(tx, worker_id, execute_limit=limit, boot_id=tx.clock.boot_id)
        if job is None:
            return None
        plan = _plan(tx, job.plan_id)
        lock = locks.acquire(tx, "plan", plan.plan_id, owner_of(job), float(self._config.value("lock.ttl")))
        started = plan.started_at or tx.now
        target = Position(job.phase, State.PROCESSING)
        plan = _move(tx, plan, target, FORWARD, by=f"job {job.job_id}", started_at=started, attempt=job.attempt)
        return Claim(job, plan, lock)

    def guard(self, tx: Transaction, claim: Claim) -> None:
        """The fence of a phase's write.

        Raises:
            LockExpiredError: the phase no longer holds its plan.
        """
        locks.check(tx, claim.lock)

    def complete(self, tx: Transaction, claim: Claim, **changes: Value) -> Plan:
        """The phase's work is done and durable; what the profile decides follows at once.

        A cancel that was accepted while the work ended wins, except over Apply: what is in the project is applied.
        """
        self.guard(tx, claim)
        plan = _plan(tx, claim.plan.plan_id)
        job = jobs.get(tx, claim.job.job_id)
        if job is not None and job.cancel_requested_at is not None and plan.phase is not Phase.APPLY:
            return self.stopped(tx, claim, job.error_message or "")
        self._end_job(tx, claim, AsyncJobStatus.SUCCEEDED)
        if plan.phase is Phase.APPLY:
            return _move(
                tx, plan, Position(Phase.APPLY, State.APPLIED), FORWARD, by="apply", finished_at=tx.now, **changes
            )
        plan = _move(
            tx, plan, Position(plan.phase, State.COMPLETE), FORWARD, by=str(plan.phase), error_json=None, **changes
        )
        return self._go_on(tx, plan)

    def fail(self, tx: Transaction, claim: Claim, error: views.ErrorView, *, constrained: bool = False) -> Plan:
        """The phase failed, or Apply met a conflict. Only the job's own row is asked: a lost lock is a failure too."""
        plan = _plan(tx, claim.plan.plan_id)
        self._end_job(tx, claim, AsyncJobStatus.FAILED, error.code, error.message)
        _end_running_steps(tx, plan, _STEP_ENDS.get(error.code, StepState.FAILED))
        state = State.CONSTRAINED if constrained else State.ERRORED
        error_json = msgspec.json.encode(error).decode()
        return _move(
            tx, plan, Position(plan.phase, state), FORWARD, by=f"job {claim.job.job_id}", error_json=error_json
        )

    def stopped(self, tx: Transaction, claim: Claim, reason: str) -> Plan:
        """The phase was cancelled, and its processes are gone."""
        plan = _plan(tx, claim.plan.plan_id)
        self._end_job(tx, claim, AsyncJobStatus.CANCELLED, "cancelled", reason)
        return self._cancelled(tx, plan, reason)

    def requeue(self, tx: Transaction, claim: Claim, *, ended: bool = False) -> Plan:
        """The daemon goes, or went, while the phase can go on later; `ended` when its running steps were ended with it."""
        plan = _plan(tx, claim.plan.plan_id)
        if ended:
            _end_running_steps(tx, plan, StepState.CANCELLED)
        self._end_job(tx, claim, AsyncJobStatus.QUEUED)
        return _move(tx, plan, Position(plan.phase, State.QUEUED), FORWARD, by="daemon")

    # --- parts ---------------------------------------------------------------------------------------------------------

    def _enqueue(self, tx: Transaction, plan: Plan, payload: Mapping[str, Any] | None = None) -> Plan:
        timeout = int(self._config.value("async.job_timeout"))
        job = jobs.enqueue(tx, plan, plan.phase, names.new_ulid(tx.now), timeout_s=timeout, payload=dict(payload or {}))
        return plans.update(tx, plan, job_id=job.job_id)

    def _queue(
        self, tx: Transaction, plan: Plan, phase: Phase, *, by: str, payload: Mapping[str, Any] | None = None
    ) -> Plan:
        attempt = plan.attempt if phase is plan.phase else 0
        plan = _move(tx, plan, Position(phase, State.QUEUED), FORWARD, by=by, attempt=attempt, error_json=None)
        return self._enqueue(tx, plan, payload)

    def _go_on(self, tx: Transaction, plan: Plan) -> Plan:
        profile = profiles.PROFILES[plan.automation_profile]
        if plan.phase is Phase.STRATEGIZE and profile.executes:
            return self._queue(tx, plan, Phase.EXECUTE, by=f"profile {plan.automation_profile}")
        if plan.phase is Phase.EXECUTE and profile.applies and _changed_files(plan) > 0:
            project = plans.projects(tx, plan.plan_id)[0].project
            payload = {"mode": self._config.value("apply.mode", project=project)}
            return self._queue(tx, plan, Phase.APPLY, by=f"profile {plan.automation_profile}", payload=payload)
        return plan

    def _end_job(
        self, tx: Transaction, claim: Claim, status: AsyncJobStatus, code: str | None = None, message: str | None = None
    ) -> None:
        if jobs.move(tx, claim.job, status, error_code=code, error_message=message) is None:
            raise errors.LockExpiredError(
                f"job {claim.job.job_id} is no longer this worker's; what it did late is not recorded",
                detail={"job_id": claim.job.job_id, "attempt": claim.job.attempt},
            )
        locks.release_all_for_owner(tx, owner_of(claim.job))

    def _cancelled(self, tx: Transaction, plan: Plan, reason: str) -> Plan:
        _end_running_steps(tx, plan, StepState.CANCELLED)
        for step in plans.steps(tx, plan.plan_id):
            if step.state is StepState.PENDING:
                plans.update_step(tx, plan.plan_id, step.step_id, state=StepState.SKIPPED)
        error = views.ErrorView(code="cancelled", message=reason or BY_USER, step=None, detail={})
        target = Position(plan.phase, State.CANCELLED)
        error_json = msgspec.json.encode(error).decode()
        return _move(tx, plan, target, FORWARD, by="plan cancel", error_json=error_json, finished_at=tx.now)

    def _reverted(self, tx: Transaction, plan: Plan, reason: str) -> Plan:
        came_from = str(plan.position)
        plans.supersede_decisions(tx, plan.plan_id)
        decide(
            tx, plan.plan_id, None, "reversion",
            question="What now?", choice=f"start again from {came_from}", reason=reason or "asked for by the user",
        )  # fmt: skip
        plan = _move(
            tx, plan, START, REVERSIONS, by="plan revert",
            reversions=plan.reversions + 1, attempt=0, error_json=None, diff_json=None, job_id=None,
        )  # fmt: skip
        if profiles.PROFILES[plan.automation_profile].strategizes:
            return self._enqueue(tx, plan)
        return plan


def owner_of(job: AsyncJob) -> str:
    """The name in which a running job holds locks."""
    return f"job:{job.job_id}"


def decide(
    tx: Transaction, plan_id: str, parent_id: str | None, kind: str, *, question: str, choice: str, reason: str
) -> str:
    """Record a decision; returns its id."""
    decision = Decision(names.new_ulid(tx.now), plan_id, parent_id, kind, question, choice, reason, 0, tx.now)
    plans.add_decision(tx, decision)
    return decision.decision_id


def _end_running_steps(tx: Transaction, plan: Plan, state: StepState) -> None:
    """A phase that has ended has no running step; the processes are gone by now."""
    for step in plans.steps(tx, plan.plan_id):
        if step.state is StepState.RUNNING:
            plans.update_step(tx, plan.plan_id, step.step_id, state=state, finished_at=tx.now, pid=None)
            tx.event("step.finished", plan_id=plan.plan_id, step=step.step_id, state=state, exit_code=None)


def _plan(tx: Transaction, plan_id: str) -> Plan:
    plan = plans.get(tx, plan_id)
    if plan is None:
        raise errors.NotFoundError(f"there is no plan {plan_id}", suggestions=["ca plan list"])
    return plan


@contextmanager
def _locked(tx: Transaction, plan: Plan) -> Generator[None]:
    """The plan's lock for one transaction; an error rolls it back with everything else."""
    owner = f"daemon:{names.new_ulid(tx.now)}"
    try:
        lock = locks.acquire(tx, "plan", plan.plan_id, owner, locks.SHORTEST_TTL)
    except errors.LockConflictError as error:
        raise _busy(tx, plan, error) from error
    yield
    locks.release(tx, lock)


def _busy(tx: Transaction, plan: Plan, error: errors.LockConflictError) -> errors.LockConflictError:
    """The refusal in the words of the plan: who holds it, what that one is doing, since when."""
    job = jobs.open_of_plan(tx, plan.plan_id)
    if job is None or error.detail.get("holder") != owner_of(job):
        return error
    return errors.LockConflictError(
        f"{plan.name} is {plan.position}: job {job.job_id} has worked on it since {rfc3339(job.started_at)}",
        detail={**error.detail, "plan_id": plan.plan_id, "job_id": job.job_id, "doing": str(plan.position)},
        suggestions=[f"ca plan wait {plan.name}", f"ca plan cancel {plan.name}"],
    )


def _move(
    tx: Transaction,
    plan: Plan,
    target: Position,
    table: Mapping[Position, frozenset[Position]],
    *,
    by: str,
    **changes: Value,
) -> Plan:
    if target not in table.get(plan.position, frozenset()):
        raise _refusal(plan, target)
    moved = plans.update(tx, plan, phase=target.phase, state=target.state, **changes)
    tx.event(
        "plan.moved",
        plan_id=plan.plan_id,
        job_id=moved.job_id,
        **{"from": str(plan.position), "to": str(target), "by": by},
    )
    return moved


def _refuse_unless_allowed(plan: Plan, target: Position) -> None:
    if target not in FORWARD.get(plan.position, frozenset()):
        raise _refusal(plan, target)


def _refusal(plan: Plan, target: Position) -> errors.InvalidTransitionError:
    return errors.InvalidTransitionError(
        f"{plan.name} is {plan.position}; it cannot become {target} from there",
        detail={"plan_id": plan.plan_id, "from": str(plan.position), "to": str(target)},
        suggestions=[f"ca plan show {plan.name}"],
    )


def _diff(plan: Plan) -> views.DiffStatView | None:
    return None if plan.diff_json is None else msgspec.json.decode(plan.diff_json, type=views.DiffStatView)


def _changed_files(plan: Plan) -> int:
    diff = _diff(plan)
    return 0 if diff is None else diff.files


def _refuse_newer_payload(tx: Transaction, plan: Plan) -> None:
    """A job that a newer program queued is kept for it; this one does not know what it asks for."""
    job = jobs.open_of_plan(tx, plan.plan_id)
    if job is not None and job.schema_version > jobs.PAYLOAD_VERSION:
        raise errors.PayloadVersionError(
            f"job {job.job_id} of {plan.name} was queued by a newer program (payload version {job.schema_version}); "
            f"this one knows versions up to {jobs.PAYLOAD_VERSION}, so the job waits",
            detail={"job_id": job.job_id, "schema_version": job.schema_version},
            suggestions=["install the newer program again", f"ca plan cancel {plan.name}"],
        )


def _check_change(plan: Plan, expect: str | None, *, allow_empty: bool) -> None:
    diff = _diff(plan)
    assert diff is not None, "Execute stores the diff with its completion"
    if expect is not None and expect != diff.digest:
        raise errors.ChangeMovedError(
            f"the change of {plan.name} is no longer the one that was reviewed: "
            f"its digest is {diff.digest[:12]}…, expected {expect[:12]}…",
            detail={"plan_id": plan.plan_id, "expected": expect, "digest": diff.digest},
            suggestions=[f"ca plan diff {plan.name}", f"ca plan apply {plan.name} --expect {diff.digest}"],
        )
    if diff.files == 0 and not allow_empty:
        raise errors.NothingToApplyError(
            f"{plan.name} changed nothing, so there is nothing to apply",
            detail={"plan_id": plan.plan_id},
            suggestions=[f"ca plan logs {plan.name}", f"ca plan apply {plan.name} --allow-empty"],
        )
