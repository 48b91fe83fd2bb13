"""Bad input: each gets a sentence that says what is wrong and what to do, the right exit code, and never a traceback."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.homes import Home, unchanged

HEAD = "name: local/bad\n"
STEP = "steps:\n  - id: s1\n    run: 'true'\n"

FILES: dict[str, tuple[str | bytes, list[str]]] = {
    "unknown key": (f"{HEAD}descripton: x\n{STEP}", ["line 2", "descripton", "description"]),
    "unknown key of a step": (f"{HEAD}steps:\n  - id: s1\n    rum: x\n", ["line 4", "rum", "run"]),
    "cycle": (
        f"{HEAD}steps:\n  - {{id: a, run: x, needs: [b]}}\n  - {{id: b, run: x, needs: [a]}}\n",
        ["wait for each other", "a -> b -> a"],
    ),
    "itself": (f"{HEAD}steps:\n  - {{id: a, run: x, needs: [a]}}\n", ["a -> a"]),
    "missing step": (
        f"{HEAD}steps:\n  - {{id: build, run: x}}\n  - {{id: b, run: x, needs: [buid]}}\n",
        ["buid", "build"],
    ),
    "duplicate step": (f"{HEAD}steps:\n  - {{id: a, run: x}}\n  - {{id: a, run: x}}\n", ["line 4", "line 3"]),
    "tab": (f"{HEAD}steps:\n\t- id: s1\n\t  run: x\n", ["line 3", "tab", "spaces"]),
    "two MiB": (f"{HEAD}description: {'x' * (2 << 20)}\n{STEP}", ["1 MiB"]),
    "name that is a path": (f"name: ../x\n{STEP}", ["line 1", "../x", "name"]),
    "no name": (STEP, ["name", "missing"]),
    "no steps": (HEAD, ["steps", "at least one"]),
    "empty": ("", ["empty"]),
    "a list": ("- a\n- b\n", ["mapping"]),
    "not UTF-8": (HEAD.encode() + b"description: caf\xe9\n", ["line 2", "UTF-8"]),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0\0", ["UTF-8"]),
    "wrong type": (f"{HEAD}reusable: maybe\n{STEP}", ["line 2", "reusable", "true or false"]),
    "number as text": (f"{HEAD}description: 1.0\n{STEP}", ["line 2", "quotes"]),
    "bad duration": (f"{HEAD}steps:\n  - {{id: a, run: x, timeout: soon}}\n", ["timeout", "10m"]),
    "two kinds": (f"{HEAD}steps:\n  - {{id: a, run: x, prompt: y}}\n", ["one of", "prompt"]),
    "unknown placeholder": (f"{HEAD}steps:\n  - {{id: a, run: 'echo {{rulez}}'}}\n", ["rulez"]),
    "alias": (f"{HEAD}env: &a {{A: b}}\n{STEP}", ["line 2"]),
    "unclosed quote": (f'{HEAD}description: "x\n{STEP}', ["quote"]),
    "our own variable": (f"{HEAD}env: {{CA_PLAN_ID: x}}\n{STEP}", ["CA_PLAN_ID"]),
    "include outside": (f"{HEAD}sandbox: {{include: [../secret]}}\n{STEP}", ["../secret"]),
}


@pytest.mark.parametrize("what", list(FILES))
def test_action_file_is_refused_with_its_place(shared: Home, what: str) -> None:
    """File, line where known, key, and the nearest valid one; nothing is registered."""
    content, named = FILES[what]
    path = shared.work / "bad.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)

    error = shared.error("action", "create", str(path), code=2)
    done = shared.run("action", "validate", str(path), code=2)

    assert error["code"] == "invalid_action"
    assert "bad.yaml" in error["message"]
    assert [word for word in named if word not in error["message"]] == [], error["message"]
    assert error["message"].split("\n")[0] in done.err
    assert shared.error("action", "show", "local/bad", code=3)["code"] == "not_found"


def test_action_file_that_is_not_there(shared: Home) -> None:
    error = shared.error("action", "create", "nowhere.yaml", code=3)

    assert error["code"] == "not_found"
    assert "nowhere.yaml" in error["message"]


def test_action_file_that_is_a_directory(shared: Home) -> None:
    document = shared.document("action", "create", str(shared.work), code=None)

    assert document["error"]["code"] != "internal", document
    assert str(shared.work) in document["error"]["message"]


@pytest.mark.parametrize(
    ("given", "option", "suggested"),
    [
        (["sync", "resolve", "action", "x"], "--take", "ca sync resolve KIND NAME --take SIDE"),
        (["server", "token", "create"], "--namespace", "ca server token create --namespace N"),
    ],
)
def test_option_that_is_missing_is_named_and_suggested(
    shared: Home, given: list[str], option: str, suggested: str
) -> None:
    error = shared.error(*given, code=2)

    assert f"needs {option}" in error["message"]
    assert suggested in error["suggestions"]


ARGUMENTS = [
    {"name": "target", "type": "path", "required": True, "description": "where to work"},
    {"name": "count", "type": "integer", "default": 1},
    {"name": "ratio", "type": "number", "default": 0.5},
    {"name": "dry", "type": "boolean", "default": False},
    {"name": "level", "type": "choice", "choices": ["low", "high"], "default": "low"},
]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], ["target", "required", "where to work"]),
        (["target=src", "cuont=1"], ["cuont", "count"]),
        (["target=src", "count=many"], ["count", "whole number", "many"]),
        (["target=src", "count=1.5"], ["count", "whole number"]),
        (["target=src", "ratio=half"], ["ratio", "number"]),
        (["target=src", "dry=perhaps"], ["dry", "true or false"]),
        (["target=src", "level=medium"], ["level", "low, high"]),
        (["target=/etc"], ["target", "relative"]),
        (["target=../other"], ["target", "inside the project"]),
        (["target="], ["target", "empty"]),
        (["target=$(touch pwned)\n'; \"x", "count=$(touch pwned)"], ["count", "whole number"]),
        (["target=src", f"count={'9' * 40}"], ["count", "18 digits"]),
    ],
)
def test_argument_is_refused_by_name(shared: Home, given: list[str], named: list[str]) -> None:
    """No plan is made."""
    action = _action(shared)
    root = shared.folder()

    options = [word for pair in given for word in ("--arg", pair)]
    error = shared.error("plan", "use", action, root.name, *options, code=2)

    assert error["code"] == "invalid_argument"
    assert [word for word in named if word not in error["message"]] == [], error["message"]
    assert error["suggestions"]
    assert shared.data("plan", "list", "--project", root.name)["total"] == 0


_actions: dict[int, str] = {}


def _action(home: Home) -> str:
    if id(home) not in _actions:
        _actions[id(home)] = home.action("echo {target}", arguments=ARGUMENTS)
    return _actions[id(home)]


def test_same_argument_twice_is_not_silently_halved(shared: Home) -> None:
    """The last one counts or it is refused; what was taken is shown."""
    document = shared.document(
        "plan",
        "use",
        _action(shared),
        shared.folder().name,
        "--arg",
        "target=a",
        "--arg",
        "target=b",
        "--dry-run",
        code=None,
    )

    assert document["exit_code"] == 2 or document["data"]["arguments"]["target"] == "b"


@pytest.mark.parametrize("name", ["../x", "Über Plan", "", "a b", "x" * 65, "-x", "01m7y5gfs60nxv5kxk4e1bhvv6"])
def test_plan_name_that_is_none_is_refused(shared: Home, name: str) -> None:
    root, action = shared.folder(), shared.action("true")

    error = shared.error("plan", "use", action, root.name, f"--name={name}", code=2)

    assert error["code"] == "invalid_argument"
    assert "name" in error["message"]


def test_project_named_twice_is_refused(shared: Home) -> None:
    root, action = shared.folder(), shared.action("true")

    assert shared.error("plan", "use", action, root.name, root.name, code=2)["code"] == "invalid_argument"


@pytest.mark.parametrize("number", [str(2**63), str(-(2**63) - 1), str(10**30)])
@pytest.mark.parametrize(
    "words",
    [["plan", "use", "any", "any", "--priority"], ["lock", "renew", "any", "--fence"], ["plan", "list", "--limit"],
     ["job", "list", "--limit"], ["events", "--limit"], ["events", "--since"]],
    ids=" ".join,
)  # fmt: skip
def test_number_that_fits_nowhere_is_refused(shared: Home, words: list[str], number: str) -> None:
    error = shared.error(*words, number, code=2)

    assert error["code"] == "usage"
    assert words[-1] in error["message"]
    assert number in error["message"]


@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
@pytest.mark.parametrize(
    "words",
    [["plan", "wait", "any", "--timeout"], ["job", "wait", "any", "--timeout"], ["daemon", "stop", "--grace"],
     ["lock", "acquire", "any", "--wait"], ["server", "stop", "--timeout"]],
    ids=" ".join,
)  # fmt: skip
def test_time_that_is_no_number_is_refused(shared: Home, words: list[str], number: str) -> None:
    error = shared.error(*words, number, code=2)

    assert error["code"] == "usage"
    assert words[-1] in error["message"]


def test_argument_that_is_not_utf_8_is_a_sentence(shared: Home) -> None:
    """Bytes of the command line that are no text reach nobody as a crash."""
    for arguments in (["plan", "show", "\udcff\udcfe"], ["project", "add", "\udcff"], ["plan", "use", "\udcff", "x"]):
        document = shared.document(*arguments, code=None)

        assert document["exit_code"] in {2, 3}
        assert document["error"]["code"] != "internal", document


def test_very_long_name_is_a_sentence(shared: Home) -> None:
    document = shared.document("plan", "show", "x" * 100_000, code=None)

    assert document["error"]["code"] == "not_found"
    assert len(document["error"]["message"]) < 1000


# --- projects that went away or changed ----------------------------------------------------------------------------------


def test_project_that_is_gone_is_told_at_strategize(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true")
    away = root.rename(root.with_name(f"{root.name}-gone"))

    plan = shared.use(action, root, profile="supervised", code=1)

    error = shared.plan(plan)["error"]
    assert error["code"] == "not_found"
    assert str(root) in error["message"]
    away.rename(root)
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "strategize/complete"


def test_project_that_is_a_file_now_is_told(shared: Home) -> None:
    root, action = shared.folder(), shared.action("true")
    shutil.rmtree(root)
    root.write_text("a file\n")

    plan = shared.use(action, root, profile="supervised", code=1)

    error = shared.plan(plan)["error"]
    assert error["code"] in {"not_found", "invalid_argument"}, error
    assert str(root) in error["message"]


def test_project_whose_git_is_gone_is_told(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true")
    (root / ".git").rename(root / "no-git")

    plan = shared.use(action, root, profile="supervised", code=1)

    error = shared.plan(plan)["error"]
    assert error["code"] != "internal", error
    assert root.name in error["message"]


# --- git -----------------------------------------------------------------------------------------------------------------


def other_git(home: Home, script: str) -> dict[str, str]:
    """An environment in which `git` is a script, and every other program as before."""
    directory = home.root / home.fresh("path")
    directory.mkdir()
    for path in home.environ["PATH"].split(":"):
        for program in Path(path).glob("*") if Path(path).is_dir() else ():
            if program.name != "git" and not (directory / program.name).exists():
                (directory / program.name).symlink_to(program)
    if script:
        (directory / "git").write_text(script)
        (directory / "git").chmod(0o755)
    return {"PATH": str(directory)}


def test_missing_git_is_told_at_the_start(home: Home) -> None:
    error = home.error("plan", "list", code=5, env=other_git(home, ""))

    assert error["code"] == "daemon_unavailable"
    assert "git" in error["message"]
    home.until(lambda: not home.processes())


def test_old_git_is_told_at_the_start(home: Home) -> None:
    error = home.error("plan", "list", code=5, env=other_git(home, "#!/bin/sh\necho git version 2.20.1\n"))

    assert "2.20.1" in error["message"]
    assert "2.39" in error["message"]
    assert any("newer git" in suggestion for suggestion in error["suggestions"])
    home.until(lambda: not home.processes())


def test_git_that_says_nothing_is_told_at_the_start(home: Home) -> None:
    error = home.error("plan", "list", code=5, env=other_git(home, "#!/bin/sh\nexit 3\n"))

    assert "git" in error["message"]


def test_variables_of_git_do_not_reach_ours(home: Home) -> None:
    """A caller inside of a hook has GIT_DIR and the like set."""
    root, other = home.repository(), home.repository()
    confusing = {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / ".git" / "index"),
        "GIT_OBJECT_DIRECTORY": str(other / ".git" / "objects"),
    }
    home.data("daemon", "stop")

    with unchanged(other):
        home.data("daemon", "start", env=confusing)
        plan = home.use(home.action("echo x > x"), root)
        home.apply(plan)

    assert (root / "x").read_text() == "x\n"


# --- homes and directories -----------------------------------------------------------------------------------------------


def test_two_homes_side_by_side_do_not_meet(home: Home) -> None:
    with Home() as other:
        root = home.repository()
        other.data("project", "add", str(root), "--name", "mine")
        first, second = (
            home.use(home.action("echo x > x"), root),
            other.use(other.action("echo y > y"), other.repository()),
        )

        assert home.data("daemon", "status")["pid"] != other.data("daemon", "status")["pid"]
        assert home.data("plan", "list")["total"] == other.data("plan", "list")["total"] == 1
        assert home.plan(first)["plan_id"] != other.plan(second)["plan_id"]
        other.data("daemon", "stop")
        assert home.data("daemon", "status")["running"] is True


def test_command_in_a_directory_that_is_gone(home: Home) -> None:
    """Commands that need no directory work; the one that does says what is wrong."""
    script = 'mkdir gone && cd gone && rmdir ../gone && "$@"'

    assert home.run_shell(script, "plan", "list").code == 0
    added = home.run_shell(script, "project", "add", "--format", "json")
    assert added.code in {2, 3}
    assert '"status":"error"' in added.out
    assert "internal" not in added.out
    assert "Traceback" not in added.err


def test_daemon_started_from_a_directory_that_goes_away_lives_on(home: Home) -> None:
    done = home.run_shell('mkdir gone && cd gone && "$@" && rmdir ../gone', "daemon", "start")

    assert done.code == 0
    assert home.position(home.executed("echo x > x")) == "execute/complete"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[core\n", ["line 1"]),
        ("core = 3\n[core]\n", ["line 2"]),
        ("[core]\nformat = 'xml'\n", ["core.format", "json"]),
    ],
)
def test_broken_configuration_is_told_with_its_place(home: Home, content: str, named: list[str]) -> None:
    """A daemon that runs goes on; what needs the key says where the file is broken; the file is not overwritten."""
    plan = home.executed("echo x > x")
    config = home.home / "config" / "config.toml"
    config.write_text(content)

    shown: dict[str, Any] = home.error("config", "get", "core.format", code=2)

    assert shown["code"] == "invalid_config"
    assert "config.toml" in shown["message"]
    assert [word for word in named if word not in shown["message"]] == [], shown["message"]
    assert home.plan(plan)["name"] == plan
    home.run("config", "set", "lock.ttl", "20", code=None)
    assert content in config.read_text()


def test_daemon_does_not_start_with_a_broken_configuration(home: Home) -> None:
    """And says which file and line, instead of a time-out."""
    config = home.home / "config" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[core\n")

    document = home.document("plan", "list", code=None)

    assert document["exit_code"] in {2, 5}
    assert "config.toml" in document["error"]["message"]
    assert "line 1" in document["error"]["message"]
