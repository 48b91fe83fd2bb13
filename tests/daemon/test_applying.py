"""Apply on the real project: the merge with the user's own work, the files, and every mode."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from daemon import applying, changes, git, sandboxes, snapshots
from daemon.snapshots import Project
from store import errors
from tests.daemon import gitrepos
from tests.daemon.gitrepos import PLAN, Content, Run, commit, files, fingerprint, private, put, twin

TEXT = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def edited(*lines: int, word: str = "changed") -> str:
    return "".join(f"{word}\n" if number in lines else f"line {number}\n" for number in range(20))


def putting(changed: dict[str | bytes, Content]) -> Callable[[Path], None]:
    return lambda root: put(root, changed)


def all_of_git(project: Project) -> dict[str, object]:
    """All that must not change in a project, its stash, index and HEAD included."""
    return fingerprint(project.path)


# The oracle: what a plan did, applied, is what doing it directly gives


def edit_text(root: Path) -> None:
    put(root, {"text": edited(3), "dir/b": None, "dir/c": "c\n", "new/deep/x": "x", "empty": ""})


def edit_binary(root: Path) -> None:
    put(root, {"bin": bytes(range(256)) * 50, "newbin": b"\0\xff\r\n"})


def edit_modes(root: Path) -> None:
    (root / "run").chmod(0o644)
    (root / "text").chmod(0o755)
    put(root, {"tool": "#!/bin/sh\n"})
    (root / "tool").chmod(0o755)


def edit_names(root: Path) -> None:
    put(root, {"with space": "1", "line\nbreak": "2", b"\xff\xfe": "3", b"d\xe9/x": "4", '"q"': "5", "-n": "6"})


def edit_links(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("../outside")
    (root / "text").unlink()
    (root / "text").symlink_to("run")
    (root / "dangling").symlink_to(b"\xff nowhere")
    (root / "old link").unlink()
    put(root, {"old link": "a file now"})


def edit_shapes(root: Path) -> None:
    put(root, {"dir/a": None, "dir/b": None})
    (root / "dir").rmdir()
    put(root, {"dir": "a file now", "text": None})
    put(root, {"text/x": "a directory now"})
    (root / "old link").unlink()
    put(root, {"old link/x": "a directory now"})


def edit_renames(root: Path) -> None:
    (root / "moved").mkdir()
    (root / "text").rename(root / "moved" / "text")
    (root / "dir" / "a").rename(root / "run2")


@pytest.mark.parametrize("kind", ["git", "folder"])
@pytest.mark.parametrize(
    "edit", [edit_text, edit_binary, edit_modes, edit_names, edit_links, edit_shapes, edit_renames]
)
def test_apply_gives_what_the_edits_give(tmp_path: Path, kind: str, edit: Callable[[Path], None]) -> None:
    """Byte for byte and mode for mode the tree that the same edits make directly; undo gives back the one before."""
    make = gitrepos.repository if kind == "git" else gitrepos.folder
    project = make(
        tmp_path, {"text": TEXT, "dir/a": "a\n", "dir/b": "b\n", "bin": b"\0bin", "run": "r", "untouched": "u"}
    )
    (project.path / "run").chmod(0o755)
    (project.path / "link").symlink_to("text")
    (project.path / "old link").symlink_to("dir")
    before, direct = files(project.path), twin(project)
    edit(direct)

    run = Run(project, edit)
    prepared = run.apply()

    assert files(project.path) == files(direct)
    assert not list(project.path.rglob(".ca-*"))
    assert applying.undo(project, prepared.entries) == []
    assert files(project.path) == before
    assert {path.name for path in project.path.iterdir() if path.is_dir()} <= {".git", "dir", "old link"}


def test_permissions_of_the_user_stay(tmp_path: Path) -> None:
    """A 0640 file stays 0640, an executable loses or gains only its x, a new file follows the umask, undo restores."""
    project = gitrepos.repository(tmp_path, {"shared": "1", "tool": "1", "gains": "1"})
    (project.path / "tool").chmod(0o755)
    commit(project.path)
    (project.path / "shared").chmod(0o640)
    (project.path / "tool").chmod(0o750)
    (project.path / "gains").chmod(0o660)

    def edit(root: Path) -> None:
        put(root, {"shared": "2", "tool": "2", "new/plain": "n", "new/run": "n"})
        for name, mode in {"tool": 0o644, "gains": 0o755, "new/run": 0o755}.items():
            (root / name).chmod(mode)

    run = Run(project, edit)
    prepared = run.apply()

    def modes() -> dict[str, str]:
        return {
            path.name: oct(path.stat().st_mode & 0o777) for path in project.path.rglob("*") if ".git" not in path.parts
        }

    new = {"new": "0o755", "plain": "0o644", "run": "0o755"}
    assert modes() == {"shared": "0o640", "tool": "0o640", "gains": "0o770", **new}
    applying.undo(project, prepared.entries)
    assert modes() == {"shared": "0o640", "tool": "0o750", "gains": "0o660"}


def test_file_system_without_modes_is_understood(tmp_path: Path) -> None:
    """Where `core.fileMode` is off permissions say nothing, neither about the change nor about the user."""
    project = gitrepos.repository(tmp_path, {"a": "1"})
    gitrepos.git(project.path, "config", "core.fileMode", "false")
    run = Run(project, putting({"a": "2", "b": "new"}))
    (project.path / "a").chmod(0o777)
    prepared = run.apply()
    (project.path / "b").chmod(0o777)

    assert applying.undo(project, prepared.entries) == []


# The user's own work


def test_work_beside_and_in_the_change_set_is_kept(tmp_path: Path) -> None:
    """Dirty, staged and untracked files, in and beside the change set: merged or left, never lost; undo gives them back."""
    project = gitrepos.repository(tmp_path, {"shared": TEXT, "mine": "1", "staged": TEXT, "plan": "1"})
    run = Run(project, putting({"shared": edited(15), "staged": edited(15), "plan": "2", "new": "n"}))
    put(project.path, {"shared": edited(2), "mine": "2", "staged": edited(2), "untracked": "u", "both": "b"})
    gitrepos.git(project.path, "add", "staged", "both")
    put(project.path, {"both": "edited after staging"})
    before, index = all_of_git(project), gitrepos.git(project.path, "ls-files", "-s")

    prepared = run.apply()

    assert (prepared.moved, sorted(prepared.dirty)) == (True, [b"shared", b"staged"])
    assert (prepared.files, prepared.insertions, prepared.deletions) == (4, 4, 3)
    contents = {path.name: path.read_text() for path in project.path.iterdir() if path.is_file()}
    assert contents == {
        "shared": edited(2, 15),
        "staged": edited(2, 15),
        "mine": "2",
        "plan": "2",
        "new": "n",
        "untracked": "u",
        "both": "edited after staging",
    }
    assert gitrepos.git(project.path, "ls-files", "-s") == index
    applying.undo(project, prepared.entries)
    assert {name: state for name, state in fingerprint(project.path).items() if name in before} == before


def test_edits_that_were_in_the_base_are_no_conflict(tmp_path: Path) -> None:
    """A plan that started from uncommitted work applies onto it, and onto it once it was committed."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    put(project.path, {"f": edited(2), "u": TEXT})
    run = Run(project, putting({"f": edited(2, 15), "u": edited(7)}))
    assert not run.prepare().moved
    commit(project.path, "the user's own commit")

    assert not run.apply("commit").moved

    assert (project.path / "f").read_text() == edited(2, 15)
    assert gitrepos.git(project.path, "status", "--porcelain") == ""


CONFLICTS: list[tuple[str, dict[str | bytes, Content], dict[str | bytes, Content], dict[str, str]]] = [
    ("text", {"f": edited(2)}, {"f": edited(2, word="user")}, {"f": "content"}),
    ("binary", {"b": b"\0plan"}, {"b": b"\0user"}, {"b": "binary"}),
    ("plan deletes", {"f": None}, {"f": edited(2)}, {"f": "delete/modify"}),
    ("user deletes", {"f": edited(2)}, {"f": None}, {"f": "delete/modify"}),
    ("both add", {"n": "plan\n"}, {"n": "user\n"}, {"n": "add/add"}),
    ("both rename", {"f": None, "x": TEXT}, {"f": None, "y": TEXT}, {"f": "rename", "x": "rename", "y": "rename"}),
    ("ignored in the way", {".gitignore": "", "x.log": "plan"}, {"x.log": "user"}, {"x.log": "add/add"}),
    ("ignored directory", {".gitignore": "", "x.log": "plan"}, {"x.log/y": "user"}, {"x.log": "file/directory"}),
    ("ignored file above", {".gitignore": "", "x.log/y": "plan"}, {"x.log": "user"}, {"x.log/y": "file/directory"}),
    ("ignored inside", {"d/x": None, "d": "file"}, {"d/y.log": "user"}, {"d": "file/directory"}),
]


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("mode", ["worktree", "index", "commit"])
@pytest.mark.parametrize(
    ("plans", "users", "kinds"), [case[1:] for case in CONFLICTS], ids=[case[0] for case in CONFLICTS]
)
def test_conflict_leaves_everything_as_it_was(
    tmp_path: Path,
    plans: dict[str | bytes, Content],
    users: dict[str | bytes, Content],
    kinds: dict[str, str],
    mode: str,
    *,
    staged: bool,
) -> None:
    """Project, index, HEAD and stash stay byte for byte; the error has each file with kind and three versions."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "b": b"\0base", ".gitignore": "*.log\n", "d/x": "x"})
    put(project.path, {"b": b"\0stashed"})
    gitrepos.git(project.path, "stash", "-q")

    def edit(root: Path) -> None:
        for name, content in plans.items():
            put(root, {name: content})
            if name == "d/x":
                (root / "d").rmdir()

    run = Run(project, edit)
    put(project.path, users)
    if staged:
        gitrepos.git(project.path, "add", "-A")
    before = all_of_git(project)

    with pytest.raises(errors.MergeConflictError) as caught:
        run.prepare(mode)

    assert all_of_git(project) == before
    found = caught.value.detail["files"]
    assert {file["path"]: file["kind"] for file in found} == kinds
    assert set(found[0]) == {"project", "path", "kind", "base", "ours", "theirs"}
    for file in found:
        for version in "base", "ours", "theirs":
            if file[version]:
                private(project, "cat-file", "blob", file[version])
    assert msgspec.json.decode(msgspec.json.encode(caught.value.detail)) == caught.value.detail
    assert (caught.value.detail["project"], caught.value.detail["where"]) == ("local/p", "files")


def test_same_edit_by_both_is_no_conflict(tmp_path: Path) -> None:
    """What the user did already need not be written."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "g": "1"})
    run = Run(project, putting({"f": edited(2), "g": "2"}))
    put(project.path, {"f": edited(2)})

    prepared = run.apply()

    assert [entry.path for entry in prepared.entries] == [b"g"]


def test_user_switched_branch_before(tmp_path: Path) -> None:
    """The plan is merged into what is checked out now."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    run = Run(project, putting({"f": edited(15)}))
    gitrepos.git(project.path, "switch", "-q", "-c", "other")
    put(project.path, {"f": edited(2)})
    commit(project.path)

    assert run.apply("commit").moved

    assert gitrepos.git(project.path, "show", "other:f") + "\n" == edited(2, 15)
    assert gitrepos.git(project.path, "show", "main:f") + "\n" == TEXT


def test_project_under_merge_or_gone_is_refused(tmp_path: Path) -> None:
    """Apply has the same conditions as a snapshot."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({"a.txt": "2\n"}))
    (project.path / ".git/MERGE_HEAD").write_text(gitrepos.git(project.path, "rev-parse", "HEAD"))
    with pytest.raises(errors.InvalidArgumentError, match="merge"):
        run.prepare()
    project.path.rename(tmp_path / "moved")

    for mode in "worktree", "commit":
        with pytest.raises(errors.NotFoundError):
            run.prepare(mode)


# Line ends and filters


def test_line_ends_are_the_projects_and_undo_is_byte_exact(tmp_path: Path) -> None:
    """With autocrlf new content has CRLF; a file that was otherwise on disk comes back as it was."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "odd": TEXT, "mode": TEXT})
    gitrepos.git(project.path, "config", "core.autocrlf", "true")
    put(project.path, {"f": TEXT.replace("\n", "\r\n"), "odd": TEXT.replace("\n", "\r\n", 3)})
    before = files(project.path)

    def edit(root: Path) -> None:
        put(root, {"f": edited(2).replace("\n", "\r\n"), "odd": edited(9).replace("\n", "\r\n"), "new": "1\r\n2\r\n"})
        (root / "mode").chmod(0o755)

    run = Run(project, edit)
    prepared = run.apply()

    assert (project.path / "f").read_bytes().decode() == edited(2).replace("\n", "\r\n")
    assert (project.path / "new").read_bytes() == b"1\r\n2\r\n"
    assert (project.path / "mode").read_bytes().decode() == TEXT
    applying.undo(project, prepared.entries)
    assert files(project.path) == before


def test_filters_of_the_project_are_used(tmp_path: Path) -> None:
    """Content that is kept filtered is written smudged, by the attributes of the merged result."""
    project = gitrepos.repository(tmp_path, {"x.up": "first\n"})
    gitrepos.git(project.path, "config", "filter.up.clean", "tr A-Z a-z")
    gitrepos.git(project.path, "config", "filter.up.smudge", "tr a-z A-Z")

    run = Run(project, putting({".gitattributes": "*.up filter=up\n", "x.up": "SECOND\n"}))
    prepared = run.apply()

    assert (project.path / "x.up").read_text() == "SECOND\n"
    assert private(project, "show", f"{run.result}:x.up") == "second"
    applying.undo(project, prepared.entries)
    assert (project.path / "x.up").read_text() == "first\n"


# Modes


def test_worktree_mode_stages_nothing(tmp_path: Path) -> None:
    """Files change, the index, HEAD and refs do not."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({"a.txt": "2\n", "new": "n"}))
    before = fingerprint(project.path / ".git")

    assert run.apply().commit is None

    assert fingerprint(project.path / ".git") == before


def test_index_mode_stages_the_plans_change_only(tmp_path: Path) -> None:
    """What the user staged stays staged, what not stays unstaged, the plan's lines are staged, undo unstages them."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "gone": "g", "mine": "m"})

    def edit(root: Path) -> None:
        put(root, {"f": edited(15), "new": "n", "gone": None, "run": "r"})
        (root / "run").chmod(0o755)

    run = Run(project, edit)
    put(project.path, {"f": edited(2)})
    gitrepos.git(project.path, "add", "f")
    put(project.path, {"f": edited(2, 7), "mine": "mm"})
    index, before = gitrepos.git(project.path, "ls-files", "-s"), files(project.path)

    prepared = run.apply("index")

    assert gitrepos.git(project.path, "show", ":f") + "\n" == edited(2, 15)
    assert (project.path / "f").read_text() == edited(2, 7, 15)
    status = git.run(["status", "--porcelain"], cwd=project.path).decode()
    assert status.splitlines() == ["MM f", "D  gone", " M mine", "A  new", "A  run"]
    assert gitrepos.git(project.path, "fsck", "--full", "--strict", "--no-dangling") == ""
    applying.undo(project, prepared.entries)
    assert gitrepos.git(project.path, "ls-files", "-s") == index
    assert files(project.path) == before


def test_commit_mode_commits_the_plans_change_only(tmp_path: Path) -> None:
    """One commit by the user on the branch, without the uncommitted work, which stays uncommitted; undo takes it back."""
    project = gitrepos.repository(tmp_path, {"f": TEXT, "mine": "m"})
    put(project.path, {"f": edited(2), "untracked": "u"})
    run = Run(project, putting({"f": edited(2, 15), "new": "n"}))
    head = gitrepos.git(project.path, "rev-parse", "HEAD")
    before = files(project.path)

    prepared = run.apply("commit")

    assert gitrepos.git(project.path, "rev-parse", "main", "main^").split() == [prepared.commit, head]
    assert gitrepos.git(project.path, "show", "main:f") + "\n" == edited(15)
    assert (
        gitrepos.git(project.path, "log", "-1", "--format=%an <%ae>|%cn|%B")
        == "Ada <ada@example.org>|Ada|the plan's change"
    )
    assert gitrepos.git(project.path, "ls-tree", "--name-only", "main").split() == ["f", "mine", "new"]
    status = git.run(["status", "--porcelain"], cwd=project.path).decode()
    assert status.splitlines() == [" M f", "?? untracked"]
    assert "cleveragents: apply" in gitrepos.git(project.path, "reflog", "-1")
    gitrepos.git(project.path, "fsck", "--full", "--strict")
    applying.undo(project, prepared.entries)
    assert gitrepos.git(project.path, "rev-parse", "main") == head
    assert files(project.path) == before
    assert git.run(["status", "--porcelain"], cwd=project.path).decode().splitlines() == [" M f", "?? untracked"]


def test_commit_on_an_unborn_branch(tmp_path: Path) -> None:
    """The first commit of a repository may be a plan's."""
    (tmp_path / "p").mkdir()
    gitrepos.git(tmp_path / "p", "init", "-q")
    project = gitrepos.project_at(tmp_path / "p")
    run = Run(project, putting({"x": "x"}))

    prepared = run.apply("commit")

    assert gitrepos.git(project.path, "rev-list", "main") == prepared.commit
    applying.undo(project, prepared.entries)
    assert git.call(["rev-parse", "-q", "--verify", "main"], cwd=project.path, ok=None).returncode == 1
    assert files(project.path) == {}


def test_commit_uses_identity_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that git itself obeys for a commit's author and committer are obeyed."""
    project = gitrepos.repository(tmp_path)
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Grace")
    run = Run(project, putting({"a.txt": "2\n"}))

    run.apply("commit")

    assert gitrepos.git(project.path, "log", "-1", "--format=%an|%cn") == "Grace|Ada"


def test_branch_mode_leaves_the_checkout_untouched(tmp_path: Path) -> None:
    """A new branch on HEAD with the plan's change; files, index and HEAD are the same; undo removes it."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    put(project.path, {"f": edited(2)})
    run = Run(project, putting({"f": edited(2, 15)}))
    before, head = files(project.path), gitrepos.git(project.path, "rev-parse", "HEAD")
    index = (project.path / ".git/index").read_bytes()

    prepared = run.apply("branch", "plans/one")

    assert files(project.path) == before
    assert (project.path / ".git/index").read_bytes() == index
    assert gitrepos.git(project.path, "rev-parse", "HEAD", "plans/one^").split() == [head, head]
    assert gitrepos.git(project.path, "show", "plans/one:f") + "\n" == edited(15)
    assert (prepared.files, prepared.tree) == (1, changes.tree_of(project, str(prepared.commit)))
    gitrepos.git(project.path, "fsck", "--full", "--strict")
    applying.undo(project, prepared.entries)
    assert gitrepos.git(project.path, "branch", "--format=%(refname:short)") == "main"


def test_branch_mode_works_detached(tmp_path: Path) -> None:
    """A detached HEAD is a parent like any other."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "switch", "-q", "--detach")
    run = Run(project, putting({"a.txt": "2\n"}))

    run.apply("branch", "b")

    assert gitrepos.git(project.path, "rev-parse", "b^") == gitrepos.git(project.path, "rev-parse", "HEAD")


@pytest.mark.parametrize("branch", [None, "", "bad..name", "-x", "main", "main/sub", "taken"])
def test_unsuitable_branch_is_refused(tmp_path: Path, branch: str | None) -> None:
    """No name, a bad one, or one that exists or stands in the way."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "branch", "taken/sub")
    run = Run(project, putting({"a.txt": "2\n"}))

    with pytest.raises(errors.InvalidArgumentError, match="branch"):
        run.prepare("branch", branch)


def test_modes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """A folder has only files; a detached HEAD has no branch; nobody's commit is not made; a made-up mode is none."""
    run = Run(gitrepos.folder(tmp_path), putting({"a.txt": "2\n"}), "F")
    for mode in "index", "commit", "branch":
        with pytest.raises(errors.InvalidArgumentError, match="plain folder"):
            run.prepare(mode)
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({"a.txt": "2\n"}))
    with pytest.raises(errors.InvalidArgumentError, match="no apply mode 'push'"):
        run.prepare("push")
    (tmp_path / "home/.gitconfig").write_text("")
    for mode in "commit", "branch":
        with pytest.raises(errors.InvalidArgumentError, match="who you are"):
            run.prepare(mode, "b")
    gitrepos.git(project.path, "switch", "-q", "--detach")
    with pytest.raises(errors.InvalidArgumentError, match="detached"):
        run.prepare("commit")


def test_hooks_of_the_project_do_not_run(tmp_path: Path) -> None:
    """Apply is not a commit that the user types: no hook can stop it, or do something else with it."""
    project = gitrepos.repository(tmp_path)
    for hook in "post-index-change", "reference-transaction", "pre-commit", "post-commit", "commit-msg":
        put(project.path, {f".git/hooks/{hook}": f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n"})
        (project.path / ".git/hooks" / hook).chmod(0o755)

    Run(project, putting({"a.txt": "2\n"})).apply("commit")

    assert not (tmp_path / "ran").exists()


def test_linked_worktree_is_applied_to(tmp_path: Path) -> None:
    """A worktree's own index and branch are the ones that change."""
    main = gitrepos.repository(tmp_path)
    gitrepos.git(main.path, "worktree", "add", "-q", "-b", "side", tmp_path / "side")
    project = gitrepos.project_at(tmp_path / "side")
    run = Run(project, putting({"a.txt": "2\n"}))

    prepared = run.apply("commit")

    assert gitrepos.git(main.path, "rev-parse", "side") == prepared.commit
    assert gitrepos.git(project.path, "status", "--porcelain") == ""
    assert gitrepos.git(main.path, "status", "--porcelain") == ""


def test_shallow_clone_takes_a_commit(tmp_path: Path) -> None:
    """Only what is new is handed over, so that missing history is not missed."""
    source = gitrepos.repository(tmp_path)
    commit(source.path, "second")
    gitrepos.git(tmp_path, "clone", "-q", "--depth=1", f"file://{source.path}", "shallow")
    project = gitrepos.project_at(tmp_path / "shallow")

    Run(project, putting({"a.txt": "2\n"})).apply("commit")

    assert gitrepos.git(project.path, "status", "--porcelain") == ""
    gitrepos.git(project.path, "fsck", "--full")


def test_split_index_takes_entries(tmp_path: Path) -> None:
    """A project whose index is in two files is staged into like any other."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "update-index", "--split-index")

    Run(project, putting({"a.txt": "2\n"})).apply("index")

    assert git.run(["status", "--porcelain"], cwd=project.path) == b"M  a.txt\n"


def test_sparse_file_comes_with_the_change(tmp_path: Path) -> None:
    """A file outside the sparse checkout that the plan changed is written; undo takes it away again."""
    project = gitrepos.repository(tmp_path, {"in/a": "a", "out/b": "b\n"})
    gitrepos.git(project.path, "sparse-checkout", "set", "--cone", "in")
    run = Run(project, putting({"out/b": "changed\n"}))

    prepared = run.apply()

    assert (project.path / "out/b").read_text() == "changed\n"
    applying.undo(project, prepared.entries)
    assert not (project.path / "out").exists()


# Submodules


def with_submodule(tmp_path: Path) -> Project:
    (tmp_path / "library").mkdir()
    gitrepos.git(tmp_path / "library", "init", "-q")
    put(tmp_path / "library", {"x": "x"})
    commit(tmp_path / "library")
    project = gitrepos.repository(tmp_path)
    gitrepos.git(
        project.path, "-c", "protocol.file.allow=always", "submodule", "add", "-q", tmp_path / "library", "sub"
    )
    commit(project.path)
    return project


def move_submodule(root: Path) -> None:
    gitrepos.git(root, "-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
    commit(root / "sub", "moved")


def test_submodule_is_left_alone_by_other_changes(tmp_path: Path) -> None:
    """A change beside a submodule touches neither its files nor its commit."""
    project = with_submodule(tmp_path)
    put(project.path / "sub", {"x": "edited", "new": "n"})
    before = fingerprint(project.path / "sub")

    Run(project, putting({"a.txt": "2\n"})).apply("commit")

    assert fingerprint(project.path / "sub") == before
    assert gitrepos.git(project.path, "rev-parse", "HEAD:sub") == gitrepos.git(project.path, "rev-parse", "HEAD^:sub")


def test_moved_submodule_is_committed_but_not_written(tmp_path: Path) -> None:
    """A plan that moves a submodule is refused where only files are written, and committed where it can be."""
    project = with_submodule(tmp_path)
    run = Run(project, move_submodule)
    moved = private(project, "rev-parse", f"{run.result}:sub")

    with pytest.raises(errors.InvalidArgumentError, match="submodule sub"):
        run.prepare()
    prepared = run.apply("commit")

    assert gitrepos.git(project.path, "rev-parse", "HEAD:sub") == moved
    applying.undo(project, prepared.entries)
    assert gitrepos.git(project.path, "status", "--porcelain") == ""


def test_submodule_that_becomes_files_is_refused(tmp_path: Path) -> None:
    """What is a repository here and a file there cannot be exchanged, in any mode."""
    project = with_submodule(tmp_path)

    def edit(root: Path) -> None:
        (root / "sub").rmdir()
        put(root, {"sub": "a file"})

    run = Run(project, edit)
    for mode in "worktree", "commit":
        with pytest.raises(errors.InvalidArgumentError, match="submodule sub"):
            run.prepare(mode)


# The rest of prepare


def test_scratch_is_the_merged_result(tmp_path: Path) -> None:
    """Checks run on what the project would be, with a `.git` as a sandbox has, and without touching the project."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    run = Run(project, putting({"f": edited(15)}))
    put(project.path, {"f": edited(2), "mine": "m"})
    prepared = run.prepare()
    before = all_of_git(project)

    applying.scratch(project, prepared.tree, run.base, tmp_path / "checks")

    assert {path.name for path in (tmp_path / "checks").iterdir()} == {"f", "mine", ".git"}
    assert (tmp_path / "checks/f").read_text() == edited(2, 15)
    assert gitrepos.git(tmp_path / "checks", "status", "--porcelain") == ""
    assert gitrepos.git(tmp_path / "checks", "ls-files") == "f\nmine"
    assert gitrepos.git(tmp_path / "checks", "diff", "--name-only", run.base, "HEAD") == "f\nmine"
    assert all_of_git(project) == before


def test_bytes_before_and_after_are_kept_under_refs(tmp_path: Path) -> None:
    """A prune of everything unreachable in the private repository takes nothing from an undo."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    gitrepos.git(project.path, "config", "core.autocrlf", "true")
    put(project.path, {"f": TEXT.replace("\n", "\r\n")})
    before = files(project.path)
    prepared = Run(project, putting({"f": edited(15).replace("\n", "\r\n")})).apply()
    private(project, "gc", "-q", "--prune=now")

    applying.undo(project, prepared.entries)

    assert files(project.path) == before
    refs = private(project, "for-each-ref", "--format=%(refname)", f"{snapshots.PLAN_REFS}/{PLAN}/applied").split()
    assert {ref.rsplit("/", 1)[1] for ref in refs} >= {"old", "new"}


def test_empty_change_prepares_nothing(tmp_path: Path) -> None:
    """A plan without a result of its own has no entries; a commit that is asked for all the same is empty."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({}))
    assert run.prepare().entries == []

    prepared = run.apply("commit")

    assert [entry.target for entry in prepared.entries] == ["ref"]
    assert gitrepos.git(project.path, "rev-parse", "main") == prepared.commit


def test_project_that_does_not_hold_still_is_refused(tmp_path: Path) -> None:
    """When files change under the computation it starts again, and in the end says so."""
    project = gitrepos.repository(tmp_path, {"x.up": "a\n", ".gitattributes": "*.up filter=up\n"})
    # the user's own filter edits the project each time it is asked for content
    script = tmp_path / "restless"
    script.write_text(f"#!/bin/sh\ndate +%N >> {project.path}/restless\ncat\n")
    script.chmod(0o755)
    gitrepos.git(project.path, "config", "filter.up.smudge", str(script))
    run = Run(project, putting({"x.up": "b\n"}))

    with pytest.raises(errors.ChangeMovedError, match="changes while"):
        run.prepare()


def test_unreadable_special_file_is_a_conflict(tmp_path: Path) -> None:
    """A FIFO where the plan has a file is never opened."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({"pipe": "file"}))
    os.mkfifo(project.path / "pipe")

    with pytest.raises(errors.MergeConflictError, match="pipe"):
        run.prepare()
    assert stat.S_ISFIFO((project.path / "pipe").stat().st_mode)


def test_two_plans_apply_one_after_the_other(tmp_path: Path) -> None:
    """The second merges with what the first left; undoing the first after it is refused where they meet."""
    project = gitrepos.repository(tmp_path, {"f": TEXT})
    first = Run(project, putting({"f": edited(2), "one": "1"}), "P1")
    second = Run(project, putting({"f": edited(15), "two": "2"}), "P2")
    applied = first.apply()
    second.apply()

    assert (project.path / "f").read_text() == edited(2, 15)
    with pytest.raises(errors.ChangeMovedError) as caught:
        applying.undo(project, applied.entries)
    assert caught.value.detail["files"] == ["f"]
    sandboxes.remove(project, "P1", first.sandbox)
