"""The life cycle: the only place where a plan changes phase or state.

Each move is one transaction: take the plan's lock, check, write plan, decision, event and job, release. While a phase is
processing, its job holds the lock; the functions that take a `Claim` are that job's, and name its fence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon import children, decisions, holding, locking, profiles, refusals, views
from daemon.children import ACTIVE
from daemon.moves import Claim, Outcome, end_running_steps, move, the_plan
from daemon.parents import BY_USER, Parents, tell, works_on
from store import damage, errors, jobs, locks, names, plans, subplans
from store.database import Transaction, Value
from store.records import AsyncJob, Lock, Plan, PlanProject, Subplan
from store.states import FORWARD, REVERSIONS, START, AsyncJobStatus, Phase, Position, State, StepState

_STEP_ENDS = {"timed_out": StepState.TIMED_OUT, "lost": StepState.LOST, "stuck": StepState.LOST}
"""How the running steps of a failed phase end, by the error's code; otherwise they failed with it."""
_TOLD_ALL_THE_SAME = frozenset({"internal", "stuck", "lock_lost"})
"""Errors of a phase that was to be cancelled and that leave more behind than a cancelled plan."""
ROLLED_BACK_FROM = frozenset({Position(Phase.EXECUTE, State.COMPLETE), Position(Phase.EXECUTE, State.ERRORED)})
"""Where `plan rollback` is possible; the plan stays there."""
ROLLBACK_SECONDS = 3600.0


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollback comes to, worked out before it is recorded.

    Attributes:
        step_id: The step whose checkpoint the sandboxes go back to.
        later: The steps that ran after it or have not succeeded.
        tips: For each project with a sandbox the checkpoint's commit and tree.
        kept: The name of the refs that keep what the sandboxes held.
        diff_json: The change that is left, when Execute is complete.
    """

    step_id: str
    later: Sequence[str]
    tips: Sequence[tuple[PlanProject, str, str]]
    kept: str
    diff_json: str | None


class Lifecycle(Parents):
    """Moves plans; every method runs inside the caller's transaction."""

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
        plan = the_plan(tx, plan_id)
        if plan.parent_plan_id is not None:
            return self._execute_child(tx, plan, _row(tx, plan))
        return self._execute(tx, plan)

    def _execute(self, tx: Transaction, plan: Plan) -> Outcome:
        here = plan.position
        if here == Position(Phase.EXECUTE, State.COMPLETE):
            return Outcome(plan, f"{plan.name} is {here} already; next: ca plan apply {plan.name}")
        if plan.phase is not Phase.APPLY and plan.state in ACTIVE and plan.job_id is not None:
            refusals.newer_payload(tx, plan)
            return Outcome(plan, f"{plan.name} is {here} already")
        with holding.locked(tx, plan):
            if here == START:
                return Outcome(self._enqueue(tx, plan))
            target = Phase.STRATEGIZE if here == Position(Phase.STRATEGIZE, State.ERRORED) else Phase.EXECUTE
            decisions.recovery(tx, plan)
            self._renew_children(tx, plan)
            return Outcome(self._queue(tx, plan, target, by="plan execute"))

    def _execute_child(self, tx: Transaction, child: Plan, row: Subplan) -> Outcome:
        """A child runs for its parent only: the parent's job starts it."""
        parent = the_plan(tx, row.parent_plan_id)
        if row.integrated_at is not None or child.position == Position(Phase.EXECUTE, State.COMPLETE):
            return Outcome(child, f"{child.name} is {child.position} already; it is a part of {parent.name}")
        if child.terminal:
            raise refusals.no_such_move(child, Position(Phase.EXECUTE, State.QUEUED))
        if child.state in ACTIVE and (child.job_id is not None or parent.state in ACTIVE):
            return Outcome(child, f"{child.name} is {child.position} already")
        with holding.locked(tx, child):
            subplans.update(tx, child.plan_id, retry=1)
            tell(tx, row, "subplan.retried")
        if parent.state not in ACTIVE:
            if parent.position != Position(Phase.EXECUTE, State.ERRORED):
                raise refusals.not_here(parent, f"{child.name} can only run while its parent executes")
            self.execute(tx, parent.plan_id)
        return Outcome(the_plan(tx, child.plan_id), f"{child.name} runs in the execution of its parent, {parent.name}")

    def apply(
        self, tx: Transaction, plan_id: str, *, expect: str | None, allow_empty: bool, payload: Mapping[str, Any]
    ) -> Outcome:
        """Queue Apply of exactly the change that was reviewed.

        Raises:
            ChangeMovedError: the digest is not `expect`.
            NothingToApplyError: the change set is empty and `allow_empty` is not given.
            InvalidTransitionError, LockConflictError: as for every move.
        """
        plan = the_plan(tx, plan_id)
        if plan.parent_plan_id is not None:
            raise refusals.only_with_its_parent(plan)
        if plan.phase is Phase.APPLY and plan.state in {*ACTIVE, State.APPLIED}:
            refusals.newer_payload(tx, plan)
            return Outcome(plan, f"{plan.name} is {plan.position} already")
        with holding.locked(tx, plan):
            refusals.while_conflicting(tx, plan)
            refusals.unless_allowed(plan, Position(Phase.APPLY, State.QUEUED))
            refusals.unfit_change(plan, expect, allow_empty=allow_empty)
            locking.refuse_while_locked(tx, plan)
            decisions.recovery(tx, plan)
            return Outcome(self._queue(tx, plan, Phase.APPLY, by="plan apply", payload=payload))

    def cancel(self, tx: Transaction, plan_id: str, reason: str) -> Outcome:
        """End a plan; a processing one is asked to stop, and its own job makes the move when its processes are gone.

        Raises:
            InvalidTransitionError: the plan is applied.
        """
        plan = the_plan(tx, plan_id)
        if plan.state is State.CANCELLED:
            return Outcome(plan, f"{plan.name} is {plan.position} already")
        refusals.unless_allowed(plan, Position(plan.phase, State.CANCELLED))
        refusals.when_integrated(tx, plan)
        job = jobs.open_of_plan(tx, plan.plan_id)
        if job is not None and works_on(tx, job):
            jobs.ask_to_stop(tx, job, reason or BY_USER)
            self._cancel_children(tx, plan, reason or BY_USER)
            return Outcome(plan)
        with holding.locked(tx, plan):
            refusals.while_half_written(tx, plan)
            if job is not None:
                jobs.cancel(tx, job, reason or BY_USER)
            return Outcome(self._cancelled(tx, plan, reason))

    def revert(self, tx: Transaction, plan_id: str, reason: str) -> Plan:
        """Back to the start; what was decided stays, marked.

        Raises:
            InvalidTransitionError: not from here, or `plan.max-reversions` is used up.
        """
        plan = the_plan(tx, plan_id)
        with holding.locked(tx, plan):
            if START not in REVERSIONS.get(plan.position, frozenset()) or plan.state is State.APPLIED:
                raise refusals.no_such_move(plan, START)
            refusals.when_integrated(tx, plan)
            refusals.while_half_written(tx, plan)
            limit = int(self._config.value("plan.max-reversions"))
            if plan.reversions >= limit:
                raise errors.InvalidTransitionError(
                    f"{plan.name} was reverted {plan.reversions} times; plan.max-reversions allows {limit}",
                    detail={"plan_id": plan.plan_id, "reversions": plan.reversions},
                    suggestions=[f"ca config set plan.max-reversions {limit + 1}", f"ca plan cancel {plan.name}"],
                )
            return self._reverted(tx, plan, reason)

    def prompt(self, tx: Transaction, plan_id: str, text: str) -> Plan:
        """Record guidance for the next attempt; nothing else moves.

        Raises:
            InvalidTransitionError: there is no error to answer.
            LockConflictError: somebody else holds the plan.
        """
        plan = the_plan(tx, plan_id)
        with holding.locked(tx, plan):
            if not plan.recoverable:
                raise refusals.not_here(plan, "guidance is for a plan that is errored or constrained")
            error = decisions.error_of(plan)
            decisions.decide(
                tx, plan_id, decisions.root(tx, plan_id), "user_intervention",
                question=decisions.GUIDANCE, choice=text, reason=f"{error.code}: {error.message}",
            )  # fmt: skip
        return plan

    def begin_rollback(self, tx: Transaction, plan_id: str, step_id: str) -> Lock:
        """Take the plan for a rollback, if it stands where one is possible and the step has a checkpoint.

        Raises:
            InvalidTransitionError: the plan or the step is not where it can be rolled back to.
            NotFoundError: there is no such step.
            LockConflictError: somebody else holds the plan.
        """
        plan = the_plan(tx, plan_id)
        lock = holding.lock(tx, plan, f"{holding.ROLLBACK_OWNER}{names.new_ulid(tx.now)}", ROLLBACK_SECONDS)
        if plan.position not in ROLLED_BACK_FROM:
            raise refusals.not_here(plan, "a sandbox can be rolled back at execute/complete and execute/errored only")
        if all(project.strategy == "none" for project in plans.projects(tx, plan_id)):
            raise refusals.not_here(plan, "its steps ran in the project itself; there is no sandbox to roll back")
        refusals.when_integrated(tx, plan)
        refusals.without_checkpoint(plan, plans.steps(tx, plan_id), step_id)
        return lock

    def rolled_back(self, tx: Transaction, lock: Lock, rollback: Rollback) -> Plan:
        """The plan stands at the checkpoint; its sandboxes follow.

        Steps that are to run again are `cancelled` until `end_rollback`: Execute restores a sandbox in which a step ended
        so, and that is what has to happen when the daemon dies in between.
        """
        locks.check(tx, lock)
        plan = the_plan(tx, lock.resource_id)
        for project, commit, tree in rollback.tips:
            plans.update_project(tx, project, tip=commit, tip_tree=tree)
        complete = plan.state is State.COMPLETE
        later = [step for step in plans.steps(tx, plan.plan_id) if step.step_id in rollback.later]
        self._begin_anew(tx, plan, later, f"{plan.name} was rolled back", again=not complete)
        for step_id in rollback.later:
            if complete:
                plans.update_step(tx, plan.plan_id, step_id, state=StepState.SKIPPED)
            else:
                plans.update_step(
                    tx, plan.plan_id, step_id,
                    state=StepState.CANCELLED, exit_code=None, started_at=None, finished_at=None, deadline_at=None,
                    tips_json=None,
                )  # fmt: skip
        after = ", ".join(rollback.later) or "nothing"
        decisions.decide(
            tx, plan.plan_id, decisions.root(tx, plan.plan_id), "user_intervention",
            question="Where should the sandbox stand?", choice=f"back to the checkpoint of step {rollback.step_id}",
            reason=f"asked for by the user; {'left out' if complete else 'to run again'}: {after}; kept as {rollback.kept}",
        )  # fmt: skip
        tx.event(
            "plan.rolled_back",
            plan_id=plan.plan_id,
            step=rollback.step_id,
            steps=list(rollback.later),
            kept=rollback.kept,
        )
        return plans.update(tx, plan, diff_json=rollback.diff_json) if complete else plans.update(tx, plan)

    def end_rollback(self, tx: Transaction, lock: Lock) -> Plan:
        """The sandboxes hold the checkpoint: what is to run again waits for it."""
        plan = the_plan(tx, lock.resource_id)
        for step in plans.steps(tx, plan.plan_id):
            if step.state is StepState.CANCELLED:
                plans.update_step(tx, plan.plan_id, step.step_id, state=StepState.PENDING)
        locks.release(tx, lock)
        return plan

    def undone(self, tx: Transaction, plan_id: str, lock: Lock) -> Plan:
        """What Apply changed is restored: the only way out of `applied`."""
        locks.check(tx, lock)
        plan = the_plan(tx, plan_id)
        target = Position(Phase.EXECUTE, State.COMPLETE)
        return move(tx, plan, target, REVERSIONS, by="plan undo", applied_json=None, finished_at=None)

    # --- what the job of a phase does ----------------------------------------------------------------------------------

    def claim(self, tx: Transaction, worker_id: str) -> Claim | None:
        """The next job, its plan at X/processing, and the plan's lock in the job's name."""
        limit = int(self._config.value("plan.concurrency"))
        job = jobs.claim(tx, worker_id, execute_limit=limit)
        if job is None:
            return None
        plan = the_plan(tx, job.plan_id)
        lock = locks.acquire(tx, "plan", plan.plan_id, holding.owner_of(job), float(self._config.value("lock.ttl")))
        started = plan.started_at or tx.now
        target = Position(job.phase, State.PROCESSING)
        plan = move(tx, plan, target, FORWARD, by=f"job {job.job_id}", started_at=started, attempt=job.attempt)
        return Claim(job, plan, lock)

    def complete(self, tx: Transaction, claim: Claim, **changes: Value) -> Plan:
        """The phase's work is done and durable; what the profile decides follows at once.

        A cancel that was accepted while the work ended wins, except over Apply: what is in the project is applied.
        """
        self.guard(tx, claim)
        plan = the_plan(tx, claim.plan.plan_id)
        job = jobs.get(tx, claim.job.job_id)
        if job is not None and job.cancel_requested_at is not None and plan.phase is not Phase.APPLY:
            return self.stopped(tx, claim, job.error_message or "")
        self._end_job(tx, claim, AsyncJobStatus.SUCCEEDED)
        if plan.phase is Phase.APPLY:
            return move(
                tx, plan, Position(Phase.APPLY, State.APPLIED), FORWARD, by="apply", finished_at=tx.now, **changes
            )
        plan = move(
            tx, plan, Position(plan.phase, State.COMPLETE), FORWARD, by=str(plan.phase), error_json=None, **changes
        )
        return self._go_on(tx, plan)

    def fail(self, tx: Transaction, claim: Claim, error: views.ErrorView, *, constrained: bool = False) -> Plan:
        """The phase failed, or Apply met a conflict. Only the job's own row is asked: a lost lock is a failure too.

        A cancel that was accepted while the phase failed wins, unless something is left that people have to know of.
        """
        plan = the_plan(tx, claim.plan.plan_id)
        job = jobs.get(tx, claim.job.job_id)
        unwanted = job is not None and job.cancel_requested_at is not None and error.code not in _TOLD_ALL_THE_SAME
        if job is not None and unwanted and not refusals.half_written(tx, plan):
            return self.stopped(tx, claim, job.error_message or "")
        self._end_job(tx, claim, AsyncJobStatus.FAILED, error.code, error.message)
        self._end_children(tx, plan)
        end_running_steps(tx, plan, _STEP_ENDS.get(error.code, StepState.FAILED))
        state = State.CONSTRAINED if constrained else State.ERRORED
        error_json = msgspec.json.encode(error).decode()
        decisions.note_failure(tx, plan, error)
        target = Position(plan.phase, state)
        failed = move(tx, plan, target, FORWARD, by=f"job {claim.job.job_id}", error_json=error_json)
        self._child_failed(tx, failed, error)
        return failed

    def rescue(self, tx: Transaction, job: AsyncJob, error: views.ErrorView) -> Plan:
        """Fail a running job in the place of its worker, which is gone or does not answer."""
        plan = the_plan(tx, job.plan_id)
        return self.fail(tx, Claim(job, plan, holding.held(tx, job)), error)

    def take_back(self, tx: Transaction, job: AsyncJob) -> Plan:
        """Queue a running job again whose daemon is gone."""
        plan = the_plan(tx, job.plan_id)
        return self.requeue(tx, Claim(job, plan, holding.held(tx, job)))

    def stopped(self, tx: Transaction, claim: Claim, reason: str) -> Plan:
        """The phase was cancelled, and its processes are gone."""
        plan = the_plan(tx, claim.plan.plan_id)
        self._end_job(tx, claim, AsyncJobStatus.CANCELLED, "cancelled", reason)
        return self._cancelled(tx, plan, reason)

    def requeue(self, tx: Transaction, claim: Claim, *, ended: bool = False) -> Plan:
        """The daemon goes, or went, while the phase can go on later; `ended` when its running steps were ended with it."""
        plan = the_plan(tx, claim.plan.plan_id)
        if ended:
            end_running_steps(tx, plan, StepState.CANCELLED, but="subplans")  # their children go on as they stand
        self._end_job(tx, claim, AsyncJobStatus.QUEUED)
        return move(tx, plan, Position(plan.phase, State.QUEUED), FORWARD, by="daemon")

    # --- parts ---------------------------------------------------------------------------------------------------------

    def _go_on(self, tx: Transaction, plan: Plan) -> Plan:
        if plan.parent_plan_id is not None:
            return self._queue(tx, plan, Phase.EXECUTE, by="parent") if plan.phase is Phase.STRATEGIZE else plan
        profile = profiles.PROFILES[plan.automation_profile]
        if plan.phase is Phase.STRATEGIZE and profile.executes:
            return self._queue(tx, plan, Phase.EXECUTE, by=f"profile {plan.automation_profile}")
        if plan.phase is Phase.EXECUTE and profile.applies and _changed_files(plan) > 0:
            projects = plans.projects(tx, plan.plan_id)
            mode, *others = {self._config.value("apply.mode", project=project.project) for project in projects}
            if not others:  # else somebody has to say which
                by = f"profile {plan.automation_profile}"
                return self._queue(tx, plan, Phase.APPLY, by=by, payload={"mode": mode})
        return plan

    def _reverted(self, tx: Transaction, plan: Plan, reason: str) -> Plan:
        came_from = str(plan.position)
        plans.supersede_decisions(tx, plan.plan_id)
        self._forget_children(tx, plan, f"{plan.name} was reverted")
        children.without_conflicts(tx, plan)
        decisions.decide(
            tx, plan.plan_id, None, "reversion",
            question="What now?", choice=f"start again from {came_from}", reason=reason or decisions.NO_REASON,
        )  # fmt: skip
        plan = move(
            tx, plan, START, REVERSIONS, by="plan revert",
            reversions=plan.reversions + 1, attempt=0, error_json=None, diff_json=None, job_id=None,
        )  # fmt: skip
        if plan.parent_plan_id is not None:  # it starts from its parent as that will be then
            subplans.update(tx, plan.plan_id, resolved=0)
            for project in plans.projects(tx, plan.plan_id):
                plans.update_project(tx, project, base=None, base_tree=None, tip=None, tip_tree=None)
            return plan
        if profiles.PROFILES[plan.automation_profile].strategizes:
            return self._enqueue(tx, plan)
        return plan


def _row(tx: Transaction, child: Plan) -> Subplan:
    """What a parent knows of a child.

    Raises:
        InvalidTransitionError: it does not count as one any more.
    """
    row = subplans.get(tx, child.plan_id)
    if row is None:
        raise refusals.not_here(child, "another child took its place, or its parent started again")
    return row


def _diff(plan: Plan) -> views.DiffStatView | None:
    return None if plan.diff_json is None else damage.document(plan, "diff_json", views.DiffStatView)


def _changed_files(plan: Plan) -> int:
    diff = _diff(plan)
    return 0 if diff is None else diff.files
