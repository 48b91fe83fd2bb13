"""The daemon dies before and after every commit that a plan can come to, and between them: nothing is lost or done twice."""

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daemon import protocol
from store.database import Connection
from store.states import (
    FORWARD,
    REVERSIONS,
    VALID_JOB_TRANSITIONS,
    AsyncJobStatus,
    Phase,
    Position,
    State,
)
from tests import daemons
from tests.crashes import scenarios
from tests.crashes.scenarios import NEW, OLD, Died, Scenario, Scene
from tests.waiting import wait_until

EVENTS: Mapping[str, Scenario] = {
    **{f"plan.moved {name}": scenario for name, scenario in scenarios.MOVES.items()},
    **{f"step.finished {name}": scenario for name, scenario in scenarios.STEP_ENDS.items()},
    **scenarios.KINDS,
}
WHEN = ("before", "after")
CASES = [
    *((f"{when}:{name}", scenario) for name, scenario in EVENTS.items() for when in WHEN),
    *((f"{when}:plan.moved {name}", scenario) for name, scenario in scenarios.RECOVERED.items() for when in WHEN),
    *scenarios.PLACES.items(),
    *scenarios.OF_CHILDREN.items(),
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[daemons.Home]:
    """One in which every daemon is killed in the end."""
    with daemons.temporary_home(tmp_path / "h", measured=False) as made:
        yield made


class Snapshot:
    """The store of a home as of one moment, beside the daemon that has it open."""

    def __init__(self, home: daemons.Home) -> None:
        connection = daemons.raw_store(home)
        connection.set_busy_timeout(5000)
        connection.execute("BEGIN")
        self.integrity = self._rows(connection, "PRAGMA integrity_check")
        self.plans = {
            plan: Position(Phase(phase), State(state))
            for plan, phase, state in self._rows(connection, "SELECT plan_id, phase, state FROM plans")
        }
        self.jobs = self._rows(connection, "SELECT job_id, plan_id, phase, status FROM async_jobs")
        self.locks = self._rows(connection, "SELECT resource_type, resource_id, owner_id FROM locks")
        self.steps = self._rows(connection, "SELECT plan_id, step_id, state FROM steps")
        self.integrated = self._rows(connection, "SELECT plan_id FROM subplans WHERE integrated_at IS NOT NULL")
        self.events = self._rows(connection, "SELECT seq, kind, plan_id, job_id, detail_json FROM events ORDER BY seq")
        connection.execute("ROLLBACK")
        connection.close()

    @staticmethod
    def _rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
        return connection.execute(sql).fetchall()


def check_invariants(home: daemons.Home) -> Snapshot:
    """What holds at every moment, whoever died."""
    now = Snapshot(home)
    assert now.integrity == [("ok",)]
    check_jobs(now)
    check_events(now)
    check_children(now)
    running = {f"job:{job}" for job, _, _, status in now.jobs if status == "running"}
    assert {owner for _, _, owner in now.locks} - {scenarios.PERSON} <= running, "a lock has an owner that is gone"
    return now


def check_jobs(now: Snapshot) -> None:
    """A plan is processing exactly while a job of its phase runs, and never has two open jobs."""
    work = {(plan, phase) for plan, phase, state in flat(now) if state == "processing"}
    assert {(plan, phase) for _, plan, phase, status in now.jobs if status == "running"} == work
    opened = [plan for _, plan, _, status in now.jobs if status in {"queued", "running"}]
    assert len(opened) == len(set(opened)), "two open jobs of one plan"
    waits = {plan for _, plan, _, status in now.jobs if status == "queued"}
    assert waits <= {plan for plan, _, state in flat(now) if state == "queued"}
    busy = {plan for plan, _, state in now.steps if state == "running"}
    assert all(now.plans[plan] != Position(Phase.EXECUTE, State.COMPLETE) for plan in busy)


def flat(now: Snapshot) -> list[tuple[str, str, str]]:
    return [(plan, here.phase, here.state) for plan, here in now.plans.items()]


def check_events(now: Snapshot) -> None:
    """No gap; each plan went only where the tables allow; each job only made moves that there are, and is where they led."""
    numbers = [seq for seq, *_ in now.events]
    assert numbers == list(range(1, len(numbers) + 1))
    for plan, here in now.plans.items():
        moves = [msgspec.json.decode(e[4]) for e in now.events if e[1] == "plan.moved" and e[2] == plan]
        way = ["strategize/queued", *(move["to"] for move in moves)]
        assert [move["from"] for move in moves] == way[:-1]
        assert way[-1] == str(here)
        assert {(move["from"], move["to"]) for move in moves} <= set(every_move())
    for job, _, _, status in now.jobs:
        told = [e[1].removeprefix("job.") for e in now.events if e[3] == job and e[1].startswith("job.")]
        stations = [AsyncJobStatus(one) for one in told if one != "cancel-requested"]
        assert (stations[0], stations[-1]) == ("queued", status)
        assert all(later in VALID_JOB_TRANSITIONS[one] for one, later in itertools.pairwise(stations)), stations


def check_children(now: Snapshot) -> None:
    """Each child entered its parent at most once, and what counts as entered did so."""
    entered = [
        msgspec.json.decode(detail)["child"] for _, kind, *_, detail in now.events if kind == "subplan.integrated"
    ]
    assert len(entered) == len(set(entered))
    assert {plan for (plan,) in now.integrated} <= set(entered)


def every_move() -> Iterator[tuple[str, str]]:
    for table in (FORWARD, REVERSIONS):
        for here, targets in table.items():
            yield from ((str(here), str(target)) for target in targets)


@pytest.mark.parametrize(("point", "scenario"), CASES, ids=[point for point, _ in CASES])
def test_a_daemon_may_die_anywhere(home: daemons.Home, tmp_path: Path, point: str, scenario: Scenario) -> None:
    """The next daemon finds everything in order and can bring the plan to the end that it would have had."""
    check_crash(home, tmp_path, point, scenario)


def check_crash(home: daemons.Home, tmp_path: Path, point: str, scenario: Scenario, *, surely: bool = True) -> None:
    scene = Scene(home, tmp_path)
    if scenario.earlier is not None:
        scene.launch(scenario.earlier_point, scenario.variables)
        scenario.earlier(scene)
        scene.daemon.kill()
        scene.gate.touch()
    scene.launch(point, scenario.variables)
    with contextlib.suppress(Died):
        scenario.play(scene)
    if not surely:
        scene.daemon.kill()
    assert scene.daemon.died_of_crash()

    scene.mend()
    second = home.start()
    found = check_invariants(home)
    assert found.plans or not scene.acknowledged
    plan = scene.finish(second)
    for other in second.ask(protocol.PlanList()).plans:
        second.wait_for(other.name)

    end = check_invariants(home)
    assert [status for *_, status in end.jobs if status in {"queued", "running"}] == []
    assert {owner for _, _, owner in end.locks} <= {scenarios.PERSON}
    if plan.state == "applied":
        assert project_files(scene) == NEW
        assert set(scene.ran.read_text().split()) == {"s1", "s2"}
        wait_until(lambda: not (home.paths.sandboxes / plan.plan_id / "local/proj").exists())
    else:
        assert plan.state == "cancelled"
        assert project_files(scene) == OLD
    wait_until(lambda: set(daemons.processes_of(home.root)) <= {second.pid})


def project_files(scene: Scene) -> dict[str, str]:
    return {name: text for name, text in daemons.contents(scene.project).items() if name in OLD}


QUIET = [(name, number) for name, (_, numbers) in scenarios.QUIET.items() for number in numbers]


@pytest.mark.parametrize(("way", "number"), QUIET)
@pytest.mark.parametrize("when", WHEN)
def test_a_daemon_may_die_at_commits_that_tell_nobody(
    home: daemons.Home, tmp_path: Path, when: str, way: str, number: int
) -> None:
    """What becomes durable without an event: locks, journals, notes about sandboxes.

    How many there are depends on who was first, so the last may not be reached.
    """
    scenario, _ = scenarios.QUIET[way]
    check_crash(home, tmp_path, f"{when}:quiet:{number}", scenario, surely=False)
