"""Who may talk to the team server: a token, or while there is none, programs on the same machine; and how often."""

import ipaddress
import math
import time
from typing import NamedTuple

from starlette.requests import Request

from daemon.team import tokens, wire
from daemon.team.answers import Refused
from store import errors, sharing
from store.database import Reader
from store.team import Recent, Token

REMEMBERED = 10_000
"""Clients whose rates are remembered at most."""


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        token: None while the server has no tokens.
        address: Of the connection.
    """

    token: Token | None
    address: str

    @property
    def name(self) -> str:
        """Under which changes are noted."""
        return self.token.name if self.token else "loopback"

    def check_reads(self, namespace: str) -> None:
        """See that the caller may read a namespace.

        Raises:
            InvalidArgumentError: no server has such a namespace.
            ForbiddenError: the token is for another one.
        """
        if self.token is not None and self.token.namespace == namespace:
            return
        sharing.check_namespace(namespace)
        if self.token is not None:
            raise errors.ForbiddenError(
                f"the token is for the namespace {self.token.namespace!r}, not for {namespace!r}",
                detail={"namespace": namespace},
            )

    def check_writes(self, namespace: str) -> None:
        """See that the caller may change a namespace.

        Raises:
            InvalidArgumentError: no server has such a namespace.
            ForbiddenError: the token is for another one, or only for reading.
        """
        self.check_reads(namespace)
        if self.token is not None and self.token.role != tokens.WRITE:
            raise errors.ForbiddenError("the token may only read", detail={"role": self.token.role})


def admit(request: Request, db: Reader, recent: Recent) -> Caller:
    """Who sends this request; its body is not read.

    Raises:
        Refused: 401 without a live token when one is needed; 403 from elsewhere while there are no tokens.
    """
    address = request.client.host if request.client else ""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    token = tokens.find(recent, text.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        if tokens.any_exists(db):
            raise _unauthorized(given=bool(text))
        _check_local(request, address)
    return Caller(token, address)


def still_admitted(caller: Caller, db: Reader, recent: Recent) -> bool:
    """Whether a caller who stays would be let in again: tokens are made and revoked meanwhile."""
    if caller.token is None:
        return not tokens.any_exists(db)
    return tokens.is_live(recent, caller.token)


def _unauthorized(*, given: bool) -> Refused:
    challenge = 'Bearer realm="cleveragents"' + (', error="invalid_token"' if given else "")
    problem = "the token is unknown or was revoked" if given else "a token is needed"
    message = f"{problem}; whoever hosts this server makes one with: ca server token create"
    return Refused(401, wire.FORBIDDEN, "unauthorized", message, {"WWW-Authenticate": challenge})


def _check_local(request: Request, address: str) -> None:
    """A web page in a browser of this machine comes from loopback too, but says whom it meant, or where it is from."""
    if not _is_loopback(address):
        problem = "this server has no tokens yet and answers programs on its own machine only"
    elif not _names_loopback(request.headers.get("host", "")):
        problem = "while this server has no tokens it is reached as localhost or 127.0.0.1 only"
    elif "origin" in request.headers:
        problem = "while this server has no tokens it does not answer web pages"
    else:
        return
    message = f"{problem}; whoever hosts it makes one with: ca server token create"
    raise Refused(403, wire.FORBIDDEN, "forbidden", message)


def _is_loopback(address: str) -> bool:
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _names_loopback(host: str) -> bool:
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdecimal() else host
    return bare.lower() == "localhost" or _is_loopback(bare.removeprefix("[").removesuffix("]"))


class Rates:
    """How many requests each client may send: `rate` a second, and `burst` at once when it was quiet."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = max(burst, 1)
        self._even_at: dict[str, float] = {}

    def check(self, key: str) -> None:
        """Count a request.

        Args:
            key: The client.

        Raises:
            Refused: 429, with the seconds to wait.
        """
        if self._rate <= 0:
            return
        now = time.monotonic()
        even_at = max(self._even_at.get(key, now), now) + 1 / self._rate
        too_early = even_at - now - self._burst / self._rate
        if too_early > 0:
            message = f"more than {self._rate:g} requests a second; wait a little"
            headers = {"Retry-After": str(math.ceil(too_early))}
            raise Refused(429, wire.INVALID_REQUEST, "unreachable", message, headers)
        self._even_at[key] = even_at
        if len(self._even_at) > REMEMBERED:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop who is even, and everybody when all are busy: that only grants a burst."""
        busy = {key: even_at for key, even_at in self._even_at.items() if even_at > now}
        self._even_at = busy if len(busy) <= REMEMBERED else {}
