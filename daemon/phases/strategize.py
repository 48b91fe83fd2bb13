"""Strategize: read-only. Everything is checked and decided before anything runs; the base is taken here."""

import shutil

import msgspec

from daemon import actions, sandboxes, snapshots
from daemon.lifecycle import decide
from daemon.phases.context import Context, sandbox_path, shown
from store import errors, plans
from store.database import Transaction
from store.records import PlanProject, Step
from store.states import StepState


async def run(context: Context) -> None:
    """Check, take the base of every project, and store the steps and the decisions with the phase's completion."""
    _check_steps(context)
    _check_programs(context)
    snaps: list[tuple[PlanProject, snapshots.Snapshot, list[snapshots.Uncarried]]] = []
    for project in context.projects:
        repository = context.repository_of(project)
        await _put_away(context, project)
        uncarried = await context.blocking(snapshots.preflight, repository)
        await context.blocking(snapshots.prepare, repository)
        ref = f"{snapshots.PLAN_REFS}/{project.plan_id}/{context.name_of('base')}"
        snaps.append((project, await context.blocking(snapshots.take, repository, ref), uncarried))
    await context.write(lambda tx: _store(tx, context, snaps))


async def _put_away(context: Context, project: PlanProject) -> None:
    """After a revert the old sandbox goes; what it holds is under the plan's refs first."""
    if project.sandbox_status != "ready":
        return
    path = sandbox_path(context.services.paths, project)
    await context.blocking(sandboxes.remove, context.repository_of(project), project.plan_id, path)
    await context.write(lambda tx: plans.update_project(tx, project, sandbox_status="removed", sandbox_path=None))


def _check_steps(context: Context) -> None:
    """What this version cannot carry out is refused before anything is done."""
    for step in context.action.steps:
        if step.kind != "run":
            what = "a prompt for an actor" if step.kind == "prompt" else "a set of subplans"
            raise errors.InvalidActionError(
                f"step {step.id} of {context.action.name} is {what}; this version carries out `run` steps only",
                detail={"step": step.id, "kind": step.kind},
                suggestions=["describe the step as a command: run: …"],
            )
    for field, builtin in (("strategy_actor", "builtin/steps"), ("execution_actor", "builtin/shell")):
        actor = getattr(context.action, field)
        if actor != builtin:
            raise errors.NotFoundError(
                f"{context.action.name} names the {field} {actor}, which is not registered; this version has {builtin}",
                detail={"actor": actor},
                suggestions=[f"{field}: {builtin}"],
            )
    known = {project.project for project in context.projects}
    for step in context.action.steps:
        if step.project is not None and step.project not in known:
            raise errors.InvalidActionError(
                f"step {step.id} runs in {step.project}, which is not a project of this plan ({', '.join(sorted(known))})",
                detail={"step": step.id, "project": step.project},
            )


def _check_programs(context: Context) -> None:
    path = context.environment.get("PATH")
    for shell in {step.shell or context.action.shell for step in context.action.steps}:
        if shutil.which(shell or "/bin/sh", path=path) is None:
            raise errors.NotFoundError(
                f"the shell {shell!r} of {context.action.name} is not on PATH",
                detail={"program": shell},
                suggestions=[f"install {shell}, or change PATH where you run `ca plan use`"],
            )


def _store(
    tx: Transaction, context: Context, snaps: list[tuple[PlanProject, snapshots.Snapshot, list[snapshots.Uncarried]]]
) -> None:
    for project, snapshot, uncarried in snaps:
        left_out = [f"{shown(entry.path)}: {entry.reason}" for entry in uncarried]
        plans.update_project(
            tx, project,
            head=snapshot.head, branch=snapshot.branch, modified=snapshot.modified,
            base=snapshot.commit, base_tree=snapshot.tree, tip=snapshot.commit, tip_tree=snapshot.tree,
            uncarried_json=msgspec.json.encode(left_out).decode(),
        )  # fmt: skip
        if left_out:
            tx.event("project.uncarried", plan_id=project.plan_id, project=project.project, entries=left_out)
    plans.replace_steps(tx, context.plan.plan_id, _steps(context))
    _decide(tx, context)
    context.services.lifecycle.complete(tx, context.claim)


def _steps(context: Context) -> list[Step]:
    specs = actions.order(context.action.steps)
    return [
        Step(
            plan_id=context.plan.plan_id, step_id=spec.id, position=position, title=spec.title, kind=spec.kind,
            spec_json=msgspec.json.encode(spec).decode(), state=StepState.PENDING, attempt=0, exit_code=None,
            started_at=None, finished_at=None, deadline_at=None, log=None, exit_file=None, pid=None,
            process_start=None, boot_id=None,
        )
        for position, spec in enumerate(specs)
    ]  # fmt: skip


def _decide(tx: Transaction, context: Context) -> None:
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
    chosen = ", ".join(step.id for step in action.steps) or "no steps"
    decide(
        tx, plan_id, root, "strategy_choice",
        question="Which steps, in which order?", choice=chosen, reason=f"by {action.strategy_actor}",
    )  # fmt: skip
