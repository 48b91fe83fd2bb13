"""One plan on several projects: a sandbox each, one change, applied and undone together or not at all."""

import contextlib
import os
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.homes import Home, fingerprint, unchanged


def action(
    home: Home, first: Path, second: Path, *, here: str = "echo here > made", there: str = "echo there > made"
) -> str:
    """An action with a step for each of the projects."""
    steps = [{"id": "here", "run": here, "project": first.name}, {"id": "there", "run": there, "project": second.name}]
    return home.action(steps=steps)


@contextlib.contextmanager
def sealed(directory: Path) -> Generator[None]:
    """Nothing in the directory can be made, renamed or removed, not even by root."""
    root = os.geteuid() == 0
    if root:
        if subprocess.run(["chattr", "+i", directory], check=False, capture_output=True).returncode != 0:
            pytest.skip("root may write everywhere on this file system")
    else:
        directory.chmod(0o500)
    try:
        yield
    finally:
        if root:
            subprocess.run(["chattr", "-i", directory], check=True)
        else:
            directory.chmod(0o755)


def test_one_diff_names_the_project_of_each_file(shared: Home) -> None:
    one, two = shared.repository(), shared.folder()

    plan = shared.use(action(shared, one, two), one, two)

    found = shared.data("plan", "diff", plan)
    assert [file["path"] for file in found["files"]] == [f"local/{one.name}:made", f"local/{two.name}:made"]
    assert f"+++ b/local/{two.name}/made" in found["patch"].splitlines()
    assert set(found["base"]) == {f"local/{one.name}", f"local/{two.name}"}
    assert shared.plan(plan)["diff"] == {"digest": found["digest"], "files": 2, "insertions": 2, "deletions": 0}
    assert [Path(box["path"]).joinpath("made").read_text() for box in shared.plan(plan)["sandboxes"]] == [
        "here\n",
        "there\n",
    ]


def test_one_digest_changes_with_either_result(shared: Home) -> None:
    one, two = shared.repository(), shared.repository()
    changes = [{}, {"here": "echo other > made"}, {"there": "echo other > made"}, {}]

    digests = [
        shared.plan(shared.use(action(shared, one, two, **change), one, two))["diff"]["digest"] for change in changes
    ]

    assert len(set(digests)) == 3
    assert digests[0] == digests[-1]


def test_repository_and_folder_are_applied_and_undone_together(shared: Home) -> None:
    """An undo that one of them refuses leaves the other alone too."""
    one, two = shared.repository(), shared.folder()
    before = [fingerprint(root / "dir") if root is one else fingerprint(root) for root in (one, two)]
    plan = shared.use(action(shared, one, two, there="echo there > made; rm a.txt"), one, two)
    shared.apply(plan)
    assert (one / "made").read_text() == "here\n"
    assert [path.name for path in two.iterdir()] == ["made"]
    (two / "made").write_text("mine\n")

    with unchanged(one), unchanged(two):
        error = shared.error("plan", "undo", plan, "--yes", code=4)

    assert (error["code"], error["detail"]["project"]) == ("change_moved", f"local/{two.name}")
    (two / "made").write_text("there\n")
    shared.undo(plan)
    assert [fingerprint(one / "dir"), fingerprint(two)] == before
    assert not (one / "made").exists()


@pytest.mark.parametrize("mode", ["index", "commit", "branch"])
def test_modes_of_git_are_refused_for_all_when_one_is_a_folder(shared: Home, mode: str) -> None:
    """The refusal names the folder; nothing is half applied, and the mode that all can take still works."""
    one, two = shared.repository(), shared.folder()
    plan = shared.use(action(shared, one, two), one, two)

    with unchanged(one), unchanged(two):
        error = shared.apply(plan, "--mode", mode, code=1)

    assert error["code"] == "invalid_argument"
    assert f"local/{two.name} is a plain folder" in error["message"]
    shared.apply(plan, "--mode", "worktree")
    assert error["detail"]["suggestions"] == ["--mode worktree"]
    assert (two / "made").read_text() == "there\n"


def test_mode_that_is_suggested_is_one_that_all_can_take(shared: Home) -> None:
    one, two = shared.repository(), shared.folder()
    shared.set("apply.mode", "commit", project=one.name)
    plan = shared.use(action(shared, one, two), one, two)

    error = shared.error("plan", "apply", plan, "--yes", "--wait", code=2)

    assert error["suggestions"] == [f"ca plan apply {plan} --mode worktree"]


def test_branch_that_is_there_can_be_renamed(shared: Home) -> None:
    """The suggestion is a command that makes room."""
    root = shared.repository()
    plan = shared.executed("echo two >> a.txt", project=root)
    shared.git(root, "branch", f"ca/{plan}")

    error = shared.apply(plan, "--mode", "branch", code=1)

    (rename, _) = error["detail"]["suggestions"]
    assert rename == f"git -C {root} branch -m ca/{plan} OTHER-NAME"
    shared.git(root, *rename.split()[3:])
    shared.apply(plan, "--mode", "branch")


def test_conflicts_of_all_projects_are_one_error(shared: Home) -> None:
    one, two = shared.repository(), shared.repository()
    edit = "echo plan > a.txt"
    plan = shared.use(action(shared, one, two, here=edit, there=edit), one, two)
    for root in (one, two):
        (root / "a.txt").write_text("mine\n")

    with unchanged(one), unchanged(two):
        error = shared.apply(plan, code=4)

    found = [(file["project"], file["path"]) for file in error["detail"]["files"]]
    assert (error["code"], found) == ("merge_conflict", [(f"local/{root.name}", "a.txt") for root in (one, two)])
    assert all(f"{root.name}:a.txt" in shared.run("plan", "errors", plan).out for root in (one, two))


def test_projects_that_are_configured_differently_need_a_mode(shared: Home) -> None:
    one, two = shared.repository(), shared.repository()
    shared.set("apply.mode", "index", project=two.name)
    plan = shared.use(action(shared, one, two), one, two)

    error = shared.error("plan", "apply", plan, "--yes", "--wait", code=2)

    assert error["code"] == "invalid_argument"
    assert error["detail"]["modes"] == {f"local/{one.name}": "worktree", f"local/{two.name}": "index"}
    by_itself = shared.use(action(shared, one, two), one, two, profile="full-auto")
    assert shared.position(by_itself) == "execute/complete"
    assert shared.apply(plan, "--mode", "index")["mode"] == "index"


def test_commits_are_made_and_taken_back_in_both(shared: Home) -> None:
    """A commit on top of one of them keeps both."""
    one, two = shared.repository(), shared.repository()
    plan = shared.use(action(shared, one, two), one, two)
    heads = [shared.git(root, "rev-parse", "HEAD") for root in (one, two)]
    shared.apply(plan, "--mode", "commit")
    assert [shared.git(root, "rev-parse", "HEAD^") for root in (one, two)] == heads
    (two / "later").write_text("later\n")
    shared.commit(two)

    with unchanged(one), unchanged(two):
        error = shared.error("plan", "undo", plan, "--yes", code=4)

    assert error["detail"]["project"] == f"local/{two.name}"
    shared.git(two, "reset", "-q", "--hard", "HEAD^")
    shared.undo(plan)
    assert [shared.git(root, "rev-parse", "HEAD") for root in (one, two)] == heads


def test_second_project_that_cannot_be_written_takes_the_first_back(shared: Home) -> None:
    """The first was whole by then, and part of the second too."""
    one, two = shared.repository(), shared.repository({"a.txt": "a\n", "shut/b.txt": "b\n"})
    plan = shared.use(action(shared, one, two, there="echo x >> a.txt; echo x >> shut/b.txt"), one, two)

    with sealed(two / "shut"), unchanged(one), unchanged(two):
        error = shared.apply(plan, code=1)

    assert error["code"] == "permission_denied"
    assert "shut/b.txt" in error["message"]
    shared.apply(plan)
    assert ((one / "made").read_text(), (two / "shut" / "b.txt").read_text()) == ("here\n", "b\nx\n")


def test_second_project_that_is_gone_leaves_the_first_untouched(shared: Home) -> None:
    one, two = shared.repository(), shared.repository()
    plan = shared.use(action(shared, one, two), one, two)
    away = two.rename(two.with_name(f"{two.name}.away"))

    with unchanged(one), unchanged(away):
        error = shared.apply(plan, code=1)

    assert two.name in error["message"]
    away.rename(two)
    shared.apply(plan)
    assert (two / "made").read_text() == "there\n"


def test_undo_that_one_project_does_not_take_leaves_both_applied(shared: Home) -> None:
    one, two = shared.repository(), shared.repository({"a.txt": "a\n", "shut/b.txt": "b\n"})
    plan = shared.use(action(shared, one, two, there="echo x >> a.txt; echo x >> shut/b.txt"), one, two)
    shared.apply(plan)

    with sealed(two / "shut"), unchanged(one), unchanged(two):
        error = shared.error("plan", "undo", plan, "--yes", code=1)

    assert error["code"] == "permission_denied"
    assert shared.position(plan) == "apply/applied"
    shared.undo(plan)
    assert not (one / "made").exists()
    assert (two / "shut" / "b.txt").read_text() == "b\n"


@pytest.mark.parametrize("first", [0, 1])
def test_most_careful_profile_of_the_projects_counts(shared: Home, first: int) -> None:
    """In whatever order they are named: what waits for a person in one of them does not happen by itself."""
    careful, quick = shared.repository(), shared.repository()
    shared.set("core.automation-profile", "manual", project=careful.name)
    shared.set("core.automation-profile", "full-auto", project=quick.name)
    made = action(shared, careful, quick)
    named = [project.name for project in (careful, quick)]

    plan = shared.data("plan", "use", made, *(named if first == 0 else reversed(named)))
    alone = shared.data("plan", "use", shared.action("true"), quick.name)

    assert (plan["automation_profile"], plan["profile_source"]) == ("manual", "project")
    assert (alone["automation_profile"], alone["profile_source"]) == ("full-auto", "project")
    assert shared.position(plan["name"]) == "strategize/queued"


def test_profile_of_all_projects_has_one_source(shared: Home) -> None:
    """One project that leaves it to the configuration counts as what is configured there."""
    told, silent = shared.repository(), shared.repository()
    shared.set("core.automation-profile", "trusted", project=told.name)

    plan = shared.data("plan", "use", action(shared, told, silent), told.name, silent.name)

    assert (plan["automation_profile"], plan["profile_source"]) == ("supervised", "default")
