"""Plans, looked at."""

import asyncio

from daemon import changes, lookup, protocol, show, views
from daemon.calls import Call, Table
from daemon.phases import commands
from daemon.phases.context import project_of
from store import damage, errors, plans, trees
from store.database import Reader
from store.records import Plan, PlanProject
from store.states import State, StepState

FAILED = frozenset({StepState.FAILED, StepState.TIMED_OUT, StepState.LOST, StepState.CANCELLED})


def list_(call: Call, request: protocol.PlanList) -> views.PlansView:
    db = call.services.db.read
    project = lookup.project(db, request.project).name if request.project else None
    filters = {"phase": request.phase, "state": request.state, "project": project, "action": request.action}
    if request.parent is not None:
        parent = lookup.plan(db, request.parent).plan_id
        found, total = trees.children(db, parent, **filters, limit=request.limit)
    else:
        found, total = plans.find(db, **filters, children=request.children, limit=request.limit)
    if request.children and request.parent is None:
        found = trees.in_order(db, trees.find(db, **filters, limit=request.limit))
    return show.plan_list(db, found, total, call.services.config)


def show_(call: Call, request: protocol.PlanShow) -> views.PlanView:
    db = call.services.db.read
    return show.plan(db, lookup.plan(db, request.plan), call.services.config)


def tree(call: Call, request: protocol.PlanTree) -> views.PlanTreeView:
    db = call.services.db.read
    top = lookup.plan(db, request.plan)
    return _tree(db, top)


def _tree(db: Reader, top: Plan) -> views.PlanTreeView:
    """Made from the leaves up: what is below a plan comes behind it."""
    found = trees.below(db, top.plan_id)
    ids = [plan.plan_id for plan in found]
    items = {one.plan_id: one.item for one in trees.subplans(db, ids)}
    decisions: dict[str, list[views.DecisionView]] = {plan_id: [] for plan_id in ids}
    for one in trees.decisions(db, ids):
        decisions[one.plan_id].append(show.decision(one))
    below: dict[str | None, list[views.PlanTreeView]] = {}
    for plan in reversed(found):
        made = views.PlanTreeView(
            plan_id=plan.plan_id,
            name=plan.name,
            item=items.get(plan.plan_id),
            phase=plan.phase,
            state=plan.state,
            decisions=decisions[plan.plan_id],
            children=below.pop(plan.plan_id, [])[::-1],
        )
        below.setdefault(plan.parent_plan_id, []).append(made)
    return below[top.parent_plan_id][0]


def errors_(call: Call, request: protocol.PlanErrors) -> views.PlanErrorsView:
    db = call.services.db.read
    plan = lookup.plan(db, request.plan)
    config = call.services.config
    shown = show.plan(db, plan, config)
    children, _ = trees.children(db, plan.plan_id, state=State.ERRORED)
    return views.PlanErrorsView(
        plan_id=plan.plan_id,
        error=shown.error,
        steps=_failed_steps(shown),
        children=[_failed_child(child) for child in show.plan_list(db, children, len(children), config).plans],
        next=shown.next,
    )


def _failed_steps(plan: views.PlanView) -> list[views.FailedStepView]:
    return [
        views.FailedStepView(step.id, step.state, step.attempt, step.exit_code, step.log, commands.tail(step.log))
        for step in plan.steps
        if step.state in FAILED
    ]


def _failed_child(plan: views.PlanView) -> views.FailedChildView:
    place = plan.subplan
    return views.FailedChildView(
        plan_id=plan.plan_id,
        name=plan.name,
        step=place.step if place else "",
        item=place.item if place else "",
        error=plan.error,
        steps=_failed_steps(plan),
        next=plan.next,
    )


async def diff(call: Call, request: protocol.PlanDiff) -> views.PlanDiffView:
    """Base against the last checkpoint; while Execute is not complete, what there is so far."""
    db = call.services.db.read
    plan = lookup.plan(db, request.plan)
    projects = plans.projects(db, plan.plan_id)
    if any(project.base is None for project in projects):
        raise errors.InvalidTransitionError(
            f"{plan.name} is {plan.position}; it has no change yet",
            detail={"plan_id": plan.plan_id},
            suggestions=[f"ca plan show {plan.name}"],
        )
    if plan.pruned_at is not None:
        raise errors.NotFoundError(
            f"{plan.name} ended longer ago than plan.retention; its change is no longer kept",
            detail={"plan_id": plan.plan_id, "pruned_at": show.moment(plan.pruned_at)},
        )
    files: list[views.FileView] = []
    patch = b""
    for project in projects:
        prefix, within = (f"{project.project}:", f"{project.project}/") if len(projects) > 1 else ("", "")
        found, text = await asyncio.to_thread(_changes, call, project, within)
        files += [show.file(change, prefix) for change in found.files]
        patch += text
    base = {project.project: project.base for project in projects}
    shown, encoded = show.text(patch)
    return views.PlanDiffView(plan.plan_id, _digest(plan, projects), base, files, shown, encoded)


def _changes(call: Call, project: PlanProject, within: str) -> tuple[changes.Changes, bytes]:
    repository = project_of(call.services.paths, project)
    base, tip = project.base or "", project.tip or ""
    return changes.diff(repository, base, tip), changes.patch(repository, base, tip, within=within)


def _digest(plan: Plan, projects: list[PlanProject]) -> str:
    if plan.diff_json is not None:
        return damage.document(plan, "diff_json", views.DiffStatView).digest
    return changes.digest([(project.base_tree or "", project.tip_tree or "") for project in projects])


TABLE: Table = {
    protocol.PlanList: list_,
    protocol.PlanShow: show_,
    protocol.PlanTree: tree,
    protocol.PlanErrors: errors_,
    protocol.PlanDiff: diff,
}
