"""Plans, their projects, steps and decisions: what the store itself guarantees."""

from typing import Any

import pytest

from store import boards, damage, errors, plans
from store.database import Transaction
from store.records import Decision, Plan, PlanProject, Step
from store.states import STATES, Phase, State, StepState
from tests.stores import SettableClock, Store, add_plan, new_plan


def step(plan: Plan, name: str, position: int = 0) -> Step:
    return Step(
        plan_id=plan.plan_id, step_id=name, position=position, title=name, kind="run", spec_json="{}",
        state=StepState.PENDING, attempt=0, exit_code=None, started_at=None, finished_at=None, deadline_at=None,
        log=None, exit_file=None, pid=None, process_start=None, boot_id=None,
    )  # fmt: skip


def part(plan_id: str, name: str, position: int = 0) -> PlanProject:
    return PlanProject(
        plan_id=plan_id, position=position, project_id=f"id-{name}", project=name, path=f"/{name}", kind="git",
        strategy="clone", sandbox_path=None, sandbox_status="absent", head=None, branch=None, modified=0, base=None,
        base_tree=None, tip=None, tip_tree=None,
    )  # fmt: skip


def test_a_plan_comes_back_as_it_was_stored(store: Store) -> None:
    plan = add_plan(store, "p", arguments_json='{"ä": "\\u0000"}', priority=-3)

    assert plans.get(store.read, plan.plan_id) == plan
    assert plans.named(store.read, "p") == plan
    assert plans.get(store.read, "nowhere") is None


def test_each_change_is_a_revision(store: Store, clock: SettableClock) -> None:
    plan = add_plan(store, "p")
    clock.advance(5)

    changed = store.write(lambda tx: plans.update(tx, plan, priority=7))

    assert (changed.priority, changed.revision) == (7, plan.revision + 1)
    assert (changed.updated_at, changed.created_at) == (clock.now(), plan.created_at)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("state", State)
def test_a_position_that_does_not_exist_cannot_be_stored(store: Store, phase: Phase, state: State) -> None:
    if state in STATES[phase]:
        assert add_plan(store, "p", phase=phase, state=state).state == state
        return
    with pytest.raises(errors.InternalError, match="CHECK"):
        add_plan(store, "p", phase=phase, state=state)


def test_two_plans_cannot_have_one_name(store: Store) -> None:
    add_plan(store, "p")
    with pytest.raises(errors.InternalError, match="UNIQUE"):
        add_plan(store, "p")


def test_a_child_needs_its_parent(store: Store) -> None:
    """Checked at the end of the transaction, so both may be stored in any order."""
    orphan = new_plan("c", parent_plan_id="nowhere")
    parent = new_plan("p")
    child = new_plan("c2", parent_plan_id=parent.plan_id)

    store.write(lambda tx: [plans.insert(tx, child, []), plans.insert(tx, parent, [])])
    with pytest.raises(errors.CleverAgentsError):
        store.write(lambda tx: plans.insert(tx, orphan, []))

    assert plans.named(store.read, "c") is None
    assert plans.named(store.read, "c2") is not None


def test_lists_filter_and_count_alike(store: Store) -> None:
    for number in range(4):
        add_plan(store, f"p{number}", action="local/a" if number % 2 else "local/b")
    parent = plans.named(store.read, "p0")
    assert parent is not None
    add_plan(store, "child", parent_plan_id=parent.plan_id, depth=1)

    found, total = plans.find(store.read, limit=2)
    assert ([plan.name for plan in found], total) == (["p3", "p2"], 4)
    assert plans.find(store.read, children=True)[1] == 5
    assert {plan.name for plan in plans.find(store.read, action="local/a")[0]} == {"p1", "p3"}
    assert plans.find(store.read, phase="execute") == ([], 0)
    assert plans.find(store.read, state="queued", limit=0) == ([], 4)


def test_plans_of_a_project_are_found(store: Store) -> None:
    one, two = new_plan("one"), new_plan("two", state=State.CANCELLED)
    store.write(lambda tx: plans.insert(tx, one, [part(one.plan_id, "x"), part(one.plan_id, "y", 1)]))
    store.write(lambda tx: plans.insert(tx, two, [part(two.plan_id, "y")]))

    assert [plan.name for plan in plans.find(store.read, project="y")[0]] == ["two", "one"]
    assert [plan.name for plan in plans.unfinished_of_project(store.read, "y")] == ["one"]
    assert [project.project for project in plans.projects(store.read, one.plan_id)] == ["x", "y"]


@pytest.mark.parametrize(
    ("changes", "waits"),
    [
        ({"state": State.ERRORED}, True),
        ({"phase": Phase.APPLY, "state": State.CONSTRAINED}, True),
        ({"state": State.COMPLETE}, True),
        ({"phase": Phase.EXECUTE, "state": State.COMPLETE}, True),
        ({"state": State.QUEUED}, True),
        ({"state": State.QUEUED, "job_id": "J"}, False),
        ({"state": State.PROCESSING, "job_id": "J"}, False),
        ({"phase": Phase.APPLY, "state": State.APPLIED}, False),
        ({"state": State.CANCELLED}, False),
    ],
)
def test_what_needs_somebody_is_what_does_not_move_by_itself(
    store: Store, changes: dict[str, Any], *, waits: bool
) -> None:
    plan = add_plan(store, "p", **changes)

    assert boards.page(store.read, boards.List.NEEDS_YOU, limit=9) == ([plan] if waits else [])
    assert boards.counts(store.read).get(boards.List.NEEDS_YOU, 0) == waits


def test_steps_are_replaced_as_a_whole_and_keep_their_order(store: Store) -> None:
    plan = add_plan(store, "p")
    store.write(lambda tx: plans.replace_steps(tx, plan.plan_id, [step(plan, "z", 0), step(plan, "a", 1)]))
    assert [found.step_id for found in plans.steps(store.read, plan.plan_id)] == ["z", "a"]

    store.write(lambda tx: plans.replace_steps(tx, plan.plan_id, [step(plan, "n", 0)]))
    assert plans.steps(store.read, plan.plan_id) == [step(plan, "n", 0)]


def test_a_step_changes_alone(store: Store) -> None:
    plan = add_plan(store, "p")
    store.write(lambda tx: plans.replace_steps(tx, plan.plan_id, [step(plan, "a", 0), step(plan, "b", 1)]))
    store.write(lambda tx: plans.update_step(tx, plan.plan_id, "a", state=StepState.LOST, pid=7))

    first, second = plans.steps(store.read, plan.plan_id)
    assert (first.state, first.pid) == ("lost", 7)
    assert second == step(plan, "b", 1)


def test_a_step_state_that_does_not_exist_cannot_be_stored(store: Store) -> None:
    plan = add_plan(store, "p")
    store.write(lambda tx: plans.replace_steps(tx, plan.plan_id, [step(plan, "a")]))
    with pytest.raises(errors.InternalError, match="CHECK"):
        store.write(lambda tx: plans.update_step(tx, plan.plan_id, "a", state="bent"))


def test_a_revert_marks_what_was_decided_but_not_what_people_did(store: Store) -> None:
    plan = add_plan(store, "p")
    kinds = ["prompt_definition", "user_intervention", "strategy_choice", "reversion"]
    for number, kind in enumerate(kinds):
        decision = Decision(f"D{number}", plan.plan_id, None, kind, "?", "!", "", 0, 0)
        store.write(lambda tx, decision=decision: plans.add_decision(tx, decision))
    store.write(lambda tx: plans.supersede_decisions(tx, plan.plan_id))

    marked = {d.kind: d.superseded for d in plans.decisions(store.read, plan.plan_id)}
    assert marked == {"prompt_definition": 1, "user_intervention": 0, "strategy_choice": 1, "reversion": 0}


def test_numbers_for_names_are_never_given_twice(store: Store) -> None:
    def take(tx: Transaction) -> int:
        return plans.next_number(tx, "work")

    given = store.together([take] * 20)

    assert sorted(given) == list(range(1, 21))
    assert store.write(lambda tx: plans.next_number(tx, "other")) == 1


def test_a_row_that_does_not_fit_is_an_error_where_it_is_read(store: Store) -> None:
    """A list leaves it out; who asks for the row itself, or for all that belong together, is told."""
    plan = add_plan(store, "p")
    for read in (store.read.one, store.read.whole):
        with pytest.raises(damage.UnreadableRowError):
            read(Plan, "SELECT 1, 2, 3")

    assert store.read.all(Plan, "SELECT 1, 2, 3") == []
    assert plans.get(store.read, plan.plan_id) == plan


def test_a_plan_is_found_by_any_part_of_its_id(store: Store) -> None:
    plan = add_plan(store, "p")

    assert plans.like(store.read, plan.plan_id[-6:].lower()) == [plan]


def test_remaining_sandboxes_are_listed(store: Store) -> None:
    plan = new_plan("p")
    project = part(plan.plan_id, "x")
    store.write(lambda tx: plans.insert(tx, plan, [project]))
    assert plans.sandboxes(store.read) == []

    store.write(lambda tx: plans.update_project(tx, project, sandbox_status="ready", sandbox_path="/s"))
    assert [found.sandbox_path for found in plans.sandboxes(store.read)] == ["/s"]
