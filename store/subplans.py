"""The children of plans, and their conflicts: the tables `subplans` and `conflicts` and every statement on them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from store import rows
from store.database import Reader, Transaction, Value
from store.records import Conflict, Plan, Subplan

_SQL = rows.statements("subplans")


class Standing(NamedTuple):
    """Where a child stands: of its plan and of its row what decides what happens next."""

    plan_id: str
    position: int
    name: str
    item: str
    phase: str
    state: str
    has_job: bool
    starts: int
    retry: bool
    fate: str | None
    admitted: int | None
    integrated: bool
    error_code: str | None


def insert(tx: Transaction, subplan: Subplan) -> None:
    rows.insert(tx, "subplans", subplan)


def update(tx: Transaction, plan_id: str, **changes: Value) -> None:
    rows.update(tx, "subplans", {"plan_id": plan_id}, changes)


def get(db: Reader, plan_id: str) -> Subplan | None:
    """A child as its parent sees it; None for a root plan, and for a child that does not count any more."""
    return db.one(Subplan, _SQL["get"], (plan_id,))


def of_plan(db: Reader, plan_id: str) -> list[Subplan]:
    """The children of all steps of a plan, in order."""
    return db.whole(Subplan, _SQL["of_plan"], (plan_id,))


def of_step(db: Reader, plan_id: str, step_id: str) -> list[Subplan]:
    return db.whole(Subplan, _SQL["of_step"], (plan_id, step_id))


def standing(db: Reader, plan_id: str, step_id: str) -> list[Standing]:
    return [Standing(*row) for row in db.execute(_SQL["standing"], (plan_id, step_id))]


def made(db: Reader, plan_id: str) -> int:
    """How many children a plan ever had."""
    return int(db.scalar(_SQL["made"], (plan_id,)))


def unfinished(db: Reader, plan_id: str) -> list[Plan]:
    """The children that a plan ever had and that are not over."""
    return db.all(Plan, _SQL["unfinished"], (plan_id,))


def forget(tx: Transaction, plan_id: str) -> None:
    """A child does not count any more; its plan stays."""
    tx.execute(_SQL["forget"], (plan_id,))


def forget_all(tx: Transaction, parent_plan_id: str) -> None:
    """No child of this plan counts any more; their plans stay."""
    tx.execute(_SQL["forget_all"], (parent_plan_id,))


def conflicts(db: Reader, plan_id: str) -> list[Conflict]:
    """The conflicts of a plan with the child that is next to enter it, settled ones included."""
    return db.whole(Conflict, _SQL["conflicts"], (plan_id,))


def replace_conflicts(tx: Transaction, plan_id: str, found: Iterable[Conflict] | Sequence[Conflict]) -> None:
    """These are all conflicts that the plan has now."""
    tx.execute(_SQL["forget_conflicts"], (plan_id,))
    for conflict in found:
        rows.insert(tx, "conflicts", conflict)


def settle(tx: Transaction, conflict: Conflict, taken: str, mode: int | None, blob: str | None) -> None:
    """Note which version of a file was chosen."""
    key: dict[str, Value] = {"plan_id": conflict.plan_id, "position": conflict.position}
    rows.update(tx, "conflicts", key, {"taken": taken, "taken_mode": mode, "taken_blob": blob})
