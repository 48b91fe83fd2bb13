"""The daemon dies at a commit, before or after it, anywhere in the life of a plan: nothing acknowledged is lost."""

from pathlib import Path

import pytest

from daemon import protocol, views
from tests import daemons

LAST = 24
POINTS = [
    *(f"store.before-commit:{number}" for number in range(1, LAST)),
    *(f"store.after-commit:{number}" for number in range(2, LAST, 2)),
]


def prepared(home: daemons.Home, project: Path, tmp_path: Path) -> str:
    """A project and an action of two steps, each of which also notes outside that it ran; no daemon runs."""
    daemon = home.start()
    steps = [f"echo {n} >> {tmp_path}/ran; echo {n} >> a.txt" for n in ("one", "two")]
    daemons.add_action(daemon, "work", steps)
    name = daemons.add_project(daemon, project)
    daemon.kill()
    return name


def check_end(plan: views.PlanView, project: Path, tmp_path: Path) -> None:
    ran = (tmp_path / "ran").read_text().split()
    assert (plan.phase, plan.state) == ("apply", "applied")
    assert [step.state for step in plan.steps] == ["succeeded", "succeeded"]
    assert (project / "a.txt").read_text() == "base\none\ntwo\n"
    assert list(dict.fromkeys(ran)) == ["one", "two"]


@pytest.mark.parametrize("point", POINTS)
def test_a_plan_ends_well_after_a_crash_at_any_commit(
    home: daemons.Home, project: Path, tmp_path: Path, point: str
) -> None:
    """The next daemon brings it to its end; each step ran at least once, its effect is there exactly once."""
    name = prepared(home, project, tmp_path)
    daemon = home.launch(crash_at=point)
    acknowledged = None
    if "ready" in daemon.first_word():
        acknowledged = daemon.try_ask(daemons.use("work", [name], profile="full-auto", name="p"))
        if acknowledged is not None:
            daemon.try_ask(protocol.PlanWait(plan="p", timeout=daemons.SECONDS))
    daemon.kill()

    second = home.start()
    known = second.ask(protocol.PlanList()).plans
    assert len(known) == 1 if acknowledged else len(known) <= 1
    if not known:
        second.ask(daemons.use("work", [name], profile="full-auto", name="p"))
    check_end(second.wait_for("p"), project, tmp_path)
    jobs = second.ask(protocol.JobList(plan="p")).jobs
    assert {job.status for job in jobs} <= {"succeeded", "failed"}


def test_the_tested_commits_span_the_whole_run(home: daemons.Home, project: Path, tmp_path: Path) -> None:
    """The last point tested lies behind the end of the plan."""
    name = prepared(home, project, tmp_path)
    daemon = home.start(crash_at=f"store.before-commit:{LAST + 12}")
    daemon.ask(daemons.use("work", [name], profile="full-auto", name="p"))

    check_end(daemon.wait_for("p"), project, tmp_path)
    assert daemon.process.poll() is None


def test_a_daemon_that_dies_at_each_of_its_starts_loses_nothing(
    home: daemons.Home, project: Path, tmp_path: Path
) -> None:
    """Recovery itself may be cut, again and again."""
    name = prepared(home, project, tmp_path)
    first = home.start(crash_at="store.before-commit:9")
    acknowledged = first.try_ask(daemons.use("work", [name], profile="full-auto", name="p"))
    if acknowledged is not None:
        first.try_ask(protocol.PlanWait(plan="p", timeout=daemons.SECONDS))
    assert first.died_of_crash()
    for number in range(1, 5):
        again = home.launch(crash_at=f"store.after-commit:{number}")
        again.first_word()
        assert again.died_of_crash()

    last = home.start()
    if acknowledged is None and not last.ask(protocol.PlanList()).plans:
        last.ask(daemons.use("work", [name], profile="full-auto", name="p"))
    check_end(last.wait_for("p"), project, tmp_path)


def test_a_store_that_was_not_closed_is_checked_and_sound(home: daemons.Home, project: Path, tmp_path: Path) -> None:
    name = prepared(home, project, tmp_path)
    daemon = home.start(crash_at="store.before-commit:6")
    daemon.try_ask(daemons.use("work", [name], profile="full-auto", name="p"))
    daemon.try_ask(protocol.PlanWait(plan="p", timeout=daemons.SECONDS))
    assert daemon.died_of_crash()
    connection = daemons.raw_store(home)
    verdict = connection.pragma("integrity_check")
    orphans = connection.execute(
        "SELECT count(*) FROM async_jobs WHERE status = 'running' AND plan_id NOT IN"
        " (SELECT plan_id FROM plans WHERE state = 'processing')"
    ).fetchone()
    connection.close()

    assert verdict == "ok"
    assert orphans == (0,)
