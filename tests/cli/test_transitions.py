"""Every move between positions that the specification has, every one that it refuses, and every one that is no move."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from store import states
from store.states import State
from tests.homes import Home

YES = {"apply": ["--yes"], "cancel": ["--yes"], "revert": ["--yes"], "undo": ["--yes"], "execute": [],
       "prompt": ["look again"], "rollback": ["s1"]}  # fmt: skip
REFUSED, NOTHING, BUSY = "invalid_transition", "nothing to do", "lock_conflict"
STAYS = "done, and the plan stays where it is"

# What each verb means at each position: where it leads, that it is refused, that it
# leaves the plan there, or that there is nothing to do.
TABLE: dict[str, dict[str, str]] = {
    "strategize/waiting": {
        "execute": "strategize/queued",
        "apply": REFUSED,
        "cancel": "strategize/cancelled",
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "strategize/queued": {
        "execute": NOTHING,
        "apply": REFUSED,
        "cancel": "strategize/cancelled",
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "strategize/processing": {
        "execute": NOTHING,
        "apply": BUSY,
        "cancel": "strategize/cancelled",
        "revert": BUSY,
        "undo": BUSY,
        "prompt": BUSY,
        "rollback": BUSY,
    },
    "strategize/complete": {
        "execute": "execute/queued",
        "apply": REFUSED,
        "cancel": "strategize/cancelled",
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "strategize/errored": {
        "execute": "strategize/queued",
        "apply": REFUSED,
        "cancel": "strategize/cancelled",
        "revert": "strategize/queued",
        "undo": REFUSED,
        "prompt": STAYS,
        "rollback": REFUSED,
    },
    "strategize/cancelled": {
        "execute": REFUSED,
        "apply": REFUSED,
        "cancel": NOTHING,
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "execute/queued": {
        "execute": NOTHING,
        "apply": REFUSED,
        "cancel": "execute/cancelled",
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "execute/processing": {
        "execute": NOTHING,
        "apply": BUSY,
        "cancel": "execute/cancelled",
        "revert": BUSY,
        "undo": BUSY,
        "prompt": BUSY,
        "rollback": BUSY,
    },
    "execute/complete": {
        "execute": NOTHING,
        "apply": "apply/queued",
        "cancel": "execute/cancelled",
        "revert": "strategize/queued",
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": STAYS,
    },
    "execute/errored": {
        "execute": "execute/queued",
        "apply": REFUSED,
        "cancel": "execute/cancelled",
        "revert": "strategize/queued",
        "undo": REFUSED,
        "prompt": STAYS,
        "rollback": STAYS,
    },
    "execute/cancelled": {
        "execute": REFUSED,
        "apply": REFUSED,
        "cancel": NOTHING,
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "apply/queued": {
        "execute": REFUSED,
        "apply": NOTHING,
        "cancel": "apply/cancelled",
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "apply/processing": {
        "execute": BUSY,
        "apply": NOTHING,
        "cancel": "apply/cancelled",
        "revert": BUSY,
        "undo": BUSY,
        "prompt": BUSY,
        "rollback": BUSY,
    },
    "apply/applied": {
        "execute": REFUSED,
        "apply": NOTHING,
        "cancel": REFUSED,
        "revert": REFUSED,
        "undo": "execute/complete",
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
    "apply/constrained": {
        "execute": REFUSED,
        "apply": "apply/queued",
        "cancel": "apply/cancelled",
        "revert": "strategize/queued",
        "undo": REFUSED,
        "prompt": STAYS,
        "rollback": REFUSED,
    },
    "apply/errored": {
        "execute": REFUSED,
        "apply": "apply/queued",
        "cancel": "apply/cancelled",
        "revert": "strategize/queued",
        "undo": REFUSED,
        "prompt": STAYS,
        "rollback": REFUSED,
    },
    "apply/cancelled": {
        "execute": REFUSED,
        "apply": REFUSED,
        "cancel": NOTHING,
        "revert": REFUSED,
        "undo": REFUSED,
        "prompt": REFUSED,
        "rollback": REFUSED,
    },
}
MOVES = [
    (here, verb, there)
    for here, verbs in TABLE.items()
    for verb, there in verbs.items()
    if there not in {REFUSED, NOTHING, BUSY, STAYS}
]
STILL = [
    here for here in TABLE if here.endswith(("cancelled", "applied", "errored", "constrained", "complete", "waiting"))
]


class Builder:
    """Brings plans to positions; what it holds back, it lets go at the end."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.root = home.repository()
        self.gate = home.gate()
        self.marker = home.root / home.fresh("marker")

    def to(self, position: str) -> str:
        """A plan that is at `position` and stays there."""
        make: Callable[[], str] = getattr(self, f"_{position.replace('/', '_')}")
        plan = make()
        shown = self.home.plan(plan)
        assert f"{shown['phase']}/{shown['state']}" == position.replace("waiting", "queued")
        return plan

    def unblock(self) -> None:
        """Take away what made the plan fail or wait."""
        self.marker.touch()
        self.gate.open()
        (self.root / ".git" / "MERGE_HEAD").unlink(missing_ok=True)

    def _used(self, profile: str, *commands: str, code: int | None = 0, **keys: Any) -> str:
        action = self.home.action(*(commands or ["echo two >> a.txt"]), **keys)
        return self.home.use(action, self.root, profile=profile, code=code)

    def _strategize_waiting(self) -> str:
        return self._used("manual")

    def _strategize_queued(self) -> str:
        self._occupy()
        return self._used("supervised", code=None)

    def _strategize_processing(self) -> str:
        hold_git(self.home, "ls-files", self.gate.command)
        plan = self._used("supervised", code=None)
        self.gate.wait()
        return plan

    def _strategize_complete(self) -> str:
        return self._used("supervised")

    def _strategize_errored(self) -> str:
        head = self.home.git(self.root, "rev-parse", "HEAD")
        (self.root / ".git" / "MERGE_HEAD").write_text(f"{head}\n")
        return self._used("supervised", code=1)

    def _strategize_cancelled(self) -> str:
        return self._cancelled(self._strategize_complete())

    def _execute_queued(self) -> str:
        plan = self._strategize_complete()
        self._occupy()
        self.home.data("plan", "execute", plan)
        return plan

    def _execute_processing(self) -> str:
        plan = self._used("trusted", self.gate.command, code=None)
        self.gate.wait()
        return plan

    def _execute_complete(self) -> str:
        return self._used("trusted")

    def _execute_errored(self) -> str:
        return self._used("trusted", "echo two >> a.txt", f"test -e {self.marker}", code=1)

    def _execute_cancelled(self) -> str:
        return self._cancelled(self._execute_complete())

    def _apply_queued(self) -> str:
        plan = self._execute_complete()
        self._occupy()
        self.home.data("plan", "apply", plan, "--yes")
        return plan

    def _apply_processing(self) -> str:
        plan = self._used("trusted", checks=[{"run": self.gate.command}])
        self.home.data("plan", "apply", plan, "--yes")
        self.gate.wait()
        return plan

    def _apply_applied(self) -> str:
        plan = self._execute_complete()
        self.home.apply(plan)
        return plan

    def _apply_constrained(self) -> str:
        plan = self._used("trusted", checks=[{"run": f"test -e {self.marker}"}])
        self.home.apply(plan, code=4)
        return plan

    def _apply_errored(self) -> str:
        plan = self._execute_complete()
        self.home.git(self.root, "checkout", "-q", "--detach")
        self.home.apply(plan, "--mode", "commit", code=1)
        return plan

    def _apply_cancelled(self) -> str:
        return self._cancelled(self._apply_constrained())

    def _cancelled(self, plan: str) -> str:
        self.home.data("plan", "cancel", plan, "--yes")
        return plan

    def _occupy(self) -> None:
        """Give the only worker something to do that takes until the gate opens."""
        blocker = self.home.use(self.home.action(self.gate.command), self.home.repository(), code=None)
        self.gate.wait()
        assert self.home.position(blocker) == "execute/processing"


def hold_git(home: Home, word: str, command: str) -> None:
    """Let every git of this home's daemon that has `word` among its arguments run `command` first."""
    script = home.bin / "git"
    real = home.run_program("sh", "-c", "command -v git")
    script.write_text(f'#!/bin/sh\ncase " $* " in *" {word} "*) ({command}) >/dev/null 2>&1;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)


@pytest.fixture
def builder(home: Home) -> Iterator[Builder]:
    """One worker, so that what is queued stays queued while something runs."""
    home.set("async.max_workers", "1")
    made = Builder(home)
    yield made
    made.unblock()


@pytest.fixture
def resting(shared: Home) -> Builder:
    """For positions in which nothing runs."""
    return Builder(shared)


@pytest.fixture
def at(request: pytest.FixtureRequest) -> Callable[[str], tuple[Builder, str]]:
    """A plan at a position, in the shared home when nothing has to be held back for it."""

    def make(position: str) -> tuple[Builder, str]:
        chosen: Builder = request.getfixturevalue("resting" if position in STILL else "builder")
        return chosen, chosen.to(position)

    return make


_resting: dict[tuple[int, str], tuple[Builder, str]] = {}


@pytest.fixture
def looked_at(
    request: pytest.FixtureRequest, at: Callable[[str], tuple[Builder, str]], here: str
) -> tuple[Builder, str]:
    """As `at`, for tests that leave the plan as it is: where nothing runs, one plan a position serves them all."""
    if here not in STILL:
        return at(here)
    home: Home = request.getfixturevalue("shared")
    key = (id(home), here)
    if key not in _resting:
        _resting[key] = at(here)
    return _resting[key]


def test_every_position_is_in_the_table() -> None:
    positions = {f"{phase}/{state}" for phase, found in states.STATES.items() for state in found}

    assert set(TABLE) == positions | {"strategize/waiting"}


@pytest.mark.parametrize(("here", "verb", "there"), MOVES)
def test_move_leads_where_the_tables_say(
    at: Callable[[str], tuple[Builder, str]], here: str, verb: str, there: str
) -> None:
    """The first event after the request is the move to the next position, and what follows is the work of that phase."""
    builder, plan = at(here)
    home = builder.home
    seen = home.data("events", "--plan", plan, "--limit", "500")["events"][-1]["seq"]
    if verb in {"apply", "execute"}:
        builder.unblock()

    with home.spawn("plan", verb, plan, *YES[verb]) as request:
        if here == "strategize/processing":  # git is not interrupted: the cancel takes effect when it has ended
            home.until(lambda: home.data("job", "list", "--plan", plan)["jobs"][0]["cancel_requested_at"])
            builder.unblock()
        assert request.wait(20) == 0

    home.run("plan", "wait", plan, code=None)
    events = home.data("events", "--plan", plan, "--since", str(seen))["events"]
    moves = [event["detail"] for event in events if event["kind"] == "plan.moved"]
    if here == "strategize/waiting" and verb == "execute":
        there = "strategize/processing"  # it stands at strategize/queued already, and gets its job
    assert moves[0]["from"] == here.replace("waiting", "queued")
    assert moves[0]["to"] == there


@pytest.mark.parametrize("here", list(TABLE))
def test_move_that_is_not_in_the_tables_changes_nothing(looked_at: tuple[Builder, str], here: str) -> None:
    """A refused verb exits with 4, and the plan with its jobs, events and decisions is as before."""
    builder, plan = looked_at
    home = builder.home
    before = everything(home, plan)

    for verb, answer in TABLE[here].items():
        if answer in {REFUSED, BUSY}:
            error = home.error("plan", verb, plan, *YES[verb], code=4)

            assert (verb, error["code"]) == (verb, answer)
            assert plan in error["message"] or home.plan(plan)["plan_id"] in str(error), error
            assert error["suggestions"]
    assert everything(home, plan) == before


@pytest.mark.parametrize("here", [here for here, verbs in TABLE.items() if STAYS in verbs.values()])
def test_verb_that_leaves_the_plan_where_it_is(at: Callable[[str], tuple[Builder, str]], here: str) -> None:
    """It exits with 0 and is recorded as a decision; phase, state, job and error are as before."""
    builder, plan = at(here)
    home = builder.home
    kept = ("phase", "state", "job_id", "error", "reversions")
    before = home.plan(plan)

    for verb, answer in TABLE[here].items():
        if answer == STAYS:
            moved = home.data("plan", verb, plan, *YES[verb])

            assert [moved[key] for key in kept] == [before[key] for key in kept]
            assert home.data("plan", "tree", plan)["decisions"][-1]["kind"] == "user_intervention"


@pytest.mark.parametrize("here", [here for here, verbs in TABLE.items() if NOTHING in verbs.values()])
def test_repeated_request_says_that_it_holds_already(looked_at: tuple[Builder, str], here: str) -> None:
    """A request whose effect holds exits with 0, says so, and changes nothing."""
    builder, plan = looked_at
    home = builder.home
    before = everything(home, plan)

    for verb, answer in TABLE[here].items():
        if answer == NOTHING:
            document = home.document("plan", verb, plan, *YES[verb])

            assert any(f"{plan} is {here} already" in message for message in document["messages"]), document["messages"]
    assert everything(home, plan) == before


def everything(home: Home, plan: str) -> tuple[Any, ...]:
    """All that is known of a plan, but for signs of life."""
    jobs = home.data("job", "list", "--plan", plan)["jobs"]
    for job in jobs:
        del job["last_heartbeat"]
    return home.plan(plan), jobs, home.data("events", "--plan", plan)["total"], home.data("plan", "tree", plan)


@pytest.mark.parametrize("here", STILL)
def test_plan_tells_what_its_position_means(looked_at: tuple[Builder, str], here: str) -> None:
    """Whether it is over, whether it can be mended, and which commands make sense: none that would be refused."""
    builder, plan = looked_at

    shown = builder.home.plan(plan)

    assert shown["terminal"] is (shown["state"] in {"applied", "cancelled"})
    assert shown["recoverable"] is (State(shown["state"]) in {State.ERRORED, State.CONSTRAINED})
    offered = [command.split()[2] for command in shown["next"]]
    assert not [verb for verb in offered if TABLE[here].get(verb) in {REFUSED, BUSY}]
    assert bool(offered) is (here.partition("/")[2] != "cancelled")


@pytest.mark.parametrize("here", STILL)
def test_plan_explains_its_position(looked_at: tuple[Builder, str], here: str) -> None:
    """The sentence says where it stands and what it is for, and every command that is offered comes with its effect."""
    builder, plan = looked_at
    home = builder.home
    shown = home.plan(plan)

    found = home.data("plan", "explain", plan)

    assert (found["phase"], found["state"]) == (shown["phase"], shown["state"])
    assert found["summary"].startswith(f"{plan} uses {shown['action']} on local/{builder.root.name}. It is ")
    assert f"{shown['phase']}/{shown['state']}" in found["summary"]
    if shown["error"] is not None:
        assert shown["error"]["message"].partition("\n")[0] in found["summary"]
    assert [one["command"] for one in found["next"]] == shown["next"]
    assert all(one["effect"] for one in found["next"])
    assert not [decision for decision in found["decisions"] if decision["superseded"]]
    assert found["summary"] in home.run("plan", "explain", plan).out


# --- profiles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "after_use", "after_execute"),
    [
        ("manual", "strategize/queued", "strategize/complete"),
        ("supervised", "strategize/complete", "execute/complete"),
        ("trusted", "execute/complete", "execute/complete"),
        ("full-auto", "apply/applied", None),
    ],
)
def test_profile_decides_what_goes_on_by_itself(
    shared: Home, profile: str, after_use: str, after_execute: str | None
) -> None:
    root = shared.repository()
    plan = shared.use(shared.action("echo two >> a.txt"), root, profile=profile)

    assert shared.position(plan) == after_use
    assert shared.plan(plan)["automation_profile"] == profile
    assert ("two" in (root / "a.txt").read_text().splitlines()[3:]) is (profile == "full-auto")
    if after_execute is not None:
        shared.run("plan", "execute", plan, "--wait")
        assert shared.position(plan) == after_execute


def test_manual_plan_waits_without_a_job(shared: Home) -> None:
    """`plan execute` gives it one, a second `plan execute` starts Execute."""
    plan = shared.use(shared.action("echo two >> a.txt"), shared.repository(), profile="manual")

    assert shared.plan(plan)["job_id"] is None
    assert shared.data("job", "list", "--plan", plan)["total"] == 0
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "strategize/complete"
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "execute/complete"


def test_full_auto_stops_at_a_failed_check(shared: Home) -> None:
    root = shared.repository()
    action = shared.action("echo two >> a.txt", checks=[{"run": "false"}])

    plan = shared.use(action, root, profile="full-auto", code=4)

    assert shared.position(plan) == "apply/constrained"
    assert (root / "a.txt").read_text() == "one\ntwo\nthree\n"


def test_full_auto_waits_with_an_empty_change(shared: Home) -> None:
    plan = shared.use(shared.action("true"), shared.repository(), profile="full-auto")

    assert shared.position(plan) == "execute/complete"


def test_profile_is_taken_from_flag_action_project_and_configuration(home: Home) -> None:
    """The first of the four that names one decides, and the plan says which it was."""
    root = home.repository()
    plain, own = home.action("true"), home.action("true", automation_profile="manual")

    def resolved(action: str, *options: str) -> tuple[str, str]:
        plan = home.data("plan", "use", action, root.name, *options)
        return plan["automation_profile"], plan["profile_source"]

    assert resolved(plain) == ("supervised", "default")
    home.set("core.automation-profile", "trusted")
    assert resolved(plain) == ("trusted", "global")
    home.set("core.automation-profile", "full-auto", project=root.name)
    assert resolved(plain) == ("full-auto", "project")
    assert resolved(own) == ("manual", "action")
    assert resolved(own, "--profile", "supervised") == ("supervised", "flag")


def test_profile_stays_what_it_was_at_use(home: Home) -> None:
    root = home.repository()
    home.set("core.automation-profile", "supervised")
    plan = home.data("plan", "use", home.action("true"), root.name)["name"]
    home.run("plan", "wait", plan)

    home.set("core.automation-profile", "full-auto")
    home.run("plan", "execute", plan, "--wait")

    assert home.plan(plan)["automation_profile"] == "supervised"
    assert home.position(plan) == "execute/complete"


def test_unknown_profile_is_refused_and_makes_no_plan(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true")

    error = shared.error("plan", "use", action, root.name, "--profile", "suprevised", code=2)

    assert error["code"] == "invalid_argument"
    assert "supervised" in error["message"]
    assert shared.data("plan", "list", "--project", root.name)["total"] == 0


def test_unknown_profile_in_an_action_file_is_refused(shared: Home, tmp_path: Path) -> None:
    path = shared.write_action(name="local/odd", automation_profile="autopilot", steps=[{"id": "s1", "run": "true"}])

    assert shared.error("action", "create", str(path), code=2)["code"] == "invalid_action"


# --- reversions --------------------------------------------------------------------------------------------------------


def test_revert_keeps_superseded_decisions(shared: Home) -> None:
    plan = shared.executed("echo two >> a.txt")
    before = shared.data("plan", "tree", plan)["decisions"]

    shared.data("plan", "revert", plan, "--yes", "--reason", "the other way round")
    shared.run("plan", "wait", plan)

    after = {found["decision_id"]: found for found in shared.data("plan", "tree", plan)["decisions"]}
    assert all(after[decision["decision_id"]]["superseded"] for decision in before)
    reversion = next(decision for decision in after.values() if decision["kind"] == "reversion")
    assert reversion["reason"] == "the other way round"
    assert sum(not decision["superseded"] for decision in after.values()) == len(before) + 1


def test_revert_forgets_the_result(shared: Home) -> None:
    """A reverted plan runs its steps on the project as it is now."""
    root = shared.repository()
    plan = shared.executed("cp a.txt copy.txt", project=root)
    (root / "a.txt").write_text("changed\n")

    shared.data("plan", "revert", plan, "--yes")
    shared.run("plan", "wait", plan)
    shared.apply(plan)

    assert shared.plan(plan)["reversions"] == 1
    assert (root / "copy.txt").read_text() == "changed\n"


def test_decisions_record_invariants_and_strategy(shared: Home) -> None:
    action = shared.action("true", description="Tidy up", invariants=["never edit generated files"])
    plan = shared.use(action, shared.repository(), profile="supervised")

    found = shared.data("plan", "tree", plan)["decisions"]

    root = found[0]
    assert (root["kind"], root["choice"], root["parent_id"]) == ("prompt_definition", "Tidy up", None)
    children = {decision["kind"]: decision for decision in found[1:]}
    assert children["invariant_enforced"]["choice"] == "never edit generated files"
    assert "s1" in children["strategy_choice"]["choice"]
    assert {decision["parent_id"] for decision in found[1:]} == {root["decision_id"]}


# --- two at once -------------------------------------------------------------------------------------------------------


def test_two_executes_at_once_make_one_job(home: Home) -> None:
    plan = home.use(home.action("true"), home.repository(), profile="supervised")

    racing = [home.spawn("plan", "execute", plan, "--wait") for _ in range(6)]

    assert [process.communicate() and process.returncode for process in racing] == [0] * 6
    phases = [job["phase"] for job in home.data("job", "list", "--plan", plan)["jobs"]]
    assert sorted(phases) == ["execute", "strategize"]


def test_two_applies_at_once_apply_once(home: Home) -> None:
    root = home.repository()
    plan = home.executed("echo two >> a.txt", project=root)

    racing = [home.spawn("plan", "apply", plan, "--yes", "--wait") for _ in range(6)]

    assert [process.communicate() and process.returncode for process in racing] == [0] * 6
    assert (root / "a.txt").read_text() == "one\ntwo\nthree\ntwo\n"
    assert [job["phase"] for job in home.data("job", "list", "--plan", plan)["jobs"]].count("apply") == 1


def test_cancel_racing_with_the_end_leaves_a_whole_state(home: Home) -> None:
    """Whichever comes first, the plan is complete or cancelled, its job agrees, and no lock is left."""
    root = home.repository()
    action = home.action("true")
    for _ in range(4):
        plan = home.use(action, root, code=None)
        home.run("plan", "cancel", plan, "--yes")

        shown = home.plan(plan)
        assert shown["state"] == "cancelled"
        jobs = home.data("job", "list", "--plan", plan)["jobs"]
        assert not [job for job in jobs if job["status"] in {"queued", "running"}]
        assert not home.data("status")["running"]


def test_held_lock_names_who_holds_it(builder: Builder) -> None:
    """The refusal says which job, what it does and since when."""
    plan = builder.to("execute/processing")

    error = builder.home.error("plan", "revert", plan, "--yes", code=4)

    shown = builder.home.plan(plan)
    assert error["code"] == "lock_conflict"
    assert error["detail"]["job_id"] == shown["job_id"]
    assert error["detail"]["doing"] == "execute/processing"
    assert shown["started_at"][:10] in error["message"]
