"""Conflicts of a plan: with a child that is to enter it, or at Apply with what its project holds; looked at, and settled."""

import asyncio
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from daemon import conflicting, git, lookup, protocol, refusals, settling, show, views
from daemon.calls import Call, Table
from daemon.changes import GITLINK, Version
from daemon.conflicting import Found
from daemon.phases.context import project_of, shown
from store import errors
from store.records import Plan
from store.states import Phase, Position, State

TEXT_BYTES = 1024 * 1024
"""The longest version that is shown as text."""
HEAD_BYTES = 8000
"""So much of a content decides whether it is text, as for git."""
SETTLED_AT = Position(Phase.EXECUTE, State.ERRORED)
TAKEN = ("parent", "child", "base", "edited", "file")
LABEL = 60
"""Characters of an item in a marker."""


async def conflicts(call: Call, request: protocol.PlanConflicts) -> views.PlanConflictsView:
    plan = lookup.plan(call.services.db.read, request.plan)
    found = await conflicting.of(call.services, plan)
    chosen = found if request.path is None else [conflicting.named(plan, found, request.path)]
    checkouts = await asyncio.to_thread(_checkouts, call, plan, found)
    listed = await _views(call, chosen, texts=request.path is not None)
    return views.PlanConflictsView(plan.plan_id, listed, len(found), checkouts)


async def resolve(call: Call, request: protocol.PlanResolve) -> views.MergeConflictView:
    services = call.services
    is_file = request.file is not None and Path(request.file).is_absolute()
    if request.take not in TAKEN or (request.take == "file") != is_file:
        raise errors.InvalidArgumentError(
            f"{request.take!r} is no version of a file" if request.take != "file" else "the file has no absolute path",
            detail={"take": request.take, "file": request.file},
            suggestions=[f"--take {'|'.join(TAKEN[:-1])}|PATH"],
        )
    plan = lookup.plan(services.db.read, request.plan)
    one = conflicting.named(plan, await conflicting.of(call.services, plan), request.path)
    if one.row is None:
        raise refusals.not_here(plan, _WITH_THE_PROJECT.format(path=one.path))
    if plan.position != SETTLED_AT:
        raise refusals.not_here(plan, "a conflict can be settled while the plan waits for it only")
    version = await asyncio.to_thread(_version, call, plan, one, request)
    mode, blob = version or (None, None)
    row = one.row
    await services.db.write(
        lambda tx: services.lifecycle.resolve(tx, plan.plan_id, row, request.take, mode=mode, blob=blob)
    )
    now = conflicting.of_children(services.db.read, plan)
    left = sum(other.row.taken is None for other in now if other.row)
    call.say(
        f"{left} more to settle: ca plan conflicts {plan.name}"
        if left
        else f"every conflict is settled; go on with: ca plan execute {plan.name}"
    )
    settled = [other for other in now if other.row and other.row.position == row.position]
    return (await _views(call, settled or [one], texts=False))[0]


_WITH_THE_PROJECT = (
    "{path!r} collides with what is in the project now, and that is yours to change: make room for the plan's change there and "
    "apply again, or start the plan anew from what is there with `ca plan revert`"
)


def _checkouts(call: Call, plan: Plan, found: Sequence[Found]) -> dict[str, str]:
    """Where the files that are still open can be edited, by project; made when it is not there yet."""
    if plan.position != SETTLED_AT:
        return {}
    waiting = {one.project.project: one for one in found if one.row and one.row.taken is None}
    return {name: shown(os.fsencode(_checkout(call, plan, one))) for name, one in waiting.items()}


def _checkout(call: Call, plan: Plan, one: Found) -> Path:
    directory = call.services.paths.sandboxes / plan.plan_id / settling.SCRATCH / one.project.project
    assert one.merge is not None, "only what a child brings can be edited"
    child = one.child.name if one.item is None else f"{one.child.name} ({' '.join(one.item.split())[:LABEL]})"
    labels = {"parent": plan.name, "child": child}
    settling.scratch(project_of(call.services.paths, one.project), one.merge, labels, directory)
    return directory


def _version(call: Call, plan: Plan, one: Found, request: protocol.PlanResolve) -> Version | None:
    """What was chosen; it is in the private repository then, under a ref of the plan."""
    if request.take in {"parent", "child", "base"}:
        return getattr(one.conflict, request.take)
    repository, directory = project_of(call.services.paths, one.project), _checkout(call, plan, one)
    if request.file is not None:
        version = settling.file(repository, directory, one.conflict, Path(request.file))
    else:
        version = settling.edited(repository, directory, one.conflict)
    settling.keep(repository, plan.plan_id, f"{plan.reversions}/resolved", one.conflict.path, version)
    return version


class _Beginning(io.BytesIO):
    """Keeps the beginning of what is written to it, and counts all of it."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit, self.size = limit, 0

    def write(self, piece: Any, /) -> int:
        self.size += len(piece)
        super().write(piece[: max(0, self._limit - self.tell())])
        return len(piece)


async def _views(call: Call, found: Iterable[Found], *, texts: bool) -> list[views.MergeConflictView]:
    by_project: dict[str, list[Found]] = {}
    for one in found:
        by_project.setdefault(one.project.project, []).append(one)
    return [
        view
        for mine in by_project.values()
        for view in await asyncio.to_thread(_views_of_project, call, mine, texts=texts)
    ]


def _views_of_project(call: Call, found: Sequence[Found], *, texts: bool) -> list[views.MergeConflictView]:
    repository = project_of(call.services.paths, found[0].project)
    sides = [side for one in found for side in (one.conflict.base, one.conflict.parent, one.conflict.child) if side]
    contents: dict[str, _Beginning] = {}
    with git.objects(repository.repository) as known:
        for blob in sorted({blob for mode, blob in sides if mode != GITLINK}):
            contents[blob] = _Beginning(TEXT_BYTES if texts else HEAD_BYTES)
            known.copy(blob, contents[blob])
    return [_view(one, contents, texts=texts) for one in found]


def _view(one: Found, contents: dict[str, _Beginning], *, texts: bool) -> views.MergeConflictView:
    def version(side: Version | None) -> views.VersionView | None:
        return side and _version_view(side, contents.get(side[1]), texts=texts)

    path, encoded = show.text(one.conflict.path)
    taken = one.row.taken if one.row else None
    return views.MergeConflictView(
        project=one.project.project,
        path=path,
        path_base64=encoded,
        kind=one.conflict.kind,
        status="open" if taken is None else "resolved",
        taken=taken,
        child_plan_id=one.child.plan_id,
        child_name=one.child.name,
        item=one.item,
        base=version(one.conflict.base),
        parent=version(one.conflict.parent),
        child=version(one.conflict.child),
    )


def _version_view(side: Version, content: _Beginning | None, *, texts: bool) -> views.VersionView:
    """A version as it is shown; of a submodule the commit, as git itself words it."""
    mode, blob = side
    if content is None:
        return views.VersionView(
            mode=f"{mode:06o}", blob=blob, bytes=0, binary=False, text=f"Subproject commit {blob}\n" if texts else None
        )
    start = content.getvalue()
    binary = b"\0" in start[:HEAD_BYTES]
    whole = texts and not binary and content.size <= TEXT_BYTES
    return views.VersionView(f"{mode:06o}", blob, content.size, binary, show.text(start)[0] if whole else None)


TABLE: Table = {protocol.PlanConflicts: conflicts, protocol.PlanResolve: resolve}
