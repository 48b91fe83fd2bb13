"""`ca plan prune` and `ca job prune`: what takes room goes, what holds work stays or is kept under a ref first."""

import re
import shutil
from pathlib import Path
from typing import Any, cast

import apsw
import pytest

from store.clock import boot_id
from store.database import Connection
from tests.cli.test_terminal import on_terminal
from tests.homes import Home, fingerprint, tree, unchanged

NOTHING = "nothing that is not in the project"


def entries(home: Home, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """What prune lists, by the name of the plan, or of the directory where there is none."""
    found = home.data("plan", "prune", *options, code=code)["entries"]
    return {entry["plan"] or Path(entry["path"]).name: entry for entry in found}


def data_of(home: Home) -> dict[str, object]:
    """The data directory without SQLite's index of its log, in which readers note how far they have read."""
    found = fingerprint(home.home / "data")
    del found["store.db-shm"]
    return found


def kept_in(home: Home, plan: str, ref: str, path: str) -> str:
    """A file as a ref of the plan has it, read with git."""
    (repository,) = (home.home / "data" / "repos").glob("*.git")
    return home.git(repository, "show", f"refs/cleveragents/plans/{home.plan(plan)['plan_id']}/{ref}:{path}")


def spare_checkout(home: Home) -> Path:
    """What becomes of the sandbox of an applied plan, a moment after Apply."""
    (spare,) = home.until(lambda: list((home.home / "data" / "sandboxes" / ".pool").glob("*/*/files")))
    return spare.parent


@pytest.fixture
def full(home: Home) -> Home:
    """A home with plans in every situation, called as it: what is over has kept its sandbox."""
    home.set("sandbox.cleanup", "manual")
    root = home.repository()
    for name in ("applied", "edited", "cancelled", "waiting"):
        home.use(home.action(f"echo {name} > {name}.txt"), root, options=["--name", name])
    (home.sandbox("edited") / "late.txt").write_text("after the checkpoint\n")
    (home.sandbox("cancelled") / "late.txt").write_text("not applied\n")
    home.apply("applied")
    home.apply("edited")
    home.data("plan", "cancel", "cancelled", "--yes")
    (home.home / "data" / "sandboxes" / "mystery").mkdir()
    return home


def test_dry_run_tells_everything_and_changes_nothing(full: Home) -> None:
    before = data_of(full)
    with unchanged(full.work):
        found = entries(full, "--dry-run")

    assert data_of(full) == before
    assert {name: (entry["kind"], entry["removed"]) for name, entry in found.items()} == {
        "applied": ("sandbox", True),
        "edited": ("sandbox", True),
        "cancelled": ("sandbox", True),
        "waiting": ("sandbox", False),
        "mystery": ("unknown", False),
    }
    assert found["applied"]["holds"] == NOTHING
    assert found["edited"]["holds"] == "1 file edited after the last checkpoint"
    assert found["cancelled"]["holds"] == "1 file changed, not applied, 1 file edited after the last checkpoint"
    assert found["waiting"]["holds"] == "1 file changed, not applied"
    assert all(entry["bytes"] > 0 for entry in found.values())


def test_prune_does_what_the_dry_run_said_and_loses_no_work(full: Home) -> None:
    """Sandboxes of plans that are over go, their late edits to a ref; the applied change can still be undone."""
    boxes = {name: full.sandbox(name) for name in ("applied", "edited", "cancelled", "waiting")}
    announced = full.data("plan", "prune", "--dry-run")
    waiting = tree(boxes["waiting"])

    pruned = full.data("plan", "prune")

    assert pruned == {**announced, "dry_run": False}
    assert pruned["freed"] == sum(entry["bytes"] for entry in pruned["entries"] if entry["removed"])
    assert [name for name, box in boxes.items() if box.exists()] == ["waiting"]
    assert tree(boxes["waiting"]) == waiting
    assert (full.home / "data" / "sandboxes" / "mystery").is_dir()
    assert full.data("plan", "prune")["freed"] == 0, "what went into the pool went with it"
    assert kept_in(full, "cancelled", "removed", "late.txt") == "not applied"
    assert kept_in(full, "edited", "removed", "late.txt") == "after the checkpoint"
    full.undo("applied")
    assert full.position("applied") == "execute/complete"
    full.apply("applied")


def test_spare_checkouts_go(home: Home) -> None:
    home.apply(home.executed("echo x > new"))
    spare = spare_checkout(home)

    (entry,) = home.data("plan", "prune")["entries"]

    assert (entry["kind"], entry["path"], entry["removed"]) == ("pool", str(spare), True)
    assert not spare.exists()
    home.executed("true")


def test_plans_that_are_worked_on_are_left_alone(home: Home) -> None:
    """A step and a check run on in their directories, whatever is pruned meanwhile."""
    step, check = home.gate(), home.gate()
    home.use(home.action(f"{step.command}; echo x > made"), home.repository(), code=None, options=["--name", "runs"])
    home.use(
        home.action("echo x > made", checks=[{"run": check.command}]), home.repository(), options=["--name", "checks"]
    )
    home.data("plan", "apply", "checks", "--yes")
    step.wait()
    check.wait()

    found = entries(home)

    assert {name: entry["removed"] for name, entry in found.items()} == {"runs": False, "checks": False}
    step.open()
    check.open()
    home.run("plan", "wait", "runs", "checks")
    assert (home.position("runs"), home.position("checks")) == ("execute/complete", "apply/applied")


def test_lock_of_a_prune_that_died_is_given_back(home: Home) -> None:
    """It would keep everybody from the plan until it expires."""
    plan = home.executed("echo x > new")
    home.apply(plan)
    plan_id = home.plan(plan)["plan_id"]
    home.data("daemon", "stop")
    connection = cast("Connection", apsw.Connection(str(home.home / "data" / "store.db")))
    lock = ("plan", plan_id, "prune:01ARZ3NDEKTSV4RRFFQ69G5FAV", 1, 2**62, boot_id(), 1)
    connection.execute("INSERT INTO locks VALUES (?, ?, ?, ?, ?, ?, ?)", lock)
    connection.close()

    assert home.until(lambda: home.run("plan", "undo", plan, "--yes", code=None).code == 0)
    assert home.position(plan) == "execute/complete"


def test_sandbox_whose_work_cannot_be_kept_stays(home: Home) -> None:
    """The failure is in the list and in the exit code, and the next run does what this one could not."""
    home.set("sandbox.cleanup", "manual")
    plan = home.executed("echo x > new")
    home.data("plan", "cancel", plan, "--yes")
    box = home.sandbox(plan)
    (repository,) = (home.home / "data" / "repos").glob("*.git")
    away = repository.rename(home.root / "away")

    with unchanged(box):
        entry = entries(home, code=1)[plan]

    assert (entry["removed"], bool(entry["error"])) == (False, True)
    repository.rename(home.root / "made-instead") if repository.exists() else None
    away.rename(repository)
    assert entries(home)[plan]["removed"]
    assert not box.exists()


def test_what_no_ref_can_keep_is_named_and_stays(home: Home) -> None:
    """It is listed as kept, the rest goes; once it is taken out of the sandbox that goes too."""
    home.set("sandbox.cleanup", "manual")
    plan = home.executed("git init -q vendor; echo important > vendor/f; echo x > new")
    failed = home.executed("git init -q tried; exit 1", code=1)
    home.error("plan", "execute", failed, "--wait", code=1)
    box = home.sandbox(plan)
    for one in plan, failed:
        home.data("plan", "cancel", one, "--yes")
    announced = home.data("plan", "prune", "--dry-run")

    pruned = home.data("plan", "prune")

    assert pruned == {**announced, "dry_run": False}
    kept = {entry["path"]: entry["holds"] for entry in pruned["entries"] if not entry["removed"]}
    aside = home.home / "data" / "sandboxes" / home.plan(failed)["plan_id"] / ".aside"
    assert kept == {
        str(box): "1 file changed, not applied, "
        "vendor: is a git repository of its own, made in the sandbox, under no ref",
        str(home.sandbox(failed)): "tried: is a git repository of its own, made in the sandbox, under no ref",
        str(aside): "what was put aside and is under no ref",
    }
    assert (box / "vendor/f").read_text() == "important\n"
    shutil.rmtree(box / "vendor")
    assert entries(home)[plan]["removed"]
    assert not box.exists()


def test_plans_past_their_retention_let_go_of_what_undo_needed(home: Home) -> None:
    plan = home.executed("echo x > new")
    home.apply(plan)
    spare_checkout(home)
    assert [entry["kind"] for entry in home.data("plan", "prune")["entries"]] == ["pool"]
    home.set("plan.retention", "0")

    announced, pruned = home.data("plan", "prune", "--dry-run"), home.data("plan", "prune")

    assert pruned == {**announced, "dry_run": False}
    assert [(entry["kind"], entry["plan"], entry["removed"]) for entry in pruned["entries"]] == [("plan", plan, True)]
    assert "plan.retention" in home.error("plan", "undo", plan, "--yes", code=4)["message"]


def test_prune_asks_on_a_terminal_and_only_when_something_would_go(home: Home) -> None:
    plan = home.executed("echo x > new")
    assert "[y/N]" not in on_terminal(home, "plan", "prune").out
    home.data("plan", "cancel", plan, "--yes")
    box = home.sandbox(plan)

    declined = on_terminal(home, "plan", "prune", typed="n\n", columns=40)

    assert (declined.code, box.exists()) == (6, True)
    assert plan in declined.out
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in declined.out.splitlines() if plan in line]
    assert rows
    assert max(map(len, rows)) <= 40
    assert on_terminal(home, "plan", "prune", typed="y\n").code == 0
    assert not box.exists()


def test_job_prune_removes_old_jobs_and_counts_their_logs(home: Home) -> None:
    """The newest job of a plan stays, however old."""
    plan = home.executed("head -c 100000 /dev/zero")
    executed = home.plan(plan)["job_id"]
    home.apply(plan, "--allow-empty")
    assert home.data("job", "prune") == {"jobs": 0, "freed": 0}
    home.set("async.retention", "0")

    pruned = home.data("job", "prune")

    assert pruned["jobs"] == 2, "Strategize and Execute"
    assert pruned["freed"] >= 100_000
    assert not (home.home / "state" / "jobs" / executed).exists()
    assert [job["job_id"] for job in home.data("job", "list")["jobs"]] == [home.plan(plan)["job_id"]]
