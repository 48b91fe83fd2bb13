"""What stays and what goes: retention, sandboxes, settings that are broken while the daemon runs."""

from pathlib import Path
from typing import cast

import apsw

from store.database import Connection
from tests.homes import Home, put


def _plan_refs(home: Home, plan_id: str) -> str:
    (repository,) = (home.home / "data" / "repos").glob("*.git")
    return home.git(repository, "for-each-ref", f"refs/cleveragents/plans/{plan_id}/")


def test_plan_past_its_retention_keeps_its_record_and_loses_what_undo_needs(home: Home) -> None:
    """After `plan.retention` an applied plan is still shown; undo and diff say why they are no longer possible."""
    plan = home.executed("echo x >> a.txt")
    home.apply(plan)
    plan_id = home.plan(plan)["plan_id"]
    assert _plan_refs(home, plan_id)

    home.set("plan.retention", "0")
    home.run("daemon", "restart")
    home.until(lambda: not _plan_refs(home, plan_id))

    assert home.position(plan) == "apply/applied"
    assert "plan.retention" in home.error("plan", "undo", plan, "--yes", code=4)["message"]
    assert "plan.retention" in home.error("plan", "diff", plan, code=3)["message"]
    assert not list((home.home / "data" / "environments").iterdir())


def test_finished_job_past_its_retention_goes_with_its_logs(home: Home) -> None:
    """The newest job of a plan stays, older ones go with what they wrote."""
    plan = home.executed("echo said")
    executed = home.plan(plan)["job_id"]
    home.apply(plan, "--allow-empty")

    home.set("async.retention", "0")
    home.run("daemon", "restart")
    home.until(lambda: not (home.home / "state" / "jobs" / executed).exists())

    assert home.error("job", "show", executed, code=3)["code"] == "not_found"
    assert home.data("job", "show", home.plan(plan)["job_id"])["status"] == "succeeded"


def test_ignored_files_of_finished_steps_survive_the_failure_of_a_later_one(home: Home, tmp_path: Path) -> None:
    """What a step built, and git ignores, is there for the next attempt of a later step; its partial edits are not."""
    project = home.repository({".gitignore": "build/\n", "a.txt": "a\n"})
    flag = tmp_path / "flag"
    plan = home.use(
        home.action(
            "mkdir build; echo built > build/it", f"cat build/it; ls partial || true; echo p > partial; test -e {flag}"
        ),
        project,
        code=1,
    )
    assert (home.sandbox(plan) / "partial").exists()

    flag.touch()
    home.run("plan", "execute", plan, "--wait")

    assert "built" in home.log(plan, "s2")
    assert home.step(plan, "s1")["attempt"] == 1
    assert "cannot access" in home.log(plan, "s2")


def test_revert_puts_the_old_sandbox_away_and_takes_a_new_base(home: Home) -> None:
    """After a revert the steps start from the project as it is then; what the old sandbox held is under a ref."""
    project = home.repository({"a.txt": "a\n"})
    plan = home.use(home.action("cat a.txt; echo x > left; false"), project, code=1)
    put(project, {"a.txt": "later\n"})

    home.run("plan", "revert", plan, "--yes")
    home.run("plan", "wait", plan, code=1)

    assert "later" in home.log(plan, "s1")
    assert "/0/partial/s1-1" in _plan_refs(home, home.plan(plan)["plan_id"])


def test_configuration_that_breaks_while_the_daemon_runs_does_not_end_it(home: Home) -> None:
    """The value in force stays in force; diagnostics says what is wrong until it is mended."""
    home.set("async.max_workers", "2")
    home.data("status")
    file = home.home / "config" / "config.toml"
    whole = file.read_text()
    file.write_text("async = { max_workers = 'many' }\n")

    plan = home.executed("echo x >> a.txt")

    assert home.position(plan) == "execute/complete"
    checks = {check["name"]: check for check in home.data("diagnostics", code=None)["checks"]}
    assert checks["config"]["status"] == "error"
    assert "async.max_workers" in checks["config"]["message"]
    file.write_text(whole)
    checks = {check["name"]: check for check in home.data("diagnostics", code=None)["checks"]}
    assert checks["config"]["status"] == "ok"


def test_daemon_that_idles_longer_than_its_time_out_ends(home: Home) -> None:
    """`daemon.idle-timeout` ends a daemon that nobody is connected to and that has nothing to do."""
    home.set("daemon.idle-timeout", "1s")
    pid = home.data("daemon", "start")["pid"]

    home.until(lambda: pid not in {process.pid for process in home.processes()})

    assert home.data("daemon", "status")["running"] is False


def test_sandbox_is_removed_when_the_configuration_says_so(home: Home) -> None:
    """`on_apply` keeps the sandbox of a cancelled plan, `on_terminal` does not, `manual` keeps them all."""
    for cleanup, after_cancel, after_apply in (
        ("on_apply", True, False),
        ("on_terminal", False, False),
        ("manual", True, True),
    ):
        home.set("sandbox.cleanup", cleanup)
        cancelled, applied = home.executed("echo x > new"), home.executed("echo x > new")
        boxes = home.sandbox(cancelled), home.sandbox(applied)
        home.data("plan", "cancel", cancelled, "--yes")
        home.apply(applied)

        home.until(lambda boxes=boxes, wanted=(after_cancel, after_apply): tuple(b.exists() for b in boxes) == wanted)
        home.data("plan", "undo", applied, "--yes")


def test_cleanup_of_a_project_is_its_own(home: Home) -> None:
    """A project's own setting decides over the one of all."""
    home.set("sandbox.cleanup", "on_terminal")
    root, kept = home.repository(), home.repository()
    home.set("sandbox.cleanup", "manual", project=kept.name)
    steps = [{"id": "s", "run": "echo x > new"}, {"id": "t", "run": "echo x > new", "project": kept.name}]
    plan = home.use(home.action(steps=steps), root, kept)
    gone, stays = (Path(box["path"]) for box in home.plan(plan)["sandboxes"])

    home.data("plan", "cancel", plan, "--yes")

    home.until(lambda: not gone.exists())
    assert stays.is_dir()
    assert [box["status"] for box in home.plan(plan)["sandboxes"]] == ["removed", "ready"]


def test_edits_after_the_last_checkpoint_outlive_their_sandbox(home: Home) -> None:
    """What nobody committed is under the plan's ref `removed` when the sandbox goes, byte for byte; undo does not need it."""
    plan = home.executed("echo x >> a.txt")
    (home.sandbox(plan) / "note").write_bytes(b"late\0\xff\n")
    (home.sandbox(plan) / "note").chmod(0o755)
    home.apply(plan)
    home.until(lambda: home.plan(plan)["sandboxes"][0]["status"] == "removed")

    (repository,) = (home.home / "data" / "repos").glob("*.git")
    ref = f"refs/cleveragents/plans/{home.plan(plan)['plan_id']}/removed"
    assert home.git(repository, "cat-file", "-p", f"{ref}:note").encode(errors="surrogateescape") == b"late\0\xff"
    assert home.git(repository, "ls-tree", ref, "note").startswith("100755 ")
    home.undo(plan)
    assert home.position(plan) == "execute/complete"


def test_environment_of_a_cancelled_plan_goes_with_it(home: Home) -> None:
    """It may hold secrets, and nothing runs in it any more; the one of a plan that can still run stays."""
    plan, other = home.executed("true"), home.executed("true")

    home.data("plan", "cancel", plan, "--yes")

    environments = home.home / "data" / "environments"
    assert [path.name for path in environments.iterdir()] == [home.plan(other)["plan_id"]]


def test_setup_runs_once_in_every_new_sandbox(home: Home, tmp_path: Path) -> None:
    """A later attempt finds what it made; after a revert the sandbox is new, and it runs again."""
    ran, flag = tmp_path / "ran", tmp_path / "flag"
    setup = f"echo ran >> {ran}; mkdir -p build; echo ready > build/it"
    action = home.action(f"cat build/it; test -e {flag}", sandbox={"setup": setup})
    root = home.repository({".gitignore": "build/\n", "a.txt": "a\n"})
    plan = home.use(action, root, code=1)

    flag.touch()
    home.run("plan", "execute", plan, "--wait")
    assert (home.plan(plan)["diff"]["files"], ran.read_text()) == (0, "ran\n")

    home.run("plan", "revert", plan, "--yes")
    home.run("plan", "wait", plan)
    assert ran.read_text() == "ran\nran\n"


def test_included_files_keep_their_mode_and_are_no_part_of_the_change(home: Home) -> None:
    root = home.repository({".gitignore": "private/\n", "a.txt": "a\n"})
    put(root, {"private/run.sh": "#!/bin/sh\necho ran\n", "private/key": "k\n"})
    (root / "private" / "run.sh").chmod(0o700)
    (root / "private" / "key").chmod(0o600)
    action = home.action(
        "stat -c %a private/key > mode; private/run.sh; echo changed > private/key", sandbox={"include": ["private"]}
    )

    plan = home.use(action, root)
    home.apply(plan)

    assert home.log(plan, "s1") == "ran\n"
    assert ((root / "mode").read_text(), (root / "private" / "key").read_text()) == ("600\n", "k\n")
    assert [file["path"] for file in home.data("plan", "diff", plan)["files"]] == ["mode"]


def test_a_hundred_thousand_finished_jobs_are_in_nobodys_way(home: Home) -> None:
    """Plans run, jobs are listed and counted, a restart finds its way, and retention takes all but the plans' last ones."""
    project = home.repository()
    plan = home.plan(home.executed("echo x > x", project=project))
    home.run("daemon", "stop")
    connection = cast("Connection", apsw.Connection(str(home.home / "data" / "store.db")))
    connection.execute(_FINISHED, (plan["plan_id"],))
    connection.close()

    listed = home.data("job", "list", "--limit", "3")
    assert (len(listed["jobs"]), listed["total"]) == (3, 100_002)
    other = home.executed("echo y > y", project=project)
    assert home.position(other) == "execute/complete"

    home.set("async.retention", "0s")
    assert home.data("job", "prune")["jobs"] == 100_002
    assert home.data("job", "list")["total"] == 2


_FINISHED = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
INSERT INTO async_jobs (
    job_id, plan_id, phase, status, attempt, payload_json, schema_version, timeout_s, created_at, finished_at,
    root_plan_id, turn
)
SELECT printf('01AAAAAAAA%016d', n), plan_id, 'execute', 'succeeded', 1, '{"schema_version":1}', 1, 3600, at - n, at - n,
    root_plan_id, n
FROM numbers JOIN (SELECT *, unixepoch() * 1000000 AS at FROM plans) ON plan_id = ?
"""
