"""Sandboxes: what is in them, what comes out of them, and that nothing planted in one runs."""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from daemon import checkouts, pool, repositories, sandboxes, snapshots
from daemon.snapshots import Project
from store import errors
from tests.daemon import gitrepos
from tests.daemon.gitrepos import BASE, PLAN, commit, files, fingerprint, private, put, sandbox_path, tree_files


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gitrepos.isolate(monkeypatch, tmp_path / "home")


def base_of(project: Project) -> str:
    snapshots.prepare(project)
    return snapshots.take(project, BASE).commit


def made(project: Project, include: list[str] | None = None) -> tuple[Path, str]:
    base, path = base_of(project), sandbox_path(project)
    sandboxes.create(project, PLAN, path, base, include=include or [])
    return path, base


def reasons(found: list[snapshots.Uncarried]) -> dict[bytes, str]:
    return {one.path: one.reason for one in found}


def with_submodule(tmp_path: Path) -> Project:
    """A repository with a submodule at `sub`, whose directory is empty."""
    project = gitrepos.repository(tmp_path)
    head = gitrepos.git(project.path, "rev-parse", "HEAD")
    gitrepos.git(project.path, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    gitrepos.git(project.path, "commit", "-q", "-m", "link")
    (project.path / "sub").mkdir()
    return project


def ref(name: str) -> str:
    return f"{snapshots.PLAN_REFS}/{PLAN}/{name}"


def test_sandbox_is_the_project_with_a_git_of_its_own(tmp_path: Path) -> None:
    """Files and modes are the project's; git in it is clean, knows the history, and reaches no other repository."""
    project = gitrepos.repository(tmp_path, {"a": "a", b"\xff b": "b", "run": "x"})
    (project.path / "run").chmod(0o755)
    (project.path / "link").symlink_to("a")
    gitrepos.git(project.path, "tag", "v1")
    put(project.path, {"untracked": "u"})

    path, base = made(project)

    assert files(path) == files(project.path)
    assert gitrepos.git(path, "status", "--porcelain") == ""
    assert gitrepos.git(path, "rev-parse", "HEAD") == base
    assert gitrepos.git(path, "describe", "--tags", "HEAD^") == "v1"
    assert gitrepos.git(path, "remote") == ""
    assert path.stat().st_mode & 0o777 == 0o700
    before = fingerprint(project.repository)
    put(path, {"new": "n"})
    commit(path, "the agent's own")
    assert fingerprint(project.repository) == before


def test_complete_sandbox_is_kept(tmp_path: Path) -> None:
    """Asking again changes nothing that steps have done."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    put(path, {"work": "w"})

    assert sandboxes.create(project, PLAN, path, base) == []
    assert (path / "work").read_text() == "w"


def test_half_made_sandbox_is_replaced(tmp_path: Path) -> None:
    """A daemon that is killed while it makes one leaves nothing that counts."""
    project = gitrepos.repository(tmp_path)
    base, path = base_of(project), sandbox_path(project)
    script = (
        "import os, sys; sys.path.insert(0, '.'); from daemon import checkouts, sandboxes; from pathlib import Path;"
        "from daemon.snapshots import Project; checkouts.give_git = lambda *a: os._exit(9);"
        f"sandboxes.create(Project('local/p', Path({str(project.path)!r}), 'git', Path({str(project.repository)!r})),"
        f"{PLAN!r}, Path({str(path)!r}), {base!r})"
    )
    killed = subprocess.run([sys.executable, "-c", script], cwd=Path(sandboxes.__file__).parents[1], check=False)
    assert killed.returncode == 9
    put(path, {"rubbish": "r"})

    sandboxes.create(project, PLAN, path, base)

    assert files(path) == files(project.path)
    assert private(project, "for-each-ref", ref("removed")) == ""


def test_sandbox_for_another_commit_keeps_the_work_first(tmp_path: Path) -> None:
    """A revert to a new base replaces the sandbox, and what it held is under a ref."""
    project = gitrepos.repository(tmp_path)
    path, _ = made(project)
    put(path, {"work": "w"})
    put(project.path, {"a.txt": "moved on\n"})

    sandboxes.create(project, PLAN, path, base_of(project))

    assert files(path) == files(project.path)
    assert "work" in tree_files(project, ref("removed"))


def test_unknown_directory_in_its_place_is_kept_first(tmp_path: Path) -> None:
    """A directory that nothing is known of may be work: it goes under the ref before it goes."""
    project = gitrepos.repository(tmp_path)
    path = sandbox_path(project)
    put(path, {"mine": "m"})

    made(project)

    assert files(path) == files(project.path)
    assert set(tree_files(project, ref("removed"))) == {"mine"}


# Included files


def test_included_files_are_copied_and_never_applied(tmp_path: Path) -> None:
    """Ignored files that steps need are there, missing ones are named, and none is in a result, whatever a step ignores."""
    ignored = ".env\nvenv/\nconf/local\n"
    project = gitrepos.repository(tmp_path, {".gitignore": ignored, "conf/x": "x"})
    put(project.path, {".env": "S", "venv/bin/run": "r", "venv/lib/y": "y", "conf/local": "l"})
    (project.path / "venv/bin/run").chmod(0o755)
    (project.path / "venv/bin/python").symlink_to("/usr/bin/python3")
    os.mkfifo(project.path / "venv/pipe")
    base, path = base_of(project), sandbox_path(project)

    wanted = [".env", "venv", "conf/local", "nothing/here", ".gitignore"]
    assert sandboxes.create(project, PLAN, path, base, include=wanted) == ["nothing/here"]

    expected = files(project.path)
    expected.pop("venv/pipe")
    assert files(path) == expected
    assert gitrepos.git(path, "status", "--porcelain") == ""
    put(path, {".gitignore": "", "venv/new": "n", ".env": "changed"})
    result = sandboxes.checkpoint(project, PLAN, path, "result", base)
    assert set(tree_files(project, result.tree)) == {".gitignore", "conf/x"}


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", ".git/config", "sub/.GIT/x", "out", "out/passwd", "", ".", "gitlink/config"],
)
def test_inclusion_stays_inside_the_project(tmp_path: Path, name: str) -> None:
    """Absolute names, `..`, `.git` and symlinks out are refused before anything is made."""
    project = gitrepos.repository(tmp_path)
    (project.path / "out").symlink_to("/etc")
    (project.path / "gitlink").symlink_to(".git")
    base, path = base_of(project), sandbox_path(project)

    with pytest.raises(errors.InvalidActionError, match=r"sandbox\.include"):
        sandboxes.create(project, PLAN, path, base, include=[name])
    assert not path.exists()


def test_inclusion_through_an_inner_link_goes_to_its_place(tmp_path: Path) -> None:
    """A link that stays inside the project is followed to the real place."""
    project = gitrepos.repository(tmp_path, {".gitignore": "local\n", "conf/x": "x"})
    (project.path / "link").symlink_to("conf")
    put(project.path, {"conf/local": "l"})

    path, base = made(project, ["link/local"])

    assert (path / "conf/local").read_text() == "l"
    put(path, {".gitignore": ""})
    assert "conf/local" not in tree_files(project, sandboxes.checkpoint(project, PLAN, path, "c", base).tree)


def test_inclusion_over_a_file_of_the_base_leaves_it(tmp_path: Path) -> None:
    """An included directory where the base has a file is not forced in."""
    project = gitrepos.repository(tmp_path, {"x": "file"})
    base, path = base_of(project), sandbox_path(project)
    put(project.path, {"x": None})
    put(project.path, {"x/y": "now a directory"})

    sandboxes.create(project, PLAN, path, base, include=["x"])

    assert (path / "x").read_text() == "file"


# Checkpoints


def test_checkpoint_is_what_the_sandbox_holds(tmp_path: Path) -> None:
    """New, changed, deleted, renamed files and modes are in the commit; ignored ones are not."""
    project = gitrepos.repository(tmp_path, {"a": "a", "b": "b", "c": "c", ".gitignore": "*.o\n"})
    path, base = made(project)
    put(path, {"a": "aa", "b": None, "new/x": "n", "y.o": "o"})
    (path / "c").chmod(0o755)

    made_one = sandboxes.checkpoint(project, PLAN, path, "checkpoint/one", base)

    assert private(project, "rev-parse", ref("checkpoint/one")) == made_one.commit
    assert private(project, "rev-parse", f"{made_one.commit}^") == base
    assert set(tree_files(project, made_one.tree)) == {".gitignore", "a", "c", "new/x"}
    assert tree_files(project, made_one.tree)["c"][0] == "100755"


def test_checkpoint_without_change_is_its_parent(tmp_path: Path) -> None:
    """A step that changes nothing makes no commit, and its ref is there all the same."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)

    assert sandboxes.checkpoint(project, PLAN, path, "checkpoint/none", base).commit == base
    assert private(project, "rev-parse", ref("checkpoint/none")) == base


def test_agents_commits_do_not_matter(tmp_path: Path) -> None:
    """What a step commits, stages, stashes or checks out in its own git is only files to us."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    put(path, {"x": "x"})
    commit(path)
    gitrepos.git(path, "switch", "-q", "-c", "own")
    put(path, {"y": "y"})
    gitrepos.git(path, "add", "y")

    result = sandboxes.checkpoint(project, PLAN, path, "result", base)

    assert set(tree_files(project, result.tree)) == {"a.txt", "dir/b.txt", "x", "y"}
    private(project, "fsck", "--full", "--strict")


def test_lost_index_of_ours_is_made_again(tmp_path: Path) -> None:
    """Without our index the parent says what is tracked, ignored files included."""
    project = gitrepos.repository(tmp_path, {"x.log": "tracked"})
    put(project.path, {".gitignore": "*.log\n"})
    commit(project.path)
    path, base = made(project)
    (project.own / "sandboxes" / f"{PLAN}.index").unlink()

    assert sandboxes.checkpoint(project, PLAN, path, "c", base).commit == base


def test_nested_repository_of_a_step_is_told(tmp_path: Path) -> None:
    """A repository that a step clones into the sandbox is not in the result, and the result says so until it is gone."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    gitrepos.git(path, "init", "-q", "cloned")
    put(path / "cloned", {"x": "x"})
    commit(path / "cloned")

    result = sandboxes.checkpoint(project, PLAN, path, "c", base)

    assert result.commit == base
    assert reasons(result.uncarried) == {b"cloned": "is a git repository of its own, made in the sandbox"}
    shutil.rmtree(path / "cloned")
    assert sandboxes.checkpoint(project, PLAN, path, "c", base).uncarried == []


def test_included_repository_is_no_steps(tmp_path: Path) -> None:
    """What was copied in for the steps is not named as theirs, and keeps no sandbox."""
    project = gitrepos.repository(tmp_path)
    gitrepos.git(project.path, "init", "-q", "tools/inner")
    put(project.path / "tools/inner", {"x": "x"})
    path, base = made(project, ["tools"])

    assert sandboxes.checkpoint(project, PLAN, path, "c", base).uncarried == []
    sandboxes.remove(project, PLAN, path)
    assert not path.exists()


def test_files_in_the_place_of_a_submodule_are_told(tmp_path: Path) -> None:
    """A commit has no room for them; an empty place is as it should be."""
    project = with_submodule(tmp_path)
    path, base = made(project)
    assert sandboxes.checkpoint(project, PLAN, path, "before", base).uncarried == []
    put(path / "sub", {"x": "x"})

    result = sandboxes.checkpoint(project, PLAN, path, "c", base)

    assert result.commit == base
    assert reasons(result.uncarried) == {b"sub": "is a submodule with files, made in the sandbox"}


def test_special_files_of_a_step_are_told(tmp_path: Path) -> None:
    """FIFOs and sockets are found wherever git would look; one in the place of a file takes the file away."""
    project = gitrepos.repository(tmp_path, {"a": "a", "b": "b", ".gitignore": "ignored/\n"})
    path, base = made(project)
    (path / "deep/ignored").mkdir(parents=True)
    (path / "a").unlink()
    for name in "a", "deep/pipe", "deep/ignored/pipe":
        os.mkfifo(path / name)

    result = sandboxes.checkpoint(project, PLAN, path, "c", base)

    assert set(tree_files(project, result.tree)) == {"b", ".gitignore"}
    fifo = "is a FIFO, made in the sandbox"
    assert reasons(sandboxes.specials(project, PLAN, path)) == {b"a": fifo, b"deep/pipe": fifo}


def test_removed_sandbox_is_the_steps_failure(tmp_path: Path) -> None:
    """A step that deletes its sandbox, or puts a link there, failed; it is no defect of ours."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    shutil.rmtree(path)
    for replace in lambda: None, lambda: path.symlink_to(tmp_path):
        replace()
        with pytest.raises(errors.StepFailedError, match="removed its own sandbox"):
            sandboxes.checkpoint(project, PLAN, path, "c", base)


def test_nothing_planted_in_a_sandbox_runs(tmp_path: Path) -> None:
    """Hooks, monitors, filters, drivers, aliases and includes in the sandbox's git, or in one inside it, never run."""
    (tmp_path / "library").mkdir()
    gitrepos.git(tmp_path / "library", "init", "-q")
    put(tmp_path / "library", {"x": "x"})
    commit(tmp_path / "library")
    project = gitrepos.repository(tmp_path)
    allow = ["-c", "protocol.file.allow=always"]
    gitrepos.git(project.path, *allow, "submodule", "add", "-q", tmp_path / "library", "sub")
    commit(project.path)
    path, base = made(project)
    gitrepos.git(path, *allow, "submodule", "update", "-q", "--init")
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    evil.chmod(0o755)
    for where in path, path / "sub":
        git_dir = Path(gitrepos.git(where, "rev-parse", "--absolute-git-dir"))
        for hook in "post-index-change", "reference-transaction", "post-checkout", "pre-commit", "fsmonitor-watchman":
            (git_dir / "hooks").mkdir(exist_ok=True)
            shutil.copy(evil, git_dir / "hooks" / hook)
        for key in (
            *("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "filter.evil.process", "diff.evil.command"),
            *("diff.evil.textconv", "merge.evil.driver", "core.sshCommand", "core.editor", "alias.status"),
        ):
            with (git_dir / "config").open("a") as config:
                section, _, name = key.rpartition(".")
                head, _, sub = section.partition(".")
                config.write(f'[{head} "{sub}"]\n' if sub else f"[{head}]\n")
                config.write(f"\t{name} = {evil}\n")
        (git_dir / "info").mkdir(exist_ok=True)
        (git_dir / "info/attributes").write_text("* filter=evil diff=evil merge=evil\n")
    put(path, {".gitattributes": "* filter=evil diff=evil merge=evil\n", "a.txt": "changed\n"})
    put(path / "sub", {".gitattributes": "* filter=evil\n", "x": "y"})

    result = sandboxes.checkpoint(project, PLAN, path, "result", base)
    sandboxes.restore(project, PLAN, path, base)
    sandboxes.restore(project, PLAN, path, result.commit)
    sandboxes.remove(project, PLAN, path)

    assert not (tmp_path / "ran").exists()


# Restoring


def test_restore_is_exactly_the_commit(tmp_path: Path) -> None:
    """Added, nested and special files are gone, changed and deleted ones are back, included and ignored ones stay."""
    project = gitrepos.repository(tmp_path, {"a": "a", "d/b": "b", ".gitignore": "*.o\n.env\nkeep/\n", "run": "r"})
    put(project.path, {".env": "S", "keep/in": "k"})
    (project.path / "run").chmod(0o755)
    path, base = made(project, [".env", "keep"])
    before = files(path)
    put(path, {"a": "changed", "d/b": None, "new": "n", "x.o": "o", "keep/more": "m", "deep/er/x": "x"})
    put(path, {".env": None})
    (path / "d").rmdir()
    (path / "d").symlink_to("/etc")
    (path / "run").chmod(0o644)
    os.mkfifo(path / "pipe")
    (path / "hollow").mkdir()
    commit(path, "own")
    gitrepos.git(path, "init", "-q", "nested")

    sandboxes.restore(project, PLAN, path, base)

    after = files(path)
    assert after.pop("keep/more")
    assert after.pop("x.o")
    assert after == before
    assert not (path / "hollow").exists()
    assert not (path / "nested").exists()
    assert gitrepos.git(path, "rev-parse", "HEAD") == base
    assert gitrepos.git(path, "status", "--porcelain") == ""


def test_restore_notices_forged_dates(tmp_path: Path) -> None:
    """A change of the same size with the old date is undone as well."""
    project = gitrepos.repository(tmp_path, {"a": "1234"})
    path, base = made(project)
    found = (path / "a").stat()
    put(path, {"a": "9999"})
    os.utime(path / "a", ns=(found.st_atime_ns, found.st_mtime_ns))

    sandboxes.restore(project, PLAN, path, base)

    assert (path / "a").read_text() == "1234"


def mangle_nothing_left(path: Path) -> None:
    shutil.rmtree(path)


def mangle_link(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to("/etc")


def mangle_file(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("a file")


def mangle_git(path: Path) -> None:
    shutil.rmtree(path / ".git")
    (path / ".git").write_text("gitdir: /nowhere\n")


def mangle_modes(path: Path) -> None:
    (path / "dir").chmod(0o500)
    path.chmod(0o500)


@pytest.mark.skipif(not gitrepos.obeys_modes(), reason="root reads everything")
def test_closed_places_are_opened_for_a_checkpoint(tmp_path: Path) -> None:
    """A step that closes files and directories to their owner does not lose what is in them."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    put(path, {"shut/x": "x", "dir/b.txt": "changed\n", "blind": "b"})
    (path / "blind").chmod(0)
    (path / "shut").chmod(0)
    (path / "dir").chmod(0)

    result = sandboxes.checkpoint(project, PLAN, path, "c", base)

    assert set(tree_files(project, result.tree)) == {"a.txt", "blind", "dir/b.txt", "shut/x"}


@pytest.mark.parametrize("mangle", [mangle_nothing_left, mangle_link, mangle_file, mangle_git, mangle_modes])
def test_restore_mends_a_mangled_sandbox(tmp_path: Path, mangle: object) -> None:
    """A sandbox that a step deleted or mangled is there again."""
    assert callable(mangle)
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    mangle(path)

    sandboxes.restore(project, PLAN, path, base)

    assert files(path) == files(project.path)
    assert gitrepos.git(path, "status", "--porcelain") == ""
    put(path, {"new": "n", "dir/new": "n"})


def test_restore_makes_a_torn_index_again(tmp_path: Path) -> None:
    """An index of ours that a crash tore is no reason to fail."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    (project.own / "sandboxes" / f"{PLAN}.index").write_bytes(b"DIRC torn")

    sandboxes.restore(project, PLAN, path, base)

    assert gitrepos.git(path, "status", "--porcelain") == ""


def test_restore_puts_aside_what_no_commit_can_keep(tmp_path: Path) -> None:
    """What a step made in a repository of its own or in a submodule's place is not there for the next one, nor lost."""
    project = with_submodule(tmp_path)
    path, base = made(project)
    places: list[Path] = []
    for content in "first", "second":
        put(path / "sub", {"x": content})
        gitrepos.git(path, "init", "-q", "dir/nested")
        put(path / "dir/nested", {"y": content})

        aside = sandboxes.restore(project, PLAN, path, base)

        assert aside is not None
        places.append(aside)
        assert list((path / "sub").iterdir()) == []
        assert not (path / "dir/nested").exists()
        assert gitrepos.git(path, "status", "--porcelain") == ""
    kept = [place / path.parent.name / path.name for place in places]
    assert [(place / "sub/x").read_text() for place in kept] == ["first", "second"]
    assert [(place / "dir/nested/y").read_text() for place in kept] == ["first", "second"]
    assert sandboxes.restore(project, PLAN, path, base) is None


def test_restore_discards_what_is_nobodys_work(tmp_path: Path) -> None:
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    gitrepos.git(path, "init", "-q", "nested")

    assert sandboxes.restore(project, PLAN, path, base, discard=True) is None

    assert not (path / "nested").exists()
    assert [entry.name for entry in path.parent.parent.iterdir()] == [path.parent.name]


def test_edits_since_the_last_checkpoint_are_kept_once(tmp_path: Path) -> None:
    """What a person did is a commit after what the step left; without edits there is no ref."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    put(path, {"step": "s"})
    partial = sandboxes.checkpoint(project, PLAN, path, "partial/s1-1", base)
    assert sandboxes.keep(project, PLAN, path, "edited/s1-1") is None

    put(path, {"hand": "h"})
    assert sandboxes.keep(project, PLAN, path, "edited/s1-1") == "edited/s1-1"
    assert sandboxes.keep(project, PLAN, path, "edited/s1-1") is None
    put(path, {"hand": "more"})
    assert sandboxes.keep(project, PLAN, path, "edited/s1-1") == "edited/s1-1-2"

    assert private(project, "rev-parse", f"{ref('edited/s1-1')}^") == partial.commit
    assert {"step", "hand"} <= set(tree_files(project, ref("edited/s1-1")))


# Removing


def test_removed_sandbox_keeps_its_work_under_a_ref(tmp_path: Path) -> None:
    """What was done since the last checkpoint is a commit before the directory goes."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    put(path, {"one": "1"})
    done = sandboxes.checkpoint(project, PLAN, path, "checkpoint/one", base)
    put(path, {"two": "2"})

    sandboxes.remove(project, PLAN, path)

    assert not path.exists()
    assert private(project, "rev-parse", f"{ref('removed')}^") == done.commit
    assert "two" in tree_files(project, ref("removed"))


def test_removing_a_clean_sandbox_makes_no_ref(tmp_path: Path) -> None:
    """What is under a checkpoint already needs no other ref; removing twice is no error."""
    project = gitrepos.repository(tmp_path)
    path, _ = made(project)

    sandboxes.remove(project, PLAN, path)
    sandboxes.remove(project, PLAN, path)

    assert private(project, "for-each-ref", ref("removed")) == ""


def test_sandbox_with_what_no_ref_can_keep_stays(tmp_path: Path) -> None:
    """It is refused with the names until they are gone, and goes when room is needed for another, these put aside."""
    project = with_submodule(tmp_path)
    path, _ = made(project)
    for fill, name in (
        (lambda: put(path / "sub", {"x": "x"}), "sub"),
        (
            lambda: gitrepos.git(path, "init", "-q", "nested"),
            "nested",
        ),
    ):
        fill()
        with pytest.raises(errors.InvalidTransitionError, match=f"{name} is a"):
            sandboxes.remove(project, PLAN, path)
        assert (path / name).exists()
        shutil.rmtree(path / name)
    put(path / "sub", {"x": "x"})

    sandboxes.put_away(project, PLAN, path)

    assert not path.exists()
    assert [found.read_text() for found in path.parent.parent.glob(".aside/*/*/*/sub/x")] == ["x"]


def test_closed_directories_are_removed_with_their_work_kept(tmp_path: Path) -> None:
    """Read-only and unreadable directories and files of a step are neither lost nor in the way."""
    project = gitrepos.repository(tmp_path)
    path, _ = made(project)
    put(path, {"shut/x": "x", "fixed/y": "y", "blind": "b"})
    (path / "blind").chmod(0)
    (path / "shut").chmod(0)
    (path / "fixed").chmod(0o500)

    sandboxes.remove(project, PLAN, path)

    assert not path.exists()
    assert {"shut/x", "fixed/y", "blind"} <= set(tree_files(project, ref("removed")))


# The pool


def plan_sandbox(project: Project, plan_id: str, base: str) -> Path:
    path = sandbox_path(project, plan_id)
    sandboxes.create(project, plan_id, path, base)
    return path


def test_finished_sandbox_serves_the_next_plan(tmp_path: Path) -> None:
    """The same directory moves to another plan and commit, without a trace of the one before."""
    project = gitrepos.repository(tmp_path, {"a": "a", "b": "b", ".gitignore": "*.o\n.env\n"})
    put(project.path, {".env": "S"})
    path, _ = made(project, [".env"])
    inode = path.stat().st_ino
    put(path, {"new": "n", "x.o": "o"})
    gitrepos.git(path, "switch", "-q", "-c", "agents")
    sandboxes.remove(project, PLAN, path)
    put(project.path, {"a": "moved on", "b": None})
    head = commit(project.path)

    later = plan_sandbox(project, "P2", snapshots.take(project, BASE).commit)

    assert later.stat().st_ino == inode
    expected = files(project.path)
    expected.pop(".env")
    assert files(later) == expected
    assert gitrepos.git(later, "status", "--porcelain") == ""
    assert gitrepos.git(later, "rev-parse", "HEAD") == head
    assert not path.exists()


def test_pool_keeps_two(tmp_path: Path) -> None:
    """No more checkouts are kept than are likely to be used, and clearing removes them."""
    project = gitrepos.repository(tmp_path)
    base = base_of(project)
    paths = [plan_sandbox(project, f"P{number}", base) for number in range(3)]
    for number, path in enumerate(paths):
        sandboxes.remove(project, f"P{number}", path)
    kept = project.repository.parent.parent / "sandboxes/.pool" / project.repository.stem

    assert len(list(kept.iterdir())) == pool.SIZE == 2
    pool.clear(project)
    assert not kept.exists()


def test_cut_slots_are_swept(tmp_path: Path) -> None:
    """What a crash left half-moved in the pool is removed, and the next sandbox is made anew."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    sandboxes.remove(project, PLAN, path)
    kept = project.repository.parent.parent / "sandboxes/.pool" / project.repository.stem
    (kept / "0" / "index").unlink()
    put(kept, {"1/index": "alone"})

    later = plan_sandbox(project, "P2", base)

    assert files(later) == files(project.path)
    assert list(kept.iterdir()) == []


def test_torn_index_in_the_pool_does_no_harm(tmp_path: Path) -> None:
    """A kept checkout that cannot be moved on is replaced by a new one."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    sandboxes.remove(project, PLAN, path)
    kept = project.repository.parent.parent / "sandboxes/.pool" / project.repository.stem
    (kept / "0" / "index").write_bytes(b"torn")

    assert files(plan_sandbox(project, "P2", base)) == files(project.path)


def test_sandbox_with_a_process_in_it_is_not_kept(tmp_path: Path) -> None:
    """A process left behind would follow the directory into the next plan."""
    project = gitrepos.repository(tmp_path)
    path, base = made(project)
    inode = path.stat().st_ino
    with subprocess.Popen(["/bin/cat"], cwd=path / "dir", stdin=subprocess.PIPE) as left_behind:
        sandboxes.remove(project, PLAN, path)
        assert left_behind.stdin is not None
        left_behind.stdin.close()

    assert not path.exists()
    later = plan_sandbox(project, "P2", base)
    assert not (later.parent.parent / ".pool").exists() or later.stat().st_ino != inode


MEMORY = Path("/dev/shm")


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a second file system")
def test_sandbox_on_another_file_system_is_not_kept(tmp_path: Path) -> None:
    """What cannot be renamed into the pool is removed, and what cannot be renamed out of it is made anew."""
    project = gitrepos.repository(tmp_path)
    base = base_of(project)
    with tempfile.TemporaryDirectory(dir=MEMORY) as other:
        path = Path(other) / "P1" / "p"
        sandboxes.create(project, "P1", path, base)
        sandboxes.remove(project, "P1", path)
        assert not path.exists()
        sandboxes.remove(project, "P2", plan_sandbox(project, "P2", base))
        sandboxes.create(project, "P3", path, base)

        assert files(path) == files(project.path)
        assert not list((tmp_path / "data/sandboxes/.pool" / project.repository.stem).iterdir())


def test_one_repository_is_worked_on_by_one_thread_at_a_time(tmp_path: Path) -> None:
    """Many plans of one project make their sandboxes at once, and each is whole."""
    project = gitrepos.repository(tmp_path, {f"d{number}/x": str(number) for number in range(50)})
    base = base_of(project)
    paths = {f"P{number}": sandbox_path(project, f"P{number}") for number in range(8)}
    failures: list[BaseException] = []

    def work(plan_id: str) -> None:
        try:
            sandboxes.create(project, plan_id, paths[plan_id], base)
            put(paths[plan_id], {"x": plan_id})
            sandboxes.checkpoint(project, plan_id, paths[plan_id], "result", base)
        except BaseException as error:  # noqa: BLE001  shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=[plan_id]) for plan_id in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    for plan_id in paths:
        assert "x" in tree_files(project, f"{snapshots.PLAN_REFS}/{plan_id}/result")


def test_folder_has_sandboxes_too(tmp_path: Path) -> None:
    """A plain folder's sandbox is a git checkout, the folder is not."""
    project = gitrepos.folder(tmp_path)
    path, base = made(project)
    put(path, {"a.txt": "changed\n"})

    result = sandboxes.checkpoint(project, PLAN, path, "result", base)

    assert result.commit != base
    assert gitrepos.git(path, "rev-parse", "HEAD") == base
    assert not (project.path / ".git").exists()


def test_sha256_sandbox_works(tmp_path: Path) -> None:
    """The throw-away git has the project's object format."""
    (tmp_path / "p").mkdir()
    gitrepos.git(tmp_path / "p", "init", "-q", "--object-format=sha256")
    project = gitrepos.project_at(tmp_path / "p")
    put(project.path, {"a": "a"})
    commit(project.path)

    path, _ = made(project)

    assert gitrepos.git(path, "status", "--porcelain") == ""


def test_refused_removal_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system will not remove is an error with the path."""
    (tmp_path / "d").mkdir()

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)

    with pytest.raises(errors.PermissionDeniedError, match="cannot remove"):
        checkouts.delete(tmp_path / "d")


def test_refs_of_a_plan_have_one_place() -> None:
    """Every part that names a plan's ref says the same."""
    assert repositories.plan_ref("X", "base") == "refs/cleveragents/plans/X/base"
