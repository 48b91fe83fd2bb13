"""Execute: what a step gets, what becomes of what it does, and how it ends."""

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.homes import Home, tree

# --- order and resume --------------------------------------------------------------------------------------------------


def steps(*found: dict[str, Any]) -> dict[str, Any]:
    return {"steps": list(found)}


def test_steps_run_in_declared_order_after_what_they_need(shared: Home) -> None:
    root = shared.repository()
    action = shared.action(
        **steps(
            {"id": "last", "run": "echo last >> order", "needs": ["first", "second"]},
            {"id": "second", "run": "echo second >> order", "needs": ["first"]},
            {"id": "free", "run": "echo free >> order"},
            {"id": "first", "run": "echo first >> order"},
        )
    )

    plan = shared.use(action, root)
    shared.apply(plan)

    order = (root / "order").read_text().split()
    assert order.index("first") < order.index("second") < order.index("last")
    assert [step["id"] for step in shared.plan(plan)["steps"]] == order
    assert order.index("free") < order.index("first"), "declared earlier, and nothing keeps it back"


def test_resume_starts_at_the_first_step_that_did_not_succeed(shared: Home, tmp_path: Path) -> None:
    """Steps that succeeded do not run again, and what they made is there."""
    ran, fixed = tmp_path / "ran", tmp_path / "fixed"
    root = shared.repository()
    action = shared.action(
        f"echo one >> {ran}; echo 1 > one",
        f"echo two >> {ran}; test -e {fixed} && cat one > two",
        f"echo three >> {ran}; cat two > three",
    )
    plan = shared.use(action, root, code=1)
    assert shared.step_states(plan) == ["succeeded", "failed", "pending"]

    fixed.touch()
    shared.run("plan", "execute", plan, "--wait")

    assert ran.read_text().split() == ["one", "two", "two", "three"]
    assert shared.step(plan, "s2")["attempt"] == 2
    shared.apply(plan)
    assert (root / "three").read_text() == "1\n"


def test_retry_starts_from_the_last_checkpoint(shared: Home, tmp_path: Path) -> None:
    """What a failed step left behind is not in the sandbox of its next attempt."""
    seen = tmp_path / "seen"
    root = shared.repository()
    action = shared.action(
        "echo good > good",
        f"ls -A | tr '\\n' ' ' >> {seen}; cat a.txt | wc -l >> {seen};"
        " echo half >> a.txt; rm good; echo junk > junk; mkdir -p deep/er; test $(wc -l < " + str(seen) + ") -ge 2",
    )

    plan = shared.use(action, root, code=1)
    shared.run("plan", "execute", plan, "--wait")

    first, second = seen.read_text().splitlines()
    assert first == second
    assert "good" in second
    assert "junk" not in second


def test_partial_edits_of_a_failed_step_are_kept_under_a_ref(shared: Home) -> None:
    plan = shared.executed("echo half > half; false", code=1)

    plan_id = shared.plan(plan)["plan_id"]
    found = [
        shared.git(repository, "show", f"{ref}:half")
        for repository in (shared.home / "data" / "repos").glob("*.git")
        for ref in shared.git(
            repository, "for-each-ref", "--format=%(refname)", f"refs/cleveragents/plans/{plan_id}/**/partial/**"
        ).splitlines()
    ]
    assert found == ["half"]


def test_retries_go_on_until_one_succeeds(shared: Home, tmp_path: Path) -> None:
    """Each attempt has a log of its own."""
    count = tmp_path / "count"
    run = f"echo x >> {count}; echo attempt $(wc -l < {count}); test $(wc -l < {count}) -ge 2"

    plan = shared.use(shared.action(**steps({"id": "flaky", "run": run, "retries": 3})), shared.repository())

    step = shared.step(plan, "flaky")
    assert (step["state"], step["attempt"], step["exit_code"]) == ("succeeded", 2, 0)
    job = shared.data("job", "list", "--plan", plan)["jobs"][0]["job_id"]
    logs = {log["name"]: log["text"] for log in shared.data("job", "logs", job)["logs"]}
    assert logs == {"flaky.1": "attempt 1\n", "flaky.2": "attempt 2\n"}


def test_the_log_of_an_earlier_attempt_can_be_read(shared: Home) -> None:
    """Also when the attempts were of several jobs; one that never was is said with those that were."""
    plan = shared.executed("echo one >> tries; echo $(wc -l < tries) tries; exit 3", code=1)
    shared.run("plan", "execute", plan, "--wait", code=1)
    step = shared.step(plan, "s1")
    assert step["attempt"] == 2
    Path(step["log"]).write_text("the second\n")

    first = shared.run("plan", "logs", plan, "--step", "s1", "--attempt", "1").out
    assert first.endswith("tries\n")
    assert shared.run("plan", "logs", plan, "--step", "s1", "--attempt", "2").out == "the second\n"
    (found,) = shared.data("plan", "logs", plan, "--step", "s1", "--attempt", "1")["steps"]
    assert (found["attempt"], found["state"], found["exit_code"], found["text"]) == (1, None, None, first)
    missing = shared.run("plan", "logs", plan, "--step", "s1", "--attempt", "9", code=3)
    assert "has no log of an attempt 9; it has 1, 2" in missing.err
    assert "--step" in shared.run("plan", "logs", plan, "--attempt", "1", code=2).err


def test_retries_end_with_the_last_failure(shared: Home) -> None:
    run = steps({"id": "bad", "run": "exit 7", "retries": 1})

    plan = shared.use(shared.action(**run), shared.repository(), code=1)

    step, error = shared.step(plan, "bad"), shared.plan(plan)["error"]
    assert (step["state"], step["attempt"], step["exit_code"]) == ("failed", 2, 7)
    assert (error["code"], error["step"], error["detail"]["exit_code"]) == ("step_failed", "bad", 7)


def test_isolated_steps_run_at_the_same_time(shared: Home, tmp_path: Path) -> None:
    """Each waits for the other, which ends only when both run."""
    left, right = tmp_path / "left", tmp_path / "right"
    for pipe in (left, right):
        os.mkfifo(pipe)
    action = shared.action(
        **steps(
            {"id": "a", "run": f"echo a > {left}; cat {right} > got_a", "isolated": True, "timeout": "20s"},
            {"id": "b", "run": f"cat {left} > got_b; echo b > {right}", "isolated": True, "timeout": "20s"},
        )
    )

    plan = shared.use(action, shared.repository())

    assert shared.step_states(plan) == ["succeeded", "succeeded"]
    assert {file["path"] for file in shared.data("plan", "diff", plan)["files"]} == {"got_a", "got_b"}


def test_other_steps_run_one_at_a_time(shared: Home) -> None:
    """A step that is not declared isolated never meets another one."""
    run = "mkdir alone && ls > /dev/null && rmdir alone && echo $CA_STEP_ID >> order"

    plan = shared.executed(run, run, run)

    patch = shared.data("plan", "diff", plan)["patch"]
    assert [line for line in patch.splitlines() if line.startswith("+s")] == ["+s1", "+s2", "+s3"]


# --- what a step gets --------------------------------------------------------------------------------------------------


def test_step_has_the_environment_of_its_plan(shared: Home) -> None:
    """Variables of the one who used the action, ours, the action's and the step's own on top."""
    root = shared.repository()
    show = "env -0 | sort -z | tr '\\n\\0' ' \\n'; pwd; [ -t 0 ] || cat"
    action = shared.action(
        arguments=[{"name": "some-rules", "default": "UP,I"}, {"name": "none"}],
        env={"FROM": "action", "OVER": "action"},
        **steps({"id": "show", "run": show, "env": {"OVER": "step"}}),
    )

    plan = shared.use(action, root, env={"MINE": "from the caller\nin two lines", "FROM": "caller"})

    shown = shared.plan(plan)
    sandbox = shown["sandboxes"][0]["path"]
    lines = shared.log(plan, "show").splitlines()
    assert lines[-1] == sandbox
    found = dict(line.split("=", 1) for line in lines[:-1] if "=" in line)
    wanted = {
        "CA_PLAN_ID": shown["plan_id"],
        "CA_STEP_ID": "show",
        "CA_PROJECT": f"local/{root.name}",
        "CA_SANDBOX": sandbox,
        "CA_ITEM": "",
        "CA_ARG_SOME_RULES": "UP,I",
        "FROM": "action",
        "OVER": "step",
        "MINE": "from the caller in two lines",
    }
    assert {name: found.get(name) for name in wanted} == wanted
    assert "CA_ARG_NONE" not in found


def test_environment_of_a_plan_is_in_no_output(shared: Home) -> None:
    """It may hold secrets: it is in a 0600 file, and nowhere else."""
    canary = "canary-5f0e2b"
    plan = shared.use(shared.action("true"), shared.repository(), profile="supervised", env={"MY_SECRET": canary})

    plan_id = shared.plan(plan)["plan_id"]
    kept = shared.home / "data" / "environments" / plan_id
    assert canary.encode() in kept.read_bytes()
    assert kept.stat().st_mode & 0o777 == 0o600
    for command in (["plan", "show", plan], ["events", "--limit", "10000"], ["job", "list"], ["daemon", "logs"]):
        assert canary not in shared.run(*command, "--format", "json").out
    for path in shared.home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a temporary file
            assert path == kept or not path.is_file() or canary.encode() not in path.read_bytes()


HOSTILE = [
    "plain",
    'it\'s "quoted"',
    "two\nlines",
    "$(touch pwned) `touch pwned` ; touch pwned",
    "-n --help",
    "äöü 漢字 🦊",
    "back\\slash *? [a] {x} ~ #no && || > out",
    " ",
    "",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("template", ["printf %s {value} > out.txt", 'printf %s "<{value}>" > out.txt'])
def test_argument_reaches_the_command_as_one_word(shared: Home, value: str, template: str) -> None:
    """Whatever is in it, a value is data to the shell."""
    action = _writer(shared, template)
    root = _writer_project(shared)

    plan = shared.use(action, root, arguments={"value": value})

    written = (shared.sandbox(plan) / "out.txt").read_text()
    assert written == (f"<{value}>" if "<" in template else value)
    assert not (shared.sandbox(plan) / "pwned").exists()
    shared.data("plan", "cancel", plan, "--yes")


_made: dict[tuple[int, str], Any] = {}


def _writer(home: Home, template: str) -> str:
    key = (id(home), template)
    if key not in _made:
        _made[key] = home.action(template, arguments=[{"name": "value", "required": True}])
    return _made[key]


def _writer_project(home: Home) -> Path:
    key = (id(home), "")
    if key not in _made:
        _made[key] = home.repository()
    return _made[key]


def test_raw_value_is_in_the_environment(shared: Home) -> None:
    value = "a 'b' \"c\"\n$(touch pwned)"
    action = shared.action('printf %s "$CA_ARG_VALUE" > out.txt', arguments=[{"name": "value"}])

    plan = shared.use(action, shared.repository(), arguments={"value": value})

    assert (shared.sandbox(plan) / "out.txt").read_text() == value


def test_literal_braces_and_the_shells_own_stay(shared: Home) -> None:
    action = shared.action(
        "echo '{{rules}}' ${HOME:+home} {rules} > out.txt; echo a b | awk '{print $2}' >> out.txt",
        arguments=[{"name": "rules", "default": "UP"}],
    )

    plan = shared.use(action, shared.repository())

    assert (shared.sandbox(plan) / "out.txt").read_text() == "{rules} home UP\nb\n"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_step_has_the_umask_of_the_one_who_used_the_action(shared: Home, umask: int, mode: int) -> None:
    root, action = shared.repository(), shared.action("echo x > made; umask")
    before = os.umask(umask)
    try:
        plan = shared.use(action, root)
    finally:
        os.umask(before)

    assert int(shared.log(plan, "s1"), 8) == umask
    assert (shared.sandbox(plan) / "made").stat().st_mode & 0o777 == mode


def test_shell_can_be_another_program(shared: Home) -> None:
    python = sys.executable
    action = shared.action(
        **steps(
            {"id": "py", "run": "open('made', 'w').write('by python')", "shell": python},
            {"id": "bash", "run": "[[ -e made ]] && a=(1 2 3) && echo ${#a[@]} > three", "shell": "bash"},
        )
    )

    plan = shared.use(action, shared.repository())

    assert (shared.sandbox(plan) / "made").read_text() == "by python"
    assert (shared.sandbox(plan) / "three").read_text() == "3\n"


def test_first_command_that_fails_ends_the_step(shared: Home) -> None:
    plan = shared.executed("echo before; false\necho after", code=1)

    assert shared.log(plan, "s1") == "before\n"


def test_setup_and_included_files_are_there_and_never_part_of_the_change(shared: Home) -> None:
    """Ignored files are copied in; what setup makes is ignored too, and neither is applied."""
    root = shared.repository({".gitignore": ".env\nvenv/\nconfig/local.toml\n", "a.txt": "one\n"})
    (root / ".env").write_text("KEY=1\n")
    (root / "config").mkdir()
    (root / "config" / "local.toml").write_text("x = 1\n")
    action = shared.action(
        "cat .env config/local.toml venv/ready > out.txt; echo changed > .env",
        sandbox={"include": [".env", "config/local.toml", "absent.txt"], "setup": "mkdir venv; echo ok > venv/ready"},
    )

    plan = shared.use(action, root)
    shared.apply(plan)

    assert (root / "out.txt").read_text() == "KEY=1\nx = 1\nok\n"
    assert (root / ".env").read_text() == "KEY=1\n"
    assert not (root / "venv").exists()
    ready = [event for event in shared.data("events", "--plan", plan)["events"] if event["kind"] == "sandbox.ready"]
    assert ready[0]["detail"]["missing"] == ["absent.txt"]


def test_failed_setup_says_where_its_output_is(shared: Home, tmp_path: Path) -> None:
    marker = tmp_path / "fixed"
    action = shared.action("true", sandbox={"setup": f"echo no network; test -e {marker}"})

    plan = shared.use(action, shared.repository(), code=1)

    error = shared.plan(plan)["error"]
    assert error["code"] == "step_failed"
    assert "setup" in error["message"]
    assert error["detail"]["tail"] == ["no network"]
    assert Path(error["detail"]["log"]).read_text() == "no network\n"
    marker.touch()
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "execute/complete"


def test_sandbox_has_uncommitted_and_untracked_files(shared: Home) -> None:
    """The base is what the project holds, not only what is committed."""
    root = shared.repository()
    (root / "a.txt").write_text("dirty\n")
    (root / "new.txt").write_text("untracked\n")
    (root / "staged.txt").write_text("staged\n")
    shared.git(root, "add", "staged.txt")

    plan = shared.executed("cat a.txt new.txt staged.txt > all.txt", project=root)

    assert (shared.sandbox(plan) / "all.txt").read_text() == "dirty\nuntracked\nstaged\n"
    assert [file["path"] for file in shared.data("plan", "diff", plan)["files"]] == ["all.txt"]


def test_git_works_in_the_sandbox_and_leaves_the_project_alone(shared: Home) -> None:
    """An agent may commit, branch and stash there; only the files count."""
    root = shared.repository()
    head = shared.git(root, "rev-parse", "HEAD")

    plan = shared.executed(
        "git status --short; echo x > x.txt; git add -A; git commit -qm mine; git checkout -qb other; git log",
        project=root,
    )

    assert [file["path"] for file in shared.data("plan", "diff", plan)["files"]] == ["x.txt"]
    assert shared.git(root, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert shared.git(root, "rev-parse", "HEAD") == head
    assert not (root / ".git" / "worktrees").exists()


def test_hooks_planted_in_a_sandbox_are_never_run(shared: Home, tmp_path: Path) -> None:
    pwned = tmp_path / "pwned"
    hook = f"printf '#!/bin/sh\\ntouch {pwned}\\n' > .git/hooks/$h; chmod +x .git/hooks/$h"
    plan = shared.executed(
        f"mkdir -p .git/hooks; for h in pre-commit post-commit post-checkout post-index-change; do {hook}; done;"
        f" git config core.fsmonitor 'touch {pwned}'; git config filter.x.clean 'touch {pwned}; cat';"
        " echo '*.txt filter=x' > .gitattributes; echo more >> a.txt",
    )

    shared.apply(plan)

    assert not pwned.exists()


# --- read only ---------------------------------------------------------------------------------------------------------


def test_change_by_a_read_only_action_fails_the_step_that_made_it(shared: Home) -> None:
    """No later step runs, what it left is kept, and Execute goes on at that step once it changes nothing."""
    marker = shared.work / shared.fresh("mended")
    plan = shared.executed("true", f"test -e {marker} || echo two >> a.txt", "cat a.txt", read_only=True, code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["step"], error["detail"]["files"]) == ("step_failed", "s2", ["a.txt"])
    assert "step s2 changed a.txt" in error["message"]
    assert shared.position(plan) == "execute/errored"
    assert shared.step_states(plan) == ["succeeded", "failed", "pending"]
    assert kept(shared, plan, "partial/s2-1", "a.txt").endswith("three\ntwo")
    marker.touch()
    shared.data("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "execute/complete"
    assert shared.log(plan, "s3") == "one\ntwo\nthree\n"


def test_read_only_action_without_changes_completes(shared: Home) -> None:
    plan = shared.executed("cat a.txt", read_only=True)

    assert shared.plan(plan)["diff"]["files"] == 0


def test_action_that_is_not_reusable_is_archived_after_its_plan(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true", reusable=False)
    shared.use(action, root)

    error = shared.error("plan", "use", action, root.name, code=2)

    assert error["code"] == "invalid_action"
    assert action not in [found["name"] for found in shared.data("action", "list")["actions"]]
    archived = shared.data("action", "list", "--archived")["actions"]
    assert [found["archived"] for found in archived if found["name"] == action] == [True]


# --- what a change cannot carry, and what a retry meets -----------------------------------------------------------------


def kept(home: Home, plan: str, ref: str, path: str) -> str:
    """A file as a ref of the plan has it, read with git from whichever private repository has the ref."""
    name = f"refs/cleveragents/plans/{home.plan(plan)['plan_id']}/0/{ref}"
    for repository in (home.home / "data" / "repos").glob("*.git"):
        if home.git(repository, "for-each-ref", name):
            return home.git(repository, "show", f"{name}:{path}")
    raise AssertionError(f"no repository has {name}")


def events(home: Home, plan: str, kind: str) -> list[dict[str, Any]]:
    found = home.data("events", "--plan", plan)["events"]
    return [event["detail"] for event in found if event["kind"] == kind]


def test_what_the_change_cannot_carry_is_named_until_it_is_gone(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(
        "git init -q vendor; git init -q gone; mkfifo pipe; echo g > good", "rm -r gone", project=root
    )

    left_out = shared.plan(plan)["sandboxes"][0]["uncarried"]

    vendor, pipe = "vendor: is a git repository of its own, made in the sandbox", "pipe: is a FIFO, made in the sandbox"
    assert left_out == [vendor, pipe]
    named = [entry for event in events(shared, plan, "project.uncarried") for entry in event["entries"]]
    assert {vendor, pipe} < set(named)
    explained = shared.run("plan", "explain", plan).out
    assert "vendor: is a git repository" in explained
    assert "pipe: is a FIFO" in explained
    assert "vendor: is a git repository" in shared.run("plan", "show", plan).out


def test_plan_that_made_only_what_cannot_be_carried_does_not_claim_to_have_changed_nothing(shared: Home) -> None:
    plan = shared.executed("git init -q vendor; echo important > vendor/f")

    assert "changed nothing that can be carried" in shared.data("plan", "explain", plan)["summary"]


def test_sandbox_with_what_no_ref_can_keep_stays_after_apply(shared: Home) -> None:
    plan = shared.executed("git init -q vendor; echo important > vendor/f; echo g > good")
    box = shared.sandbox(plan)

    shared.apply(plan)

    (told,) = shared.until(lambda: events(shared, plan, "sandbox.kept"))
    assert "vendor is a git repository of its own" in told["reason"]
    assert (box / "vendor/f").read_text() == "important\n"
    assert shared.plan(plan)["sandboxes"][0]["status"] == "ready"


def test_what_setup_has_fetched_is_nobodys_work(shared: Home) -> None:
    """Repositories of their own and submodules among it: they are not named, and keep no sandbox."""
    root = shared.repository()
    shared.run_program(
        "git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(shared.repository()), "sub", cwd=root
    )
    shared.commit(root)
    setup = "git init -q vendor; echo v > vendor/f; echo s > sub/fetched"
    action = shared.action("cat vendor/f sub/fetched > out", sandbox={"setup": setup})
    plan = shared.use(action, root)
    box = shared.sandbox(plan)
    assert (box / "out").read_text() == "v\ns\n"

    shared.apply(plan)

    shared.until(lambda: shared.plan(plan)["sandboxes"][0]["status"] == "removed")
    assert not [entry for entry in shared.plan(plan)["sandboxes"][0]["uncarried"] if "made in the sandbox" in entry]
    assert events(shared, plan, "sandbox.kept") == []


def test_edits_by_hand_are_kept_when_a_failed_step_runs_again(shared: Home) -> None:
    """What a person did in the sandbox of a failed plan goes to a ref, what no ref can keep beside the sandbox."""
    plan = shared.executed("echo partial > part; exit 1", code=1)
    box = shared.sandbox(plan)
    (box / "hand").write_text("work of hours\n")
    shared.git(box, "init", "-q", "own")
    (box / "own" / "f").write_text("more work\n")

    shared.error("plan", "execute", plan, "--wait", code=1)

    edited, aside = (told["reason"] for told in events(shared, plan, "sandbox.kept"))
    assert edited == "what was edited in it since step s1 failed is kept as 0/edited/s1-1"
    assert kept(shared, plan, "edited/s1-1", "hand") == "work of hours"
    assert kept(shared, plan, "edited/s1-1", "part") == "partial"
    assert not (box / "hand").exists()
    (place,) = Path(aside.rpartition(" ")[2]).glob("*/*/own/f")
    assert place.read_text() == "more work\n"
    shared.error("plan", "execute", plan, "--wait", code=1)
    assert len(events(shared, plan, "sandbox.kept")) == 2, "nobody edited anything since"


def test_missing_program_of_a_filter_is_named(shared: Home) -> None:
    """The project's files cannot be read without it: nothing of ours is at fault."""
    root = shared.repository({"a.txt": "a"})
    shared.git(root, "config", "filter.big.clean", "no-such-filter clean")
    shared.git(root, "config", "filter.big.required", "true")
    (root / ".gitattributes").write_text("*.txt filter=big\n")
    (root / "a.txt").write_text("changed")

    plan = shared.use(shared.action("true"), root, code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["detail"]["program"]) == ("not_found", "no-such-filter")
    assert "install no-such-filter" in shared.run("plan", "wait", plan, code=1).err


def test_failing_filter_is_named(shared: Home) -> None:
    root = shared.repository({"a.txt": "a"})
    shared.git(root, "config", "filter.big.clean", "false")
    shared.git(root, "config", "filter.big.required", "true")
    (root / ".gitattributes").write_text("*.txt filter=big\n")
    (root / "a.txt").write_text("changed")

    plan = shared.use(shared.action("true"), root, code=1)

    error = shared.plan(plan)["error"]
    assert error["code"] == "invalid_argument"
    assert "external filter 'false' failed" in error["message"]


def test_checks_run_in_a_git_checkout_of_the_merged_result(shared: Home) -> None:
    """Git works in it as in a sandbox, clean at first, and reaches neither the project nor a repository around."""
    root = shared.repository({"a.txt": "a", "mine.txt": "m"})
    out = shared.work / shared.fresh("seen")
    (root / "mine.txt").write_text("edited by hand")
    looks = (
        "git status --porcelain; git ls-files; git diff --name-only HEAD^; git log --format=%s -2; git commit -qam x"
    )
    check = f"{{{{ {looks}; }}}} > {out} 2>&1 || true; echo x >> a.txt; ! git diff --exit-code > {out}.diff"
    plan = shared.executed("echo g > good", project=root, checks=[{"run": check}])
    before = shared.git(root, "rev-parse", "HEAD"), shared.git(root, "for-each-ref")

    shared.apply(plan)

    seen = out.read_text().splitlines()
    assert seen[:4] == ["a.txt", "good", "mine.txt", "good"]
    assert "+ax" in (out.parent / f"{out.name}.diff").read_text()
    assert (shared.git(root, "rev-parse", "HEAD"), shared.git(root, "for-each-ref")) == before
    assert (root / "a.txt").read_text() == "a"


# --- ends --------------------------------------------------------------------------------------------------------------


def test_failed_step_shows_its_last_lines_and_how_to_go_on(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(
        "for i in 1 2 3 4 5; do echo line $i; done; echo the reason >&2; exit 3", project=root, code=1
    )

    done = shared.run("plan", "wait", plan, code=1)

    assert "the reason" in done.err
    assert "exit 3" in done.err
    assert f"ca plan execute {plan}" in done.err
    failed = shared.data("plan", "errors", plan)["steps"]
    assert (failed[0]["exit_code"], failed[0]["tail"][-1]) == (3, "the reason")


def test_step_past_its_timeout_is_ended(shared: Home) -> None:
    run = "trap 'echo asked; exit 0' TERM; echo started; while :; do read x < hold; done"
    action = shared.action("mkfifo hold")
    action = shared.action(**steps({"id": "slow", "run": f"mkfifo hold; {run}", "timeout": "1s"}))

    plan = shared.use(action, shared.repository(), code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["step"]) == ("timed_out", "slow")
    assert "1 s" in error["message"]
    assert shared.step(plan, "slow")["state"] == "timed_out"
    assert "started" in shared.log(plan, "slow")


def test_children_in_the_background_are_ended_with_their_step(home: Home, tmp_path: Path) -> None:
    """A step is over when its own process is; what it left behind does not outlive it."""
    pid = tmp_path / "pid"
    plan = home.executed(f"sleep 300 & echo $! > {pid}; echo done")

    number = int(pid.read_text())
    assert home.log(plan, "s1") == "done\n"
    home.until(lambda: not _runs(number))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_cancel_reaches_the_whole_process_group(home: Home) -> None:
    """The command, its children and their children are gone when `plan cancel` returns."""
    gate = home.gate()
    pids = home.root / "pids"
    script = f"echo $$ >> {pids}; sh -c 'echo $$ >> {pids}; sleep 300 & echo $! >> {pids}; {gate.command}'"
    plan = home.use(home.action(f"sh -c {shlex.quote(script)}"), home.repository(), code=None)
    gate.wait()
    numbers = [int(line) for line in pids.read_text().split()]
    assert len(numbers) == 3
    assert all(_runs(number) for number in numbers)

    shown = home.data("plan", "cancel", plan, "--yes", "--reason", "wrong branch")

    assert (shown["phase"], shown["state"]) == ("execute", "cancelled")
    assert (shown["error"]["code"], shown["error"]["message"]) == ("cancelled", "wrong branch")
    assert not [number for number in numbers if _runs(number)]
    assert home.step_states(plan) == ["cancelled"]
    assert home.run("plan", "wait", plan, code=6).code == 6


def test_cancel_kills_what_ignores_the_request(home: Home) -> None:
    """After the grace period nothing is asked any more."""
    home.set("async.cancel-grace", "0.2")
    gate, pid = home.gate(), home.root / "pid"
    plan = home.use(
        home.action(f"trap '' TERM INT; echo $$ > {pid}; while :; do {gate.command}; done"),
        home.repository(),
        code=None,
    )
    gate.wait()
    number = int(pid.read_text())

    home.data("plan", "cancel", plan, "--yes")

    assert not _runs(number)
    assert home.position(plan) == "execute/cancelled"


def test_cancel_skips_the_steps_that_did_not_run(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action("true", gate.command, "true"), home.repository(), code=None)
    gate.wait()

    home.data("plan", "cancel", plan, "--yes")

    assert home.step_states(plan) == ["succeeded", "cancelled", "skipped"]


def test_step_that_deletes_its_sandbox_fails_with_a_sentence(shared: Home) -> None:
    """And the next attempt has a whole sandbox again."""
    root = shared.repository()
    marker = root.parent / shared.fresh("marker")
    action = shared.action(
        f'test -e {marker} || {{ touch {marker}; cd /; rm -rf "$CA_SANDBOX"; }}; test -e {marker}', "cat a.txt"
    )

    plan = shared.use(action, root, code=1)
    error = shared.plan(plan)["error"]

    assert (error["code"], error["step"]) == ("step_failed", "s1")
    assert "sandbox" in error["message"]
    assert shared.step_states(plan) == ["failed", "pending"]
    shared.run("plan", "execute", plan, "--wait")
    assert shared.log(plan, "s2") == "one\ntwo\nthree\n"


def test_large_output_is_kept_whole_and_costs_no_memory(home: Home) -> None:
    """20 MB go to a file, not through the daemon."""
    plan = home.executed("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo the end")

    step = home.step(plan, "s1")
    assert Path(step["log"]).stat().st_size == 20_000_009
    assert home.run("plan", "logs", plan, "--step", "s1").out.endswith("x\nthe end\n")
    daemon = next(found for found in home.processes() if found.pid == home.data("daemon", "status")["pid"])
    assert daemon.memory_info().rss < 120_000_000


def test_output_that_is_no_text_is_passed_on_byte_for_byte(shared: Home) -> None:
    plan = shared.executed("printf 'a\\377\\000b\\033[31mred\\n'")

    assert shared.log(plan, "s1").encode(errors="surrogateescape") == b"a\xff\x00b\x1b[31mred\n"
    text = shared.data("plan", "logs", plan)["steps"][0]["text"]
    assert "\\xff" in text


def test_program_that_does_not_exist_fails_with_127(shared: Home) -> None:
    plan = shared.executed("no-such-program-here --fast", code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], error["detail"]["exit_code"]) == ("step_failed", 127)
    assert any("no-such-program-here" in line for line in error["detail"]["tail"])


def test_shell_that_does_not_exist_is_refused_at_strategize(shared: Home) -> None:
    action = shared.action(**steps({"id": "s1", "run": "true", "shell": "no-such-shell"}))

    plan = shared.use(action, shared.repository(), code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], shared.position(plan)) == ("not_found", "strategize/errored")
    assert "no-such-shell" in error["message"]


def test_step_killed_by_a_signal_says_so(shared: Home) -> None:
    plan = shared.executed("kill -9 $$", code=1)

    error = shared.plan(plan)["error"]
    assert error["code"] == "step_failed"
    assert error["detail"]["exit_code"] == 137


def test_step_cannot_read_the_terminal(shared: Home) -> None:
    """Its standard input is empty, so nothing waits for somebody who is not there."""
    plan = shared.executed("cat; read x || echo nothing")

    assert shared.log(plan, "s1") == "nothing\n"


def test_a_prompt_that_nobody_can_carry_out_is_refused_at_strategize(shared: Home) -> None:
    """Nothing runs, and the error names the step and says what works instead."""
    step = {"id": "ask", "prompt": "Write a changelog entry."}
    action = shared.action(**steps({"id": "first", "run": "touch ran"}, step))

    plan = shared.use(action, shared.repository(), code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], shared.position(plan)) == ("invalid_action", "strategize/errored")
    assert step["id"] in error["message"]
    assert "run" in error["message"]


# --- several projects --------------------------------------------------------------------------------------------------


def test_step_runs_in_the_project_it_names(shared: Home) -> None:
    """Sandboxes lie side by side; the first project is where steps run that name none."""
    one, two = shared.repository(), shared.repository()
    action = shared.action(
        **steps(
            {"id": "here", "run": "echo first > made; echo $CA_PROJECT > name"},
            {"id": "there", "run": "echo second > made; echo $CA_PROJECT > name", "project": two.name},
        )
    )

    plan = shared.use(action, one, two)
    shared.apply(plan)

    assert ((one / "made").read_text(), (two / "made").read_text()) == ("first\n", "second\n")
    assert (two / "name").read_text() == f"local/{two.name}\n"
    paths = [Path(sandbox["path"]) for sandbox in shared.plan(plan)["sandboxes"]]
    assert paths[0].parent == paths[1].parent


def test_step_in_a_project_that_the_plan_has_not_is_refused(shared: Home) -> None:
    action = shared.action(**steps({"id": "there", "run": "true", "project": "elsewhere"}))

    plan = shared.use(action, shared.repository(), code=1)

    error = shared.plan(plan)["error"]
    assert (error["code"], shared.position(plan)) == ("invalid_action", "strategize/errored")
    assert "local/elsewhere" in error["message"]


# --- names and lists ---------------------------------------------------------------------------------------------------


def test_plan_is_found_by_id_part_of_id_and_name(shared: Home) -> None:
    plan = shared.use(shared.action("true"), shared.repository(), profile="manual", options=["--name", "findme"])
    plan_id = shared.plan(plan)["plan_id"]

    found = {shared.plan(text)["plan_id"] for text in (plan_id, plan_id.lower(), plan_id[-8:], "findme")}

    assert found == {plan_id}


def test_name_of_a_plan_is_taken_once(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true")
    shared.use(action, root, profile="manual", options=["--name", "taken-once"])

    error = shared.error("plan", "use", action, root.name, "--name", "taken-once", code=2)

    assert error["code"] == "invalid_argument"
    assert "taken-once" in error["message"]


def test_list_is_filtered_and_counted(home: Home) -> None:
    one, two = home.repository(), home.repository()
    action, other = home.action("echo x > x"), home.action("false")
    done, failed = home.use(action, one), home.use(other, two, code=1)
    waiting = home.use(action, two, profile="manual")

    def listed(*options: str) -> set[str]:
        found = home.data("plan", "list", *options)
        assert found["total"] >= len(found["plans"])
        return {plan["name"] for plan in found["plans"]}

    assert listed() == {done, failed, waiting}
    assert listed("--state", "errored") == {failed}
    assert listed("--phase", "strategize") == {waiting}
    assert listed("--project", two.name) == {failed, waiting}
    assert listed("--action", action) == {done, waiting}
    assert listed("--limit", "1") == {waiting}
    assert home.data("plan", "list", "--limit", "1")["total"] == 3
    assert "1 of 3" in home.run("plan", "list", "--limit", "1").out


def test_dry_run_shows_and_stores_nothing(shared: Home) -> None:
    root = shared.repository()
    action = shared.action("echo {word}", arguments=[{"name": "word", "required": True}], sandbox={"include": [".env"]})

    shown = shared.data("plan", "use", action, root.name, "--arg", "word=hello", "--dry-run", "--profile", "full-auto")

    assert (shown["arguments"], shown["automation_profile"], shown["include"]) == (
        {"word": "hello"},
        "full-auto",
        [".env"],
    )
    assert [step["id"] for step in shown["steps"]] == ["s1"]
    assert shared.data("plan", "list", "--project", root.name)["total"] == 0


def test_several_plans_are_moved_and_each_failure_is_told(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true")
    first, second = (shared.use(action, root, profile="manual") for _ in range(2))

    error = shared.error("plan", "cancel", first, "no-such-plan", second, "--yes", code=3)

    assert error["code"] == "not_found"
    assert [failed["plan"] for failed in error["detail"]["failed"]] == ["no-such-plan"]
    assert [shared.plan(plan)["state"] for plan in (first, second)] == ["cancelled", "cancelled"]


def test_follow_prints_the_whole_output_from_the_start(shared: Home) -> None:
    plan = shared.executed("echo first", "echo second >&2")

    done = shared.run("plan", "follow", plan)

    assert done.out.index("first") < done.out.index("second")


def test_interrupted_follow_leaves_the_plan_running(home: Home) -> None:
    """Ctrl-C stops following only, and says so."""
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    with home.spawn("plan", "follow", plan) as following:
        assert following.stderr is not None
        home.until(lambda: _has_subscribed(home))
        done = following.interrupt()

    assert done.code == 130
    assert "goes on" in done.err
    assert home.position(plan) == "execute/processing"
    gate.open()
    home.run("plan", "wait", plan)


def _has_subscribed(home: Home) -> bool:
    """Whether one follows: beside the socket itself there are the connection on which it asked and that on which it listens."""
    daemon = home.data("daemon", "status")
    connections = psutil.Process(daemon["pid"]).net_connections("unix")
    return len([found for found in connections if found.laddr == daemon["socket"]]) == 3


def test_use_with_follow_stays_until_the_plan_waits(shared: Home) -> None:
    root, action = shared.repository(), shared.action("echo hello from the step")

    done = shared.run("plan", "use", action, root.name, "--profile", "trusted", "--follow")

    assert "hello from the step" in done.out


def test_wait_that_times_out_exits_with_124(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()

    error = home.error("plan", "wait", plan, "--timeout", "0.1", code=124)

    assert error["code"] == "timed_out"
    assert home.position(plan) == "execute/processing"


def test_priority_goes_before_age(home: Home) -> None:
    home.set("async.max_workers", "1")
    order, gate, root = home.root / "order", home.gate(), home.repository()
    home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    action = home.action(f"echo $CA_ARG_WHO >> {order}", arguments=[{"name": "who"}])
    plans = [
        home.use(action, root, arguments={"who": who}, options=["--priority", priority], code=None)
        for who, priority in (("low", "0"), ("high", "5"), ("middle", "1"))
    ]

    gate.open()
    home.run("plan", "wait", *plans)

    assert order.read_text().split() == ["high", "middle", "low"]


def test_project_is_untouched_until_apply(shared: Home) -> None:
    root = shared.repository()
    before = tree(root)

    shared.executed("echo x > x; rm a.txt; chmod +x dir/b.txt", project=root)

    assert tree(root) == before
    assert shared.git(root, "status", "--porcelain") == ""


@pytest.mark.parametrize("how", ["removed", "a directory"])
def test_a_log_that_is_gone_is_said_and_stops_nothing(shared: Home, how: str) -> None:
    plan = shared.executed("echo hello; exit 3", code=1)
    log = Path(shared.step(plan, "s1")["log"])
    log.unlink()
    if how == "a directory":
        log.mkdir()

    done = shared.run("plan", "logs", plan)
    assert f"the log of step s1 is gone: {log}" in done.err
    assert "nothing was printed" not in done.err
    assert shared.data("plan", "logs", plan)["steps"][0]["text"] is None
    assert "its log is gone" in shared.run("plan", "errors", plan).out
    shared.run("job", "logs", shared.plan(plan)["job_id"])
    shared.run("plan", "follow", plan, code=1)
    shared.run("plan", "execute", plan, "--wait", code=1)
    assert shared.log(plan, "s1") == "hello\n"


def test_numbers_reach_commands_as_they_were_written(shared: Home) -> None:
    """In a document they are numbers; people read booleans as commands do."""
    declared = [
        {"name": "n", "type": "number", "required": True},
        {"name": "d", "type": "number", "default": 3},
        {"name": "b", "type": "boolean", "default": True},
    ]
    action = shared.action("echo {n} $CA_ARG_N {d} {b}", arguments=declared)
    root = shared.repository()

    plan = shared.use(action, root, arguments={"n": "0.10"})

    assert shared.log(plan, "s1") == "0.10 0.10 3 true\n"
    assert shared.plan(plan)["arguments"] == {"n": 0.1, "d": 3, "b": True}
    dry = shared.data("plan", "use", action, root.name, "--dry-run", "--arg", "n=1e3")
    assert (dry["arguments"], dry["tree"]["steps"][0]["run"]) == (
        {"n": 1000.0, "d": 3, "b": True},
        "echo 1e3 $CA_ARG_N 3 true",
    )
    assert [one["default"] for one in shared.data("action", "show", action)["arguments"]] == [None, 3, True]
    assert "n=0.1  d=3  b=true" in shared.run("plan", "show", plan).out
