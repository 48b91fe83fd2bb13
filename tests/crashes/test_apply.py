"""The daemon dies while Apply or Undo writes: what was begun is completed or taken back, never left half."""

import itertools
from pathlib import Path

import pytest

from daemon import protocol, views
from tests import daemons

CHANGE = "echo one >> a.txt; rm gone.txt; echo new > new.txt; mkdir -p far/away; echo deep > far/away/d.txt"
OLD = {"a.txt": "base\n", "b.txt": "base\n", "deep/c.txt": "base\n", "gone.txt": "base\n"}
NEW = {
    "a.txt": "base\none\n",
    "b.txt": "base\n",
    "deep/c.txt": "base\n",
    "far/away/d.txt": "deep\n",
    "new.txt": "new\n",
}
RENAMES = 4


def reviewed(home: daemons.Home, *projects: Path) -> None:
    """The plan `p` waits for Apply; no daemon runs."""
    daemon = home.start()
    names = [daemons.add_project(daemon, path) for path in projects]
    steps = [{"id": f"s{n}", "run": CHANGE, "project": name} for n, name in enumerate(names)]
    daemons.add_action(daemon, "work", steps)
    daemon.ask(daemons.use("work", names, name="p"))
    assert daemon.wait_for("p").state == "complete"
    daemon.kill()


def applied(home: daemons.Home, *projects: Path, mode: str = "worktree") -> None:
    """The plan `p` is applied; no daemon runs."""
    reviewed(home, *projects)
    daemon = home.start()
    daemon.ask(protocol.PlanApply(plan="p", mode=mode))
    assert daemon.wait_for("p").state == "applied"
    daemon.kill()


def apply_and_crash(home: daemons.Home, point: str, mode: str = "worktree") -> bool:
    """Apply in a daemon that dies at that point; whether it did."""
    daemon = home.start(crash_at=point)
    daemon.try_ask(protocol.PlanApply(plan="p", mode=mode))
    daemon.try_ask(protocol.PlanWait(plan="p", timeout=daemons.SECONDS))
    return daemon.died_of_crash()


def settled(daemon: daemons.Daemon) -> views.PlanView:
    """Applied by itself, or, when the request never became durable, by asking again."""
    plan = daemon.wait_for("p")
    if plan.phase == "execute":
        daemon.ask(protocol.PlanApply(plan="p"))
        plan = daemon.wait_for("p")
    return plan


def check_undo(daemon: daemons.Daemon, *projects: Path) -> None:
    assert daemon.ask(protocol.PlanUndo(plan="p")).phase == "execute"
    for project in projects:
        assert daemons.contents(project) == OLD
        assert daemons.git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "point", ["apply.journalled", *(f"apply.rename:{n}" for n in range(1, RENAMES + 1)), "apply.written"]
)
def test_apply_that_a_crash_cut_is_completed(home: daemons.Home, project: Path, point: str) -> None:
    """Killed before, at and after each rename, the project is wholly new once the next daemon has settled the plan."""
    reviewed(home, project)
    assert apply_and_crash(home, point)

    second = home.start()
    plan = second.wait_for("p")

    assert (plan.phase, plan.state, plan.terminal) == ("apply", "applied", True)
    assert daemons.contents(project) == NEW
    check_undo(second, project)


def test_every_rename_of_an_apply_is_a_tested_point(home: daemons.Home, project: Path) -> None:
    """The change has as many renames as are crashed at, no more."""
    reviewed(home, project)
    daemon = home.start(crash_at=f"apply.rename:{RENAMES + 1}")
    daemon.ask(protocol.PlanApply(plan="p"))

    assert daemon.wait_for("p").state == "applied"
    assert daemon.process.poll() is None


@pytest.mark.parametrize(
    ("mode", "point"),
    [
        ("index", "apply.index"),
        ("index", "apply.rename:2"),
        ("commit", "apply.rename:3"),
        ("commit", "apply.index"),
        ("commit", "apply.ref"),
        ("commit", "apply.written"),
        ("branch", "apply.ref"),
        ("branch", "apply.journalled"),
    ],
)
def test_git_modes_are_completed_after_a_crash(home: daemons.Home, project: Path, mode: str, point: str) -> None:
    """Index, commit and branch come to what an uninterrupted Apply would have made."""
    reviewed(home, project)
    assert apply_and_crash(home, point, mode)

    second = home.start()
    assert second.wait_for("p").state == "applied"

    status = daemons.git(project, "status", "--porcelain").split("\n")
    where = "ca/p" if mode == "branch" else "HEAD"
    expected_status = ["A  far/away/d.txt", "A  new.txt", "D  gone.txt", "M  a.txt"] if mode == "index" else []
    assert sorted(filter(None, status)) == expected_status
    assert daemons.contents(project) == (OLD if mode == "branch" else NEW)
    if mode != "index":
        assert daemons.git(project, "show", f"{where}:a.txt") == "base\none\n"
        assert daemons.git(project, "rev-list", "--count", where).strip() == "2"
    check_undo(second, project)
    assert daemons.git(project, "rev-list", "--count", "--all").strip() == "1"


@pytest.mark.parametrize("number", [1, RENAMES, RENAMES + 1, 2 * RENAMES])
def test_two_projects_are_applied_together_after_a_crash(
    home: daemons.Home, project: Path, tmp_path: Path, number: int
) -> None:
    """A crash between or within the projects leaves neither of them behind."""
    other = daemons.repository(tmp_path / "other", OLD)
    reviewed(home, project, other)
    assert apply_and_crash(home, f"apply.rename:{number}")

    second = home.start()

    assert second.wait_for("p").state == "applied"
    assert [daemons.contents(path) for path in (project, other)] == [NEW, NEW]
    check_undo(second, project, other)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_edit_after_the_crash_is_kept_and_the_rest_restored(home: daemons.Home, project: Path, number: int) -> None:
    """What the user wrote into one of the files meanwhile is not overwritten; the plan says which file it was."""
    reviewed(home, project)
    assert apply_and_crash(home, f"apply.rename:{number}")
    (project / "a.txt").write_text("mine\n")

    second = home.start()
    plan = second.wait_for("p")

    assert (plan.phase, plan.state) == ("apply", "errored")
    assert plan.error is not None
    assert (plan.error.code, plan.error.detail["files"]) == ("change_moved", ["a.txt"])
    assert daemons.contents(project) == OLD | {"a.txt": "mine\n"}

    (project / "a.txt").write_text("base\n")
    second.ask(protocol.PlanApply(plan="p"))
    assert second.wait_for("p").state == "applied"
    assert daemons.contents(project) == NEW


def test_two_crashes_in_a_row_do_no_more_harm_than_one(home: daemons.Home, project: Path) -> None:
    """The daemon that completes an Apply may die over it as well."""
    reviewed(home, project)
    assert apply_and_crash(home, "apply.rename:2")
    again = home.launch(crash_at="apply.rename:2")
    again.first_word()
    assert again.died_of_crash()

    last = home.start()

    assert last.wait_for("p").state == "applied"
    assert daemons.contents(project) == NEW
    check_undo(last, project)


UNDO_POINTS = [f"apply.rename:{n}" for n in range(1, RENAMES + 1)] + ["apply.written"]


@pytest.mark.parametrize("point", UNDO_POINTS)
def test_undo_that_a_crash_cut_is_completed(home: daemons.Home, project: Path, point: str) -> None:
    """The next daemon restores the rest at its start; what was undone can be applied again."""
    applied(home, project)
    daemon = home.launch(crash_at=point)
    if "ready" in daemon.first_word():
        daemon.try_ask(protocol.PlanUndo(plan="p"))
    daemon.kill()

    second = home.start()
    plan = second.plan("p")
    assert (plan.phase, plan.state) == ("execute", "complete")
    assert daemons.contents(project) == OLD
    second.ask(protocol.PlanApply(plan="p"))
    assert second.wait_for("p").state == "applied"
    assert daemons.contents(project) == NEW


@pytest.mark.parametrize("point", ["apply.rename:2", "apply.index", "apply.ref"])
def test_undo_of_a_commit_is_completed_after_a_crash(home: daemons.Home, project: Path, point: str) -> None:
    applied(home, project, mode="commit")
    daemon = home.start(crash_at=point)
    daemon.try_ask(protocol.PlanUndo(plan="p"))
    assert daemon.died_of_crash()

    plan = home.start().plan("p")

    assert (plan.phase, plan.state) == ("execute", "complete")
    assert daemons.contents(project) == OLD
    assert daemons.git(project, "status", "--porcelain") == ""
    assert daemons.git(project, "rev-list", "--count", "HEAD").strip() == "1"


def test_an_edit_after_a_cut_undo_is_kept(home: daemons.Home, project: Path) -> None:
    """The files that the user changed meanwhile stay; the plan is undone and says so in its events."""
    applied(home, project)
    daemon = home.start(crash_at="apply.rename:2")
    daemon.try_ask(protocol.PlanUndo(plan="p"))
    assert daemon.died_of_crash()
    touched = next(name for name in ("new.txt", "a.txt") if (project / name).exists())
    (project / touched).write_text("mine\n")

    second = home.start()

    assert second.plan("p").phase == "execute"
    restored = {name: text for name, text in daemons.contents(project).items() if name != touched}
    assert restored == {name: text for name, text in OLD.items() if name != touched}
    assert (project / touched).read_text() == "mine\n"
    undone = [e for e in second.ask(protocol.EventList(plan="p", limit=1000)).events if e.kind == "plan.undone"]
    assert [event.detail["skipped"] for event in undone] == [[touched]]


def test_no_temporary_file_survives_any_crash(home: daemons.Home, project: Path) -> None:
    """Between the writing of a new content and its rename there is a file of ours; it goes with the completion."""
    reviewed(home, project)
    assert apply_and_crash(home, "apply.rename:3")
    assert any(".ca-" in name for name in daemons.contents(project))

    assert home.start().wait_for("p").state == "applied"
    assert not any(".ca-" in name for name in daemons.contents(project))


def test_the_last_event_of_each_move_is_there_once(home: daemons.Home, project: Path) -> None:
    """A completed Apply is one move to applied, however often it was begun."""
    reviewed(home, project)
    assert apply_and_crash(home, "apply.written")
    second = home.start()
    second.wait_for("p")

    events = second.ask(protocol.EventList(plan="p", limit=1000)).events
    moves = [(e.detail["from"], e.detail["to"]) for e in events if e.kind == "plan.moved"]
    assert [move for move in moves if move[1] == "apply/applied"] == [("apply/processing", "apply/applied")]
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(moves))
