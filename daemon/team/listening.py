"""The place where the team server listens: an address, bound before anybody is told that the server runs."""

import errno
import ipaddress
import socket
import time

import msgspec

from store import errors

BACKLOG = 512
RETRY_SECONDS = 0.05
UNREAD_MS = 30_000
"""How long a client may take nothing of what it is sent; asyncio itself would wait for ever, also to close."""


class Place(msgspec.Struct, frozen=True):
    """An address to listen at.

    Attributes:
        host: As it was asked for.
        address: The numeric one that the host stands for.
    """

    host: str
    address: str
    family: socket.AddressFamily

    @classmethod
    def of(cls, host: str) -> "Place":
        """The address of a name, IPv4 before IPv6, or of an address as it is.

        Raises:
            InvalidArgumentError: nothing has that name.
        """
        bare = host.removeprefix("[").removesuffix("]") if ":" in host else host
        try:
            found = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise errors.InvalidArgumentError(
                f"there is no address for the host {host!r}: {_reason(error)}",
                detail={"host": host},
                suggestions=["--host 127.0.0.1", "--host 0.0.0.0 for all addresses of this machine"],
            ) from error
        family, _, _, _, address = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
        return cls(bare, str(address[0]), family)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def reachable(self) -> str:
        """An address under which this machine reaches it."""
        if not ipaddress.ip_address(self.address).is_unspecified:
            return self.address
        return "::1" if self.family is socket.AF_INET6 else "127.0.0.1"

    def url(self, port: int) -> str:
        """What a client on this machine connects to."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{port}"


def bind(place: Place, port: int, *, patience: float) -> socket.socket:
    """A socket that listens already: connections wait in it until they are answered.

    Args:
        place: Where.
        port: 0 takes a free one.
        patience: Seconds for somebody who is about to leave the port.

    Raises:
        InvalidArgumentError: the port is taken, or the address is none of this machine's.
        PermissionDeniedError: the port is not for this user.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _listen(place, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise _refusal(place, port, error) from error
        time.sleep(RETRY_SECONDS)


def _listen(place: Place, port: int) -> socket.socket:
    # Named, because asyncio sends without delay only where it sees that it is TCP.
    bound = socket.socket(place.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        bound.bind((place.address, port))
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _refusal(place: Place, port: int, error: OSError) -> errors.CleverAgentsError:
    detail = {"host": place.host, "port": port}
    if error.errno == errno.EADDRINUSE:
        return errors.InvalidArgumentError(
            f"another program listens at port {port} of {place.host}",
            detail=detail,
            suggestions=["choose another one with --port", "--port 0 takes a free one"],
        )
    if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return errors.InvalidArgumentError(
            f"this machine does not have the address {place.host}: {_reason(error)}",
            detail=detail,
            suggestions=["--host 127.0.0.1", "--host 0.0.0.0 for all addresses of this machine"],
        )
    return errors.from_os_error(error, f"cannot listen at port {port} of {place.host}")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
