"""A child's change enters its parent: merged in the private repositories of all its projects, then recorded at once."""

import operator
from collections.abc import Mapping, Sequence

import msgspec

from daemon import actions, changes, checkouts, integrating, repositories, settling
from daemon.integrating import Integrated, Point
from daemon.phases.context import Context, shown
from store import crashpoints, errors, plans, subplans
from store.records import Conflict, Plan, PlanProject, Step


async def integrate(context: Context, step: Step, spec: actions.SubplansSpec, plan_id: str) -> None:
    """Merge one child into the plan's tip, or record what keeps it from fitting.

    Killed at any moment it is done again: the tip that the store names is what counts, and it says which children are in it.
    """
    child = plans.get(context.db.read, plan_id)
    assert child is not None, "a plan is never deleted"
    known = subplans.conflicts(context.db.read, context.plan.plan_id)
    mine = {project.project: project for project in context.projects}
    merged: dict[str, Integrated] = {}
    for project in plans.projects(context.db.read, plan_id):
        if project.strategy == "clone":
            asked = [one for one in known if one.project == project.project and one.child_plan_id == plan_id]
            settled = await _settled(context, mine[project.project], asked)
            merged[project.project] = await _merge(context, step, spec, child, project, mine[project.project], settled)
    crashpoints.reach("subplan.merged")
    lifecycle = context.services.lifecycle
    try:
        if any(one.conflicts for one in merged.values()):
            found = _conflicts(context.plan, child, merged, known)
            await context.write(lambda tx: lifecycle.conflicted(tx, context.claim, child, found))
        else:
            tips = {name: _tip(project, merged.get(name)) for name, project in mine.items()}
            overridden = {name: [shown(path) for path in one.overridden] for name, one in merged.items()}
            await context.write(lambda tx: lifecycle.integrated(tx, context.claim, child, tips, overridden))
            if any(one.child_plan_id == plan_id for one in known):  # nobody edits there any more
                scratch = context.services.paths.sandboxes / context.plan.plan_id / settling.SCRATCH
                await context.blocking(checkouts.delete, scratch)
    except errors.ChangeMovedError:
        return  # somebody took the child back; what becomes of it now is looked at again


async def _settled(context: Context, mine: PlanProject, asked: Sequence[Conflict]) -> list[Conflict]:
    """The conflicts for which something was chosen, of a parent that is still as it was looked at there."""
    chosen = [one for one in asked if one.taken is not None]
    if not chosen:
        return []
    tree, repository = mine.tip_tree or "", context.repository_of(mine)
    here = await context.blocking(changes.entries, repository, tree, [one.path for one in chosen])
    return [one for one in chosen if here.get(one.path) in {None, (one.parent_mode, one.parent)}]


async def _merge(  # noqa: PLR0917  both sides, and what is known of them
    context: Context,
    step: Step,
    spec: actions.SubplansSpec,
    child: Plan,
    its: PlanProject,
    mine: PlanProject,
    settled: Sequence[Conflict],
) -> Integrated:
    return await context.blocking(
        integrating.integrate,
        context.repository_of(mine),
        base=_point(its.base, its.base_tree),
        parent=_point(mine.tip, mine.tip_tree),
        child=_point(its.tip, its.tip_tree),
        strategy=spec.merge,
        ref=repositories.plan_ref(context.plan.plan_id, context.name_of(f"integrated/{step.step_id}")),
        message=f"{child.name} of plan {child.plan_id}",
        taken={one.path: _chosen(one) for one in settled},
    )


def _point(commit: str | None, tree: str | None) -> Point:
    assert commit is not None and tree is not None, "stored by now"  # noqa: PT018  one fact
    return Point(commit, tree)


def _chosen(conflict: Conflict) -> tuple[int, str] | None:
    if conflict.taken_mode is None or conflict.taken_blob is None:
        return None
    return conflict.taken_mode, conflict.taken_blob


def _tip(project: PlanProject, merged: Integrated | None) -> tuple[str, str]:
    """The project with the child in it; a project that the child does not have stays as it is."""
    if merged is None:
        return project.tip or "", project.tip_tree or ""
    assert merged.commit is not None and merged.tree is not None, "there is no conflict"  # noqa: PT018  one fact
    return merged.commit, merged.tree


def _conflicts(
    parent: Plan, child: Plan, merged: Mapping[str, Integrated], known: Sequence[Conflict]
) -> list[Conflict]:
    """The rows of all conflicts; what was chosen stays, unless it does not go together with another choice."""
    settled = {(one.project, one.path): one for one in known if one.taken and one.child_plan_id == child.plan_id}
    same = operator.attrgetter("base", "parent", "child")
    found: list[Conflict] = []
    for project, result in merged.items():
        for one in result.conflicts:
            row = Conflict(
                parent.plan_id, child.plan_id, len(found), project, one.path, one.kind,
                *(one.base or (None, None)), *(one.parent or (None, None)), *(one.child or (None, None)),
            )  # fmt: skip
            before = settled.get((project, one.path)) if one.path not in result.open else None
            if before is not None and same(before) == same(row):
                row = msgspec.structs.replace(
                    row, taken=before.taken, taken_mode=before.taken_mode, taken_blob=before.taken_blob
                )
            found.append(row)
    return found
