"""Plans, looked at."""

import asyncio

from daemon import changes, lookup, protocol, show, views
from daemon.calls import Call, Table
from daemon.phases import commands
from daemon.phases.context import project_of
from store import damage, errors, plans
from store.records import Plan, PlanProject
from store.states import StepState

FAILED = frozenset({StepState.FAILED, StepState.TIMED_OUT, StepState.LOST, StepState.CANCELLED})


async def list_(call: Call, request: protocol.PlanList) -> views.PlansView:
    db = call.services.db.read
    project = lookup.project(db, request.project).name if request.project else None
    found, total = plans.find(
        db,
        phase=request.phase,
        state=request.state,
        project=project,
        action=request.action,
        children=request.children,
        limit=request.limit,
    )
    return show.plan_list(db, found, total)


async def show_(call: Call, request: protocol.PlanShow) -> views.PlanView:
    db = call.services.db.read
    return show.plan(db, lookup.plan(db, request.plan))


async def tree(call: Call, request: protocol.PlanTree) -> views.PlanTreeView:
    db = call.services.db.read
    plan = lookup.plan(db, request.plan)
    return views.PlanTreeView([show.decision(one) for one in plans.decisions(db, plan.plan_id)], [])


async def errors_(call: Call, request: protocol.PlanErrors) -> views.PlanErrorsView:
    db = call.services.db.read
    plan = lookup.plan(db, request.plan)
    shown = show.plan(db, plan)
    failed = [step for step in plans.steps(db, plan.plan_id) if step.state in FAILED]
    return views.PlanErrorsView(
        plan_id=plan.plan_id,
        error=shown.error,
        steps=[
            views.FailedStepView(
                step.step_id, step.state, step.attempt, step.exit_code, step.log, commands.tail(step.log)
            )
            for step in failed
        ],
        next=shown.next,
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
