"""Plans with their children, many at a time: what lists and trees are made of, in a few statements however long they are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from store import rows
from store.database import Reader, Value
from store.records import Decision, Plan, PlanProject, Step, Subplan

_SQL = rows.statements("trees")
EVERYTHING = -1
"""The limit that is none."""


class Count(NamedTuple):
    """How many children of a step are in one state, and how many of these entered their parent."""

    plan_id: str
    step_id: str
    state: str
    number: int
    integrated: int


def find(
    db: Reader,
    *,
    phase: str | None,
    state: str | None,
    project: str | None,
    action: str | None,
    limit: int = EVERYTHING,
) -> list[Plan]:
    """Plans and children that fit, at most `limit`: the newest trees first, in each the plans as they were made."""
    wanted: dict[str, Value] = {"phase": phase, "state": state, "project": project, "action": action, "limit": limit}
    return db.all(Plan, _SQL["list"], wanted)


def in_order(db: Reader, found: Sequence[Plan]) -> list[Plan]:
    """Plans of whole trees with each child behind its parent and its elder siblings, as far as these are among them."""
    here = {plan.plan_id for plan in found}
    known = {one.plan_id: one for one in subplans(db, here)}
    below: dict[str | None, list[Plan]] = {}
    for plan in found:
        below.setdefault(plan.parent_plan_id if plan.parent_plan_id in here else None, []).append(plan)
    ordered: list[Plan] = []
    ahead = below.get(None, [])[::-1]
    while ahead:
        plan = ahead.pop()
        ordered.append(plan)
        ahead += _siblings(below.get(plan.plan_id, []), known)[::-1]
    return ordered


def _siblings(found: Sequence[Plan], known: Mapping[str, Subplan]) -> list[Plan]:
    """The children of one plan by step, these as they were made, and position; those that do not count any more last."""
    steps_ = list(dict.fromkeys(known[plan.plan_id].step_id for plan in found if plan.plan_id in known))

    def place(plan: Plan) -> tuple[int, int]:
        mine = known.get(plan.plan_id)
        return (len(steps_), 0) if mine is None else (steps_.index(mine.step_id), mine.position)

    return sorted(found, key=place)


def children(
    db: Reader,
    parent: str,
    *,
    phase: str | None = None,
    state: str | None = None,
    project: str | None = None,
    action: str | None = None,
    limit: int = EVERYTHING,
) -> tuple[list[Plan], int]:
    """The children of a plan that fit, in their order, at most `limit`, and how many fit in all."""
    wanted: dict[str, Value] = {"parent": parent, "phase": phase, "state": state, "project": project, "action": action}
    total = int(db.scalar(_SQL["children_count"], wanted))
    return db.all(Plan, _SQL["children"], {**wanted, "limit": limit}), total


def below(db: Reader, plan_id: str) -> list[Plan]:
    """A plan and all that count as its children, theirs included: parents first, children in their order."""
    return db.all(Plan, _SQL["below"], {"plan_id": plan_id})


def holds(db: Reader, top: str, plan_id: str) -> bool:
    """Whether a plan is `top` or one of its children, however far below; also one that does not count any more."""
    return bool(db.scalar(_SQL["holds"], {"plan_id": plan_id, "top": top}))


def projects(db: Reader, plan_ids: Iterable[str]) -> list[PlanProject]:
    """The projects of some plans, of each the first one first."""
    return db.whole(PlanProject, _SQL["projects"], _ids(plan_ids))


def steps(db: Reader, plan_ids: Iterable[str]) -> list[Step]:
    """The steps of some plans, of each in declared order."""
    return db.whole(Step, _SQL["steps"], _ids(plan_ids))


def decisions(db: Reader, plan_ids: Iterable[str]) -> list[Decision]:
    """The decisions of some plans, oldest first."""
    return db.whole(Decision, _SQL["decisions"], _ids(plan_ids))


def subplans(db: Reader, plan_ids: Iterable[str]) -> list[Subplan]:
    """Some children as their parents see them."""
    return db.whole(Subplan, _SQL["subplans"], _ids(plan_ids))


def items(db: Reader, parents: Iterable[str]) -> dict[tuple[str, str, int], str]:
    """What the children of some plans are for, by parent, step and position."""
    return {(row[0], row[1], row[2]): row[3] for row in db.execute(_SQL["items"], _ids(parents))}


def counts(db: Reader, parents: Iterable[str]) -> list[Count]:
    """How many children some plans have in each state, by step."""
    return [Count(*row) for row in db.execute(_SQL["counts"], _ids(parents))]


def open_conflicts(db: Reader, plan_ids: Iterable[str]) -> list[tuple[str, bytes]]:
    """The paths that some plans have to settle, each with its plan."""
    return [(row[0], row[1]) for row in db.execute(_SQL["open_conflicts"], _ids(plan_ids))]


def _ids(plan_ids: Iterable[str]) -> dict[str, Value]:
    return {"plan_ids": msgspec.json.encode(list(plan_ids)).decode()}
