"""Definitions: registered projects, actions and actors."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from store import damage, rows
from store.database import Reader, Transaction
from store.records import Action, Actor, Project

_SQL = rows.statements("definitions")


def project(db: Reader, name: str) -> Project | None:
    return db.one(Project, _SQL["project"], (name,))


def project_at(db: Reader, path: str) -> Project | None:
    return db.one(Project, _SQL["project_at"], (path,))


def projects(db: Reader) -> list[Project]:
    return db.all(Project, _SQL["projects"])


def add_project(tx: Transaction, new: Project) -> None:
    rows.insert(tx, "projects", new)
    tx.event("project.added", project=new.name)


def remove_project(tx: Transaction, name: str) -> bool:
    """Whether there was one."""
    removed = tx.scalar(_SQL["remove_project"], (name,)) is not None
    if removed:
        tx.event("project.removed", project=name)
    return removed


def action(db: Reader, name: str) -> Action | None:
    """One action.

    Raises:
        UnreadableRowError: it is not what was stored.
    """
    found = db.one(Action, _SQL["action"], (name,))
    if found is not None:
        damage.check_content(found)
    return found


def actions(db: Reader, *, archived: bool = False) -> list[Action]:
    return list(filter(damage.is_as_stored, db.all(Action, _SQL["actions"], {"archived": archived})))


def put_action(tx: Transaction, name: str, content: str, *, description: str, source: str | None = None) -> Action:
    """Add an action or take the place of the one of that name; unless it is said, its source stays what it was."""
    existing = _readable(action, tx, name)
    new = Action(
        name=name,
        content=content,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        description=description,
        source=source or (existing.source if existing else "local"),
        revision=existing.revision + 1 if existing else 1,
        archived=0,
        created_at=existing.created_at if existing else tx.now,
        updated_at=tx.now,
    )
    tx.execute(_SQL["remove_action"], (name,))
    rows.insert(tx, "actions", new)
    tx.event("action.stored", action=name, revision=new.revision)
    return new


def remove_action(tx: Transaction, name: str) -> bool:
    """Whether there was one."""
    removed = tx.scalar(_SQL["remove_action"], (name,)) is not None
    if removed:
        tx.event("action.removed", action=name)
    return removed


def archive_action(tx: Transaction, name: str) -> None:
    """An action that is not reusable made its plan."""
    tx.execute(_SQL["archive_action"], {"name": name, "now": tx.now})
    tx.event("action.archived", action=name)


def actor(db: Reader, name: str) -> Actor | None:
    """One actor.

    Raises:
        UnreadableRowError: it is not what was stored.
    """
    found = db.one(Actor, _SQL["actor"], (name,))
    if found is not None:
        damage.check_content(found)
    return found


def actors(db: Reader) -> list[Actor]:
    return list(filter(damage.is_as_stored, db.all(Actor, _SQL["actors"])))


def put_actor(tx: Transaction, name: str, content: str, *, description: str, source: str | None = None) -> Actor:
    """Add an actor or take the place of the one of that name; unless it is said, its source stays what it was."""
    existing = _readable(actor, tx, name)
    new = Actor(
        name=name,
        content=content,
        digest=hashlib.sha256(content.encode()).hexdigest(),
        description=description,
        source=source or (existing.source if existing else "local"),
        revision=existing.revision + 1 if existing else 1,
        created_at=existing.created_at if existing else tx.now,
        updated_at=tx.now,
    )
    tx.execute(_SQL["remove_actor"], (name,))
    rows.insert(tx, "actors", new)
    tx.event("actor.stored", actor=name, revision=new.revision)
    return new


def remove_actor(tx: Transaction, name: str) -> bool:
    """Whether there was one."""
    removed = tx.scalar(_SQL["remove_actor"], (name,)) is not None
    if removed:
        tx.event("actor.removed", actor=name)
    return removed


T = TypeVar("T", Action, Actor)


def _readable(read: Callable[[Reader, str], T | None], db: Reader, name: str) -> T | None:
    """A definition that is about to be replaced; one that cannot be read is as good as none."""
    try:
        return read(db, name)
    except damage.UnreadableRowError:
        return None
