"""The sync with the team server, asked for by hand."""

from daemon import protocol, sync_views
from daemon.calls import Call, Table
from daemon.sync import showing
from store import entities, errors

_NAMED = 5
"""Conflicts that a message names."""


async def run(call: Call, request: protocol.SyncRun) -> sync_views.SyncRunView:
    sync = call.daemon.sync
    outcome = await sync.run(request.what)
    open_ = _open_conflicts(call)
    if open_ is not None and request.what == "push":
        raise open_
    call.say(open_.message if open_ is not None else None)
    return sync_views.combined(sync.status(), pulled=outcome.pulled, removed=outcome.removed, pushed=outcome.pushed)


def _open_conflicts(call: Call) -> errors.SyncConflictError | None:
    found = entities.conflicts(call.services.db.read, call.daemon.sync.wanted().namespace)
    if not found:
        return None
    named = ", ".join(f"{entity.kind} {entity.whole_name}" for entity in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    first = found[0]
    return errors.SyncConflictError(
        f"changed here and on the team server: {named}{more}; what is here stays in force until you choose",
        detail={"conflicts": [{"kind": entity.kind, "name": entity.whole_name} for entity in found]},
        suggestions=["ca sync conflicts", f"ca sync resolve {first.kind} {first.whole_name} --take local"],
    )


def status(call: Call, _request: protocol.SyncStatus) -> sync_views.SyncView:
    call.daemon.sync.notice_settings()
    return call.daemon.sync.status()


def conflicts(call: Call, request: protocol.SyncConflicts) -> sync_views.SyncConflictsView:
    db, namespace = call.services.db.read, call.daemon.sync.wanted().namespace
    found = [showing.conflict(db, entity) for entity in entities.conflicts(db, namespace)]
    history = [showing.lost(version) for version in entities.versions(db, namespace)] if request.history else []
    return sync_views.SyncConflictsView(found, len(found), history)


async def resolve(call: Call, request: protocol.SyncResolve) -> sync_views.SyncConflictView:
    settled = await call.daemon.sync.engine().resolve(request.kind, request.name, request.take)
    if request.take == "local" and not call.daemon.sync.status().active:
        call.say("it is pushed with the next: ca sync now")
    return settled


TABLE: Table = {
    protocol.SyncRun: run,
    protocol.SyncStatus: status,
    protocol.SyncConflicts: conflicts,
    protocol.SyncResolve: resolve,
}
