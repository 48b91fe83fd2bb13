"""What goes wrong with a team server, as errors of this program: the network, TLS, statuses, and errors of the protocol.

Whatever the server said is quoted by `Endpoint.quote`: a hostile one may well say our own token.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, cast

from daemon.sync.origins import Endpoint, origin, parse_url
from daemon.team import wire
from store import errors

MAX_RETRY_AFTER = 86_400.0
"""Seconds that a server may ask us to stay away."""

_SECONDS = re.compile(r"[0-9]{1,15}", re.ASCII)
_BROKEN = {None, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE}
_UNKNOWN_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
_UNKNOWN_ISSUER = {
    18: "it is self-signed",
    19: "its chain ends in a self-signed certificate",
    20: "its issuer is unknown",
}
_UNKNOWN_ISSUER[21] = _UNKNOWN_ISSUER[20]
_REASONS = frozenset({"unauthorized", "forbidden", "version_mismatch", "internal"})
_BY_NUMBER = {
    wire.FORBIDDEN: "forbidden",
    wire.VERSION_NOT_SUPPORTED: "version_mismatch",
    # The card declares our extension, so it is a team server, but one without this method.
    wire.METHOD_NOT_FOUND: "version_mismatch",
    wire.INTERNAL: "internal",
}


class FullSyncRequiredError(errors.TeamProtocolError):
    """The server cannot go on from the cursor: everything has to be fetched again.

    Met inside of a sync only; when it comes out of a full sync, the server contradicts itself.
    """


class RefusedError(errors.TeamProtocolError):
    """The server does not take the request: it is too big, say, or not one that it understands."""


REFUSALS = (RefusedError, errors.ForbiddenError, errors.VersionMismatchError)
"""Answers by which nothing was carried out, and that will be the same to the same request."""


def unreachable(
    endpoint: Endpoint, reason: str, *, key: str, retry_after: float | None = None, suggestion: str | None = None
) -> errors.UnreachableError:
    """The server does not answer now, `key` says why to programs."""
    detail: dict[str, Any] = {"url": endpoint.url, "reason": key}
    if retry_after is not None:
        detail["retry_after"] = retry_after
    return errors.UnreachableError(
        f"the team server at {endpoint.url} is not reachable: {reason}",
        detail=detail,
        suggestions=[suggestion or "ca server status"],
    )


def not_ours(endpoint: Endpoint, reason: str) -> errors.UnreachableError:
    """Something answers, but it is no team server."""
    return errors.UnreachableError(
        f"what answers at {endpoint.url} is no team server: {reason}",
        detail={"url": endpoint.url, "reason": "not_a_team_server"},
        suggestions=["check the URL: ca server connect URL", "start one there: ca server start"],
    )


def nonsense(
    endpoint: Endpoint, reason: str, kind: type[errors.TeamProtocolError] = errors.TeamProtocolError
) -> errors.TeamProtocolError:
    """A team server whose answer cannot be used."""
    return kind(
        f"the answer of the team server at {endpoint.url} cannot be used: {reason}",
        detail={"url": endpoint.url, "reason": reason},
        suggestions=["ca server status", "bring the server and this program to the same version"],
    )


def too_long(endpoint: Endpoint, limit: int) -> errors.TeamProtocolError:
    """An answer that is longer than it may be."""
    return nonsense(endpoint, f"it is longer than {limit} bytes")


def from_network(endpoint: Endpoint, error: BaseException) -> errors.CleverAgentsError:
    """What stopped an exchange before its end, found among the causes of `error`."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            # Its other subclasses say that the connection ended, which is no fault of TLS.
            told = type(cause) in {ssl.SSLError, ssl.SSLCertVerificationError}
            return _from_tls(endpoint, cause) if told else not_http(endpoint)
        if isinstance(cause, socket.gaierror):
            return _from_look_up(endpoint, cause)
        if isinstance(cause, ConnectionRefusedError):
            suggestion = "ca server start on its machine, or check the port"
            return unreachable(endpoint, "it refuses connections", key="refused", suggestion=suggestion)
        if isinstance(cause, TimeoutError):
            return no_answer(endpoint)
        if isinstance(cause, OSError) and cause.errno not in _BROKEN:
            return unreachable(endpoint, cause.strerror or str(cause), key="network")
    return unreachable(endpoint, "the connection broke before the answer was complete", key="broken")


def not_http(endpoint: Endpoint) -> errors.UnreachableError:
    """What came back is no head of an answer of HTTP."""
    other = "https" if endpoint.url.startswith("http:") else "http"
    suggestion = f"check the port, and whether the URL should start with {other}://"
    return unreachable(endpoint, "it hung up, or does not speak HTTP", key="no_http", suggestion=suggestion)


def no_answer(endpoint: Endpoint) -> errors.UnreachableError:
    """The deadline of a request passed."""
    suggestion = "ca config set server.request-timeout SECONDS"
    return unreachable(
        endpoint, f"no complete answer within {endpoint.timeout:g} s", key="timed_out", suggestion=suggestion
    )


def from_status(
    endpoint: Endpoint, status: int, headers: Mapping[str, str], said: str | None = None
) -> errors.CleverAgentsError:
    """An answer of HTTP that is not a success; `said` is what the server wrote beside it."""
    words = f"{status}: {endpoint.quote(said)}" if said else f"{status}"
    if 300 <= status < 400:
        return _from_redirect(endpoint, headers.get("location", ""))
    if status == 401:
        return _unauthorized(endpoint)
    if status == 403:
        return _forbidden(endpoint, f"it answered HTTP {words}")
    if status in {404, 405, 410}:
        return not_ours(endpoint, f"it answered HTTP {words}")
    if status in {408, 425, 429} or status >= 500:
        busy = {429: "it gets too many requests", 503: "it is not available"}.get(status, "it has trouble")
        wait = retry_after(headers.get("retry-after"))
        later = "" if wait is None else f"; it asks to be left alone for {wait:g} s"
        return unreachable(endpoint, f"{busy} (HTTP {words}){later}", key=f"http_{status}", retry_after=wait)
    return nonsense(endpoint, f"HTTP {words}", RefusedError if status >= 400 else errors.TeamProtocolError)


def from_rpc(endpoint: Endpoint, error: wire.RpcError, reason: str | None) -> errors.CleverAgentsError:
    """An error of JSON-RPC: by the code of ours in its `ErrorInfo`, else by its number."""
    said = endpoint.quote(error.message)
    if error.code == wire.FULL_SYNC_REQUIRED:
        return FullSyncRequiredError(
            f"the team server at {endpoint.url} asks for a full sync: {said}",
            detail={"url": endpoint.url},
            suggestions=["ca sync full"],
        )
    code = reason if reason in _REASONS else _BY_NUMBER.get(error.code)
    if code == "unauthorized":
        return _unauthorized(endpoint)
    if code == "forbidden":
        return _forbidden(endpoint, said)
    if code == "version_mismatch":
        return wrong_version(endpoint, said)
    if code == "internal":
        return unreachable(endpoint, f"it failed: {said}", key="internal")
    return RefusedError(
        f"the team server at {endpoint.url} refuses the request: {said}",
        detail={"url": endpoint.url, "code": error.code},
        suggestions=["ca server status"],
    )


def wrong_version(endpoint: Endpoint, reason: str) -> errors.VersionMismatchError:
    """The server speaks another version of the protocol."""
    return errors.VersionMismatchError(
        f"the team server at {endpoint.url} speaks another version of the protocol: {reason}; this program speaks"
        f" A2A {wire.A2A_VERSION}",
        detail={"url": endpoint.url, "ours": wire.A2A_VERSION},
        suggestions=["bring the server and this program to the same version"],
    )


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to stay away: a number or a date of HTTP, bounded; None when there is nothing usable."""
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  few servers send a date

    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    # HTTP's dates are in UTC, also when they do not say so.
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max((aware - (now or datetime.now(UTC))).total_seconds(), 0.0), MAX_RETRY_AFTER)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the nearest first."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for attempt in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _causes(attempt)
    # The context too: httpcore raises some of what it met "from None".
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)


def _from_look_up(endpoint: Endpoint, error: socket.gaierror) -> errors.UnreachableError:
    if error.errno in _UNKNOWN_NAME:
        return unreachable(
            endpoint, "its name is not known", key="unknown_host", suggestion="check the host name in the URL"
        )
    reason = f"its name cannot be looked up: {error.strerror}"
    return unreachable(endpoint, reason, key="unknown_host", suggestion="check the network of this machine")


def _from_tls(endpoint: Endpoint, error: ssl.SSLError) -> errors.TlsError:
    if not isinstance(error, ssl.SSLCertVerificationError):
        return errors.TlsError(
            f"no TLS connection to {endpoint.url}: {(error.reason or 'the handshake failed').replace('_', ' ').lower()}",
            detail={"url": endpoint.url, "reason": "handshake"},
            suggestions=["if the server speaks plain HTTP, write its URL with http://"],
        )
    reason, key, action = _distrust(error)
    return errors.TlsError(
        f"the certificate of {endpoint.url} is not trusted: {reason}",
        detail={"url": endpoint.url, "reason": key},
        suggestions=[action, f"ca server connect {endpoint.url} --no-tls-verify, if you trust the network all the way"],
    )


def _distrust(error: ssl.SSLCertVerificationError) -> tuple[str, str, str]:
    """Why a certificate is not trusted, the same for programs, and what to do."""
    code = error.verify_code
    if code in _UNKNOWN_ISSUER:
        action = "add its issuer to the system's trust store, or SSL_CERT_FILE=FILE ca daemon restart"
        return _UNKNOWN_ISSUER[code], "unknown_issuer", action
    if code == _EXPIRED:
        return "it has expired", "expired", "renew the certificate on the server"
    if code == _NOT_YET_VALID:
        return "it is not valid yet", "not_yet_valid", "check the clock of this machine"
    if code in {_OTHER_NAME, _OTHER_ADDRESS}:
        return "it is for another host", "wrong_host", "connect to the host name that the certificate is for"
    return error.verify_message, "untrusted", "look at the certificate of the server"


def _from_redirect(endpoint: Endpoint, location: str) -> errors.UnreachableError:
    place = re.split("[?#]", location, maxsplit=1)[0]  # without the query, which may hold anything
    try:
        there = origin(parse_url(place))
        if there == origin(endpoint.url):
            where, suggestion = endpoint.quote(place), "check the path of the URL: ca server connect URL"
        else:
            where = endpoint.quote(there)
            suggestion = f"if that is the team server: ca server connect {where}"
    except errors.InvalidArgumentError:
        where = "another path" if location.startswith("/") else "somewhere that is no URL of a server"
        suggestion = "check the URL: ca server connect URL"
    return errors.UnreachableError(
        f"what answers at {endpoint.url} points to {where}; redirects are not followed, so that nobody else gets the token",
        detail={"url": endpoint.url, "reason": "redirect"},
        suggestions=[suggestion],
    )


def _unauthorized(endpoint: Endpoint) -> errors.UnauthorizedError:
    reason = "wants a token" if endpoint.token is None else "does not accept the token"
    return errors.UnauthorizedError(
        f"the team server at {endpoint.url} {reason}",
        detail={"url": endpoint.url},
        suggestions=[
            f"ca server connect {endpoint.url} --token-stdin",
            f"on its machine: ca server token create --namespace {endpoint.namespace}",
        ],
    )


def _forbidden(endpoint: Endpoint, said: str) -> errors.ForbiddenError:
    return errors.ForbiddenError(
        f"the team server at {endpoint.url} does not allow that in the namespace {endpoint.namespace!r}: {said}",
        detail={"url": endpoint.url, "namespace": endpoint.namespace},
        suggestions=[f"on its machine: ca server token create --namespace {endpoint.namespace} --role write"],
    )
