"""Journals: what an Apply is about to change, durable before the first change, and kept for Undo."""

from collections.abc import Sequence

from store import rows
from store.database import Reader, Transaction
from store.records import Journal, JournalEntry

_SQL = rows.statements("journals")


def begin(tx: Transaction, plan_id: str, mode: str, entries: Sequence[JournalEntry]) -> None:
    """Record every change before the first one is made; an earlier journal of the plan is replaced."""
    remove(tx, plan_id)
    rows.insert(tx, "journals", Journal(plan_id, "writing", mode, tx.now))
    for position, entry in enumerate(entries):
        values = (getattr(entry, field) for field in entry.__struct_fields__)
        tx.execute(_SQL["add_entry"], (plan_id, position, *values))


def set_state(tx: Transaction, plan_id: str, state: str) -> None:
    tx.execute(_SQL["set_state"], {"plan_id": plan_id, "state": state})


def remove(tx: Transaction, plan_id: str) -> None:
    tx.execute(_SQL["remove"], (plan_id,))


def get(db: Reader, plan_id: str) -> Journal | None:
    return db.one(Journal, _SQL["get"], (plan_id,))


def entries(db: Reader, plan_id: str) -> list[JournalEntry]:
    return db.whole(JournalEntry, _SQL["entries"], (plan_id,))


def unfinished(db: Reader) -> list[Journal]:
    """Journals whose writing a crash may have cut."""
    return db.all(Journal, _SQL["unfinished"])
