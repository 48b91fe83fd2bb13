"""The lists of the board: each root plan in one, in their order, page by page; children under their parents."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import boards, names, plans, raw
from store.boards import List, Place
from store.records import Plan
from store.states import Phase, State
from tests.store.test_plans import part
from tests.stores import Store, add_plan, new_plan

STATES = [
    (List.NEEDS_YOU, {"state": State.ERRORED}),
    (List.NEEDS_YOU, {"phase": Phase.EXECUTE, "state": State.COMPLETE, "job_id": "J"}),
    (List.NEEDS_YOU, {"state": State.QUEUED}),
    (List.RUNNING, {"state": State.PROCESSING, "job_id": "J"}),
    (List.QUEUED, {"phase": Phase.EXECUTE, "state": State.QUEUED, "job_id": "J"}),
    (List.DONE, {"phase": Phase.APPLY, "state": State.APPLIED, "finished_at": 5}),
    (List.DONE, {"state": State.CANCELLED, "finished_at": 7}),
]


def listed(store: Store, of: List, **filters: Any) -> list[str]:
    """The names in a list."""
    return [plan.name for plan in boards.page(store.read, of, limit=99, **filters)]


@given(st.lists(st.sampled_from(STATES), max_size=12), st.integers(1, 4))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_one_after_another_are_the_whole_list(
    store: Store, wanted: list[tuple[List, dict[str, Any]]], size: int
) -> None:
    there = sum(boards.counts(store.read).values())
    made = [(of, add_plan(store, f"p{there + number}", **changes)) for number, (of, changes) in enumerate(wanted)]

    for of in List:
        whole = boards.page(store.read, of, limit=999)
        assert {plan.name for plan in whole} >= {plan.name for list_, plan in made if list_ is of}
        assert len(whole) == boards.counts(store.read).get(of, 0)
        paged: list[Plan] = []
        while page := boards.page(store.read, of, offset=len(paged), limit=size):
            paged += page
        assert paged == whole
        assert [boards.place(store.read, plan) for plan in whole] == [Place(of, index) for index in range(len(whole))]


def test_what_needs_somebody_and_what_is_over_comes_latest_first_and_the_rest_as_it_was_made(store: Store) -> None:
    for number in (1, 3, 2):
        add_plan(store, f"errored{number}", state=State.ERRORED, updated_at=number)
        add_plan(store, f"over{number}", phase=Phase.APPLY, state=State.APPLIED, finished_at=number)
        add_plan(store, f"runs{number}", state=State.PROCESSING, job_id="J", updated_at=number)

    assert listed(store, List.NEEDS_YOU) == ["errored3", "errored2", "errored1"]
    assert listed(store, List.DONE) == ["over3", "over2", "over1"]
    assert listed(store, List.RUNNING) == ["runs1", "runs3", "runs2"]


def test_the_filter_finds_words_of_a_name_an_action_and_a_project_in_their_order(store: Store) -> None:
    add_plan(store, "fix-types", action="local/annotate")
    other = add_plan(store, "docs", action="local/write")
    named = new_plan("of_web")
    store.write(lambda tx: plans.insert(tx, named, [part(named.plan_id, "web%")]))

    def found(text: str) -> list[str]:
        return sorted(listed(store, List.NEEDS_YOU, matching=boards.pattern(text)))

    assert found("") == ["docs", "fix-types", "of_web"]
    assert found("FIX pes") == ["fix-types"]
    assert found("pes fix") == []
    assert found("annot") == ["fix-types"]
    assert found("fix annot") == ["fix-types"]
    assert found("annot fix") == []
    assert found("of_ web") == ["of_web"]
    assert found("web%") == ["of_web"]
    assert found("%") == ["of_web"]
    assert found("f_w") == ["of_web"]
    assert found("\\") == []
    assert boards.counts(store.read, boards.pattern("web")) == {List.NEEDS_YOU: 1}
    assert boards.place(store.read, other, boards.pattern("web")) is None
    assert boards.place(store.read, other, boards.pattern("docs")) == Place(List.NEEDS_YOU, 0)


MOVES = [None, *(changes for _, changes in STATES)]
"""What may happen to a plan: that it goes, or where it moves."""


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(MOVES)), max_size=20))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_board_is_kept_while_plans_come_move_and_go(
    store: Store, happens: list[tuple[int, dict[str, Any] | None]]
) -> None:
    """It is what a look at every plan would find; children are not on it."""
    there: dict[int, Plan] = {}
    for number, changes in happens:
        plan = there.pop(number, None)
        if plan is None:
            there[number] = add(store, changes or {"parent_plan_id": add(store, {}).plan_id})
        elif changes is None:
            key = {"plan_id": plan.plan_id.encode()}
            store.write(lambda tx, key=key: raw.take_out(tx, "plans", key))
        else:
            there[number] = store.write(lambda tx, plan=plan, to=changes: plans.update(tx, plan, **to))

    wanted = store.read.execute("SELECT * FROM board_rows ORDER BY list, place, plan_id")
    assert store.read.execute("SELECT * FROM board ORDER BY list, place, plan_id") == wanted
    assert all(text.endswith(" local/work web docs") for *_, text in wanted)
    counted = Counter(List(name) for name, *_ in wanted)
    assert boards.counts(store.read) == counted
    assert boards.counts(store.read, boards.pattern("WORK")) == counted


def add(store: Store, changes: dict[str, Any]) -> Plan:
    """A plan of two projects."""
    plan = new_plan(names.new_ulid(store.clock.now()), **changes)
    parts = [part(plan.plan_id, name, position) for position, name in enumerate(["web", "docs"])]
    store.write(lambda tx: plans.insert(tx, plan, parts))
    return plan


@pytest.mark.parametrize("text", ["", "   ", "\t"])
def test_no_words_are_no_filter(text: str) -> None:
    assert boards.pattern(text) is None
