"""How the team server answers over HTTP, and how it refuses a request before it is read."""

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemon.team import wire

DRAIN_SECONDS = 2.0
DRAIN_BYTES = 4 * wire.BODY_LIMIT
"""How much of a refused body is still taken, so that a client that is busy sending gets to read why."""

encode = msgspec.json.Encoder().encode


class Refused(Exception):  # noqa: N818  it says what happened, as the answer does
    """A request that is answered with an HTTP status; the body is a JSON-RPC error all the same."""

    def __init__(
        self, status: int, code: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.body = error(None, code, reason, message)


def error(
    request_id: str | int | None, code: int, reason: str, message: str, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The document of a JSON-RPC error.

    Args:
        request_id: Of the request, when it could be read.
        code: JSON-RPC's, A2A's or our own.
        reason: One of this program's error codes.
        message: What happened and what helps.
        metadata: The same for programs.
    """
    info = wire.ErrorInfo(reason=reason, metadata=dict(metadata or {}))
    failure = wire.RpcError(code=code, message=message, data=[info])
    return encode(wire.RpcResponse(id=request_id, error=failure))


def success(request_id: str | int, result: object) -> bytes:
    """The document of a JSON-RPC result."""
    return encode(wire.RpcResponse(id=request_id, result=result))


def document(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    return Response(body, status, headers, media_type="application/json")


async def refusal(_request: Request, refused: Exception) -> Response:
    """The answer to a refused request, as Starlette asks for it."""
    assert isinstance(refused, Refused), "it is registered for this class only"
    return _Refusal(refused)


class _Refusal(Response):
    """Answers first and then takes what is still being sent, for a while: closing at once would lose the answer."""

    def __init__(self, refused: Refused) -> None:
        headers = {**refused.headers, "Connection": "close"}
        super().__init__(refused.body, refused.status, headers, media_type="application/json")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await _drain(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: Receive) -> None:
    taken = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while taken <= DRAIN_BYTES:
                message = await receive()
                taken += len(message.get("body", b""))
                if not message.get("more_body"):  # the end, or the client is gone
                    return
    except TimeoutError:
        return
