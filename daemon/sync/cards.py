"""The agent card of a team server: what it must say before a token is sent."""

import msgspec

from daemon.sync import bodies, failures
from daemon.sync.origins import Endpoint, origin, parse_url
from daemon.team import wire
from store import errors

LIMIT = 256 * 1024
"""Bytes of the longest card."""

BINDING = "JSONRPC"


_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class _Interface(msgspec.Struct, frozen=True, rename="camel"):
    url: str
    protocol_binding: str
    protocol_version: str


class _Card(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a card. That the server knows our methods is seen when the first one is called.

    Attributes:
        protocol_version: Where the cards before A2A 1.0 have it, and `url` beside it.
    """

    version: str = ""
    supported_interfaces: list[_Interface] = []
    protocol_version: str | None = None
    url: str = ""


def check(endpoint: Endpoint, body: bytes) -> str:
    """See that a card is the one of a team server that this program can talk to, at the origin that was asked.

    Returns:
        The server's version.

    Raises:
        UnreachableError: it is the card of something else.
        VersionMismatchError: it speaks another version of the protocol.
        ProtocolError: it is no card.
    """
    card = bodies.decode(endpoint, body, _Card)
    offered = [one for one in _interfaces(endpoint, card) if one.protocol_binding == BINDING]
    if not offered:
        raise failures.not_ours(endpoint, f"its agent card offers no {BINDING} interface")
    major, _, _ = wire.A2A_VERSION.partition(".")
    ours = [one for one in offered if one.protocol_version.partition(".")[0] == major]
    if not ours:
        raise failures.wrong_version(endpoint, f"A2A {endpoint.quote(offered[0].protocol_version)}")
    for one in ours:
        _same_origin(endpoint, one.url)
    return endpoint.quote(card.version)


def _interfaces(endpoint: Endpoint, card: _Card) -> list[_Interface]:
    """What a card offers; before A2A 1.0 a card was its only interface, and some still write it so."""
    if card.supported_interfaces or card.protocol_version is None:
        return card.supported_interfaces
    return [_Interface(card.url or endpoint.url, BINDING, card.protocol_version)]


def _same_origin(endpoint: Endpoint, url: str) -> None:
    try:
        named = origin(parse_url(url))
    except errors.InvalidArgumentError:
        named = "something that is no URL"
    asked = origin(endpoint.url)
    if _one_loopback(named) != _one_loopback(asked):
        raise errors.UnreachableError(
            f"the agent card of {asked} names {endpoint.quote(named)} as its address; only {asked} gets the token",
            detail={"url": endpoint.url, "reason": "foreign_card"},
            suggestions=[
                "connect to the address that the card names, if that is the team server",
                "a reverse proxy must hand on the headers Host and X-Forwarded-Proto",
            ],
        )


def _one_loopback(place: str) -> str:
    """An origin with one name for this very machine, which has several."""
    scheme, _, rest = place.partition("://")
    host, _, port = rest.rpartition(":")
    return f"{scheme}://{'localhost' if host in _LOOPBACK else host}:{port}"
