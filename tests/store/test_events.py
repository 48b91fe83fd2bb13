"""Events: a number for each committed change, never given twice, and what retention keeps."""

import threading
from typing import Any

import pytest

from store import errors, events, raw
from store.clock import SECOND
from store.database import Transaction
from tests.stores import SettableClock, Store, opened


def add(store: Store, kind: str, plan_id: str | None = None, **detail: Any) -> None:
    store.write(lambda tx: tx.event(kind, plan_id=plan_id, **detail))


def test_numbers_grow_by_one_in_the_order_of_commits(store: Store) -> None:
    store.together([lambda tx, n=n: tx.event(f"e{n}") for n in range(50)])

    assert [(event.seq, event.kind) for event in events.since(store.read, 0)] == [(n + 1, f"e{n}") for n in range(50)]


def test_a_change_that_is_taken_back_leaves_no_event(store: Store) -> None:
    heard: list[str] = []
    store.db.on_commit = lambda found: heard.extend(event.kind for event in found)

    def refused(tx: Transaction) -> None:
        tx.event("refused")
        raise errors.NotFoundError("no")

    store.together([lambda tx: tx.event("a"), refused, lambda tx: tx.event("b")])

    assert [event.kind for event in events.since(store.read, 0)] == ["a", "b"] == heard


def test_what_is_published_is_what_is_stored(store: Store) -> None:
    heard: list[Any] = []
    store.db.on_commit = heard.extend
    add(store, "moved", "P1", text="ä\n", number=3)

    assert heard == events.since(store.read, 0)
    assert heard[0].detail_json == '{"text":"ä\\n","number":3}'


def test_a_reader_goes_on_after_its_last_number(store: Store) -> None:
    for number in range(5):
        add(store, f"e{number}", "P1" if number % 2 else "P2")

    assert [event.seq for event in events.since(store.read, 3)] == [4, 5]
    assert [event.seq for event in events.since(store.read, 0, plan_id="P1")] == [2, 4]
    assert [event.seq for event in events.since(store.read, 0, limit=2)] == [1, 2]
    assert [event.seq for event in events.last(store.read, 2)] == [4, 5]
    assert [event.seq for event in events.last(store.read, 2, plan_id="P2")] == [3, 5]
    assert (events.count(store.read), events.count(store.read, plan_id="P2")) == (5, 3)
    assert events.newest(store.read) == 5


def test_retention_keeps_the_last_event_of_each_plan(store: Store, clock: SettableClock) -> None:
    for plan in ("P1", "P2", "P1", None, "P2", None):
        add(store, "old", plan)
    clock.advance(100)
    add(store, "new", "P1")

    removed = store.write(lambda tx: events.prune(tx, clock.now() - 50 * SECOND))

    assert removed == 5
    assert [(event.seq, event.plan_id) for event in events.since(store.read, 0)] == [(5, "P2"), (7, "P1")]


def test_a_pruned_number_is_never_given_again(store: Store, clock: SettableClock) -> None:
    """A subscriber that knew the last number would otherwise miss the next event."""
    add(store, "old")
    add(store, "old")
    clock.advance(100)
    store.write(lambda tx: events.prune(tx, clock.now()))
    assert events.count(store.read) == 0
    assert events.newest(store.read) == 2

    add(store, "new")
    assert events.newest(store.read) == 3


def test_the_number_of_an_event_that_was_set_aside_is_never_given_again(store: Store) -> None:
    add(store, "old", "P1")
    add(store, "unreadable", "P1")
    store.write(lambda tx: raw.take_out(tx, "events", {"seq": 2}))
    assert events.newest(store.read) == 2

    add(store, "new")
    assert [event.seq for event in events.since(store.read, 0)] == [1, 3]


def test_numbers_go_on_after_a_restart(store: Store, clock: SettableClock) -> None:
    add(store, "a")
    store.loop.run_until_complete(store.db.close())

    with opened(store.path.parent, clock) as again:
        add(again, "b")
        assert [event.seq for event in events.since(again.read, 0)] == [1, 2]


def test_publishing_happens_in_the_thread_of_the_loop(store: Store) -> None:
    """Whoever listens needs no lock."""
    threads: list[threading.Thread] = []
    store.db.on_commit = lambda _found: threads.append(threading.current_thread())
    add(store, "x")

    assert threads == [threading.main_thread()]


@pytest.mark.parametrize("detail", [{"a": b"\xff"}, {"a": {1: 2}}, {"a": [None, True, 1.5]}])
def test_any_detail_becomes_json(store: Store, detail: dict[str, Any]) -> None:
    add(store, "x", **detail)

    assert events.count(store.read) == 1
