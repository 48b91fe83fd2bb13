"""What the configuration asks of the sync."""

import msgspec

from daemon.settings import Settings
from daemon.sync import origins
from daemon.sync.origins import Endpoint
from store import entities, sharing
from store.database import Reader


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of `server.*` that say whom to sync with, and when."""

    url: str | None
    namespace: str
    token: str | None
    tls_verify: bool
    timeout: float
    auto: bool
    interval: int

    @classmethod
    def read(cls, config: Settings) -> "Wanted":
        """As the configuration is now."""
        return cls(
            url=config.value("server.url") or None,
            namespace=config.value("server.namespace"),
            token=config.value("server.token") or None,
            tls_verify=config.value("server.tls-verify"),
            timeout=config.value("server.request-timeout"),
            auto=config.value("server.sync.auto"),
            interval=config.value("server.sync.interval"),
        )

    def __repr__(self) -> str:
        return f"Wanted(url={self.url!r}, namespace={self.namespace!r}, auto={self.auto}, interval={self.interval})"

    def same_connection(self, other: "Wanted | None") -> bool:
        """Whether the two mean the same server in the same way."""
        return other is not None and self == msgspec.structs.replace(other, auto=self.auto, interval=self.interval)

    def endpoint(self, db: Reader) -> Endpoint | None:
        """Where to connect to, None for nowhere; the token is left out when it was given for another origin.

        Raises:
            InvalidArgumentError: the URL or the namespace is not one that can be used.
        """
        if self.url is None:
            return None
        url = origins.parse_url(self.url)
        sharing.check_namespace(self.namespace)
        return Endpoint(
            url=url,
            namespace=self.namespace,
            token=self.token if self.token is None or self.may_send(db, self.token, url) else None,
            tls_verify=self.tls_verify,
            timeout=self.timeout,
        )

    @staticmethod
    def may_send(db: Reader, token: str, url: str) -> bool:
        """Whether a token goes to this server: it was given for it, or nobody used it before."""
        return entities.bound_origin(db, token) in {None, origins.origin(url)}
