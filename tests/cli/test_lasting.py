"""What stays and what goes: retention, sandboxes, settings that are broken while the daemon runs."""

from pathlib import Path

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
