"""The lists in which plans are shown: root plans by what they mean to the user, children under their parents; page by page.

However many plans there are, a page costs what a page costs, and what the lists have without a filter is known. A filter looks
at every row of the board; whoever has an event loop to keep free asks for that in a thread.
"""

import enum
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from store import rows
from store.database import Reader, Value
from store.records import Plan

_SQL = rows.statements("boards")


class List(enum.StrEnum):
    """What a root plan means to the user."""

    NEEDS_YOU = "needs_you"  # it goes on only when somebody says so
    RUNNING = "running"  # a job works on it
    QUEUED = "queued"  # its job waits for a worker
    DONE = "done"  # applied or cancelled


class Place(NamedTuple):
    """Where a plan is: in one of the lists or among the children of a plan, behind how many others."""

    of: str
    position: int


def pattern(text: str) -> str | None:
    r"""What to filter by, for LIKE: the words of `text` in their order, anything between them; None for no words.

    They are looked for in the name of a plan, its action and its projects, one behind the other.
    """
    escaped = [word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for word in text.split()]
    return f"%{'%'.join(escaped)}%" if escaped else None


def counts(db: Reader, matching: str | None = None) -> dict[List, int]:
    """How many plans each list has, those that have none left out; `matching` is a pattern."""
    if matching is None:
        return {List(name): number for name, number in db.execute(_SQL["counts"])}
    return {List(name): number for name, number in db.execute(_SQL["counts_of_matching"], {"pattern": matching})}


def page(db: Reader, of: List, *, offset: int = 0, limit: int, matching: str | None = None) -> list[Plan]:
    """At most `limit` plans of a list from a position on."""
    wanted: dict[str, Value] = {"list": of, "offset": offset, "limit": limit}
    if matching is None:
        return db.all(Plan, _SQL["page"], wanted)
    return db.all(Plan, _SQL["page_of_matching"], {**wanted, "pattern": matching})


def children(db: Reader, parent: str, *, offset: int, limit: int) -> list[Plan]:
    """At most `limit` children of a plan from a position on."""
    return db.all(Plan, _SQL["children"], {"parent": parent, "offset": offset, "limit": limit})


def children_count(db: Reader, parent: str) -> int:
    return int(db.scalar(_SQL["children_count"], (parent,)))


def place(db: Reader, plan: Plan, matching: str | None = None) -> Place | None:
    """Where a plan is; None for a child that does not count any more, and a root plan that does not match."""
    if plan.parent_plan_id is not None:
        position = db.scalar(_SQL["children_before"], (plan.plan_id,))
        return None if position is None else Place(plan.parent_plan_id, int(position))
    ((name, where),) = db.execute(_SQL["where"], (plan.plan_id,))
    wanted: dict[str, Value] = {"list": name, "place": where, "plan_id": plan.plan_id}
    if matching is None:
        return Place(name, int(db.scalar(_SQL["before"], wanted)))
    position = db.scalar(_SQL["before_matching"], {**wanted, "pattern": matching})
    return None if position is None else Place(name, int(position))


def names(db: Reader, plan_ids: Iterable[str]) -> dict[str, str]:
    """What some plans are called, by their ids."""
    wanted = msgspec.json.encode(sorted(set(plan_ids))).decode()
    return dict(db.execute(_SQL["names"], {"plan_ids": wanted}))
