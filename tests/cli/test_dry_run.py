"""`ca plan use --dry-run`: the whole tree that would run, told to people and programs; nothing is stored or left behind."""

import os
from typing import Any

import pytest

from tests.homes import Home, put, unchanged


def nested(home: Home, for_each: object, **keys: Any) -> str:
    """An action with a child for each item, which has a child of its own."""
    leaf = home.action("echo {x}", arguments=[{"name": "x"}])
    inner = {"action": leaf, "for_each": ["l"], "arguments": {"x": "leaf of {where}"}}
    middle = home.action(
        arguments=[{"name": "where", "type": "path"}],
        sandbox={"include": ["child.env"], "setup": "echo {where}"},
        steps=[{"id": "fix", "run": "fix {where}"}, {"id": "deep", "subplans": inner}],
    )
    subplans = {"action": middle, "for_each": for_each, "arguments": {"where": "{item}"}, **keys}
    return home.action(
        sandbox={"include": [".env", "local/x.toml"]},
        steps=[{"id": "each", "paths": ["{item}", "shared"], "subplans": subplans}, {"id": "last", "run": "echo last"}],
        checks=[{"run": "make check"}],
    )


def left(home: Home) -> list[str]:
    """What dry runs have left: refs in private repositories, checkouts and logs."""
    repositories = list((home.home / "data" / "repos").iterdir())
    refs = [home.git(path, "for-each-ref", "refs/cleveragents/plans") for path in repositories]
    boxes = [path.name for path in (home.home / "data" / "sandboxes").iterdir() if path.name != ".pool"]
    return [*filter(None, refs), *boxes, *(path.name for path in (home.home / "state").glob("dry-run*"))]


def test_whole_tree_is_told_and_nothing_is_left(home: Home) -> None:
    root = home.repository({"src/a/x": "", "src/b/y": "", ".gitignore": "*.env\n"})
    put(root, {".env": "KEY=secret", "src/c/new": ""})
    os.mkfifo(root / "src" / "pipe")
    action = nested(home, {"glob": "src/*/"}, fail_fast=True, retries=2, timeout="30m", max_parallel=3)

    with unchanged(root):
        found = home.data("plan", "use", action, root.name, "--dry-run")

    assert home.data("plan", "list")["total"] == 0
    assert left(home) == []
    (base,) = found["base"]
    head = home.git(root, "rev-parse", "HEAD")
    assert (base["head"], base["branch"], base["modified"], base["strategy"]) == (head, "main", 1, "clone")
    assert base["uncarried"] == ["src/pipe: is a FIFO"]
    assert found["checks"] == [{"name": "check 1", "run": "make check"}]
    assert found["plans"] == 7
    tree = found["tree"]
    assert (tree["include"], tree["missing"]) == ([".env", "local/x.toml"], {f"local/{root.name}": ["local/x.toml"]})
    each = tree["steps"][0]["subplans"]
    limits = {key: each[key] for key in ("mode", "max_parallel", "fail_fast", "merge", "retries", "timeout")}
    assert limits == {
        "mode": "parallel", "max_parallel": 3, "fail_fast": True, "merge": "git_three_way", "retries": 2, "timeout": 1800,
    }  # fmt: skip
    assert each["overlaps"] == [{"path": "shared", "items": ["src/a", "src/b", "src/c"], "below": []}]
    last = each["children"][-1]
    assert (last["item"], last["paths"], last["plan"]["arguments"]) == (
        "src/c",
        ["src/c", "shared"],
        {"where": "src/c"},
    )
    assert (last["plan"]["setup"], last["plan"]["steps"][0]["run"]) == ("echo src/c", "fix src/c")
    (leaf,) = last["plan"]["steps"][1]["subplans"]["children"]
    assert (leaf["item"], leaf["plan"]["steps"][0]["run"]) == ("l", "echo 'leaf of src/c'")


def test_tree_is_readable(shared: Home) -> None:
    """Ten of many children are shown, all when they are asked for; what is missing is marked."""
    root = shared.repository({"a": ""})
    action = nested(shared, [f"item-{number:02}" for number in range(12)], mode="sequential")

    def told(*options: str) -> str:
        return shared.run("plan", "use", action, root.name, "--dry-run", *options).out

    text = told()
    for part in (
        "25 plans", "12 plans of act", "sequential", "local/x.toml (missing)", "main", "make check", "fix item-00",
        "├─ item-00  where=item-00", "echo 'leaf of item-09'", "… 2 more plans; --all shows them",
    ):  # fmt: skip
        assert part in text, part
    assert "item-10" not in text
    assert "fix item-11" in told("--all")


def test_all_goes_with_a_dry_run(shared: Home) -> None:
    error = shared.error("plan", "use", shared.action("true"), shared.repository().name, "--all", code=2)
    assert error["code"] == "usage"


def test_steps_of_an_actor_are_not_known_yet(shared: Home) -> None:
    """The actor is not asked: it may take its time, and cost money."""
    asked = shared.root / shared.fresh("asked")
    actor = shared.write_action(name=shared.fresh("local/planner"), type="command", command=["touch", str(asked)])
    name = shared.data("actor", "create", str(actor))["name"]
    action, root = shared.action(strategy_actor=name, steps=[]), shared.repository()

    found = shared.data("plan", "use", action, root.name, "--dry-run")

    assert (found["tree"]["decided_by"], found["tree"]["steps"]) == (name, [])
    assert f"decided by {name}" in shared.run("plan", "use", action, root.name, "--dry-run").out
    assert not asked.exists()


@pytest.mark.parametrize(
    ("run", "code", "words"),
    [
        ("echo half; echo why >&2; exit 3", "step_failed", "why"),
        ("echo a; echo a", "invalid_action", "comes twice: 'a'"),
    ],
)
def test_what_would_fail_fails_and_leaves_nothing(home: Home, run: str, code: str, words: str) -> None:
    root, action = home.repository(), nested(home, {"run": run})

    with unchanged(root):
        error = home.error("plan", "use", action, root.name, "--dry-run", code=1 if code == "step_failed" else 2)

    assert (error["code"], words in error["message"], "step each of" in error["message"]) == (code, True, True)
    assert left(home) == []


def test_folder_and_repository_are_both_looked_at(shared: Home) -> None:
    """A file that one of the projects has is not missing."""
    root, folder = shared.repository(), shared.folder({"x/local.toml": "", "local/x.toml": ""})
    action = nested(shared, ["a"])

    found = shared.data("plan", "use", action, folder.name, root.name, "--dry-run")

    assert [(base["head"] is None, base["branch"]) for base in found["base"]] == [(True, None), (False, "main")]
    assert set(found["tree"]["missing"]) == {f"local/{folder.name}", f"local/{root.name}"}
    text = shared.run("plan", "use", action, folder.name, root.name, "--dry-run").out
    assert "local/x.toml (missing)" not in text
    assert ".env (missing)" in text
