"""Projects: registered directories."""

import asyncio
from pathlib import Path

from daemon import lookup, projects, protocol, show, snapshots, views
from daemon.calls import Call, Table
from store import definitions, entities, errors, names, plans
from store.database import Transaction
from store.records import Entity, Project


async def add(call: Call, request: protocol.ProjectAdd) -> views.ProjectView:
    found = await asyncio.to_thread(snapshots.inspect, Path(request.path))
    _refuse_our_own(found.path, call.services.paths.data)
    name = names.parse_name(request.name or _name_of(found.path), what="project name")

    def store(tx: Transaction) -> Project:
        existing = definitions.project_at(tx, str(found.path))
        if existing is not None and request.name in {None, existing.name}:
            call.say(f"{found.path} is registered already, as {existing.name}")
            return existing
        _refuse_overlap(definitions.projects(tx), name, found.path)
        project = Project(names.new_ulid(tx.now), name, str(found.path), found.kind, _description(tx, name), tx.now)
        definitions.add_project(tx, project)
        entities.changed_here(tx, "project", project.name)
        return project

    added = await call.services.db.write(store)
    return show.project(call.services.db.read, added)


def _description(tx: Transaction, name: str) -> str:
    """What the team server says of the project, if it knows it."""
    shared = entities.known(tx, "project", name)
    if shared.content is None or shared.invalid is not None:
        return ""
    return projects.parse(shared.content, source=name).description


def list_(call: Call, _request: protocol.ProjectList) -> views.ProjectsView:
    db = call.services.db.read
    found = [show.project(db, project) for project in definitions.projects(db)]
    found += [show.project_elsewhere(entity) for entity in entities.projects_elsewhere(db)]
    return views.ProjectsView(sorted(found, key=lambda project: project.name), len(found))


def show_(call: Call, request: protocol.ProjectShow) -> views.ProjectView:
    db = call.services.db.read
    found = lookup.any_project(db, request.project)
    return show.project(db, found) if isinstance(found, Project) else show.project_elsewhere(found)


async def remove(call: Call, request: protocol.ProjectRemove) -> views.RemovedView:
    def forget(tx: Transaction) -> str:
        project = lookup.any_project(tx, request.project)
        if isinstance(project, Entity):
            entities.changed_here(tx, "project", project.whole_name)
            return project.whole_name
        busy = plans.unfinished_of_project(tx, project.name)
        if busy:
            raise errors.LockConflictError(
                f"{project.name} has unfinished plans: {', '.join(plan.name for plan in busy[:5])}",
                detail={"plans": [plan.plan_id for plan in busy]},
                suggestions=[f"ca plan cancel {busy[0].name}"],
            )
        definitions.remove_project(tx, project.name)
        entities.changed_here(tx, "project", project.name)
        return project.name

    return views.RemovedView(await call.services.db.write(forget), removed=True)


def _name_of(path: Path) -> str:
    """A legal name made of a directory's own: lower case, other characters as `-`."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "-" for char in path.name.lower())
    return kept.strip("-_")[:64] or "project"


def _refuse_our_own(path: Path, data: Path) -> None:
    """The sandboxes and the private repositories are no part of a project, and no project is part of them."""
    data = data.resolve()
    if path.is_relative_to(data) or data.is_relative_to(path):
        raise errors.InvalidArgumentError(
            f"{path} and the data of CleverAgents at {data} lie inside one another, so it cannot be a project",
            detail={"path": str(path), "data": str(data)},
            suggestions=["ca project list"],
        )


def _refuse_overlap(known: list[Project], name: str, path: Path) -> None:
    for project in known:
        other = Path(project.path)
        if project.name == name and other != path:
            raise errors.InvalidArgumentError(
                f"{name} is registered already, for {other}",
                detail={"name": name, "path": str(other)},
                suggestions=[f"ca project add {path} --name {name}-2", f"ca project remove {name}"],
            )
        if other == path:
            raise errors.AlreadyRunningError(
                f"{path} is registered already, as {project.name}", suggestions=[f"ca project show {project.name}"]
            )
        if other in path.parents or path in other.parents:
            raise errors.InvalidArgumentError(
                f"{path} and the project {project.name} at {other} lie inside one another; "
                "two plans could change the same file",
                detail={"path": str(path), "project": project.name},
                suggestions=[f"use {project.name}", f"ca project remove {project.name}"],
            )


TABLE: Table = {
    protocol.ProjectAdd: add,
    protocol.ProjectList: list_,
    protocol.ProjectShow: show_,
    protocol.ProjectRemove: remove,
}
