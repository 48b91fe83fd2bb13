"""Events: what was committed, in order. They are appended by `Transaction.event` and read here."""

from store import rows
from store.database import Reader, Transaction
from store.records import Event

_SQL = rows.statements("events")


def since(db: Reader, seq: int, *, plan_id: str | None = None, limit: int = 1000) -> list[Event]:
    """Events after `seq`, oldest first."""
    return db.all(Event, _SQL["since"], {"since": seq, "plan_id": plan_id, "limit": limit})


def since_in_tree(db: Reader, seq: int, *, plan_id: str, limit: int = 1000) -> list[Event]:
    """Events of a plan and of all its children after `seq`, oldest first."""
    return db.all(Event, _SQL["since_in_tree"], {"since": seq, "plan_id": plan_id, "limit": limit})


def last(db: Reader, limit: int, *, plan_id: str | None = None, offset: int = 0) -> list[Event]:
    """The newest `limit` events before the last `offset` of them, in order."""
    return db.all(Event, _SQL["last"], {"plan_id": plan_id, "limit": limit, "offset": offset})


def count(db: Reader, *, plan_id: str | None = None) -> int:
    return int(db.scalar(_SQL["count"], {"plan_id": plan_id}))


def count_in_tree(db: Reader, *, plan_id: str) -> int:
    """How many events there are of a plan and of all its children."""
    return int(db.scalar(_SQL["count_in_tree"], {"plan_id": plan_id}))


def newest(db: Reader) -> int:
    """The number of the newest event that ever was; 0 for none."""
    return int(db.scalar(_SQL["newest"]))


def missing(db: Reader, seq: int) -> int:
    """How many of the events after `seq` were pruned."""
    return newest(db) - seq - int(db.scalar(_SQL["kept"], {"since": seq}))


def prune(tx: Transaction, before: int) -> int:
    """Remove events older than `before`, but not the last one of a plan; how many."""
    return len(tx.execute(_SQL["prune"], {"before": before}))
