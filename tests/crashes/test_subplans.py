"""The daemon dies over the children of a plan: none is merged twice, forgotten, or run twice, and the tree is the same."""

import itertools
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon import protocol
from tests import daemons
from tests.crashes.test_points import check_invariants
from tests.waiting import wait_until

POINTS = ("after:subplan.integrated", "subplan.merged:2", "before:subplan.integrated:2")
"""Where a daemon dies when it has brought exactly one child into the parent."""


def family(daemon: daemons.Daemon, project: Path, run: str, count: int, **spec: Any) -> None:
    """An action `all` of that many children, each of which runs a command for its number."""
    daemons.add_action(daemon, "part", [{"id": "go", "run": run}])
    items = [str(number) for number in range(1, count + 1)]
    daemons.add_action(daemon, "all", [{"id": "all", "subplans": {"action": "part", "for_each": items, **spec}}])
    daemons.add_project(daemon, project)


def use(daemon: daemons.Daemon, name: str) -> None:
    daemon.ask(daemons.use("all", ["proj"], name=name))


class Family(msgspec.Struct, frozen=True):
    """What a store says of a plan and its children.

    Attributes:
        tree: The git tree that the plan has come to.
        stands: Where the child of each item is.
        entered: The items of those that are in the plan, in the order in which they came.
        starts: How often each child was begun.
    """

    tree: str
    stands: dict[str, str]
    entered: list[str]
    starts: dict[str, int]


def look(home: daemons.Home, name: str) -> Family:
    """Read the store beside its daemon, or after its end."""
    store = daemons.raw_store(home)
    store.set_busy_timeout(5000)
    ((plan_id, tree),) = store.execute(
        "SELECT plan_id, tip_tree FROM plans JOIN plan_projects USING (plan_id) WHERE name = ?", (name,)
    ).fetchall()
    rows = store.execute(
        "SELECT item, phase || '/' || state, starts FROM subplans JOIN plans USING (plan_id) "
        "WHERE subplans.parent_plan_id = ? ORDER BY subplans.position",
        (plan_id,),
    ).fetchall()
    told = store.execute(
        "SELECT detail_json FROM events WHERE kind = 'subplan.integrated' AND plan_id = ? ORDER BY seq", (plan_id,)
    ).fetchall()
    store.close()
    return Family(
        tree=str(tree),
        stands={str(item): str(here) for item, here, _ in rows},
        entered=[msgspec.json.decode(detail)["item"] for (detail,) in told],
        starts={str(item): int(starts) for item, _, starts in rows},
    )


def test_killed_at_each_integration_it_goes_on_where_it_was(home: daemons.Home, project: Path, tmp_path: Path) -> None:
    """Twelve children, and a daemon for each: the tree is that of an unkilled run, though each child overrides the last."""
    ran = tmp_path / "ran"
    run = f"echo $CA_ITEM >> {ran}; echo $CA_ITEM > shared.txt; echo $CA_ITEM > own-$CA_ITEM.txt"
    items = [str(number) for number in range(1, 13)]
    points = itertools.cycle(POINTS)
    daemon = home.start(crash_at=next(points))
    family(daemon, project, run, len(items), merge="last_wins", max_parallel=12)
    use(daemon, "p")
    for count in range(1, len(items)):
        assert daemon.died_of_crash()
        check_invariants(home)
        assert look(home, "p").entered == items[:count]
        daemon = home.start(crash_at=next(points) if count < len(items) - 1 else "")
    killed = daemon.wait_for("p")
    assert Counter(ran.read_text().split()) == Counter(items)
    use(daemon, "q")
    daemon.wait_for("q")

    assert (killed.phase, killed.state) == ("execute", "complete")
    check_invariants(home)
    one, other = look(home, "p"), look(home, "q")
    assert one == other
    assert one.entered == items
    assert one.starts == dict.fromkeys(items, 1)


def mixed(directory: Path, slow: int) -> str:
    """What the children do in `directory`: the second fails at first, the third and fourth collide, one is slow."""
    return (
        f"mkdir {directory}/now-$CA_ITEM; echo $CA_ITEM > own-$CA_ITEM.txt; "
        f"case $CA_ITEM in 2) [ -e {directory}/ok ] || code=3;; 3|4) echo $CA_ITEM > shared.txt;; "
        f"{slow}) touch {directory}/begun; until [ -e {directory}/gate ]; do sleep 0.02; done;; esac; "
        f"rmdir {directory}/now-$CA_ITEM; exit ${{code:-0}}"
    )


def at_rest(home: daemons.Home, daemon: daemons.Daemon) -> tuple[str | None, Family]:
    error = daemon.wait_for("p").error
    check_invariants(home)
    return (error.code if error else None), look(home, "p")


def bring_in(home: daemons.Home, daemon: daemons.Daemon, ok: Path) -> list[tuple[str | None, Family]]:
    """Each rest of the plan on its way to its end, as a person brings it there."""
    rests = [at_rest(home, daemon)]
    ok.touch()
    while rests[-1][0] is not None:
        for one in daemon.ask(protocol.PlanConflicts(plan="p")).conflicts:
            if one.status == "open":
                daemon.ask(protocol.PlanResolve(plan="p", path=one.path, take="child"))
        daemon.ask(protocol.PlanExecute(plan="p"))
        rests.append(at_rest(home, daemon))
        assert len(rests) < 6
    return rests


@pytest.mark.parametrize(
    ("mode", "slow", "crash_at", "codes"),
    [
        ("parallel", 5, "before:subplan.conflict", ["merge_conflict", None]),
        ("sequential", 1, "before:subplan.failed", ["step_failed", None]),
    ],
    ids=["parallel", "sequential"],
)
def test_a_mixed_family_ends_as_an_unkilled_one(
    tmp_path: Path, mode: str, slow: int, crash_at: str, codes: list[str | None]
) -> None:
    """Killed while a child runs and again at a conflict, or at a failure: every rest on the way is that of an unkilled run."""
    unkilled = mixed_family(tmp_path / "unkilled", mode, slow)
    killed = mixed_family(tmp_path / "killed", mode, slow, crash_at=crash_at)

    assert killed == unkilled
    assert [code for code, _ in killed] == codes
    _, end = killed[-1]
    assert set(end.stands.values()) == {"execute/complete"}
    assert sorted(end.entered) == sorted(set(end.entered)) == sorted(end.stands)


def mixed_family(root: Path, mode: str, slow: int, *, crash_at: str = "") -> list[tuple[str | None, Family]]:
    project = daemons.repository(root / "proj", {"a.txt": "base\n"})
    with daemons.temporary_home(root / "h") as home:
        daemon = home.start()
        family(daemon, project, mixed(root, slow), 6, mode=mode)
        use(daemon, "p")
        if crash_at:
            wait_until((root / "begun").exists)
            daemon.kill()
            daemon = home.start(crash_at=crash_at)
        (root / "gate").touch()
        if crash_at:
            assert daemon.died_of_crash()
            daemon = home.start()
        rests = bring_in(home, daemon, root / "ok")
        assert list(root.glob("now-*")) == [], "a child was begun while it ran"
        return rests


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_running_grandchild_is_adopted(home: daemons.Home, project: Path, gate: Path, number: signal.Signals) -> None:
    """The next daemon takes parents and children over, from the root down; the command of the last goes on."""
    first = home.start()
    ran = gate.with_name("ran")
    family(first, project, f"echo x >> {ran}; until [ -e {gate} ]; do sleep 0.02; done; echo x > new.txt", 1)
    daemons.add_action(first, "above", [{"id": "s", "subplans": {"action": "all", "for_each": ["one"]}}])
    first.ask(daemons.use("above", ["proj"], name="p"))
    wait_until(ran.exists)
    first.process.send_signal(number)
    first.wait_end()

    second = home.start()
    gate.touch()
    plan = second.wait_for("p")

    assert (plan.phase, plan.state) == ("execute", "complete")
    assert ran.read_text().split() == ["x"]
    assert [second.plan(name).steps[0].attempt for name in ("p", "p.1", "p.1.1")] == [1, 1, 1]
    check_invariants(home)


def test_a_child_that_nobody_has_taken_over_yet_is_ended_by_a_cancel(
    home: daemons.Home, project: Path, gate: Path
) -> None:
    """Its job waits for its parent's, which waits for another plan, while its command runs on from the daemon before."""
    begun = gate.with_name("begun")
    first = home.start()
    family(first, project, f"echo x >> {begun}; sleep 1000", 1)
    daemons.add_action(first, "other", [f"echo x >> {begun}; until [ -e {gate} ]; do sleep 0.02; done"])
    first.ask(daemons.use("other", ["proj"], name="q"))
    wait_until(begun.exists)  # its job is the older one, so the next daemon goes on with it first
    use(first, "p")
    wait_until(lambda: begun.read_text() == "x\nx\n")
    first.kill()

    second = home.start(CLEVERAGENTS_PLAN_CONCURRENCY="1", CLEVERAGENTS_ASYNC_CANCEL_GRACE="0.2")
    wait_until(lambda: [second.plan(name).state for name in ("q", "p", "p.1")] == ["processing", "queued", "queued"])
    second.ask(protocol.PlanCancel(plan="p"))

    assert [second.wait_for(name).state for name in ("p", "p.1")] == ["cancelled"] * 2
    gate.touch()
    assert second.wait_for("q").state == "complete"
    check_invariants(home)
    wait_until(lambda: set(daemons.processes_of(home.root)) <= {second.pid})
