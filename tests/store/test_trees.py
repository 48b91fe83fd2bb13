"""Plans in their trees: in which order they come, what is above and below them, and what is read of many at a time."""

import msgspec
import pytest

from store import damage, events, plans, rows, subplans, trees
from store.database import Transaction
from store.records import Conflict, Decision, Plan, Step, Subplan
from store.states import Phase, State, StepState
from tests.stores import Store, add_plan


def make_tree(store: Store, stem: str = "p") -> dict[str, Plan]:
    """A parent with the steps `one`, which has two children, and `two`, which has one; the first child has a child."""
    top = add_plan(store, stem)
    made = {"": top}
    for name, above, step, position in (
        (".1", "", "one", 0), (".1.1", ".1", "one", 0), (".2", "", "one", 1), (".3", "", "two", 0),
    ):  # fmt: skip
        made[name] = add_child(store, made[above], f"{stem}{name}", step, position)
    for parent in ("", ".1"):
        store.write(
            lambda tx, plan=made[parent]: [rows.insert(tx, "steps", step_of(plan, name)) for name in ("one", "two")]
        )
    return made


def add_child(store: Store, parent: Plan, name: str, step: str, position: int) -> Plan:
    child = add_plan(
        store, name, parent_plan_id=parent.plan_id, root_plan_id=parent.root_plan_id, depth=parent.depth + 1,
        phase=Phase.EXECUTE, state=State.COMPLETE,
    )  # fmt: skip

    def note(tx: Transaction) -> None:
        subplans.insert(
            tx, Subplan(child.plan_id, parent.plan_id, step, position, f"item {name}", needs_json="[]", paths_json="[]")
        )
        tx.event("plan.created", plan_id=child.plan_id)

    store.write(note)
    return child


def step_of(plan: Plan, name: str) -> Step:
    return Step(
        plan_id=plan.plan_id, step_id=name, position={"one": 0, "two": 1}[name], title=name, kind="subplans",
        spec_json="{}", state=StepState.PENDING, attempt=0, exit_code=None, started_at=None, finished_at=None,
        deadline_at=None, log=None, exit_file=None, pid=None, process_start=None, boot_id=None,
    )  # fmt: skip


def in_order(store: Store, state: str | None = None) -> list[str]:
    found = trees.find(store.read, phase=None, state=state, project=None, action=None)
    return [plan.name for plan in trees.in_order(store.read, found)]


def test_the_newest_tree_comes_first_and_parents_before_their_children(store: Store) -> None:
    make_tree(store, "a")
    make_tree(store, "b")

    assert in_order(store) == [f"{stem}{name}" for stem in "ba" for name in ("", ".1", ".1.1", ".2", ".3")]
    assert [plan.name for plan in trees.find(store.read, phase=None, state=None, project=None, action=None, limit=2)] == [
        "b", "b.1",
    ]  # fmt: skip


def test_a_child_in_the_place_of_another_has_its_place(store: Store) -> None:
    """The one that does not count any more comes last, and is not among the children."""
    made = make_tree(store)
    store.write(lambda tx: subplans.forget(tx, made[".1"].plan_id))
    add_child(store, made[""], "p.4", "one", 0)

    assert in_order(store) == ["p", "p.4", "p.2", "p.3", "p.1", "p.1.1"]
    assert [plan.name for plan in trees.children(store.read, made[""].plan_id)[0]] == ["p.4", "p.2", "p.3"]
    assert [plan.name for plan in trees.below(store.read, made[""].plan_id)] == ["p", "p.4", "p.2", "p.3"]


def test_children_whose_parent_does_not_fit_are_there_all_the_same(store: Store) -> None:
    made = make_tree(store)
    store.write(lambda tx: plans.update(tx, made[".2"], state=State.ERRORED))

    assert in_order(store, state="errored") == ["p.2"]
    assert trees.children(store.read, made[""].plan_id, state="errored", limit=1)[1] == 1


def test_below_and_above_a_plan(store: Store) -> None:
    made, other = make_tree(store, "a"), make_tree(store, "b")

    assert [plan.name for plan in trees.below(store.read, made[""].plan_id)] == ["a", "a.1", "a.2", "a.3", "a.1.1"]
    assert [plan.name for plan in trees.below(store.read, made[".1"].plan_id)] == ["a.1", "a.1.1"]
    assert trees.holds(store.read, made[""].plan_id, made[".1.1"].plan_id)
    assert trees.holds(store.read, made[".1"].plan_id, made[".1"].plan_id)
    assert not trees.holds(store.read, made[".1.1"].plan_id, made[".1"].plan_id)
    assert not trees.holds(store.read, made[""].plan_id, other[".1"].plan_id)


def test_events_of_a_tree_come_in_order_and_in_pages(store: Store) -> None:
    made = make_tree(store, "a")
    make_tree(store, "b")
    store.write(lambda tx: tx.event("again", plan_id=made[".1.1"].plan_id))
    store.write(lambda tx: subplans.forget(tx, made[".1"].plan_id))

    found = events.since_in_tree(store.read, 0, plan_id=made[""].plan_id)

    assert [event.plan_id for event in found if event.kind == "plan.created"] == [
        made[name].plan_id for name in (".1", ".1.1", ".2", ".3")
    ]
    assert found[-1].kind == "again"
    assert [event.seq for event in found] == sorted(event.seq for event in found)
    assert events.since_in_tree(store.read, found[1].seq, plan_id=made[""].plan_id, limit=2) == found[2:4]
    assert events.count_in_tree(store.read, plan_id=made[""].plan_id) == len(found)


def test_what_belongs_to_many_plans_is_read_at_once(store: Store) -> None:
    made = make_tree(store)
    top, one = made[""], made[".1"]
    store.write(lambda tx: subplans.update(tx, one.plan_id, integrated_at=1, tips_json="{}"))
    store.write(lambda tx: plans.add_decision(tx, Decision("d", one.plan_id, None, "k", "q", "c", "r", 0, 1)))
    conflict = Conflict(top.plan_id, one.plan_id, 0, "local/web", b"a", "content", None, None, None, None, None, None)
    settled = msgspec.structs.replace(conflict, position=1, taken="parent")
    store.write(lambda tx: subplans.replace_conflicts(tx, top.plan_id, [conflict, settled]))
    ids = [plan.plan_id for plan in made.values()]

    assert [(step.plan_id, step.step_id) for step in trees.steps(store.read, ids)] == [
        (plan.plan_id, name) for plan in (top, one) for name in ("one", "two")
    ]
    assert {one.item for one in trees.subplans(store.read, ids)} == {"item p.1", "item p.2", "item p.3", "item p.1.1"}
    assert trees.items(store.read, [top.plan_id])[top.plan_id, "two", 0] == "item p.3"
    assert [tuple(count)[1:] for count in trees.counts(store.read, [top.plan_id])] == [
        ("one", "complete", 2, 1), ("two", "complete", 1, 0),
    ]  # fmt: skip
    assert [decision.decision_id for decision in trees.decisions(store.read, ids)] == ["d"]
    assert trees.open_conflicts(store.read, ids) == [(top.plan_id, b"a")]
    assert trees.projects(store.read, ids) == []


def test_one_unreadable_step_is_told(store: Store) -> None:
    """Whoever lists plans reads the others one by one then."""
    made = make_tree(store)
    store.write(lambda tx: tx.execute("UPDATE steps SET started_at = 9000000000000000000 WHERE step_id = 'two'"))

    with pytest.raises(damage.UnreadableRowError):
        trees.steps(store.read, [made[""].plan_id])
