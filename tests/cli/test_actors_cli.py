"""`ca actor`, and plans whose steps or strategies are given to actors."""

import contextlib
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import escapees
from tests.homes import Home

ROOT = Path(__file__).parents[2]
AGENT = [sys.executable, str(ROOT / "tests" / "agent.py")]
HOSTILE = "it's \"x\" `id` $(touch pwned) {v} \\n\ttab; é\nsecond 'line'"


def write_actor(home: Home, *command: str, **keys: Any) -> Path:
    keys = {"name": home.fresh("local/actor"), "type": "command", "command": command, **keys}
    path = home.work / f"{home.fresh('actor')}.yaml"
    path.write_text(json.dumps(keys))
    return path


def actor(home: Home, *command: str, **keys: Any) -> str:
    """Register an actor; its name."""
    return home.data("actor", "create", str(write_actor(home, *command, **keys)))["name"]


def prompted(home: Home, prompt: str, *, command: list[str] | None = None, **keys: Any) -> str:
    """An action with one prompt step, `edit`, for the test agent; its name."""
    worker = actor(home, *(command or [*AGENT, "do"]))
    step = {"id": "edit", "prompt": prompt, **keys.pop("step", {})}
    return home.action(execution_actor=worker, steps=[step], **keys)


def job_files(home: Home, plan: str, pattern: str) -> list[Path]:
    """Files beside the logs of a plan's newest job."""
    return sorted((home.home / "state" / "jobs" / home.plan(plan)["job_id"]).glob(pattern))


# --- the verbs -----------------------------------------------------------------------------------------------------------


def test_created_actor_is_shown_as_it_was_understood(shared: Home) -> None:
    path = write_actor(shared, "prog", "{prompt}", env={"A": "1"}, timeout="10m", description="Does it")

    created = shared.data("actor", "create", str(path))
    shown = shared.data("actor", "show", created["name"].removeprefix("local/"))

    assert created == shown
    assert (shown["namespace"], shown["source"], shown["revision"], shown["type"]) == ("local", "local", 1, "command")
    assert (shown["command"], shown["env"], shown["timeout"]) == (["prog", "{prompt}"], {"A": "1"}, 600)
    text = shared.run("actor", "show", created["name"]).out
    assert all(word in text for word in ("prog {prompt}", "Does it", "10 m", "A"))
    assert any(created["name"] == one["name"] for one in shared.data("actor", "list")["actors"])


def test_same_content_again_says_so_and_other_content_needs_update(shared: Home) -> None:
    path = write_actor(shared, "prog")
    shared.data("actor", "create", str(path))

    again = shared.document("actor", "create", str(path))
    path.write_text(path.read_text().replace("prog", "other"))
    error = shared.error("actor", "create", str(path), code=4)
    updated = shared.data("actor", "create", str(path), "--update")

    assert again["data"]["revision"] == 1
    assert any("already" in message for message in again["messages"])
    assert error["code"] == "already_running"
    assert any("--update" in suggestion for suggestion in error["suggestions"])
    assert (updated["revision"], updated["command"]) == (2, ["other"])


def test_a_bad_file_is_refused_with_its_place(shared: Home) -> None:
    path = write_actor(shared, "prog", timout="1s")

    error = shared.error("actor", "create", str(path), code=2)

    assert (error["code"], error["detail"]["key"], error["detail"]["line"]) == ("invalid_action", "timout", 1)
    assert "did you mean 'timeout'" in error["message"]


def test_removed_actor_is_gone_and_removing_asks_on_a_terminal_only(shared: Home) -> None:
    name = actor(shared, "prog")

    assert shared.error("actor", "remove", name, code=2)["code"] == "usage"
    assert shared.data("actor", "remove", name, "--yes") == {"name": name, "removed": True}
    error = shared.error("actor", "show", name, code=3)
    assert (error["code"], "ca actor create FILE" in error["suggestions"]) == ("not_found", True)


def test_a_home_without_actors_teaches_how_to_make_one(home: Home) -> None:
    assert home.data("actor", "list") == {"actors": [], "total": 0}
    text = home.run("actor", "list").out
    assert "ca actor create" in text

    example = "\n".join(line[2:] for line in text.splitlines() if line.startswith("  "))
    home.data("actor", "create", "-", feed=example)
    assert "claude -p {prompt}" in home.run("actor", "list").out


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "actors").glob("*.yaml")), ids=lambda file: file.stem)
def test_actor_files_of_the_guide_can_be_registered(shared: Home, file: Path) -> None:
    assert shared.data("actor", "create", str(file))["name"] == f"local/{file.stem}"


# --- prompt steps --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [["do"], ["do", "{prompt}"]], ids=["standard input", "argument"])
def test_prompt_reaches_the_actor_unchanged(shared: Home, given: list[str]) -> None:
    """Quotes, newlines and substitutions of a value are text, whichever way the prompt goes; it is kept beside the log."""
    action = prompted(
        shared,
        "keep got\nappend a.txt done\n{v}",
        command=[*AGENT, *given],
        arguments=[{"name": "v"}],
        invariants=["stay small"],
        definition_of_done="a.txt is longer",
    )
    plan = shared.use(action, shared.repository(), arguments={"v": HOSTILE})

    got = (shared.sandbox(plan) / "got").read_text()
    (kept,) = job_files(shared, plan, "edit.1.prompt")
    assert got.startswith(f"keep got\nappend a.txt done\n{HOSTILE}\n\n## What must stay true\n\n- stay small\n")
    assert got.endswith("## Done when\n\na.txt is longer\n")
    assert kept.read_text() == got
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [file["path"] for file in shared.data("plan", "diff", plan)["files"]] == ["a.txt", "got"]
    assert shared.step(plan, "edit")["kind"] == "prompt"


def test_prompt_without_anything_to_add_is_the_whole_text(shared: Home) -> None:
    plan = shared.use(prompted(shared, "keep got"), shared.repository())

    assert (shared.sandbox(plan) / "got").read_text() == "keep got\n"


@pytest.mark.parametrize("verb", ["prompt", "revert"])
def test_guidance_and_earlier_errors_reach_the_next_attempt(shared: Home, verb: str) -> None:
    plan = shared.use(prompted(shared, "append a.txt partial\nneed blue\nkeep got"), shared.repository(), code=1)
    if verb == "prompt":
        shared.data("plan", "prompt", plan, "make it blue")
        shared.run("plan", "execute", plan, "--wait")
    else:
        shared.data("plan", "revert", plan, "--yes", "--reason", "make it blue")
        shared.run("plan", "wait", plan)

    got = (shared.sandbox(plan) / "got").read_text()
    assert "## Guidance\n\n- make it blue\n" in got
    assert "Attempt 1: step edit failed: exit 3" in got
    assert "    nobody told me blue\n" in got
    assert (shared.sandbox(plan) / "a.txt").read_text().count("partial") == 1


def test_a_retry_of_its_own_is_told_of_the_failure_before(shared: Home) -> None:
    """The prompt asks for words that only the report of the first attempt has."""
    action = prompted(shared, "need failed: exit 3\nkeep got", step={"retries": 1})
    plan = shared.use(action, shared.repository())

    step = shared.step(plan, "edit")
    assert (step["state"], step["attempt"]) == ("succeeded", 2)
    assert (shared.sandbox(plan) / "got").read_text().count("Attempt 1: ") == 1


def test_each_of_the_steps_that_failed_together_is_told_its_own(shared: Home) -> None:
    worker = actor(shared, *AGENT, "do")
    steps = [{"id": name, "prompt": f"need blue\nkeep got-{name}", "isolated": True} for name in ("one", "two")]
    plan = shared.use(shared.action(execution_actor=worker, steps=steps), shared.repository(), code=1)

    shared.data("plan", "prompt", plan, "make it blue")
    shared.run("plan", "execute", plan, "--wait")

    told = {name: (shared.sandbox(plan) / f"got-{name}").read_text() for name in ("one", "two")}
    assert all(f"step {name} failed: exit 3" in text for name, text in told.items())
    assert "step two" not in told["one"]
    assert "step one" not in told["two"]


def test_failed_checks_are_told_after_a_revert(shared: Home) -> None:
    plan = shared.use(
        prompted(shared, "keep got", checks=[{"name": "size", "run": "echo too big; false"}]), shared.repository()
    )
    shared.apply(plan, code=4)

    shared.data("plan", "revert", plan, "--yes")
    shared.run("plan", "wait", plan)

    got = (shared.sandbox(plan) / "got").read_text()
    assert "the check size failed: exit 1" in got
    assert "    too big\n" in got
    assert "## Guidance" not in got


def test_a_command_finds_the_guidance_in_its_environment(shared: Home) -> None:
    plan = shared.executed('echo "<$CA_GUIDANCE>"')
    assert shared.log(plan, "s1") == "<>\n"

    for reason in ("use tabs", "", 'and `be` "brief"'):
        shared.data("plan", "revert", plan, "--yes", *(["--reason", reason] if reason else []))
        shared.run("plan", "wait", plan)

    assert shared.log(plan, "s1") == '<use tabs\nand `be` "brief">\n'


def test_what_is_told_has_a_limit_and_the_newest_is_kept(shared: Home) -> None:
    """64 KiB of guidance fit into a variable, and 32 KiB of errors leave a prompt its place in one argument."""
    script = 'for n in 1 2 3 4 5 6 7 8 9 a b c d e f g h i j k; do echo "$n$1"; done; exit 1'
    worker = actor(shared, "/bin/sh", "-c", script, "sh", "x" * 600)
    plan = shared.use(
        shared.action(execution_actor=worker, steps=[{"id": "edit", "prompt": "x"}]), shared.repository(), code=1
    )
    for letter in "abcd":
        shared.data("plan", "prompt", plan, letter * 30_000)
        shared.run("plan", "execute", plan, "--wait", code=1)

    (kept,) = job_files(shared, plan, "edit.5.prompt")
    text = kept.read_text()
    guidance = text.partition("## Guidance\n\n")[2].splitlines()
    assert [(line[2], len(line) - 2) for line in guidance] == [("b", 5_534), ("c", 30_000), ("d", 30_000)]
    assert len(text) < 100_000
    assert "Attempt 4: " in text
    assert "Attempt 1: " not in text
    assert "\n    k" + "x" * 499 + "\n" in text


def test_environment_of_an_actor_lies_between_action_and_step(shared: Home) -> None:
    worker = actor(shared, "/bin/sh", "-c", 'echo "$A $B $C $CA_STEP_ID"; pwd', env={"B": "actor", "C": "actor"})
    step = {"id": "edit", "prompt": "x", "env": {"C": "step"}}
    env = {"A": "action", "B": "action", "C": "action"}
    plan = shared.use(shared.action(execution_actor=worker, steps=[step], env=env), shared.repository())

    assert shared.log(plan, "edit").splitlines() == ["action actor step edit", str(shared.sandbox(plan))]


@pytest.mark.parametrize(("own", "actors"), [(None, "1s"), ("1s", "1h")])
def test_timeout_is_the_steps_or_else_the_actors(shared: Home, own: str | None, actors: str) -> None:
    gate = shared.gate()
    worker = actor(shared, *AGENT, "do", timeout=actors)
    step = {"id": "edit", "prompt": f"wait {gate.path}"} | ({"timeout": own} if own else {})
    plan = shared.use(shared.action(execution_actor=worker, steps=[step]), shared.repository(), code=1)

    shown = shared.plan(plan)
    assert (shown["error"]["code"], shown["steps"][0]["state"]) == ("timed_out", "timed_out")
    assert "within 1 s" in shown["error"]["message"]


def test_cancel_ends_the_actor(shared: Home) -> None:
    gate = shared.gate()
    plan = shared.use(prompted(shared, f"wait {gate.path}"), shared.repository(), code=None)
    gate.wait()
    running = shared.processes(having="CA_STEP_ID")

    shared.data("plan", "cancel", plan, "--yes")

    assert shared.position(plan) == "execute/cancelled"
    assert shared.step(plan, "edit")["state"] == "cancelled"
    assert running != []
    assert not any(escapees.runs(process) for process in running)


def test_a_repaired_actor_works_at_the_next_attempt(shared: Home) -> None:
    path = write_actor(shared, *AGENT, "do", "fail 7")
    worker = shared.data("actor", "create", str(path))["name"]
    action = shared.action(execution_actor=worker, steps=[{"id": "edit", "prompt": "append a.txt x"}])
    plan = shared.use(action, shared.repository(), code=1)
    assert shared.plan(plan)["error"]["detail"]["exit_code"] == 7

    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": [*AGENT, "do"]}))
    shared.data("actor", "create", str(path), "--update")
    shared.run("plan", "execute", plan, "--wait")

    assert shared.plan(plan)["diff"]["files"] == 1


def test_an_actor_that_is_gone_when_its_step_starts_is_named(shared: Home) -> None:
    action = prompted(shared, "append a.txt x")
    worker = shared.data("action", "show", action)["execution_actor"]
    plan = shared.use(action, shared.repository(), profile="supervised")
    shared.data("actor", "remove", worker, "--yes")

    shared.run("plan", "execute", plan, "--wait", code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["step"], worker in error["message"]) == ("not_found", "edit", True)


def test_a_prompt_too_long_for_an_argument_is_refused_with_the_way_out(shared: Home) -> None:
    action = prompted(shared, "{a}{b}", command=[*AGENT, "do", "{prompt}"], arguments=[{"name": "a"}, {"name": "b"}])
    half = "x" * 65_536
    plan = shared.use(action, shared.repository(), arguments={"a": half, "b": half}, code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["step"]) == ("invalid_argument", "edit")
    assert "standard input" in error["message"]


@pytest.mark.parametrize(
    ("keys", "code", "words"),
    [
        ({"execution_actor": "local/nobody-here"}, "not_found", "there is no actor 'local/nobody-here'"),
        ({"strategy_actor": "local/nobody-here"}, "not_found", "there is no actor 'local/nobody-here'"),
        ({"execution_actor": "local/no-program"}, "not_found", "'ca-no-such-program' of the actor local/no-program"),
        ({"strategy_actor": "local/no-path"}, "not_found", "'ca-no-such-program' of the actor local/no-path"),
        ({"execution_actor": "builtin/shell"}, "invalid_action", "execution_actor: NAME"),
        ({"execution_actor": "builtin/steps"}, "invalid_action", "builtin/steps as execution_actor"),
        ({"strategy_actor": "builtin/shell"}, "invalid_action", "builtin/shell as strategy_actor"),
    ],
    ids=["worker", "planner", "program", "planner-program", "no-worker", "steps-as-worker", "shell-as-planner"],
)
def test_what_an_actor_needs_is_checked_before_anything_runs(
    shared: Home, keys: dict[str, str], code: str, words: str
) -> None:
    for name in ("local/no-program", "local/no-path"):
        shared.data(
            "actor",
            "create",
            "-",
            feed=json.dumps({"name": name, "type": "command", "command": ["ca-no-such-program"]}),
        )
    action = shared.action(steps=[{"id": "edit", "prompt": "x"}], **keys)

    plan = shared.use(action, shared.repository(), code=1)

    shown = shared.plan(plan)
    assert (shown["phase"], shown["state"], shown["error"]["code"]) == ("strategize", "errored", code)
    assert words in shown["error"]["message"]
    if code == "invalid_action":  # it is the action that has to be another
        assert f"ca plan use {action}" in str(shown["error"]["detail"]["suggestions"])


def test_the_actor_is_adopted_after_the_daemon_was_killed(home: Home) -> None:
    """A prompt step outlives the daemon like any other: one attempt, its edits and its exit code are kept."""
    gate = home.gate()
    plan = home.use(prompted(home, f"wait {gate.path}\nappend a.txt x"), home.repository(), code=None)
    gate.wait()
    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)

    home.data("daemon", "start")
    gate.open()
    home.run("plan", "wait", plan)

    step = home.step(plan, "edit")
    assert (step["state"], step["attempt"], step["exit_code"]) == ("succeeded", 1, 0)
    assert home.plan(plan)["diff"]["insertions"] == 1


# --- strategies ----------------------------------------------------------------------------------------------------------


def planned(home: Home, *command: str, **keys: Any) -> str:
    """An action whose strategy is made by that command; its name."""
    keys.setdefault("steps", [{"id": "first", "run": "echo {v} > first", "timeout": "1m", "retries": 1}])
    planner = actor(home, *command, **keys.pop("actor", {}))
    return home.action(strategy_actor=planner, arguments=[{"name": "v", "default": "x"}], **keys)


def test_steps_and_decisions_of_a_strategy_become_the_plans(shared: Home, tmp_path: Path) -> None:
    """The actor sees the project at its base and everything about the plan; what it writes stays out of the plan."""
    document = tmp_path / "document"
    action = planned(
        shared, *AGENT, "plan", str(document), description="Tidy", definition_of_done="it is tidy", invariants=["no x"]
    )
    project = shared.repository()
    plan = shared.use(action, project, arguments={"v": HOSTILE})

    given = json.loads(document.read_text())
    shown = shared.plan(plan)
    name = f"local/{project.name}"
    assert given["plan"] == {
        "plan_id": shown["plan_id"], "name": plan, "action": action, "description": "Tidy",
        "definition_of_done": "it is tidy", "reversions": 0,
    }  # fmt: skip
    assert (given["schema_version"], given["arguments"], given["invariants"]) == (1, {"v": HOSTILE}, ["no x"])
    path = shown["sandboxes"][0]["path"]
    assert given["projects"] == [{"name": name, "kind": "git", "path": path, "base": shown["base"][name]}]
    assert given["steps"] == [
        {"id": "first", "title": "first", "run": "echo {v} > first", "timeout": 60.0, "retries": 1}
    ]
    assert (given["errors"], given["guidance"]) == ([], [])
    assert [step["id"] for step in shown["steps"]] == ["first", "added"]
    assert [file["path"] for file in shared.data("plan", "diff", plan)["files"]] == ["added", "first"]
    root, *below = shared.data("plan", "tree", plan)["decisions"]
    assert {decision["parent_id"] for decision in below} == {root["decision_id"]}
    assert [(decision["kind"], decision["choice"]) for decision in below] == [
        ("invariant_enforced", "no x"),
        ("strategy_choice", "in one step more"),
        ("strategy_choice", "first, added"),
    ]


def test_a_bad_answer_is_an_error_that_the_next_attempt_is_told(shared: Home, tmp_path: Path) -> None:
    """The same plan goes on: the document of the retry has the error and the guidance."""
    answer, document = tmp_path / "answer", tmp_path / "document"
    answer.write_text('{"decisions": [], "steps": [{"id": "a", "rum": "true"}]}')
    path = write_actor(shared, "cat", str(answer))
    planner = shared.data("actor", "create", str(path))["name"]
    plan = shared.use(shared.action("true", strategy_actor=planner), shared.repository(), code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["detail"]["key"]) == ("invalid_action", "steps[0].rum")
    assert (planner in error["message"], "did you mean 'run'" in error["message"]) == (True, True)

    path.write_text(json.dumps(json.loads(path.read_text()) | {"command": [*AGENT, "plan", str(document)]}))
    shared.data("actor", "create", str(path), "--update")
    shared.data("plan", "prompt", plan, "mind the keys")
    shared.run("plan", "execute", plan, "--wait")

    given = json.loads(document.read_text())
    (told,) = given["errors"]
    assert (told["phase"], told["code"], told["message"]) == ("strategize", "invalid_action", error["message"])
    assert given["guidance"] == ["mind the keys"]
    assert shared.step_states(plan) == ["succeeded", "succeeded"]


@pytest.mark.parametrize(
    ("script", "keys", "code", "words"),
    [
        ("echo no idea >&2; echo '{}'; exit 4", {}, "step_failed", "exit 4"),
        ("cat; cat {gate}", {"timeout": "1s"}, "timed_out", "within 1 s"),
        ("printf '\\377'", {}, "invalid_action", "not UTF-8"),
        ("head -c 1048577 /dev/zero | tr '\\0' ' '", {}, "invalid_action", "1 MiB"),
        ("""echo '{"decisions": [], "steps": [{"id": "a", "prompt": "x"}]}'""", {}, "invalid_action", "is a prompt"),
        ("""echo '{"decisions": [], "steps": [{"id": "a", "run": "x", "project": "nope"}]}'""", {}, "invalid_action",
         "local/nope"),
        ("""echo '{"decisions": [], "steps": [{"id": "a", "run": "x", "shell": "no-such-shell"}]}'""", {}, "not_found",
         "no-such-shell"),
    ],
    ids=["exit code", "timeout", "bytes", "too long", "prompt", "project", "shell"],
)  # fmt: skip
def test_a_strategy_that_cannot_be_used_errors_the_plan(
    shared: Home, script: str, keys: dict[str, Any], code: str, words: str
) -> None:
    """What the actor wrote is gone, nothing of the plan has run, and its error output is the log."""
    command = script.replace("{gate}", str(shared.gate().path)).replace("{", "{{").replace("}", "}}")
    project = shared.repository()
    plan = shared.use(planned(shared, "/bin/sh", "-c", f"echo x > left; {command}", actor=keys), project, code=1)

    shown = shared.plan(plan)
    assert (shown["phase"], shown["state"], shown["error"]["code"]) == ("strategize", "errored", code)
    assert words in shown["error"]["message"]
    assert not (shared.home / "data" / "sandboxes" / shown["plan_id"]).exists()
    assert code != "step_failed" or shown["error"]["detail"]["tail"] == ["no idea"]


def test_a_strategy_actor_may_get_the_document_as_argument(shared: Home) -> None:
    """Without a sandbox it works in the project itself."""
    script = 'cd "$(git rev-parse --show-toplevel)"; pwd >&2; exec python3 -c "$1" "$2"'
    code = "import json,sys; d=json.loads(sys.argv[1]); print(json.dumps(dict(decisions=[], steps=d['steps'])))"
    project = shared.repository()
    shared.set("sandbox.strategy", "none", project=project.name)
    action = planned(
        shared,
        "/bin/sh",
        "-c",
        script,
        "sh",
        code,
        "{prompt}",
        read_only=True,
        steps=[{"id": "look", "run": "cat a.txt"}],
    )

    plan = shared.use(action, project, profile="supervised")

    (log,) = job_files(shared, plan, "strategize.*.log")
    assert log.read_text() == f"{project}\n"
    assert shared.step_states(plan) == ["pending"]


def test_a_strategy_actor_of_a_dead_daemon_is_ended_and_asked_again(home: Home, tmp_path: Path) -> None:
    gate, count = home.gate(), tmp_path / "count"
    answer = tmp_path / "answer"
    answer.write_text('{"decisions": [], "steps": [{"id": "a", "run": "ls > seen"}]}')
    script = f"echo x >> {count}; echo x > left; {gate.command}; cat {answer}"
    plan = home.use(planned(home, "/bin/sh", "-c", script), home.repository(), code=None)
    gate.wait()
    (old,) = sessions(home)
    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
    gate.arrived.unlink()

    home.data("daemon", "start")
    gate.wait()
    running = sessions(home)
    gate.open()
    home.run("plan", "wait", plan)

    assert old not in running
    assert count.read_text() == "x\n" * 2
    assert (home.sandbox(plan) / "seen").read_text().split() == ["a.txt", "dir", "seen"]


def sessions(home: Home) -> set[int]:
    """The sessions of what runs for steps and strategies."""
    found: set[int] = set()
    for process in home.processes(having="CA_STEP_ID"):
        with contextlib.suppress(ProcessLookupError):  # the `touch` of a gate ends about now
            found.add(os.getsid(process.pid))
    return found


def test_cancel_ends_the_strategy_actor_and_removes_what_it_wrote(shared: Home) -> None:
    gate = shared.gate()
    project = shared.repository()
    plan = shared.use(planned(shared, "/bin/sh", "-c", f"echo x > left; {gate.command}"), project, code=None)
    gate.wait()

    shared.data("plan", "cancel", plan, "--yes")

    shown = shared.plan(plan)
    assert (shown["phase"], shown["state"]) == ("strategize", "cancelled")
    assert not (shared.home / "data" / "sandboxes" / shown["plan_id"]).exists()


def test_planning_again_after_a_revert_keeps_the_work_of_before(shared: Home, tmp_path: Path) -> None:
    """The sandbox of the strategy takes nobody's place among the refs of what was removed."""
    answer = tmp_path / "answer"
    answer.write_text('{"decisions": [], "steps": [{"id": "a", "run": "echo x > partial; false"}]}')
    project = shared.repository()
    plan = shared.use(planned(shared, "/bin/sh", "-c", f"echo x > left; cat {answer}"), project, code=1)

    (shared.sandbox(plan) / "by-hand").touch()

    shared.data("plan", "revert", plan, "--yes")
    shared.run("plan", "wait", plan, code=1)

    plan_id = shared.plan(plan)["plan_id"]
    holds = [
        shared.git(repository, "ls-tree", "--name-only", f"refs/cleveragents/plans/{plan_id}/removed")
        for repository in (shared.home / "data" / "repos").glob("*.git")
        if shared.git(repository, "for-each-ref", f"refs/cleveragents/plans/{plan_id}/removed")
    ]
    assert holds == ["a.txt\nby-hand\ndir\npartial"]
