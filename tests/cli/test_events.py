"""`ca events`: what was committed, in order; nothing is missed, whatever happens to the daemon."""

import contextlib
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from cleveragents_tui import client
from cleveragents_tui.cli.session import READS
from daemon import protocol
from store import errors
from tests.cli import colliding, schemas, teamed
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


# --- every change has one ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lasting() -> Iterator[Home]:
    """A home for the tests below."""
    with Home() as made:
        yield made


def stored(home: Home, noun: str, name: str) -> str:
    """An action or an actor that is registered; its name."""
    path = home.work / f"{name}.yaml"
    path.write_text(json.dumps({"name": name, "steps": [{"id": "s", "run": "true"}]} if noun == "action" else ACTOR))
    return home.data(noun, "create", str(path), "--update")["name"]


ACTOR = {"name": "local/helper", "type": "command", "command": ["true"]}


def over(home: Home) -> str:
    """A plan that is cancelled and whose sandbox is still there."""
    plan = home.executed("echo x > x")
    home.data("plan", "cancel", plan, "--yes")
    return plan


def running(home: Home) -> str:
    """A job at work."""
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    return home.plan(plan)["job_id"]


def folder(home: Home) -> str:
    path = home.work / home.fresh("dir")
    path.mkdir()
    return str(path)


def finished(home: Home) -> None:
    """A job that is over for longer than it is kept, and is not its plan's last."""
    applied(home)
    home.set("async.retention", "0")


def lost(home: Home) -> None:
    """A sandbox that somebody removed."""
    shutil.rmtree(home.sandbox(home.executed("echo x > x")))


def held(home: Home, resource: str, ttl: str) -> str:
    home.data("lock", "acquire", resource, "--owner", "me", "--ttl", ttl)
    return resource


def expired(home: Home) -> None:
    held(home, "c", "5")
    home.until(lambda: any(lock["stale"] for lock in home.data("lock", "list")["locks"]))


def applied(home: Home) -> str:
    plan = home.executed("echo x > x")
    home.apply(plan)
    return plan


def sharing(home: Home) -> teamed.Team:
    """The home shares a namespace over the team server that it hosts itself."""
    team = teamed.Team(home)
    teamed.connected(home, team, "team")
    return team


def edited(home: Home) -> None:
    """A change that the team server does not have."""
    sharing(home)
    teamed.edit(home, f"team/{home.fresh('edited')}", "true")


def changed_by_both(home: Home) -> str:
    name = f"team/{home.fresh('changed')}"
    teamed.conflict(home, sharing(home), name)
    return name


WRITES: dict[type, tuple[str, Callable[[Home], protocol.Request[Any]]]] = {
    protocol.ProjectAdd: ("project.added", lambda home: protocol.ProjectAdd(path=folder(home))),
    protocol.ProjectRemove: (
        "project.removed",
        lambda home: protocol.ProjectRemove(project=home.data("project", "add", folder(home))["name"]),
    ),
    protocol.ActionCreate: (
        "action.stored",
        lambda _: protocol.ActionCreate(content=b'{"name": "a", "steps": [{"id": "s", "run": "x"}]}', source="x"),
    ),
    protocol.ActionRemove: (
        "action.removed",
        lambda home: protocol.ActionRemove(action=stored(home, "action", "gone")),
    ),
    protocol.ActorCreate: (
        "actor.stored",
        lambda _: protocol.ActorCreate(content=json.dumps(ACTOR).encode(), source="x"),
    ),
    protocol.ActorRemove: ("actor.removed", lambda home: protocol.ActorRemove(actor=stored(home, "actor", "helper"))),
    protocol.PlanUse: (
        "plan.created",
        lambda home: protocol.PlanUse(action=home.action("true"), projects=[home.repository().name], profile="manual"),
    ),
    protocol.PlanRun: (
        "plan.created",
        lambda home: protocol.PlanRun(command="true", directory="/", project=home.repository().name, profile="manual"),
    ),
    protocol.PlanExecute: (
        "job.queued",
        lambda home: protocol.PlanExecute(plan=home.use(home.action("true"), home.repository(), profile="manual")),
    ),
    protocol.PlanApply: ("job.queued", lambda home: protocol.PlanApply(plan=home.executed("echo x > x"))),
    protocol.PlanCancel: ("plan.moved", lambda home: protocol.PlanCancel(plan=home.executed("true"))),
    protocol.PlanRevert: ("plan.moved", lambda home: protocol.PlanRevert(plan=home.executed("true"))),
    protocol.PlanPrompt: (
        "decision.recorded",
        lambda home: protocol.PlanPrompt(plan=home.executed("false", code=1), text="try"),
    ),
    protocol.PlanRollback: (
        "plan.rolled_back",
        lambda home: protocol.PlanRollback(plan=home.executed("true", "false", code=1), step="s1"),
    ),
    protocol.PlanResolve: (
        "conflict.resolved",
        lambda home: protocol.PlanResolve(plan=colliding.plan(home), path="f", take="child"),
    ),
    protocol.PlanUndo: ("plan.undone", lambda home: protocol.PlanUndo(plan=applied(home))),
    protocol.PlanPrune: ("sandbox.removed", lambda home: (over(home), protocol.PlanPrune())[1]),
    protocol.JobCancel: ("job.cancelled", lambda home: protocol.JobCancel(job=running(home))),
    protocol.JobPrune: ("job.pruned", lambda home: (finished(home), protocol.JobPrune())[1]),
    protocol.Diagnostics: ("sandbox.gone", lambda home: (lost(home), protocol.Diagnostics(repair=True))[1]),
    protocol.LockAcquire: ("lock.acquired", lambda _: protocol.LockAcquire(resource="a", owner="me")),
    protocol.LockRelease: (
        "lock.released",
        lambda home: protocol.LockRelease(resource=held(home, "b", "300"), owner="me"),
    ),
    protocol.LockClean: ("lock.expired", lambda home: (expired(home), protocol.LockClean())[1]),
    protocol.ServerConnect: (
        "server.connected",
        lambda home: protocol.ServerConnect(url=teamed.Team(home).url, namespace="team"),
    ),
    protocol.ServerDisconnect: ("server.disconnected", lambda home: (sharing(home), protocol.ServerDisconnect())[1]),
    protocol.SyncRun: ("sync.pushed", lambda home: (edited(home), protocol.SyncRun())[1]),
    protocol.SyncResolve: (
        "sync.resolved",
        lambda home: protocol.SyncResolve(kind="action", name=changed_by_both(home), take="server"),
    ),
}
"""Requests that change something: the event that tells of it, and a situation in which it does."""

WITHOUT = {
    protocol.Ping, protocol.Subscribe, protocol.PlanWait, protocol.JobWait, protocol.ActionValidate, protocol.PlanDryRun,
    protocol.DaemonStop, protocol.LockRenew, protocol.SettingsChanged,
}  # fmt: skip
"""Requests without an event: they change nothing that lasts, or nothing changes hands."""


BESIDE_PLANS = ("project.", "action.", "actor.", "lock.", "server.", "sync.")
"""What the kinds of events that are about no plan begin with."""


@pytest.mark.parametrize("request_", WRITES, ids=lambda request: request.__name__)
def test_request_that_changes_something_leaves_its_event(lasting: Home, request_: type) -> None:
    """And the event names the plan, and the job, that it is about."""
    kind, situation = WRITES[request_]
    request = situation(lasting)
    path = Path(lasting.data("daemon", "start")["socket"])
    with contextlib.closing(client.connect(path)) as connection:
        newest = max((event.seq for event in connection.call(protocol.EventList(limit=1)).events), default=0)
        connection.call(request)
        found = [event for event in connection.call(protocol.EventList(since=newest)).events if event.kind == kind]

    assert found, kind
    for event in found:
        assert event.plan_id or kind.startswith(BESIDE_PLANS), event
        assert event.job_id or not kind.startswith("job."), event


def test_every_request_is_known_to_have_an_event_or_none() -> None:
    assert set(get_args(protocol.AnyRequest)) == (WRITES.keys() | (READS - WRITES.keys()) | WITHOUT)
    assert not WRITES.keys() & WITHOUT


# --- subscribers ---------------------------------------------------------------------------------------------------------


def test_follow_prints_every_event_once_over_kills_under_load(home: Home) -> None:
    """Each daemon is killed while it commits; the list that was printed is the list that the store has."""
    path = Path(home.data("daemon", "start")["socket"])
    with home.spawn("events", "--follow", "--since", "0", "--format", "json") as following:
        assert following.stdout is not None
        for _ in range(3):
            make_changes_until_it_is_killed(path, home.data("daemon", "status")["pid"])
            home.run("daemon", "start")
        home.data("project", "add", folder(home))
        kept = home.data("events", "--limit", "100000")["events"]
        printed = [json.loads(following.stdout.readline()) for _ in kept]
        done = following.interrupt()

    assert printed == kept
    assert len(kept) > 3 * 20
    assert [event["seq"] for event in kept] == list(range(1, len(kept) + 1))
    assert (done.code, done.out) == (130, "")
    assert all(line.startswith("started the daemon") for line in done.err.splitlines())


def make_changes_until_it_is_killed(path: Path, pid: int) -> None:
    """It dies with requests before, in and after their commit."""
    with contextlib.closing(client.connect(path)) as connection:
        asked = [connection.ask(numbered(f"{pid}-{number}")) for number in range(60)]
        asked[20].result(40)
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(errors.DaemonUnavailableError):
            asked[-1].result(40)


def numbered(word: str) -> protocol.ActionCreate:
    content = {"name": "a", "steps": [{"id": "s", "run": f"echo {word}"}]}
    return protocol.ActionCreate(content=json.dumps(content).encode(), source="x", update=True)


def test_plan_follow_prints_every_line_once_over_a_kill(home: Home) -> None:
    """From the start, in order, with what was written while no daemon ran."""
    gate = home.gate()
    counting = "for i in $(seq 200); do echo {} $i; done"
    plan = home.use(
        home.action(f"{counting.format('a')}; {gate.command}; {counting.format('b')}; exit 3"),
        home.repository(),
        code=None,
    )
    gate.wait()
    with home.spawn("plan", "follow", plan) as following:
        assert following.stdout is not None
        lines = [following.stdout.readline()]
        os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
        gate.open()
        home.until(lambda: not home.processes(having="CA_STEP_ID"))
        lines += following.stdout.readlines()

    printed = [line.decode().partition("│ ")[2].strip() for line in lines]
    assert printed == [f"{word} {number}" for word in "ab" for number in range(1, 201)]
    assert following.returncode == 1


def test_follow_ends_when_its_reader_does(home: Home) -> None:
    """`| head -1` does not wait for the next event, which may never come."""
    home.repository()

    done = home.run_shell('"$@" --follow --since 0 --format json | head -1', "events")

    assert json.loads(done.out)["seq"] == 1
    assert done.err == ""


def test_follow_says_that_events_are_gone(home: Home) -> None:
    """Past `events.retention` the last event of each plan stays, and no number is used twice."""
    plan_id = home.plan(home.executed("true"))["plan_id"]
    before = home.data("events", "--limit", "1000")["events"]
    last_of_plan = [event for event in before if event["plan_id"] == plan_id][-1]

    home.set("events.retention", "0")
    home.run("daemon", "restart")
    home.until(lambda: home.data("events")["total"] < len(before))
    kept = home.data("events")["events"]
    with home.spawn("events", "--follow", "--since", "1", "--format", "json") as following:
        assert following.stdout is not None
        assert following.stderr is not None
        said = following.stderr.readline().decode()
        home.data("project", "add", folder(home))
        printed = [json.loads(following.stdout.readline()) for _ in range(len(kept) + 1)]
        following.interrupt()

    assert kept == [last_of_plan]
    assert f"{len(before) - 2} of the events after 1 are older than events.retention and are gone" in said
    assert printed[0] == last_of_plan
    assert (printed[1]["seq"], printed[1]["kind"]) == (before[-1]["seq"] + 1, "project.added")


def test_follow_goes_on_in_a_store_that_is_older_than_its_subscriber(home: Home) -> None:
    """A copy of the store was restored: numbers that were seen come again, and are shown."""
    home.data("project", "add", folder(home))
    with home.spawn("events", "--follow", "--since", "1000", "--format", "json") as following:
        assert following.stdout is not None
        assert following.stderr is not None
        said = following.stderr.readline().decode()
        home.data("project", "add", folder(home))
        event = json.loads(following.stdout.readline())
        following.interrupt()

    assert "there is no event 1000 in the store" in said
    assert event["seq"] == 2
