"""When a plan's sandboxes go, as `sandbox.cleanup` says; what they hold is under the plan's refs first."""

import asyncio
import logging

from daemon import environments, sandboxes
from daemon.phases.context import Services, project_of, sandbox_path
from store import crashpoints, errors, plans
from store.database import Transaction
from store.records import Plan, PlanProject
from store.states import State

log = logging.getLogger(__name__)


async def after(services: Services, plan_id: str) -> None:
    """Remove the sandboxes of a plan that is over, if they are to be removed; a failure is recorded, nothing is lost."""
    plan = plans.get(services.db.read, plan_id)
    if plan is None or not plan.terminal:
        return
    if plan.state is State.CANCELLED:  # nothing runs in it any more, and it may hold secrets
        environments.remove(services.paths.environments, plan_id)
    for project in plans.projects(services.db.read, plan_id):
        wanted = str(services.config.value("sandbox.cleanup", project=project.project))
        if project.sandbox_status != "ready" or not _goes(plan, wanted):
            continue
        try:
            await remove(services, project)
        except errors.CleverAgentsError as error:
            log.warning("the sandbox %s could not be removed: %s", project.sandbox_path, error.message)
            text = error.message
            await services.db.write(lambda tx, text=text: tx.event("sandbox.kept", plan_id=plan_id, reason=text))


async def remove(services: Services, project: PlanProject) -> None:
    """Remove one sandbox and note it; what it holds is kept under the plan's refs.

    Raises:
        CleverAgentsError: it cannot be kept or removed; then it is still there.
    """
    path = sandbox_path(services.paths, project)
    await asyncio.to_thread(sandboxes.remove, project_of(services.paths, project), project.plan_id, path)
    crashpoints.reach("sandbox.removed")

    def note(tx: Transaction) -> None:
        plans.update_project(tx, project, sandbox_status="removed")
        tx.event("sandbox.removed", plan_id=project.plan_id, project=project.project)

    await services.db.write(note)


def _goes(plan: Plan, wanted: str) -> bool:
    return wanted == "on_terminal" or (wanted == "on_apply" and plan.state is State.APPLIED)
