"""What is recorded beside a plan's moves: its decisions, and the errors in which its phases ended."""

import msgspec

from daemon import views
from store import damage, names, plans
from store.database import Transaction
from store.records import Decision, Failure, Plan
from store.states import Phase, State, StepState

GUIDANCE = "What should the next attempt know?"
"""The question that guidance answers: it tells such a `user_intervention` from a rollback, which is one too."""
NO_REASON = "asked for by the user"
"""The reason of a reversion for which nobody gave one."""


def decide(
    tx: Transaction, plan_id: str, parent_id: str | None, kind: str, *, question: str, choice: str, reason: str
) -> str:
    """Record a decision; returns its id."""
    decision = Decision(names.new_ulid(tx.now), plan_id, parent_id, kind, question, choice, reason, 0, tx.now)
    plans.add_decision(tx, decision)
    return decision.decision_id


def note_failure(tx: Transaction, plan: Plan, error: views.ErrorView) -> None:
    """Keep an error beyond the state that it caused: the next attempt is told of it."""
    plans.add_failure(
        tx,
        Failure(
            failure_id=names.new_ulid(tx.now),
            plan_id=plan.plan_id,
            phase=plan.phase,
            step_id=error.step,
            attempt=error.detail.get("attempt"),
            error_json=msgspec.json.encode(error).decode(),
            created_at=tx.now,
        ),
    )


def recovery(tx: Transaction, plan: Plan) -> None:
    """Record that a plan goes on after an error, and where."""
    if not plan.recoverable:
        return
    error = error_of(plan)
    what = f"step {error.step}" if error.step else str(plan.phase)
    how = "did not succeed" if plan.state is State.ERRORED else "was held back"
    decide(
        tx, plan.plan_id, root(tx, plan.plan_id), "error_recovery",
        question=f"What now that {what} {how}?", choice=_way_on(tx, plan), reason=error.message,
    )  # fmt: skip


def root(tx: Transaction, plan_id: str) -> str | None:
    """The decision that all others of this attempt belong to; there is none before Strategize decided anything."""
    found = plans.decisions(tx, plan_id)
    roots = [one.decision_id for one in found if one.kind == "prompt_definition" and not one.superseded]
    return roots[-1] if roots else None


def error_of(plan: Plan) -> views.ErrorView:
    """The error that an errored or constrained plan stands in."""
    assert plan.error_json is not None, "errored and constrained come with their error"
    return damage.document(plan, "error_json", views.ErrorView)


def _way_on(tx: Transaction, plan: Plan) -> str:
    if plan.phase is not Phase.EXECUTE:
        return f"{plan.phase} again"
    open_steps = [step.step_id for step in plans.steps(tx, plan.plan_id) if step.state is not StepState.SUCCEEDED]
    return f"go on at step {open_steps[0]}" if open_steps else "go on with the result"
