"""Ways back and on: guidance, recovery, reverts, rollback to a checkpoint, and what there is to look at afterwards."""

import shlex
import subprocess
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from store.database import Connection
from tests.cli.test_transitions import hold_git
from tests.homes import Content, Home, tree


def decisions(home: Home, plan: str, kind: str) -> list[dict[str, Any]]:
    """The decisions of one kind, oldest first."""
    return [found for found in home.data("plan", "tree", plan)["decisions"] if found["kind"] == kind]


def commits(home: Home, plan: str, kind: str) -> list[dict[str, Any]]:
    """The commits of one kind that a plan made."""
    return [found for found in home.data("plan", "artifacts", plan)["artifacts"] if found["kind"] == kind]


def content(home: Home, artifact: dict[str, Any], path: str) -> str:
    """A file of a commit in a private repository."""
    return home.run_program("git", f"--git-dir={artifact['path']}", "show", f"{artifact['ref']}:{path}")


# --- guidance and recovery ---------------------------------------------------------------------------------------------


def test_guidance_is_recorded_and_nothing_else_moves(shared: Home) -> None:
    """One decision below the root that names the error it answers; the message has the command that goes on."""
    plan = shared.executed("false", code=1)
    before = shared.plan(plan)

    document = shared.document("plan", "prompt", plan, "look at $(the) 'tests'\nfirst")

    assert document["data"] == before == shared.plan(plan)
    assert any(f"ca plan execute {plan}" in message for message in document["messages"])
    (said,) = decisions(shared, plan, "user_intervention")
    assert said["choice"] == "look at $(the) 'tests'\nfirst"
    assert "step s1 failed" in said["reason"]
    assert said["parent_id"] == decisions(shared, plan, "prompt_definition")[0]["decision_id"]
    assert "look at" in shared.run("plan", "explain", plan).out


def test_guidance_comes_from_standard_input(shared: Home) -> None:
    plan = shared.executed("false", code=1)

    shared.run("plan", "prompt", plan, "-", feed="grüße\n" * 3)

    assert decisions(shared, plan, "user_intervention")[0]["choice"] == "grüße\n" * 3


@pytest.mark.parametrize(
    "text", [b"", b" \n ", b"x" * (64 * 1024 + 1), b"\xff", b"a\0b"], ids=["empty", "blank", "long", "bytes", "nul"]
)
def test_unfit_guidance_is_refused(shared: Home, text: bytes) -> None:
    plan = shared.executed("false", code=1)

    error = shared.error("plan", "prompt", plan, "-", feed=text, code=2)

    assert error["code"] == "invalid_argument"
    assert decisions(shared, plan, "user_intervention") == []


def test_longest_guidance_fits(shared: Home) -> None:
    plan = shared.executed("false", code=1)

    shared.run("plan", "prompt", plan, "-", feed=b"x" * (64 * 1024))

    assert len(decisions(shared, plan, "user_intervention")[0]["choice"]) == 64 * 1024


def test_going_on_after_an_error_is_a_decision(shared: Home, tmp_path: Path) -> None:
    """What failed, what goes on, and why, for Execute and for Apply."""
    marker, checked = tmp_path / "marker", tmp_path / "checked"
    action = shared.action("echo two >> a.txt", f"test -e {marker}", checks=[{"run": f"test -e {checked}"}])
    plan = shared.use(action, shared.repository(), code=1)
    failed = shared.plan(plan)["error"]["message"]

    marker.touch()
    shared.run("plan", "execute", plan, "--wait")
    shared.apply(plan, code=4)
    checked.touch()
    shared.apply(plan)

    first, second = decisions(shared, plan, "error_recovery")
    assert ("s2" in first["question"], first["choice"], first["reason"]) == (True, "go on at step s2", failed)
    assert ("apply" in second["question"], second["choice"]) == (True, "apply again")
    assert "check" in second["reason"]


# --- reverts -----------------------------------------------------------------------------------------------------------


def test_reverts_are_limited_and_leave_what_was_decided_and_done(home: Home) -> None:
    """After two reverts the tree shows what is superseded, and what people did in each sandbox is under a ref of its own."""
    home.set("plan.max-reversions", "2")
    root = home.repository()
    plan = home.executed("echo two >> a.txt", project=root)

    for number in (1, 2):
        (home.sandbox(plan) / "by-hand").write_text(f"{number}\n")
        home.data("plan", "revert", plan, "--yes", "--reason", f"reason {number}")
        home.run("plan", "wait", plan)
    offered = home.plan(plan)["next"]
    error = home.error("plan", "revert", plan, "--yes", code=4)

    assert f"ca plan revert {plan}" not in offered
    assert (error["code"], error["detail"]["reversions"]) == ("invalid_transition", 2)
    found = home.data("plan", "tree", plan)["decisions"]
    assert [one["superseded"] for one in found if one["kind"] == "prompt_definition"] == [True, True, False]
    assert [one["reason"] for one in decisions(home, plan, "reversion")] == ["reason 1", "reason 2"]
    assert home.run("plan", "tree", plan).out.count("prompt definition (superseded)") == 2
    assert [content(home, kept, "by-hand") for kept in commits(home, plan, "removed")] == ["1", "2"]
    assert [kept["ref"].split("/")[-3] for kept in commits(home, plan, "checkpoint")] == ["0", "1", "2"]

    home.set("plan.max-reversions", "3")
    assert f"ca plan revert {plan}" in home.plan(plan)["next"]
    home.data("plan", "revert", plan, "--yes")
    home.run("plan", "wait", plan)
    assert (home.position(plan), home.plan(plan)["reversions"]) == ("execute/complete", 3)


# --- rollback ----------------------------------------------------------------------------------------------------------

CHANGES = (
    "printf 'x\\n' > new; chmod +x a.txt; ln -s a.txt link; printf '\\0\\1' > bin; echo built > out.ignored",
    "rm new link; chmod -x a.txt; echo two >> a.txt; mkdir later; echo later > later/file; echo x > 'odd\nname'",
)


def test_rollback_is_exactly_the_checkpoint_in_every_project(home: Home, tmp_path: Path) -> None:
    """What came later is gone, what was changed is back, with its mode; what git ignores stays; nothing of it is lost."""
    marker = tmp_path / "marker"
    files: dict[str | bytes, Content] = {"a.txt": "one\n", ".gitignore": "*.ignored\n"}
    first, second = home.repository(files), home.folder(files)
    there = {"project": f"local/{second.name}"}
    steps = [
        {"id": "one", "run": CHANGES[0]},
        {"id": "there", "run": CHANGES[0], **there},
        {"id": "look", "run": f"cp -a . {tmp_path}/first"},
        {"id": "see", "run": f"cp -a . {tmp_path}/second", **there},
        {"id": "two", "run": CHANGES[1]},
        {"id": "twice", "run": CHANGES[1], **there},
        {"id": "test", "run": f"echo partial > partial; test -e {marker}"},
    ]
    plan = home.use(home.action(steps=steps), first, second, code=1)
    boxes = [Path(box["path"]) for box in home.plan(plan)["sandboxes"]]
    expected = [tree(tmp_path / "first"), tree(tmp_path / "second")]
    assert [tree(box) for box in boxes] != expected
    assert all("out.ignored" in found for found in expected)

    shown = home.data("plan", "rollback", plan, "see")

    assert [tree(box) for box in boxes] == expected
    assert (shown["state"], [step["state"] for step in shown["steps"]]) == (
        "errored",
        ["succeeded"] * 4 + ["pending"] * 3,
    )
    kept = commits(home, plan, "rollback")
    assert [one["project"] for one in kept] == [f"local/{first.name}", f"local/{second.name}"]
    assert [content(home, one, "later/file") for one in kept] == ["later", "later"]
    assert content(home, kept[0], "partial") == "partial"
    (event,) = [one for one in home.data("events", "--plan", plan)["events"] if one["kind"] == "plan.rolled_back"]
    assert event["detail"] == {"step": "see", "steps": ["two", "twice", "test"], "kept": "0/rollback/1"}

    marker.touch()
    home.run("plan", "execute", plan, "--wait")
    assert home.step_states(plan) == ["succeeded"] * 7
    assert [(box / "later" / "file").read_text() for box in boxes] == ["later\n"] * 2
    assert (boxes[0] / "a.txt").read_text() == "one\ntwo\n"


def test_rollback_of_a_complete_plan_leaves_later_steps_out(shared: Home) -> None:
    """The change is another one: what was reviewed before is not applied."""
    root = shared.repository()
    plan = shared.executed("echo two >> a.txt", "echo three >> a.txt", "true", project=root)
    before = shared.plan(plan)["diff"]

    shown = shared.data("plan", "rollback", plan, "s1")

    assert (shown["phase"], shown["state"]) == ("execute", "complete")
    assert [step["state"] for step in shown["steps"]] == ["succeeded", "skipped", "skipped"]
    assert (before["insertions"], shown["diff"]["insertions"]) == (2, 1)
    assert shown["diff"]["digest"] == shared.data("plan", "diff", plan)["digest"] != before["digest"]
    assert shared.apply(plan, "--expect", before["digest"], code=4)["code"] == "change_moved"
    assert shared.apply(plan, "--expect", shown["diff"]["digest"])["insertions"] == 1
    assert (root / "a.txt").read_text() == "one\ntwo\nthree\ntwo\n"


def test_rollback_needs_no_sandbox(shared: Home) -> None:
    """After Apply removed the sandbox and Undo took the change back, only refs and rows move."""
    plan = shared.executed("echo two >> a.txt", "echo three >> a.txt")
    shared.apply(plan)
    shared.undo(plan)
    assert shared.plan(plan)["sandboxes"][0]["status"] == "removed"

    shown = shared.data("plan", "rollback", plan, "s1")

    assert shown["diff"]["insertions"] == 1
    assert content(shared, commits(shared, plan, "rollback")[0], "a.txt").endswith("three")


def test_rollback_twice_keeps_both_states(shared: Home) -> None:
    plan = shared.executed("echo two >> a.txt", "echo three >> a.txt", "echo four >> a.txt; false", code=1)

    for step in ("s2", "s1"):
        (shared.sandbox(plan) / "by-hand").write_text(step)
        shared.data("plan", "rollback", plan, step)

    kept = commits(shared, plan, "rollback")
    assert [one["ref"].rpartition("/")[2] for one in kept] == ["1", "2"]
    assert [content(shared, one, "by-hand") for one in kept] == ["s2", "s1"]
    assert content(shared, kept[0], "a.txt").endswith("four")
    assert (shared.sandbox(plan) / "a.txt").read_text() == "one\ntwo\nthree\ntwo\n"


def test_rollback_is_no_guidance(shared: Home) -> None:
    """Only what people said is told to the next attempt."""
    plan = shared.executed("true", 'printf %s "$CA_GUIDANCE" > told; test -n "$CA_GUIDANCE"', code=1)
    shared.data("plan", "rollback", plan, "s1")
    shared.data("plan", "prompt", plan, "be brief")

    shared.run("plan", "execute", plan, "--wait")

    assert (shared.sandbox(plan) / "told").read_text() == "be brief"


def test_isolated_steps_go_back_together(shared: Home) -> None:
    """Steps that ran at once have one checkpoint; what ran after them goes, wherever it stands in the list."""
    steps = [
        {"id": "left", "run": "echo l > left", "isolated": True},
        {"id": "middle", "run": "echo m > middle"},
        {"id": "right", "run": "echo r > right", "isolated": True},
        {"id": "last", "run": "false", "needs": ["middle", "right"]},
    ]
    plan = shared.use(shared.action(steps=steps), shared.repository(), code=1)

    shown = shared.data("plan", "rollback", plan, "left")

    states = {step["id"]: step["state"] for step in shown["steps"]}
    assert states == {"left": "succeeded", "right": "succeeded", "middle": "pending", "last": "pending"}
    assert set(tree(shared.sandbox(plan))) == {"a.txt", "dir/b.txt", "left", "right"}


def test_rollback_does_not_believe_the_clock(home: Home) -> None:
    """A clock that went back between two steps changes nothing in their order."""
    plan = home.executed("echo two >> a.txt", "echo three >> a.txt", "echo four >> a.txt", project=home.repository())
    home.run("daemon", "stop")
    store = cast("Connection", apsw.Connection(str(home.home / "data" / "store.db")))
    store.execute("UPDATE steps SET finished_at = 1000 - position")
    store.close()

    shown = home.data("plan", "rollback", plan, "s2")

    assert [step["state"] for step in shown["steps"]] == ["succeeded", "succeeded", "skipped"]
    assert shown["diff"]["insertions"] == 2


@pytest.mark.parametrize(
    ("step", "exit_code", "code", "said"),
    [("s3", 3, "not_found", "s1, s2"), ("s2", 4, "invalid_transition", "only a step that succeeded")],
)
def test_rollback_needs_a_checkpoint(shared: Home, step: str, exit_code: int, code: str, said: str) -> None:
    plan = shared.executed("echo two >> a.txt", "false", code=1)
    before = shared.plan(plan)

    error = shared.error("plan", "rollback", plan, step, code=exit_code)

    assert error["code"] == code
    assert said in error["message"]
    assert f"ca plan rollback {plan} s1" in error["suggestions"]
    assert shared.plan(plan) == before


def test_rollback_to_a_checkpoint_that_is_gone_says_so(shared: Home) -> None:
    """Somebody removed the ref: nothing moves, and the plan can be used as before."""
    plan = shared.executed("echo two >> a.txt", "echo three >> a.txt")
    first, _ = commits(shared, plan, "checkpoint")
    shared.run_program("git", f"--git-dir={first['path']}", "update-ref", "-d", first["ref"])
    before = shared.plan(plan)

    error = shared.error("plan", "rollback", plan, "s1", code=3)

    assert (error["code"], error["detail"]["step"]) == ("not_found", "s1")
    assert shared.plan(plan) == before
    assert shared.apply(plan)["insertions"] == 2


def test_rollback_without_a_sandbox_strategy_is_refused(shared: Home) -> None:
    root = shared.repository()
    shared.set("sandbox.strategy", "none", project=root.name)
    plan = shared.executed("true", "true", project=root, read_only=True)

    error = shared.error("plan", "rollback", plan, "s1", code=4)

    assert error["code"] == "invalid_transition"
    assert "in the project itself" in error["message"]


def test_nothing_else_moves_a_plan_that_is_rolled_back(home: Home) -> None:
    """Whoever comes meanwhile is told what goes on."""
    gate = home.gate()
    hold_git(home, "rev-list", gate.command)
    plan = home.executed("echo two >> a.txt", "false", code=1)

    with home.spawn("plan", "rollback", plan, "s1") as request:
        gate.wait()
        refused = [home.error("plan", *words, code=4) for words in (["execute", plan], ["rollback", plan, "s1"])]
        gate.open()
        assert request.wait(20) == 0

    assert [error["code"] for error in refused] == ["lock_conflict"] * 2
    assert all(f"{plan} is being rolled back" in error["message"] for error in refused)
    assert home.data("plan", "execute", plan)["state"] == "queued"


@pytest.mark.parametrize("at", ["rollback.kept", "rollback.recorded", "rollback.restored"])
def test_rollback_survives_the_death_of_the_daemon(home: Home, tmp_path: Path, at: str) -> None:
    """Before the record nothing happened, after it Execute goes on from the checkpoint; nothing stays locked or is lost."""
    marker = tmp_path / "marker"
    action = home.action(
        "echo two >> a.txt; touch out", "echo three >> a.txt; rm out", f"touch later; test -e {marker}"
    )
    plan = home.use(action, home.repository(), code=1)
    marker.touch()
    home.run("daemon", "stop")

    home.run("plan", "rollback", plan, "s1", code=None, env={"CLEVERAGENTS_CRASH_AT": at})
    home.until(lambda: not home.processes())
    recorded = at != "rollback.kept"

    assert home.position(plan) == "execute/errored"
    assert len(decisions(home, plan, "user_intervention")) == recorded
    assert "later" in home.run_program(
        "git", f"--git-dir={commits(home, plan, 'rollback')[0]['path']}", "ls-tree", "--name-only",
        commits(home, plan, "rollback")[0]["ref"],
    )  # fmt: skip
    home.run("plan", "execute", plan, "--wait")
    assert [step["attempt"] for step in home.plan(plan)["steps"]] == [1, 1 + recorded, 2]
    assert (home.sandbox(plan) / "a.txt").read_text() == "one\ntwo\nthree\ntwo\nthree\n"
    assert home.plan(plan)["diff"]["insertions"] == 2


# --- what there is to look at ------------------------------------------------------------------------------------------


def test_artifacts_list_everything_that_can_still_be_reached(shared: Home) -> None:
    """Each attempt's log, each commit; the printed command shows what a failed step left behind."""
    action = shared.action(
        steps=[
            {"id": "good", "run": "echo two >> a.txt; echo fine"},
            {"id": "bad", "run": "echo half > half.txt; echo broken; false", "retries": 1},
        ]
    )
    plan = shared.use(action, shared.repository(), code=1)

    found = shared.data("plan", "artifacts", plan)

    assert found["total"] == len(found["artifacts"])
    kinds = [(one["kind"], one["step"], one["attempt"]) for one in found["artifacts"]]
    assert kinds == [
        ("sandbox", None, None),
        ("base", None, None),
        ("checkpoint", "good", None),
        ("partial", "bad", 1),
        ("partial", "bad", 2),
        ("log", "good", 1),
        ("log", "bad", 1),
        ("log", "bad", 2),
    ]
    for one in found["artifacts"]:
        assert Path(one["path"]).exists()
        assert (one["commit"] is None) == (one["ref"] is None)
    assert Path(found["artifacts"][-1]["path"]).read_text() == "broken\n"
    (command,) = [line for line in shared.run("plan", "artifacts", plan).lines if "git --git-dir=" in line]
    printed = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True)
    assert "+half" in printed.stdout


def test_explanation_has_the_whole_history(shared: Home, tmp_path: Path) -> None:
    """Errors with their time, guidance, reverts, the outcome of each step, and what the next command really does."""
    marker = tmp_path / "marker"
    goal = "Make it smaller."
    action = shared.action("echo two >> a.txt", f"test -e {marker}", description=goal, invariants=["keep it small"])
    plan = shared.use(action, shared.repository(), code=1)
    shared.run("plan", "prompt", plan, "mind the gap")
    shared.run("plan", "revert", plan, "--yes", "--reason", "once more")
    shared.run("plan", "wait", plan, code=1)

    found = shared.data("plan", "explain", plan)

    assert " (Make it smaller). It is execute/errored: Execute ended in an error: step s2 failed" in found["summary"]
    told = "\n".join(found["reasons"])
    for expected in (
        "profile trusted (from flag)",
        "keep it small",
        "guidance: mind the gap",
        "once more",
        "s1: succeeded",
    ):
        assert expected in told
    assert told.count("execute failed in step s2, attempt 1: step s2 failed: exit 1") == 2
    effects = {one["command"].split()[2]: one["effect"] for one in found["next"]}
    assert effects["execute"] == "starts step s2 again in the sandbox; s1 stays done"


def test_explanation_names_who_an_apply_waits_for(home: Home) -> None:
    root = home.repository()
    gate = home.gate()
    holder = home.use(home.action("echo two >> a.txt", checks=[{"run": gate.command}]), root)
    plan = home.executed("echo x > new.txt", project=root)
    home.data("plan", "apply", holder, "--yes")
    gate.wait()
    home.data("plan", "apply", plan, "--yes")
    home.until(lambda: home.position(plan) == "apply/processing")

    reasons = home.data("plan", "explain", plan)["reasons"]

    assert f"its Apply waits for project local/{root.name}, which plan {holder} holds" in reasons
    gate.open()
    for name in (holder, plan):
        home.run("plan", "wait", name)
