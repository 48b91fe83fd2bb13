"""`ca action`: create, list, show, validate, remove."""

import json

import pytest

from tests.homes import Home

WHOLE = """\
# Every key that an action may have.
name: {name}
description: Bring every package to the current lint rules
definition_of_done: ruff reports nothing
automation_profile: supervised
read_only: false
reusable: true
arguments:
  - {{name: rules, type: string, default: "UP,I", description: rule set}}
  - {{name: target, type: path, required: true}}
  - {{name: level, type: choice, choices: [low, high], default: low}}
invariants:
  - never edit generated files
sandbox:
  include: [".env", "config/local.toml"]
  setup: python -m venv .venv
env: {{PYTHONUTF8: "1"}}
steps:
  - id: fix
    run: ruff check --select {{rules}} --fix {{target}}
    timeout: 10m
  - id: test
    needs: [fix]
    run: pytest
    isolated: true
    retries: 2
checks:
  - run: ruff check {{target}}
"""


def test_created_action_is_shown_as_it_was_understood(shared: Home) -> None:
    name = shared.fresh("local/whole")
    path = shared.work / "whole.yaml"
    path.write_text(WHOLE.format(name=name))

    created = shared.data("action", "create", str(path))
    shown = shared.data("action", "show", name)

    assert created == shown
    assert (shown["name"], shown["namespace"], shown["source"], shown["revision"]) == (name, "local", "local", 1)
    assert [argument["name"] for argument in shown["arguments"]] == ["rules", "target", "level"]
    assert shown["steps"][0]["timeout"] == 600
    assert (shown["steps"][1]["needs"], shown["steps"][1]["retries"]) == (["fix"], 2)
    assert shown["sandbox"] == {"include": [".env", "config/local.toml"], "setup": "python -m venv .venv"}
    assert shown["invariants"] == ["never edit generated files"]


def test_namespace_defaults_to_local(shared: Home) -> None:
    stem = shared.fresh("bare")
    path = shared.write_action(name=stem, steps=[{"id": "s1", "run": "true"}])

    assert shared.data("action", "create", str(path))["name"] == f"local/{stem}"
    assert shared.data("action", "show", stem)["name"] == f"local/{stem}"


def test_same_content_again_says_so(shared: Home) -> None:
    path = shared.write_action(name=shared.fresh("again"), steps=[{"id": "s1", "run": "true"}])
    shared.data("action", "create", str(path))

    document = shared.document("action", "create", str(path))

    assert any("already" in message for message in document["messages"])
    assert document["data"]["revision"] == 1


def test_other_content_needs_update(shared: Home) -> None:
    path = shared.write_action(name=shared.fresh("other"), steps=[{"id": "s1", "run": "true"}])
    shared.data("action", "create", str(path))
    path.write_text(path.read_text().replace("true", "false"))

    error = shared.error("action", "create", str(path), code=4)
    updated = shared.data("action", "create", str(path), "--update")

    assert any("--update" in suggestion for suggestion in error["suggestions"])
    assert (updated["revision"], updated["steps"][0]["run"]) == (2, "false")


def test_plan_keeps_the_action_as_it_was(shared: Home) -> None:
    """An update reaches the next plan, not one that was made before."""
    root, name = shared.repository(), shared.fresh("kept")
    path = shared.write_action(name=name, steps=[{"id": "s1", "run": "echo old > out"}])
    shared.data("action", "create", str(path))
    before = shared.use(name, root, profile="supervised")
    path.write_text(path.read_text().replace("old", "new"))
    shared.data("action", "create", str(path), "--update")

    shared.run("plan", "execute", before, "--wait")

    assert (shared.sandbox(before) / "out").read_text() == "old\n"


def test_action_is_read_from_standard_input(shared: Home) -> None:
    name = shared.fresh("local/piped")

    created = shared.data(
        "action", "create", "-", feed=json.dumps({"name": name, "steps": [{"id": "s", "run": "true"}]})
    )

    assert created["name"] == name
    for verb in ("create", "validate"):
        error = shared.error("action", verb, "-", code=2, feed="")
        assert "standard input" in error["message"]
        assert error["suggestions"] == ["ca action validate -"]


def test_validate_registers_nothing(shared: Home) -> None:
    name = shared.fresh("local/valid")
    path = shared.write_action(name=name, steps=[{"id": "s1", "run": "true"}])

    assert shared.data("action", "validate", str(path))["name"] == name
    assert shared.error("action", "show", name, code=3)["code"] == "not_found"


def test_removed_action_is_gone_and_its_plans_go_on(shared: Home) -> None:
    root, action = shared.repository(), shared.action("echo x > x")
    plan = shared.use(action, root, profile="supervised")

    removed = shared.document("action", "remove", action, "--yes")

    assert removed["data"] == {"name": action, "removed": True}
    assert any("own copy" in message for message in removed["messages"])
    assert shared.error("plan", "use", action, root.name, code=3)["code"] == "not_found"
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "execute/complete"


def test_list_has_every_action_in_both_formats(home: Home) -> None:
    assert home.data("action", "list") == {"actions": [], "total": 0}
    assert "ca action create" in home.run("action", "list").out

    names = [home.action("true", name=name) for name in ("local/zeta", "team/alpha", "local/beta")]

    listed = home.data("action", "list")
    assert (sorted(action["name"] for action in listed["actions"]), listed["total"]) == (sorted(names), 3)
    text = home.run("action", "list").out
    assert all(name.removeprefix("local/") in text for name in names)


def test_unknown_action_names_the_nearest(shared: Home) -> None:
    shared.action("true", name="local/modernise")

    error = shared.error("action", "show", "modernize", code=3)

    assert "modernise" in error["message"]


def test_remove_asks_on_a_terminal_only(shared: Home) -> None:
    action = shared.action("true")

    assert shared.error("action", "remove", action, code=2)["code"] == "usage"
    assert shared.data("action", "show", action)["name"] == action


@pytest.mark.parametrize(
    ("type_", "given", "kept"),
    [
        ("string", "x y", "x y"),
        ("integer", "-3", -3),
        ("number", "0.5", 0.5),
        ("boolean", "yes", None),
        ("boolean", "true", True),
        ("path", "src/a b", "src/a b"),
        ("choice", "low", "low"),
    ],
)
def test_argument_has_the_type_that_it_declares(shared: Home, type_: str, given: str, kept: object) -> None:
    argument = {"name": "v", "type": type_, "required": True}
    action = shared.action(
        "echo {v}", arguments=[argument | ({"choices": ["low", "high"]} if type_ == "choice" else {})]
    )
    root = shared.folder()

    document = shared.document("plan", "use", action, root.name, "--arg", f"v={given}", "--dry-run", code=None)

    if kept is None:
        assert document["data"]["arguments"]["v"] is True if document["status"] == "ok" else document["exit_code"] == 2
    else:
        assert document["data"]["arguments"] == {"v": kept}


def test_the_example_that_is_shown_to_beginners_is_one(home: Home) -> None:
    """Copied as it stands into a file it is an action, and its argument is asked for."""
    shown = home.run("action", "list").out
    lines = [line.removeprefix("  ") for line in shown.splitlines() if line.startswith("  ")]
    path = home.work / "tidy.yaml"
    path.write_text("\n".join(lines) + "\n")
    home.run("action", "create", str(path))

    project = home.repository()
    out = home.run("plan", "use", "tidy", project.name, "--arg", "target=src", "--dry-run").out
    assert "ruff check --fix src" in out
