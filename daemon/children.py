"""The rows of children: made with their parents, replaced, given up; each function is part of its caller's transaction.

What moves a child's plan is in `daemon.lifecycle`; here is what a parent knows of it.
"""

import math
from collections.abc import Sequence

import msgspec

from daemon import actions, decisions, scheduling
from daemon.outline import Node
from store import damage, errors, locks, names, plans, subplans
from store.database import Reader, Transaction
from store.records import Plan, PlanProject, Step, Subplan
from store.states import START, State

ACTIVE = frozenset({State.QUEUED, State.PROCESSING})
LEFT_OUT, DROPPED = "left_out", "dropped"


def create(tx: Transaction, parent: Plan, projects: Sequence[PlanProject], node: Node) -> None:
    """Make the plans of everything below `parent`, none of them with a job.

    Args:
        tx: The transaction.
        parent: The plan whose steps were resolved.
        projects: Its projects.
        node: What it comes to.
    """
    number = subplans.made(tx, parent.plan_id)
    for step in node.steps:
        for position, child in enumerate(node.children.get(step.id, [])):
            number += 1
            plan = _plan(tx, parent, f"{parent.name}.{number}", child.node)
            mine = [msgspec.structs.replace(one, plan_id=plan.plan_id) for one in _projects(projects, step)]
            row = Subplan(
                plan_id=plan.plan_id,
                parent_plan_id=parent.plan_id,
                step_id=step.id,
                position=position,
                item=child.item,
                needs_json=msgspec.json.encode(child.needs).decode(),
                paths_json=msgspec.json.encode(child.paths).decode(),
                timeout_s=_timeout(step),
                resolved=int(child.node.decided_by is None),
            )
            _insert(tx, parent, plan, mine, row)
            create(tx, plan, mine, child.node)


def of_steps(tx: Transaction, plan_id: str, steps: Sequence[Step]) -> list[Subplan]:
    """The children of these steps of a plan."""
    return [row for step in steps if step.kind == "subplans" for row in subplans.of_step(tx, plan_id, step.step_id)]


def replace(tx: Transaction, parent: Plan, row: Subplan) -> None:
    """Another plan takes the place of a child that was given up; what it comes to is decided anew when it starts."""
    old = plans.get(tx, row.plan_id)
    assert old is not None, "a plan is never deleted"
    subplans.forget(tx, old.plan_id)
    number = subplans.made(tx, parent.plan_id) + 1
    plan = _fresh(tx, old, plan_id=names.new_ulid(tx.now), name=f"{parent.name}.{number}")
    projects = [_untouched(one, plan.plan_id) for one in plans.projects(tx, old.plan_id)]
    fresh = msgspec.structs.replace(
        row,
        plan_id=plan.plan_id,
        resolved=0,
        starts=0,
        retry=0,
        fate=None,
        admitted=None,
        integrated_at=None,
        tips_json=None,
    )
    _insert(tx, parent, plan, projects, fresh)
    detail = {"step": row.step_id, "item": row.item, "child": old.plan_id, "by": plan.plan_id}
    tx.event("subplan.replaced", plan_id=parent.plan_id, **detail)


def leave_out(tx: Transaction, parent: Plan, row: Subplan) -> None:
    """The parent goes on without a child that somebody cancelled."""
    subplans.update(tx, row.plan_id, fate=LEFT_OUT)
    decisions.decide(
        tx, parent.plan_id, decisions.root(tx, parent.plan_id), "user_intervention",
        question=f"What becomes of {row.item}?", choice="it is left out", reason="its child was cancelled",
    )  # fmt: skip
    tx.event("subplan.left-out", plan_id=parent.plan_id, step=row.step_id, item=row.item, child=row.plan_id)


def without_conflicts(tx: Transaction, child: Plan) -> None:
    """Forget the conflicts of a child: it is in its parent, or does not come to it as it is. A parent has those of one."""
    found = subplans.conflicts(tx, child.parent_plan_id) if child.parent_plan_id is not None else []
    if found and found[0].child_plan_id == child.plan_id:
        subplans.replace_conflicts(tx, found[0].plan_id, [])


def lock_paths(tx: Transaction, row: Subplan, project: str, owner: str, ttl: float) -> None:
    """Take the `file` locks of what a child declares to change.

    Raises:
        LockConflictError: somebody else holds one of them, or one above or below it.
    """
    paths = paths_of(row)
    for held in locks.of_files(tx, project) if paths else []:
        path = held.resource_id.removeprefix(f"{project}:")
        if held.owner_id != owner and not held.stale(tx.clock) and not scheduling.apart(paths, [path]):
            raise locks.conflict(held, tx.clock)
    # nobody else has any of them, so all are taken or none
    locks.acquire_all(tx, [("file", f"{project}:{path}") for path in paths], owner, ttl)


def paths_of(row: Subplan) -> list[str]:
    """What a child declares to change."""
    return damage.document(row, "paths_json", list[str])


def needs_of(row: Subplan) -> list[int]:
    """The positions of the children that have to be in the parent before it."""
    return damage.document(row, "needs_json", list[int])


def tips_of(row: Subplan) -> dict[str, tuple[str, str]]:
    """For each project the parent's commit and tree after a child's integration."""
    return damage.document(row, "tips_json", dict[str, tuple[str, str]])


def spec_of(db: Reader, row: Subplan) -> actions.SubplansSpec:
    """What the step of a child says."""
    step = next(one for one in plans.steps(db, row.parent_plan_id) if one.step_id == row.step_id)
    subplans_ = damage.document(step, "spec_json", actions.StepSpec).subplans
    assert subplans_ is not None, "only such a step has children"
    return subplans_


def runs_again(starts: int, code: str | None, spec: actions.SubplansSpec) -> bool:
    """Whether a child that failed is started again by itself; a conflict of its own is for somebody to settle."""
    return starts <= spec.retries and code != errors.MergeConflictError.code


def at_rest(db: Reader, plan: Plan) -> bool:
    """Whether nothing more happens to a plan by itself: a child may be about to be started by its parent."""
    if plan.state in ACTIVE and plan.job_id is not None:
        return False
    row = subplans.get(db, plan.plan_id) if plan.parent_plan_id is not None else None
    parent = plans.get(db, row.parent_plan_id) if row is not None else None
    if row is None or parent is None or plan.terminal or at_rest(db, parent):
        return True
    if plan.recoverable:
        return not row.retry and not runs_again(row.starts, decisions.error_of(plan).code, spec_of(db, row))
    return plan.state is State.COMPLETE


def _insert(tx: Transaction, parent: Plan, plan: Plan, projects: Sequence[PlanProject], row: Subplan) -> None:
    plans.insert(tx, plan, projects)
    subplans.insert(tx, row)
    detail = {"name": plan.name, "action": plan.action, "parent": parent.plan_id, "step": row.step_id, "item": row.item}
    tx.event("plan.created", plan_id=plan.plan_id, **detail)


def _plan(tx: Transaction, parent: Plan, name: str, node: Node) -> Plan:
    return _fresh(
        tx,
        parent,
        plan_id=names.new_ulid(tx.now),
        name=name,
        action=node.action.name,
        definition_json=msgspec.json.encode(node.action).decode(),
        arguments_json=msgspec.json.encode(node.arguments).decode(),
        profile_source="parent",
        parent_plan_id=parent.plan_id,
        root_plan_id=parent.root_plan_id,
        depth=parent.depth + 1,
    )


def _fresh(tx: Transaction, like: Plan, **changes: object) -> Plan:
    """A plan that stands at the beginning, in all else like another one."""
    return msgspec.structs.replace(
        like, phase=START.phase, state=START.state, reversions=0, attempt=0, revision=1, error_json=None, diff_json=None,
        applied_json=None, job_id=None, created_at=tx.now, updated_at=tx.now, started_at=None, finished_at=None,
        **changes,
    )  # fmt: skip


def _timeout(step: actions.StepSpec) -> int:
    assert step.subplans is not None, "only such a step has children"
    return math.ceil(step.subplans.timeout or 0)


def _projects(projects: Sequence[PlanProject], step: actions.StepSpec) -> list[PlanProject]:
    """The projects of a step's children: the one that it names, else all."""
    chosen = [one for one in projects if step.project in {None, one.project}]
    return [
        msgspec.structs.replace(_untouched(one, one.plan_id), position=position) for position, one in enumerate(chosen)
    ]


def _untouched(project: PlanProject, plan_id: str) -> PlanProject:
    """A project of a plan that has not begun."""
    return msgspec.structs.replace(
        project, plan_id=plan_id, sandbox_path=None, sandbox_status="absent", head=None, branch=None, modified=0,
        base=None, base_tree=None, tip=None, tip_tree=None, uncarried_json="[]",
    )  # fmt: skip
