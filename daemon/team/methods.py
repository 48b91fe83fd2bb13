"""The four methods of the sync. The server keeps definitions as text and does not read them: clients of other versions may."""

import hashlib
from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec

from daemon.team import cursors, rpc, wire
from daemon.team.access import Caller
from daemon.team.cursors import Cursor
from store import errors, names, team
from store.clock import rfc3339
from store.database import Database, Reader, Transaction

KEY_LIMIT = 200
"""Characters of an idempotency key."""
ANSWER_LIMIT = wire.BODY_LIMIT
"""Bytes of contents in the answer to a push."""

_full = msgspec.json.Decoder(wire.FullParams)
_pull = msgspec.json.Decoder(wire.PullParams)
_push = msgspec.json.Decoder(wire.PushParams)
_status = msgspec.json.Decoder(wire.StatusParams)


class Methods:
    """What the callers of one process ask for.

    `on_push` is told the namespace of each push once it is durable.
    """

    def __init__(self, db: Database, recent: team.Recent, on_push: Callable[[str], None]) -> None:
        self._db = db
        self._recent = recent
        self._on_push = on_push

    def of(self, caller: Caller) -> dict[str, rpc.Call]:
        """The methods as this caller may use them."""

        async def full(params: msgspec.Raw) -> object:
            return self._full(caller, rpc.decoded(params, _full))

        async def pull(params: msgspec.Raw) -> object:
            return self._pull(caller, rpc.decoded(params, _pull))

        async def push(params: msgspec.Raw) -> object:
            return await self._push(caller, rpc.decoded(params, _push))

        async def status(params: msgspec.Raw) -> object:
            return self._status(caller, rpc.decoded(params, _status))

        return {wire.FULL: full, wire.PULL: pull, wire.PUSH: push, wire.STATUS: status}

    def _full(self, caller: Caller, params: wire.FullParams) -> wire.FullResult:
        caller.check_reads(params.namespace)
        limit = _page_limit(params.limit)
        token = None if params.page_token is None else cursors.parse_page(params.page_token)
        db = self._db.read
        with team.snapshot(db):
            standing = team.standing(db, params.namespace)
            if token is None:
                cursor, after = Cursor.at(standing), ("", "")
            else:
                cursor, after = token.cursor, (token.kind, token.name)
                _check(db, params.namespace, cursor)
            page = team.alive(db, params.namespace, after, limit=limit, size=wire.PAGE_BYTES)
        following = cursors.PageToken(cursor, page.entities[-1].kind, page.entities[-1].name) if page.more else None
        return wire.FullResult(
            server_id=standing.server_id,
            epoch=standing.epoch,
            cursor=str(cursor),
            entities=[_entity(found) for found in page.entities],
            next_page_token=None if following is None else str(following),
        )

    def _pull(self, caller: Caller, params: wire.PullParams) -> wire.PullResult:
        caller.check_reads(params.namespace)
        limit = _page_limit(params.limit)
        cursor = _parsed(params.cursor, params.namespace)
        seen = cursor if params.seen is None else _parsed(params.seen, params.namespace)
        standing = self._recent.standing(params.namespace)
        if cursor == seen == Cursor.at(standing):  # nearly every pull: nothing is new
            return _pulled(standing, standing.newest, team.Page([], more=False))
        db = self._db.read
        with team.snapshot(db):
            standing = team.standing(db, params.namespace)
            _check(db, params.namespace, cursor)
            _check(db, params.namespace, seen)
            page = team.changed(db, params.namespace, cursor.position.revision, limit=limit, size=wire.PAGE_BYTES)
            reached = standing.newest
            if page.more:
                reached = team.position_at(db, params.namespace, page.entities[-1].revision)
        return _pulled(standing, reached, page)

    def _status(self, caller: Caller, params: wire.StatusParams) -> wire.StatusResult:
        caller.check_reads(params.namespace)
        db = self._db.read
        with team.snapshot(db):
            standing = team.standing(db, params.namespace)
            return wire.StatusResult(
                server_id=standing.server_id,
                epoch=standing.epoch,
                cursor=str(Cursor.at(standing)),
                entities=team.count(db, params.namespace),
            )

    async def _push(self, caller: Caller, params: wire.PushParams) -> msgspec.Raw:
        caller.check_writes(params.namespace)
        _check_push(params)
        cursor = None if params.cursor is None else _parsed(params.cursor, params.namespace)
        digest = hashlib.sha256(msgspec.json.encode((params.namespace, params.changes))).hexdigest()

        def write(tx: Transaction) -> str:
            if cursor is not None:
                _check(tx, params.namespace, cursor)
            if (answered := team.answered(tx, params.namespace, params.idempotency_key)) is not None:
                return _same_request(answered, digest)
            answer = msgspec.json.encode(_take_over(tx, params, caller.name)).decode()
            team.remember(tx, params.namespace, params.idempotency_key, digest, answer)
            return answer

        answer = await self._db.write(write)
        self._on_push(params.namespace)
        return msgspec.Raw(answer)


def _page_limit(limit: int | None) -> int:
    if limit is None:
        return wire.PAGE_DEFAULT
    if limit < 1:
        raise errors.InvalidArgumentError("limit is at least 1", detail={"what": "limit", "value": limit})
    return min(limit, wire.PAGE_LIMIT)


def _pulled(standing: team.Standing, reached: team.Position, page: team.Page) -> wire.PullResult:
    return wire.PullResult(
        server_id=standing.server_id,
        epoch=standing.epoch,
        cursor=str(Cursor(standing.epoch, reached)),
        changes=[_entity(found) for found in page.entities],
        more=page.more,
    )


def _parsed(text: str, namespace: str) -> Cursor:
    """A client's cursor; one that cannot be read may be of another version of the server, and is as good as too old."""
    try:
        return cursors.parse(text)
    except errors.InvalidArgumentError as error:
        raise _full_sync_required(namespace) from error


def _check(db: Reader, namespace: str, cursor: Cursor) -> Cursor:
    """See that a cursor is a place in this database's history, and nothing after it is forgotten."""
    if not team.knows(db, namespace, *cursor):
        raise _full_sync_required(namespace)
    return cursor


def _full_sync_required(namespace: str) -> rpc.Failure:
    message = "the cursor is not of this server's history, or too old: a full sync is needed"
    return rpc.Failure(wire.FULL_SYNC_REQUIRED, "full_sync_required", message, {"namespace": namespace})


def _entity(found: team.Entity) -> wire.Entity:
    return wire.Entity(
        kind=cast("wire.Kind", found.kind),
        namespace=found.namespace,
        name=found.name,
        revision=found.revision,
        content=found.content,
        digest=found.digest,
        deleted=bool(found.deleted),
        updated_at=rfc3339(found.updated_at) or "",
        updated_by=found.updated_by,
    )


# --- pushing -----------------------------------------------------------------------------------------------------------


def _check_push(params: wire.PushParams) -> None:
    """What is wrong with a push as a whole; nothing of it is taken over then."""
    if len(params.changes) > wire.PUSH_LIMIT:
        raise errors.InvalidArgumentError(
            f"a push has {wire.PUSH_LIMIT} changes at most, not {len(params.changes)}", detail={"what": "changes"}
        )
    if not 0 < len(params.idempotency_key) <= KEY_LIMIT:
        raise errors.InvalidArgumentError(
            f"an idempotency key has 1 to {KEY_LIMIT} characters", detail={"what": "idempotency_key"}
        )
    for change in params.changes:
        if (change.base_revision or 0) < 0:
            raise errors.InvalidArgumentError("a base revision is at least 0", detail={"what": "base_revision"})
        if change.digest is not None and change.digest.removeprefix("sha256:") != _digest(change.content):
            message = (
                f"the content of the {change.kind} {change.name[:64]!r} does not have the digest that came with it"
            )
            metadata = {"kind": change.kind, "name": change.name[:64]}
            raise rpc.Failure(wire.INVALID_ENTITY, "invalid_argument", message, metadata)


def _digest(content: str | None) -> str | None:
    return None if content is None else hashlib.sha256(content.encode()).hexdigest()


def _same_request(answered: tuple[str, str], digest: str) -> str:
    """The answer that was given before, if it was to the same changes."""
    known, answer = answered
    if known != digest:
        raise errors.SyncConflictError(
            "the idempotency key was used for other changes: use a new one", detail={"what": "idempotency_key"}
        )
    return answer


def _take_over(tx: Transaction, params: wire.PushParams, by: str) -> wire.PushResults:
    results = [_result(tx, params.namespace, change, by) for change in params.changes]
    if sum(len(found.current.content or "") for found in results if found.current) > ANSWER_LIMIT:
        raise errors.SyncConflictError("too much has changed for one answer: pull, then push again")
    return wire.PushResults(results=results, cursor=str(Cursor.at(team.standing(tx, params.namespace))))


def _result(tx: Transaction, namespace: str, change: wire.Change, by: str) -> wire.PushResult:
    reason = _reason_against(namespace, change)
    if reason is not None:
        current = team.get(tx, namespace, change.kind, change.name)
        return _answered(change, "rejected", current.revision if current else None, reason=reason)
    verdict = team.push(
        tx, namespace, team.Change(change.kind, change.name, change.base_revision or 0, change.content), by
    )
    if verdict.accepted:
        return _answered(change, "accepted", verdict.revision)
    return _answered(change, "conflict", verdict.revision, current=verdict.current and _entity(verdict.current))


def _answered(
    change: wire.Change, status: Literal["accepted", "conflict", "rejected"], revision: int | None, **more: Any
) -> wire.PushResult:
    return wire.PushResult(kind=change.kind, name=change.name, status=status, revision=revision, **more)


def _reason_against(namespace: str, change: wire.Change) -> str | None:
    """Why a change can never be taken over."""
    try:
        names.parse_name(f"{namespace}/{change.name}", what=change.kind)
    except errors.InvalidArgumentError as error:
        return error.message
    if change.deleted:
        return None if change.content is None else "a deletion has no content"
    if not change.content:
        return "there is no content"
    size = len(change.content.encode())
    if size > wire.CONTENT_LIMIT:
        return f"the content has {size} bytes; {wire.CONTENT_LIMIT} is the limit"
    return None
