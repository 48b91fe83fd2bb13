"""Many children on real repositories: the result is that of the same commands, however they run and whatever comes between."""

import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import repositories
from tests.homes import Content, Home, tree

RUFF = shlex.quote(str(Path(sys.executable).parent / "ruff"))
TIDY = f"{RUFF} format --no-cache {{target}}; {RUFF} check --no-cache --exit-zero --fix {{target}}"


def of_children(home: Home, action: str, *, name: str | None = None, **subplans: Any) -> str:
    """An action with one step, whose children are plans of `action`; its name."""
    return home.action(
        name=name or home.fresh("local/all"), steps=[{"id": "all", "subplans": {"action": action, **subplans}}]
    )


def for_each_target(home: Home, command: str, **keys: Any) -> str:
    """An action that runs a command for its `target`; its name."""
    return home.action(command, arguments=[{"name": "target", "required": True}], **keys)


# --- a formatter and a linter over every package ---------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_packages_are_tidied_as_by_hand(shared: Home) -> None:
    """In parallel and in sequence: the tree of the same commands run directly, byte for byte and mode for mode."""
    project = repositories.make(shared)
    before = tree(project)
    one = for_each_target(shared, TIDY)
    made = {
        mode: of_children(
            shared, one, for_each={"glob": "src/*/"}, arguments={"target": "{item}"}, mode=mode, max_parallel=8
        )
        for mode in ("parallel", "sequential")
    }

    plans = {mode: shared.use(action, project, code=None) for mode, action in made.items()}
    for plan in plans.values():
        wait(shared, plan)
    expected = directly(shared, project, [TIDY.format(target=f"src/package_{number:02}/") for number in range(30)])

    assert len(before) > 300
    assert sum(before[name] != expected[name] for name in before) > 300
    for plan in plans.values():
        assert shared.plan(plan)["children"]["complete"] == 30
        assert tree(shared.sandbox(plan)) == expected
        shared.apply(plan)
        assert tree(project) == expected
        shared.undo(plan)
        assert tree(project) == before


def wait(home: Home, plan: str, *, code: int = 0) -> None:
    """Until nothing happens any more by itself; on a slow machine that is long."""
    with home.spawn("plan", "wait", plan) as waiting:
        waiting.communicate(timeout=200)
    assert waiting.returncode == code


def directly(home: Home, project: Path, commands: Sequence[str]) -> dict[str, object]:
    """The tree after the commands were run one after another in another clone of the project."""
    twin = project.with_name(home.fresh(f"{project.name}-twin"))
    home.git(project, "clone", "-q", str(project), str(twin))
    for command in commands:
        subprocess.run(["/bin/sh", "-e", "-c", command], cwd=twin, env=home.environ, check=True, capture_output=True)
    return tree(twin)


# --- children that collide -------------------------------------------------------------------------------------------------


class Collision(NamedTuple):
    """Edits of two children in one directory that do not fit together.

    Attributes:
        first: The edits of the child that comes first.
        second: Those of the other one; they can be made on top of the first too.
        kinds: The files in conflict.
        takes: What is chosen for each of them, as `--take` has it.
        result: The edits that come to the same as what was chosen.
    """

    first: str
    second: str
    kinds: dict[str, str]
    takes: dict[str, str]
    result: str


def content(take: str, result: str) -> Collision:
    return Collision("echo 1 > f", "echo 2 > f", {"f": "content"}, {"f": take}, result)


COLLISIONS = {
    "take-parent": content("parent", "echo 1 > f"),
    "take-child": content("child", "echo 2 > f"),
    "take-base": content("base", ":"),
    "take-edited": content("edited", "echo edited > f"),
    "take-file": content("file", "echo mine > f; chmod +x f"),
    "added": Collision("echo 1 > new", "echo 2 > new", {"new": "add/add"}, {"new": "child"}, "echo 2 > new"),
    "unwanted": Collision("echo 1 > new", "echo 2 > new", {"new": "add/add"}, {"new": "base"}, ":"),
    "binary": Collision(
        "printf '\\000a' > f", "printf '\\000b' > f", {"f": "binary"}, {"f": "parent"}, "printf '\\000a' > f"
    ),
    "two-names": Collision(
        "mv f 1", "rm -f 1; mv f 2 || echo > 2", {"f": "rename", "1": "rename", "2": "rename"},
        {"f": "parent", "1": "edited", "2": "parent"}, "rm f; echo edited > 1",
    ),
    "renamed-and-gone": Collision("rm f", "mv f 2 || echo > 2", {"2": "rename"}, {"2": "child"}, "mv f 2"),
    "gone-and-changed": Collision("rm f", "echo 2 > f", {"f": "delete/modify"}, {"f": "parent"}, "rm f"),
    "changed-and-gone": Collision("echo 1 > f", "rm f", {"f": "delete/modify"}, {"f": "edited"}, "echo edited > f"),
    "mode": Collision(
        "echo x > new", "echo x > new; chmod +x new", {"new": "mode"}, {"new": "child"}, "echo x > new; chmod +x new"
    ),
    "file-and-directory": Collision(
        "echo 1 > new", "rm -f new; mkdir new; echo 2 > new/in", {"new": "file/directory"}, {"new": "child"},
        "mkdir new; echo 2 > new/in",
    ),
    "links": Collision("ln -sf 1 link", "ln -sf 2 link", {"link": "symlink"}, {"link": "child"}, "ln -sf 2 link"),
    "file-and-link": Collision(
        "echo 1 > new", "ln -sf f new", {"new": "symlink"}, {"new": "parent"}, "echo 1 > new"
    ),
    "submodule": Collision(
        "rmdir module; echo 1 > module", "rm -r module; echo 2 > module", {"module": "submodule"}, {"module": "base"}, ":",
    ),
}  # fmt: skip
ALONE = "mkdir alone-{0}; echo {0} > alone-{0}/f"
"""What collides with nothing."""


def colliding(home: Home) -> Path:
    """A repository in which all of that can be done, one directory for each."""
    files: dict[str | bytes, str] = {}
    for place in COLLISIONS:
        files[f"{place}/f"] = "".join(f"{place} {line}\n" for line in range(20))
        files[f"{place}/kept"] = place
    root = repositories.make(home, files)
    (root / "links" / "link").symlink_to("f")
    home.git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},submodule/module")
    home.git(root, "add", "links")
    home.git(root, "commit", "-q", "-m", "a link and a submodule")
    (root / "submodule" / "module").mkdir()
    return root


def script(who: str) -> str:
    """All edits of one child."""
    return "\n".join(
        [*(f"(cd {place}; {getattr(edits, who)})" for place, edits in COLLISIONS.items()), ALONE.format(who)]
    )


def use_colliding(home: Home, project: Path, *, code: int, **subplans: Any) -> str:
    """A plan whose children make the edits, with a third one behind them that is in nobody's way."""
    edits = home.work / home.fresh("edits")
    edits.mkdir()
    for who in ("first", "second"):
        (edits / who).write_text(script(who))
    (edits / "third").write_text(ALONE.format("third"))
    one = for_each_target(home, f"/bin/sh -ex {edits}/{{target}}")
    action = of_children(home, one, for_each=["first", "second", "third"], arguments={"target": "{item}"}, **subplans)
    return home.use(action, project, code=code)


def test_every_kind_of_conflict_is_shown_and_settled(shared: Home) -> None:
    project = colliding(shared)
    before = tree(project)

    plan = use_colliding(shared, project, code=1)

    error = shared.plan(plan)["error"]
    told = {file["path"]: file["kind"] for file in error["detail"]["files"]}
    expected = {f"{place}/{name}": kind for place, one in COLLISIONS.items() for name, kind in one.kinds.items()}
    assert (error["code"], told) == ("merge_conflict", expected)
    assert shared.error("plan", "apply", plan, "--yes", code=4)["code"] == "invalid_transition"
    resolve_all(shared, plan)
    shared.run("plan", "execute", plan, "--wait")

    chosen = directly(
        shared,
        project,
        [
            *(f"(cd {place}; {one.result})" for place, one in COLLISIONS.items()),
            *map(ALONE.format, ["first", "second", "third"]),
        ],
    )
    assert tree(shared.sandbox(plan)) == chosen
    kinds = [decision["kind"] for decision in shared.data("plan", "tree", plan)["decisions"]]
    assert kinds.count("user_intervention") == len(expected), "each choice is a decision"
    shared.apply(plan)
    assert tree(project) == chosen
    shared.undo(plan)
    assert tree(project) == before


def resolve_all(home: Home, plan: str) -> None:
    """One file after another, as a person would."""
    mine = home.work / home.fresh("mine")
    mine.write_text("mine\n")
    mine.chmod(0o755)
    (checkout,) = home.data("plan", "conflicts", plan)["checkouts"].values()
    takes = {f"{place}/{name}": take for place, one in COLLISIONS.items() for name, take in one.takes.items()}
    for path, take in takes.items():
        if take == "edited":
            (Path(checkout) / path).write_text("edited\n")
        settled = home.data("plan", "resolve", plan, path, "--take", str(mine) if take == "file" else take)
        assert (settled["path"], settled["status"], settled["taken"]) == (path, "resolved", take)


def test_later_children_win_everywhere(shared: Home) -> None:
    """With last_wins nothing stops, the files of the later child are taken as they are, and it is written down."""
    project = colliding(shared)

    plan = use_colliding(shared, project, code=0, merge="last_wins")

    expected = directly(shared, project, [script("second"), ALONE.format("first"), ALONE.format("third")])
    assert tree(shared.sandbox(plan)) == expected
    (root, *below) = shared.data("plan", "tree", plan)["decisions"]
    (overridden,) = [one for one in below if "last_wins" in one["reason"]]
    assert (overridden["parent_id"], f"{plan}.2" in overridden["choice"]) == (root["decision_id"], True)
    assert "added/new" in overridden["question"]


@pytest.mark.parametrize("keys", [{"merge": "sequential_apply"}, {"mode": "sequential"}], ids=["merge", "mode"])
def test_children_on_top_of_each_other_never_collide(shared: Home, keys: dict[str, str]) -> None:
    project = colliding(shared)

    plan = use_colliding(shared, project, code=0, **keys)

    expected = directly(shared, project, [script("first"), script("second"), ALONE.format("third")])
    assert tree(shared.sandbox(plan)) == expected


def test_files_that_two_children_touched_stop_before_a_merge(shared: Home) -> None:
    """With fail_on_conflict each of them is named, and what does not merge after those were settled is asked for next."""
    project = colliding(shared)
    touched = [edited(shared, project, who) for who in ("first", "second")]

    plan = use_colliding(shared, project, code=1, merge="fail_on_conflict")

    files = shared.plan(plan)["error"]["detail"]["files"]
    assert {file["path"] for file in files} == touched[0] & touched[1]
    assert {(file["kind"], file["item"]) for file in files} == {("overlap", "second")}
    assert tree(shared.sandbox(plan)) == directly(shared, project, [script("first")])
    for code in (1, 0):
        listed = shared.data("plan", "conflicts", plan)["conflicts"]
        open_ones = [one["path"] for one in listed if one["status"] == "open"]
        assert open_ones != []
        assert [file["path"] for file in shared.plan(plan)["error"]["detail"]["files"]] == open_ones
        shared.run("plan", "resolve", plan, *open_ones, "--take", "child")
        shared.run("plan", "execute", plan, "--wait", code=code)
    expected = directly(shared, project, [script("second"), ALONE.format("first"), ALONE.format("third")])
    assert tree(shared.sandbox(plan)) == expected


def edited(home: Home, project: Path, who: str) -> set[str]:
    """The files that one child touches."""
    before, after = tree(project), directly(home, project, [script(who)])
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


# --- children that are agents ----------------------------------------------------------------------------------------------


def test_ten_agents_work_on_one_repository_at_once(home: Home) -> None:
    """Side by side in one file and in files of their own; two ask what nobody wrote down, are told, and go on."""
    gate = home.gate()
    home.set("async.max_workers", "10")
    asking = {"3", "7"}
    numbers = [str(number) for number in range(10)]
    main = "".join(f"# part {number}\n\ntodo_{number} = None\n\n\n" for number in numbers)
    tasks = {
        f"tasks/{number}": f"wait {gate.path}\nreplace src/main.py todo_{number} done_{number}\n"
        + ("ask mango\n" if number in asking else "")
        + f"append src/own_{number}.py answer = {number}\n"
        for number in numbers
    }
    project = repositories.make(home, {"src/main.py": main, **tasks})
    before = tree(project)
    worker = home.data("actor", "create", str(actor_file(home)))["name"]
    one = home.action(
        execution_actor=worker,
        arguments=[{"name": "task", "type": "path", "required": True}],
        steps=[{"id": "work", "prompt": "follow {task}"}],
    )
    action = of_children(home, one, for_each={"glob": "tasks/*"}, arguments={"task": "{item}"}, max_parallel=10)

    plan = home.use(action, project, code=None)
    home.until(lambda: home.plan(plan)["children"]["processing"] == 10, seconds=50)
    gate.open()
    home.run("plan", "wait", plan, code=1)

    failed = home.plan(plan)["error"]["detail"]["children"]
    assert {child["item"] for child in failed} == {f"tasks/{number}" for number in asking}
    first, second = (child["name"] for child in failed)
    home.data("plan", "prompt", first, "the word is mango")
    home.run("plan", "execute", first, "--wait")
    home.run("plan", "wait", plan, code=1)
    (left,) = home.plan(plan)["error"]["detail"]["children"]
    assert left["name"] == second
    home.data("plan", "prompt", second, "try mango")
    home.run("plan", "execute", plan, "--wait")

    home.apply(plan)
    assert (project / "src" / "main.py").read_text() == main.replace("todo", "done")
    made = {name for name in tree(project) if name not in before}
    assert made == {f"src/own_{number}.py" for number in numbers}
    home.undo(plan)
    assert tree(project) == before


def actor_file(home: Home) -> Path:
    path = home.work / f"{home.fresh('actor')}.yaml"
    command = [sys.executable, str(Path(__file__).parents[1] / "agent.py"), "do"]
    path.write_text(json.dumps({"name": home.fresh("local/agent"), "type": "command", "command": command}))
    return path


# --- two hundred children, and a daemon that dies ---------------------------------------------------------------------------


COUNT = 200
START: dict[str | bytes, Content] = {"out/0": "0\n", "clash": "0\n", "log": "0\n", "old": "0\n"}
CHILD = """
n=$1; here=$(dirname "$0")
echo $n >> "$here/ran"
case $((n % 20)) in
    7) [ -e "$here/repaired" ] || exit 7;;  # fails until somebody repairs what it needs
    13) [ -e "$here/tried-$n" ] || { touch "$here/tried-$n"; exit 13; };;  # succeeds at the second attempt
esac
case $n in
    21|26|30) SLOW;;  # slow
    60|120|170) echo $n > clash; echo $n >> log;;  # the first of them fits, the others do not fit on top of it
    61) rm old;;
    121) echo $n > old;;
esac
echo $n > out/$n
"""
"""What each of them does; only its number decides."""


class Outcome(NamedTuple):
    """What a run came to: where each child is, by item; the error without ids and times; the files."""

    children: dict[str, str]
    error: str
    files: dict[str, object]


@pytest.mark.timeout(300)
def test_a_daemon_that_dies_changes_nothing_of_what_two_hundred_children_come_to() -> None:
    """Some fail for good, some at first, some do not fit, some are slow; twice the daemon is killed while they run.

    The states of all, the error and the tree are those of a run without kills, also after each thing that a person does next.
    """
    outcomes: list[list[Outcome]] = []
    for kills in ((), (12, 70)):
        with Home() as home:
            outcomes.append(list(life(home, kills)))
    undisturbed, killed = outcomes

    for disturbed, plain in zip(killed, undisturbed, strict=True):
        assert disturbed == plain
    codes = [json.loads(one.error)["code"] for one in undisturbed[:-1]]
    assert codes == ["merge_conflict", "merge_conflict", "merge_conflict", "step_failed"]
    assert undisturbed[-1].error == "null"
    assert set(undisturbed[-1].children.values()) == {"execute/complete"}
    assert len(undisturbed[-1].files) == COUNT + len(START) - 1


def life(home: Home, kills: Sequence[int]) -> Iterator[Outcome]:
    """From the first start to the last repair; the daemon is killed when so many children have entered their parent."""
    home.set("async.max_workers", "16")
    gate = home.gate()
    scripts = home.work / "scripts"
    scripts.mkdir()
    (scripts / "child").write_text(CHILD.replace("SLOW", gate.command))
    project = repositories.make(home, START)
    one = for_each_target(home, f"/bin/sh -e {scripts}/child {{target}}", name="local/one")
    numbers = [str(number) for number in range(1, COUNT + 1)]
    action = of_children(
        home, one, name="local/all", for_each=numbers, arguments={"target": "{item}"}, max_parallel=16, retries=1
    )
    plan = home.use(action, project, code=None)
    for count in kills:
        kill_when_integrated(home, plan, count)
        gate.open()
    gate.open()
    yield outcome(home, plan, code=1)
    for take in ("child", "parent", "child"):
        for conflict in home.data("plan", "conflicts", plan)["conflicts"]:
            home.data("plan", "resolve", plan, conflict["path"], "--take", take)
        home.data("plan", "execute", plan)
        yield outcome(home, plan, code=1)
    (scripts / "repaired").touch()
    home.data("plan", "execute", plan)
    yield outcome(home, plan, code=0)
    ran = Counter((scripts / "ran").read_text().split())
    assert {ran[str(number)] for number in range(1, COUNT + 1) if number % 20 not in {7, 13}} == {1}


def kill_when_integrated(home: Home, plan: str, count: int) -> None:
    """Kill the daemon at the event that so many children are in their parent, and start another one."""
    asked = ("events", "--follow", "--since", "0", "--plan", plan, "--format", "json")
    with home.spawn(*asked) as following:
        assert following.stdout is not None
        integrated = (line for line in following.stdout if json.loads(line)["kind"] == "subplan.integrated")
        assert len(list(itertools.islice(integrated, count))) == count
        os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
        following.kill()
    home.data("daemon", "start")


def outcome(home: Home, plan: str, *, code: int) -> Outcome:
    """Where the plan and its children come to rest."""
    wait(home, plan, code=code)
    children = home.data("plan", "tree", plan)["children"]
    error = json.dumps(home.plan(plan)["error"], sort_keys=True)
    return Outcome(
        {child["item"]: f"{child['phase']}/{child['state']}" for child in children},
        re.sub(r" after [0-9.]+ s\b|\b[0-9A-Z]{26}\b", "", error),
        tree(home.sandbox(plan)),
    )
