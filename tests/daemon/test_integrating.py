"""A child's change enters its parent: every kind of conflict, every strategy, every way to settle."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from daemon import changes, git, integrating, repositories, settling, snapshots
from daemon.changes import Version
from daemon.integrating import Conflict, Integrated, Merge, Point
from store import errors
from tests.daemon import gitrepos
from tests.daemon.gitrepos import BASE, Content, put, tree_files

TIP = repositories.plan_ref("01JPARENT", "tip")
TEXT = "".join(f"line {number}\n" for number in range(20))
LINK = 0o120000


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def edited(*lines: int, word: str = "changed") -> str:
    return "".join(f"{word}\n" if number in lines else f"line {number}\n" for number in range(20))


Edit = Callable[[Path], None]


def files(changed: Mapping[str | bytes, Content]) -> Edit:
    return lambda root: put(root, changed)


def linked(name: str, to: str) -> Edit:
    def edit(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(to)

    return edit


def executable(name: str, content: str) -> Edit:
    def edit(root: Path) -> None:
        (root / name).write_text(content)
        (root / name).chmod(0o755)

    return edit


def replaced_by_directory(name: str) -> Edit:
    def edit(root: Path) -> None:
        (root / name).unlink()
        put(root, {f"{name}/in": "in\n"})

    return edit


class Tree:
    """A project, the commit that both sides start from, and commits made by editing it."""

    def __init__(self, tmp_path: Path, start: Mapping[str | bytes, Content]) -> None:
        self.project = gitrepos.repository(tmp_path, start)
        self.base = snapshots.take(self.project, BASE).commit

    def state(self, edit: Edit, *, on: str | None = None) -> str:
        """The base with an edit, as a commit on it or on another."""
        edit(self.project.path)
        tree = snapshots.take(self.project, BASE).tree
        gitrepos.git(self.project.path, "reset", "-q", "--hard")
        gitrepos.git(self.project.path, "clean", "-q", "-ffdx")
        return repositories.commit(self.project, tree, [on or self.base], "work")

    def integrate(
        self,
        parent: str,
        child: str,
        strategy: str = "git_three_way",
        taken: Mapping[bytes, Version | None] | None = None,
    ) -> Integrated:
        base, ours, theirs = (
            Point(commit, changes.tree_of(self.project, commit)) for commit in (self.base, parent, child)
        )
        return integrating.integrate(
            self.project,
            base=base,
            parent=ours,
            child=theirs,
            strategy=strategy,
            ref=TIP,
            message="child",
            taken=taken,
        )

    def files(self, commit: str | None) -> dict[str, tuple[str, str]]:
        assert commit is not None
        return tree_files(self.project, commit)

    def text(self, commit: str | None, path: str) -> str:
        return git.run(["cat-file", "blob", self.files(commit)[path][1]], git_dir=self.project.repository).decode()

    def tip(self) -> str | None:
        return repositories.resolve(self.project, [TIP])[0]

    def parents(self, commit: str | None) -> list[str]:
        return gitrepos.private(self.project, "log", "-1", "--format=%P", str(commit)).split()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(
        tmp_path, {"f": TEXT, "g": edited(0, 1, 2, 3, 4), "b": b"\0base", "old/a": TEXT + "a\n", "old/b": TEXT + "b\n"}
    )


STRATEGIES = ("git_three_way", "sequential_apply", "fail_on_conflict", "last_wins")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_children_enter_one_on_the_other(tree: Tree, strategy: str) -> None:
    """Each onto the tip that the one before left; the tip is a commit on both, and the ref follows."""
    first, second = tree.state(files({"one": "1\n"})), tree.state(files({"two": "2\n", "g": None}))

    one = tree.integrate(tree.base, first, strategy)
    assert one.commit is not None
    assert (tree.tip(), tree.parents(one.commit)) == (one.commit, [tree.base, first])
    two = tree.integrate(one.commit, second, strategy)

    assert two.conflicts == []
    assert two.commit is not None
    assert (tree.tip(), tree.parents(two.commit)) == (two.commit, [one.commit, second])
    assert set(tree.files(two.commit)) == {"f", "b", "old/a", "old/b", "one", "two"}
    assert two.tree == changes.tree_of(tree.project, two.commit)
    assert tree.integrate(one.commit, second, strategy).tree == two.tree


def test_the_order_of_integration_alone_decides(tree: Tree) -> None:
    """Ten children that edit one file in different lines come to the tree of the edits made directly."""
    children = [tree.state(files({"f": edited(line)})) for line in range(0, 20, 2)]
    tip: str | None = tree.base
    for child in children:
        assert tip is not None
        tip = tree.integrate(tip, child).commit

    assert tree.text(tip, "f") == edited(*range(0, 20, 2))


def test_a_child_without_a_change_leaves_the_tip_as_it_is(tree: Tree) -> None:
    """Nothing to merge, and a change that the parent has already: no commit is made, the ref names the tip."""
    changed, same = tree.state(files({"f": edited(1)})), tree.state(files({"f": edited(1)}))

    assert tree.integrate(changed, tree.base) == Integrated(commit=changed, tree=changes.tree_of(tree.project, changed))
    assert tree.tip() == changed
    assert tree.integrate(changed, same).commit == changed


class Case:
    """Edits that do not fit together, with the paths in conflict and their kinds."""

    def __init__(self, parent: Edit, child: Edit, kinds: Mapping[bytes, str]) -> None:
        self.parent, self.child, self.kinds = parent, child, dict(kinds)


CASES = {
    "content": Case(files({"f": edited(2)}), files({"f": edited(2, word="x")}), {b"f": "content"}),
    "both added": Case(files({"n": "parent\n"}), files({"n": "child\n"}), {b"n": "add/add"}),
    "binary": Case(files({"b": b"\0parent"}), files({"b": b"\0child"}), {b"b": "binary"}),
    "binary added": Case(files({"n": b"\0parent"}), files({"n": b"\0child"}), {b"n": "binary"}),
    "deleted and changed": Case(files({"f": None}), files({"f": edited(2)}), {b"f": "delete/modify"}),
    "changed and deleted": Case(files({"f": edited(2)}), files({"f": None}), {b"f": "delete/modify"}),
    "renamed to two names": Case(
        files({"f": None, "x": edited(2)}),
        files({"f": None, "y": edited(17)}),
        {b"f": "rename", b"x": "rename", b"y": "rename"},
    ),
    "renamed below the other name": Case(
        files({"f": None, "x": TEXT}),
        files({"f": None, "x/y": TEXT}),
        {b"f": "rename", b"x": "rename", b"x/y": "rename"},
    ),
    "two renamed to one name": Case(
        files({"f": None, "x": edited(19)}),
        files({"g": None, "x": edited(0, 1, 2, 3, 4, 18)}),
        {b"x": "add/add"},
    ),
    "renamed and deleted": Case(files({"f": None}), files({"f": None, "y": edited(2)}), {b"y": "rename"}),
    "deleted and renamed": Case(files({"f": None, "y": edited(2)}), files({"f": None}), {b"y": "rename"}),
    "renamed and changed": Case(
        files({"f": None, "x": edited(2)}), files({"f": edited(2, word="x")}), {b"x": "content"}
    ),
    "directory renamed": Case(
        files({"old/a": None, "old/b": None, "new/a": TEXT + "a\n", "new/b": TEXT + "b\n"}),
        files({"old/c": "c\n"}),
        {b"new/c": "rename"},
    ),
    "file and directory": Case(files({"x": "file\n"}), files({"x/y": "y\n"}), {b"x": "file/directory"}),
    "directory and file": Case(files({"x/y": "y\n"}), files({"x": "file\n"}), {b"x": "file/directory"}),
    "changed and directory": Case(files({"f": edited(2)}), replaced_by_directory("f"), {b"f": "file/directory"}),
    "file and link": Case(files({"x": "file\n"}), linked("x", "f"), {b"x": "symlink"}),
    "changed and link": Case(files({"f": edited(2)}), linked("f", "g"), {b"f": "symlink"}),
    "two links": Case(linked("x", "f"), linked("x", "g"), {b"x": "symlink"}),
    "mode": Case(files({"n": "same\n"}), executable("n", "same\n"), {b"n": "mode"}),
    "any bytes": Case(files({b"a \n\xff": "1\n"}), files({b"a \n\xff": "2\n"}), {b"a \n\xff": "add/add"}),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def ids(conflict: Conflict) -> list[str | None]:
    """The ids of a conflict's versions in base, parent and child."""
    return [version and version[1] for version in (conflict.base, conflict.parent, conflict.child)]


def test_each_conflict_has_its_kind_and_can_be_settled_for_a_side(tree: Tree, case: Case) -> None:
    """Nothing moves while it is open. With one side taken everywhere the paths in conflict are what that side has,
    and no name is left that neither side knows. To take the child everywhere is what last_wins does."""
    parent, child = tree.state(case.parent), tree.state(case.child)
    repositories.move_refs(tree.project, [(TIP, parent)])

    found = tree.integrate(parent, child)

    assert {conflict.path: conflict.kind for conflict in found.conflicts} == case.kinds
    assert (found.commit, tree.tip()) == (None, parent)
    done = found
    for side, commit in ("parent", parent), ("child", child):
        there = tree.files(commit)
        for conflict in found.conflicts:
            name, version = os.fsdecode(conflict.path), getattr(conflict, side)
            if name in there:
                assert version == (int(there[name][0], 8), there[name][1])
        taken = {conflict.path: getattr(conflict, side) for conflict in found.conflicts}
        done = tree.integrate(parent, child, taken=taken)
        assert done.conflicts == []
        result = tree.files(done.commit)
        assert set(result) <= {*tree.files(parent), *tree.files(child), *map(os.fsdecode, taken)}
        for path, version in taken.items():
            assert result.get(os.fsdecode(path)) == (None if version is None else (f"{version[0]:06o}", version[1]))
    last = tree.integrate(parent, child, "last_wins")
    assert (last.tree, set(last.overridden)) == (done.tree, set(case.kinds))


def test_renames_give_the_versions_that_a_person_compares(tree: Tree) -> None:
    """A file that one side moved and both edited: all three are there, under the new name."""
    parent, child = tree.state(files({"f": None, "x": edited(2)})), tree.state(files({"f": edited(2, word="x")}))

    (conflict,) = tree.integrate(parent, child).conflicts

    sides = [tree.files(side)[name][1] for side, name in ((tree.base, "f"), (parent, "x"), (child, "f"))]
    assert ids(conflict) == sides


def test_a_file_with_two_new_names_can_have_its_old_one_again(tree: Tree) -> None:
    """The old name is in conflict too: with the base taken everywhere nothing was renamed."""
    parent, child = tree.state(files({"f": None, "x": edited(2)})), tree.state(files({"f": None, "y": edited(17)}))

    taken = {one.path: one.base for one in tree.integrate(parent, child).conflicts}

    assert tree.files(tree.integrate(parent, child, taken=taken).commit) == tree.files(tree.base)


def test_only_what_is_still_open_is_a_conflict(tree: Tree) -> None:
    """One of two settled leaves the other; a choice for a path that fits is passed over."""
    parent = tree.state(files({"f": edited(2), "n": "parent\n", "other": "p\n"}))
    child = tree.state(files({"f": edited(2, word="x"), "n": "child\n"}))
    mine = (0o100644, tree.files(parent)["f"][1])

    found = tree.integrate(parent, child, taken={b"f": mine})
    assert ([one.path for one in found.conflicts], found.open) == ([b"f", b"n"], [b"n"])
    done = tree.integrate(parent, child, taken={b"f": mine, b"n": None, b"other": None})
    assert set(tree.files(done.commit)) == {"f", "g", "b", "old/a", "old/b", "other"}
    assert tree.files(done.commit)["f"][1] == mine[1]


def test_a_file_is_not_chosen_where_another_needs_a_directory(tree: Tree) -> None:
    """Two choices that exclude each other leave the lower one open; neither is dropped silently."""
    parent, child = tree.state(files({"f": None, "x": TEXT})), tree.state(files({"f": None, "x/y": TEXT}))
    blob = (0o100644, tree.files(tree.base)["f"][1])

    found = tree.integrate(parent, child, taken={b"f": None, b"x": blob, b"x/y": blob})

    assert (found.open, found.commit) == ([b"x/y"], None)


def test_any_overlap_is_a_conflict_before_merging(tree: Tree) -> None:
    """With fail_on_conflict also edits that would merge; once settled, the choice is taken as it is."""
    parent, child = tree.state(files({"f": edited(2)})), tree.state(files({"f": edited(17), "n": "new\n"}))

    (conflict,) = tree.integrate(parent, child, "fail_on_conflict").conflicts

    assert (conflict.path, conflict.kind) == (b"f", "overlap")
    sides = [tree.files(side)["f"][1] for side in (tree.base, parent, child)]
    assert ids(conflict) == sides
    done = tree.integrate(parent, child, "fail_on_conflict", taken={b"f": conflict.child})
    assert (done.conflicts, done.open) == ([], [])
    assert tree.text(done.commit, "f") == edited(17)
    assert tree.text(done.commit, "n") == "new\n"


def test_submodules_are_moved_as_a_whole(tree: Tree) -> None:
    """Two commits for one submodule: a side can be taken, editing is refused."""

    def at(commit: str) -> str:
        lines = b"160000 commit %s\ts\n" % commit.encode() + git.run(
            ["ls-tree", tree.base], git_dir=tree.project.repository
        )
        made = repositories.private(tree.project, ["mktree", "--missing"], feed=lines).decode().strip()
        return repositories.commit(tree.project, made, [tree.base], "submodule")

    parent, child = at("1" * 40), at("2" * 40)
    (conflict,) = tree.integrate(parent, child).conflicts

    assert conflict == Conflict(
        path=b"s", kind="submodule", base=None, parent=(0o160000, "1" * 40), child=(0o160000, "2" * 40)
    )
    done = tree.integrate(parent, child, taken={b"s": conflict.child})
    assert tree.files(done.commit)["s"] == ("160000", "2" * 40)
    with pytest.raises(errors.InvalidArgumentError, match="submodule"):
        settling.edited(tree.project, tree.project.path, conflict)


def test_a_missing_commit_is_lost(tree: Tree) -> None:
    """What the private repository does not have any more is named."""
    parent = tree.state(files({"f": edited(2)}))
    base, ours = (Point(commit, changes.tree_of(tree.project, commit)) for commit in (tree.base, parent))
    child = Point("1111" * 10, "2222" * 10)

    with pytest.raises(errors.LostError, match="1111"):
        integrating.integrate(
            tree.project, base=base, parent=ours, child=child, strategy="git_three_way", ref=TIP, message="child"
        )


# What a person edits or brings


NAMES = {"parent": "modernise", "child": "modernise.2 (src/api)"}


def checkout(tree: Tree, parent: str, child: str) -> Path:
    directory = tree.project.path.parent / "sandboxes" / "local" / "p"
    settling.scratch(tree.project, Merge(tree.base, parent, child), NAMES, directory)
    return directory


def test_a_checkout_names_the_sides_as_people_do(tree: Tree) -> None:
    """Markers have the base between them and the names of parent and child behind them; the other files are merged."""
    parent = tree.state(files({"f": edited(2), "mine": "m\n", "x": "file\n"}))
    child = tree.state(files({"f": edited(2, word="x"), "its": "i\n", "x/y": "y\n"}))

    directory = checkout(tree, parent, child)

    text = (directory / "f").read_text()
    assert text.startswith(
        "line 0\nline 1\n<<<<<<< parent modernise\nchanged\n||||||| base\nline 2\n=======\nx\n"
        ">>>>>>> child modernise.2 (src/api)\nline 3\n"
    )
    assert {path.name for path in directory.iterdir()} == {"f", "g", "b", "old", "mine", "its", "x", "x~parent"}
    assert (directory / "x" / "y").read_text() == "y\n"


def test_a_checkout_with_edits_is_kept_until_the_merge_is_another(tree: Tree) -> None:
    """Asking again changes nothing; another tip of the child gets another checkout."""
    parent, child = tree.state(files({"f": edited(2)})), tree.state(files({"f": edited(2, word="x")}))
    directory = checkout(tree, parent, child)
    (directory / "f").write_text("settled\n")

    assert (checkout(tree, parent, child) / "f").read_text() == "settled\n"
    other = checkout(tree, parent, tree.state(files({"f": edited(2, word="y")})))
    assert "\ny\n>>>>>>> child" in (other / "f").read_text()


def test_an_edited_file_is_taken_as_it_is(tree: Tree) -> None:
    """Its text and mode; not while markers are left; a file that was removed is absent."""
    parent, child = tree.state(files({"f": edited(2)})), tree.state(files({"f": edited(2, word="x")}))
    (conflict,) = tree.integrate(parent, child).conflicts
    directory = checkout(tree, parent, child)

    with pytest.raises(errors.InvalidArgumentError, match="markers"):
        settling.edited(tree.project, directory, conflict)
    (directory / "f").write_text("<<<<<<< a heading of its own\nboth\n=======\n")
    (directory / "f").chmod(0o755)
    version = settling.edited(tree.project, directory, conflict)

    assert version is not None
    done = tree.integrate(parent, child, taken={b"f": version})
    assert tree.files(done.commit)["f"][0] == "100755"
    assert tree.text(done.commit, "f") == "<<<<<<< a heading of its own\nboth\n=======\n"
    (directory / "f").unlink()
    assert settling.edited(tree.project, directory, conflict) is None
    (directory / "f").symlink_to("g")
    assert settling.edited(tree.project, directory, conflict) == (LINK, _blob(tree, b"g"))
    (directory / "f").unlink()
    (directory / "f").mkdir()
    assert settling.edited(tree.project, directory, conflict) is None
    (directory / "f").rmdir()
    os.mkfifo(directory / "f")
    with pytest.raises(errors.InvalidArgumentError, match="neither a file nor a symlink"):
        settling.edited(tree.project, directory, conflict)


def _blob(tree: Tree, content: bytes) -> str:
    made = git.run(["hash-object", "--stdin"], git_dir=tree.project.repository, input=content)
    return made.decode().strip()


def test_any_file_of_the_user_can_be_taken(tree: Tree, tmp_path: Path) -> None:
    """With its executable bit; a link as a link; a directory, nothing, or too much is refused by name."""
    parent, child = tree.state(files({"f": edited(2)})), tree.state(files({"f": edited(2, word="x")}))
    (conflict,) = tree.integrate(parent, child).conflicts
    directory = checkout(tree, parent, child)
    source = tmp_path / "my version"
    source.write_bytes(b"mine\n")
    source.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to("somewhere")

    version = settling.file(tree.project, directory, conflict, source)

    assert version == (0o100755, _blob(tree, b"mine\n"))
    settling.keep(tree.project, "01JPARENT", "0/resolved", b"f", version)
    assert version[1] in repositories.plan_refs(tree.project, "01JPARENT").values()
    assert settling.file(tree.project, directory, conflict, link) == (LINK, _blob(tree, b"somewhere"))
    with pytest.raises(errors.NotFoundError, match="no-such"):
        settling.file(tree.project, directory, conflict, tmp_path / "no-such")
    with pytest.raises(errors.InvalidArgumentError, match="neither"):
        settling.file(tree.project, directory, conflict, tmp_path)
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(settling.LARGEST + 1)
    with pytest.raises(errors.InvalidArgumentError, match="at most"):
        settling.file(tree.project, directory, conflict, large)


def test_content_settings_hold_for_what_is_taken(tmp_path: Path) -> None:
    """Line ends and filters of the project: what is stored is what git would store, from the checkout and from a file."""
    tree = Tree(tmp_path, {"f.txt": TEXT, ".gitattributes": "*.txt text eol=crlf filter=up\n"})
    gitrepos.git(tree.project.path, "config", "filter.up.clean", "tr a-z A-Z")
    gitrepos.git(tree.project.path, "config", "filter.up.smudge", "tr A-Z a-z")
    snapshots.prepare(tree.project)
    parent, child = tree.state(files({"f.txt": edited(2)})), tree.state(files({"f.txt": edited(2, word="x")}))
    (conflict,) = tree.integrate(parent, child).conflicts
    directory = checkout(tree, parent, child)
    assert b"line 1\r\n" in (directory / "f.txt").read_bytes()

    (directory / "f.txt").write_bytes(b"one\r\ntwo\r\n")
    mine = tmp_path / "mine"
    mine.write_bytes(b"one\r\ntwo\r\n")

    stored = (0o100644, _blob(tree, b"ONE\nTWO\n"))
    assert settling.edited(tree.project, directory, conflict) == stored
    assert settling.file(tree.project, directory, conflict, mine) == stored


def test_no_checkout_is_touched(tree: Tree) -> None:
    """The project is byte for byte as before, whatever is merged."""
    parent, child = tree.state(files({"f": edited(2)})), tree.state(files({"f": edited(2, word="x")}))
    before = gitrepos.fingerprint(tree.project.path)

    tree.integrate(parent, child)
    tree.integrate(parent, child, "last_wins")
    checkout(tree, parent, child)

    assert gitrepos.fingerprint(tree.project.path) == before
