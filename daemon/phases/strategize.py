"""Strategize: read-only. Everything is checked and decided before anything runs; the base is taken here."""

import os
import shutil
from collections.abc import Sequence

import msgspec

from daemon import actions, actors, lookup, sandboxes, snapshots
from daemon.decisions import decide
from daemon.phases import planner
from daemon.phases.context import Context, sandbox_path, shown
from daemon.strategy_reader import Strategy
from store import errors, plans
from store.database import Transaction
from store.records import PlanProject, Step
from store.states import StepState


async def run(context: Context) -> None:
    """Check, take the base of every project, and store the steps and the decisions with the phase's completion."""
    await planner.end_earlier(context)
    actor = _check_actors(context)
    _check_steps(context, context.action.steps)
    bases = [await _take_base(context, project) for project in context.projects]
    if actor is None:
        strategy = Strategy(steps=context.action.steps)
    else:
        strategy = await planner.ask(context, actor, bases)
        _check_steps(context, strategy.steps)
    await context.write(lambda tx: _store(tx, context, bases, strategy))


async def _take_base(context: Context, project: PlanProject) -> planner.Base:
    repository = context.repository_of(project)
    await _put_away(context, project)
    uncarried = await context.blocking(snapshots.preflight, repository)
    await context.blocking(snapshots.prepare, repository)
    ref = f"{snapshots.PLAN_REFS}/{project.plan_id}/{context.name_of('base')}"
    return planner.Base(project, await context.blocking(snapshots.take, repository, ref), uncarried)


async def _put_away(context: Context, project: PlanProject) -> None:
    """After a revert the old sandbox goes; what it holds is under the plan's refs first."""
    if project.sandbox_status != "ready":
        return
    path = sandbox_path(context.services.paths, project)
    await context.blocking(sandboxes.remove, context.repository_of(project), project.plan_id, path)
    await context.write(lambda tx: plans.update_project(tx, project, sandbox_status="removed", sandbox_path=None))


def _check_actors(context: Context) -> actors.Actor | None:
    """That the actors are registered and their programs are there; returns the strategy actor, unless it is our own."""
    decider, worker = context.action.strategy_actor, context.action.execution_actor
    _refuse_as(context, "strategy_actor", decider, actors.SHELL, actors.STEPS)
    _refuse_as(context, "execution_actor", worker, actors.STEPS, actors.SHELL)
    if worker != actors.SHELL:
        _check_actor(context, worker)
    return None if decider == actors.STEPS else _check_actor(context, decider)


def _refuse_as(context: Context, key: str, actor: str, wrong: str, right: str) -> None:
    if actor == wrong:
        raise errors.InvalidActionError(
            f"{context.action.name} names {wrong} as {key}, which it cannot be; leave the key out for {right}",
            detail={"key": key, "actor": actor},
            suggestions=[f"{key}: {right}", "ca actor list"],
        )


def _check_actor(context: Context, name: str) -> actors.Actor:
    actor = actors.parsed(lookup.actor(context.db.read, name))
    actors.check_program(actor, {**context.environment, **context.action.env, **actor.env})
    return actor


def _check_steps(context: Context, steps: Sequence[actions.StepSpec]) -> None:
    """What cannot be carried out is refused before anything is done."""
    for step in steps:
        if step.kind == "subplans":
            raise errors.InvalidActionError(
                f"step {step.id} of {context.action.name} is a set of subplans; this version carries out "
                "`run` and `prompt` steps only",
                detail={"step": step.id, "kind": step.kind},
                suggestions=["describe the step as a command: run: …"],
            )
        if step.kind == "prompt" and context.action.execution_actor == actors.SHELL:
            raise errors.InvalidActionError(
                f"step {step.id} of {context.action.name} is a prompt, and {actors.SHELL} cannot carry one out; "
                "name an actor in the action (execution_actor: NAME), or describe the step as a command (run: …)",
                detail={"step": step.id, "kind": step.kind},
                suggestions=["ca actor list", "ca actor create FILE"],
            )
    _check_projects(context, steps)
    _check_shells(context, steps)


def _check_projects(context: Context, steps: Sequence[actions.StepSpec]) -> None:
    known = {project.project for project in context.projects}
    for step in steps:
        if step.project is not None and step.project not in known:
            raise errors.InvalidActionError(
                f"step {step.id} runs in {step.project}, which is not a project of this plan ({', '.join(sorted(known))})",
                detail={"step": step.id, "project": step.project},
            )


def _check_shells(context: Context, steps: Sequence[actions.StepSpec]) -> None:
    path = {**context.environment, **context.action.env}.get("PATH", os.defpath)
    for shell in {step.shell or context.action.shell for step in steps if step.kind == "run"}:
        if shutil.which(shell or "/bin/sh", path=path) is None:
            raise errors.NotFoundError(
                f"the shell {shell!r} of {context.action.name} is not on PATH",
                detail={"program": shell},
                suggestions=[f"install {shell}, or change PATH where you run `ca plan use`"],
            )


def _store(tx: Transaction, context: Context, bases: Sequence[planner.Base], strategy: Strategy) -> None:
    for base in bases:
        project, snapshot = base.project, base.snapshot
        left_out = [f"{shown(entry.path)}: {entry.reason}" for entry in base.uncarried]
        plans.update_project(
            tx, project,
            head=snapshot.head, branch=snapshot.branch, modified=snapshot.modified,
            base=snapshot.commit, base_tree=snapshot.tree, tip=snapshot.commit, tip_tree=snapshot.tree,
            uncarried_json=msgspec.json.encode(left_out).decode(),
        )  # fmt: skip
        if left_out:
            tx.event("project.uncarried", plan_id=project.plan_id, project=project.project, entries=left_out)
    plans.replace_steps(tx, context.plan.plan_id, _steps(context, strategy.steps))
    _decide(tx, context, strategy)
    context.services.lifecycle.complete(tx, context.claim)


def _steps(context: Context, steps: Sequence[actions.StepSpec]) -> list[Step]:
    return [
        Step(
            plan_id=context.plan.plan_id, step_id=spec.id, position=position, title=spec.title, kind=spec.kind,
            spec_json=msgspec.json.encode(spec).decode(), state=StepState.PENDING, attempt=0, exit_code=None,
            started_at=None, finished_at=None, deadline_at=None, log=None, exit_file=None, pid=None,
            process_start=None, boot_id=None,
        )
        for position, spec in enumerate(actions.order(steps))
    ]  # fmt: skip


def _decide(tx: Transaction, context: Context, strategy: Strategy) -> None:
    action, plan_id = context.action, context.plan.plan_id
    goal = action.description or action.name
    root = decide(
        tx, plan_id, None, "prompt_definition",
        question="What is to be done?", choice=goal, reason=action.definition_of_done,
    )  # fmt: skip
    for invariant in action.invariants:
        decide(
            tx, plan_id, root, "invariant_enforced",
            question="What must stay true?", choice=invariant, reason=f"declared by {action.name}",
        )  # fmt: skip
    for own in strategy.decisions:
        decide(tx, plan_id, root, own.kind, question=own.question, choice=own.choice, reason=own.reason)
    chosen = ", ".join(step.id for step in strategy.steps) or "no steps"
    decide(
        tx, plan_id, root, "strategy_choice",
        question="Which steps, in which order?", choice=chosen, reason=f"by {action.strategy_actor}",
    )  # fmt: skip
