"""Rows as they are, whatever is in them: to name them, to keep a copy of them, and to take them out of the store.

For what `store.database` cannot read. A text is bytes here, because it may hold anything.
"""

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from store import rows as statements
from store.database import Reader, Transaction
from store.errors import from_os_error
from store.records import AsyncJob

Raw = bytes | int | float | None
Key = Mapping[str, Raw]
"""The columns that name a row, a text as bytes."""

PREFIX = "set-aside-"

_SQL = statements.statements("raw")


class Row(msgspec.Struct, frozen=True):
    """One row: `columns` as they are, and which of them are texts."""

    table: str
    columns: dict[str, Raw]
    texts: frozenset[str]

    def values(self, names: Sequence[str]) -> tuple[Any, ...]:
        """What a reader of the store gets of these columns.

        Raises:
            UnicodeDecodeError: a text is none.
        """
        return tuple(self._value(name) for name in names)

    def _value(self, name: str) -> Any:
        value = self.columns[name]
        return value.decode() if name in self.texts and isinstance(value, bytes) else value


def columns(db: Reader, table: str) -> list[str]:
    """The names of a table's columns, in their order."""
    return [str(row[0]) for row in db.execute("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))]


def rows(db: Reader, table: str, where: str = "TRUE", bindings: Key | None = None) -> Iterator[Row]:
    """The rows of a table for which a condition holds."""
    names = columns(db, table)
    wanted = ", ".join(f"{as_it_is(name)}, typeof({name})" for name in names)
    for found in db.execute(f"SELECT {wanted} FROM {table} WHERE {where}", bindings or {}):
        texts = frozenset(name for name, kind in zip(names, found[1::2], strict=True) if kind == "text")
        yield Row(table, dict(zip(names, found[0::2], strict=True)), texts)


def of_key(db: Reader, table: str, key: Key) -> list[Row]:
    """The rows of a key."""
    return list(rows(db, table, _where(key), key))


def take_out(tx: Transaction, table: str, key: Key) -> list[Row]:
    """Remove the rows of a key; what they were."""
    found = of_key(tx, table, key)
    tx.execute(f"DELETE FROM {table} WHERE {_where(key)}", key)
    return found


def give_up_job(tx: Transaction, job_id: str, code: str, message: str) -> bool:
    """End an open job by its own row alone; whether it was open."""
    bindings = {"job_id": job_id, "now": tx.now, "code": code, "message": message}
    return tx.scalar(_SQL["give_up"], bindings) is not None


def job_as_running(tx: Transaction, job_id: str) -> AsyncJob:
    """Let a job take the place of one that was running."""
    running = tx.one(AsyncJob, _SQL["as_running"], (job_id,))
    assert running is not None, "the caller queued it"
    return running


def keep(directory: Path, taken: Sequence[Row], why: Sequence[str]) -> Path:
    """Write rows to a file of their own, as JSON, durable before this returns.

    Raises:
        CleverAgentsError: it cannot be written (`disk_full`, `permission_denied`).
    """
    document = {
        "why": list(why),
        "rows": [{"table": row.table, "row": {name: _shown(row, name) for name in row.columns}} for row in taken],
    }
    moment = datetime.now(UTC)
    path = directory / f"{PREFIX}{moment:%Y%m%dT%H%M%S%f}.json"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(document), indent=1))
            file.flush()
            os.fsync(file.fileno())
        parent = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise from_os_error(error, f"cannot keep what is set aside in {path}") from error
    return path


def kept(directory: Path) -> list[Path]:
    """The files with what was set aside, oldest first."""
    return sorted(directory.glob(f"{PREFIX}*.json"))


def text(value: Raw) -> str:
    """A raw value in a message."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _shown(row: Row, name: str) -> Any:
    """A value as JSON has it; bytes that are no text in base64."""
    value = row.columns[name]
    if not isinstance(value, bytes):
        return value
    try:
        return row.values([name])[0] if name in row.texts else {"base64": base64.b64encode(value).decode()}
    except UnicodeDecodeError:
        return {"text_base64": base64.b64encode(value).decode()}


def as_it_is(column: str) -> str:
    """The SQL for a column's value with a text as bytes."""
    return f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END"


def _where(key: Key) -> str:
    """A text is compared by its bytes: as a text it may be one that nothing can be compared with."""
    return " AND ".join(
        f"CAST({name} AS BLOB) IS :{name}" if isinstance(value, bytes) else f"{name} IS :{name}"
        for name, value in key.items()
    )
