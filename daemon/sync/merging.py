"""A version of the server's meets what is here: taken over, kept apart, or in conflict. All of it inside one transaction.

Three versions decide: the server's that was taken over last (the base), the one in force here, and the server's new one.
Nobody's work is dropped: the version that loses a conflict is kept with the reason.
"""

from enum import Enum, auto
from typing import Literal

from msgspec.structs import replace

from daemon.sync.incoming import Incoming, nothing
from store import definitions, entities
from store.database import Transaction
from store.records import Entity

Policy = Literal["manual", "local_wins", "server_wins"]


class Effect(Enum):
    """What a version of the server's changed here."""

    NOTHING = auto()
    TAKEN = auto()
    REMOVED = auto()
    CONFLICT = auto()


def meet(tx: Transaction, new: Incoming, policy: Policy, *, keep: bool = False) -> Effect:
    """Take over a version of the server's, as far as nothing here stands against it.

    Args:
        tx: The transaction.
        new: The version.
        policy: Which side wins a conflict.
        keep: Keep what is replaced, though nothing of it is pending: it may be in none of the server's versions.
    """
    entity = entities.known(tx, new.kind, new.name)
    if _is_known(entity, new):
        return Effect.NOTHING
    here = entities.here(tx, entity)
    if entity.pending is None:
        return _take(tx, entity, new, here, loses=_why_kept(entity, here, keep=keep))
    if here == new.content:
        return _agree(tx, entity, new)
    if new.content == entity.content and not entity.in_conflict:
        # only its number is another one: what is pending here was made on this very content
        entities.settle(tx, _taken(entity, new))
        return Effect.NOTHING
    return conflict(tx, entity, new, policy)


def gone(tx: Transaction, entity: Entity, policy: Policy, *, foreign: bool) -> Effect:
    """The server has nothing of that name any more, not even that it was deleted.

    Args:
        tx: The transaction.
        entity: What was known of it.
        policy: Which side wins a conflict.
        foreign: It is another server than the one that had it: what is pending is new to it.
    """
    new = nothing(entity.kind, entity.whole_name)
    if entity.pending is not None and foreign:
        entities.settle(tx, _taken(entity, new))
        return Effect.NOTHING
    return meet(tx, new, policy, keep=True)


def own(tx: Transaction, new: Incoming) -> None:
    """A version of the server's is what was sent from here and not answered: what is pending now was made on it."""
    entity = _taken(entities.known(tx, new.kind, new.name), new)
    entities.settle(tx, entities.not_pending(entity) if entities.here(tx, entity) == new.content else entity)
    if new.content is not None:
        entities.mark_source(tx, new.kind, new.name, "synced")


def conflict(tx: Transaction, entity: Entity, new: Incoming, policy: Policy) -> Effect:
    """Both sides changed a definition, each without the other's change."""
    if policy == "local_wins":
        entities.keep_version(tx, entity, "server", new.content, revision=new.revision, reason="the local version won")
        entities.settle(tx, replace(_taken(entity, new), refused=None))
        return Effect.NOTHING
    if policy == "server_wins":
        here = entities.here(tx, entity)
        return _take(tx, entities.not_pending(entity), new, here, loses="the server's version won")
    entities.put(
        tx,
        replace(
            entity,
            theirs_revision=new.revision,
            theirs_content=new.content,
            theirs_at=new.changed_at,
            theirs_by=new.changed_by,
        ),
    )
    tx.event("sync.conflict", entity=entity.kind, name=entity.whole_name, revision=new.revision)
    return Effect.CONFLICT


def _is_known(entity: Entity, new: Incoming) -> bool:
    if entity.in_conflict:
        return (entity.theirs_revision, entity.theirs_content) == (new.revision, new.content)
    return (entity.revision, entity.content) == (new.revision, new.content)


def _agree(tx: Transaction, entity: Entity, new: Incoming) -> Effect:
    """Both sides made the same change."""
    entities.settle(tx, entities.not_pending(_taken(entity, new)))
    if new.content is not None:
        entities.mark_source(tx, new.kind, new.name, "synced")
    return Effect.NOTHING


def _taken(entity: Entity, new: Incoming) -> Entity:
    return entities.taken(entity, new.revision, new.content, new.changed_at, new.changed_by)


def _why_kept(entity: Entity, here: str | None, *, keep: bool) -> str | None:
    """Why the version that is in force here has to be kept when it is replaced, though nothing is pending; None if not."""
    if entity.kind == "project" or here is None:
        return None
    if keep:
        return "a full sync replaced it"
    return None if here == entity.content else "the server's version was taken over"


def _take(tx: Transaction, entity: Entity, new: Incoming, here: str | None, *, loses: str | None) -> Effect:
    """Nothing here stands against it; what is here is kept when it `loses` something by that."""
    changed = _taken(entity, new)
    if new.invalid is not None:
        entities.settle(tx, replace(changed, invalid=new.invalid))
        return Effect.NOTHING
    entities.settle(tx, changed)
    if here == new.content:
        if new.content is not None:
            entities.mark_source(tx, new.kind, new.name, "synced")
        return Effect.NOTHING
    if loses is not None:
        entities.keep_version(tx, entity, "local", here, revision=entity.revision, reason=loses)
    if new.content is None:
        _remove(tx, new)
        return Effect.REMOVED
    _put(tx, new, new.content)
    return Effect.TAKEN


def _remove(tx: Transaction, new: Incoming) -> None:
    if new.kind == "action":
        definitions.remove_action(tx, new.name)
    elif new.kind == "actor":
        definitions.remove_actor(tx, new.name)
    # the directory of a project stays registered: it is this user's own


def _put(tx: Transaction, new: Incoming, content: str) -> None:
    if new.kind == "action":
        definitions.put_action(tx, new.name, content, description=new.description, source="synced")
    elif new.kind == "actor":
        definitions.put_actor(tx, new.name, content, description=new.description, source="synced")
    else:
        entities.describe_project(tx, new.name, new.description)
