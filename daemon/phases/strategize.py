"""Strategize: read-only. Everything is checked and decided before anything runs; the base is taken here."""

from collections.abc import Sequence

import msgspec

from daemon import actions, checking, checkouts, children, outline, sandboxes, settling, snapshots, spawning
from daemon.decisions import decide
from daemon.phases import listing, planner
from daemon.phases.context import Context, sandbox_path, shown
from daemon.strategy_reader import Strategy
from store import plans, subplans
from store.database import Transaction
from store.records import PlanProject, Step
from store.states import StepState


async def run(context: Context) -> None:
    """Check, take the base of every project, store steps, children and decisions with the phase's completion."""
    await planner.end_earlier(context)
    await listing.end_earlier(context)
    actor = checking.check_actors(context.db.read, context.action, context.environment)
    names = [project.project for project in context.projects]
    checking.check_steps(context.action, context.action.steps, projects=names, environment=context.environment)
    bases = [await _take_base(context, project) for project in context.projects]
    if actor is None:
        strategy = Strategy(steps=context.action.steps)
    else:
        strategy = await planner.ask(context, actor, bases)
        checking.check_steps(context.action, strategy.steps, projects=names, environment=context.environment)
    node = await _resolve(context, bases, strategy)
    await context.write(lambda tx: _store(tx, context, bases, strategy, node))


async def _resolve(context: Context, bases: Sequence[planner.Base], strategy: Strategy) -> outline.Node | None:
    """The tree below the plan; None when there is none, or when it is known from when its parent's was resolved."""
    mine = subplans.get(context.db.read, context.plan.plan_id)
    if (mine is not None and mine.resolved) or not any(step.kind == "subplans" for step in strategy.steps):
        return None
    size = plans.family_size(context.db.read, context.plan.root_plan_id)
    async with listing.of_phase(context, bases, plans=size) as ground:
        return await outline.resolve(
            context.db.read,
            context.action,
            context.arguments,
            strategy.steps,
            depth=context.plan.depth,
            item=context.item,
            ground=ground,
        )


async def _take_base(context: Context, project: PlanProject) -> planner.Base:
    repository = context.repository_of(project)
    await _put_away(context, project)
    if context.plan.parent_plan_id is not None:
        return _base_of_child(project)
    uncarried = await context.blocking(snapshots.preflight, repository)
    await context.blocking(snapshots.prepare, repository)
    ref = f"{snapshots.PLAN_REFS}/{project.plan_id}/{context.name_of('base')}"
    return planner.Base(project, await context.blocking(snapshots.take, repository, ref), uncarried)


def _base_of_child(project: PlanProject) -> planner.Base:
    """What its parent was when it let the child begin; the refs of its parent keep it."""
    assert project.base is not None and project.base_tree is not None, "set when it was started"  # noqa: PT018  one fact
    snapshot = snapshots.Snapshot(commit=project.base, tree=project.base_tree, head=None, branch=None, modified=0)
    return planner.Base(project, snapshot, [])


async def _put_away(context: Context, project: PlanProject) -> None:
    """After a revert the old sandbox goes; what it holds is under the plan's refs first."""
    scratch = context.services.paths.sandboxes / context.plan.plan_id / settling.SCRATCH
    await context.blocking(checkouts.delete, scratch)
    if project.sandbox_status != "ready":
        return
    path = sandbox_path(context.services.paths, project)
    await context.blocking(sandboxes.put_away, context.repository_of(project), project.plan_id, path)
    await context.write(lambda tx: plans.update_project(tx, project, sandbox_status="removed", sandbox_path=None))


def _store(
    tx: Transaction, context: Context, bases: Sequence[planner.Base], strategy: Strategy, node: outline.Node | None
) -> None:
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
    root = _decide(tx, context, strategy)
    if node is not None:
        children.create(tx, context.plan, context.projects, node)
    spawning.record(tx, context.plan, strategy.steps, root)
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


def _decide(tx: Transaction, context: Context, strategy: Strategy) -> str:
    """Record what was decided; returns the decision that the others are below."""
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
    return root
