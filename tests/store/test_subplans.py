"""Children as their parents know them, and conflicts: what the store itself guarantees."""

import msgspec
import pytest

from store import errors, plans, subplans, trees
from store.records import Conflict, Plan, Subplan
from store.states import Phase, State
from tests.store.test_plans import step
from tests.stores import Store, add_plan


def child(store: Store, parent: Plan, step_id: str, position: int, state: State = State.QUEUED) -> Plan:
    """A child of a parent, stored with its row."""
    plan = add_plan(store, f"{parent.name}.{step_id}{position}", parent_plan_id=parent.plan_id, depth=1, state=state)
    row = Subplan(plan.plan_id, parent.plan_id, step_id, position, f"item {position}", "[]", "[]")
    store.write(lambda tx: subplans.insert(tx, row))
    return plan


def conflict(parent: Plan, of: Plan, position: int) -> Conflict:
    return Conflict(
        parent.plan_id, of.plan_id, position, "local/web", b"f\xff", "content", None, None, 33188, "a", 33188, "b"
    )


def test_children_come_in_the_order_of_their_steps_and_positions(store: Store) -> None:
    parent = add_plan(store, "p")
    second = [child(store, parent, "second", 1), child(store, parent, "second", 0)]
    first = child(store, parent, "zfirst", 0)
    store.write(
        lambda tx: plans.replace_steps(tx, parent.plan_id, [step(parent, "zfirst", 0), step(parent, "second", 1)])
    )

    wanted = [first.plan_id, second[1].plan_id, second[0].plan_id]
    assert [row.plan_id for row in subplans.of_plan(store.read, parent.plan_id)] == wanted
    assert [row.plan_id for row in subplans.of_step(store.read, parent.plan_id, "second")] == wanted[1:]
    assert [one.plan_id for one in subplans.standing(store.read, parent.plan_id, "second")] == wanted[1:]


def test_only_children_that_count_are_counted(store: Store) -> None:
    parent = add_plan(store, "p")
    states = [State.QUEUED, State.QUEUED, State.COMPLETE, State.ERRORED]
    made = [child(store, parent, "s", number, state) for number, state in enumerate(states)]
    store.write(lambda tx: subplans.forget(tx, made[3].plan_id))
    store.write(lambda tx: subplans.update(tx, made[2].plan_id, integrated_at=tx.now, tips_json="{}"))

    assert sorted(trees.counts(store.read, [parent.plan_id])) == [
        (parent.plan_id, "s", "complete", 1, 1),
        (parent.plan_id, "s", "queued", 2, 0),
    ]
    assert subplans.made(store.read, parent.plan_id) == 4
    assert {plan.plan_id for plan in subplans.unfinished(store.read, parent.plan_id)} == {plan.plan_id for plan in made}
    store.write(lambda tx: subplans.forget_all(tx, parent.plan_id))
    assert subplans.of_plan(store.read, parent.plan_id) == []
    assert plans.get(store.read, made[0].plan_id) == made[0]


def test_where_a_child_stands_is_its_plans_state_beside_its_row(store: Store) -> None:
    parent = add_plan(store, "p")
    one = child(store, parent, "s", 0, State.ERRORED)
    store.write(lambda tx: plans.update(tx, one, error_json='{"code":"step_failed"}', job_id="j"))
    store.write(lambda tx: subplans.update(tx, one.plan_id, starts=2, retry=1, fate="dropped", admitted=7))

    (found,) = subplans.standing(store.read, parent.plan_id, "s")
    assert found == (
        one.plan_id, 0, one.name, "item 0", Phase.STRATEGIZE, State.ERRORED, True, 2, True, "dropped", 7, False, "step_failed"
    )  # fmt: skip


def test_no_two_children_have_the_same_place(store: Store) -> None:
    parent = add_plan(store, "p")
    child(store, parent, "s", 0)

    with pytest.raises(errors.InternalError, match="UNIQUE"):
        child(store, parent, "s", 0)


def test_conflicts_are_replaced_as_a_whole_and_settled_one_by_one(store: Store) -> None:
    parent = add_plan(store, "p")
    one = child(store, parent, "s", 0)
    rows = [conflict(parent, one, position) for position in range(2)]
    store.write(lambda tx: subplans.replace_conflicts(tx, parent.plan_id, rows))

    store.write(lambda tx: subplans.settle(tx, rows[1], "file", 33261, "c"))
    store.write(lambda tx: subplans.settle(tx, rows[0], "base", None, None))

    assert subplans.conflicts(store.read, parent.plan_id) == [
        msgspec.structs.replace(rows[0], taken="base"),
        msgspec.structs.replace(rows[1], taken="file", taken_mode=33261, taken_blob="c"),
    ]
    store.write(lambda tx: subplans.replace_conflicts(tx, parent.plan_id, rows[:1]))
    assert subplans.conflicts(store.read, parent.plan_id) == rows[:1]


def test_everything_below_a_plan_is_found(store: Store) -> None:
    root, other = add_plan(store, "p"), add_plan(store, "q")
    one = child(store, root, "s", 0)
    deep = child(store, one, "s", 0)
    child(store, other, "s", 0)

    assert {plan.plan_id for plan in plans.below(store.read, root.plan_id)} == {one.plan_id, deep.plan_id}
    assert plans.below(store.read, deep.plan_id) == []
