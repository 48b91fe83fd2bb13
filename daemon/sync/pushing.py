"""What a push holds, and what its answer means: durable before it is sent, so that a lost answer is asked for again.

The same changes under the same key get the same answer from the server, whether it has carried them out already or not.
"""

import hashlib
from collections.abc import Iterable

import msgspec

from daemon.sync import merging
from daemon.sync.incoming import Incoming, nothing, read
from daemon.sync.merging import Policy
from daemon.team import wire
from store import entities, errors, names
from store.database import Transaction
from store.records import SyncState

BODY_BYTES = 4 * 1024 * 1024
"""A push ends when its contents have so many bytes; it always has one change."""


class Push(msgspec.Struct, frozen=True):
    """Changes on their way to the server; `numbers` are those of the pending changes that they were made of."""

    key: str
    changes: list[wire.Change]
    numbers: list[int]


class Answered(msgspec.Struct, frozen=True):
    """One change with what became of it; `current` is the server's version of a conflict."""

    change: wire.Change
    number: int
    result: wire.PushResult
    current: Incoming


def unanswered(state: SyncState) -> Push | None:
    """What was sent and not answered yet."""
    return None if state.push_json is None else msgspec.json.decode(state.push_json, type=Push)


def prepare(tx: Transaction, namespace: str) -> Push | None:
    """Note what is going to be sent; None when there is nothing."""
    state = entities.state(tx, namespace)
    changes: list[wire.Change] = []
    numbers: list[int] = []
    size = 0
    for entity in entities.waiting(tx, namespace):
        content = entities.here(tx, entity)
        if content == entity.content:
            continue  # what is here cannot be read: nobody knows what the change was
        size += len((content or "").encode())
        if changes and (size > BODY_BYTES or len(changes) == wire.PUSH_LIMIT):
            break
        changes.append(
            wire.Change(
                kind=msgspec.convert(entity.kind, wire.Kind),
                name=entity.name,
                base_revision=entity.revision,
                content=content,
                digest=None if content is None else entities.digest(content),
                deleted=content is None,
            )
        )
        numbers.append(entity.pending or 0)
    if state is None or not changes:
        return None
    push = Push(_key(namespace, changes), changes, numbers)
    entities.put_state(tx, msgspec.structs.replace(state, push_json=msgspec.json.encode(push).decode()))
    return push


def sent(state: SyncState) -> dict[tuple[str, str], str | None]:
    """What was sent and not answered yet: the content of each kind and name."""
    push = unanswered(state)
    return {(one.kind, f"{state.namespace}/{one.name}"): one.content for one in push.changes} if push else {}


def forget(tx: Transaction, namespace: str) -> None:
    """Nothing of what was sent was carried out; the changes are pending as before."""
    state = entities.state(tx, namespace)
    if state is not None:
        entities.put_state(tx, msgspec.structs.replace(state, push_json=None))


def answers(push: Push, found: wire.PushResults, namespace: str) -> list[Answered]:
    """Each change with its result; versions of the server's are read, which may take a while.

    Raises:
        ProtocolError: the results are not those of the changes.
    """
    asked = [(change.kind, change.name) for change in push.changes]
    if [(result.kind, result.name) for result in found.results] != asked:
        raise errors.TeamProtocolError(
            "the team server answered a push with the results of other changes", suggestions=["ca server status"]
        )
    return [
        Answered(change, number, result, _current(result, namespace))
        for change, number, result in zip(push.changes, push.numbers, found.results, strict=True)
    ]


def settle(
    tx: Transaction, namespace: str, answered: Iterable[Answered], cursor: str, policy: Policy
) -> tuple[int, int]:
    """Note what became of a push; how many changes the server took, and how many conflicts there are now.

    Args:
        tx: The transaction.
        namespace: Whose.
        answered: The changes with their results.
        cursor: The server's place after the push. What others did before it is not known here yet, so nothing is pulled
            from there; but a server that does not know this place any more has lost what it accepted.
        policy: Which side wins a conflict.
    """
    accepted = conflicts = 0
    for one in answered:
        match one.result.status:
            case "accepted":
                _accept(tx, namespace, one)
                accepted += 1
            case "conflict":
                conflicts += merging.meet(tx, one.current, policy) is merging.Effect.CONFLICT
            case "rejected":
                _refuse(tx, namespace, one)
    state = entities.state(tx, namespace)
    if state is not None:
        entities.put_state(tx, msgspec.structs.replace(state, push_json=None, pushed=cursor))
    if accepted:
        tx.event("sync.pushed", namespace=namespace, changes=accepted)
    return accepted, conflicts


def _accept(tx: Transaction, namespace: str, one: Answered) -> None:
    name, change = f"{namespace}/{one.change.name}", one.change
    entity = entities.known(tx, change.kind, name)
    if entity.invalid is not None:
        reason = "it could not be used here, and a change made here replaced it"
        entities.keep_version(tx, entity, "server", entity.content, revision=entity.revision, reason=reason)
    taken = entities.taken(entity, one.result.revision or 0, change.content, tx.now, "")
    if entities.here(tx, taken) == change.content:
        taken = entities.not_pending(taken)
    elif taken.pending is None:  # it was changed back while the push was on its way
        taken = entities.as_pending(tx, taken)
    entities.settle(tx, taken)
    if change.content is not None:
        entities.mark_source(tx, change.kind, name, "synced")


def _refuse(tx: Transaction, namespace: str, one: Answered) -> None:
    name = f"{namespace}/{one.change.name}"
    entity = entities.known(tx, one.change.kind, name)
    if entity.pending == one.number:  # else it was changed meanwhile, and may be taken now
        entities.put(tx, msgspec.structs.replace(entity, refused=one.result.reason or "the team server gave no reason"))
        tx.event("sync.refused", entity=entity.kind, name=name, reason=one.result.reason)


def _current(result: wire.PushResult, namespace: str) -> Incoming:
    name = f"{namespace}/{result.name}"
    return nothing(result.kind, name) if result.current is None else read(result.current)


def _key(namespace: str, changes: list[wire.Change]) -> str:
    return hashlib.sha256(msgspec.json.encode([namespace, changes])).hexdigest()


def whole_name(namespace: str, text: str) -> str:
    """A name as people write it, with the namespace that is shared."""
    return names.parse_name(text if "/" in text else f"{namespace}/{text}", what="definition")
