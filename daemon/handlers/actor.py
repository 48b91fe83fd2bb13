"""Actors: programs that carry out steps, or decide them."""

from daemon import actors, lookup, protocol, show, views
from daemon.calls import Call, Table
from daemon.handlers.definitions import is_registered
from store import definitions, entities
from store.database import Transaction
from store.records import Actor


async def create(call: Call, request: protocol.ActorCreate) -> views.ActorView:
    definition = actors.parse(request.content, source=request.source)

    def store(tx: Transaction) -> Actor:
        existing = definitions.actor(tx, definition.name)
        if existing is not None and is_registered(call, request, "actor", definition.name, existing.content):
            return existing
        content = request.content.decode()
        record = definitions.put_actor(tx, definition.name, content, description=definition.description)
        entities.changed_here(tx, "actor", record.name)
        return record

    return show.actor(await call.services.db.write(store), definition)


def list_(call: Call, _request: protocol.ActorList) -> views.ActorsView:
    found = [show.actor(record, actors.parsed(record)) for record in definitions.actors(call.services.db.read)]
    return views.ActorsView(found, len(found))


def show_(call: Call, request: protocol.ActorShow) -> views.ActorView:
    record = lookup.actor(call.services.db.read, request.actor)
    return show.actor(record, actors.parsed(record))


async def remove(call: Call, request: protocol.ActorRemove) -> views.RemovedView:
    def forget(tx: Transaction) -> str:
        name = lookup.actor(tx, request.actor).name
        definitions.remove_actor(tx, name)
        entities.changed_here(tx, "actor", name)
        return name

    return views.RemovedView(await call.services.db.write(forget), removed=True)


TABLE: Table = {
    protocol.ActorCreate: create,
    protocol.ActorList: list_,
    protocol.ActorShow: show_,
    protocol.ActorRemove: remove,
}
