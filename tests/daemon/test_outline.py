"""The tree that an action comes to: items, arguments, order, limits, overlaps. It is found in real repositories."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon import actions, dry_run, outline, planning, views
from daemon.feed import Feed
from daemon.lifecycle import Lifecycle
from daemon.phases.context import Services
from daemon.settings import Settings
from store import config_file, definitions, errors, names, opening, paths
from store.database import Transaction
from store.records import Project
from tests import daemons
from tests.daemon.gitrepos import Content, commit, fingerprint, git, isolate, put
from tests.stores import SettableClock
from tests.waiting import wait_until_async

LEAF: dict[str, Any] = {
    "name": "local/leaf", "arguments": [{"name": "x", "default": "none"}], "steps": [{"id": "s", "run": "echo {x}"}],
}  # fmt: skip
X = {"x": "{item}"}
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}


class World:
    """A store, its services, and projects, without a daemon."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.loop = asyncio.new_event_loop()
        self.paths = paths.resolve({"CLEVERAGENTS_HOME": str(directory / "home")})
        self.paths.create()
        self.services: Services = self.loop.run_until_complete(self._open())
        self.number = 0

    async def _open(self) -> Services:
        settings = Settings(self.paths.config_file, {})
        db = opening.open_store(self.paths.database, self.paths.backups, SettableClock())
        return Services(db, Feed(), Lifecycle(settings), settings, self.paths)

    def close(self) -> None:
        self.loop.run_until_complete(self.services.db.close())
        self.loop.close()

    def project(self, files: Mapping[str | bytes, Content] | None = None) -> Path:
        """A registered repository; its directory is called as the project."""
        root = self.directory / self.fresh("p")
        root.mkdir()
        git(root, "init", "-q")
        put(root, files or {"a.txt": "a\n"})
        commit(root)
        record = Project(names.new_ulid(self.services.db.clock.now()), f"local/{root.name}", str(root), "git", "", 1)
        self.loop.run_until_complete(self.services.db.write(lambda tx: definitions.add_project(tx, record)))
        return root

    def fresh(self, stem: str) -> str:
        self.number += 1
        return f"{stem}{self.number}"

    def action(self, *, archived: bool = False, **keys: Any) -> str:
        keys.setdefault("name", self.fresh("local/act"))
        keys.setdefault("steps", [{"id": "s", "run": "true"}])
        actions.parse(json.dumps(keys), source="test")
        name: str = keys["name"]

        def put(tx: Transaction) -> None:
            definitions.put_action(tx, name, json.dumps(keys), description="")
            if archived:
                definitions.archive_action(tx, name)

        self.loop.run_until_complete(self.services.db.write(put))
        return name

    def actor(self, name: str, *command: str) -> None:
        content = json.dumps({"name": name, "type": "command", "command": command})
        put = self.services.db.write(lambda tx: definitions.put_actor(tx, name, content, description=""))
        self.loop.run_until_complete(put)

    def set(self, key: str, value: object, project: Path) -> None:
        config_file.edit(self.paths.config_file, {key: value}, project=f"local/{project.name}")

    def tree(self, action: str, *projects: Path, **arguments: str) -> views.DryRunPlanView:
        """The whole tree of an action; nothing of it is left anywhere."""
        before = [fingerprint(root) for root in projects]
        try:
            return self.loop.run_until_complete(self.dry_run(action, *projects, **arguments)).tree
        finally:
            assert [fingerprint(root) for root in projects] == before
            self.check_nothing_left()

    async def dry_run(self, action: str, *projects: Path, **arguments: str) -> views.DryRunView:
        draft = planning.draft(
            self.services.db.read, self.paths, action=action, projects=[f"local/{root.name}" for root in projects],
            arguments=arguments, profile=None, environment=ENVIRONMENT,
        )  # fmt: skip
        return await dry_run.dry_run(self.services, draft, ENVIRONMENT)

    def check_nothing_left(self) -> None:
        assert list(self.paths.state.glob("dry-run-*")) == []
        assert [path.name for path in self.paths.sandboxes.iterdir() if path.name != ".pool"] == []
        for repository in self.paths.repositories.iterdir():
            assert git(repository, "for-each-ref", "refs/cleveragents/plans") == ""

    def children(self, project: Path, for_each: object, **keys: Any) -> list[views.DryRunChildView]:
        """The children of an action whose only step has these items."""
        step = {key: keys.pop(key) for key in ("paths", "timeout") if key in keys}
        given_ = keys.pop("given", {})
        top = {key: keys.pop(key) for key in ("declared", "shell", "env") if key in keys}
        subplans = {"action": "local/leaf", "for_each": for_each, "arguments": X, **keys}
        action = self.action(
            arguments=top.pop("declared", []), **top, steps=[{"id": "each", "subplans": subplans, **step}]
        )
        return below(self.tree(action, project, **given_))

    def items(self, project: Path, for_each: object, **keys: Any) -> list[str]:
        return [child.item for child in self.children(project, for_each, **keys)]


def below(plan: views.DryRunPlanView, step: int = 0) -> list[views.DryRunChildView]:
    """The children of one step."""
    subplans = plan.steps[step].subplans
    assert subplans is not None
    return subplans.children


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, directory / "user")
        made = World(directory)
        made.action(**LEAF)
        yield made
        made.close()


@pytest.fixture(scope="module")
def odd(world: World) -> Path:
    """A repository with names of every kind, one file of it not committed."""
    files: dict[str | bytes, Content] = {
        "src/api/a.py": "", "src/core/b.py": "", "src/core/deep/c.py": "", "src/.hidden/d.py": "", "src/top.py": "",
        ".github/workflows/ci.yml": "", "app/[id]/page.ts": "", "app/list/page.tsx": "", "with space/é/f": "",
        "line\nbreak/g": "", "-dash/h": "", "README": "",
    }  # fmt: skip
    root = world.project(files)
    (root / "src" / "link").symlink_to("core")
    commit(root)
    put(root, {"src/fresh/new.py": ""})
    return root


@pytest.mark.parametrize(
    ("glob", "items"),
    [
        ("src/*/", ["src/api", "src/core", "src/fresh"]),
        ("./src//*/", ["src/api", "src/core", "src/fresh"]),
        ("src/*", ["src/api", "src/core", "src/fresh", "src/link", "src/top.py"]),
        ("src/.*/", ["src/.hidden"]),
        (".*/*/", [".github/workflows"]),
        ("src/**/*.py", ["src/api/a.py", "src/core/b.py", "src/core/deep/c.py", "src/fresh/new.py", "src/top.py"]),
        ("src/*/*/", ["src/core/deep"]),
        ("**/[bc].py", ["src/core/b.py", "src/core/deep/c.py"]),
        ("app/*/page.{{ts,tsx}}", ["app/[id]/page.ts", "app/list/page.tsx"]),
        ("app/[[]id]/", ["app/[id]"]),
        ("*/", ["-dash", "app", "line\nbreak", "src", "with space"]),
        ("with space/?/", ["with space/é"]),
        ("SRC/*/", []),
        ("nothing/*", []),
        ("README/", []),
    ],
)
def test_glob_finds_names_of_the_base(world: World, odd: Path, glob: str, items: list[str]) -> None:
    assert world.items(odd, {"glob": glob}) == items


def test_path_in_a_glob_is_taken_literally(world: World, odd: Path) -> None:
    """The value of a path argument names one thing; that of a string may be a pattern."""
    arguments = [{"name": "where", "type": "path"}, {"name": "what", "default": "*"}]
    items = world.items(odd, {"glob": "{where}/{what}"}, declared=arguments, given={"where": "app/[id]"})
    assert items == ["app/[id]/page.ts"]


def test_submodule_is_a_directory(world: World) -> None:
    root = world.project({"libs/own/a": ""})
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{git(root, 'rev-parse', 'HEAD')},libs/sub")
    git(root, "commit", "-q", "-m", "sub")
    (root / "libs" / "sub").mkdir()
    assert world.items(root, {"glob": "libs/*/"}) == ["libs/own", "libs/sub"]


def test_command_prints_an_item_a_line(world: World, odd: Path) -> None:
    """It runs in the base, with the files that are not committed; empty lines are no items."""
    run = "ls src; printf '\\n  \\n two words \\r\\nlast'; echo noise >&2"
    expected = ["api", "core", "fresh", "link", "top.py", " two words ", "last"]
    assert world.items(odd, {"run": run}) == expected


def test_each_command_starts_from_the_base(world: World, odd: Path) -> None:
    """What one writes no other sees; ignored files that the action includes are there."""
    put(odd, {".env": "", ".git/info/exclude": ".env\n"})
    command = "cat own 2>/dev/null || true; ls -A; rm -rf README; echo x > own"
    step = {"action": "local/leaf", "for_each": {"run": command}, "arguments": X}
    action = world.action(
        sandbox={"include": [".env"]}, steps=[{"id": name, "subplans": step} for name in ("one", "two")]
    )

    tree = world.tree(action, odd)

    first, second = ([child.item for child in below(tree, step)] for step in range(2))
    assert first == second
    assert {".env", "README"} <= set(first)
    assert "own" not in first


def test_command_finds_its_surroundings(world: World, odd: Path) -> None:
    run = 'for v in CA_PROJECT CA_STEP_ID CA_ITEM CA_ARG_WHERE OWN; do echo "$v=${!v}"; done; cmp <(pwd) <(echo $CA_SANDBOX)'
    items = world.items(
        odd, {"run": run},
        declared=[{"name": "where", "default": "a b"}], env={"OWN": "1"}, shell="bash",
    )  # fmt: skip
    assert items == [f"CA_PROJECT=local/{odd.name}", "CA_STEP_ID=each", "CA_ITEM=", "CA_ARG_WHERE=a b", "OWN=1"]


def test_items_come_after_those_they_need(world: World, odd: Path) -> None:
    """Otherwise they stay in the order of the list."""
    given = [{"item": "d", "needs": ["b", "c"]}, "c", {"item": "b", "needs": ["a"]}, "a", "e"]
    children = world.children(odd, given, mode="dependency_ordered")
    assert [(child.item, child.needs) for child in children] == [
        ("c", []), ("a", []), ("b", ["a"]), ("d", ["c", "b"]), ("e", []),
    ]  # fmt: skip


def test_children_get_their_arguments_and_commands(world: World, odd: Path) -> None:
    """Arguments are the text, commands quote it; paths are declared in their shortest form."""
    children = world.children(
        odd,
        ["it's", "b"],
        declared=[{"name": "rule", "default": "UP"}],
        paths=["./x/{item}//", "{item}"],
        given={"rule": "I"},
    )
    assert [child.plan.arguments for child in children] == [{"x": "it's"}, {"x": "b"}]
    assert children[0].plan.steps[0].run == "echo 'it'\"'\"'s'"
    assert [child.paths for child in children] == [["x/it's", "it's"], ["x/b", "b"]]


def test_tree_is_resolved_to_its_leaves(world: World, odd: Path) -> None:
    """An action may use itself: it ends where there is nothing more."""
    name = world.fresh("local/deep")
    arguments = [{"name": "where", "type": "path", "default": "src"}]
    subplans = {"action": name, "for_each": {"glob": "{where}/*/"}, "arguments": {"where": "{item}"}}
    world.action(name=name, arguments=arguments, steps=[{"id": "down", "subplans": subplans}])

    def told(plan: views.DryRunPlanView) -> dict[str, Any]:
        return {child.item: told(child.plan) for child in below(plan)}

    assert told(world.tree(name, odd)) == {"src/api": {}, "src/core": {"src/core/deep": {}}, "src/fresh": {}}


def test_depth_is_limited(world: World, odd: Path) -> None:
    """The project's own limit counts; the chain of actions is named."""
    name = world.fresh("local/loop")
    world.action(name=name, steps=[{"id": "again", "subplans": {"action": name, "for_each": ["x"]}}])
    root = world.project()
    world.set("plan.max-child-depth", 2, root)

    def refused(project: Path) -> errors.InvalidActionError:
        with pytest.raises(errors.InvalidActionError) as caught:
            world.tree(name, project)
        return caught.value

    assert f"plan.max-child-depth is 2: {name} -> {name} -> {name} -> {name}" in refused(root).message
    assert refused(odd).detail["limit"] == 5


def test_tree_is_limited(world: World, odd: Path) -> None:
    """A hundred times a hundred plans are too many, one step of a thousand is not."""
    inner = {"action": "local/leaf", "for_each": [f"{number}" for number in range(100)], "arguments": X}
    middle = world.action(steps=[{"id": "inner", "subplans": inner}])
    outer = world.action(steps=[{"id": "outer", "subplans": {**inner, "action": middle, "arguments": {}}}])

    with pytest.raises(errors.InvalidActionError, match="more than 10,000 plans"):
        world.tree(outer, odd)
    assert len(world.items(odd, {"run": "seq 1000"})) == 1000


def test_plans_of_a_strategy_actor_are_leaves(world: World, odd: Path) -> None:
    world.actor("local/planner", "true")
    child = world.action(strategy_actor="local/planner", steps=[])
    action = world.action(steps=[{"id": "each", "subplans": {"action": child, "for_each": ["a"]}}])

    (found,) = below(world.tree(action, odd))

    assert (found.plan.decided_by, found.plan.steps) == ("local/planner", [])


def test_step_in_one_project_has_children_in_that_one(world: World, odd: Path) -> None:
    root = world.project({"only/here/x": ""})
    inner = {"action": "local/leaf", "for_each": {"glob": "*/*/"}, "arguments": X}
    middle = world.action(steps=[{"id": "inner", "subplans": inner}])
    subplans = {"action": middle, "for_each": ["a"]}
    action = world.action(steps=[{"id": "each", "project": f"local/{root.name}", "subplans": subplans}])

    (found,) = below(world.tree(action, odd, root))

    assert found.plan.projects == [f"local/{root.name}"]
    assert [(child.item, child.plan.projects) for child in below(found.plan)] == [("only/here", found.plan.projects)]


def test_children_of_a_plan_without_sandbox_only_read(world: World) -> None:
    root = world.project()
    world.set("sandbox.strategy", "none", root)
    writer, reader = world.action(), world.action(read_only=True)

    def parent(child: str) -> str:
        subplans = {"action": child, "for_each": {"run": "pwd"}}
        return world.action(read_only=True, steps=[{"id": "each", "subplans": subplans}])

    assert [child.item for child in below(world.tree(parent(reader), root))] == [str(root.resolve())]
    with pytest.raises(errors.InvalidActionError, match=f"step each of .* uses {writer}, which is not read_only"):
        world.tree(parent(writer), root)


def printing(command: str) -> dict[str, Any]:
    return {"for_each": {"run": command}}


def use(action: str, **arguments: str) -> dict[str, Any]:
    return {"for_each": ["a"], "action": f"local/{action}", "arguments": arguments}


REFUSED = [
    ("an item twice", printing("echo a; echo b; echo a"), "invalid_action", "comes twice: 'a'"),
    ("a blank item", {"for_each": [" "]}, "invalid_action", "is empty"),
    ("a NUL", printing("printf 'a\\0b\\n'"), "invalid_action", "has a NUL character"),
    ("no UTF-8", printing("printf 'a\\n\\377\\n'"), "invalid_action", "UTF-8 in line 2: '\\\\xff'"),
    ("a long item", printing("printf %070000d 1"), "invalid_action", "longer than 65,536 bytes"),
    ("much output", printing("yes | head -c 1048577"), "invalid_action", "more than 1,048,576 bytes"),
    ("many items", printing("seq 1001"), "invalid_action", "has 1,001 items, and 1,000 is the limit"),
    ("many patterns", {"for_each": {"glob": "{{1..9999}}"}}, "invalid_action", "has a glob that cannot be used"),
    ("a failure", printing("echo why >&2; exit 3"), "step_failed", "failed: exit 3:\n  why"),
    ("a signal", printing("kill -9 $$"), "step_failed", "failed: exit 137"),
    ("no action", use("laef"), "not_found", "there is no action 'local/laef'; did you mean leaf?"),
    ("an archived one", use("old"), "invalid_action", "uses local/old, which is not reusable"),
    ("one that is used once", use("once"), "invalid_action", "uses local/once, which is not reusable"),
    ("no such argument", use("leaf", xx="1"), "invalid_argument", "item 'a': the argument 'xx' of local/leaf"),
    ("a wrong value", use("number", n="{item}"), "invalid_argument", "must be a whole number"),
    ("no value", use("number"), "invalid_argument", "item 'a': the argument 'n' of local/number is required"),
    ("a path", {"for_each": ["../x"], "paths": ["{item}"]}, "invalid_action", "item '../x': a path must stay inside"),
    ("a prompt", use("prompt"), "invalid_action", "step s of local/prompt is a prompt"),
    ("no shell", use("shell"), "not_found", "'no-such-shell' of local/shell is not on PATH"),
    ("no project", use("elsewhere"), "invalid_action", "runs in local/none, which is not a project"),
    ("no actor", use("acting"), "not_found", "there is no actor 'local/nobody'"),
]


@pytest.fixture(scope="module")
def children(world: World) -> None:
    """Actions that no child can use."""
    world.action(name="local/old", archived=True)
    world.action(name="local/once", reusable=False)
    world.action(name="local/number", arguments=[{"name": "n", "type": "integer", "required": True}])
    world.action(name="local/prompt", steps=[{"id": "s", "prompt": "do it"}])
    world.action(name="local/shell", steps=[{"id": "s", "run": "true", "shell": "no-such-shell"}])
    world.action(name="local/elsewhere", steps=[{"id": "s", "run": "true", "project": "local/none"}])
    world.action(name="local/acting", execution_actor="local/nobody")


@pytest.mark.usefixtures("children")
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_what_cannot_be_carried_out_is_refused(
    world: World, odd: Path, case: tuple[str, dict[str, Any], str, str]
) -> None:
    _, keys, code, words = case
    with pytest.raises(errors.CleverAgentsError) as caught:
        world.children(odd, **keys)
    assert (caught.value.code, words in caught.value.message) == (code, True), caught.value.message
    assert caught.value.detail["step"] in {"each", "s"}
    assert caught.value.suggestions


def test_command_that_takes_too_long_is_ended(world: World, odd: Path, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    with pytest.raises(errors.TimedOutError, match=r"step each of .* did not end within 1 s"):
        world.items(odd, {"run": f"echo $$ > '{told}'; exec tail -f /dev/null"}, timeout="1s")
    assert not told.exists() or not daemons.runs(int(told.read_text()))


def test_dry_run_that_nobody_waits_for_leaves_nothing(world: World, odd: Path, tmp_path: Path) -> None:
    told = tmp_path / "pid"
    run = f"echo $$ > '{told}.new'; mv '{told}.new' '{told}'; exec tail -f /dev/null"
    subplans = {"action": "local/leaf", "for_each": {"run": run}}
    action = world.action(steps=[{"id": "each", "subplans": subplans}])

    async def leave() -> None:
        asked = asyncio.create_task(world.dry_run(action, odd))
        await wait_until_async(told.exists)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    world.loop.run_until_complete(leave())
    assert not daemons.runs(int(told.read_text()))
    world.check_nothing_left()


def test_name_that_is_not_utf8_is_no_item(world: World) -> None:
    root = world.project({b"dir\xff/a": "", "dir/b": ""})
    with pytest.raises(errors.InvalidActionError, match="is not UTF-8"):
        world.items(root, {"glob": "*/"})
    assert world.items(root, {"glob": "dir/*"}) == ["dir/b"]


# --- overlaps ------------------------------------------------------------------------------------------------------------


def child(*declared: str) -> outline.Child:
    node = outline.Node(action=actions.Action(name="local/a"), arguments={}, steps=[])
    return outline.Child(item="x", needs=[], paths=list(declared), node=node)


def pairs(children: list[outline.Child]) -> set[tuple[int, int]]:
    """Every two children that may not run at the same time, from what is told."""
    return {
        (min(one, other), max(one, other))
        for found in outline.overlaps([child.paths for child in children])
        for one in found.children
        for other in [*found.children, *found.below]
        if one != other
    }


PATHS = st.lists(st.sampled_from([".", "a", "a/b", "a/b/c", "a-b", "a/bc", "b", "b/*", "*"]), max_size=3)


@given(st.lists(PATHS, max_size=6))
def test_overlaps_are_all_pairs_that_declare_the_same(declared: list[list[str]]) -> None:
    """Equal, or one below the other; `*` is a name like others."""
    expected = {
        (one, other)
        for one, mine in enumerate(declared)
        for other, theirs in enumerate(declared)
        if one < other and any(covers(a, b) or covers(b, a) for a in mine for b in theirs)
    }
    assert pairs([child(*paths_) for paths_ in declared]) == expected


def covers(path: str, other: str) -> bool:
    return path in {".", other} or other.startswith(f"{path}/")


def test_overlaps_of_a_thousand_children_are_grouped() -> None:
    children = [child("shared", f"own/{number}") for number in range(1000)]
    assert outline.overlaps([child.paths for child in children]) == [
        outline.Overlap(path="shared", children=list(range(1000)), below=[])
    ]
