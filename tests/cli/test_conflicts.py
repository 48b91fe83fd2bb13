"""`ca plan conflicts` and `ca plan resolve`: what does not fit is shown with its versions, and goes on as it was settled."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cli import colliding
from tests.cli.colliding import LINES
from tests.homes import Home, put, unchanged

ONE, TWO = LINES.replace("5", "ONE"), LINES.replace("5", "TWO")


def listed(home: Home, plan: str) -> dict[str, dict[str, Any]]:
    """The conflicts of a plan by their paths."""
    found = home.data("plan", "conflicts", plan)
    assert found["total"] == len(found["conflicts"])
    return {one["path"]: one for one in found["conflicts"]}


def result(home: Home, plan: str) -> dict[str, str]:
    """The files of a plan after it went on to its end."""
    home.run("plan", "execute", plan, "--wait")
    sandbox = home.sandbox(plan)
    found = [path for path in sandbox.rglob("*") if path.is_file() and ".git" not in path.relative_to(sandbox).parts]
    return {str(path.relative_to(sandbox)): path.read_text(errors="surrogateescape") for path in found}


def checkout(home: Home, plan: str) -> Path:
    """Where the conflicts of a plan on one project can be edited."""
    (directory,) = home.data("plan", "conflicts", plan)["checkouts"].values()
    return Path(directory)


def test_a_conflict_is_shown_with_its_three_versions(shared: Home) -> None:
    """The list says which child and where to edit; with a file the texts come, for people as two differences."""
    plan = colliding.plan(shared)

    (one,) = listed(shared, plan).values()
    assert (one["kind"], one["status"], one["taken"]) == ("content", "open", None)
    assert (one["child_name"], one["item"]) == (f"{plan}.2", "two")
    (whole,) = shared.data("plan", "conflicts", plan, "f")["conflicts"]
    assert [whole[side]["text"] for side in ("base", "parent", "child")] == [LINES, ONE, TWO]
    text = shared.run("plan", "conflicts", plan).out
    assert f"{plan}.2 (two) does not fit into {plan}: 1 file, 1 open" in text
    assert f"ca plan resolve {plan} f --take " in text
    assert str(checkout(shared, plan)) in text
    shown = shared.run("plan", "conflicts", plan, "f").out
    assert "-line 5\n+line ONE\n" in shown
    assert "-line 5\n+line TWO\n" in shown


def test_the_versions_that_were_chosen_enter_the_plan(shared: Home) -> None:
    """Each file as it was settled; each choice is a decision, and part of the diff to review."""
    expected = {"parent": ONE, "child": TWO, "base": LINES, "file": "mine\n"}
    project = shared.repository(dict.fromkeys(expected, LINES))
    edits = {item: f"sed -i s/5/{item.upper()}/ *" for item in ("one", "two")}
    plan = colliding.plan(shared, edits, project)
    (shared.work / "mine").write_text("mine\n")

    for name in expected:
        take = "./mine" if name == "file" else name
        settled = shared.data("plan", "resolve", plan, name, "--take", take)
        assert (settled["path"], settled["status"], settled["taken"]) == (name, "resolved", name)
    assert shared.position(plan) == "execute/errored"

    assert result(shared, plan) == expected
    assert [file["path"] for file in shared.data("plan", "diff", plan)["files"]] == ["child", "file", "parent"]
    decisions = shared.data("plan", "tree", plan)["decisions"]
    asked = [one["question"] for one in decisions if one["kind"] == "user_intervention"]
    assert [any(f"{name}?" in question for question in asked) for name in expected] == [True] * 4
    assert listed(shared, plan) == {}


def test_a_file_is_edited_in_the_checkout(shared: Home) -> None:
    """Its markers name both sides; as long as one is left it is not taken. Then the checkout is gone."""
    plan = colliding.plan(shared)
    place = checkout(shared, plan)
    assert f"<<<<<<< parent {plan}\nline ONE\n||||||| base\nline 5\n=======\n" in (place / "f").read_text()
    assert f"line TWO\n>>>>>>> child {plan}.2 (two)\n" in (place / "f").read_text()

    assert "markers" in shared.error("plan", "resolve", plan, "f", "--take", "edited", code=2)["message"]
    put(place, {"f": "both\n"})
    (place / "f").chmod(0o755)
    assert checkout(shared, plan) == place
    shared.data("plan", "resolve", plan, "f", "--take", "edited")

    assert result(shared, plan) == {"f": "both\n"}
    assert os.access(shared.sandbox(plan) / "f", os.X_OK)
    assert not place.exists()


def test_a_choice_can_be_made_again_until_the_plan_goes_on(shared: Home) -> None:
    """The last one counts; what was settled stays settled when the plan is executed with others open."""
    edits = {item: f"{edit}; echo {item} > n" for item, edit in colliding.EDITS.items()}
    plan = colliding.plan(shared, edits)

    for take in ("parent", "child"):
        shared.data("plan", "resolve", plan, "f", "--take", take)
    assert shared.messages("plan", "resolve", plan, "f", "--take", "base") == [
        f"1 more to settle: ca plan conflicts {plan}"
    ]
    shared.run("plan", "execute", plan, "--wait", code=1)
    assert {path: one["taken"] for path, one in listed(shared, plan).items()} == {"f": "base", "n": None}
    assert shared.messages("plan", "resolve", plan, "n", "--take", "child") == [
        f"every conflict is settled; go on with: ca plan execute {plan}"
    ]

    assert result(shared, plan) == {"f": LINES, "n": "two\n"}


@pytest.mark.parametrize(
    ("late", "asked_again", "end"),
    [("echo late > n", False, {"f": TWO, "n": "late\n"}), ("sed -i s/0/ZERO/ f", True, {"f": TWO})],
)
def test_a_choice_holds_as_long_as_the_plan_has_what_it_was_made_on(
    shared: Home, late: str, end: dict[str, str], *, asked_again: bool
) -> None:
    """An earlier child that failed is run again and enters first; the file is asked for anew only if it changed it."""
    ok = shared.work / shared.fresh("ok")
    plan = colliding.plan(shared, {"late": f"[ -e {ok} ] || exit 3; {late}", **colliding.EDITS})
    shared.data("plan", "resolve", plan, "f", "--take", "child")
    ok.touch()

    if asked_again:
        shared.run("plan", "execute", plan, "--wait", code=1)
        (whole,) = shared.data("plan", "conflicts", plan, "f")["conflicts"]
        assert (whole["taken"], whole["parent"]["text"]) == (None, ONE.replace("0", "ZERO"))
        shared.data("plan", "resolve", plan, "f", "--take", "child")

    assert result(shared, plan) == end


def test_several_files_are_settled_at_once(shared: Home) -> None:
    """A rename to two names is three files; one side taken for all of them gives that side."""
    plan = colliding.plan(shared, {"one": "mv f one", "two": "mv f two"})
    assert {one["kind"] for one in listed(shared, plan).values()} == {"rename"}

    settled = shared.data("plan", "resolve", plan, *listed(shared, plan), "--take", "child")

    assert ([one["path"] for one in settled["conflicts"]], settled["total"]) == (["f", "one", "two"], 3)
    assert result(shared, plan) == {"two": LINES}


def test_names_and_contents_of_any_bytes(shared: Home) -> None:
    """A path that is no UTF-8 is shown so that it can be typed; binary content has no text; neither is printed raw."""
    edits = {item: f"printf 'x\\0{item}' > \"$(printf 'a \\033[31m\\377')\"" for item in ("one", "two")}
    plan = colliding.plan(shared, edits)

    ((path, one),) = listed(shared, plan).items()

    assert base64.b64decode(one["path_base64"]) == b"a \x1b[31m\xff"
    (whole,) = shared.data("plan", "conflicts", plan, path)["conflicts"]
    assert (whole["parent"]["binary"], whole["parent"]["text"], whole["base"]) == (True, None, None)
    text = shared.run("plan", "conflicts", plan).out
    assert "\x1b" not in text + shared.run("plan", "conflicts", plan, path).out
    (command,) = [line.partition("ca ")[2] for line in text.splitlines() if "ca plan resolve" in line]
    word = command.partition(f"{plan} ")[2].partition(" --take")[0]
    assert shared.run_program("bash", "-c", f"printf %s {word}") == path
    shared.data("plan", "resolve", plan, path, "--take", "child")
    assert "x\0two" in result(shared, plan).values()


def test_projects_are_told_apart(shared: Home) -> None:
    """The same path in two projects needs its project; each is settled in its own way."""
    projects = [shared.repository({"f": LINES}) for _ in range(2)]
    edits = {item: f'{edit}; cd "$CA_SANDBOX/../{projects[1].name}"; {edit}' for item, edit in colliding.EDITS.items()}
    plan = colliding.plan(shared, edits, *projects)
    names = [f"{project.name}:f" for project in projects]

    assert shared.error("plan", "resolve", plan, "f", "--take", "child", code=2)["detail"]["candidates"] == names
    for name, take in zip(names, ("parent", "child"), strict=True):
        assert name in shared.run("plan", "conflicts", plan).out
        shared.data("plan", "resolve", plan, name, "--take", take)
    shared.run("plan", "execute", plan, "--wait")

    boxes = [Path(box["path"]) for box in shared.plan(plan)["sandboxes"]]
    assert [(box / "f").read_text() for box in boxes] == [ONE, TWO]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["resolve", "PLAN", "g", "--take", "child"], 3, "; 1 other file is"),
        (["resolve", "PLAN", "f", "--take", "prent"], 3, "did you mean 'parent'"),
        (["resolve", "PLAN", "f", "--take", "/"], 2, "neither a file nor a symlink"),
        (["resolve", "PLAN", "f"], 2, "needs --take"),
        (["conflicts", "PLAN", "g"], 3, "'g' is not in conflict"),
    ],
)
def test_what_cannot_be_settled_is_refused(
    waiting: str, shared: Home, arguments: list[str], code: int, said: str
) -> None:
    """And says what is possible; the conflict stays open."""
    error = shared.error("plan", *(waiting if word == "PLAN" else word for word in arguments), code=code)

    assert said in error["message"]
    assert [one["taken"] for one in listed(shared, waiting).values()] == [None]


@pytest.fixture(scope="module")
def waiting(shared: Home) -> str:
    """A plan with a conflict that nobody settles."""
    return colliding.plan(shared)


def test_a_plan_without_conflicts_has_none(shared: Home) -> None:
    """Said, not failed; there is nothing to settle."""
    plan = shared.executed("true")

    assert listed(shared, plan) == {}
    assert f"{plan} has no conflicts" in shared.run("plan", "conflicts", plan).out
    assert shared.error("plan", "resolve", plan, "f", "--take", "child", code=3)["code"] == "not_found"


def test_a_collision_with_the_project_is_shown_and_left_to_the_user(shared: Home) -> None:
    """Versions as at a merge of children; nothing can be taken, since the other side is the user's own work."""
    project = shared.repository({"f": LINES, "run": "x\n"})
    plan = shared.executed("sed -i s/5/PLAN/ f; chmod +x run; echo plan >> run", project=project)
    put(project, {"f": ONE, "run": "mine\n"})
    shared.apply(plan, code=4)

    with unchanged(project):
        found = listed(shared, plan)
        assert {path: (one["kind"], one["item"]) for path, one in found.items()} == {
            "f": ("content", None),
            "run": ("content", None),
        }
        assert [found["run"][side]["mode"] for side in ("base", "parent", "child")] == ["100644", "100644", "100755"]
        (whole,) = shared.data("plan", "conflicts", plan, "f")["conflicts"]
        assert [whole[side]["text"] for side in ("base", "parent")] == [LINES, ONE]
        assert f"ca plan apply {plan}" in shared.run("plan", "conflicts", plan, "f").out
        error = shared.error("plan", "resolve", plan, "f", "--take", "child", code=4)
    assert (error["code"], f"ca plan apply {plan}" in error["suggestions"]) == ("invalid_transition", True)


def test_apply_is_impossible_while_a_conflict_is_open(waiting: str, shared: Home) -> None:
    """The plan stands at execute/errored, and the child alone cannot be applied either."""
    assert shared.apply(waiting, code=4)["code"] == "invalid_transition"
    assert shared.apply(f"{waiting}.2", code=4)["code"] == "invalid_transition"


def test_a_shell_offers_the_files_and_the_versions(waiting: str, shared: Home) -> None:
    """Of the plan on the line; a path of one's own is completed by the shell."""

    def offered(*words: str) -> list[str]:
        line = ["ca", "plan", *words]
        asked = {"_CA_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line), "COMP_CWORD": str(len(line) - 1)}
        return shared.run(env=asked).out.split()

    assert offered("conflicts", waiting, "") == offered("resolve", waiting, "") == ["plain,f"]
    assert offered("resolve", waiting, "f", "--take", "p") == ["plain,parent"]
    assert offered("resolve", waiting, "f", "--take", "./") == ["file,./"]
