"""Writing and taking back: all or nothing, also when it fails in the middle or the daemon is killed there."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from daemon import applying, git, placing, snapshots
from daemon.applying import JournalEntry
from daemon.snapshots import Project
from store import errors
from tests.daemon import gitrepos
from tests.daemon.gitrepos import PLAN, Content, Run, commit, files, fingerprint, put

TEXT = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def putting(changed: dict[str | bytes, Content]) -> Callable[[Path], None]:
    return lambda root: put(root, changed)


def ten(tmp_path: Path) -> Run:
    """A plan that changes files: five edited, two new, two gone, one that becomes a directory; eleven renames."""
    project = gitrepos.repository(tmp_path, {f"f{number}": f"{number}\n" for number in range(8)})

    def edit(root: Path) -> None:
        put(root, {f"f{number}": f"{number} changed\n" for number in range(5)})
        put(root, {"new/a": "a", "new/b": "b", "f5": None, "f6": None, "f7": None})
        put(root, {"f7/x": "x"})

    return Run(project, edit)


def index_of(project: Project) -> str:
    return gitrepos.git(project.path, "ls-files", "-s", "-v")


# Refusals of write


def entry(path: bytes, new: str | None = None, old: str | None = None) -> JournalEntry:
    return JournalEntry("local/p", "file", path, 0o644 if old else None, old, 0o644 if new else None, new)


@pytest.mark.parametrize(
    "path",
    [
        *(b"/etc/x", b"../x", b"a/../../x", b"a//b", b"./x", b"", b"a/", b".git/config", b"sub/.git/x", b".GIT/x"),
        *(b".git /x", b".git./x", b".git::$INDEX_ALLOCATION/x", b"git~1/x", b".g\xe2\x80\x8cit/config", b".git"),
        *(b"out/x", b"in/x"),
    ],
)
def test_path_that_leaves_the_project_is_refused(tmp_path: Path, path: bytes) -> None:
    """Absolute, through `..`, into any form of `.git`, through a link: nothing is written, not even the good ones."""
    project = gitrepos.repository(tmp_path)
    snapshots.prepare(project)
    blob = git.run(["hash-object", "-w", "--stdin"], git_dir=project.repository, input=b"x").decode().strip()
    (project.path / "out").symlink_to(tmp_path)
    (project.path / "in").symlink_to("dir")
    before = fingerprint(tmp_path)

    with pytest.raises(errors.InvalidArgumentError, match="path"):
        applying.write(project, [entry(b"good", blob), entry(path, blob)])
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize(
    "name", [b".gitignore", b".github/x", b"a.git/x", b"..x", b"...", b"git", b".git-x", b".gitmodules"]
)
def test_ordinary_names_are_no_offence(tmp_path: Path, name: bytes) -> None:
    """What only looks like a forbidden name is written."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({name: "x"}))

    run.apply()

    assert (project.path / os.fsdecode(name)).read_text() == "x"


def change_file(project: Project) -> None:
    put(project.path, {"a.txt": "user\n"})


def delete_file(project: Project) -> None:
    put(project.path, {"a.txt": None})


def close_file(project: Project) -> None:
    (project.path / "a.txt").chmod(0o600)


def make_file(project: Project) -> None:
    put(project.path, {"new": "user\n"})


def link_file(project: Project) -> None:
    (project.path / "a.txt").unlink()
    (project.path / "a.txt").symlink_to("dir/b.txt")


@pytest.mark.parametrize(
    ("move", "name"),
    [(change_file, "a.txt"), (delete_file, "a.txt"), (close_file, "a.txt"), (make_file, "new"), (link_file, "a.txt")],
)
def test_file_that_moved_since_is_refused(tmp_path: Path, move: Callable[[Project], None], name: str) -> None:
    """Between the computation and the writing somebody edited: the file is named, nothing is written."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({"a.txt": "plan\n", "dir/b.txt": "plan\n", "new": "n"}))
    prepared = run.prepare()
    move(project)
    before = fingerprint(project.path)

    with pytest.raises(errors.ChangeMovedError) as caught:
        applying.write(project, prepared.entries)
    assert caught.value.detail["files"] == [name]
    assert fingerprint(project.path) == before


def test_index_head_and_branch_that_moved_are_refused(tmp_path: Path) -> None:
    """Staging, committing or switching in between is noticed."""
    project = gitrepos.repository(tmp_path)
    run = Run(project, putting({"a.txt": "plan\n"}))
    gitrepos.git(project.path, "branch", "other")
    prepared = run.prepare("commit")

    def stage() -> None:
        put(project.path, {"a.txt": "staged\n"})
        gitrepos.git(project.path, "add", "a.txt")
        put(project.path, {"a.txt": "one\ntwo\nthree\n"})

    def empty_commit() -> None:
        gitrepos.git(project.path, "reset", "-q", "--hard")
        commit(project.path, "in between")

    def switch() -> None:
        gitrepos.git(project.path, "reset", "-q", "--hard", "HEAD^")
        gitrepos.git(project.path, "switch", "-q", "other")

    def detach() -> None:
        gitrepos.git(project.path, "switch", "-q", "--detach", "main")

    for move in stage, empty_commit, switch, detach:
        move()
        before, index = files(project.path), index_of(project)
        with pytest.raises(errors.ChangeMovedError):
            applying.write(project, prepared.entries)
        assert (files(project.path), index_of(project)) == (before, index)


def test_unmerged_index_entry_is_refused(tmp_path: Path) -> None:
    """A conflict that came up in between is no state to write over."""
    project = gitrepos.repository(tmp_path)
    prepared = Run(project, putting({"a.txt": "plan\n"})).prepare("index")
    blob = gitrepos.git(project.path, "rev-parse", "HEAD:a.txt")
    info = "".join(f"100644 {blob} {stage}\ta.txt\n" for stage in (1, 2, 3)).encode()
    git.run(["update-index", "--index-info"], cwd=project.path, input=info)

    with pytest.raises(errors.ChangeMovedError, match=r"a\.txt"):
        applying.write(project, prepared.entries)


def test_branch_made_in_between_is_refused(tmp_path: Path) -> None:
    """A branch that somebody else made is not moved."""
    project = gitrepos.repository(tmp_path)
    prepared = Run(project, putting({"a.txt": "plan\n"})).prepare("branch", "b")
    gitrepos.git(project.path, "branch", "b")

    with pytest.raises(errors.ChangeMovedError):
        applying.write(project, prepared.entries)


@pytest.mark.parametrize(
    ("plans", "users"),
    [
        ({"dir/b.txt": None, "dir": "a file"}, {"dir/late.o": "user"}),
        ({"n/x": "x"}, {"n": "user"}),
    ],
)
def test_things_put_in_the_way_are_noticed(
    tmp_path: Path, plans: dict[str | bytes, Content], users: dict[str | bytes, Content]
) -> None:
    """A file that appears where a directory has to go, or in one that has to go, stays, and all else is as it was."""
    project = gitrepos.repository(tmp_path)

    def edit(root: Path) -> None:
        for name, content in plans.items():
            put(root, {name: content})
            if content is None:
                (root / "dir").rmdir()

    prepared = Run(project, edit).prepare()
    put(project.path, users)
    before = fingerprint(project.path)

    with pytest.raises(errors.ChangeMovedError, match="changed while"):
        applying.write(project, prepared.entries)
    assert fingerprint(project.path) == before


# Failures in the middle


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, errors.DiskFullError), (errno.EACCES, errors.PermissionDeniedError)]
)
@pytest.mark.parametrize("failing", range(1, 11))
def test_failure_in_the_middle_restores_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int, number: int, error: type[Exception]
) -> None:
    """When the n-th of ten cannot be written the ones before are restored, and the error says why."""
    run = ten(tmp_path)
    prepared = run.prepare("index")
    before, index = files(run.project.path), index_of(run.project)
    passes = iter(range(1, 1000))

    def reach(name: str) -> None:
        if name == "apply.rename" and next(passes) == failing:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(placing.crashpoints, "reach", reach)

    with pytest.raises(error, match="cannot write"):
        applying.write(run.project, prepared.entries)
    assert files(run.project.path) == before
    assert index_of(run.project) == index
    assert not list(run.project.path.rglob(".ca-*"))
    assert not (run.project.path / "new").exists()
    applying.write(run.project, prepared.entries)


def test_locked_index_restores_the_files(tmp_path: Path) -> None:
    """When git cannot write the index, the files are as before, and the user's lock stays."""
    run = ten(tmp_path)
    prepared = run.prepare("commit")
    before = files(run.project.path)
    lock = run.project.path / ".git/index.lock"
    lock.touch()

    with pytest.raises(errors.LockConflictError, match="another git is at work"):
        applying.write(run.project, prepared.entries)
    assert files(run.project.path) == before
    assert lock.exists()


def test_locked_branch_restores_index_and_files(tmp_path: Path) -> None:
    """When the branch cannot be moved, index and files are as before."""
    run = ten(tmp_path)
    prepared = run.prepare("commit")
    before, index = files(run.project.path), index_of(run.project)
    (run.project.path / ".git/refs/heads/main.lock").touch()

    with pytest.raises(errors.LockConflictError, match=r"main\.lock is there"):
        applying.write(run.project, prepared.entries)
    assert (files(run.project.path), index_of(run.project)) == (before, index)


def test_commit_in_the_last_moment_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that the user makes while files are written wins; everything of ours is taken back."""
    run = ten(tmp_path)
    prepared = run.prepare("commit")
    before = files(run.project.path)
    root = run.project.path

    def reach(name: str) -> None:
        if name == "apply.ref":
            tree = gitrepos.git(root, "rev-parse", "HEAD^{tree}")
            made = gitrepos.git(root, "commit-tree", tree, "-p", "HEAD", "-m", "user's")
            gitrepos.git(root, "update-ref", "refs/heads/main", made)

    monkeypatch.setattr(placing.crashpoints, "reach", reach)

    with pytest.raises(errors.ChangeMovedError):
        applying.write(run.project, prepared.entries)
    assert gitrepos.git(root, "log", "-1", "--format=%s") == "user's"
    assert files(root) == before


def test_edit_in_the_last_moment_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file saved by the user while others are written stays; everything else is taken back."""
    run = ten(tmp_path)
    prepared = run.prepare()
    before = files(run.project.path)
    passes = iter(range(1, 1000))

    def reach(name: str) -> None:
        if name == "apply.rename" and next(passes) == 4:
            put(run.project.path, {"f4": "saved by the user\n"})

    monkeypatch.setattr(placing.crashpoints, "reach", reach)

    with pytest.raises(errors.ChangeMovedError, match="f4"):
        applying.write(run.project, prepared.entries)
    after = files(run.project.path)
    assert (run.project.path / "f4").read_text() == "saved by the user\n"
    assert {name for name in before if after[name] != before[name]} == {"f4"}


# Crashes


def write_and_die(run: Run, entries: Sequence[JournalEntry], at: str, *, undo: bool = False) -> int:
    """Apply in a process of its own that is killed at a crash point; how it ended."""
    journal = run.project.repository.parent / "journal"
    journal.write_bytes(msgspec.msgpack.encode(list(entries)))
    project = run.project
    script = (
        "import sys, msgspec; from pathlib import Path; from daemon import applying; from daemon.snapshots import Project;"
        "entries = msgspec.msgpack.decode(Path(sys.argv[3]).read_bytes(), type=list[applying.JournalEntry]);"
        "project = Project('local/p', Path(sys.argv[1]), 'git', Path(sys.argv[2]));"
        f"applying.{'undo' if undo else 'write'}(project, entries)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, project.path, project.repository, journal],
        cwd=Path(applying.__file__).parents[1],
        env={**os.environ, "CLEVERAGENTS_CRASH_AT": at},
        check=False,
    )
    return done.returncode


CRASHES = [*(f"apply.rename:{number}" for number in range(1, 12)), "apply.index", "apply.ref", "apply.written"]


@pytest.mark.parametrize("at", CRASHES)
@pytest.mark.parametrize("undo", [False, True], ids=["apply", "undo"])
def test_crash_is_completed_or_taken_back(tmp_path: Path, at: str, *, undo: bool) -> None:
    """Killed at each rename and after: the next daemon makes it wholly new or wholly old, twice without harm."""
    run = ten(tmp_path)
    project = run.project
    old = (files(project.path), index_of(project), gitrepos.git(project.path, "rev-parse", "main"))
    prepared = run.prepare("commit")
    if undo:
        applying.write(project, prepared.entries)

    ended = write_and_die(run, prepared.entries, at, undo=undo)

    assert ended == -9
    assert applying.mixed(project, prepared.entries) == []
    for _ in range(2):
        assert applying.retreat(project, prepared.entries) == []
        assert (files(project.path), index_of(project), gitrepos.git(project.path, "rev-parse", "main")) == old
    assert not (project.path / "new").exists()
    for _ in range(2):
        assert applying.advance(project, prepared.entries) == []
        assert gitrepos.git(project.path, "status", "--porcelain") == ""
        assert gitrepos.git(project.path, "rev-parse", "main") == prepared.commit
        assert not list(project.path.rglob(".ca-*"))
    gitrepos.git(project.path, "fsck", "--full", "--strict")


def test_edit_after_a_crash_is_left_alone(tmp_path: Path) -> None:
    """What the user edited between crash and recovery is named and kept; the rest is brought to one side."""
    run = ten(tmp_path)
    prepared = run.prepare()
    write_and_die(run, prepared.entries, "apply.rename:6")
    put(run.project.path, {"f0": "the user's\n"})

    assert applying.mixed(run.project, prepared.entries) == [b"f0"]
    assert applying.advance(run.project, prepared.entries) == [b"f0"]
    assert (run.project.path / "f0").read_text() == "the user's\n"
    assert (run.project.path / "f4").read_text() == "4 changed\n"
    assert applying.retreat(run.project, prepared.entries) == [b"f0"]
    assert (run.project.path / "f4").read_text() == "4\n"


# Undo


def test_undo_is_refused_with_the_list_of_changed_files(tmp_path: Path) -> None:
    """Files that were changed since are named; nothing is restored."""
    run = ten(tmp_path)
    prepared = run.apply()
    put(run.project.path, {"f1": "edited since\n", "new/a": None})
    before = fingerprint(run.project.path)

    with pytest.raises(errors.ChangeMovedError, match="since it was applied") as caught:
        applying.undo(run.project, prepared.entries)
    assert caught.value.detail == {"project": "local/p", "files": ["f1", "new/a"]}
    assert fingerprint(run.project.path) == before


def test_undo_keeps_going_around_changed_files(tmp_path: Path) -> None:
    """`--keep-going` restores the others and says which it left."""
    run = ten(tmp_path)
    before = files(run.project.path)
    prepared = run.apply("index")
    put(run.project.path, {"f1": "edited since\n"})

    assert applying.undo(run.project, prepared.entries, keep_going=True) == [b"f1"]

    after = files(run.project.path)
    assert {name for name in before if after[name] != before[name]} == {"f1"}
    assert set(after) == set(before)
    assert git.run(["status", "--porcelain"], cwd=run.project.path) == b"MM f1\n"


def test_undo_survives_a_commit_of_the_user(tmp_path: Path) -> None:
    """A change that was staged by Apply and committed by the user is taken back in files and index, not in history."""
    run = ten(tmp_path)
    prepared = run.apply("index")
    gitrepos.git(run.project.path, "commit", "-q", "-m", "user's")

    applying.undo(run.project, prepared.entries)

    assert (run.project.path / "f1").read_text() == "1\n"
    assert gitrepos.git(run.project.path, "log", "-1", "--format=%s") == "user's"


@pytest.mark.parametrize("keep_going", [False, True])
def test_commit_with_others_on_it_says_how_to_revert(tmp_path: Path, *, keep_going: bool) -> None:
    """A commit that is no longer the tip is not taken out from under others; the error has the command."""
    run = ten(tmp_path)
    prepared = run.apply("commit")
    commit(run.project.path, "on top")
    before = fingerprint(run.project.path)

    with pytest.raises(errors.ChangeMovedError) as caught:
        applying.undo(run.project, prepared.entries, keep_going=keep_going)
    assert caught.value.suggestions == [f"git -C {run.project.path} revert {prepared.commit}"]
    assert fingerprint(run.project.path) == before


def test_undo_of_a_commit_needs_its_branch(tmp_path: Path) -> None:
    """On another branch the files of the commit are not there to be restored."""
    run = ten(tmp_path)
    prepared = run.apply("commit")
    gitrepos.git(run.project.path, "switch", "-q", "-c", "other")

    with pytest.raises(errors.ChangeMovedError, match="no longer on branch main") as caught:
        applying.undo(run.project, prepared.entries)
    assert caught.value.suggestions == [f"git -C {run.project.path} switch main"]


def test_branch_is_removed_only_while_it_is_ours(tmp_path: Path) -> None:
    """A branch that grew, or that somebody has checked out, stays."""
    run = ten(tmp_path)
    prepared = run.apply("branch", "b")
    root = run.project.path
    gitrepos.git(root, "worktree", "add", "-q", tmp_path / "tree", "b")
    with pytest.raises(errors.ChangeMovedError, match="checked out"):
        applying.undo(run.project, prepared.entries)
    commit(tmp_path / "tree", "grown")
    with pytest.raises(errors.ChangeMovedError, match="no longer at") as caught:
        applying.undo(run.project, prepared.entries)
    assert "revert" in caught.value.suggestions[0]

    gitrepos.git(tmp_path / "tree", "reset", "-q", "--hard", "HEAD^")
    gitrepos.git(tmp_path / "tree", "switch", "-q", "--detach")
    assert applying.undo(run.project, prepared.entries) == []
    assert gitrepos.git(root, "branch", "--format=%(refname:short)", "--list", "b") == ""


def test_plan_can_be_applied_again_after_undo(tmp_path: Path) -> None:
    """Undo is no dead end, in any mode."""
    run = ten(tmp_path)
    for mode, branch in ("worktree", None), ("index", None), ("commit", None), ("branch", "b"):
        for _ in range(2):
            prepared = run.apply(mode, branch)
            applying.undo(run.project, prepared.entries)
    assert gitrepos.git(run.project.path, "status", "--porcelain") == ""


def test_directories_of_the_user_stay(tmp_path: Path) -> None:
    """A directory that still holds something is not removed with the plan's last file in it."""
    project = gitrepos.repository(tmp_path, {".gitignore": "*.o\n", "d/x": "x"})
    put(project.path, {"d/y.o": "ignored"})
    before = files(project.path)

    prepared = Run(project, putting({"d/x": None})).apply()

    assert (project.path / "d/y.o").exists()
    applying.undo(project, prepared.entries)
    assert files(project.path) == before


def test_missing_bytes_stop_before_the_rename(tmp_path: Path) -> None:
    """A private repository that lost an object is an error; the file is as it was."""
    project = gitrepos.repository(tmp_path)
    prepared = Run(project, putting({"a.txt": "2\n"})).prepare()
    lost = [msgspec.structs.replace(entry, new="1" * 40) for entry in prepared.entries]
    before = files(project.path)

    with pytest.raises(errors.LostError, match="lost the object"):
        applying.write(project, lost)
    assert files(project.path) == before


def test_two_applies_at_once_make_one(tmp_path: Path) -> None:
    """Of two that were computed from the same state the second is refused."""
    project = gitrepos.repository(tmp_path)
    first = Run(project, putting({"a.txt": "2\n"}), "P1").prepare()
    second = Run(project, putting({"a.txt": "3\n"}), "P2").prepare()
    applying.write(project, first.entries)

    with pytest.raises(errors.ChangeMovedError):
        applying.write(project, second.entries)
    assert (project.path / "a.txt").read_text() == "2\n"
    assert PLAN not in {"P1", "P2"}
