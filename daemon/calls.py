"""A request on its way through the daemon: who handles it, with what, and what is said beside the answer."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from daemon import protocol
from daemon.phases.context import Services
from daemon.sync.syncer import Syncer
from daemon.workers import Workers
from store.paths import Paths


class Daemon(msgspec.Struct):
    """The running daemon, as its handlers see it."""

    services: Services
    workers: Workers
    version: str
    started_at: int
    stop: Callable[[float, bool], None]
    sync: Syncer
    obey: Callable[[], Coroutine[Any, Any, None]]
    """The configuration may have changed: what does not look at it when it needs it follows now."""
    draining: bool = False

    @property
    def paths(self) -> Paths:
        return self.services.paths


class Call(msgspec.Struct):
    """One request: the daemon, and the sentences that go with the reply."""

    daemon: Daemon
    messages: list[str]

    @property
    def services(self) -> Services:
        return self.daemon.services

    def say(self, message: str | None) -> None:
        """Tell the user something beside the data."""
        if message is not None:
            self.messages.append(message)


Handler = Callable[[Call, Any], Coroutine[Any, Any, Any] | Any]
"""Returns the answer, or a coroutine that will. What only reads is a plain function, and is answered without a task."""
Table = dict[type[protocol.Request[Any]], Handler]
