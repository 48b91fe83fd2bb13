"""What a plan decided about its children, recorded when it is about to execute: who does what, and who waits for whom."""

from collections.abc import Sequence

from daemon import actions, children, decisions, outline
from store import plans, subplans
from store.database import Transaction
from store.records import Plan, Subplan

NAMED = 10
"""Children that a decision names at most."""


def record(tx: Transaction, parent: Plan, steps: Sequence[actions.StepSpec], root: str) -> None:
    """The decisions about the children of all steps, below the decision `root`."""
    for step in steps:
        if step.subplans is not None:
            rows = subplans.of_step(tx, parent.plan_id, step.id)
            _overlaps(tx, parent, step.subplans, rows, root)
            above = _group(tx, parent, step, step.subplans, len(rows), root) if rows else root
            for row in rows:
                _spawn(tx, parent, row, above)


def _overlaps(tx: Transaction, parent: Plan, spec: actions.SubplansSpec, rows: Sequence[Subplan], root: str) -> None:
    """Children that declare the same paths do not run at the same time; in sequence no two do."""
    if spec.mode == "sequential":
        return
    for overlap in outline.overlaps([children.paths_of(row) for row in rows]):
        who, below = (_named(rows, positions) for positions in (overlap.children, overlap.below))
        beside = " one at a time" if len(overlap.children) > 1 else ""
        decisions.decide(
            tx, parent.plan_id, root, "strategy_choice",
            question=f"Who changes {overlap.path}?",
            choice=f"{who}{beside}, never beside {below}" if below else f"{who}{beside}",
            reason="the paths that they declare overlap",
        )  # fmt: skip


def _named(rows: Sequence[Subplan], positions: Sequence[int]) -> str:
    more = f" and {len(positions) - NAMED} more" if len(positions) > NAMED else ""
    return ", ".join(rows[position].item for position in positions[:NAMED]) + more


def _group(  # noqa: PLR0917  a step with what it spawned
    tx: Transaction, parent: Plan, step: actions.StepSpec, spec: actions.SubplansSpec, count: int, root: str
) -> str:
    """The decision that groups the spawns of a parallel step; else they are below `root` itself."""
    if spec.mode != "parallel":
        return root
    together = f"in parallel, at most {spec.max_parallel} at once"
    how = "one after another, each from the result of the one before" if spec.merge == "sequential_apply" else together
    return decisions.decide(
        tx, parent.plan_id, root, "subplan_parallel_spawn",
        question=f"How is step {step.id} carried out?",
        choice=f"{count} children of {spec.action} {how}",
        reason=step.title,
    )  # fmt: skip


def _spawn(tx: Transaction, parent: Plan, row: Subplan, above: str) -> None:
    child, paths = plans.get(tx, row.plan_id), children.paths_of(row)
    assert child is not None, "a plan is never deleted"
    decisions.decide(
        tx, parent.plan_id, above, "subplan_spawn",
        question=f"Who does {row.item}?", choice=f"{child.name}, a plan of {child.action}",
        reason=f"declares {', '.join(paths)}" if paths else "one child for each item",
    )  # fmt: skip
