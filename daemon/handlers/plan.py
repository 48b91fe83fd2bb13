"""Plans: made, moved, waited for. What is only looked at is in `plan_views`."""

import asyncio
from collections.abc import Callable

import msgspec

from daemon import cleanup, environments, lookup, planning, protocol, show, undo, views
from daemon.calls import Call, Table
from daemon.lifecycle import ACTIVE, Outcome
from store import errors, names, plans
from store.config import Config
from store.database import Transaction
from store.records import Plan
from store.states import State


async def use(call: Call, request: protocol.PlanUse) -> views.PlanView:
    services = call.services
    draft = _draft(call, request)
    plan_id = names.new_ulid(services.db.clock.now())
    await asyncio.to_thread(
        environments.save, services.paths.environments, plan_id, environments.decoded(request.environment)
    )

    def store(tx: Transaction) -> Plan:
        plan, projects = planning.store(
            tx, draft, plan_id, name=request.name, priority=request.priority, umask=request.umask
        )
        return services.lifecycle.use(tx, plan, projects)

    try:
        plan = await services.db.write(store)
    except errors.CleverAgentsError:  # the store refused; of anything else the outcome is not known here
        environments.remove(services.paths.environments, plan_id)
        raise
    return show.plan(services.db.read, plan)


def _draft(call: Call, request: protocol.PlanUse | protocol.PlanDryRun) -> planning.Draft:
    return planning.draft(
        call.services.db.read,
        call.services.paths,
        action=request.action,
        projects=request.projects,
        arguments=request.arguments,
        profile=request.profile,
        environment=environments.decoded(request.environment),
    )


async def execute(call: Call, request: protocol.PlanExecute) -> views.PlanView:
    return await _move(call, request.plan, lambda tx, plan: call.services.lifecycle.execute(tx, plan.plan_id))


async def apply(call: Call, request: protocol.PlanApply) -> views.PlanView:
    def move(tx: Transaction, plan: Plan) -> Outcome:
        payload = {"mode": _mode(call, request, plan), "allow_empty": request.allow_empty}
        return call.services.lifecycle.apply(
            tx, plan.plan_id, expect=request.expect, allow_empty=request.allow_empty, payload=payload
        )

    return await _move(call, request.plan, move)


def _mode(call: Call, request: protocol.PlanApply, plan: Plan) -> str:
    """The apply mode: flag, then environment, project and configuration."""
    config = Config(call.services.paths.config_file, environments.decoded(request.environment))
    project = plans.projects(call.services.db.read, plan.plan_id)[0].project
    return str(config.get("apply.mode", project=project, flag=request.mode).value)


async def cancel(call: Call, request: protocol.PlanCancel) -> views.PlanView:
    """Answered when the plan has come to rest: cancelled, or whatever its phase came to in the same moment."""
    found = lookup.plan(call.services.db.read, request.plan)
    outcome = await call.services.db.write(lambda tx: call.services.lifecycle.cancel(tx, found.plan_id, request.reason))
    call.say(outcome.message)
    plan = await _settled(call, found.plan_id, None)
    if plan is not None and plan.state is not State.CANCELLED:
        call.say(f"{plan.name} came to {plan.position} before the cancel reached it")
    await cleanup.after(call.services, found.plan_id)
    return _shown(call, found.plan_id)


async def revert(call: Call, request: protocol.PlanRevert) -> views.PlanView:
    found = lookup.plan(call.services.db.read, request.plan)
    await call.services.db.write(lambda tx: call.services.lifecycle.revert(tx, found.plan_id, request.reason))
    return _shown(call, found.plan_id)


async def undo_(call: Call, request: protocol.PlanUndo) -> views.PlanView:
    found = lookup.plan(call.services.db.read, request.plan)
    _, skipped = await undo.undo(call.services, found, keep_going=request.keep_going)
    if skipped:
        call.say(f"left as they are, because they were changed since: {', '.join(skipped)}")
    return _shown(call, found.plan_id)


async def wait(call: Call, request: protocol.PlanWait) -> views.PlanView:
    found = lookup.plan(call.services.db.read, request.plan)
    plan = await _settled(call, found.plan_id, request.timeout)
    if plan is None:
        now = plans.get(call.services.db.read, found.plan_id) or found
        raise errors.TimedOutError(
            f"{now.name} is {now.position} after {request.timeout:.3g} s of waiting; it goes on",
            detail={"plan_id": now.plan_id, "phase": now.phase, "state": now.state, "waited": request.timeout},
            suggestions=[f"ca plan wait {now.name}", f"ca plan follow {now.name}"],
        )
    return _shown(call, found.plan_id)


async def _move(call: Call, text: str, move: Callable[[Transaction, Plan], Outcome]) -> views.PlanView:
    found = lookup.plan(call.services.db.read, text)
    outcome = await call.services.db.write(lambda tx: move(tx, found))
    call.say(outcome.message)
    return show.plan(call.services.db.read, outcome.plan)


async def _settled(call: Call, plan_id: str, timeout: float | None) -> Plan | None:
    """The plan when nothing more happens to it by itself; `None` after `timeout` seconds."""

    def at_rest() -> Plan | None:
        plan = plans.get(call.services.db.read, plan_id)
        return None if plan is None or (plan.state in ACTIVE and plan.job_id is not None) else plan

    return await call.services.feed.until(at_rest, plan_id=plan_id, timeout=timeout)


def _shown(call: Call, plan_id: str) -> views.PlanView:
    plan = plans.get(call.services.db.read, plan_id)
    assert plan is not None, "a plan is never deleted"
    return show.plan(call.services.db.read, plan)


async def dry_run(call: Call, request: protocol.PlanDryRun) -> views.DryRunView:
    draft = _draft(call, request)
    return views.DryRunView(
        action=draft.action.name,
        projects=[project.name for project in draft.projects],
        automation_profile=draft.profile,
        profile_source=draft.profile_source,
        arguments=draft.arguments,
        include=draft.action.sandbox.include,
        steps=msgspec.to_builtins(draft.action.steps),
    )


TABLE: Table = {
    protocol.PlanUse: use,
    protocol.PlanDryRun: dry_run,
    protocol.PlanExecute: execute,
    protocol.PlanApply: apply,
    protocol.PlanCancel: cancel,
    protocol.PlanRevert: revert,
    protocol.PlanUndo: undo_,
    protocol.PlanWait: wait,
}
