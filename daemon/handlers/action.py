"""Actions: reusable descriptions of work."""

from daemon import actions, lookup, protocol, show, views
from daemon.calls import Call, Table
from daemon.handlers.definitions import is_registered
from store import definitions, entities, plans
from store.database import Transaction
from store.records import Action


async def create(call: Call, request: protocol.ActionCreate) -> views.ActionView:
    definition = actions.parse(request.content, source=request.source)

    def store(tx: Transaction) -> Action:
        existing = definitions.action(tx, definition.name)
        if existing is not None:
            content = None if existing.archived else existing.content
            if is_registered(call, request, "action", definition.name, content):
                return existing
        content = request.content.decode()
        record = definitions.put_action(tx, definition.name, content, description=definition.description)
        entities.changed_here(tx, "action", record.name)
        return record

    return show.action(await call.services.db.write(store), definition)


def validate(call: Call, request: protocol.ActionValidate) -> views.ActionView:
    definition = actions.parse(request.content, source=request.source)
    existing = definitions.action(call.services.db.read, definition.name)
    if existing is not None:
        return show.action(existing, definition)
    now = call.services.db.clock.now()
    return show.action(Action(definition.name, "", "", definition.description, "local", 0, 0, now, now), definition)


def list_(call: Call, request: protocol.ActionList) -> views.ActionsView:
    found = definitions.actions(call.services.db.read, archived=request.archived)
    shown = [show.action(record, parsed(record)) for record in found]
    return views.ActionsView(shown, len(found))


def show_(call: Call, request: protocol.ActionShow) -> views.ActionView:
    record = lookup.action(call.services.db.read, request.action)
    return show.action(record, parsed(record))


async def remove(call: Call, request: protocol.ActionRemove) -> views.RemovedView:
    def forget(tx: Transaction) -> str:
        name = lookup.action(tx, request.action).name
        definitions.remove_action(tx, name)
        entities.changed_here(tx, "action", name)
        return name

    name = await call.services.db.write(forget)
    using = plans.unfinished_of_action(call.services.db.read, name)
    if using:
        call.say(f"plans that go on with their own copy of {name}: {', '.join(plan.name for plan in using[:5])}")
    return views.RemovedView(name, removed=True)


def parsed(record: Action) -> actions.Action:
    """The definition of a registered action."""
    return actions.parse(record.content, source=record.name)


TABLE: Table = {
    protocol.ActionCreate: create,
    protocol.ActionValidate: validate,
    protocol.ActionList: list_,
    protocol.ActionShow: show_,
    protocol.ActionRemove: remove,
}
