"""A command that prints the items of a step, in a real Strategize: it ends with its plan, and outlives no daemon."""

import os
import signal

from tests.daemons import runs
from tests.homes import Home
from tests.waiting import wait_until


def strategizing(home: Home, command: str) -> str:
    """A plan whose items this command prints."""
    subplans = {"action": home.action("true"), "for_each": {"run": command}}
    action = home.action(steps=[{"id": "each", "subplans": subplans}])
    return home.use(action, home.repository({"src/a/x": "", "src/b/y": ""}), profile="supervised", code=None)


def children(home: Home, plan: str) -> list[str]:
    return [child["item"] for child in home.data("plan", "tree", plan)["children"]]


def nothing_left(home: Home) -> bool:
    """No checkout, and nothing that the command has printed."""
    boxes = [path for path in (home.home / "data" / "sandboxes").iterdir() if path.name != ".pool"]
    return not boxes and not list((home.home / "state" / "jobs").rglob("items.*"))


def test_command_is_begun_anew_after_a_crash(home: Home) -> None:
    """What the dead daemon left of it is ended first; what that one wrote is not seen."""
    gate, told = home.gate(), home.root / "told"
    plan = strategizing(home, f"ls src; ls own* || true; echo x > own; echo $$ >> '{told}'; {gate.command}")
    gate.wait()

    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
    home.data("daemon", "start")

    wait_until(lambda: len(told.read_text().split()) == 2)
    assert not runs(int(told.read_text().split()[0]))
    gate.open()
    home.run("plan", "wait", plan)
    assert home.position(plan) == "strategize/complete"
    assert children(home, plan) == ["a", "b"]
    assert nothing_left(home)


def test_cancel_ends_the_command(home: Home) -> None:
    gate = home.gate()
    plan = strategizing(home, gate.command)
    gate.wait()

    home.run("plan", "cancel", plan, "--yes")

    assert home.position(plan) == "strategize/cancelled"
    assert not home.processes(having="CA_STEP_ID")
    assert nothing_left(home)


def test_failed_command_can_be_tried_again(home: Home) -> None:
    """The error names the step and says what the command said last."""
    flag = home.root / "flag"
    plan = strategizing(home, f"test -e '{flag}' || {{{{ echo no flag >&2; exit 3; }}}}; ls src")
    home.run("plan", "wait", plan, code=1)
    error = home.plan(plan)["error"]
    assert (error["code"], error["detail"]["tail"]) == ("step_failed", ["no flag"])
    assert "step each of" in error["message"]
    assert error["step"] == "each"

    flag.touch()
    home.run("plan", "execute", plan, "--wait")

    assert home.position(plan) == "strategize/complete"
    assert children(home, plan) == ["a", "b"]
    assert nothing_left(home)
