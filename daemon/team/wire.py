"""What a team server and its clients say to each other: JSON-RPC 2.0 over HTTP, in the dress of A2A 1.0.

Both ends use these types; the JSON schema in `docs/` is made of them. Sources: https://www.jsonrpc.org/specification,
https://a2a-protocol.org/v1.0.0/specification, and https://html.spec.whatwg.org/multipage/server-sent-events.html for the
event stream. Unknown fields are ignored, so that either end may be the newer one.
"""

from typing import Any, Literal

import msgspec

A2A_VERSION = "1.0"
VERSION_HEADER = "A2A-Version"
EXTENSION = "https://cleveragents.org/extensions/sync/v1"
"""The URI under which an agent card declares the methods below; it names them and need not be fetched."""
CARD_PATH = "/.well-known/agent-card.json"
RPC_PATH = "/a2a"
EVENTS_PATH = "/a2a/events"

FULL = "_cleveragents/sync/full"
PULL = "_cleveragents/sync/pull"
PUSH = "_cleveragents/sync/push"
STATUS = "_cleveragents/sync/status"

BODY_LIMIT = 8 * 1024 * 1024
"""Bytes of the longest request body."""
CONTENT_LIMIT = 1024 * 1024
"""Bytes of the longest content of an entity."""
PAGE_LIMIT, PAGE_DEFAULT = 1000, 500
"""Entities of a page, at most and when nothing is asked for."""
PAGE_BYTES = 4 * 1024 * 1024
"""A page ends when its contents have so many bytes; it always has one entity."""
PUSH_LIMIT = 500
"""Changes of one push at most."""
KEEP_ALIVE_SECONDS = 60.0
"""Between two comments on an event stream that has nothing to say."""

Kind = Literal["action", "actor", "project"]


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as the server has it.

    Attributes:
        name: Without the namespace.
        revision: Given by the server; grows over the whole namespace.
        content: The definition's YAML text; None when it is deleted.
        digest: SHA-256 of the content's UTF-8 bytes, in hex; None when it is deleted.
        updated_at: RFC 3339, UTC.
        updated_by: The name of the token that pushed it.
    """

    kind: Kind
    namespace: str
    name: str
    revision: int
    content: str | None = None
    digest: str | None = None
    deleted: bool = False
    updated_at: str = ""
    updated_by: str = ""


class FullParams(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is not deleted, page by page."""

    namespace: str
    page_token: str | None = None
    limit: int | None = None


class FullResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page.

    Attributes:
        cursor: Where pulls go on after the last page: the state when the first page was made.
        next_page_token: There when another page follows.
    """

    server_id: str
    epoch: str
    cursor: str
    entities: list[Entity]
    next_page_token: str | None = None


class PullParams(msgspec.Struct, frozen=True, kw_only=True):
    """What changed since a cursor, deletions included.

    Attributes:
        seen: A later cursor that the client was given by a push. When given, and the server's history is another one, a full
            sync is required, as for `cursor`.
    """

    namespace: str
    cursor: str
    seen: str | None = None
    limit: int | None = None


class PullResult(msgspec.Struct, frozen=True, kw_only=True):
    """A page of changes in the order of their revisions; `more` when another one follows at once."""

    server_id: str
    epoch: str
    cursor: str
    changes: list[Entity]
    more: bool


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that a client made.

    Attributes:
        base_revision: The revision that the client has seen; 0 or nothing when it knows of none.
        digest: When given, the server compares it with the content.
    """

    kind: Kind
    name: str
    base_revision: int | None = 0
    content: str | None = None
    digest: str | None = None
    deleted: bool = False


class PushParams(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to take over, each by itself.

    Attributes:
        idempotency_key: The same key with the same changes gets the same answer, and nothing is written twice.
        cursor: Where the client stands. When given, and the server's history is another one, nothing is taken over.
    """

    namespace: str
    changes: list[Change]
    idempotency_key: str
    cursor: str | None = None


class PushResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one change.

    Attributes:
        revision: The entity's on the server now; None when the server has nothing of that name.
        current: On a conflict the server's version; None when it has none.
        reason: Why it was rejected.
    """

    kind: Kind
    name: str
    status: Literal["accepted", "conflict", "rejected"]
    revision: int | None = None
    current: Entity | None = None
    reason: str | None = None


class PushResults(msgspec.Struct, frozen=True, kw_only=True):
    """In the order of the changes."""

    results: list[PushResult]
    cursor: str


class StatusParams(msgspec.Struct, frozen=True, kw_only=True):
    """Where a namespace stands."""

    namespace: str


class StatusResult(msgspec.Struct, frozen=True, kw_only=True):
    """`entities` is how many there are that are not deleted."""

    server_id: str
    epoch: str
    cursor: str
    entities: int


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """The data of one event of the stream, whose id is the `cursor`."""

    namespace: str
    kind: Kind
    name: str
    revision: int
    deleted: bool
    cursor: str


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`google.rpc.ErrorInfo`: one element of an error's `data`; `reason` is an error code of this program."""

    reason: str
    domain: str = "cleveragents.org"
    metadata: dict[str, str] = {}
    type: str = msgspec.field(name="@type", default="type.googleapis.com/google.rpc.ErrorInfo")


class RpcError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request failed."""

    code: int
    message: str
    data: list[ErrorInfo] = []


class RpcRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One call; `params` is read by the method."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    method: str
    params: msgspec.Raw | None = None


class RpcResponse(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: either a result or an error."""

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None
    result: Any = msgspec.UNSET
    error: RpcError | msgspec.UnsetType = msgspec.UNSET


PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
UNSUPPORTED_OPERATION, VERSION_NOT_SUPPORTED = -32004, -32009
FORBIDDEN, FULL_SYNC_REQUIRED, CONFLICT, INVALID_ENTITY = -32012, -32013, -32014, -32015

A2A_METHODS = ("SendMessage", "SendStreamingMessage", "GetTask", "ListTasks", "CancelTask", "SubscribeToTask")
"""Of the standard; they are refused until there is something behind them."""
