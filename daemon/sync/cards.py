"""The agent card of a team server: what it must say before a token is sent."""

import msgspec

from daemon.sync import bodies, failures
from daemon.sync.origins import Endpoint, origin, parse_url
from daemon.team import wire
from store import errors

LIMIT = 256 * 1024
"""Bytes of the longest card."""

BINDING = "JSONRPC"


class _Interface(msgspec.Struct, frozen=True, rename="camel"):
    url: str
    protocol_binding: str
    protocol_version: str


class _Extension(msgspec.Struct, frozen=True):
    uri: str


class _Capabilities(msgspec.Struct, frozen=True):
    extensions: list[_Extension] = []


class _Card(msgspec.Struct, frozen=True, rename="camel"):
    """What we read of a card.

    Attributes:
        protocol_version: Where the cards before A2A 1.0 have it.
    """

    version: str
    supported_interfaces: list[_Interface] = []
    capabilities: _Capabilities = _Capabilities()
    protocol_version: str | None = None


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
    if not card.supported_interfaces and card.protocol_version is not None:
        raise failures.wrong_version(endpoint, f"A2A {endpoint.quote(card.protocol_version)}")
    offered = [one for one in card.supported_interfaces if one.protocol_binding == BINDING]
    if not offered:
        raise failures.not_ours(endpoint, f"its agent card offers no {BINDING} interface")
    major, _, _ = wire.A2A_VERSION.partition(".")
    ours = [one for one in offered if one.protocol_version.partition(".")[0] == major]
    if not ours:
        raise failures.wrong_version(endpoint, f"A2A {endpoint.quote(offered[0].protocol_version)}")
    if wire.EXTENSION not in {extension.uri for extension in card.capabilities.extensions}:
        raise failures.not_ours(endpoint, "its agent card does not offer to sync")
    for one in ours:
        _same_origin(endpoint, one.url)
    return endpoint.quote(card.version)


def _same_origin(endpoint: Endpoint, url: str) -> None:
    try:
        named = origin(parse_url(url))
    except errors.InvalidArgumentError:
        named = "something that is no URL"
    asked = origin(endpoint.url)
    if named != asked:
        raise errors.UnreachableError(
            f"the agent card of {asked} names {endpoint.quote(named)} as its address; only {asked} gets the token",
            detail={"url": endpoint.url, "reason": "foreign_card"},
            suggestions=[
                "connect to the address that the card names, if that is the team server",
                "a reverse proxy must hand on the headers Host and X-Forwarded-Proto",
            ],
        )
