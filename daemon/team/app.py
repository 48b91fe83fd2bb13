"""The team server's ASGI application."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import apsw
import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from daemon.team import access, answers, card, rpc, tokens, wire
from daemon.team.answers import Refused
from daemon.team.methods import Methods
from daemon.team.streams import EventStream, Streams
from store import errors, team, team_opening
from store.clock import Clock
from store.database import Database
from store.version import VERSION

log = logging.getLogger(__name__)

COLLECT_SECONDS = 86_400.0


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may ask of a process of the server.

    Attributes:
        rate: Requests a second of one token, or of one address without any; 0 is no limit.
        burst: How many may come at once from one that was quiet.
        body_seconds: For a whole request body.
        send_seconds: For the client of an event stream to take what it is sent.
        keep_alive_seconds: Between two comments on an event stream that has nothing to say.
        streams: Event streams at the same time.
    """

    rate: float = 1000.0
    burst: int = 5000
    body_seconds: float = 15.0
    send_seconds: float = 30.0
    keep_alive_seconds: float = wire.KEEP_ALIVE_SECONDS
    streams: int = 1000


def build(database: Path, *, workers: int = 1, limits: Limits | None = None, clock: Clock | None = None) -> Starlette:
    """The application over a database that `store.team_opening.prepare` has prepared.

    The database is opened when the application starts and closed when it ends (ASGI's lifespan).

    Args:
        database: The file.
        workers: How many processes serve it; with more than one, streams look for what the others wrote.
        limits: What a client may ask.
        clock: Of the retention; the system's when not given.
    """
    server = _Server(database, workers, limits or Limits(), clock or Clock())
    application = Starlette(
        routes=[
            Route(wire.RPC_PATH, server.rpc, methods=["POST"]),  # looked for in this order: nearly all goes here
            Route(f"{wire.RPC_PATH}/", server.rpc, methods=["POST"]),
            Route(wire.EVENTS_PATH, server.events),
            Route(wire.CARD_PATH, server.card),
            Route("/health", server.health),
            Route("/live", server.live),
            Route("/ready", server.ready),
        ],
        exception_handlers={Refused: answers.refusal},
        lifespan=server.lifespan,
    )
    application.state.server = server
    return application


def end_streams(application: Starlette) -> None:
    """End every event stream now, and take no new ones: call it when the process is told to stop."""
    server: _Server = application.state.server
    server.end_streams()


class _Server:
    """One process of the team server, from the start of its application to the end."""

    db: Database
    recent: team.Recent
    streams: Streams
    methods: Methods

    def __init__(self, database: Path, workers: int, limits: Limits, clock: Clock) -> None:
        self.database = database
        self.workers = workers
        self.limits = limits
        self.clock = clock
        self.rates = access.Rates(limits.rate, limits.burst)

    @contextlib.asynccontextmanager
    async def lifespan(self, _application: Starlette) -> AsyncGenerator[None]:
        self.db = team_opening.open_(self.database, self.clock)
        self.recent = team.Recent(self.db.read)
        self.streams = Streams(
            self.db,
            self.recent,
            limit=self.limits.streams,
            send_seconds=self.limits.send_seconds,
            keep_alive_seconds=self.limits.keep_alive_seconds,
            alone=self.workers == 1,
        )
        self.methods = Methods(self.db, self.recent, self.streams.wake)
        collecting = asyncio.create_task(self._collect_daily(), name="collector")
        try:
            yield
        finally:
            collecting.cancel()
            self.streams.end()
            await self.db.close()

    def end_streams(self) -> None:
        self.streams.end()

    async def _collect_daily(self) -> None:
        while True:
            try:
                await self.db.write(team.collect)
            except errors.CleverAgentsError as error:
                log.warning("old deletions could not be collected: %s", error.message)
            await asyncio.sleep(COLLECT_SECONDS)

    # --- endpoints -----------------------------------------------------------------------------------------------------

    async def live(self, _request: Request) -> Response:
        """The process answers."""
        return answers.document(answers.encode({"status": "ok", "version": VERSION}))

    async def ready(self, _request: Request) -> Response:
        """It may be sent work: its database can be read, and it is not stopping."""
        if self.streams.ending or not self._readable():
            return answers.document(answers.encode({"status": "unavailable", "version": VERSION}), 503)
        return answers.document(answers.encode({"status": "ok", "version": VERSION}))

    async def health(self, request: Request) -> Response:
        """It answers and can do its work."""
        return await self.ready(request)

    def _readable(self) -> bool:
        try:
            team.server_id(self.db.read)
        except (apsw.Error, errors.CleverAgentsError):
            log.exception("the database cannot be read")
            return False
        return True

    async def card(self, request: Request) -> Response:
        db = self.db.read
        return card.answer(request, team.server_id(db), needs_token=tokens.any_exists(db))

    async def rpc(self, request: Request) -> Response:
        caller = self._admitted(request)
        _check_type(request)
        try:
            body = await _body(request, self.limits.body_seconds)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        version = request.headers.get(wire.VERSION_HEADER)
        return answers.document(await rpc.answer(body, version, self.methods.of(caller)))

    async def events(self, request: Request) -> Response:
        if request.method != "GET":  # Starlette lets HEAD in, which would wait for a body without end
            raise Refused(405, wire.INVALID_REQUEST, "usage", "an event stream is asked for with GET", {"Allow": "GET"})
        caller = self._admitted(request)
        namespace = request.query_params.get("namespace", "")
        try:
            caller.check_reads(namespace)
        except errors.InvalidArgumentError as error:
            raise Refused(400, wire.INVALID_PARAMS, error.code, error.message) from error
        except errors.ForbiddenError as error:
            raise Refused(403, wire.FORBIDDEN, error.code, error.message) from error
        self.streams.check_free()
        return EventStream(self.streams, caller, namespace, request.headers.get("last-event-id"))

    def _admitted(self, request: Request) -> access.Caller:
        """Who asks; those who are refused are counted too, by their address."""
        try:
            caller = access.admit(request, self.db.read, self.recent)
        except Refused:
            self.rates.check(request.client.host if request.client else "")
            raise
        self.rates.check(caller.token.token_id if caller.token else caller.address)
        return caller


def _check_type(request: Request) -> None:
    """See that the body is JSON as it is, before it is read."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type != "application/json" or encoding != "identity":
        message = "a request has Content-Type: application/json and is not compressed"
        raise Refused(415, wire.INVALID_REQUEST, "usage", message)


async def _body(request: Request, seconds: float) -> bytes:
    """The whole body, if it is not too long and does not take too long."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > wire.BODY_LIMIT:
        raise _too_long()
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                body += part
                if len(body) > wire.BODY_LIMIT:
                    raise _too_long()
    except TimeoutError as error:
        message = f"the request's body did not come within {seconds:g} s"
        raise Refused(408, wire.INVALID_REQUEST, "timed_out", message) from error
    return bytes(body)


def _too_long() -> Refused:
    return Refused(413, wire.INVALID_REQUEST, "usage", f"a request's body has {wire.BODY_LIMIT} bytes at most")
