"""Shared definitions as people and scripts see them."""

from daemon import show, sync_views
from store import entities
from store.clock import rfc3339
from store.database import Reader
from store.records import Entity, EntityVersion


def conflict(db: Reader, entity: Entity) -> sync_views.SyncConflictView:
    """A definition with its three versions."""
    return sync_views.SyncConflictView(
        kind=entity.kind,
        name=entity.whole_name,
        namespace=entity.namespace,
        base=sync_views.SharedVersionView(
            entity.content, entity.revision, rfc3339(entity.changed_at), entity.changed_by or None
        ),
        local=sync_views.SharedVersionView(entities.here(db, entity), None, rfc3339(entity.pending_at), None),
        server=sync_views.SharedVersionView(
            entity.theirs_content, entity.theirs_revision, rfc3339(entity.theirs_at), entity.theirs_by or None
        ),
    )


def lost(version: EntityVersion) -> sync_views.LostVersionView:
    """A version that did not stay."""
    return sync_views.LostVersionView(
        kind=version.kind,
        name=f"{version.namespace}/{version.name}",
        origin=version.origin,
        revision=version.revision,
        content=version.content,
        reason=version.reason,
        created_at=show.moment(version.created_at),
    )


def unusable(entity: Entity) -> sync_views.InvalidEntityView:
    """A definition that one side does not take from the other, and why."""
    origin, reason = ("server", entity.invalid) if entity.invalid is not None else ("local", entity.refused)
    return sync_views.InvalidEntityView(entity.kind, entity.whole_name, origin, entity.revision, reason or "")
