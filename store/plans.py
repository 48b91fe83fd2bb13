"""Plans with their projects, steps and decisions. Only `daemon.lifecycle` and the phases that it admits write here."""

from collections.abc import Iterable

import msgspec

from store import rows
from store.database import Reader, Transaction, Value
from store.records import Decision, Failure, Plan, PlanProject, Step

_SQL = rows.statements("plans")
EVERYTHING = -1
"""The limit that is none."""


def insert(tx: Transaction, plan: Plan, projects: Iterable[PlanProject]) -> None:
    rows.insert(tx, "plans", plan)
    for project in projects:
        rows.insert(tx, "plan_projects", project)


def update(tx: Transaction, plan: Plan, **changes: Value) -> Plan:
    """Change columns of a plan, which was read in this transaction; its revision grows, its `updated_at` is now."""
    changes = {**changes, "revision": plan.revision + 1, "updated_at": tx.now}
    changed = rows.update(tx, "plans", {"plan_id": plan.plan_id}, changes)
    assert changed, "a plan is never deleted"
    return msgspec.structs.replace(plan, **changes)


def get(db: Reader, plan_id: str) -> Plan | None:
    return db.one(Plan, _SQL["get"], (plan_id,))


def named(db: Reader, name: str) -> Plan | None:
    return db.one(Plan, _SQL["named"], (name,))


def like(db: Reader, part: str) -> list[Plan]:
    """Plans whose id holds `part`, newest first, at most 11."""
    return db.all(Plan, _SQL["like"], {"part": part})


def find(
    db: Reader,
    *,
    phase: str | None = None,
    state: str | None = None,
    project: str | None = None,
    action: str | None = None,
    children: bool = False,
    limit: int = EVERYTHING,
) -> tuple[list[Plan], int]:
    """The newest plans that fit, at most `limit`, and how many fit in all."""
    wanted: dict[str, Value] = {
        "phase": phase,
        "state": state,
        "project": project,
        "action": action,
        "children": children,
    }
    total = db.scalar(_SQL["count"], wanted) if any(wanted.values()) else db.scalar(_SQL["count_roots"])
    return db.all(Plan, _SQL["list"], {**wanted, "limit": limit}), int(total)


def unfinished_of_project(db: Reader, project: str) -> list[Plan]:
    return db.whole(Plan, _SQL["unfinished_of_project"], {"project": project})


def unfinished_of_action(db: Reader, action: str) -> list[Plan]:
    return db.all(Plan, _SQL["unfinished_of_action"], {"action": action})


def over_before(db: Reader, before: int, *, with_sandbox: bool = False, limit: int = EVERYTHING) -> list[Plan]:
    """Plans that ended before `before`, have no sandbox unless `with_sandbox`, and are not pruned; oldest first."""
    wanted: dict[str, Value] = {"before": before, "with_sandbox": with_sandbox, "limit": limit}
    return db.all(Plan, _SQL["over_before"], wanted)


def below(db: Reader, plan_id: str) -> list[Plan]:
    """All plans below a plan, those that do not count any more included."""
    return db.all(Plan, _SQL["below"], (plan_id,))


def family_size(db: Reader, root_plan_id: str) -> int:
    """How many plans the tree of a root plan has, itself included, children that count no more left out."""
    return int(db.scalar(_SQL["family_size"], (root_plan_id,)))


def next_number(tx: Transaction, stem: str) -> int:
    """The next number for a plan that is named after `stem`."""
    return int(tx.scalar(_SQL["next_number"], {"name": f"plan:{stem}"}))


def projects(db: Reader, plan_id: str) -> list[PlanProject]:
    return db.whole(PlanProject, _SQL["projects"], (plan_id,))


def update_project(tx: Transaction, project: PlanProject, **changes: Value) -> None:
    rows.update(tx, "plan_projects", {"plan_id": project.plan_id, "position": project.position}, changes)


def sandboxes(db: Reader) -> list[PlanProject]:
    """Every sandbox that is still there."""
    return db.all(PlanProject, _SQL["sandboxes"])


def steps(db: Reader, plan_id: str) -> list[Step]:
    return db.whole(Step, _SQL["steps"], (plan_id,))


def replace_steps(tx: Transaction, plan_id: str, new: Iterable[Step]) -> None:
    """The steps that Strategize decided take the place of all earlier ones."""
    tx.execute(_SQL["delete_steps"], (plan_id,))
    for step in new:
        rows.insert(tx, "steps", step)


def update_step(tx: Transaction, plan_id: str, step_id: str, **changes: Value) -> None:
    rows.update(tx, "steps", {"plan_id": plan_id, "step_id": step_id}, changes)


def decisions(db: Reader, plan_id: str) -> list[Decision]:
    return db.whole(Decision, _SQL["decisions"], (plan_id,))


def guidance(db: Reader, plan_id: str) -> list[Decision]:
    """What people decided about a plan, oldest first."""
    return db.whole(Decision, _SQL["guidance"], (plan_id,))


def add_decision(tx: Transaction, decision: Decision) -> None:
    rows.insert(tx, "decisions", decision)
    tx.event("decision.recorded", plan_id=decision.plan_id, decision=decision.kind, choice=decision.choice)


def supersede_decisions(tx: Transaction, plan_id: str) -> None:
    """Mark what was decided before a revert; the record of what people did stays valid."""
    tx.execute(_SQL["supersede_decisions"], (plan_id,))


def failures(db: Reader, plan_id: str) -> list[Failure]:
    return db.whole(Failure, _SQL["failures"], (plan_id,))


def add_failure(tx: Transaction, failure: Failure) -> None:
    rows.insert(tx, "failures", failure)


def commits(db: Reader) -> list[tuple[str, str, str, str, str | None]]:
    """Project id, plan, its state, base and tip, for each plan that can still be diffed, applied or undone."""
    return [(row[0], row[1], row[2], row[3], row[4]) for row in db.execute(_SQL["commits"])]
