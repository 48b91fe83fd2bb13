"""The team server as the client sees it: one method for each of its own, typed, checked, and bounded.

What comes back from here can be trusted as far as its form goes: it is the answer to our request, of the namespace that
was asked for, with legal names, and with digests that fit the contents. What the definitions say is the engine's to check.
"""

import contextlib
import re
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlencode

import msgspec

from daemon.sync import bodies, cards, events, failures
from daemon.sync.failures import FullSyncRequiredError
from daemon.sync.origins import Endpoint, origin, parse_url
from daemon.team import wire
from store import errors, names

__all__ = ["Endpoint", "FullSyncRequiredError", "Remote", "origin", "parse_url"]

CHANGE, FULL_SYNC_REQUIRED = "change", "full_sync_required"
"""The kinds of events on the stream; others are for newer clients."""

_TOKEN = re.compile(r"[!-~]+", re.ASCII)
T = TypeVar("T")


class Remote:
    """The connection to one team server; close it, or use it with `async with`."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Prepare the connection; nothing is sent yet.

        Raises:
            InvalidArgumentError: the URL, the namespace or the token cannot be used.
        """
        from daemon.sync import carrier  # noqa: PLC0415  it brings httpx, and a daemon that is not connected needs none

        # The settings hold whatever was written there.
        names.parse_name(f"{endpoint.namespace}/x", what="namespace")
        self._endpoint = msgspec.structs.replace(endpoint, url=parse_url(endpoint.url))
        self._headers = {wire.VERSION_HEADER: wire.A2A_VERSION}
        self._credentials = {} if endpoint.token is None else {"Authorization": f"Bearer {_legal(endpoint.token)}"}
        self._carrier = carrier.Carrier(self._endpoint)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give up the connections that are open."""
        await self._carrier.close()

    async def check(self) -> str:
        """Fetch the agent card and see that it is the one of a team server; sends no token.

        Returns:
            The server's version.

        Raises:
            CleverAgentsError: it is not, or speaks another version.
        """
        headers = {**self._headers, "Accept": "application/json"}
        try:
            body = await self._carrier.exchange(wire.CARD_PATH, headers, None, cards.LIMIT)
            return cards.check(self._endpoint, body)
        except errors.ProtocolError as error:
            # Who has no card is no team server that says something wrong, but none at all.
            raise failures.not_ours(
                self._endpoint, f"its agent card cannot be used: {error.detail['reason']}"
            ) from error

    async def status(self) -> wire.StatusResult:
        """Where the namespace stands.

        Raises:
            CleverAgentsError: of the network, or what the server says against it.
        """
        answer = await self._call(wire.STATUS, wire.StatusParams(namespace=self._endpoint.namespace), wire.StatusResult)
        bodies.check_marks(self._endpoint, answer.server_id, answer.epoch, answer.cursor)
        return answer

    async def full(self, page_token: str | None) -> wire.FullResult:
        """One page of everything; the first with None, the next ones with the `next_page_token` of the one before.

        Raises:
            FullSyncRequiredError: the pages cannot go on; begin with the first again.
            CleverAgentsError: of the network, or what the server says against it.
        """
        params = wire.FullParams(namespace=self._endpoint.namespace, page_token=page_token)
        answer = await self._call(wire.FULL, params, wire.FullResult)
        bodies.check_marks(self._endpoint, answer.server_id, answer.epoch, answer.cursor, answer.next_page_token)
        if page_token is not None and answer.next_page_token == page_token:
            raise failures.nonsense(self._endpoint, "the next page is the same one again")
        bodies.check_entities(self._endpoint, answer.entities)
        return answer

    async def pull(self, cursor: str, seen: str | None = None) -> wire.PullResult:
        """One page of what changed since the cursor; `seen` is a later one, which the server has to know too.

        Raises:
            FullSyncRequiredError: the server cannot go on from there.
            CleverAgentsError: of the network, or what the server says against it.
        """
        params = wire.PullParams(namespace=self._endpoint.namespace, cursor=cursor, seen=seen)
        answer = await self._call(wire.PULL, params, wire.PullResult)
        bodies.check_marks(self._endpoint, answer.server_id, answer.epoch, answer.cursor)
        if answer.more and answer.cursor == cursor:
            raise failures.nonsense(self._endpoint, "the next page is the same one again")
        bodies.check_entities(self._endpoint, answer.changes)
        return answer

    async def push(self, changes: list[wire.Change], key: str, cursor: str | None) -> wire.PushResults:
        """Hand over changes; the results are in their order.

        Args:
            changes: What to take over.
            key: The same one when the same changes are sent again.
            cursor: Where we stand; None lets the server take the changes whatever its history.

        Raises:
            FullSyncRequiredError: the server's history is another one; nothing was taken over.
            CleverAgentsError: of the network, or what the server says against it.
        """
        params = wire.PushParams(
            namespace=self._endpoint.namespace, changes=changes, idempotency_key=key, cursor=cursor
        )
        answer = await self._call(wire.PUSH, params, wire.PushResults)
        bodies.check_marks(self._endpoint, answer.cursor)
        bodies.check_results(self._endpoint, changes, answer)
        return answer

    async def notices(self, last_id: str | None, opened: Callable[[], None] | None = None) -> AsyncGenerator[str]:
        """The event stream: the cursor of each change, and '' when a full sync is needed.

        Args:
            last_id: Where to go on; None starts with what happens from now on.
            opened: Called once the stream is there; the first change may be long in coming.

        Raises:
            CleverAgentsError: the stream could not be opened, broke, or was ended by the server.
        """
        headers = {**self._headers, **self._credentials, "Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        path = f"{wire.EVENTS_PATH}?{urlencode({'namespace': self._endpoint.namespace})}"
        parser = events.Parser()
        async with contextlib.aclosing(self._carrier.stream(path, headers, opened)) as chunks:
            async for chunk in chunks:
                for event in parser.feed(chunk):
                    if event.kind == CHANGE:
                        bodies.check_marks(self._endpoint, event.id)
                        yield event.id
                    elif event.kind == FULL_SYNC_REQUIRED:
                        yield ""
        raise failures.unreachable(self._endpoint, "it ended the event stream", key="ended")

    async def _call(self, method: str, params: msgspec.Struct, kind: type[T]) -> T:
        request = wire.RpcRequest(
            id=names.new_ulid(), method=method, params=msgspec.Raw(msgspec.json.encode(bodies.with_marks(params)))
        )
        headers = {
            **self._headers,
            **self._credentials,
            "Accept": "application/json",
            "Content-Type": "application/json",
        }
        body = await self._carrier.exchange(wire.RPC_PATH, headers, msgspec.json.encode(request), bodies.LIMIT)
        return bodies.result(self._endpoint, body, str(request.id), kind)


def _legal(token: str) -> str:
    if _TOKEN.fullmatch(token):
        return token
    raise errors.InvalidArgumentError(
        "the token is empty, or has characters that no token has: spaces, control characters, or others than ASCII",
        detail={"what": "token"},
        suggestions=["pass the token as it was shown, with --token-stdin"],
    )
