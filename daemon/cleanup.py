"""When a plan's sandboxes go, as `sandbox.cleanup` says; what they hold is under the plan's refs first."""

import asyncio
import logging

from daemon import checkouts, environments, pool, sandboxes, settling
from daemon.phases.context import Services, project_of, sandbox_path
from store import crashpoints, errors, plans
from store.database import Transaction
from store.records import Plan, PlanProject
from store.states import Phase, Position, State

log = logging.getLogger(__name__)


async def after(services: Services, plan_id: str) -> None:
    """Remove the sandboxes of a plan that is over, if they are to be removed; a failure is recorded, nothing is lost.

    So for all below it. A child that is complete needs its own no longer: its parent takes the commit.
    """
    plan = plans.get(services.db.read, plan_id)
    if plan is None:
        return
    applied = _is_applied(services, plan)
    await _clean(services, plan, applied=applied)
    for child in plans.below(services.db.read, plan_id) if plan.terminal else ():
        await _clean(services, child, applied=applied)
    if plan.state is State.CANCELLED:  # nothing runs in it any more, and it may hold secrets
        environments.remove(services.paths.environments, plan_id)


def _is_applied(services: Services, plan: Plan) -> bool:
    """Whether what the plan came to is in its projects; a child is a part of what its root came to."""
    root = plan if plan.parent_plan_id is None else plans.get(services.db.read, plan.root_plan_id)
    return root is not None and root.state is State.APPLIED


async def _clean(services: Services, plan: Plan, *, applied: bool) -> None:
    plan_id = plan.plan_id
    if plan.terminal:
        await asyncio.to_thread(checkouts.delete, services.paths.sandboxes / plan_id / settling.SCRATCH)
    for project in plans.projects(services.db.read, plan_id):
        wanted = str(services.config.value("sandbox.cleanup", project=project.project))
        if project.sandbox_status != "ready" or not _goes(plan, wanted, applied=applied):
            continue
        room = pool.SIZE if plan.terminal else pool.CROWD
        try:
            await remove(services, project, room=room)
        except errors.CleverAgentsError as error:
            log.warning("the sandbox %s could not be removed: %s", project.sandbox_path, error.message)
            text = error.message
            await services.db.write(lambda tx, text=text: tx.event("sandbox.kept", plan_id=plan_id, reason=text))


async def remove(services: Services, project: PlanProject, *, room: int = pool.SIZE) -> None:
    """Remove one sandbox and note it; what it holds is kept under the plan's refs.

    Args:
        services: What the work is done with.
        project: The plan's project.
        room: How many checkouts the pool may hold.

    Raises:
        CleverAgentsError: it cannot be kept or removed; then it is still there.
    """
    path = sandbox_path(services.paths, project)
    await asyncio.to_thread(sandboxes.remove, project_of(services.paths, project), project.plan_id, path, room=room)
    crashpoints.reach("sandbox.removed")

    def note(tx: Transaction) -> None:
        plans.update_project(tx, project, sandbox_status="removed")
        tx.event("sandbox.removed", plan_id=project.plan_id, project=project.project)

    await services.db.write(note)


def _goes(plan: Plan, wanted: str, *, applied: bool) -> bool:
    if plan.parent_plan_id is not None and plan.position == Position(Phase.EXECUTE, State.COMPLETE):
        return wanted != "manual"
    return plan.terminal and (wanted == "on_terminal" or (wanted == "on_apply" and applied))
