"""Plans: made, moved, waited for. What is only looked at is in `plan_views`."""

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path

from daemon import (
    children,
    cleanup,
    commits,
    dry_run,
    environments,
    lookup,
    planning,
    previewing,
    protocol,
    refusals,
    show,
    undo,
    views,
)
from daemon.calls import Call, Table
from daemon.handlers import project as project_handlers
from daemon.moves import Outcome
from store import definitions, errors, names, plans, subplans
from store.config import Config
from store.database import Reader, Transaction
from store.records import Plan, Project
from store.states import Phase, Position, State


async def use(call: Call, request: protocol.PlanUse) -> views.PlanView:
    return await _made(call, request, _draft(call, request), priority=request.priority)


async def _made(
    call: Call, request: protocol.PlanUse | protocol.PlanRun, draft: planning.Draft, *, priority: int = 0
) -> views.PlanView:
    services = call.services
    plan_id = names.new_ulid(services.db.clock.now())
    await asyncio.to_thread(
        environments.save, services.paths.environments, plan_id, environments.decoded(request.environment)
    )

    def store(tx: Transaction) -> Plan:
        plan, projects = planning.store(tx, draft, plan_id, name=request.name, priority=priority, umask=request.umask)
        return services.lifecycle.use(tx, plan, projects)

    try:
        plan = await services.db.write(store)
    except errors.CleverAgentsError:  # the store refused; of anything else the outcome is not known here
        environments.remove(services.paths.environments, plan_id)
        raise
    return show.plan(services.db.read, plan, services.config)


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


async def run(call: Call, request: protocol.PlanRun) -> views.PlanView:
    """One command, as a plan that nobody has to write an action for."""
    directory = await asyncio.to_thread(Path(request.directory).resolve)
    project = await _project_of_run(call, request.project, directory)
    draft = planning.draft_run(
        call.services.paths,
        project,
        command=request.command,
        directory=directory,
        profile=request.profile,
        environment=environments.decoded(request.environment),
    )
    return await _made(call, request, draft)


async def _project_of_run(call: Call, name: str | None, directory: Path) -> Project:
    """The project that was named, or the one around `directory`; a git repository is registered when it is none yet."""
    db = call.services.db.read
    if name is not None:
        return lookup.project(db, name)
    found = planning.project_around(definitions.projects(db), directory)
    if found is not None:
        return found
    if directory.is_relative_to(call.services.paths.sandboxes.resolve()):
        raise errors.InvalidArgumentError(
            f"{directory} lies in the sandbox of a plan, and a sandbox is no project",
            detail={"directory": str(directory)},
            suggestions=["ca run --project PROJECT -- COMMAND"],
        )
    root = await asyncio.to_thread(planning.repository_around, directory)
    if root is None:
        raise errors.NotFoundError(
            f"{directory} lies in no registered project and in no git repository",
            detail={"directory": str(directory)},
            suggestions=[f"ca project add {shlex.quote(str(directory))}", "ca run --project PROJECT -- COMMAND"],
        )
    added = await project_handlers.add(call, protocol.ProjectAdd(path=str(root)))
    call.say(f"registered {root} as the project {added.name}")
    return lookup.project(db, added.name)


async def execute(call: Call, request: protocol.PlanExecute) -> views.PlanView:
    return await _move(call, request.plan, lambda tx, plan: call.services.lifecycle.execute(tx, plan.plan_id))


async def apply(call: Call, request: protocol.PlanApply) -> views.PlanView:
    def move(tx: Transaction, plan: Plan) -> Outcome:
        payload = {"mode": _mode(call, request, plan), "allow_empty": request.allow_empty}
        return call.services.lifecycle.apply(
            tx, plan.plan_id, expect=request.expect, allow_empty=request.allow_empty, payload=payload
        )

    return await _move(call, request.plan, move)


async def preview(call: Call, request: protocol.PlanPreview) -> views.PlanPreviewView:
    plan = lookup.plan(call.services.db.read, request.plan)
    refusals.unless_allowed(plan, Position(Phase.APPLY, State.QUEUED))
    return await previewing.preview(call.services, plan, _mode(call, request, plan))


def _mode(call: Call, request: protocol.PlanApply | protocol.PlanPreview, plan: Plan) -> str:
    """The apply mode: flag, then environment, project and configuration; the projects of a plan are applied alike.

    Raises:
        InvalidArgumentError: they have different modes, or the flag is none.
    """
    _unless_mode(request.mode, plan)
    config = Config(call.services.paths.config_file, environments.decoded(request.environment))
    projects = plans.projects(call.services.db.read, plan.plan_id)
    modes = {p.project: str(config.get("apply.mode", project=p.project, flag=request.mode).value) for p in projects}
    mode, *others = dict.fromkeys(modes.values())
    if others:
        said = ", ".join(f"{chosen} for {project}" for project, chosen in modes.items())
        fitting = mode if all(project.kind == "git" for project in projects) else "worktree"
        raise errors.InvalidArgumentError(
            f"the projects of {plan.name} are applied in one mode, and apply.mode is {said}; say which",
            detail={"modes": modes},
            suggestions=[f"ca plan apply {plan.name} --mode {fitting}"],
        )
    return mode


def _unless_mode(flag: str | None, plan: Plan) -> None:
    if flag is None or flag.strip() in commits.MODES:
        return
    near = names.nearest(flag, commits.MODES)
    hint = f"did you mean {near}?" if near else f"it is one of {', '.join(commits.MODES)}"
    raise errors.InvalidArgumentError(
        f"there is no apply mode {flag!r}; {hint}",
        detail={"mode": flag, "modes": commits.MODES},
        suggestions=[f"ca plan apply {plan.name} --mode {near or commits.MODES[0]}"],
    )


async def cancel(call: Call, request: protocol.PlanCancel) -> views.PlanView:
    """Answered when the plan has come to rest: cancelled, or whatever its phase came to in the same moment."""
    db = call.services.db.read
    found = lookup.plan(db, request.plan)

    def move(tx: Transaction) -> tuple[Outcome, list[Plan]]:
        below = subplans.unfinished(tx, found.plan_id)
        return call.services.lifecycle.cancel(tx, found.plan_id, request.reason), below

    outcome, below = await call.services.db.write(move)
    call.say(outcome.message)
    plan = await _settled(call, found.plan_id, None)
    if plan is not None and plan.state is not State.CANCELLED:
        call.say(f"{plan.name} came to {plan.position} before the cancel reached it")
    elif plan is not None and outcome.message is None:
        stopped = len(below) - len(subplans.unfinished(db, plan.plan_id))
        call.say(f"{stopped} {'child was' if stopped == 1 else 'children were'} cancelled with it" if stopped else None)
        call.say(_without(db, plan))
    await cleanup.after(call.services, found.plan_id)
    return _shown(call, found.plan_id)


def _without(db: Reader, plan: Plan) -> str | None:
    """What the end of a child means for its parent; nothing when it does not count any more, or its parent is over."""
    row = subplans.get(db, plan.plan_id)
    parent = None if row is None else plans.get(db, row.parent_plan_id)
    if row is None or parent is None or parent.terminal:
        return None
    goes_on = f"`ca plan execute {parent.name}`"
    if children.at_rest(db, parent):
        return f"{goes_on} goes on without {row.item}"
    return f"{parent.name} ends in an error without {row.item}; {goes_on} then goes on without it"


async def revert(call: Call, request: protocol.PlanRevert) -> views.PlanView:
    found = lookup.plan(call.services.db.read, request.plan)
    await call.services.db.write(lambda tx: call.services.lifecycle.revert(tx, found.plan_id, request.reason))
    return _shown(call, found.plan_id)


async def undo_(call: Call, request: protocol.PlanUndo) -> views.PlanView:
    found = lookup.plan(call.services.db.read, request.plan)
    outcome = await undo.undo(call.services, found, keep_going=request.keep_going)
    call.say(outcome.message)
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
    return show.plan(call.services.db.read, outcome.plan, call.services.config)


async def _settled(call: Call, plan_id: str, timeout: float | None) -> Plan | None:
    """The plan when nothing more happens to it by itself; `None` after `timeout` seconds."""

    def at_rest() -> Plan | None:
        plan = plans.get(call.services.db.read, plan_id)
        return None if plan is None or not children.at_rest(call.services.db.read, plan) else plan

    child = subplans.get(call.services.db.read, plan_id)  # what it waits for happens to its parent
    return await call.services.feed.until(at_rest, plan_id=None if child else plan_id, timeout=timeout)


def _shown(call: Call, plan_id: str) -> views.PlanView:
    plan = plans.get(call.services.db.read, plan_id)
    assert plan is not None, "a plan is never deleted"
    return show.plan(call.services.db.read, plan, call.services.config)


async def dry_run_(call: Call, request: protocol.PlanDryRun) -> views.DryRunView:
    return await dry_run.dry_run(call.services, _draft(call, request), environments.decoded(request.environment))


TABLE: Table = {
    protocol.PlanUse: use,
    protocol.PlanDryRun: dry_run_,
    protocol.PlanRun: run,
    protocol.PlanExecute: execute,
    protocol.PlanApply: apply,
    protocol.PlanPreview: preview,
    protocol.PlanCancel: cancel,
    protocol.PlanRevert: revert,
    protocol.PlanUndo: undo_,
    protocol.PlanWait: wait,
}
