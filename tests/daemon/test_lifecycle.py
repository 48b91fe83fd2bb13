"""Refusals of the life cycle that no command can bring about without the worst of luck."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from daemon import views
from daemon.lifecycle import Lifecycle
from daemon.settings import Settings
from store import errors, journals, rows
from store.database import Transaction
from store.records import Plan, PlanProject
from store.states import Phase, State
from tests.stores import Store, add_plan

ERROR = msgspec.json.encode(views.ErrorView(code="disk_full", message="no", step=None, detail={})).decode()


MOVES: dict[str, Callable[[Lifecycle, Transaction, str], object]] = {
    "revert": lambda cycle, tx, plan: cycle.revert(tx, plan, "why"),
    "cancel": lambda cycle, tx, plan: cycle.cancel(tx, plan, "why"),
}


def half_written(store: Store, path: Path) -> Plan:
    """A plan whose Apply could be neither ended nor taken back, on a project at `path`."""
    plan = add_plan(store, "p", phase=Phase.APPLY, state=State.ERRORED, error_json=ERROR, diff_json="{}")
    project = PlanProject(
        plan_id=plan.plan_id, position=0, project_id="1", project="local/p", path=str(path), kind="folder", strategy="clone",
        sandbox_path=None, sandbox_status="absent", head=None, branch=None, modified=0, base=None, base_tree=None, tip=None,
        tip_tree=None,
    )  # fmt: skip
    store.write(lambda tx: rows.insert(tx, "plan_projects", project))
    store.write(lambda tx: journals.begin(tx, plan.plan_id, "worktree", []))
    return plan


@pytest.mark.parametrize("move", list(MOVES))
def test_half_written_change_is_not_left(tmp_path: Path, move: str) -> None:
    """The journal of an Apply that could be neither ended nor taken back would be forgotten with it."""
    store = Store(tmp_path)
    cycle = Lifecycle(Settings(tmp_path / "config.toml", {}))
    plan = half_written(store, tmp_path)
    before = store.dump()

    with pytest.raises(errors.InvalidTransitionError, match="in part") as refused:
        store.write(lambda tx: MOVES[move](cycle, tx, plan.plan_id))

    assert "ca plan apply p" in refused.value.suggestions
    assert store.dump() == before
    store.write(lambda tx: journals.remove(tx, plan.plan_id))
    store.write(lambda tx: MOVES[move](cycle, tx, plan.plan_id))
    assert store.dump() != before
    store.close()


def test_half_written_change_in_a_project_that_is_gone_holds_nobody(tmp_path: Path) -> None:
    """There is nothing left that could be put right."""
    store = Store(tmp_path)
    plan = half_written(store, tmp_path / "gone")

    cycle = Lifecycle(Settings(tmp_path / "config.toml", {}))
    outcome = store.write(lambda tx: cycle.cancel(tx, plan.plan_id, "why"))

    assert outcome.plan.state is State.CANCELLED
    store.close()
