"""What is shared with a team server, and where one is: namespaces and URLs, as people write them.

A URL that is accepted here has no user information, query or fragment, so it may stand in every message and log.
"""

import ipaddress
import re

from store import errors, names

PRIVATE = frozenset({names.DEFAULT_NAMESPACE, "builtin"})
"""Namespaces that never leave a machine."""
QUOTED = 200
"""Characters of somebody else's words that a message may hold."""

LENGTH = 2048
"""Characters of the longest URL."""
MAX_PORT = 65_535

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[a-z0-9._~%!$&'()*+,;=:-]+)*)/*",
    re.ASCII | re.IGNORECASE,
)
_EXAMPLE = "https://team.example.org"


def check_namespace(namespace: str) -> None:
    """See that a namespace can be shared.

    Raises:
        InvalidArgumentError: it is no legal name, or never leaves a machine.
    """
    reason = _why_not_shared(namespace)
    if reason is not None:
        raise errors.InvalidArgumentError(
            f"{_short(namespace)} is no namespace that can be shared: {reason}",
            detail={"what": "namespace", "value": namespace[:QUOTED]},
            suggestions=["use a namespace of the team's own, for example 'team'"],
        )
    names.parse_name(namespace, what="namespace")


def _why_not_shared(namespace: str) -> str | None:
    if not namespace:
        return "it is empty"
    if "/" in namespace:
        return "it has a '/'"
    return "it never leaves a machine" if namespace in PRIVATE else None


def parse_url(text: str) -> str:
    """The URL of a team server: scheme and host in lower case, no default port, no trailing slash.

    Raises:
        InvalidArgumentError: it is no http or https URL, or has parts that do not belong there.
    """
    # Before anything else, so that no message below can repeat what may be a password.
    if "@" in text:
        raise _refusal("the URL of a team server has no user name or password in it", "pass a token with --token-stdin")
    if "?" in text or "#" in text:
        raise _refusal("the URL of a team server has no query and no fragment", f"write it like {_EXAMPLE}")
    if not text.isascii() or not text.isprintable():
        raise _refusal("the URL of a team server has only ASCII characters", "write the host in its xn-- form")
    found = _URL.fullmatch(text) if len(text) <= LENGTH else None
    if found is None:
        raise _refusal(
            f"{_short(text)} is not the URL of a team server", f"write it like {_EXAMPLE} or {_EXAMPLE}:8420"
        )
    scheme, host, port, path = found["scheme"].lower(), found["host"].lower(), found["port"], found["path"]
    if {".", ".."} & set(path.split("/")):
        raise _refusal(f"{_short(text)} has '.' or '..' in its path", f"write it like {_EXAMPLE}/team")
    number = _DEFAULT_PORTS[scheme] if port is None else int(port)
    if not 1 <= number <= MAX_PORT:
        raise _refusal(f"{_short(text)} has no usable port: use 1 to {MAX_PORT}", f"write it like {_EXAMPLE}:8420")
    shown_port = "" if number == _DEFAULT_PORTS[scheme] else f":{number}"
    return f"{scheme}://{_legal_host(text, host)}{shown_port}{path}"


def origin(url: str) -> str:
    """The origin of what `parse_url` returned: scheme, host and port, the port always there."""
    found = _URL.fullmatch(url)
    assert found is not None, "the URL was not parsed before"
    return f"{found['scheme']}://{found['host']}:{found['port'] or _DEFAULT_PORTS[found['scheme']]}"


def _legal_host(text: str, host: str) -> str:
    """The host in its one spelling, so that two spellings of an address are one origin."""
    try:
        if host.startswith("["):
            return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
        labels = host.split(".")
        # A name whose last part is a number is an address to every resolver; only its plain spelling is accepted.
        if labels[-1].isdigit() or labels[-1].startswith("0x"):
            return str(ipaddress.IPv4Address(host))
    except ValueError as error:
        raise _refusal(f"{_short(text)} has no usable address: {error}", f"write it like {_EXAMPLE}") from error
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refusal(f"{_short(text)} has no usable host name", f"write it like {_EXAMPLE}")
    return host


def _short(text: str) -> str:
    return repr(text if len(text) <= QUOTED else f"{text[:QUOTED]}…")


def _refusal(message: str, suggestion: str) -> errors.InvalidArgumentError:
    return errors.InvalidArgumentError(message, detail={"what": "url"}, suggestions=[suggestion])
