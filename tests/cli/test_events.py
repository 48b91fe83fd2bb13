"""`ca events`: what was committed, in order."""

import itertools
import json

from tests.cli import schemas
from tests.homes import Home


def test_every_change_has_its_event_in_order(home: Home) -> None:
    root = home.repository()
    plan = home.executed("echo x > x", project=root)
    home.apply(plan)

    listed = home.data("events", "--limit", "1000")

    events = listed["events"]
    assert [event["seq"] for event in events] == list(range(1, listed["total"] + 1))
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)
    kinds = [event["kind"] for event in events]
    assert kinds[:3] == ["project.added", "action.stored", "plan.created"]
    moves = [event["detail"] for event in events if event["kind"] == "plan.moved"]
    assert [move["to"] for move in moves] == [
        "strategize/processing",
        "strategize/complete",
        "execute/queued",
        "execute/processing",
        "execute/complete",
        "apply/queued",
        "apply/processing",
        "apply/applied",
    ]
    assert all(before["to"] == after["from"] for before, after in itertools.pairwise(moves))
    assert [kind for kind in kinds if kind.startswith("step.")] == ["step.started", "step.finished"]


def test_since_limit_and_plan_choose(shared: Home) -> None:
    one, two = (shared.use(shared.action("true"), shared.repository(), profile="manual") for _ in range(2))
    everything = shared.data("events", "--limit", "100000")["events"]

    last = everything[-3]["seq"]
    assert [event["seq"] for event in shared.data("events", "--since", str(last))["events"]] == [last + 1, last + 2]
    assert len(shared.data("events", "--limit", "2")["events"]) == 2
    of_one = shared.data("events", "--plan", one)
    assert {event["plan_id"] for event in of_one["events"]} == {shared.plan(one)["plan_id"]}
    assert of_one["total"] == len(of_one["events"])
    assert two not in str(of_one)


def test_follow_misses_nothing_from_before_and_after(home: Home) -> None:
    """`--since 0 --follow` replays, then goes on; one compact document a line."""
    root, action = home.repository(), home.action("true")
    with home.spawn("events", "--follow", "--since", "0", "--format", "json") as following:
        assert following.stdout is not None
        plan = home.use(action, root)
        total = home.data("events")["total"]
        lines = [following.stdout.readline() for _ in range(total)]
        done = following.interrupt()

    events = [json.loads(line) for line in lines]
    for event in events:
        schemas.check_event(event)
    assert [event["seq"] for event in events] == list(range(1, total + 1))
    assert events[-1]["plan_id"] == home.plan(plan)["plan_id"]
    assert done.code == 130


def test_no_events_is_said(home: Home) -> None:
    assert home.data("events") == {"events": [], "total": 0}
    assert home.run("events").lines == ["No events."]


def test_refused_move_leaves_no_event(shared: Home) -> None:
    plan = shared.use(shared.action("true"), shared.repository(), profile="manual")
    before = shared.data("events", "--plan", plan)["total"]

    shared.error("plan", "apply", plan, "--yes", code=4)

    assert shared.data("events", "--plan", plan)["total"] == before
