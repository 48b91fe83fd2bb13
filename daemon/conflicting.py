"""The conflicts of a plan: with a child that is to enter it, or at Apply with what its project holds."""

import asyncio
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from daemon import changes, integrating, repositories, views
from daemon.changes import GITLINK, Version
from daemon.phases.context import Services, project_of, shown
from store import damage, errors, names, plans, records, subplans
from store.database import Reader
from store.records import Plan, PlanProject
from store.states import Phase, Position, State


class Found(msgspec.Struct, frozen=True):
    """A conflict with what people call its sides; of one with a child also its row, and what was to be merged."""

    project: PlanProject
    conflict: integrating.Conflict
    child: Plan
    item: str | None
    row: records.Conflict | None = None
    merge: integrating.Merge | None = None

    @property
    def path(self) -> str:
        return shown(self.conflict.path)


async def of(services: Services, plan: Plan) -> list[Found]:
    """All conflicts of a plan, settled ones included.

    Raises:
        CleverAgentsError: git failed, see `git.call`.
    """
    return of_children(services.db.read, plan) or await _of_apply(services, plan)


def of_children(db: Reader, plan: Plan) -> list[Found]:
    """The conflicts with the child that is next to enter the plan, settled ones included."""
    rows = subplans.conflicts(db, plan.plan_id)
    if not rows:
        return []
    child, mine = plans.get(db, rows[0].child_plan_id), subplans.get(db, rows[0].child_plan_id)
    assert child is not None, "a plan is never deleted"
    projects = {project.project: project for project in plans.projects(db, plan.plan_id)}
    its = {project.project: project for project in plans.projects(db, child.plan_id)}
    return [
        Found(
            project=projects[row.project],
            conflict=_conflict(row),
            child=child,
            item=mine.item if mine else None,
            row=row,
            merge=_merge(projects[row.project], its[row.project]),
        )
        for row in rows
    ]


def _merge(mine: PlanProject, its: PlanProject) -> integrating.Merge:
    assert mine.tip is not None, "the parent executes"
    assert its.base is not None, "the child was started"
    assert its.tip is not None, "the child is complete"
    return integrating.Merge(its.base, mine.tip, its.tip)


def _conflict(row: records.Conflict) -> integrating.Conflict:
    def version(mode: int | None, blob: str | None) -> Version | None:
        return (mode, blob) if mode is not None and blob is not None else None

    return integrating.Conflict(
        path=row.path,
        kind=row.kind,
        base=version(row.base_mode, row.base),
        parent=version(row.parent_mode, row.parent),
        child=version(row.child_mode, row.child),
    )


async def _of_apply(services: Services, plan: Plan) -> list[Found]:
    """The conflicts that an Apply met, as its error tells them."""
    if plan.position != Position(Phase.APPLY, State.CONSTRAINED) or plan.error_json is None:
        return []
    error = damage.document(plan, "error_json", views.ErrorView)
    if error.code != errors.MergeConflictError.code:
        return []
    found: list[Found] = []
    for project in plans.projects(services.db.read, plan.plan_id):
        told = [one for one in error.detail.get("files", []) if one["project"] == project.project]
        modes = await asyncio.to_thread(_modes, services, project) if told else {}
        found += [Found(project, _collision(one, modes), plan, None) for one in told]
    return found


def _collision(told: dict[str, Any], modes: dict[tuple[str, str], int]) -> integrating.Conflict:
    def version(blob: str | None) -> Version | None:
        if blob is None:
            return None
        known = modes.get((told["path"], blob))
        return (known or GITLINK if told["kind"] == "submodule" else known or 0o100644), blob

    return integrating.Conflict(
        path=os.fsencode(told["path"]),
        kind=told["kind"],
        base=version(told["base"]),
        parent=version(told["ours"]),
        child=version(told["theirs"]),
    )


def _modes(services: Services, project: PlanProject) -> dict[tuple[str, str], int]:
    """How git notes the modes of what differs between the base, the plan's result and what Apply found, by path and content."""
    repository = project_of(services.paths, project)
    assert project.base is not None and project.tip is not None, "Strategize stored them"  # noqa: PT018  one fact
    (before,) = repositories.resolve(repository, [repositories.plan_ref(project.plan_id, "applied/before")])
    ends = [project.tip, *filter(None, [before])]
    touched = [file for end in ends for file in changes.touched(repository, project.base, end)]
    sides = [(file.path, side) for file in touched for side in ((file.old, file.old_mode), (file.new, file.new_mode))]
    return {(shown(path), blob): mode for path, (blob, mode) in sides if blob and mode}


def named(plan: Plan, found: Sequence[Found], text: str) -> Found:
    """The conflict of a path, with its project in front where several have it.

    Raises:
        NotFoundError, AmbiguousError: none, or several.
    """
    whole = [one for one in found if text in {f"{one.project.project}:{one.path}", _short(one)}]
    fitting = whole or [one for one in found if text == one.path]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = [_short(one) for one in fitting]
        raise errors.AmbiguousError(
            f"{text!r} is in conflict in {len(fitting)} projects: {', '.join(listed)}",
            detail={"path": text, "candidates": listed},
            suggestions=[f"ca plan conflicts {plan.name} {listed[0]}"],
        )
    near = names.nearest(text, [one.path for one in found])
    others = "1 other file is" if len(found) == 1 else f"{len(found)} other files are" if found else "nothing is"
    said = f"did you mean {near!r}?" if near else others
    raise errors.NotFoundError(
        f"{text!r} is not in conflict in {plan.name}; {said}",
        detail={"plan_id": plan.plan_id, "path": text},
        suggestions=[f"ca plan conflicts {plan.name}"],
    )


def _short(one: Found) -> str:
    """How a path is told from the same one in another project."""
    return f"{one.project.project.removeprefix('local/')}:{one.path}"
