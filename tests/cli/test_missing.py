"""Something of ours was removed behind our back: what can be made again is, and what cannot be is said."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.homes import Home

Removal = Callable[[Path], object]
REMOVALS: dict[str, Removal] = {
    "the whole sandbox": shutil.rmtree,
    "its files": lambda path: [one.unlink() for one in path.iterdir() if one.is_file()],
    "its repository": lambda path: shutil.rmtree(path / ".git"),
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_a_sandbox_that_is_gone_costs_no_finished_work(shared: Home, remove: Removal) -> None:
    """The change is in the private repository: it can be looked at and applied."""
    project = shared.repository()
    plan = shared.executed("echo new > new.txt", "echo more >> a.txt", project=project)
    remove(shared.sandbox(plan))

    assert "+more" in shared.run("plan", "diff", plan).out
    shared.apply(plan)

    assert (project / "new.txt").read_text() == "new\n"
    assert (project / "a.txt").read_text().endswith("more\n")


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_a_retry_makes_the_sandbox_again_at_the_last_checkpoint(shared: Home, remove: Removal) -> None:
    project = shared.repository()
    mended = shared.work / shared.fresh("mended")
    plan = shared.executed(
        "echo one > new.txt", f"[ -e {mended} ]; cat new.txt; echo two >> new.txt", project=project, code=1
    )
    remove(shared.sandbox(plan))
    mended.touch()

    shared.run("plan", "execute", plan, "--wait")
    shared.apply(plan)

    assert (project / "new.txt").read_text() == "one\ntwo\n"


def test_a_sandbox_that_goes_while_a_step_runs_costs_that_step_at_most(home: Home) -> None:
    gate = home.gate()
    project = home.repository()
    plan = home.use(home.action("echo one > new.txt", gate.command, "cat new.txt"), project, code=None)
    gate.wait()
    shutil.rmtree(home.sandbox(plan))
    gate.open()
    home.run("plan", "wait", plan, code=None)

    if home.position(plan) == "execute/errored":
        home.run("plan", "execute", plan, "--wait")
    home.apply(plan)

    assert (project / "new.txt").read_text() == "one\n"


@pytest.mark.parametrize("lost", ["jobs", "environments", "logs"])
def test_files_of_a_running_plan_that_are_gone_at_the_restart(home: Home, lost: str) -> None:
    """The step is adopted all the same; what is known of its end decides, and the plan can go on from there."""
    gate = home.gate()
    project = home.repository()
    plan = home.use(home.action(gate.command, "echo x > new.txt"), project, code=None)
    gate.wait()
    step = home.step(plan, "s1")
    os.kill(int(home.data("daemon", "status")["pid"]), signal.SIGKILL)
    if lost == "jobs":
        shutil.rmtree(Path(step["log"]).parent)
    elif lost == "environments":
        for file in (home.home / "data" / "environments").iterdir():
            file.unlink()
    else:
        Path(step["log"]).unlink()

    home.data("daemon", "start")
    gate.open()
    home.run("plan", "wait", plan, code=None)

    shown = home.plan(plan)
    assert shown["state"] in {"complete", "errored"}
    assert shown["steps"][0]["attempt"] == 1
    assert not home.processes(having="CA_STEP_ID")
    if shown["state"] == "errored":
        assert shown["error"]["code"] in {"lost", "not_found"}
        assert shown["next"]
    other = home.executed("echo y > other.txt", project=project)
    home.apply(other)
    assert (project / "other.txt").read_text() == "y\n"
