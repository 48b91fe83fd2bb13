"""JSON-RPC 2.0 as the team server speaks it: one request in, one answer out, and every way to get it wrong."""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from daemon.team import answers, wire
from store import errors

log = logging.getLogger(__name__)

_VERSION = re.compile(r"1(\.[0-9]{1,9})?", re.ASCII)

_CODES: dict[type[errors.CleverAgentsError], int] = {
    errors.InvalidArgumentError: wire.INVALID_PARAMS,
    errors.ForbiddenError: wire.FORBIDDEN,
    errors.SyncConflictError: wire.CONFLICT,
}

Call = Callable[[msgspec.Raw], Awaitable[object]]
"""A method: its parameters in, its result out."""


class Failure(Exception):  # noqa: N818  it is the protocol's error object
    """A request fails with one of the protocol's codes.

    Attributes:
        reason: One of this program's error codes.
    """

    def __init__(self, code: int, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.metadata = metadata


class _Envelope(msgspec.Struct):
    """What a request may look like at most; what it has to be is checked one by one, so that each fault has its code."""

    jsonrpc: Any = None
    id: Any = None
    method: Any = None
    params: msgspec.Raw = msgspec.Raw(b"{}")


_decoder = msgspec.json.Decoder(_Envelope)


async def answer(body: bytes, version: str | None, methods: Mapping[str, Call]) -> bytes:
    """The answer to one request.

    Args:
        body: As it came.
        version: The value of `A2A-Version`, if there was one.
        methods: Those that are not of the standard.
    """
    request_id: str | int | None = None
    try:
        envelope = _read(body)
        request_id = _id(envelope)
        call = _method(envelope, version, methods)
        return answers.success(request_id, await call(envelope.params))
    except Failure as failure:
        return answers.error(request_id, failure.code, failure.reason, failure.message, failure.metadata)
    except errors.CleverAgentsError as error:
        return _known(request_id, error)
    except Exception:
        log.exception("a request failed")
        return answers.error(request_id, wire.INTERNAL, "internal", "the server failed; its log says more")


def decoded(params: msgspec.Raw, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The parameters of a method.

    Raises:
        Failure: they are not what the method takes.
    """
    try:
        return decoder.decode(params)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Failure(wire.INVALID_PARAMS, "invalid_argument", f"the parameters do not fit: {error}") from error


def _read(body: bytes) -> _Envelope:
    try:
        body.decode()  # what is skipped as raw parameters would not be looked at
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise _not_an_object(body) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(wire.PARSE_ERROR, "protocol_error", f"the request is not JSON: {error}") from error


def _not_an_object(body: bytes) -> Failure:
    """It began as JSON of another shape; it may still turn out to be none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return Failure(wire.PARSE_ERROR, "protocol_error", f"the request is not JSON: {error}")
    if isinstance(found, list):
        return _invalid("this server takes no batches: send one request at a time")
    return _invalid("a request is a JSON object")


def _id(envelope: _Envelope) -> str | int:
    if isinstance(envelope.id, bool) or not isinstance(envelope.id, str | int):
        raise _invalid("a request has an id that is a string or a whole number; this server takes no notifications")
    return envelope.id


def _method(envelope: _Envelope, version: str | None, methods: Mapping[str, Call]) -> Call:
    """The method to call, once the rest of the envelope is as it has to be."""
    if envelope.jsonrpc != "2.0":
        raise _invalid('a request says "jsonrpc": "2.0"')
    if not isinstance(envelope.method, str):
        raise _invalid("a request names its method in a string")
    method: str = envelope.method
    if not _VERSION.fullmatch(version or wire.A2A_VERSION):
        message = f"this server speaks A2A {wire.A2A_VERSION}; send {wire.VERSION_HEADER}: {wire.A2A_VERSION}"
        raise Failure(wire.VERSION_NOT_SUPPORTED, "version_mismatch", message, {"supported": wire.A2A_VERSION})
    if method in wire.A2A_METHODS:
        message = f"{method} is not supported: this server syncs definitions and runs no plans"
        raise Failure(wire.UNSUPPORTED_OPERATION, "usage", message)
    if method not in methods:
        known = ", ".join(methods)
        raise Failure(wire.METHOD_NOT_FOUND, "usage", f"there is no method {method[:64]!r}; there are: {known}")
    return methods[method]


def _invalid(message: str) -> Failure:
    return Failure(wire.INVALID_REQUEST, "protocol_error", message)


def _known(request_id: str | int | None, error: errors.CleverAgentsError) -> bytes:
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), wire.INTERNAL)
    if code == wire.INTERNAL:
        log.error("a request failed: %s", error.message)
    metadata = {key: value if isinstance(value, str) else str(value) for key, value in error.detail.items()}
    return answers.error(request_id, code, error.code, error.message, metadata)
