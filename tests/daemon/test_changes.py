"""Differences, their text and digest, and merges, on trees alone."""

import hashlib
import os
from pathlib import Path

import pytest

from daemon import changes, git, repositories, snapshots
from daemon.changes import Conflict
from daemon.snapshots import Project
from store import errors
from tests.daemon import gitrepos
from tests.daemon.gitrepos import BASE, Content, commit, put, tree_files


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def state(project: Project, files: dict[str | bytes, Content], *, parent: str | None = None) -> str:
    """The commit of the project with these files changed; the project is at HEAD again afterwards."""
    put(project.path, files)
    taken = snapshots.take(project, BASE, parent=parent)
    gitrepos.git(project.path, "reset", "-q", "--hard")
    gitrepos.git(project.path, "clean", "-q", "-ffdx")
    return taken.commit


TEXT = "".join(f"line {number}\n" for number in range(20))


def edited(*lines: int, word: str = "changed") -> str:
    return "".join(f"{word}\n" if number in lines else f"line {number}\n" for number in range(20))


def test_diff_lists_every_kind_of_change(tmp_path: Path) -> None:
    """Added, modified, deleted, renamed; text with lines, binary with sizes; modes."""
    project = gitrepos.repository(
        tmp_path, {"mod": TEXT, "old name": TEXT + "r\n", "del": "x\ny\n", "bin": b"\0a", "exec": "e\n"}
    )
    base = snapshots.take(project, BASE).commit
    (project.path / "exec").chmod(0o755)
    result = state(
        project,
        {
            "mod": edited(3),
            "old name": None,
            b"new\nname\xff": TEXT + "s\n",
            "del": None,
            "bin": b"\0abc",
            "add": "1\n2\n",
        },
    )

    found = changes.diff(project, base, result)

    said = {
        file.path: (
            file.status,
            file.old_path,
            file.binary,
            file.insertions,
            file.deletions,
        )
        for file in found.files
    }
    assert said == {
        b"add": ("added", None, False, 2, 0),
        b"bin": ("modified", None, True, None, None),
        b"del": ("deleted", None, False, 0, 2),
        b"exec": ("modified", None, False, 0, 0),
        b"mod": ("modified", None, False, 1, 1),
        b"new\nname\xff": ("renamed", b"old name", False, 1, 1),
    }
    assert (found.insertions, found.deletions) == (4, 4)
    modes = {file.path: (file.old_mode, file.new_mode) for file in found.files}
    assert modes[b"exec"] == (0o100644, 0o100755)


def test_diff_of_links_and_submodules(tmp_path: Path) -> None:
    """A file that became a link is modified; a submodule is one file."""
    project = gitrepos.repository(tmp_path, {"x": "x\n"})
    head = gitrepos.git(project.path, "rev-parse", "HEAD")
    snapshots.prepare(project)
    (project.path / "x").unlink()
    (project.path / "x").symlink_to("y")
    gitrepos.git(project.path, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    (project.path / "sub").mkdir()
    result = snapshots.take(project, BASE)

    files = {file.path: file for file in changes.diff(project, head, result.commit).files}

    assert (files[b"x"].status, files[b"x"].new_mode) == ("modified", 0o120000)
    assert (files[b"sub"].status, files[b"sub"].new_mode) == ("added", 0o160000)


def test_diff_of_equal_trees_is_empty(tmp_path: Path) -> None:
    """Nothing changed, nothing listed."""
    project = gitrepos.repository(tmp_path)
    base = snapshots.take(project, BASE).commit

    assert changes.diff(project, base, base) == changes.Changes([], 0, 0)
    assert changes.touched(project, base, base) == []
    assert changes.patch(project, base, base) == b""


def test_patch_is_what_git_shows(tmp_path: Path) -> None:
    """The text applies with `git apply`; names in any bytes; below a directory when asked."""
    project = gitrepos.repository(tmp_path, {"a b": TEXT, "c*": TEXT, "cc": TEXT})
    base = snapshots.take(project, BASE).commit
    result = state(project, {"a b": edited(1), "c*": edited(2), "cc": edited(3), b"\xff": "n\n"})

    whole = changes.patch(project, base, result)
    assert git.run(["apply", "--check", "-"], cwd=project.path, input=whole) == b""
    inside = changes.patch(project, base, result, within="local/web/")
    assert inside.count(b"diff --git") == whole.count(b"diff --git")
    assert b"+++ b/local/web/c*\n" in inside


def test_patch_names_binary_files_with_sizes(tmp_path: Path) -> None:
    """Binary content is never dumped, and text that looks like git's line is left alone."""
    project = gitrepos.repository(tmp_path, {"bin": b"\0" * 10, "gone": b"\0g", "moved": b"\0" + os.urandom(100)})
    base = snapshots.take(project, BASE).commit
    moved = (project.path / "moved").read_bytes()
    text = "Binary files a/x and b/x differ\n"
    result = state(project, {"bin": b"\0" * 30, "gone": None, "new": b"\0new", "moved": None, "to": moved, "t": text})

    said = changes.patch(project, base, result).decode()

    assert "Binary files a/bin and b/bin differ: 10 bytes -> 30 bytes\n" in said
    assert "Binary files a/gone and /dev/null differ: 2 bytes -> absent\n" in said
    assert "Binary files /dev/null and b/new differ: absent -> 4 bytes\n" in said
    assert "rename from moved" in said
    assert f"+{text}" in said


def test_users_diff_programs_do_not_run(tmp_path: Path) -> None:
    """External diff and textconv of the user's configuration are not started."""
    project = gitrepos.repository(tmp_path, {"a": "1\n"})
    (tmp_path / "evil").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "evil").chmod(0o755)
    gitrepos.git(project.path, "config", "--global", "diff.external", str(tmp_path / "evil"))
    gitrepos.git(project.path, "config", "--global", "diff.x.textconv", str(tmp_path / "evil"))
    (project.path / ".git/info/attributes").write_text("* diff=x\n")
    base = snapshots.take(project, BASE).commit
    result = state(project, {"a": "2\n"})

    assert b"-1\n+2\n" in changes.patch(project, base, result)
    assert not (tmp_path / "ran").exists()


def test_digest_is_over_all_trees_in_order() -> None:
    """The same trees give the same digest; any other tree or order gives another."""
    pairs = [("b1", "r1"), ("b2", "r2")]

    assert changes.digest(pairs) == hashlib.sha256(b"b1 r1\nb2 r2\n").hexdigest()
    assert len({changes.digest(each) for each in (pairs, pairs[::-1], pairs[:1], [("b1", "r2"), ("b2", "r1")])}) == 4


def test_unknown_commit_is_not_found(tmp_path: Path) -> None:
    """A commit that the private repository lost is named."""
    project = gitrepos.repository(tmp_path)
    snapshots.prepare(project)

    with pytest.raises(errors.NotFoundError, match="no commit 1111"):
        changes.tree_of(project, "1111" * 10)
    with pytest.raises(errors.LostError, match="object 1111"):
        changes.merge(project, "HEAD", "HEAD", "1111" * 10)


# Merges


def merged(project: Project, base: str, ours: str, theirs: str) -> dict[str, tuple[str, str]]:
    merge = changes.merge(project, base, ours, theirs)
    assert merge.tree is not None, merge.conflicts
    return tree_files(project, merge.tree)


def test_one_sided_changes_need_no_merge(tmp_path: Path) -> None:
    """Whoever alone changed something wins; the same change on both sides is one change."""
    project = gitrepos.repository(tmp_path)
    base = snapshots.take(project, BASE).commit
    changed = state(project, {"a.txt": "changed\n"})
    tree = changes.tree_of(project, changed)

    assert changes.merge(project, base, base, changed).tree == tree
    assert changes.merge(project, base, changed, base).tree == tree
    assert changes.merge(project, base, changed, changed).tree == tree
    assert changes.merge(project, base, base, base).tree == changes.tree_of(project, base)


def test_changes_beside_each_other_are_merged(tmp_path: Path) -> None:
    """Other files, other lines of one file, and a file edited here and moved there."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "moves": TEXT + "m\n"})
    base = snapshots.take(project, BASE).commit
    ours = state(project, {"f": edited(2), "moves": edited(5) + "m\n", "mine": "m"})
    theirs = state(project, {"f": edited(15), "moves": None, "moved": TEXT + "m\n", "theirs": "t"})

    result = merged(project, base, ours, theirs)

    assert set(result) == {"f", "moved", "mine", "theirs"}
    assert git.run(["cat-file", "blob", result["f"][1]], git_dir=project.repository).decode() == edited(2, 15)
    assert git.run(["cat-file", "blob", result["moved"][1]], git_dir=project.repository).decode() == edited(5) + "m\n"


def test_base_given_is_the_base_used(tmp_path: Path) -> None:
    """Whatever the commits descend from, the merge is of the changes since `base`.

    The project committed on while the plan's base holds what was uncommitted then: ancestry would name another base.
    """
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    put(project.path, {"f": edited(2, word="dirty")})
    base = snapshots.take(project, BASE).commit
    theirs = state(project, {"f": edited(2, word="dirty").replace("line 15", "plan")}, parent=base)
    put(project.path, {"f": edited(2, word="dirty")})
    ours = commit(project.path, "the dirty edit")
    snapshots.prepare(project)

    result = merged(project, base, ours, theirs)

    text = git.run(["cat-file", "blob", result["f"][1]], git_dir=project.repository).decode()
    assert text == edited(2, word="dirty").replace("line 15", "plan")


@pytest.mark.parametrize(
    ("ours", "theirs", "kinds"),
    [
        ({"f": edited(2)}, {"f": edited(2, word="other")}, {b"f": "content"}),
        ({"b": b"\0ours"}, {"b": b"\0theirs"}, {b"b": "binary"}),
        ({"f": None}, {"f": edited(2)}, {b"f": "delete/modify"}),
        ({"f": edited(2)}, {"f": None}, {b"f": "delete/modify"}),
        ({"n": "ours\n"}, {"n": "theirs\n"}, {b"n": "add/add"}),
        ({"f": None, "x": TEXT}, {"f": None, "y": TEXT}, {b"f": "rename", b"x": "rename", b"y": "rename"}),
        ({"f": None}, {"f": None, "y": edited(2)}, {b"y": "rename"}),
    ],
)
def test_conflicts_have_a_kind_and_three_versions(
    tmp_path: Path, ours: dict[str | bytes, Content], theirs: dict[str | bytes, Content], kinds: dict[bytes, str]
) -> None:
    """Each conflicting file is named with its kind, and its versions are the ones of the three sides."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "b": b"\0base", "other": "o"})
    base = snapshots.take(project, BASE).commit
    sides = [base, state(project, ours), state(project, theirs)]

    merge = changes.merge(project, *sides)

    assert merge.tree is None
    assert {conflict.path: conflict.kind for conflict in merge.conflicts} == kinds
    if set(kinds.values()) != {"rename"}:
        (conflict,) = merge.conflicts
        path = conflict.path.decode()
        versions = [tree_files(project, side).get(path, (None, None))[1] for side in sides]
        assert [conflict.base, conflict.ours, conflict.theirs] == versions


def test_conflict_in_a_name_of_any_bytes(tmp_path: Path) -> None:
    """The name comes out as it went in."""
    name = b"a \n\xff"
    project = gitrepos.repository(tmp_path, {name: TEXT})
    base = snapshots.take(project, BASE).commit

    merge = changes.merge(project, base, state(project, {name: edited(1)}), state(project, {name: edited(1, word="x")}))

    assert [conflict.path for conflict in merge.conflicts] == [name]


def test_file_against_directory_is_a_conflict(tmp_path: Path) -> None:
    """A file here and a directory of the same name there do not fit."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    base = snapshots.take(project, BASE).commit

    merge = changes.merge(project, base, state(project, {"x": "file"}), state(project, {"x/y": "directory"}))

    assert merge.tree is None
    assert [(conflict.path, conflict.kind) for conflict in merge.conflicts] == [(b"x", "file/directory")]


def test_a_split_directory_leaves_a_new_file_where_it_is(tmp_path: Path) -> None:
    """git only remarks that it cannot guess a new place for it; no file has two versions, so the merge is whole."""
    project = gitrepos.repository(tmp_path, {"old/a": TEXT, "old/b": TEXT + "b\n"})
    base = snapshots.take(project, BASE).commit
    ours = state(project, {"old/a": None, "old/b": None, "m/a": TEXT, "n/b": TEXT + "b\n"})
    theirs = state(project, {"old/c": "new\n"})

    assert set(merged(project, base, ours, theirs)) == {"m/a", "n/b", "old/c"}


def test_link_against_file_is_a_conflict(tmp_path: Path) -> None:
    """Different kinds of thing at one new place do not fit."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    base = snapshots.take(project, BASE).commit
    ours = state(project, {"x": "file"})
    (project.path / "x").symlink_to("f")
    theirs = snapshots.take(project, BASE).commit

    (conflict,) = changes.merge(project, base, ours, theirs).conflicts

    assert (conflict.path, conflict.kind) == (b"x", "symlink")
    assert conflict.ours
    assert conflict.theirs


def test_submodule_on_both_sides_is_a_conflict(tmp_path: Path) -> None:
    """Two different commits for one submodule do not fit."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    base = snapshots.take(project, BASE).commit

    def linked(commit_id: str) -> str:
        entries = (
            git.run(["ls-tree", "-r", base], git_dir=project.repository) + f"160000 commit {commit_id}\ts\n".encode()
        )
        return repositories.private(project, ["mktree", "--missing"], feed=entries).decode().strip()

    merge = changes.merge(project, base, linked("1" * 40), linked("2" * 40))

    assert merge == changes.Merge(
        None, [Conflict(path=b"s", kind="submodule", base=None, ours="1" * 40, theirs="2" * 40)]
    )
