"""Definitions: registered projects, actions and actors."""

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


def put_action(tx: Transaction, new: Action) -> None:
    """Add an action or take the place of the one of that name."""
    tx.execute(_SQL["remove_action"], (new.name,))
    rows.insert(tx, "actions", new)
    tx.event("action.stored", action=new.name, revision=new.revision)


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


def put_actor(tx: Transaction, new: Actor) -> None:
    """Add an actor or take the place of the one of that name."""
    tx.execute(_SQL["remove_actor"], (new.name,))
    rows.insert(tx, "actors", new)
    tx.event("actor.stored", actor=new.name, revision=new.revision)


def remove_actor(tx: Transaction, name: str) -> bool:
    """Whether there was one."""
    removed = tx.scalar(_SQL["remove_actor"], (name,)) is not None
    if removed:
        tx.event("actor.removed", actor=name)
    return removed
