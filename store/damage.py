"""Rows that cannot be read: how they are told, and that one of them stops nobody who does not need it.

A list of things leaves such a row out, with one line in the log. Whoever asks for the row itself, or for parts of a thing
that are nothing without each other, gets `UnreadableRowError`. `ca diagnostics` finds every such row; `--repair` sets it aside.
"""

import functools
import hashlib
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

from store import errors, records
from store.records import Record

log = logging.getLogger(__name__)

R = TypeVar("R", bound=Record)
T = TypeVar("T")

REPAIR = "ca diagnostics --repair"
EARLIEST, LATEST = -62_135_596_800_000_000, 250_000_000_000_000_000
"""Microseconds; what lies outside is no time that can be shown."""


class Table(NamedTuple):
    """A table, and the columns that name a row of it."""

    name: str
    key: tuple[str, ...]


TABLES: dict[type[Record], Table] = {
    records.Project: Table("projects", ("project_id",)),
    records.Action: Table("actions", ("name",)),
    records.Actor: Table("actors", ("name",)),
    records.Plan: Table("plans", ("plan_id",)),
    records.PlanProject: Table("plan_projects", ("plan_id", "position")),
    records.Step: Table("steps", ("plan_id", "step_id")),
    records.Subplan: Table("subplans", ("plan_id",)),
    records.Conflict: Table("conflicts", ("plan_id", "position")),
    records.Decision: Table("decisions", ("decision_id",)),
    records.Failure: Table("failures", ("failure_id",)),
    records.AsyncJob: Table("async_jobs", ("job_id",)),
    records.Lock: Table("locks", ("resource_type", "resource_id")),
    records.Event: Table("events", ("seq",)),
    records.Worker: Table("workers", ("worker_id",)),
    records.Journal: Table("journals", ("plan_id",)),
    records.JournalEntry: Table("journal_entries", ("plan_id", "position")),
    records.Entity: Table("entities", ("kind", "namespace", "name")),
    records.EntityVersion: Table("entity_versions", ("version_id",)),
    records.SyncState: Table("sync_states", ("namespace",)),
}
"""The tables that hold records."""


class Rows(Protocol):
    """The rows of one statement."""

    def __next__(self) -> tuple[Any, ...]: ...


class UnreadableRowError(errors.StoreDamagedError):
    """One row of the store is not what its record asks for; all others are as they were."""


def record_of(row: tuple[Any, ...], record: type[R]) -> R:
    """A row as a record.

    Raises:
        UnreadableRowError: it does not fit.
    """
    try:
        found = msgspec.convert(row, record)
    except msgspec.ValidationError as error:
        raise _unreadable(record, row, _in_words(record, str(error))) from error
    for position in _times(record):
        time = row[position]
        if time is not None and not EARLIEST <= time <= LATEST:
            raise _unreadable(record, row, f"{record.__struct_fields__[position]}: {time} is no time")
    return found


def readable(rows: Rows, record: type[R]) -> Iterator[R]:
    """Every row as a record, those left out that cannot be read."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            _note(f"a row of {_table(record).name} was left out: {error}")
            continue
        try:
            yield record_of(row, record)
        except UnreadableRowError as error:
            _note(error.message)


def document(record: Record, column: str, kind: type[T]) -> T:
    """The JSON document in a column of a record.

    Raises:
        UnreadableRowError: there is none, or it is of another shape.
    """
    text: str | None = getattr(record, column)
    try:
        return _decoder(kind).decode(text or "")
    except msgspec.DecodeError as error:  # a ValidationError is one too
        row = tuple(getattr(record, field) for field in record.__struct_fields__)
        raise _unreadable(type(record), row, f"{column}: {error}") from error


@functools.cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)


def check_content(record: records.Action | records.Actor) -> None:
    """See that a definition is what was stored.

    Raises:
        UnreadableRowError: its content is another one.
    """
    if hashlib.sha256(record.content.encode()).hexdigest() != record.digest:
        row = tuple(getattr(record, field) for field in record.__struct_fields__)
        raise _unreadable(type(record), row, "content: it is not what was stored; its digest is another one")


def is_as_stored(record: records.Action | records.Actor) -> bool:
    """Whether a definition is what was stored; one that is not is left out of a list, and logged."""
    try:
        check_content(record)
    except UnreadableRowError as error:
        _note(error.message)
        return False
    return True


def no_text(error: UnicodeDecodeError, record: type[Record] | None = None) -> UnreadableRowError:
    """The error for a row of which nothing is known but that it holds bytes that are no text."""
    table = _table(record).name if record else "the store"
    return UnreadableRowError(
        f"a row of {table} cannot be read: {error}", detail={"table": table, "wrong": str(error)}, suggestions=[REPAIR]
    )


def _unreadable(record: type[Record], row: tuple[Any, ...], why: str) -> UnreadableRowError:
    table = _table(record)
    fields = dict(zip(record.__struct_fields__, row, strict=False))
    key = {column: str(fields[column]) for column in table.key if column in fields}
    return UnreadableRowError(
        f"{' '.join([table.name, *key.values()])} cannot be read: {why}",
        detail={"table": table.name, "key": key, "wrong": why},
        suggestions=[REPAIR],
    )


def _table(record: type[Record]) -> Table:
    """Where a record is from; of another database than the store only the kind of record is known."""
    return TABLES.get(record, Table(record.__name__.lower(), ()))


def _in_words(record: type[Record], said: str) -> str:
    """Msgspec's words with the name of the column for its number: `… - at `$[9]`` is the tenth column."""
    what, _, where = said.rpartition(" - at `$[")
    number = where.partition("]")[0]
    return f"{record.__struct_fields__[int(number)]}: {what}" if number.isdecimal() else said


@functools.cache
def _times(record: type[Record]) -> tuple[int, ...]:
    fields = enumerate(record.__struct_fields__)
    return tuple(number for number, name in fields if name.endswith("_at") or name in {"time", "last_heartbeat"})


@functools.cache
def _note(message: str) -> None:
    """Once for each daemon, however often the row is met."""
    log.warning("%s; see: ca diagnostics", message)
