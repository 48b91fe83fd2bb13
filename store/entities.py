"""Definitions that are shared with a team server: what it is known to have, and what happened here since.

What is in force here stays in the tables of actions, actors and projects (`store.definitions`). A definition of any namespace
but `local` has a row of its own besides, from its first change on, connected or not.
"""

import hashlib
import json

from msgspec.structs import replace

from store import damage, definitions, names, rows
from store.database import Reader, Transaction
from store.records import Entity, EntityVersion, SyncState
from store.sharing import PRIVATE

_SQL = rows.statements("entities")

_TOKEN = "token"  # noqa: S105  the name of a note, not a password


def get(db: Reader, kind: str, whole_name: str) -> Entity | None:
    """What is known of one definition."""
    return db.one(Entity, _SQL["entity"], _key(kind, whole_name))


def known(db: Reader, kind: str, whole_name: str) -> Entity:
    """The same; of one that was never shared, that nothing is known."""
    namespace, name = names.split_name(whole_name)
    return get(db, kind, whole_name) or Entity(kind, namespace, name)


def every(db: Reader, namespace: str) -> list[Entity]:
    return db.whole(Entity, _SQL["entities"], (namespace,))


def put(tx: Transaction, entity: Entity) -> None:
    """Note what is known of one now."""
    tx.execute(_SQL["put"], [getattr(entity, field) for field in entity.__struct_fields__])


def forget(tx: Transaction, entity: Entity) -> None:
    """Neither side has anything of it any more."""
    tx.execute(_SQL["forget"], _key(entity.kind, entity.whole_name))


def waiting(db: Reader, namespace: str) -> list[Entity]:
    """Changes made here that can be pushed, oldest first."""
    return db.all(Entity, _SQL["waiting"], (namespace,))


def pending(db: Reader, namespace: str) -> int:
    """How many there are."""
    return int(db.scalar(_SQL["waiting_count"], (namespace,)))


def conflicts(db: Reader, namespace: str) -> list[Entity]:
    """Definitions that were changed here and on the server, and wait for a choice."""
    return db.all(Entity, _SQL["conflicts"], (namespace,))


def conflicts_count(db: Reader, namespace: str) -> int:
    return int(db.scalar(_SQL["conflicts_count"], (namespace,)))


def unusable(db: Reader, namespace: str) -> list[Entity]:
    """Definitions that one side does not take from the other: `invalid` or `refused` says why."""
    return db.all(Entity, _SQL["unusable"], (namespace,))


def count(db: Reader, namespace: str) -> int:
    """How many shared definitions there are."""
    return int(db.scalar(_SQL["count"], (namespace,)))


def projects_elsewhere(db: Reader) -> list[Entity]:
    """Projects that the server knows and that have no directory here."""
    return db.all(Entity, _SQL["projects_elsewhere"])


def state(db: Reader, namespace: str) -> SyncState | None:
    """How far a namespace is in step with its server; None before its first full sync."""
    return db.one(SyncState, _SQL["state"], (namespace,))


def put_state(tx: Transaction, new: SyncState) -> None:
    tx.execute(_SQL["put_state"], [getattr(new, field) for field in new.__struct_fields__])


def versions(db: Reader, namespace: str) -> list[EntityVersion]:
    """The versions that lost, newest first."""
    return db.all(EntityVersion, _SQL["versions"], (namespace,))


def keep_version(
    tx: Transaction, entity: Entity, origin: str, content: str | None, *, revision: int, reason: str
) -> None:
    """Keep a version that is about to lose."""
    rows.insert(
        tx,
        "entity_versions",
        EntityVersion(
            names.new_ulid(tx.now),
            entity.kind,
            entity.namespace,
            entity.name,
            origin,
            revision,
            content,
            reason,
            tx.now,
        ),
    )


def changed_here(tx: Transaction, kind: str, whole_name: str) -> None:
    """A definition was made, changed or removed here, in this transaction: the server has to hear of it.

    One that is again as the server has it is no change any more; one that the server never had is forgotten when it is gone.
    """
    if names.split_name(whole_name)[0] in PRIVATE:
        return
    changed = as_pending(tx, replace(known(tx, kind, whole_name), refused=None))
    content = here(tx, changed)
    if changed.in_conflict and content == changed.theirs_content:
        changed = not_pending(with_theirs(changed))
    elif content == changed.content and not changed.in_conflict and changed.invalid is None:
        changed = not_pending(changed)
    settle(tx, changed)


def as_pending(tx: Transaction, entity: Entity) -> Entity:
    """The same with a change that the server does not have."""
    return replace(entity, pending=int(tx.scalar(_SQL["next_change"])), pending_at=tx.now)


def with_theirs(entity: Entity) -> Entity:
    """The same with the server's version of its conflict as the one that was taken over or overridden."""
    return taken(entity, entity.theirs_revision or 0, entity.theirs_content, entity.theirs_at, entity.theirs_by or "")


def not_pending(entity: Entity) -> Entity:
    """The same without a change that the server does not have."""
    return replace(entity, pending=None, pending_at=None, refused=None)


def settle(tx: Transaction, entity: Entity) -> None:
    """Note what is known of one; nothing, when neither side has or had it."""
    blank = Entity(entity.kind, entity.namespace, entity.name)
    if replace(entity, changed_at=None, changed_by="", digest=None) == blank:
        forget(tx, entity)
    else:
        put(tx, entity)


def taken(entity: Entity, revision: int, content: str | None, changed_at: int | None, changed_by: str) -> Entity:
    """The same with another version of the server's as the one that was taken over or overridden."""
    return replace(
        entity,
        revision=revision,
        content=content,
        digest=None if content is None else digest(content),
        changed_at=changed_at,
        changed_by=changed_by,
        invalid=None,
        theirs_revision=None,
        theirs_content=None,
        theirs_at=None,
        theirs_by=None,
    )


def here(db: Reader, entity: Entity) -> str | None:
    """The content of a definition as it is in force here; None when it is not there.

    A project's is what the server says of it: nothing but its directory can be changed here.
    """
    if entity.kind == "project":
        project = definitions.project(db, entity.whole_name)
        if project is None:
            return None if entity.pending else entity.content
        return entity.content or _text(project.name, project.kind, project.description)
    read = definitions.action if entity.kind == "action" else definitions.actor
    try:
        found = read(db, entity.whole_name)
    except damage.UnreadableRowError:  # nothing of it can be used, and nothing of it is sent anywhere
        return entity.content
    return found.content if found else None


def description_here(db: Reader, kind: str, whole_name: str, content: str | None) -> str | None:
    """The description of an action or actor when this very content is in force here; None when it is not."""
    if content is None or kind == "project":
        return None
    read = definitions.action if kind == "action" else definitions.actor
    try:
        found = read(db, whole_name)
    except damage.UnreadableRowError:
        return None
    return found.description if found is not None and found.content == content else None


def mark_source(tx: Transaction, kind: str, whole_name: str, source: str) -> None:
    """Say of an action or actor whether the server has it: `synced` or `local`."""
    statement = {"action": _SQL["source_of_action"], "actor": _SQL["source_of_actor"]}.get(kind)
    if statement is not None:
        tx.execute(statement, {"name": whole_name, "source": source})


def describe_project(tx: Transaction, whole_name: str, description: str) -> None:
    """Take over what the server says of a project that has its directory here."""
    if tx.execute(_SQL["describe_project"], {"name": whole_name, "description": description}):
        tx.event("project.described", project=whole_name)


def digest(content: str) -> str:
    """SHA-256 of a content, in hex."""
    return hashlib.sha256(content.encode()).hexdigest()


def bound_origin(db: Reader, token: str) -> str | None:
    """The origin that a token was given for; None when nothing is known of it."""
    known_digest, _, origin = str(db.scalar(_SQL["note"], (_TOKEN,)) or "").partition(" ")
    return origin if known_digest == digest(token) else None


def bind(tx: Transaction, token: str, origin: str) -> None:
    """A token was given for this origin; it goes to no other one."""
    if bound_origin(tx, token) != origin:
        tx.execute(_SQL["put_note"], (_TOKEN, f"{digest(token)} {origin}"))


def _text(name: str, kind: str, description: str) -> str:
    """What is told of a project: not where it is."""
    return f"name: {name}\nkind: {kind}\ndescription: {json.dumps(description, ensure_ascii=False)}\n"


def _key(kind: str, whole_name: str) -> dict[str, str]:
    namespace, name = names.split_name(whole_name)
    return {"kind": kind, "namespace": namespace, "name": name}
