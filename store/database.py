"""The open store: read by anybody, written by one thread with group commit.

Every change is a function that gets a `Transaction`. Requests that wait at the same time share one commit, with a savepoint
each, so one that fails takes nothing of the others with it. A result is handed out after the commit that holds it.
Reads have a connection of their own and never wait for the writer.
"""

import asyncio
import contextlib
import errno
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import apsw
import msgspec

from store import crashpoints, damage, errors
from store.clock import Clock
from store.records import Event, Record

log = logging.getLogger(__name__)

BATCH_LIMIT = 512
"""Requests that share one commit at most."""
SPILL = 1 << 20
"""Bytes that a savepoint may need for its way back before SQLite keeps them in a file; its own limit is 15 pages."""

# before the first connection; nobody asks how much memory SQLite has, and to count it costs a lock for each piece
apsw.shutdown()
apsw.config(apsw.SQLITE_CONFIG_STMTJRNL_SPILL, SPILL)
apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, 0)
apsw.initialize()

R = TypeVar("R", bound=Record)
T = TypeVar("T")
Value = str | bytes | int | float | None
Bindings = Sequence[Value] | Mapping[str, Value]


class Cursor(Protocol):
    """What a statement returns."""

    def __next__(self) -> tuple[Any, ...]: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...


class Connection(Protocol):
    """The part of `apsw.Connection` that is used here, with the types that its stubs leave open."""

    @property
    def in_transaction(self) -> bool: ...
    @property
    def system_errno(self) -> int: ...
    def execute(self, statements: str, bindings: Bindings | None = None) -> Cursor: ...
    def pragma(self, name: str, value: str | int | None = None) -> Any: ...
    def last_insert_rowid(self) -> int: ...
    def changes(self) -> int: ...
    def config(self, op: int, *values: int) -> int: ...
    def set_busy_timeout(self, milliseconds: int) -> None: ...
    def close(self, force: bool = False) -> None: ...  # noqa: FBT001, FBT002  apsw's signature


class Reader:
    """SQL in, records out."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self.clock = clock

    def execute(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement.

        Raises:
            UnreadableRowError: one holds bytes that are no text.
        """
        try:
            return self._connection.execute(sql, bindings).fetchall()
        except UnicodeDecodeError as error:
            raise damage.no_text(error) from error

    def all(self, record: type[R], sql: str, bindings: Bindings = ()) -> list[R]:
        """Every row as a record; one that cannot be read is left out, and logged."""
        return list(damage.readable(self._connection.execute(sql, bindings), record))

    def whole(self, record: type[R], sql: str, bindings: Bindings = ()) -> list[R]:
        """Every row as a record, where one without the others would mean something else.

        Raises:
            UnreadableRowError: one cannot be read.
        """
        try:
            return [damage.record_of(row, record) for row in self._connection.execute(sql, bindings).fetchall()]
        except UnicodeDecodeError as error:
            raise damage.no_text(error, record) from error

    def one(self, record: type[R], sql: str, bindings: Bindings = ()) -> R | None:
        """The first row as a record, if there is one.

        Raises:
            UnreadableRowError: it cannot be read.
        """
        try:
            row = self._connection.execute(sql, bindings).fetchone()
        except UnicodeDecodeError as error:
            raise damage.no_text(error, record) from error
        return None if row is None else damage.record_of(row, record)

    def scalar(self, sql: str, bindings: Bindings = ()) -> Any:
        """The first column of the first row, or `None`."""
        row = self._connection.execute(sql, bindings).fetchone()
        return None if row is None else row[0]


@contextlib.contextmanager
def reading(path: Path, clock: Clock) -> Generator[Reader]:
    """A reader with a connection of its own, for a thread of its own.

    Raises:
        CleverAgentsError: SQLite's errors as ours.
    """
    try:
        with contextlib.closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as opened:
            opened.set_busy_timeout(2000)
            yield Reader(cast("Connection", opened), clock)
    except apsw.Error as error:
        raise from_sqlite(error) from error


class Transaction(Reader):
    """What a writing function gets: reads see its own writes; events become visible with the commit."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        super().__init__(connection, clock)
        self.now = clock.now()
        self.steady = clock.steady()
        self.events: list[Event] = []

    def change(self, sql: str, bindings: Bindings) -> int:
        """How many rows one statement changed."""
        self._connection.execute(sql, bindings)
        return self._connection.changes()

    def event(self, kind: str, *, plan_id: str | None = None, job_id: str | None = None, **detail: object) -> None:
        """Append an event in this transaction."""
        detail_json = msgspec.json.encode(detail).decode()
        self._connection.execute(_INSERT_EVENT, (self.now, kind, plan_id, job_id, detail_json))
        seq = self._connection.last_insert_rowid()
        self.events.append(Event(seq, self.now, kind, plan_id, job_id, detail_json))


_INSERT_EVENT = """\
INSERT INTO events (seq, time, kind, plan_id, job_id, detail_json)
VALUES (
    1 + max(coalesce((SELECT max(seq) FROM events), 0), (SELECT value FROM counters WHERE name = 'events')),
    ?, ?, ?, ?, ?
)
"""


class _Request(msgspec.Struct, eq=False):
    work: Callable[[Transaction], Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: BaseException | None = None


class Database:
    """The open store of one daemon.

    `write` and `read` belong to the event loop's thread. `on_commit` is called there with the events of each commit,
    before the results of that commit are handed out.
    """

    def __init__(self, writer: Connection, reader: Connection, clock: Clock) -> None:
        self.clock = clock
        self.read = Reader(reader, clock)
        self.on_commit: Callable[[list[Event]], None] = lambda _events: None
        self._writer = writer
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._standing: dict[str, deque[_Request]] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction; its result comes back once it is durable.

        Raises:
            CleverAgentsError: what `work` raised; nothing of it was written.
            DiskFullError, StoreDamagedError: the commit failed; nothing was written.
        """
        if self._closing:
            raise errors.DaemonUnavailableError("the daemon is stopping; the store takes no more changes")
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.put(_Request(work, future))
        return await future

    def stand_by(self, kind: str, work: Callable[[Transaction], T]) -> "asyncio.Future[T | None]":
        """Have `work` done behind the next event of a kind, in the same commit; each event is for one who stands by."""
        future: asyncio.Future[T | None] = self._loop.create_future()
        self._standing.setdefault(kind, deque()).append(_Request(work, future))
        return future

    def stand_down(self, kind: str) -> bool:
        """Let the first who stands by go on with `None`; False when there is nobody, or only work that is being done."""
        try:
            request = self._standing[kind].popleft()
        except LookupError:
            return False
        if not request.future.done():
            request.future.set_result(None)
        return True

    async def close(self) -> None:
        """Commit what waits, note the clean end, close."""
        if self._closing:
            return
        self._closing = True
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        # whatever the disk refuses now costs nothing but time: the next start reads the log and checks the store
        try:
            self._writer.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '1')")
        except apsw.Error as error:
            log.warning("the clean end could not be noted: %s", error)
        for connection in (self._reader, self._writer):
            try:
                connection.close()
            except apsw.Error as error:
                log.warning("the store could not be closed in order: %s", error)

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            self._commit(self._batch(first))

    def _batch(self, first: _Request) -> list[_Request]:
        """What waits by now."""
        batch = [first]
        while len(batch) < BATCH_LIMIT and not self._waiting.empty():
            request = self._waiting.get()
            if request is None:  # nothing comes behind the end
                self._waiting.put(None)
                break
            batch.append(request)
        return batch

    def _commit(self, batch: list[_Request]) -> None:
        events: list[Event] = []
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for request in batch:
                events += self._carry_out(request, alone=len(batch) == 1)
            called = self._called(events)
            batch += called
            for request in called:
                events += self._carry_out(request, alone=False)
            crashpoints.reach("store.before-commit")
            crashpoints.around_commit("before", events)
            self._writer.execute("COMMIT")
            crashpoints.reach("store.after-commit")
            crashpoints.around_commit("after", events)
        except apsw.Error as error:
            self._roll_back(batch, error)
            events = []
        self._loop.call_soon_threadsafe(self._deliver, batch, events)

    def _carry_out(self, request: _Request, *, alone: bool) -> list[Event]:
        """Do one request's work; one that is alone has the transaction as its savepoint."""
        transaction = Transaction(self._writer, self.clock)
        if not alone:
            self._writer.execute("SAVEPOINT request")
        try:
            request.result = request.work(transaction)
        except Exception as error:
            if isinstance(error, apsw.Error) and not self._writer.in_transaction:
                raise  # the disk was full or failed: SQLite has rolled the whole transaction back
            # whatever else it is belongs to the one who asked
            self._writer.execute("ROLLBACK; BEGIN IMMEDIATE" if alone else "ROLLBACK TO request; RELEASE request")
            request.error = self._translated(error) if isinstance(error, apsw.Error) else error
            return []
        if not alone:
            self._writer.execute("RELEASE request")
        return transaction.events

    def _called(self, events: Sequence[Event]) -> list[_Request]:
        """Those who stand by for one of these events."""
        called: list[_Request] = []
        for event in events:
            if standing := self._standing.get(event.kind):
                try:
                    called.append(standing.popleft())
                except IndexError:  # the last one was told to stand down just now
                    continue
        return called

    def _roll_back(self, batch: list[_Request], error: apsw.Error) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
        for request in batch:
            request.error = request.error or self._translated(error)

    def _translated(self, error: apsw.Error) -> errors.CleverAgentsError:
        """SQLite reports only ENOSPC as a full disk; a file or a quota at its limit is an I/O error with an errno."""
        if isinstance(error, apsw.IOError) and self._writer.system_errno in {errno.EFBIG, errno.EDQUOT}:
            return from_sqlite(apsw.FullError(str(error)))
        return from_sqlite(error)

    def _deliver(self, batch: list[_Request], events: list[Event]) -> None:
        if events:
            self.on_commit(events)
        for request in batch:
            if request.future.cancelled():
                continue
            if request.error is not None:
                request.future.set_exception(request.error)
            else:
                request.future.set_result(request.result)


def sqlite_version() -> str:
    """The version of the SQLite library in use."""
    return apsw.sqlite_lib_version()


def from_sqlite(error: apsw.Error) -> errors.CleverAgentsError:
    """SQLite's error as ours."""
    if isinstance(error, apsw.FullError):
        return errors.DiskFullError(
            "the store cannot be written: the disk is full",
            suggestions=["free some space and run the same command again"],
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, apsw.CantOpenError)):
        return errors.StoreDamagedError(f"the store is damaged: {error}", suggestions=["ca diagnostics"])
    return errors.InternalError(f"the store refused a statement: {error}")
