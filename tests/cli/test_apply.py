"""Apply: the reviewed change enters the project whole or not at all, loses nothing of the user's, and can be undone."""

import json
import shlex
from pathlib import Path

import pytest

from tests.homes import Content, Home, fingerprint, put, tree, unchanged

EDIT = "sed -i s/two/TWO/ a.txt; echo new > new.txt; rm dir/b.txt"
"""A modified, an added and a deleted file."""


def edited(root: Path) -> None:
    """See that a project holds what EDIT made of it."""
    assert (root / "a.txt").read_text() == "one\nTWO\nthree\n"
    assert (root / "new.txt").read_text() == "new\n"
    assert not (root / "dir" / "b.txt").exists()


# --- the change --------------------------------------------------------------------------------------------------------


def test_diff_names_every_kind_of_change(shared: Home) -> None:
    root = shared.repository(
        {"a.txt": "one\ntwo\n", "gone.txt": "x\n", "old name": "1\n2\n3\n4\n5\n", "bin": b"\0\1\2"}
    )
    plan = shared.executed(
        "echo three >> a.txt; rm gone.txt; mv 'old name' 'new name'; printf '\\0\\1\\3' > bin; echo u > untracked",
        project=root,
    )

    shown = shared.data("plan", "diff", plan)

    found = {file["path"]: file for file in shown["files"]}
    assert {path: file["status"] for path, file in found.items()} == {
        "a.txt": "modified",
        "gone.txt": "deleted",
        "new name": "renamed",
        "bin": "modified",
        "untracked": "added",
    }
    assert found["new name"]["old_path"] == "old name"
    assert (found["bin"]["binary"], found["bin"]["insertions"]) == (True, None)
    assert (found["a.txt"]["insertions"], found["a.txt"]["deletions"]) == (1, 0)
    assert shown["digest"] == shared.plan(plan)["diff"]["digest"]
    assert shared.plan(plan)["diff"]["files"] == 5


def test_diff_for_people_is_a_patch_that_git_takes(shared: Home) -> None:
    root = shared.repository({"a.txt": "one\ntwo\n", "b.txt": "b\n"})
    plan = shared.executed(
        "echo three >> a.txt; rm b.txt; echo x > 'a b'; chmod +x a.txt; printf y > ende", project=root
    )

    _apply_by_git(shared, plan, root)

    assert tree(root) == tree(shared.sandbox(plan))


def test_diff_of_text_that_is_not_utf_8_is_byte_for_byte(shared: Home) -> None:
    root = shared.repository({"latin.txt": b"caf\xe9\n"})
    plan = shared.executed("printf 'na\\357ve\\n' >> latin.txt", project=root)

    _apply_by_git(shared, plan, root)

    assert (root / "latin.txt").read_bytes() == b"caf\xe9\nna\xefve\n"


def _apply_by_git(home: Home, plan: str, root: Path) -> None:
    patch = root.with_name(f"{root.name}.patch")
    patch.write_bytes(home.run("plan", "diff", plan).out.encode(errors="surrogateescape"))
    home.git(root, "apply", patch)


def test_binary_file_is_named_with_its_sizes(shared: Home) -> None:
    plan = shared.executed("printf '\\0\\1\\2' > b.bin")

    patch = shared.data("plan", "diff", plan)["patch"]

    assert "b.bin" in patch
    assert "3 bytes" in patch


def test_diff_has_stat_and_names(shared: Home) -> None:
    plan = shared.executed(EDIT)

    assert shared.run("plan", "diff", plan, "--name-only").lines == ["a.txt", "dir/b.txt", "new.txt"]
    assert "3 files" in shared.run("plan", "diff", plan, "--stat").out
    assert shared.error("plan", "diff", plan, "--stat", "--name-only", code=2)["code"] == "usage"


def test_same_change_has_the_same_digest(shared: Home) -> None:
    root = shared.repository()
    first, second, other = (
        shared.executed(run, project=root) for run in ("echo x > x", "printf 'x\\n' > x", "echo y > x")
    )

    digests = [shared.data("plan", "diff", plan)["digest"] for plan in (first, second, other)]

    assert digests[0] == digests[1] != digests[2]


def test_path_that_is_not_utf_8_is_given_whole(shared: Home) -> None:
    plan = shared.executed("touch \"$(printf 'caf\\351')\"")

    file = shared.data("plan", "diff", plan)["files"][0]

    assert (file["path"], file["path_base64"]) == ("caf\\xe9", "Y2Fm6Q==")


def test_former_path_that_is_not_utf_8_is_given_whole(shared: Home) -> None:
    root = shared.repository({b"caf\xe9": "1\n2\n3\n4\n5\n"})
    plan = shared.executed("mv caf* coffee", project=root)

    (file,) = shared.data("plan", "diff", plan)["files"]

    assert (file["path"], file["path_base64"]) == ("coffee", None)
    assert (file["old_path"], file["old_path_base64"]) == ("caf\\xe9", "Y2Fm6Q==")


def test_control_characters_in_names_are_escaped(shared: Home) -> None:
    """As git quotes them: an agent chose them, and they reach a terminal, or a script that reads lines."""
    name = 'a \x1b[31m"red\\\x1b]0;title\x07\nü'
    plan = shared.executed(f"touch {shlex.quote(name)} 'plain \"ü'")

    done = shared.run("plan", "diff", plan, "--name-only")
    stat = shared.run("plan", "diff", plan, "--stat")

    quoted = r'"a \033[31m\"red\\\033]0;title\a\nü"'
    assert done.lines == [quoted, 'plain "ü']
    assert quoted in stat.out
    assert len(stat.lines) == 3
    assert shared.data("plan", "diff", plan)["files"][0]["path"] == name


# --- expect ------------------------------------------------------------------------------------------------------------


def test_expected_digest_is_applied(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    digest = shared.data("plan", "diff", plan)["digest"]

    applied = shared.apply(plan, "--expect", digest)

    assert (applied["digest"], applied["files"], applied["mode"]) == (digest, 3, "worktree")
    edited(root)


def test_other_digest_is_refused_and_changes_nothing(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    digest = shared.data("plan", "diff", plan)["digest"]

    with unchanged(root):
        error = shared.apply(plan, "--expect", "0" * 64, code=4)

    assert error["code"] == "change_moved"
    assert error["detail"]["digest"] == digest
    assert shared.position(plan) == "execute/complete"


def test_digest_of_an_earlier_result_is_refused(shared: Home, tmp_path: Path) -> None:
    """A plan that was reverted and ran again may have another change than the one that was reviewed."""
    count = tmp_path / "count"
    plan = shared.executed(f"echo x >> {count}; wc -l < {count} > out.txt")
    reviewed = shared.data("plan", "diff", plan)["digest"]
    shared.data("plan", "revert", plan, "--yes")
    shared.run("plan", "wait", plan)

    assert shared.apply(plan, "--expect", reviewed, code=4)["code"] == "change_moved"


def test_project_that_moved_under_a_clean_merge_is_told(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    (root / "beside.txt").write_text("mine\n")
    shared.commit(root, "beside")

    shared.apply(plan)

    edited(root)
    assert (root / "beside.txt").read_text() == "mine\n"
    kinds = [event["kind"] for event in shared.data("events", "--plan", plan)["events"]]
    assert "apply.project-moved" in kinds


def test_applying_says_that_the_project_moved(shared: Home) -> None:
    """Not only in the events: the one who applies is told."""
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    (root / "beside.txt").write_text("mine\n")

    done = shared.run("plan", "apply", plan, "--yes", "--wait")

    assert "moved" in done.out + done.err or "changed since" in done.out + done.err


# --- modes -------------------------------------------------------------------------------------------------------------


def test_mode_worktree_changes_files_only(shared: Home) -> None:
    root = shared.repository()
    head, plan = shared.git(root, "rev-parse", "HEAD"), shared.executed(EDIT, project=root)

    shared.apply(plan, "--mode", "worktree")

    edited(root)
    assert shared.git(root, "rev-parse", "HEAD") == head
    assert shared.git(root, "diff", "--cached", "--name-only") == ""


def test_mode_index_stages_the_change(shared: Home) -> None:
    root = shared.repository()
    head, plan = shared.git(root, "rev-parse", "HEAD"), shared.executed(EDIT, project=root)

    shared.apply(plan, "--mode", "index")

    edited(root)
    assert shared.git(root, "rev-parse", "HEAD") == head
    assert shared.git(root, "diff", "--cached", "--name-only").splitlines() == ["a.txt", "dir/b.txt", "new.txt"]
    assert shared.git(root, "diff", "--name-only") == ""


def test_mode_commit_makes_one_commit_of_the_users_own(shared: Home) -> None:
    root = shared.repository()
    head = shared.git(root, "rev-parse", "HEAD")
    plan = shared.use(shared.action(EDIT, description="Shout"), root)

    applied = shared.apply(plan, "--mode", "commit")

    edited(root)
    assert applied["commit"] == shared.git(root, "rev-parse", "main")
    assert shared.git(root, "rev-parse", "HEAD^") == head
    assert shared.git(root, "log", "-1", "--format=%an <%ae>|%cn|%s") == "Ada <ada@example.org>|Ada|Shout"
    assert plan in shared.git(root, "log", "-1", "--format=%b")
    assert shared.git(root, "status", "--porcelain") == ""


def test_a_commit_for_a_long_description_has_a_subject_that_fits_and_all_of_it_below(shared: Home) -> None:
    """`ca run` describes its plan by the whole command."""
    root = shared.repository()
    what = f"echo {'word ' * 60}> out.txt"
    plan = shared.executed("echo new > new.txt", project=root, description=what)
    shared.apply(plan, "--mode", "commit")

    subject, body = shared.git(root, "log", "-1", "--format=%s%x00%b").split("\0")
    assert len(subject) == 72
    assert subject.endswith("…")
    assert what in body
    assert f"({plan})" in body


def test_mode_commit_leaves_the_users_own_edits_uncommitted(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    put(root, {"mine.txt": "untracked\n", "staged.txt": "staged\n"})
    shared.git(root, "add", "staged.txt")

    shared.apply(plan, "--mode", "commit")

    edited(root)
    assert shared.git(root, "status", "--porcelain").splitlines() == ["A  staged.txt", "?? mine.txt"]


def test_mode_branch_leaves_the_checkout_alone(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    before = tree(root)

    applied = shared.apply(plan, "--mode", "branch")

    assert tree(root) == before
    assert shared.git(root, "status", "--porcelain") == ""
    branch = shared.git(root, "for-each-ref", "--format=%(refname:short)", f"--points-at={applied['commit']}")
    assert plan in branch
    assert shared.git(root, "show", f"{branch}:a.txt") == "one\nTWO\nthree"
    assert shared.git(root, "symbolic-ref", "--short", "HEAD") == "main"


def test_unknown_mode_is_refused_before_anything_is_queued(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)

    with unchanged(root):
        error = shared.error("plan", "apply", plan, "--yes", "--wait", "--mode", "comit", code=2)

    assert error["code"] == "invalid_argument"
    assert "did you mean commit?" in error["message"]
    assert error["suggestions"] == [f"ca plan apply {plan} --mode commit"]
    assert shared.position(plan) == "execute/complete"


def test_mode_commit_in_the_middle_of_a_rebase_is_refused_for_that(shared: Home) -> None:
    """Its HEAD is detached, too, but to switch to a branch is no way out of it."""
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    shared.git(root, "checkout", "-q", "--detach")
    (root / ".git" / "rebase-merge").mkdir()

    error = shared.apply(plan, "--mode", "commit", code=1)

    assert "a rebase is in progress" in error["message"]


def test_mode_commit_on_a_detached_head_is_refused_and_can_be_done_otherwise(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    shared.git(root, "checkout", "-q", "--detach")

    with unchanged(root):
        error = shared.apply(plan, "--mode", "commit", code=1)

    assert error["code"] == "invalid_argument"
    assert "detached" in error["message"]
    assert shared.position(plan) == "apply/errored"
    shared.apply(plan, "--mode", "worktree")
    edited(root)


# --- the user's own work -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["worktree", "index", "commit", "branch"])
def test_own_edits_beside_the_change_are_kept(shared: Home, mode: str) -> None:
    """Dirty, staged, untracked and ignored files that the change does not touch are as they were."""
    root = shared.repository(
        {"a.txt": "one\ntwo\nthree\n", "dir/b.txt": "b\n", "c.txt": "c\n", ".gitignore": "*.log\n"}
    )
    plan = shared.executed(EDIT, project=root)
    put(root, {"c.txt": "dirty\n", "staged.txt": "staged\n", "own.txt": "untracked\n", "x.log": "ignored\n"})
    shared.git(root, "add", "staged.txt")

    shared.apply(plan, "--mode", mode)

    own = {name: (root / name).read_text() for name in ("c.txt", "staged.txt", "own.txt", "x.log")}
    assert own == {"c.txt": "dirty\n", "staged.txt": "staged\n", "own.txt": "untracked\n", "x.log": "ignored\n"}
    assert "c.txt" in shared.git(root, "diff", "--name-only").splitlines()
    assert "own.txt" in shared.git(root, "ls-files", "--others", "--exclude-standard").splitlines()
    assert "staged.txt" in shared.git(root, "diff", "--cached", "--name-only").splitlines()


def test_own_edit_of_a_changed_file_is_merged(shared: Home) -> None:
    """A path that is dirty and also in the change set is part of the three-way merge."""
    root = shared.repository({"a.txt": "".join(f"{number}\n" for number in range(1, 21))})
    plan = shared.executed("sed -i s/^2$/two/ a.txt", project=root)
    text = (root / "a.txt").read_text()
    (root / "a.txt").write_text(text.replace("19\n", "nineteen\n"))

    shared.apply(plan)

    merged = (root / "a.txt").read_text()
    assert "two\n" in merged
    assert "nineteen\n" in merged


def test_own_edits_before_the_plan_are_not_part_of_the_change(shared: Home) -> None:
    root = shared.repository()
    (root / "dir" / "b.txt").write_text("mine\n")
    (root / "own.txt").write_text("own\n")

    plan = shared.executed("echo new > new.txt", project=root)
    shared.apply(plan, "--mode", "commit")

    assert shared.git(root, "show", "--name-only", "--format=", "HEAD") == "new.txt"
    assert (root / "dir" / "b.txt").read_text() == "mine\n"


# --- conflicts ---------------------------------------------------------------------------------------------------------


CONFLICTS: dict[str, tuple[str, dict[str | bytes, Content], str]] = {
    "content": (EDIT, {"a.txt": "one\nzwei\nthree\n"}, "a.txt"),
    "modify/delete": ("rm a.txt", {"a.txt": "one\nzwei\nthree\n"}, "a.txt"),
    "delete/modify": ("echo more >> a.txt", {"a.txt": None}, "a.txt"),
    "add/add": ("echo theirs > new.txt", {"new.txt": "mine\n"}, "new.txt"),
    "file/directory": ("mkdir new; echo x > new/x", {"new": "a file\n"}, "new"),
    "binary": ("printf '\\0\\2' > bin", {"bin": b"\0\3"}, "bin"),
}


@pytest.mark.parametrize("kind", list(CONFLICTS))
def test_conflict_leaves_the_project_byte_for_byte(shared: Home, kind: str) -> None:
    """Exit 4, the files are listed, the plan is constrained; project, index, HEAD and refs are as before."""
    run, mine, path = CONFLICTS[kind]
    root = shared.repository({"a.txt": "one\ntwo\nthree\n", "dir/b.txt": "b\n", "bin": b"\0\1"})
    plan = shared.executed(run, project=root)
    put(root, mine)

    with unchanged(root):
        error = shared.apply(plan, code=4)

    assert error["code"] == "merge_conflict"
    assert any(file["path"].startswith(path) for file in error["detail"]["files"]), error["detail"]
    assert path in error["message"]
    assert shared.position(plan) == "apply/constrained"
    assert path in shared.run("plan", "wait", plan, code=4).err


def test_conflict_names_the_three_versions(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    (root / "a.txt").write_text("one\nzwei\nthree\n")

    file = shared.apply(plan, code=4)["detail"]["files"][0]

    refs = f"refs/cleveragents/plans/{shared.plan(plan)['plan_id']}"
    repositories = (shared.home / "data" / "repos").glob("*.git")
    private = next(found for found in repositories if shared.git(found, "for-each-ref", refs))
    texts = [shared.git(private, "cat-file", "blob", file[side]) for side in ("base", "ours", "theirs")]
    assert [text.splitlines()[1] for text in texts] == ["two", "zwei", "TWO"]


def test_constrained_plan_is_applied_once_the_conflict_is_gone(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    (root / "a.txt").write_text("one\nzwei\nthree\n")
    shared.apply(plan, code=4)

    (root / "a.txt").write_text("one\ntwo\nthree\n")
    shared.apply(plan)

    edited(root)
    assert shared.plan(plan)["error"] is None


def test_conflict_in_one_of_two_projects_changes_neither(shared: Home) -> None:
    one, two = shared.repository(), shared.repository()
    action = shared.action(
        steps=[{"id": "a", "run": EDIT}, {"id": "b", "run": EDIT, "project": two.name}],
    )
    plan = shared.use(action, one, two)
    (two / "a.txt").write_text("one\nzwei\nthree\n")

    with unchanged(one), unchanged(two):
        error = shared.apply(plan, code=4)

    assert error["detail"]["project"] == f"local/{two.name}"
    (two / "a.txt").write_text("one\ntwo\nthree\n")
    shared.apply(plan)
    edited(one)
    edited(two)


# --- checks ------------------------------------------------------------------------------------------------------------


def test_failed_check_leaves_the_project_untouched(shared: Home) -> None:
    root = shared.repository()
    plan = shared.use(shared.action(EDIT, checks=[{"name": "lint", "run": "echo line 3 is wrong; exit 9"}]), root)

    with unchanged(root):
        error = shared.apply(plan, code=4)

    assert error["code"] == "checks_failed"
    assert "lint" in error["message"]
    assert error["detail"]["tail"] == ["line 3 is wrong"]
    assert error["detail"]["exit_code"] == 9
    assert shared.position(plan) == "apply/constrained"


def test_failed_check_without_a_name_is_called_by_its_number(shared: Home) -> None:
    plan = shared.executed(EDIT, checks=[{"run": "true"}, {"run": "exit 9"}])

    assert shared.apply(plan, code=4)["message"].startswith("check 2 failed: exit 9 on the merged result")


def test_checks_run_on_the_merged_result(shared: Home, tmp_path: Path) -> None:
    """Not in the sandbox, not in the project: what would be applied is what is checked."""
    seen = tmp_path / "seen"
    root = shared.repository()
    check = f"cat a.txt beside.txt > {seen}; pwd >> {seen}"
    plan = shared.use(shared.action(EDIT, checks=[{"run": check}]), root)
    (root / "beside.txt").write_text("mine\n")

    shared.apply(plan)

    *content, where = seen.read_text().splitlines()
    assert content == ["one", "TWO", "three", "mine"]
    assert Path(where) not in {root, shared.work}
    assert not Path(where).exists()


def test_what_a_check_writes_is_not_applied(shared: Home) -> None:
    root = shared.repository()
    plan = shared.use(shared.action("echo new > new.txt", checks=[{"run": "touch junk; echo bad > new.txt"}]), root)

    shared.apply(plan)

    assert (root / "new.txt").read_text() == "new\n"
    assert not (root / "junk").exists()


def test_failed_check_shows_what_it_said_and_where_all_of_it_is(shared: Home) -> None:
    check = "echo the reason; exit 3"
    plan = shared.use(shared.action(EDIT, checks=[{"run": check}]), shared.repository())
    shared.apply(plan, code=4)

    said = shared.run("plan", "errors", plan).out

    assert "    the reason" in said.splitlines()
    (log,) = [line.partition("ca ")[2] for line in said.splitlines() if "full log" in line]
    assert shared.run(*log.split()).out == "the reason\n"


def test_apply_goes_through_once_the_check_passes(shared: Home, tmp_path: Path) -> None:
    marker, root = tmp_path / "fixed", shared.repository()
    plan = shared.use(shared.action(EDIT, checks=[{"run": f"test -e {marker}"}]), root)
    shared.apply(plan, code=4)

    marker.touch()
    shared.apply(plan)

    assert shared.position(plan) == "apply/applied"
    edited(root)


def test_check_past_its_timeout_is_a_failed_check(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(EDIT, checks=[{"run": gate.command, "timeout": "0.3s"}]), home.repository())

    error = home.apply(plan, code=4)

    assert error["code"] == "checks_failed"
    assert "0.3 s" in error["message"]


# --- undo --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["worktree", "index", "commit", "branch"])
def test_undo_restores_what_apply_changed(shared: Home, mode: str) -> None:
    """Files, modes, index, branch; the user's own files stay as they are."""
    root = shared.repository()
    (root / "dir" / "b.txt").chmod(0o755)
    shared.commit(root)
    plan = shared.executed(f"{EDIT}; chmod +x a.txt; mkdir deep; echo x > deep/x", project=root)
    put(root, {"own.txt": "own\n"})
    files, head = tree(root), shared.git(root, "rev-parse", "HEAD")
    status = shared.git(root, "status", "--porcelain")
    shared.apply(plan, "--mode", mode)

    shown = shared.undo(plan)

    assert tree(root) == files
    assert not (root / "deep").exists()
    assert shared.git(root, "rev-parse", "HEAD") == head
    assert shared.git(root, "status", "--porcelain") == status
    assert shared.git(root, "branch", "--list", "--format=%(refname:short)") == "main"
    assert (shown["phase"], shown["state"], shown["applied"]) == ("execute", "complete", None)


def test_undone_plan_is_applied_again(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)

    for _ in range(2):
        shared.apply(plan)
        edited(root)
        shared.undo(plan)

    assert (root / "a.txt").read_text() == "one\ntwo\nthree\n"


def test_undo_holds_after_a_restart(home: Home) -> None:
    root = home.repository()
    before = tree(root)
    plan = home.executed(EDIT, project=root)
    home.apply(plan)

    home.data("daemon", "restart")
    home.undo(plan)

    assert tree(root) == before


def test_undo_is_refused_when_files_were_changed_since(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    shared.apply(plan)
    (root / "a.txt").write_text("mine now\n")

    with unchanged(root):
        error = shared.error("plan", "undo", plan, "--yes", code=4)

    assert error["code"] == "change_moved"
    assert error["detail"]["files"] == ["a.txt"]
    assert any("--keep-going" in suggestion for suggestion in error["suggestions"])
    assert shared.position(plan) == "apply/applied"


def test_undo_that_keeps_going_restores_the_others(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    shared.apply(plan)
    (root / "a.txt").write_text("mine now\n")

    document = shared.document("plan", "undo", plan, "--yes", "--keep-going")

    assert any("a.txt" in message for message in document["messages"])
    assert (root / "a.txt").read_text() == "mine now\n"
    assert not (root / "new.txt").exists()
    assert (root / "dir" / "b.txt").read_text() == "b\n"


def test_undo_goes_around_what_stands_where_a_directory_was(shared: Home) -> None:
    """What is kept keeps the files below it, or in its place, from coming back; both are named, the others are restored."""
    root = shared.repository()
    plan = shared.executed(
        "rm -r dir; echo file > dir; rm a.txt; mkdir a.txt; echo z > a.txt/z; echo n > n", project=root
    )
    shared.apply(plan)
    put(root, {"dir": "mine now\n", "a.txt/extra": "mine\n"})

    with unchanged(root):
        error = shared.error("plan", "undo", plan, "--yes", code=4)
    messages = shared.messages("plan", "undo", plan, "--yes", "--keep-going")

    assert (error["code"], error["detail"]["files"]) == ("change_moved", ["a.txt", "dir", "dir/b.txt"])
    assert messages == ["left as they are, because they were changed since: a.txt, dir, dir/b.txt"]
    assert {str(path.relative_to(root)) for path in root.rglob("*") if ".git" not in path.parts} == {
        "dir", "a.txt", "a.txt/extra"
    }  # fmt: skip
    assert (root / "dir").read_text() == "mine now\n"


@pytest.mark.parametrize("options", [[], ["--keep-going"]])
@pytest.mark.parametrize("kind", ["repository", "folder"])
def test_undo_of_a_project_that_is_gone_takes_nothing_back(shared: Home, kind: str, options: list[str]) -> None:
    """The change is where the directory is; when that is back the undo is as good as before."""
    root = shared.repository() if kind == "repository" else shared.folder()
    before = tree(root)
    plan = shared.executed("echo two >> a.txt; echo new > new.txt", project=root)
    shared.apply(plan)
    away = root.rename(root.with_name(f"{root.name}.away"))

    with unchanged(away):
        error = shared.error("plan", "undo", plan, "--yes", *options, code=3)

    assert error["code"] == "not_found"
    assert f"{root}, does not exist" in error["message"]
    assert shared.position(plan) == "apply/applied"
    away.rename(root)
    shared.undo(plan)
    assert tree(root) == before


def test_undo_of_a_repository_that_is_none_any_more_takes_nothing_back(shared: Home) -> None:
    """As the place where a disk was mounted: there is a directory, and nothing in it."""
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    shared.apply(plan)
    away = root.rename(root.with_name(f"{root.name}.away"))
    root.mkdir()

    error = shared.error("plan", "undo", plan, "--yes", "--keep-going", code=2)

    assert "is registered as a git repository" in error["message"]
    assert shared.position(plan) == "apply/applied"
    root.rmdir()
    away.rename(root)
    shared.undo(plan)


def test_repeated_undo_says_that_it_was_done(shared: Home) -> None:
    """Until the plan goes on from there: then there is nothing that was applied."""
    root = shared.repository()
    plan = shared.executed(EDIT, "echo more >> a.txt", project=root)
    shared.apply(plan)
    shared.undo(plan)
    shared.data("plan", "rollback", plan, "s1")
    seen = shared.data("events", "--plan", plan)["total"]

    with unchanged(root):
        messages = shared.messages("plan", "undo", plan, "--yes")

    assert messages == [f"the change of {plan} was taken out already"]
    assert shared.data("events", "--plan", plan)["total"] == seen
    shared.data("plan", "revert", plan, "--yes")
    shared.run("plan", "wait", plan)
    assert shared.error("plan", "undo", plan, "--yes", code=4)["code"] == "invalid_transition"


def test_two_undos_at_once_are_one(shared: Home) -> None:
    """The other one finds it done, or under way."""
    root = shared.repository()
    before = tree(root)
    plan = shared.executed(EDIT, project=root)
    shared.apply(plan)

    both = [shared.spawn("plan", "undo", plan, "--yes", "--format", "json") for _ in range(2)]
    answers = [json.loads(one.communicate(timeout=30)[0]) for one in both]

    refused = [answer["error"]["code"] for answer in answers if answer["status"] == "error"]
    assert refused in ([], ["lock_conflict"])
    assert tree(root) == before
    kinds = [event["kind"] for event in shared.data("events", "--plan", plan, "--limit", "500")["events"]]
    assert kinds.count("plan.undone") == 1


@pytest.mark.parametrize("mode", ["index", "commit"])
def test_git_of_the_user_keeps_apply_and_undo_waiting(shared: Home, mode: str) -> None:
    """While it holds the index nothing is changed; afterwards both go on."""
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    lock = root / ".git" / "index.lock"
    before = tree(root), shared.git(root, "ls-files", "-s"), shared.git(root, "rev-parse", "HEAD")

    lock.touch()
    error = shared.apply(plan, "--mode", mode, code=1)
    assert (error["code"], error["detail"]["lock"]) == ("lock_conflict", str(lock))
    assert any("try again" in hint for hint in error["detail"]["suggestions"])
    assert before == (tree(root), shared.git(root, "ls-files", "-s"), shared.git(root, "rev-parse", "HEAD"))
    lock.unlink()

    shared.apply(plan, "--mode", mode)
    lock.touch()
    error = shared.error("plan", "undo", plan, "--yes", code=4)
    assert (error["code"], error["detail"]["lock"]) == ("lock_conflict", str(lock))
    assert any("try again" in hint for hint in error["suggestions"])
    edited(root)
    lock.unlink()
    shared.undo(plan)
    assert before == (tree(root), shared.git(root, "ls-files", "-s"), shared.git(root, "rev-parse", "HEAD"))


def test_commit_that_others_build_on_is_not_taken_back(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    commit = shared.apply(plan, "--mode", "commit")["commit"]
    (root / "later.txt").write_text("later\n")
    shared.commit(root, "later")

    with unchanged(root):
        error = shared.error("plan", "undo", plan, "--yes", code=4)

    assert error["code"] == "change_moved"
    assert any("git" in hint and "revert" in hint and commit[:7] in hint for hint in error["suggestions"])


# --- empty change sets -------------------------------------------------------------------------------------------------


def test_empty_change_is_refused_unless_allowed(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed("echo looked", project=root)

    error = shared.error("plan", "apply", plan, "--yes", "--wait", code=1)

    assert error["code"] == "nothing_to_apply"
    assert shared.position(plan) == "execute/complete"
    assert not [command for command in shared.plan(plan)["next"] if "apply" in command]
    with unchanged(root):
        applied = shared.apply(plan, "--allow-empty")
    assert applied["files"] == 0
    assert shared.position(plan) == "apply/applied"


def test_edit_that_was_taken_back_is_an_empty_change(shared: Home) -> None:
    plan = shared.executed("echo x >> a.txt", "git checkout a.txt; touch a.txt")

    assert shared.plan(plan)["diff"]["files"] == 0
    assert shared.data("plan", "diff", plan)["patch"] == ""


# --- folders and several projects --------------------------------------------------------------------------------------


def test_plain_folder_is_changed_and_restored(shared: Home) -> None:
    """It gets no `.git`, neither from the plan nor from Apply."""
    root = shared.folder({"a.txt": "one\n", "sub/b.txt": "b\n", "run.sh": "#!/bin/sh\n"})
    (root / "run.sh").chmod(0o755)
    before = fingerprint(root)
    plan = shared.executed("echo two >> a.txt; rm -r sub; mkdir new; echo x > new/x; chmod -x run.sh", project=root)
    assert fingerprint(root) == before

    shared.apply(plan)

    assert sorted(path.name for path in root.iterdir()) == ["a.txt", "new", "run.sh"]
    assert (root / "a.txt").read_text() == "one\ntwo\n"
    assert (root / "run.sh").stat().st_mode & 0o111 == 0
    shared.undo(plan)
    assert fingerprint(root) == before


def test_folder_takes_no_commit(shared: Home) -> None:
    root = shared.folder()
    plan = shared.executed("echo two >> a.txt", project=root)

    with unchanged(root):
        error = shared.apply(plan, "--mode", "commit", code=1)

    assert error["code"] == "invalid_argument"
    assert "folder" in error["message"]


def test_two_projects_are_applied_and_undone_together(shared: Home) -> None:
    one, two = shared.repository(), shared.folder()
    before = tree(one), tree(two)
    action = shared.action(
        steps=[{"id": "a", "run": EDIT}, {"id": "b", "run": "echo two >> a.txt", "project": two.name}],
    )
    plan = shared.use(action, one, two)
    paths = [file["path"] for file in shared.data("plan", "diff", plan)["files"]]
    assert f"local/{two.name}:a.txt" in paths

    shared.apply(plan)
    edited(one)
    assert (two / "a.txt").read_text() == "one\ntwo\n"
    shared.undo(plan)

    assert (tree(one), tree(two)) == before


def test_undo_in_one_of_two_projects_alone_does_not_happen(shared: Home) -> None:
    one, two = shared.repository(), shared.repository()
    action = shared.action(steps=[{"id": "a", "run": EDIT}, {"id": "b", "run": EDIT, "project": two.name}])
    plan = shared.use(action, one, two)
    shared.apply(plan)
    (two / "new.txt").write_text("mine now\n")

    with unchanged(one), unchanged(two):
        assert shared.error("plan", "undo", plan, "--yes", code=4)["code"] == "change_moved"


# --- where a change may not go -----------------------------------------------------------------------------------------


def test_change_through_a_symlinked_directory_is_refused(shared: Home, tmp_path: Path) -> None:
    """What the plan made a directory is a link out of the project now."""
    outside = tmp_path / "outside"
    outside.mkdir()
    root = shared.repository()
    plan = shared.executed("mkdir -p way; echo x > way/file", project=root)
    (root / "way").symlink_to(outside)

    with unchanged(root):
        document = shared.document("plan", "apply", plan, "--yes", "--wait", code=None)

    assert document["exit_code"] in {1, 4}
    assert "way" in document["error"]["message"]
    assert not list(outside.iterdir())


def test_project_that_is_gone_is_an_error_and_work_is_kept(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)
    away = root.rename(root.with_name(f"{root.name}-away"))

    error = shared.apply(plan, code=1)

    assert error["code"] == "not_found"
    assert str(root) in error["message"]
    away.rename(root)
    shared.apply(plan)
    edited(root)


def test_apply_asks_nobody_without_a_terminal(shared: Home) -> None:
    """Destructive verbs need --yes where nobody can be asked."""
    plan = shared.executed(EDIT)

    for verb in ("apply", "cancel", "revert", "undo"):
        error = shared.error("plan", verb, plan, code=2)
        assert error["code"] == "usage"
        assert "--yes" in error["message"]
    assert shared.position(plan) == "execute/complete"


def test_command_of_apply_that_is_offered_works(shared: Home) -> None:
    """The undo that the answer names is the one that takes the change back."""
    root = shared.repository()
    plan = shared.executed(EDIT, project=root)

    words = shlex.split(shared.apply(plan)["undo"])

    assert words[0] == "ca"
    shared.run(*words[1:], "--yes")
    assert (root / "a.txt").read_text() == "one\ntwo\nthree\n"
