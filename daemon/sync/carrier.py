"""HTTP to one team server: the only module that imports httpx, so only a daemon that is connected pays for it.

It is httpx's transport without its client on top: no redirects, cookies, proxies, passwords from files or content codings
that would have to be switched off, and so no way for the token to reach anybody but the origin that it is for.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncGenerator, Callable, Generator, Mapping

import httpx

from daemon.sync import bodies, failures
from daemon.sync.origins import Endpoint
from daemon.team import wire
from store.version import VERSION

IDLE_SECONDS = 2.0
"""How long a connection is kept for the next request: less than servers keep theirs, so none is found closed when used."""
CONNECTIONS = 8
SILENCES = 3
"""Comments of an event stream that may stay out before it counts as dead."""

# It writes the heads of answers into a debug log, and a hostile server may put our token there.
logging.getLogger("httpcore").setLevel(logging.INFO)

_JSON, _EVENTS = "application/json", "text/event-stream"
_EXPLAINED = frozenset({400, 403, 413, 415, 422})
"""Statuses whose body is read for its reason."""
_EXPLANATION = 64 * 1024


class Carrier:
    """Sends requests to the endpoint's own URL and reads the answers."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._transport = httpx.AsyncHTTPTransport(
            verify=_trust(endpoint),
            limits=httpx.Limits(
                max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=IDLE_SECONDS
            ),
        )

    async def close(self) -> None:
        """Close the connections that are open."""
        await self._transport.aclose()

    async def exchange(self, path: str, headers: Mapping[str, str], content: bytes | None, limit: int) -> bytes:
        """One request, a POST when it has a content, and its whole answer, within the endpoint's time-out.

        Raises:
            CleverAgentsError: there is no answer, or it is not a success in JSON of at most `limit` bytes.
        """
        with self._told():
            async with asyncio.timeout(self._endpoint.timeout), self._answer(path, headers, content) as response:
                await self._check(response, _JSON)
                return await self._body(response, limit)

    async def stream(
        self, path: str, headers: Mapping[str, str], opened: Callable[[], None] | None
    ) -> AsyncGenerator[bytes]:
        """The pieces of an event stream; its beginning within the endpoint's time-out, then with bounded silence.

        Args:
            path: Below the endpoint's URL.
            headers: Beside those of every request.
            opened: Called once the stream is there.

        Raises:
            CleverAgentsError: there is no such stream, it broke, or it said nothing for too long.
        """
        silence = SILENCES * wire.KEEP_ALIVE_SECONDS
        with self._told():
            async with contextlib.AsyncExitStack() as answers:
                async with asyncio.timeout(self._endpoint.timeout):
                    response = await answers.enter_async_context(self._answer(path, headers, None, silence))
                    await self._check(response, _EVENTS)
                if opened is not None:
                    opened()
                try:
                    async for chunk in response.aiter_raw():
                        yield chunk
                except httpx.ReadTimeout:
                    reason = f"its event stream said nothing for {silence:g} s"
                    raise failures.unreachable(self._endpoint, reason, key="timed_out") from None

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        try:
            yield
        except (httpx.HTTPError, OSError) as error:
            # Not as its cause: the words of the other side are in there, and a log shows causes.
            raise failures.from_network(self._endpoint, error) from None

    @contextlib.asynccontextmanager
    async def _answer(
        self, path: str, headers: Mapping[str, str], content: bytes | None, silence: float | None = None
    ) -> AsyncGenerator[httpx.Response]:
        request = httpx.Request(
            "GET" if content is None else "POST",
            self._endpoint.url + path,
            headers={"Accept-Encoding": "identity", "User-Agent": f"cleveragents/{VERSION}", **headers},
            content=content,
            extensions={"timeout": {"read": silence}},
        )
        try:
            response = await self._transport.handle_async_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            raise failures.not_http(self._endpoint) from None  # as in `_told`
        try:
            yield response
        finally:
            await response.aclose()

    async def _check(self, response: httpx.Response, media: str) -> None:
        """See that an answer is a success of the right type, which can be read as it is."""
        if response.status_code != 200:
            said = await self._explanation(response)
            raise failures.from_status(self._endpoint, response.status_code, response.headers, said)
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in {"", "identity"}:
            raise failures.nonsense(self._endpoint, "it is compressed, which was not asked for")
        if not _is(response, media):
            kind = self._endpoint.quote(response.headers.get("content-type", "nothing"))
            raise failures.not_ours(self._endpoint, f"it answered with {kind}, not with {media}")

    async def _explanation(self, response: httpx.Response) -> str | None:
        if response.status_code not in _EXPLAINED or not _is(response, _JSON):
            return None
        return bodies.message(self._endpoint, await self._body(response, _EXPLANATION))

    async def _body(self, response: httpx.Response, limit: int) -> bytes:
        announced = response.headers.get("content-length", "0")
        if int(announced) > limit:  # a number: it was read as one before
            raise failures.too_long(self._endpoint, limit)
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise failures.too_long(self._endpoint, limit)
        return bytes(body)


def _is(response: httpx.Response, media: str) -> bool:
    found = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return found == media or (media == _JSON and found.endswith("+json"))


def _trust(endpoint: Endpoint) -> ssl.SSLContext:
    """The system's trust store, or SSL_CERT_FILE; nothing at all when the certificate is not to be checked."""
    if not endpoint.url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and loading a trust store takes a while
    context = ssl.create_default_context()
    if not endpoint.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
