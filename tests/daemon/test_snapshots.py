"""What a project is, and its state as a commit: everything in it survives, and nothing in its own `.git` changes."""

import os
import socket
from pathlib import Path

import pytest

from daemon import git, repositories, snapshots
from daemon.snapshots import Project
from store import errors
from tests.daemon import gitrepos
from tests.daemon.gitrepos import BASE, Content, commit, fingerprint, private, put, tree_files

BLOB = b"line\r\nnul\0\xff"


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def taken(project: Project) -> snapshots.Snapshot:
    """A snapshot, after which the project's own repository and files are as they were, and ours is whole."""
    before = fingerprint(project.path)
    snapshots.prepare(project)
    snapshot = snapshots.take(project, BASE)

    assert fingerprint(project.path) == before
    assert not (project.repository / "objects/info/alternates").exists()
    private(project, "fsck", "--full", "--strict")
    return snapshot


def content(project: Project, snapshot: snapshots.Snapshot, path: str | bytes) -> bytes:
    return git.run(
        ["cat-file", "blob", snapshot.commit.encode() + b":" + os.fsencode(path)], git_dir=project.repository
    )


# What can be a project


def test_repository_and_folder_are_recognised(tmp_path: Path) -> None:
    """A directory with a repository at its top is one, any other a folder; the path is resolved."""
    project, folder = gitrepos.repository(tmp_path), gitrepos.folder(tmp_path)
    (tmp_path / "link").symlink_to(project.path)

    assert snapshots.inspect(tmp_path / "link") == snapshots.Inspection(project.path, "git")
    assert snapshots.inspect(folder.path) == snapshots.Inspection(folder.path, "folder")


def test_place_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """A typing error is told from a bad choice."""
    with pytest.raises(errors.NotFoundError, match="does not exist"):
        snapshots.inspect(tmp_path / "nothing")


def test_unsuitable_places_are_refused(tmp_path: Path) -> None:
    """Each place that cannot be a project is refused with its reason and a way out."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(tmp_path, "clone", "-q", "--bare", project.path, "bare.git")
    (tmp_path / "odd\nname").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nowhere\n")
    reasons = {
        project.path / "a.txt": "not a directory",
        project.path / "dir": "inside the git repository",
        project.path / ".git": "inside a .git directory",
        project.path / ".git" / "refs": "inside a .git directory",
        tmp_path / "bare.git": "bare repository",
        tmp_path / "home": "too much",
        Path("/"): "too much",
        tmp_path / "odd\nname": "newline",
        tmp_path / "broken": "git cannot use",
    }

    for place, reason in reasons.items():
        with pytest.raises(errors.InvalidArgumentError, match=reason) as caught:
            snapshots.inspect(place)
        assert caught.value.suggestions, place


def test_inside_of_a_repository_suggests_its_top(tmp_path: Path) -> None:
    """The suggestion is the command that works."""
    project = gitrepos.repository(tmp_path)

    with pytest.raises(errors.InvalidArgumentError) as caught:
        snapshots.inspect(project.path / "dir")
    assert caught.value.suggestions == [f"ca project add {project.path}"]


@pytest.mark.skipif(not gitrepos.obeys_modes(), reason="root reads everything")
def test_unreadable_directory_is_refused(tmp_path: Path) -> None:
    """A directory without read permission is refused before anything else."""
    (tmp_path / "closed").mkdir(mode=0o000)

    with pytest.raises(errors.InvalidArgumentError, match="cannot be read"):
        snapshots.inspect(tmp_path / "closed")
    (tmp_path / "closed").chmod(0o700)


# Pre-flight


def test_preflight_names_what_cannot_be_carried(tmp_path: Path) -> None:
    """Nested repositories, FIFOs and sockets are named; ignored ones and plain files are not."""
    project = gitrepos.repository(tmp_path, {".gitignore": "ignored*\n", "a": "a", "sub/b": "b"})
    gitrepos.git(project.path, "init", "-q", "nested")
    gitrepos.git(project.path, "init", "-q", "sub/deep")
    gitrepos.git(project.path, "init", "-q", "ignored-nested")
    os.mkfifo(project.path / "sub" / "pipe")
    os.mkfifo(project.path / "ignored-pipe")
    (project.path / "hollow" / ".git").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(project.path / "sock"))
        before = fingerprint(project.path)

        found = snapshots.preflight(project)

        assert {item.path: item.reason for item in found} == {
            b"nested": "is a git repository of its own and not a submodule",
            b"sub/deep": "is a git repository of its own and not a submodule",
            b"sub/pipe": "is a FIFO",
            b"sock": "is a socket",
        }
        assert fingerprint(project.path) == before
        assert taken(project).nested == [b"nested", b"sub/deep"]


def test_preflight_of_a_folder_obeys_its_ignore_rules(tmp_path: Path) -> None:
    """A plain folder needs no repository for the same report."""
    project = gitrepos.folder(tmp_path, {".gitignore": "ignored\n", "a": "a"})
    os.mkfifo(project.path / "pipe")
    os.mkfifo(project.path / "ignored")
    gitrepos.git(project.path, "init", "-q", "nested")

    assert [item.path for item in snapshots.preflight(project)] == [b"nested", b"pipe"]
    assert not (project.path / ".git").exists()


def test_tracked_files_in_a_nested_repository_are_carried(tmp_path: Path) -> None:
    """git goes on with files that it had before somebody made a repository around them."""
    project = gitrepos.repository(tmp_path, {"lib/x": "x"})
    gitrepos.git(project.path, "init", "-q", "lib")
    os.mkfifo(project.path / "lib" / "pipe")

    assert [item.path for item in snapshots.preflight(project)] == [b"lib", b"lib/pipe"]
    assert "lib/x" in tree_files(project, taken(project).tree)


def begin(project: Project, command: list[str]) -> None:
    """Two branches that collide, and a git command that stops because of it."""
    gitrepos.git(project.path, "switch", "-q", "-c", "other")
    put(project.path, {"a.txt": "theirs\n", "o": "o"})
    commit(project.path)
    gitrepos.git(project.path, "switch", "-q", "main")
    put(project.path, {"a.txt": "ours\n"})
    commit(project.path)
    git.call(command, cwd=project.path, ok=None)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (["merge", "other"], "a merge"),
        (["rebase", "other"], "a rebase"),
        (["rebase", "--apply", "other"], "a rebase"),
        (["cherry-pick", "other"], "a cherry-pick"),
        (["revert", "--no-edit", "HEAD~1"], "a revert"),
        (["merge", "--no-commit", "--no-ff", "-s", "ours", "other"], "a merge"),
    ],
)
def test_operation_under_way_is_refused(tmp_path: Path, command: list[str], word: str) -> None:
    """In the middle of a merge or the like neither pre-flight nor snapshot goes on, and nothing is touched."""
    project = gitrepos.repository(tmp_path)
    put(project.path, {"a.txt": "second\n"})
    commit(project.path)
    begin(project, command)
    before = fingerprint(project.path)

    with pytest.raises(errors.InvalidArgumentError, match=f"{word} .*in progress"):
        snapshots.preflight(project)
    with pytest.raises(errors.InvalidArgumentError, match=f"{word} .*in progress"):
        snapshots.take(project, BASE)
    assert fingerprint(project.path) == before


def test_unmerged_index_is_refused(tmp_path: Path) -> None:
    """Conflicts without an operation, as `stash pop` leaves them, are refused too."""
    project = gitrepos.repository(tmp_path)
    put(project.path, {"a.txt": "stashed\n"})
    gitrepos.git(project.path, "stash", "-q")
    put(project.path, {"a.txt": "committed\n"})
    commit(project.path)
    git.call(["stash", "pop"], cwd=project.path, ok=None)

    with pytest.raises(errors.InvalidArgumentError, match="unmerged"):
        snapshots.preflight(project)
    with pytest.raises(errors.InvalidArgumentError, match="unmerged"):
        snapshots.take(project, BASE)


def test_vanished_project_is_not_found(tmp_path: Path) -> None:
    """A project whose directory is gone is missing, in every operation."""
    for project in gitrepos.project_at(tmp_path / "p"), gitrepos.project_at(tmp_path / "f", "folder"):
        for attempt in snapshots.preflight, snapshots.prepare:
            with pytest.raises(errors.NotFoundError, match="does not exist"):
                attempt(project)
        with pytest.raises(errors.NotFoundError, match="does not exist"):
            snapshots.take(project, BASE)


def test_folder_that_vanished_after_preparation_is_not_found(tmp_path: Path) -> None:
    """The same holds when the private repository is there."""
    project = gitrepos.folder(tmp_path)
    snapshots.prepare(project)
    project.path.rename(tmp_path / "moved")

    with pytest.raises(errors.NotFoundError, match="does not exist"):
        snapshots.take(project, BASE)


def test_lost_repository_is_refused(tmp_path: Path) -> None:
    """A git project without its `.git` is refused with git's words, not snapshotted as something else."""
    project = gitrepos.repository(tmp_path)
    (project.path / ".git").rename(tmp_path / "aside")

    with pytest.raises(errors.InvalidArgumentError, match="registered as a git repository"):
        snapshots.preflight(project)


# Snapshots


def test_clean_project_is_its_own_snapshot(tmp_path: Path) -> None:
    """Without changes the snapshot is HEAD itself."""
    project = gitrepos.repository(tmp_path)
    head = gitrepos.git(project.path, "rev-parse", "HEAD")

    snapshot = taken(project)

    assert (snapshot.commit, snapshot.head, snapshot.branch, snapshot.modified) == (head, head, "main", 0)
    assert private(project, "rev-parse", BASE) == head


def test_staged_unstaged_untracked_and_deleted_are_in_it(tmp_path: Path) -> None:
    """A snapshot is the files as they are, whatever git has been told about them; ignored ones stay out."""
    files: dict[str | bytes, Content] = {
        "a": "a",
        "gone": "g",
        "unlinked": "u",
        "half": "h",
        ".gitignore": "*.log\n",
        "old.log": "x",
    }
    project = gitrepos.repository(tmp_path, files)
    gitrepos.git(project.path, "add", "-f", "old.log")
    commit(project.path)
    put(project.path, {"half": "staged", "new": "staged and new", "intended": "later"})
    gitrepos.git(project.path, "add", "half", "new")
    gitrepos.git(project.path, "add", "-N", "intended")
    gitrepos.git(project.path, "rm", "-q", "gone")
    put(
        project.path,
        {"half": "edited after", "unlinked": None, "untracked": BLOB, "x.log": "ignored", "old.log": "kept"},
    )

    snapshot = taken(project)

    assert set(tree_files(project, snapshot.tree)) == {
        *(".gitignore", "a", "half", "intended", "new", "old.log", "untracked"),
    }
    assert content(project, snapshot, "half") == b"edited after"
    assert content(project, snapshot, "new") == b"staged and new"
    assert content(project, snapshot, "intended") == b"later"
    assert content(project, snapshot, "old.log") == b"kept"
    assert content(project, snapshot, "untracked") == BLOB
    assert snapshot.modified == 7
    assert private(project, "rev-parse", f"{snapshot.commit}^") == snapshot.head


def test_blob_staged_after_preparation_is_copied(tmp_path: Path) -> None:
    """The private repository stays whole without the project's objects."""
    project = gitrepos.repository(tmp_path)
    snapshots.prepare(project)
    put(project.path, {"big": os.urandom(5000)})
    gitrepos.git(project.path, "add", "big")

    snapshot = taken(project)
    (project.path / ".git").rename(tmp_path / "aside")

    assert len(content(project, snapshot, "big")) == 5000


def test_new_commits_and_branches_are_fetched(tmp_path: Path) -> None:
    """A later snapshot stands on the project's later HEAD, with its history and tags."""
    project = gitrepos.repository(tmp_path)
    taken(project)
    gitrepos.git(project.path, "switch", "-q", "-c", "feature")
    put(project.path, {"a.txt": "more\n"})
    head = commit(project.path, "second")
    gitrepos.git(project.path, "tag", "v1")

    snapshot = taken(project)

    assert (snapshot.commit, snapshot.branch) == (head, "feature")
    assert private(project, "rev-parse", "refs/tags/v1", "refs/heads/feature").split() == [head, head]


def test_branches_that_changed_places_are_fetched(tmp_path: Path) -> None:
    """A branch may become a directory of branches between two snapshots."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "branch", "topic")
    taken(project)
    gitrepos.git(project.path, "branch", "-D", "topic")
    gitrepos.git(project.path, "switch", "-q", "-c", "topic/one")
    head = commit(project.path, "second")

    assert taken(project).commit == head


@pytest.mark.parametrize(
    "name", ["with space", "line\nbreak", b"latin-\xe9", b"\xff\xfe", '"quoted"', "-dash", "tab\t", ":(glob)*"]
)
def test_any_name_survives(tmp_path: Path, name: str | bytes) -> None:
    """Names are bytes; nothing is quoted, split or taken for a pattern."""
    project = gitrepos.repository(tmp_path, {name: "committed", "dir/x": "x"})
    put(project.path, {name: "edited", b"dir/" + os.fsencode(name): "new"})

    snapshot = taken(project)

    assert content(project, snapshot, name) == b"edited"
    assert content(project, snapshot, b"dir/" + os.fsencode(name)) == b"new"
    assert snapshot.modified == 2


def test_modes_and_links_survive(tmp_path: Path) -> None:
    """Executable bits, symlinks, dangling and absolute ones too, and files that became links."""
    project = gitrepos.repository(tmp_path, {"run": "#!/bin/sh\n", "plain": "p", "dir/x": "x"})
    (project.path / "run").chmod(0o755)
    (project.path / "plain").unlink()
    (project.path / "plain").symlink_to("/nowhere/at all")
    (project.path / "dir" / "x").unlink()
    (project.path / "dir").rmdir()
    (project.path / "dir").symlink_to(tmp_path)

    modes = {path: mode for path, (mode, _) in tree_files(project, taken(project).tree).items()}

    assert modes == {"run": "100755", "plain": "120000", "dir": "120000"}


def test_file_and_directory_change_places(tmp_path: Path) -> None:
    """A file where a directory was, and the other way round."""
    project = gitrepos.repository(tmp_path, {"d/x": "x", "f": "f"})
    put(project.path, {"d/x": None, "f": None})
    (project.path / "d").rmdir()
    put(project.path, {"d": "now a file", "f/y": "now a directory"})

    assert set(tree_files(project, taken(project).tree)) == {"d", "f/y"}


def test_ignore_rules_come_from_all_three_places(tmp_path: Path) -> None:
    """`.gitignore`, `info/exclude` and the user's own file, in the project's own or the global configuration."""
    project = gitrepos.repository(tmp_path, {".gitignore": "*.one\n"})
    (project.path / ".git/info/exclude").write_text("*.two\n")
    put(tmp_path / "home", {"config/git/ignore": "*.three\n"})
    put(project.path, {"x.one": "", "x.two": "", "x.three": "", "x.four": ""})

    assert set(tree_files(project, taken(project).tree)) == {".gitignore", "x.four"}

    put(tmp_path / "home", {"mine": "*.four\n"})
    gitrepos.git(project.path, "config", "core.excludesFile", "~/mine")
    (project.path / ".git/info/exclude").unlink()
    assert set(tree_files(project, taken(project).tree)) == {".gitignore", "x.two", "x.three"}


def test_file_that_stops_being_tracked_leaves(tmp_path: Path) -> None:
    """`git rm --cached` of an ignored file takes it out of the next snapshot, `git add -f` puts one in."""
    project = gitrepos.repository(tmp_path, {".gitignore": "*.cfg\n", "a": "a", "x.cfg": "x", "y.cfg": "y"})
    gitrepos.git(project.path, "add", "-f", "x.cfg")
    assert "x.cfg" in tree_files(project, taken(project).tree)
    gitrepos.git(project.path, "rm", "-q", "--cached", "x.cfg")
    gitrepos.git(project.path, "add", "-f", "y.cfg")

    assert set(tree_files(project, taken(project).tree)) == {".gitignore", "a", "y.cfg"}


def test_line_ends_and_filters_are_the_projects(tmp_path: Path) -> None:
    """The project's autocrlf and clean filters decide what a file's content is."""
    project = gitrepos.repository(tmp_path, {".gitattributes": "*.up filter=lower\n", "a.txt": "a\n"})
    gitrepos.git(project.path, "config", "core.autocrlf", "true")
    gitrepos.git(project.path, "config", "core.safecrlf", "true")
    gitrepos.git(project.path, "config", "filter.lower.clean", "tr A-Z a-z")
    gitrepos.git(project.path, "config", 'filter.o"d\\d.clean', 'echo "#; \\\\ x"')
    put(project.path, {"a.txt": "a\r\nb\r\n", "x.up": "LOUD", "mixed.txt": "a\nb\r\n"})

    snapshot = taken(project)

    assert content(project, snapshot, "a.txt") == b"a\nb\n"
    assert content(project, snapshot, "x.up") == b"loud"
    kept = private(project, "config", "--get", 'filter.o"d\\d.clean')
    assert kept == 'echo "#; \\\\ x"'


def test_changed_settings_hold_at_once(tmp_path: Path) -> None:
    """What the user configures between two snapshots decides about the second."""
    project = gitrepos.repository(tmp_path)
    put(project.path, {"x": "x"})
    (project.path / "x").chmod(0o755)
    assert tree_files(project, taken(project).tree)["x"][0] == "100755"
    gitrepos.git(project.path, "config", "core.fileMode", "false")
    (project.path / "a.txt").chmod(0o755)

    assert tree_files(project, taken(project).tree)["a.txt"][0] == "100644"


def test_hidden_edits_are_seen(tmp_path: Path) -> None:
    """Files marked assume-unchanged or skip-worktree are taken as they are on disk."""
    project = gitrepos.repository(tmp_path, {"assumed": "1", "skipped": "1", "both": "1"})
    gitrepos.git(project.path, "update-index", "--assume-unchanged", "assumed", "both")
    gitrepos.git(project.path, "update-index", "--skip-worktree", "skipped", "both")
    put(project.path, {"assumed": "22", "skipped": "22", "both": "22"})

    snapshot = taken(project)

    assert [content(project, snapshot, name) for name in ("assumed", "skipped", "both")] == [b"22"] * 3


def test_sparse_checkout_keeps_what_is_not_there(tmp_path: Path) -> None:
    """Files outside a sparse checkout are in the snapshot, though not on disk."""
    project = gitrepos.repository(tmp_path, {"in/a": "a", "out/b": "b"})
    gitrepos.git(project.path, "sparse-checkout", "set", "--cone", "--sparse-index", "in")
    assert not (project.path / "out").exists()
    put(project.path, {"in/c": "c"})

    assert set(tree_files(project, taken(project).tree)) == {"in/a", "in/c", "out/b"}


def test_split_index_is_understood(tmp_path: Path) -> None:
    """A project whose index is in two files gives the same snapshot."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "update-index", "--split-index")
    put(project.path, {"a.txt": "edited\n"})

    assert content(project, taken(project), "a.txt") == b"edited\n"


def test_edit_in_the_second_of_the_index_is_seen(tmp_path: Path) -> None:
    """Same size, same second, same inode: only content tells, and it is looked at each time."""
    project = gitrepos.repository(tmp_path, {"a": "1111"})
    seen: list[bytes] = []
    for text in "2222", "3333", "4444":
        with (project.path / "a").open("r+") as file:
            file.write(text)
        seen.append(content(project, taken(project), "a"))

    assert seen == [b"2222", b"3333", b"4444"]


def test_second_snapshot_need_not_read_files(tmp_path: Path) -> None:
    """Our index is dated so that files of its own second are not read again and again."""
    project = gitrepos.repository(tmp_path)
    old = (project.path / "a.txt").stat().st_mtime - 100
    for path in project.path / "a.txt", project.path / "dir/b.txt", project.path / ".git/index":
        os.utime(path, (old, old))
    taken(project)
    index = project.own / "index"
    dated = index.stat().st_mtime

    taken(project)

    assert dated > old + 50
    assert index.stat().st_mtime >= dated


def test_submodule_keeps_its_commit(tmp_path: Path) -> None:
    """A submodule is its commit in the snapshot, moved or not, and is mentioned by pre-flight."""
    (tmp_path / "library").mkdir()
    gitrepos.git(tmp_path / "library", "init", "-q")
    put(tmp_path / "library", {"x": "x"})
    first = commit(tmp_path / "library")
    project = gitrepos.repository(tmp_path)
    gitrepos.git(
        project.path, "-c", "protocol.file.allow=always", "submodule", "add", "-q", tmp_path / "library", "sub dir"
    )
    commit(project.path)
    assert tree_files(project, taken(project).tree)["sub dir"] == ("160000", first)
    put(project.path / "sub dir", {"x": "edited", "y": "new"})
    assert taken(project).modified == 0
    second = commit(project.path / "sub dir")

    assert tree_files(project, taken(project).tree)["sub dir"] == ("160000", second)
    assert [item.path for item in snapshots.preflight(project)] == [b"sub dir"]


def test_empty_nested_repository_does_not_stop_it(tmp_path: Path) -> None:
    """A repository without commits inside the project, at which `git add` fails."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "init", "-q", "nested")
    put(project.path, {"nested/x": "x", "y": "y"})

    snapshot = taken(project)

    assert set(tree_files(project, snapshot.tree)) == {"a.txt", "dir/b.txt", "y"}
    assert snapshot.nested == [b"nested"]


def test_unborn_branch_works(tmp_path: Path) -> None:
    """A repository without commits has a snapshot without parent."""
    (tmp_path / "p").mkdir()
    gitrepos.git(tmp_path / "p", "init", "-q")
    project = gitrepos.project_at(tmp_path / "p")
    assert tree_files(project, taken(project).tree) == {}
    put(project.path, {"staged": "s", "untracked": "u"})
    gitrepos.git(project.path, "add", "staged")

    snapshot = taken(project)

    assert (snapshot.head, snapshot.branch, snapshot.modified) == (None, "main", 2)
    assert set(tree_files(project, snapshot.tree)) == {"staged", "untracked"}
    head = commit(project.path)
    assert taken(project).commit == head


def test_detached_head_works(tmp_path: Path) -> None:
    """No branch, no difference."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "switch", "-q", "--detach")
    head = commit(project.path, "on no branch")

    snapshot = taken(project)

    assert (snapshot.commit, snapshot.head, snapshot.branch) == (head, head, None)


def test_shallow_clone_works(tmp_path: Path) -> None:
    """A project without its older history, before and after it grows."""
    source = gitrepos.repository(tmp_path)
    for number in range(3):
        commit(source.path, str(number))
    gitrepos.git(tmp_path, "clone", "-q", "--depth=1", f"file://{source.path}", "shallow")
    project = gitrepos.project_at(tmp_path / "shallow")
    assert taken(project).modified == 0
    put(project.path, {"new": "n"})
    head = commit(project.path)
    assert taken(project).commit == head
    commit(source.path, "newer")
    gitrepos.git(project.path, "fetch", "-q", "--depth=1")
    gitrepos.git(project.path, "reset", "-q", "--hard", "origin/main")

    assert taken(project).commit == gitrepos.git(project.path, "rev-parse", "HEAD")


def test_linked_worktree_works(tmp_path: Path) -> None:
    """A worktree is a project of its own, with its own HEAD and index and the common excludes."""
    main = gitrepos.repository(tmp_path)
    (main.path / ".git/info/exclude").write_text("*.tmp\n")
    gitrepos.git(main.path, "worktree", "add", "-q", "-b", "side", tmp_path / "side")
    project = gitrepos.project_at(tmp_path / "side", data=tmp_path / "data2")
    put(project.path, {"new": "n", "x.tmp": ""})
    gitrepos.git(project.path, "add", "new")
    before = fingerprint(main.path)

    snapshot = taken(project)
    head = commit(project.path)

    assert (snapshot.branch, snapshot.modified) == ("side", 1)
    assert set(tree_files(project, snapshot.tree)) == {"a.txt", "dir/b.txt", "new"}
    assert taken(project).commit == head
    assert set(before) <= set(fingerprint(main.path))


def test_sha256_repository_works(tmp_path: Path) -> None:
    """The private repository has the object format of the project."""
    (tmp_path / "p").mkdir()
    gitrepos.git(tmp_path / "p", "init", "-q", "--object-format=sha256")
    project = gitrepos.project_at(tmp_path / "p")
    put(project.path, {"a": "a"})
    assert taken(project).modified == 1
    head = commit(project.path)

    assert taken(project).commit == head
    assert len(head) == 64


def test_objects_that_cannot_be_linked_are_copied(tmp_path: Path) -> None:
    """git will not link from an object directory with symlinks in it; the clone is made all the same."""
    project = gitrepos.repository(tmp_path)
    (project.path / ".git/objects/link").symlink_to("pack")

    assert taken(project).modified == 0


def test_folder_has_no_git_of_its_own(tmp_path: Path) -> None:
    """A plain folder gets the same snapshots and no `.git`."""
    project = gitrepos.folder(tmp_path)
    put(project.path, {".gitignore": "*.log\n", "x.log": "", "bin": BLOB})
    first = taken(project)
    put(project.path, {"a.txt": None})

    second = snapshots.take(project, BASE, parent=first.commit)

    assert set(tree_files(project, first.tree)) == {".gitignore", "a.txt", "bin", "dir/b.txt"}
    assert set(tree_files(project, second.tree)) == {".gitignore", "bin", "dir/b.txt"}
    assert (first.head, first.branch, first.modified) == (None, None, 0)
    assert private(project, "rev-parse", f"{second.commit}^") == first.commit


def test_parent_may_be_chosen(tmp_path: Path) -> None:
    """A snapshot for a merge is a child of the plan's base, not of HEAD."""
    project = gitrepos.repository(tmp_path)
    base = taken(project)
    commit(project.path, "moved on")

    snapshot = snapshots.take(project, BASE, parent=base.commit)

    assert snapshot.commit != snapshot.head
    assert private(project, "rev-parse", f"{snapshot.commit}^") == base.commit


def test_take_prepares_a_project_that_was_not(tmp_path: Path) -> None:
    """A private repository that somebody removed is made again."""
    project = gitrepos.repository(tmp_path)

    assert snapshots.take(project, BASE).modified == 0
    assert repositories.resolve(project, ["refs/heads/main", "nothing"])[1] is None


def test_half_made_repository_is_made_again(tmp_path: Path) -> None:
    """What a crash left under the temporary name is replaced, and never taken for the repository."""
    project = gitrepos.repository(tmp_path)
    half = project.repository.with_name(project.repository.name + ".new")
    put(half, {"HEAD": "rubbish", "objects/x": "rubbish"})

    taken(project)

    assert not half.exists()
    assert project.repository.stat().st_mode & 0o777 == 0o700


def test_hooks_and_monitors_of_the_project_never_run(tmp_path: Path) -> None:
    """Neither the project's hooks nor its file system monitor are started by looking."""
    project = gitrepos.repository(tmp_path)
    script = f"#!/bin/sh\ntouch {tmp_path}/ran\n"
    for hook in "post-index-change", "reference-transaction", "post-checkout", "pre-commit", "fsmonitor":
        put(project.path, {f".git/hooks/{hook}": script})
        (project.path / ".git/hooks" / hook).chmod(0o755)
    gitrepos.git(project.path, "config", "core.fsmonitor", str(project.path / ".git/hooks/fsmonitor"))
    put(project.path, {"x": "x"})

    taken(project)
    snapshots.preflight(project)

    assert not (tmp_path / "ran").exists()


@pytest.mark.skipif(not gitrepos.obeys_modes(), reason="root reads everything")
def test_unreadable_file_is_a_refused_access(tmp_path: Path) -> None:
    """A file that may not be read is named, not left out."""
    project = gitrepos.repository(tmp_path)
    put(project.path, {"secret": "s"})
    (project.path / "secret").chmod(0)
    snapshots.prepare(project)

    with pytest.raises(errors.PermissionDeniedError, match="secret"):
        snapshots.take(project, BASE)
