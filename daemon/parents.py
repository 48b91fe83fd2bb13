"""What becomes of the children of a plan: started, retried, integrated, cancelled with it.

A child's plan moves like any other; its row in `subplans` and its parent follow in the same transaction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from daemon import children, decisions, holding, refusals, views
from daemon.children import ACTIVE
from daemon.moves import Claim, Moves, end_running_steps, move, the_plan
from store import errors, jobs, plans, subplans
from store.database import Transaction
from store.records import AsyncJob, Conflict, Plan, Step, Subplan
from store.states import FORWARD, START, AsyncJobStatus, Phase, Position, State, StepState

BY_USER = "cancelled by the user"
PARENT_ENDED = "its parent stopped"

Tips = Mapping[str, tuple[str, str]]
"""For each project a commit and its tree."""


class Parents(Moves):
    """Moves of children; every method runs inside the caller's transaction."""

    # --- what the parent's own job does --------------------------------------------------------------------------------

    def start_child(self, tx: Transaction, claim: Claim, plan_id: str, tips: Tips) -> bool:
        """Let a child begin, or go on where it failed; False when it is not waiting any more.

        Args:
            tx: The transaction.
            claim: The parent's; the child's jobs may run while its lock is held.
            plan_id: The child.
            tips: What the child starts from, if it has no base yet.

        Raises:
            LockExpiredError: the parent's job does not hold the parent any more.
            LockConflictError: somebody else holds the child, or a file that it declares to change.
        """
        self.guard(tx, claim)
        child, row = the_plan(tx, plan_id), subplans.get(tx, plan_id)
        if row is None or not (child.recoverable or (child.position == START and child.job_id is None)):
            return False
        with holding.locked(tx, child):
            self.lock_paths(tx, claim, row)
            self._start(tx, claim, child, row, tips)
        return True

    def _start(self, tx: Transaction, claim: Claim, child: Plan, row: Subplan, tips: Tips) -> None:
        plan_id = child.plan_id
        for project in plans.projects(tx, plan_id):
            if project.base is None:
                commit, tree = tips[project.project]
                plans.update_project(tx, project, base=commit, base_tree=tree, tip=commit, tip_tree=tree)
        subplans.update(tx, plan_id, starts=row.starts + 1, retry=0, admitted=claim.lock.fence)
        if child.recoverable:
            decisions.recovery(tx, child)
            self._renew_children(tx, child)
            self._queue(tx, child, child.phase, by=f"job {claim.job.job_id}")
        else:
            self._enqueue(tx, child)
        tell(tx, row, "subplan.started", starts=row.starts + 1)

    def admit_again(self, tx: Transaction, claim: Claim, row: Subplan) -> None:
        """A child that was started by an earlier run of the parent's job goes on under this one.

        Raises:
            LockExpiredError, LockConflictError: as for `start_child`.
        """
        self.guard(tx, claim)
        self.lock_paths(tx, claim, row)
        subplans.update(tx, row.plan_id, admitted=claim.lock.fence)
        tell(tx, row, "subplan.admitted")

    def lock_paths(self, tx: Transaction, claim: Claim, row: Subplan) -> None:
        """Take the `file` locks of what a child declares, in the name of its parent's job.

        Raises:
            LockConflictError: somebody else holds one of them.
        """
        ttl = float(self._config.value("lock.ttl"))
        project = plans.projects(tx, row.plan_id)[0].project
        children.lock_paths(tx, row, project, holding.owner_of(claim.job), ttl)

    def integrated(
        self, tx: Transaction, claim: Claim, child: Plan, tips: Tips, overridden: Mapping[str, Sequence[str]]
    ) -> None:
        """A child's change is in its parent.

        Args:
            tx: The transaction.
            claim: The parent's.
            child: The child as it was when it was merged.
            tips: The parent's projects with it.
            overridden: For each project the files in which the child's version was taken because it came later.

        Raises:
            LockExpiredError: the parent's job does not hold the parent any more.
            ChangeMovedError: somebody moved the child meanwhile; nothing changed.
        """
        self.guard(tx, claim)
        row = self._still(tx, child)
        for project in plans.projects(tx, claim.plan.plan_id):
            if project.project in tips:
                commit, tree = tips[project.project]
                plans.update_project(tx, project, tip=commit, tip_tree=tree)
        subplans.update(tx, child.plan_id, integrated_at=tx.now, tips_json=msgspec.json.encode(tips).decode())
        children.without_conflicts(tx, child)
        files = [path for paths in overridden.values() for path in paths]
        if files:
            decisions.decide(
                tx, claim.plan.plan_id, decisions.root(tx, claim.plan.plan_id), "strategy_choice",
                question=f"Which version of {', '.join(files[:20])}{' and others' * (len(files) > 20)}?",
                choice=f"that of {row.item} ({child.name})", reason="last_wins: the later child's version is taken",
            )  # fmt: skip
        tell(tx, row, "subplan.integrated")

    def conflicted(self, tx: Transaction, claim: Claim, child: Plan, found: Sequence[Conflict]) -> None:
        """A child does not fit into its parent: nothing enters it until each of these files is settled.

        Raises:
            LockExpiredError, ChangeMovedError: as for `integrated`.
        """
        self.guard(tx, claim)
        row = self._still(tx, child)
        subplans.replace_conflicts(tx, claim.plan.plan_id, found)
        files = [{"path": one.path.decode(errors="backslashreplace"), "kind": one.kind} for one in found]
        tell(tx, row, "subplan.conflict", files=files)

    def _still(self, tx: Transaction, child: Plan) -> Subplan:
        now, row = the_plan(tx, child.plan_id), subplans.get(tx, child.plan_id)
        if row is None or row.integrated_at is not None or now.revision != child.revision:
            raise errors.ChangeMovedError(
                f"{child.name} is {now.position} now; it was moved while it was merged",
                detail={"plan_id": child.plan_id},
            )
        return row

    # --- what people ask for -------------------------------------------------------------------------------------------

    def resolve(
        self, tx: Transaction, plan_id: str, conflict: Conflict, taken: str, *, mode: int | None, blob: str | None
    ) -> Plan:
        """Settle one conflict; the plan goes on when somebody executes it.

        Args:
            tx: The transaction.
            plan_id: The parent.
            conflict: As it was when the version was chosen.
            taken: base, parent, child, edited or file.
            mode: The mode of the chosen version; None for no file.
            blob: Its content.

        Raises:
            InvalidTransitionError: the plan is not where a conflict can be settled, or it has no such conflict any more.
            LockConflictError: somebody else holds the plan.
        """
        plan = the_plan(tx, plan_id)
        with holding.locked(tx, plan):
            same = [
                one
                for one in subplans.conflicts(tx, plan_id)
                if one.position == conflict.position and _same(one, conflict)
            ]
            if plan.position != Position(Phase.EXECUTE, State.ERRORED) or not same:
                raise refusals.not_here(plan, "it has no such conflict to settle")
            subplans.settle(tx, conflict, taken, mode, blob)
            child = the_plan(tx, conflict.child_plan_id)
            path = conflict.path.decode(errors="backslashreplace")
            decisions.decide(
                tx, plan_id, decisions.root(tx, plan_id), "user_intervention",
                question=f"Which version of {path}?", choice=f"{path}: {_CHOICES[taken].format(child=child.name)}",
                reason=f"a conflict of the kind {conflict.kind} with {child.name}",
            )  # fmt: skip
            tx.event("conflict.resolved", plan_id=plan_id, child=child.plan_id, path=path, taken=taken)
        return plan

    # --- what follows for the family -----------------------------------------------------------------------------------

    def _renew_children(self, tx: Transaction, plan: Plan) -> None:
        """The plan goes on after an error: what becomes of the children that are not in it.

        Failed ones run again, unless some were asked for by name; those that the plan gave up are made anew; it goes on
        without those that somebody cancelled.
        """
        rows = [row for row in subplans.of_plan(tx, plan.plan_id) if row.integrated_at is None]
        asked_for = any(row.retry for row in rows)
        for row in rows:
            child = the_plan(tx, row.plan_id)
            if row.fate == children.DROPPED:
                self._give_up(tx, child, PARENT_ENDED)
                children.replace(tx, plan, row)
            elif child.state is State.CANCELLED and row.fate is None:
                children.leave_out(tx, plan, row)
            elif child.recoverable and not asked_for:
                subplans.update(tx, row.plan_id, retry=1)

    def _begin_anew(self, tx: Transaction, plan: Plan, steps: Sequence[Step], reason: str, *, again: bool) -> None:
        """The children of these steps are taken back; when the steps run `again`, others take their place."""
        for row in children.of_steps(tx, plan.plan_id, steps):
            self._give_up(tx, the_plan(tx, row.plan_id), reason)
            if again:
                children.replace(tx, plan, row)
            else:
                subplans.forget(tx, row.plan_id)
        subplans.replace_conflicts(tx, plan.plan_id, [])

    def _forget_children(self, tx: Transaction, plan: Plan, reason: str) -> None:
        """The plan starts again; its steps, and so its children, are decided anew."""
        self._cancel_children(tx, plan, reason)
        subplans.forget_all(tx, plan.plan_id)
        subplans.replace_conflicts(tx, plan.plan_id, [])

    def _cancel_children(self, tx: Transaction, plan: Plan, reason: str) -> None:
        """Nothing below the plan goes on."""
        for child in subplans.unfinished(tx, plan.plan_id):
            self._drop(tx, child, reason)  # the plan may fail instead, and go on later

    def _end_children(self, tx: Transaction, plan: Plan) -> None:
        """The plan failed: nothing works for it any more, and which children run again is asked when it goes on."""
        self._drop_active(tx, plan, PARENT_ENDED)
        for row in subplans.of_plan(tx, plan.plan_id):
            if row.retry:
                subplans.update(tx, row.plan_id, retry=0)

    def _drop_active(self, tx: Transaction, plan: Plan, reason: str) -> None:
        """The plan stops: what works for it stops with it, and is made anew when the plan goes on."""
        for child in subplans.unfinished(tx, plan.plan_id):
            if child.state in ACTIVE and child.job_id is not None:
                self._drop(tx, child, reason)

    def drop_active(self, tx: Transaction, claim: Claim, reason: str) -> None:
        """End the children that are active, for the parent's job.

        Raises:
            LockExpiredError: the parent's job does not hold the parent any more.
        """
        self.guard(tx, claim)
        self._drop_active(tx, claim.plan, reason)

    def _drop(self, tx: Transaction, child: Plan, reason: str) -> None:
        """The parent gives a child up; not one that somebody cancelled before, nor one that is in the parent."""
        row, job = subplans.get(tx, child.plan_id), jobs.open_of_plan(tx, child.plan_id)
        if row is not None and row.integrated_at is None and (job is None or job.cancel_requested_at is None):
            subplans.update(tx, child.plan_id, fate=children.DROPPED)
        self._give_up(tx, child, reason)

    def _give_up(self, tx: Transaction, child: Plan, reason: str) -> None:
        """Cancel a child and all below it; a running one is asked to stop, and its own job makes the move."""
        if child.terminal:
            return
        job = jobs.open_of_plan(tx, child.plan_id)
        if job is not None and works_on(tx, job):
            jobs.ask_to_stop(tx, job, reason)
            self._cancel_children(tx, child, reason)
            return
        if job is not None:
            jobs.cancel(tx, job, reason)
        self._cancelled(tx, child, reason)

    def _cancelled(self, tx: Transaction, plan: Plan, reason: str) -> Plan:
        end_running_steps(tx, plan, StepState.CANCELLED)
        for step in plans.steps(tx, plan.plan_id):
            if step.state is StepState.PENDING:
                plans.update_step(tx, plan.plan_id, step.step_id, state=StepState.SKIPPED)
        self._cancel_children(tx, plan, reason or BY_USER)
        children.without_conflicts(tx, plan)
        error = views.ErrorView(code="cancelled", message=reason or BY_USER, step=None, detail={})
        target = Position(plan.phase, State.CANCELLED)
        error_json = msgspec.json.encode(error).decode()
        return move(tx, plan, target, FORWARD, by="plan cancel", error_json=error_json, finished_at=tx.now)

    def _child_failed(self, tx: Transaction, child: Plan, error: views.ErrorView) -> None:
        """The parent is told; with fail_fast the failure that is final ends all other children with it."""
        row = subplans.get(tx, child.plan_id)
        if row is None:
            return
        tell(tx, row, "subplan.failed", code=error.code, message=error.message)
        spec = children.spec_of(tx, row)
        if not spec.fail_fast or children.runs_again(row.starts, error.code, spec):
            return
        reason = f"{row.item} failed, and its step is fail_fast"
        for sibling in subplans.of_step(tx, row.parent_plan_id, row.step_id):
            other = the_plan(tx, sibling.plan_id)
            if other.plan_id != child.plan_id and other.state in ACTIVE:
                self._drop(tx, other, reason)


def works_on(tx: Transaction, job: AsyncJob) -> bool:
    """Whether processes of a job may be at work: a worker has it, or it is to adopt what an earlier daemon left."""
    steps = plans.steps(tx, job.plan_id)
    begun = any(step.state is StepState.RUNNING and step.kind != "subplans" for step in steps)
    return job.status is AsyncJobStatus.RUNNING or begun


def tell(tx: Transaction, row: Subplan, kind: str, **detail: Any) -> None:
    """An event of a parent about one of its children."""
    tx.event(kind, plan_id=row.parent_plan_id, step=row.step_id, item=row.item, child=row.plan_id, **detail)


def _same(one: Conflict, other: Conflict) -> bool:
    """Whether it is still the conflict that somebody looked at."""
    return (one.child_plan_id, one.project, one.path, one.base, one.parent, one.child) == (
        other.child_plan_id, other.project, other.path, other.base, other.parent, other.child
    )  # fmt: skip


_CHOICES = {
    "base": "the version that both started from",
    "parent": "the parent's version",
    "child": "the version of {child}",
    "edited": "the version that was edited in the checkout",
    "file": "the content of a file that was given",
}
