"""Actors: programs that carry out steps, or decide them."""

import hashlib

from daemon import actors, lookup, protocol, show, views
from daemon.calls import Call, Table
from daemon.handlers.definitions import is_registered
from store import definitions
from store.database import Transaction
from store.records import Actor


async def create(call: Call, request: protocol.ActorCreate) -> views.ActorView:
    definition = actors.parse(request.content, source=request.source)

    def store(tx: Transaction) -> Actor:
        existing = definitions.actor(tx, definition.name)
        if existing is not None and is_registered(call, request, "actor", definition.name, existing.content):
            return existing
        record = _record(tx, request.content, definition, existing)
        definitions.put_actor(tx, record)
        return record

    return show.actor(await call.services.db.write(store), definition)


def _record(tx: Transaction, content: bytes, definition: actors.Actor, existing: Actor | None) -> Actor:
    return Actor(
        name=definition.name,
        content=content.decode(),
        digest=hashlib.sha256(content).hexdigest(),
        description=definition.description,
        source="local",
        revision=existing.revision + 1 if existing else 1,
        created_at=existing.created_at if existing else tx.now,
        updated_at=tx.now,
    )


async def list_(call: Call, _request: protocol.ActorList) -> views.ActorsView:
    found = [show.actor(record, actors.parsed(record)) for record in definitions.actors(call.services.db.read)]
    return views.ActorsView(found, len(found))


async def show_(call: Call, request: protocol.ActorShow) -> views.ActorView:
    record = lookup.actor(call.services.db.read, request.actor)
    return show.actor(record, actors.parsed(record))


async def remove(call: Call, request: protocol.ActorRemove) -> views.RemovedView:
    def forget(tx: Transaction) -> str:
        name = lookup.actor(tx, request.actor).name
        definitions.remove_actor(tx, name)
        return name

    return views.RemovedView(await call.services.db.write(forget), removed=True)


TABLE: Table = {
    protocol.ActorCreate: create,
    protocol.ActorList: list_,
    protocol.ActorShow: show_,
    protocol.ActorRemove: remove,
}
