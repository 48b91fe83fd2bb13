"""`ca run`: one command as a plan, from where one stands."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli import schemas
from tests.cli.test_terminal import on_terminal
from tests.homes import Home, put, unchanged


def made(home: Home, *words: str, cwd: Path | None = None, **settings: Any) -> dict[str, Any]:
    """The plan that `ca run` makes; the format stands before the command, for what comes after belongs to it."""
    document = json.loads(home.run("run", "--format", "json", *words, cwd=cwd, **settings).out)
    schemas.check(document)
    return document["data"]


def ran(home: Home, *words: str, cwd: Path, code: int = 0) -> str:
    """Run a command from a directory and wait until it ended so; the plan's name."""
    plan = made(home, *words, cwd=cwd)["name"]
    home.run("plan", "wait", plan, code=code)
    return plan


def test_command_runs_in_a_sandbox_and_nothing_is_applied(home: Home) -> None:
    """It is executed at once, the project is as it was, and its name counts up."""
    root = home.repository()

    with unchanged(root):
        plan = made(home, "--", "sh", "-c", "echo new > new.txt; echo $1", "x", "it's {a}", cwd=root)
        home.run("plan", "wait", plan["name"])

    assert (plan["name"], plan["action"], plan["projects"]) == ("run-1", "local/run", [f"local/{root.name}"])
    assert (plan["automation_profile"], plan["profile_source"]) == ("trusted", "run")
    assert home.log("run-1", "run") == "it's {a}\n"
    assert home.plan("run-1")["diff"]["files"] == 1
    assert home.plan("run-1")["steps"][0]["title"] == shlex.join(
        ["sh", "-c", "echo new > new.txt; echo $1", "x", "it's {a}"]
    )
    assert home.data("action", "list")["actions"] == []
    assert made(home, "true", cwd=root)["name"] == "run-2"


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["echo $((1 + 1)) | cat; echo ${HOME:+home} {{x}} {1..2}"], "2\nhome {{x}} {1..2}\n"),
        (["false || echo saved"], "saved\n"),
        (["echo", "a b", "$HOME", "*"], "a b $HOME *\n"),
        (["--", "echo", "--name", "-x"], "--name -x\n"),
        (["echo", "--wait"], "--wait\n"),
    ],
)
def test_one_word_is_shell_text_and_several_are_words(shared: Home, words: list[str], printed: str) -> None:
    """Text is the shell's, words arrive as they are, and braces are never placeholders."""
    assert shared.log(ran(shared, *words, cwd=shared.repository()), "run") == printed


def test_command_runs_in_the_directory_one_is_in(shared: Home) -> None:
    """The deepest project around it is the one, and the sandbox's directory is the same."""
    root = shared.repository({"a.txt": "a", "deep {x}/it's/b.txt": "b"})
    below = root / "deep {x}" / "it's"
    link = shared.work / shared.fresh("link")
    link.symlink_to(below)

    for where in (below, link):
        assert shared.log(ran(shared, "ls || echo gone", cwd=where), "run") == "b.txt\n"


def test_directory_that_the_sandbox_lacks_is_named(shared: Home) -> None:
    """An ignored or empty directory is not in the base, and the command does not run somewhere else instead."""
    root = shared.repository({"a.txt": "a", ".gitignore": "build\n", "build/x": "x"})

    plan = ran(shared, "echo no > ../a.txt; true", cwd=root / "build", code=1)

    assert "build is not in the sandbox" in shared.log(plan, "run")


def test_repository_that_nobody_registered_is_registered(shared: Home) -> None:
    """From anywhere below its root, once, with a sentence."""
    root = shared.work / shared.fresh("unknown")
    root.mkdir()
    shared.git(root, "init", "-q")
    put(root, {"sub/a.txt": "a"})
    shared.commit(root)

    told = shared.run("run", "ls", cwd=root / "sub").err
    again = shared.run("run", "ls", cwd=root).err

    assert f"registered {root} as the project local/{root.name}" in told
    assert "registered" not in again


def test_directory_of_no_project_is_refused_with_the_way_on(shared: Home) -> None:
    place = shared.work / shared.fresh("nowhere it's")
    place.mkdir()

    done = shared.run("run", "ls", cwd=place, code=3)

    assert f"ca project add {shlex.quote(str(place))}" in done.err


def test_sandbox_is_no_project_to_run_in(shared: Home) -> None:
    """It is a git repository too, and registering it would give a plan of one plan's leavings."""
    sandbox = shared.sandbox(shared.executed("true"))

    assert "sandbox" in shared.run("run", "ls", cwd=sandbox, code=2).err
    assert not [one for one in shared.data("project", "list")["projects"] if one["path"] == str(sandbox)]


def test_named_project_is_run_at_its_root_or_where_one_is_in_it(shared: Home) -> None:
    root, other = shared.repository(), shared.repository()

    for where, printed in ((shared.work, "a.txt\ndir\n"), (other, "a.txt\ndir\n"), (root / "dir", "b.txt\n")):
        assert shared.log(ran(shared, "--project", root.name, "ls", cwd=where), "run") == printed


@pytest.mark.parametrize(
    ("set_", "flag", "expected"),
    [
        ({}, [], ("trusted", "run")),
        ({}, ["--profile", "manual"], ("manual", "flag")),
        ({"CLEVERAGENTS_CORE_AUTOMATION_PROFILE": "supervised"}, [], ("supervised", "environment")),
    ],
)
def test_profile_is_the_flag_then_what_was_set_then_trusted(
    shared: Home, set_: dict[str, str], flag: list[str], expected: tuple[str, str]
) -> None:
    plan = made(shared, *flag, "true", cwd=shared.repository(), env=set_)

    assert (plan["automation_profile"], plan["profile_source"]) == expected


def test_profile_of_the_project_holds(shared: Home) -> None:
    root = shared.repository()
    shared.set("core.automation-profile", "manual", project=root.name)

    assert made(shared, "true", cwd=root)["profile_source"] == "project"


@pytest.mark.parametrize(("command", "code"), [("exit 7", 1), ("echo x > new.txt", 0)])
def test_waiting_ends_with_the_plans_exit_code(shared: Home, command: str, code: int) -> None:
    root = shared.repository()

    done = shared.run("run", "--name", name := shared.fresh("waited"), "--wait", command, cwd=root, code=code)

    if code == 0:
        assert "1 file +1" in done.out
        assert f"ca plan diff {name}" in done.out
    else:
        assert "exit 7" in done.err


def test_on_a_terminal_it_stays_and_says_what_changed_and_what_is_next(shared: Home) -> None:
    root = shared.repository()

    done = on_terminal(
        shared, "run", "--project", root.name, "--name", name := shared.fresh("seen"), "echo x > new.txt"
    )

    assert done.code == 0
    assert "1 file +1" in done.out
    assert f"ca plan diff {name}" in done.out


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        ([], 2, "needs CMD"),
        (["--folow", "ls"], 2, "did you mean --follow?"),
        (["  "], 2, "the command is empty"),
        (["--name", "Not A Name", "ls"], 2, "upper case"),
        (["--profile", "trustd", "ls"], 2, "trusted"),
        (["--project", "nonesuch", "ls"], 3, "nonesuch"),
        ([b"echo \xff".decode(errors="surrogateescape")], 2, "not UTF-8"),
    ],
)
def test_wrong_use_is_a_sentence(shared: Home, words: list[str], code: int, named: str) -> None:
    assert named in shared.run("run", *words, cwd=shared.repository(), code=code).err
