"""Plans after an error: guidance for the next attempt, and the way back to a checkpoint."""

from daemon import lookup, protocol, rollback, show, views
from daemon.calls import Call, Table
from store import errors, plans
from store.records import Plan
from store.states import Phase, State

GUIDANCE_LIMIT = 64 * 1024
"""Bytes of one guidance: it travels in the environment of the steps."""


async def prompt(call: Call, request: protocol.PlanPrompt) -> views.PlanView:
    services = call.services
    found = lookup.plan(services.db.read, request.plan)
    _check_text(found, request.text)
    plan = await services.db.write(lambda tx: services.lifecycle.prompt(tx, found.plan_id, request.text))
    verb = "revert" if plan.phase is Phase.APPLY else "execute"
    call.say(f"the next attempt of {plan.name} is told; start it with: ca plan {verb} {plan.name}")
    return show.plan(services.db.read, plan, services.config)


def _check_text(plan: Plan, text: str) -> None:
    size = len(text.encode())
    if not text.strip():
        problem = "the guidance is empty"
    elif size > GUIDANCE_LIMIT:
        problem = f"the guidance has {size} bytes; {GUIDANCE_LIMIT} are allowed"
    elif "\0" in text:
        problem = "the guidance holds a NUL character, which no environment can carry"
    else:
        return
    raise errors.InvalidArgumentError(
        problem, detail={"bytes": size, "limit": GUIDANCE_LIMIT}, suggestions=[f'ca plan prompt {plan.name} "…"']
    )


async def roll_back(call: Call, request: protocol.PlanRollback) -> views.PlanView:
    services = call.services
    found = lookup.plan(services.db.read, request.plan)
    plan = await rollback.roll_back(services, found.plan_id, request.step)
    waits = "apply" if plan.state is State.COMPLETE else "execute"
    call.say(f"{plan.name} stands at the checkpoint of step {request.step}; go on with: ca plan {waits} {plan.name}")
    return show.plan(services.db.read, plans.get(services.db.read, plan.plan_id) or plan, services.config)


TABLE: Table = {protocol.PlanPrompt: prompt, protocol.PlanRollback: roll_back}
