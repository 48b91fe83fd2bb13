"""A team server and how to talk to it."""

import msgspec

from store.sharing import QUOTED, origin, parse_url

__all__ = ["Endpoint", "origin", "parse_url"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A team server and how to talk to it.

    Attributes:
        url: As `parse_url` returns it.
        namespace: The one that is shared.
        token: Goes to the origin of `url` and nowhere else.
        tls_verify: Whether its certificate is checked.
        timeout: Seconds that one request may take, from the look-up of the name to the last byte of the answer.
    """

    url: str
    namespace: str
    token: str | None
    tls_verify: bool
    timeout: float

    def __repr__(self) -> str:
        shown = None if self.token is None else "********"
        return (
            f"Endpoint(url={self.url!r}, namespace={self.namespace!r}, token={shown!r}, tls_verify={self.tls_verify})"
        )

    def quote(self, text: str) -> str:
        """What the other side said, fit for a message: bounded, without control characters, and without our token."""
        hidden = text.replace(self.token, "********") if self.token else text
        shown = "".join(char if char.isprintable() else "�" for char in hidden[: QUOTED + 1])
        return shown if len(shown) <= QUOTED else f"{shown[:QUOTED]}…"
