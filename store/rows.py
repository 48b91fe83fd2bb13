"""What every family of tables shares: named statements from `queries/`, inserts and updates from a record's fields."""

import functools
import re
from pathlib import Path

from store.database import Transaction, Value
from store.records import Record

QUERIES = Path(__file__).parent / "queries"
_BLOCK = re.compile(r"^-- (?P<name>[a-z_]+): (?P<purpose>.+)$", re.MULTILINE)


@functools.cache
def statements(family: str) -> dict[str, str]:
    """The statements of `queries/<family>.sql` by name; each block opens with `-- name: purpose`."""
    parts = _BLOCK.split((QUERIES / f"{family}.sql").read_text(encoding="utf-8"))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::3], parts[3::3], strict=True)}


@functools.cache
def _insert_statement(table: str, record: type[Record]) -> str:
    fields = record.__struct_fields__
    return f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"


def insert(tx: Transaction, table: str, record: Record) -> None:
    """Insert one record; its fields are the table's columns."""
    values = [getattr(record, field) for field in record.__struct_fields__]
    tx.execute(_insert_statement(table, type(record)), values)


@functools.cache
def _update_statement(table: str, key: tuple[str, ...], columns: tuple[str, ...]) -> str:
    sets = ", ".join(f"{column} = ?" for column in columns)
    where = " AND ".join(f"{column} IS ?" for column in key)
    return f"UPDATE {table} SET {sets} WHERE {where}"


def update(tx: Transaction, table: str, key: dict[str, Value], changes: dict[str, Value]) -> bool:
    """Set `changes` where every column of `key` has its value; False when no row has."""
    statement = _update_statement(table, tuple(key), tuple(changes))
    return tx.change(statement, [*changes.values(), *key.values()]) > 0
