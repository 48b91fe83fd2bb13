"""Event streams: a client hears that something changed, and where to go on from if it has to come back.

Nothing is queued for a client. A stream that is woken asks the store what came after its own place, so one that reads slowly
costs nothing and misses nothing.
"""

import asyncio
import contextlib
from collections.abc import Generator
from typing import cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from daemon.team import access, answers, cursors, wire
from daemon.team.access import Caller
from daemon.team.answers import Refused
from daemon.team.cursors import Cursor
from store import errors, team
from store.database import Database, Reader

LOOK_SECONDS = 0.05
"""Between two looks for what other processes wrote, while anybody listens."""
BATCH = 100
"""Events that are sent at once."""
RETRY_AFTER = "5"


class Streams:
    """The streams of one process."""

    def __init__(
        self,
        db: Database,
        recent: team.Recent,
        *,
        limit: int,
        send_seconds: float,
        keep_alive_seconds: float,
        alone: bool,
    ) -> None:
        self.db: Reader = db.read
        self.recent = recent
        self.send_seconds = send_seconds
        self.keep_alive_seconds = keep_alive_seconds
        self.ending = False
        self._limit = limit
        self._alone = alone
        self._open: dict[asyncio.Event, str] = {}
        self._watcher: asyncio.Task[None] | None = None

    def wake(self, namespace: str) -> None:
        """Something changed in a namespace."""
        for event, listens_to in self._open.items():
            if listens_to == namespace:
                event.set()

    def end(self) -> None:
        """End all of them, and take no new ones."""
        self.ending = True
        self._wake_all()
        if self._watcher is not None:
            self._watcher.cancel()

    def check_free(self) -> None:
        """See that there is room for another one.

        Raises:
            Refused: 503.
        """
        if self.ending or len(self._open) >= self._limit:
            problem = "the server is stopping" if self.ending else "too many event streams are open"
            headers = {"Retry-After": RETRY_AFTER}
            raise Refused(503, wire.INTERNAL, "unreachable", f"{problem}; try again later", headers)

    @contextlib.contextmanager
    def joined(self, namespace: str) -> Generator[asyncio.Event]:
        """One more stream: its event is set when there may be something to do."""
        event = asyncio.Event()
        self._open[event] = namespace
        if not self._alone and (self._watcher is None or self._watcher.done()):
            self._watcher = asyncio.create_task(self._watch(), name="streams-watcher")
        try:
            yield event
        finally:
            del self._open[event]

    def _wake_all(self) -> None:
        for event in self._open:
            event.set()

    async def _watch(self) -> None:
        """Notice what other processes write, as long as there is a stream."""
        seen = self.db.scalar("PRAGMA data_version")
        self._wake_all()  # for what was written before it was looked at
        while self._open:
            await asyncio.sleep(LOOK_SECONDS)
            version = self.db.scalar("PRAGMA data_version")
            if version != seen:
                seen = version
                self._wake_all()


class EventStream(Response):
    """The answer to one listener, for as long as the client, its token and the server stay."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, caller: Caller, namespace: str, last_id: str | None) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._caller = caller
        self._namespace = namespace
        self._last_id = last_id
        self._gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's signature
        self._send = send
        with self._streams.joined(self._namespace) as woken:
            listening = asyncio.create_task(self._listen(receive, woken), name="stream-listener")
            try:
                await self._timed({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await self._run(woken)
                await self._timed({"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:
                return  # the client does not read: the server closes the connection
            finally:
                listening.cancel()

    async def _listen(self, receive: Receive, woken: asyncio.Event) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        woken.set()

    async def _run(self, woken: asyncio.Event) -> None:
        cursor = self._start()
        await self._say(f": {self._namespace}\nid: {cursor or self._now()}\n\n".encode())
        while self._stays():
            woken.clear()
            cursor, said = self._news(cursor)
            if said:
                await self._say(said)
                continue
            try:
                async with asyncio.timeout(self._streams.keep_alive_seconds):
                    await woken.wait()
            except TimeoutError:
                await self._say(b":\n\n")

    def _stays(self) -> bool:
        going = self._gone or self._streams.ending
        return not going and access.still_admitted(self._caller, self._streams.db, self._streams.recent)

    def _start(self) -> Cursor | None:
        """Where the client was, or now; None when it was at a place that never was."""
        if self._last_id is None:
            return self._now()
        try:
            return cursors.parse(self._last_id)
        except errors.InvalidArgumentError:
            return None

    def _now(self) -> Cursor:
        return Cursor.at(team.standing(self._streams.db, self._namespace))

    def _news(self, cursor: Cursor | None) -> tuple[Cursor, bytes]:
        """What came after a place, and the place after that."""
        if cursor is not None and cursor == Cursor.at(self._streams.recent.standing(self._namespace)):
            return cursor, b""
        db = self._streams.db
        with team.snapshot(db):
            if cursor is None or not team.knows(db, self._namespace, cursor.epoch, cursor.position):
                now = self._now()
                return now, _event("full_sync_required", now, answers.encode({"namespace": self._namespace}))
            said: list[bytes] = []
            for row in team.notices(db, self._namespace, cursor.position.revision, BATCH):
                cursor = Cursor(cursor.epoch, team.Position(row.revision, row.chain))
                said.append(_event("change", cursor, answers.encode(self._notice(row, cursor))))
            return cursor, b"".join(said)

    def _notice(self, row: team.NoticeRow, cursor: Cursor) -> wire.Notice:
        return wire.Notice(
            namespace=self._namespace,
            kind=cast("wire.Kind", row.kind),
            name=row.name,
            revision=row.revision,
            deleted=row.deleted,
            cursor=str(cursor),
        )

    async def _say(self, text: bytes) -> None:
        await self._timed({"type": "http.response.body", "body": text, "more_body": True})

    async def _timed(self, message: dict[str, object]) -> None:
        """Send; a client that does not take what it is sent in time is given up."""
        async with asyncio.timeout(self._streams.send_seconds):
            await self._send(message)


def _event(kind: str, cursor: Cursor, data: bytes) -> bytes:
    return f"id: {cursor}\nevent: {kind}\ndata: ".encode() + data + b"\n\n"
