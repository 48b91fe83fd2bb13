"""The boards of plans and jobs as a client asks for them: pages and places of one moment, within limits."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from cleveragents_tui import client
from cleveragents_tui.client import Client
from daemon import protocol
from daemon.protocol import BoardPage, JobBoard, PlanBoard
from store import errors
from tests.cli.test_subplans import family
from tests.homes import Home


@pytest.fixture
def daemon(home: Home) -> Iterator[Client]:
    """A connection to the daemon of a home that has nothing else."""
    home.run("daemon", "start")
    with closing(client.connect(home.home / "run" / "daemon.sock")) as found:
        yield found


def test_a_plan_is_on_one_list_at_a_time_and_told_where(home: Home, daemon: Client) -> None:
    first, second = home.executed("true"), home.executed("true")
    home.data("plan", "cancel", first, "--yes")
    ids = {name: home.plan(name)["plan_id"] for name in (first, second)}

    found = daemon.call(PlanBoard(pages=[BoardPage("needs_you"), BoardPage("done")], places=[*ids.values(), "NONE"]))

    assert (found.counts.needs_you, found.counts.running, found.counts.queued, found.counts.done) == (1, 0, 0, 1)
    assert [[plan.name for plan in page.plans] for page in found.pages] == [[second], [first]]
    assert [(place.plan_id, place.of, place.position, place.children) for place in found.places] == [
        (ids[first], "done", 0, 0),
        (ids[second], "needs_you", 0, 0),
    ]
    assert found.seq == daemon.call(protocol.EventList(limit=1)).events[0].seq


def test_a_filter_changes_what_the_lists_have_and_where_things_are(home: Home, daemon: Client) -> None:
    plans = [home.executed("true") for _ in range(3)]
    first, second = home.plan(plans[0])["plan_id"], home.plan(plans[2])["plan_id"]
    home.data("plan", "cancel", plans[1], "--yes")
    pages = [BoardPage("needs_you", 0, 9), BoardPage("needs_you", 1, 9), BoardPage("done", 0, 9), BoardPage(first)]

    every = daemon.call(PlanBoard(pages=pages, places=[first, second], filter="LOCAL"))
    one = daemon.call(PlanBoard(pages=pages, places=[first, second], filter=plans[0]))
    none = daemon.call(PlanBoard(pages=pages, places=[first, second], filter="no such plan"))

    assert [[plan.name for plan in page.plans] for page in every.pages] == [
        [plans[2], plans[0]],
        [plans[0]],
        [plans[1]],
        [],
    ]
    assert [(place.plan_id, place.position) for place in every.places] == [(first, 1), (second, 0)]
    assert (one.counts.needs_you, one.counts.done) == (1, 0)
    assert [[plan.name for plan in page.plans] for page in one.pages] == [[plans[0]], [], [], []]
    assert [(place.plan_id, place.position) for place in one.places] == [(first, 0)]
    assert (none.counts.needs_you, none.counts.done, none.places) == (0, 0, [])
    assert [page.plans for page in none.pages] == [[]] * 4
    assert one.seq == none.seq == daemon.call(protocol.EventList(limit=1)).events[0].seq


def test_children_have_pages_and_places_of_their_own(home: Home, daemon: Client) -> None:
    plan = home.use(family(home, "true {item_}", ["a", "b", "c"]), home.repository())
    parent = home.plan(plan)["plan_id"]

    found = daemon.call(PlanBoard(pages=[BoardPage(parent, 1, 1)], places=[parent]))

    ((child,),) = [page.plans for page in found.pages]
    assert child.subplan is not None
    assert child.subplan.item == "b"
    assert [place.children for place in found.places] == [3]
    (place,) = daemon.call(PlanBoard(places=[child.plan_id])).places
    assert (place.of, place.position) == (parent, 1)
    assert daemon.call(PlanBoard()).counts.needs_you == 1


def test_jobs_come_open_first_and_with_the_names_of_their_plans(home: Home, daemon: Client) -> None:
    over = home.executed("true")
    gate = home.gate()
    running = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()

    found = daemon.call(JobBoard(pages=[BoardPage("open"), BoardPage("finished", 0, 1), BoardPage("finished", 1, 9)]))

    assert (found.open, found.finished) == (1, 3)
    assert [[found.plans[job.plan_id] for job in page.jobs] for page in found.pages] == [
        [running],
        [running],
        [over] * 2,
    ]
    assert [job.status for job in found.pages[0].jobs] == ["running"]


@pytest.mark.parametrize(
    "request_",
    [
        PlanBoard(pages=[BoardPage("needs_you")] * 65),
        PlanBoard(places=["X"] * 65),
        PlanBoard(pages=[BoardPage("needs_you", -1)]),
        PlanBoard(pages=[BoardPage("needs_you", 0, 513)]),
        PlanBoard(pages=[BoardPage("needs_you", 0, -1)]),
        JobBoard(pages=[BoardPage("open", 0, 513)]),
        JobBoard(pages=[BoardPage("late")]),
    ],
)
def test_more_than_a_screen_can_use_is_refused(shared: Home, request_: protocol.Request[Any]) -> None:
    shared.run("daemon", "start")
    with closing(client.connect(shared.home / "run" / "daemon.sock")) as found:
        with pytest.raises(errors.InvalidArgumentError):
            found.call(request_)
        assert found.call(protocol.Ping()) == "pong"


@pytest.mark.parametrize("words", ["", "word"])
def test_a_page_of_a_plan_that_is_none_says_so(daemon: Client, words: str) -> None:
    with pytest.raises(errors.NotFoundError):
        daemon.call(PlanBoard(pages=[BoardPage("nosuchplan")], filter=words))


def test_events_can_be_read_backwards(home: Home, daemon: Client) -> None:
    plan = home.executed("true")
    newest = daemon.call(protocol.EventList(plan=plan, limit=3)).events
    before = daemon.call(protocol.EventList(plan=plan, limit=3, offset=3)).events

    assert len(before) == 3
    assert before[-1].seq < newest[0].seq
    assert daemon.call(protocol.EventList(plan=plan, limit=6)).events == [*before, *newest]
