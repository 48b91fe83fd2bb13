"""What the life cycle refuses, and in which words: what happened, to which plan, and what to do."""

from collections.abc import Sequence
from pathlib import Path

from daemon import show, views
from store import damage, errors, jobs, journals, names, plans, subplans
from store.database import Transaction
from store.records import Plan, Step
from store.states import FORWARD, Position, StepState


def unless_allowed(plan: Plan, target: Position) -> None:
    """Refuse a move that does not lie ahead.

    Raises:
        InvalidTransitionError: the tables do not have it.
    """
    if target not in FORWARD.get(plan.position, frozenset()):
        raise no_such_move(plan, target)


def no_such_move(plan: Plan, target: Position) -> errors.InvalidTransitionError:
    """The refusal of a move that no table has."""
    return errors.InvalidTransitionError(
        f"{plan.name} is {plan.position}; it cannot become {target} from there",
        detail={"plan_id": plan.plan_id, "from": str(plan.position), "to": str(target)},
        suggestions=[f"ca plan show {plan.name}"],
    )


def not_here(plan: Plan, why: str) -> errors.InvalidTransitionError:
    """The refusal of something that moves nothing, where it makes no sense."""
    return errors.InvalidTransitionError(
        f"{plan.name} is {plan.position}; {why}",
        detail={"plan_id": plan.plan_id, "from": str(plan.position)},
        suggestions=show.next_commands(plan) or [f"ca plan show {plan.name}"],
    )


def only_with_its_parent(child: Plan) -> errors.InvalidTransitionError:
    """The refusal to apply a child."""
    return errors.InvalidTransitionError(
        f"{child.name} is a child; its change enters its parent, and is applied with it",
        detail={"plan_id": child.plan_id, "parent_plan_id": child.parent_plan_id, "root_plan_id": child.root_plan_id},
        suggestions=[f"ca plan diff {child.name}", f"ca plan apply {child.root_plan_id}"],
    )


def while_conflicting(tx: Transaction, plan: Plan) -> None:
    """Refuse to apply a plan into which a child did not fit.

    Raises:
        InvalidTransitionError: files are in conflict, or were settled and the plan has not gone on since.
    """
    found = subplans.conflicts(tx, plan.plan_id)
    if found:
        left = sum(one.taken is None for one in found)
        raise errors.InvalidTransitionError(
            f"{plan.name} is {plan.position}: {left} of {len(found)} files in conflict are not settled"
            if left
            else f"{plan.name} is {plan.position}: every conflict is settled, and the plan has to go on with that",
            detail={"plan_id": plan.plan_id, "from": str(plan.position), "open": left},
            suggestions=[*([f"ca plan conflicts {plan.name}"] if left else []), f"ca plan execute {plan.name}"],
        )


def unfit_change(plan: Plan, expect: str | None, *, allow_empty: bool) -> None:
    """Refuse to apply what was not reviewed, or nothing.

    Raises:
        ChangeMovedError: the digest is not `expect`.
        NothingToApplyError: the change set is empty, and that is not allowed.
    """
    diff = None if plan.diff_json is None else damage.document(plan, "diff_json", views.DiffStatView)
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


def without_checkpoint(plan: Plan, steps: Sequence[Step], step_id: str) -> None:
    """Refuse a rollback to a step that has nothing to go back to.

    Raises:
        NotFoundError: there is no such step.
        InvalidTransitionError: it did not succeed.
    """
    step = next((one for one in steps if one.step_id == step_id), None)
    succeeded = [one.step_id for one in steps if one.state is StepState.SUCCEEDED]
    ways = [f"ca plan rollback {plan.name} {one}" for one in reversed(succeeded)] or [f"ca plan revert {plan.name}"]
    if step is None:
        ids = [one.step_id for one in steps]
        near = names.nearest(step_id, ids)
        hint = f". Did you mean {near}?" if near else ""
        raise errors.NotFoundError(
            f"{plan.name} has no step {step_id[:100]!r}; it has {', '.join(ids) or 'none'}{hint}",
            detail={"plan_id": plan.plan_id, "step": step_id, "steps": ids},
            suggestions=ways,
        )
    if step.state is not StepState.SUCCEEDED:
        raise errors.InvalidTransitionError(
            f"step {step_id} of {plan.name} is {step.state}; only a step that succeeded has a checkpoint",
            detail={"plan_id": plan.plan_id, "step": step_id, "state": step.state, "succeeded": succeeded},
            suggestions=ways,
        )


def when_integrated(tx: Transaction, plan: Plan) -> None:
    """Refuse to take back a child whose change is in its parent.

    Raises:
        InvalidTransitionError: it is.
    """
    row = subplans.get(tx, plan.plan_id) if plan.parent_plan_id is not None else None
    if row is not None and row.integrated_at is not None:
        raise errors.InvalidTransitionError(
            f"the change of {plan.name} is in its parent already; only the parent can be taken back",
            detail={"plan_id": plan.plan_id, "parent_plan_id": plan.parent_plan_id},
            suggestions=[f"ca plan show {plan.parent_plan_id}"],
        )


def half_written(tx: Transaction, plan: Plan) -> bool:
    """Whether the change is in a project in part, and only Apply can end that."""
    journal = journals.get(tx, plan.plan_id)
    there = any(Path(project.path).is_dir() for project in plans.projects(tx, plan.plan_id))
    return journal is not None and journal.state == "writing" and there


def while_half_written(tx: Transaction, plan: Plan) -> None:
    """Refuse to leave an Apply that neither ended nor could be taken back: its journal is what knows how.

    Raises:
        InvalidTransitionError: there is one.
    """
    if half_written(tx, plan):
        raise errors.InvalidTransitionError(
            f"{plan.name} is {plan.position}, and its change is in the project in part; let Apply end what it began",
            detail={"plan_id": plan.plan_id, "from": str(plan.position)},
            suggestions=[f"ca plan apply {plan.name}", f"ca plan errors {plan.name}"],
        )


def newer_payload(tx: Transaction, plan: Plan) -> None:
    """Leave a job that a newer program queued to it; this one does not know what it asks for.

    Raises:
        PayloadVersionError: there is one.
    """
    job = jobs.open_of_plan(tx, plan.plan_id)
    if job is not None and job.schema_version > jobs.PAYLOAD_VERSION:
        raise errors.PayloadVersionError(
            f"job {job.job_id} of {plan.name} was queued by a newer program (payload version {job.schema_version}); "
            f"this one knows versions up to {jobs.PAYLOAD_VERSION}, so the job waits",
            detail={"job_id": job.job_id, "schema_version": job.schema_version},
            suggestions=["install the newer program again", f"ca plan cancel {plan.name}"],
        )
