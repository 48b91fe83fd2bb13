"""What a team server answered: decoded strictly, and compared with what was asked."""

import hashlib
import re
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec

from daemon.sync import failures
from daemon.sync.origins import Endpoint
from daemon.team import wire
from store import errors, names

LIMIT = 32 * 1024 * 1024
"""Bytes of the longest answer: a page of the server's own limit, with every character escaped, has room."""

_MARK_LENGTH = 1024
_MARKS = frozenset({"server_id", "epoch", "cursor", "seen", "page_token", "next_page_token"})
_NUMBER = "number:"
"""What a cursor begins with here that was a number there."""
_MARK = re.compile(r"[!-~]+", re.ASCII)
T = TypeVar("T")


class _Error(msgspec.Struct, frozen=True):
    """An error of JSON-RPC, whose `data` may be anything that another version puts there."""

    code: int
    message: str
    data: Any = None


class _Answer(msgspec.Struct, frozen=True):
    jsonrpc: str
    id: str | int | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


def decode(endpoint: Endpoint, body: bytes | msgspec.Raw, kind: type[T]) -> T:
    """JSON as one of our types.

    Raises:
        ProtocolError: it is no JSON, or not of this type.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise failures.nonsense(endpoint, endpoint.quote(str(error))) from None  # it may quote the body


def result(endpoint: Endpoint, body: bytes, request_id: str, kind: type[T]) -> T:
    """The result in an answer of JSON-RPC to our request.

    Raises:
        CleverAgentsError: it is an error, or not an answer to this request.
    """
    answer = decode(endpoint, body, _Answer)
    if answer.jsonrpc != "2.0":
        raise failures.nonsense(endpoint, "it is not JSON-RPC 2.0")
    # A server that could not read the request does not know its id.
    if answer.id != request_id and not (answer.id is None and answer.error is not None):
        raise failures.nonsense(endpoint, "it answers another request")
    if answer.error is not None:
        said = wire.RpcError(code=answer.error.code, message=answer.error.message)
        raise failures.from_rpc(endpoint, said, _reason(answer.error.data))
    if not bytes(answer.result):
        raise failures.nonsense(endpoint, "it has neither a result nor an error")
    try:
        return msgspec.json.decode(answer.result, type=kind)
    except msgspec.DecodeError:
        return decode(endpoint, _with_text_marks(answer.result), kind)


def _with_text_marks(result: msgspec.Raw) -> bytes | msgspec.Raw:
    """A result whose cursors are text: they mean nothing to us, and another server may have numbers."""
    try:
        members = msgspec.json.decode(result, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return result
    for name in _MARKS & members.keys():
        if re.fullmatch(rb"[0-9]{1,18}", bytes(members[name])):
            members[name] = msgspec.Raw(b'"' + _NUMBER.encode() + bytes(members[name]) + b'"')
    return msgspec.json.encode(members)


def with_marks(params: msgspec.Struct) -> Any:
    """The parameters of a request, with the cursors of a server that has numbers as it gave them."""
    found = cast("dict[str, Any]", msgspec.to_builtins(params))
    for name in _MARKS & found.keys():
        mark = found[name]
        if isinstance(mark, str) and mark.startswith(_NUMBER):
            found[name] = int(mark.removeprefix(_NUMBER))
    return found


def message(endpoint: Endpoint, body: bytes) -> str | None:
    """What an error of HTTP says in the form of JSON-RPC; None when it is of another form."""
    try:
        answer = decode(endpoint, body, _Answer)
    except errors.ProtocolError:
        return None
    return answer.error.message if answer.error is not None else None


def check_entities(endpoint: Endpoint, entities: Iterable[wire.Entity]) -> None:
    """See that entities are of our namespace and what they say of themselves.

    Raises:
        ProtocolError: one is not; the message names it.
    """
    for entity in entities:
        reason = _wrong_with(endpoint, entity)
        if reason is not None:
            named = endpoint.quote(f"{entity.kind} {entity.namespace}/{entity.name}")
            raise failures.nonsense(endpoint, f"{named}: {reason}")


def check_results(endpoint: Endpoint, changes: list[wire.Change], answer: wire.PushResults) -> None:
    """See that the results of a push are those of its changes.

    Raises:
        ProtocolError: they are not.
    """
    asked = [(change.kind, change.name) for change in changes]
    if [(one.kind, one.name) for one in answer.results] != asked:
        raise failures.nonsense(endpoint, "the results are not those of the changes")
    for one in answer.results:
        if one.revision is not None and one.revision <= 0:
            raise failures.nonsense(endpoint, f"{one.kind} {one.name}: revision {one.revision}")
        if one.current is not None and (one.current.kind, one.current.name) != (one.kind, one.name):
            raise failures.nonsense(endpoint, f"{one.kind} {one.name}: its current version is of another name")
    check_entities(endpoint, [one.current for one in answer.results if one.current is not None])


def check_marks(endpoint: Endpoint, *marks: str | None) -> None:
    """See that cursors, tokens of pages and ids of servers are what can be stored, and sent back in a header.

    Raises:
        ProtocolError: one is empty, too long, or has other characters than visible ASCII.
    """
    for mark in marks:
        if mark is not None and (len(mark) > _MARK_LENGTH or not _MARK.fullmatch(mark)):
            raise failures.nonsense(endpoint, f"a malformed cursor or id: {endpoint.quote(mark)!r}")


def _reason(data: Any) -> str | None:
    """Our error code in the `data` of an error."""
    for item in cast("list[Any]", data) if isinstance(data, list) else []:
        try:
            return msgspec.convert(item, wire.ErrorInfo).reason
        except msgspec.ValidationError:  # of another type; A2A lets others stand beside it
            continue
    return None


def _wrong_with(endpoint: Endpoint, entity: wire.Entity) -> str | None:
    if entity.namespace != endpoint.namespace:
        return f"the namespace {endpoint.namespace!r} was asked for"
    try:
        names.parse_name(f"{entity.namespace}/{entity.name}")
    except errors.InvalidArgumentError as error:
        return endpoint.quote(str(error.detail["reason"]))
    if entity.revision <= 0:
        return f"revision {entity.revision}"
    if not entity.updated_by.isprintable() or len(entity.updated_by) > _MARK_LENGTH:
        return "the name of who changed it is malformed"
    return _wrong_with_content(entity)


def _wrong_with_content(entity: wire.Entity) -> str | None:
    if entity.deleted:
        return None
    if entity.content is None:
        return "its content is missing"
    content = entity.content.encode()
    if len(content) > wire.CONTENT_LIMIT:
        return f"its content has more than {wire.CONTENT_LIMIT} bytes"
    if entity.digest is None or entity.digest.removeprefix("sha256:") == hashlib.sha256(content).hexdigest():
        return None
    return "its digest does not fit its content"
