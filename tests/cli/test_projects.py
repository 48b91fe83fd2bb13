"""`ca project`: add, list, show, remove, and what can be a project."""

import os
import shutil
from pathlib import Path

import pytest

from tests.homes import Home, put, unchanged


def bare(home: Home) -> Path:
    """A repository that is not registered."""
    root = home.work / home.fresh("r")
    root.mkdir()
    home.git(root, "init", "-q")
    put(root, {"a.txt": "one\n"})
    home.commit(root)
    return root


def test_current_directory_is_the_default(shared: Home) -> None:
    root = bare(shared)

    added = shared.data("project", "add", cwd=root)

    assert (added["name"], added["path"], added["kind"]) == (f"local/{root.name}", str(root), "git")


def test_adding_changes_nothing_in_the_project(shared: Home) -> None:
    root = bare(shared)

    with unchanged(root):
        shared.data("project", "add", str(root))


def test_name_is_made_of_the_directory(shared: Home) -> None:
    root = bare(shared)
    odd = root.with_name(f"My Project (2) {root.name}")
    root.rename(odd)

    assert shared.data("project", "add", str(odd))["name"] == f"local/my-project--2--{root.name}"


def test_adding_again_says_so(shared: Home) -> None:
    root = bare(shared)
    first = shared.data("project", "add", str(root))

    document = shared.document("project", "add", str(root))

    assert document["data"] == first
    assert any("already" in message for message in document["messages"])


def test_relative_path_and_symlink_are_the_same_project(shared: Home) -> None:
    root = bare(shared)
    link = root.with_name(f"{root.name}-link")
    link.symlink_to(root)
    first = shared.data("project", "add", str(root))

    again = shared.data("project", "add", f"../work/{link.name}", cwd=shared.work)

    assert again == first


def test_project_is_named_by_its_path_too(shared: Home) -> None:
    root = shared.repository()

    assert shared.data("project", "show", str(root)) == shared.data("project", "show", root.name)
    assert shared.data("project", "show", ".", cwd=root)["path"] == str(root)


def test_plan_on_the_current_directory(shared: Home) -> None:
    root, action = shared.repository(), shared.action("true")

    plan = shared.data("plan", "use", action, ".", "--profile", "manual", cwd=root)

    assert plan["projects"] == [f"local/{root.name}"]


def test_removed_project_keeps_its_directory(shared: Home) -> None:
    root = shared.repository()

    with unchanged(root):
        shared.data("project", "remove", root.name, "--yes")

    assert shared.error("project", "show", root.name, code=3)["code"] == "not_found"


def test_project_with_unfinished_plans_is_not_removed(shared: Home) -> None:
    root = shared.repository()
    plan = shared.use(shared.action("true"), root, profile="manual")

    error = shared.error("project", "remove", root.name, "--yes", code=4)

    assert (error["code"], plan in error["message"]) == ("lock_conflict", True)
    shared.data("plan", "cancel", plan, "--yes")
    shared.data("project", "remove", root.name, "--yes")


def test_list_has_every_project_in_both_formats(home: Home) -> None:
    assert home.data("project", "list") == {"projects": [], "total": 0}
    assert "ca project add" in home.run("project", "list").out
    git, folder = home.repository(), home.folder()

    listed = home.data("project", "list")

    assert (listed["total"], {project["kind"] for project in listed["projects"]}) == (2, {"git", "folder"})
    text = home.run("project", "list").out
    assert str(git) in text
    assert str(folder) in text


def test_unknown_project_names_the_nearest(shared: Home) -> None:
    root = shared.repository(name="storefront")

    assert root.name in shared.error("project", "show", "storefrnt", code=3)["message"]


# --- what cannot be a project ------------------------------------------------------------------------------------------


def test_directory_that_is_not_there(shared: Home) -> None:
    error = shared.error("project", "add", str(shared.work / "nowhere"), code=3)

    assert error["code"] == "not_found"
    assert "nowhere" in error["message"]


def test_file_is_no_project(shared: Home) -> None:
    root = bare(shared)

    error = shared.error("project", "add", str(root / "a.txt"), code=2)

    assert "not a directory" in error["message"]
    assert str(root) in error["suggestions"][0]


def test_part_of_a_repository_is_no_project(shared: Home) -> None:
    root = bare(shared)
    (root / "sub").mkdir()

    error = shared.error("project", "add", str(root / "sub"), code=2)

    assert str(root) in error["message"]
    assert any(str(root) in suggestion for suggestion in error["suggestions"])


def test_folder_inside_another_project_is_refused(shared: Home) -> None:
    root = shared.folder()
    (root / "inner").mkdir()

    error = shared.error("project", "add", str(root / "inner"), code=2)

    assert error["code"] == "invalid_argument"
    assert root.name in error["message"]


def test_sandbox_and_the_directory_of_all_data_are_no_projects(shared: Home) -> None:
    sandbox = shared.sandbox(shared.executed("true"))

    for place in (sandbox, shared.home / "data", shared.root):
        assert shared.error("project", "add", str(place), code=2)["code"] == "invalid_argument"


def test_directory_around_a_project_is_refused(shared: Home) -> None:
    outer = shared.work / shared.fresh("outer")
    inner = outer / "inner"
    inner.mkdir(parents=True)
    shared.data("project", "add", str(inner), "--name", shared.fresh("inner"))

    assert shared.error("project", "add", str(outer), code=2)["code"] == "invalid_argument"


def test_name_that_is_taken_is_refused_with_another(shared: Home) -> None:
    one, two = shared.repository(), bare(shared)

    error = shared.error("project", "add", str(two), "--name", one.name, code=2)

    assert str(one) in error["message"]
    assert any("--name" in suggestion for suggestion in error["suggestions"])


@pytest.mark.parametrize("name", ["../x", "Über", "a/b/c", "", "-x", "a b"])
def test_name_that_is_none_is_refused(shared: Home, name: str) -> None:
    root = bare(shared)

    document = shared.document("project", "add", str(root), f"--name={name}", code=None)

    if name:
        assert (document["exit_code"], document["error"]["code"]) == (2, "invalid_argument")
        assert "valid" in document["error"]["message"]
    else:
        assert document["exit_code"] in {0, 2}


def test_home_directory_is_too_much(shared: Home) -> None:
    error = shared.error("project", "add", str(shared.user), code=2)

    assert "too much" in error["message"]


def test_inside_of_a_git_directory_is_refused(shared: Home) -> None:
    root = bare(shared)

    assert shared.error("project", "add", str(root / ".git"), code=2)["code"] == "invalid_argument"


# --- states of a repository --------------------------------------------------------------------------------------------


def test_repository_without_a_commit_works(shared: Home) -> None:
    """An unborn branch: everything is untracked, and Apply puts the files there."""
    root = shared.work / shared.fresh("unborn")
    root.mkdir()
    shared.git(root, "init", "-q")
    (root / "a.txt").write_text("one\n")
    shared.data("project", "add", str(root))

    plan = shared.executed("echo two >> a.txt", project=root)
    shared.apply(plan)

    assert (root / "a.txt").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("state", ["merge", "rebase", "cherry-pick", "revert"])
def test_repository_in_the_middle_of_something_is_refused(shared: Home, state: str) -> None:
    """The plan says what is under way; when that is over it goes on."""
    root = shared.repository()
    marker = {
        "merge": "MERGE_HEAD",
        "rebase": "rebase-merge/head-name",
        "cherry-pick": "CHERRY_PICK_HEAD",
        "revert": "REVERT_HEAD",
    }[state]
    path = root / ".git" / marker
    path.parent.mkdir(exist_ok=True)
    path.write_text(shared.git(root, "rev-parse", "HEAD") + "\n")

    plan = shared.use(shared.action("true"), root, profile="supervised", code=1)

    error = shared.plan(plan)["error"]
    assert state in error["message"]
    path.unlink()
    if state == "rebase":
        path.parent.rmdir()
    shared.run("plan", "execute", plan, "--wait")
    assert shared.position(plan) == "strategize/complete"


def test_real_merge_with_conflicts_is_refused_and_untouched(shared: Home) -> None:
    root = shared.repository({"a.txt": "one\n"})
    shared.git(root, "checkout", "-qb", "other")
    put(root, {"a.txt": "other\n"})
    shared.commit(root)
    shared.git(root, "checkout", "-q", "main")
    put(root, {"a.txt": "main\n"})
    shared.commit(root)
    shared.run_program("sh", "-c", "git merge -q other || true", cwd=root)

    with unchanged(root):
        plan = shared.use(shared.action("true"), root, code=1)

    assert "merge" in shared.plan(plan)["error"]["message"]


@pytest.mark.parametrize("kind", ["detached", "shallow", "worktree", "empty"])
def test_unusual_repositories_work(shared: Home, kind: str) -> None:
    origin = bare(shared)
    shared.commit(origin, "second")
    root = shared.work / shared.fresh(kind)
    if kind == "shallow":
        shared.git(shared.work, "clone", "-q", "--depth", "1", f"file://{origin}", str(root))
    elif kind == "worktree":
        shared.git(origin, "worktree", "add", "-q", "-b", "linked", str(root))
    else:
        shutil.copytree(origin, root)
        if kind == "detached":
            shared.git(root, "checkout", "-q", "--detach")
        else:
            shared.git(root, "rm", "-q", "a.txt")
            shared.commit(root, "nothing left")
    shared.data("project", "add", str(root), "--name", root.name)

    plan = shared.executed("echo new > new.txt", project=root)
    shared.apply(plan)

    assert (root / "new.txt").read_text() == "new\n"
    shared.undo(plan)
    assert not (root / "new.txt").exists()


def test_what_cannot_be_carried_is_named(shared: Home) -> None:
    """A FIFO and a repository of its own are not in the sandbox, and the plan says so."""
    root = shared.repository()
    os.mkfifo(root / "pipe")
    inner = root / "nested"
    inner.mkdir()
    shared.git(inner, "init", "-q")
    put(inner, {"x": "x\n"})
    shared.commit(inner)

    plan = shared.executed("ls -A > listing", project=root)

    events = shared.data("events", "--plan", plan)["events"]
    named = next(event["detail"]["entries"] for event in events if event["kind"] == "project.uncarried")
    assert [entry.partition(":")[0] for entry in named] == ["nested", "pipe"]
    assert "pipe" not in (shared.sandbox(plan) / "listing").read_text().split()
    assert "pipe" in shared.run("plan", "show", plan).out
