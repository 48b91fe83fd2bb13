"""`ca job`: what the daemon works on, phase by phase."""

import os
import signal
from typing import cast

import apsw
import psutil

from store.database import Connection
from tests.homes import SECONDS, Home


def test_each_phase_is_one_job(shared: Home) -> None:
    root = shared.repository()
    plan = shared.executed("echo x > x", project=root)
    shared.apply(plan)

    listed = shared.data("job", "list", "--plan", plan)

    assert [job["phase"] for job in listed["jobs"]] == ["apply", "execute", "strategize"]
    assert listed["total"] == 3
    for job in listed["jobs"]:
        assert (job["status"], job["attempt"], job["schema_version"]) == ("succeeded", 1, 1)
        assert job["created_at"] <= job["started_at"] <= job["finished_at"]
        assert job["worker_id"] is not None
        assert job["timeout_s"] == 3600
        assert job["error_code"] is None


def test_failed_job_has_the_error_of_its_plan(shared: Home) -> None:
    plan = shared.executed("exit 3", code=1)

    job = shared.data("job", "list", "--plan", plan, "--status", "failed")["jobs"][0]

    assert (job["error_code"], job["job_id"]) == ("step_failed", shared.plan(plan)["job_id"])
    assert "exit 3" in job["error_message"]


def test_retry_is_a_new_job_of_the_next_attempt(shared: Home) -> None:
    """A failed job is never revived."""
    plan = shared.executed("exit 3", code=1)
    shared.run("plan", "execute", plan, "--wait", code=1)

    jobs = [job for job in shared.data("job", "list", "--plan", plan)["jobs"] if job["phase"] == "execute"]

    assert [(job["attempt"], job["status"]) for job in jobs] == [(2, "failed"), (1, "failed")]
    assert jobs[0]["job_id"] != jobs[1]["job_id"]


def test_job_is_found_by_part_of_its_id_and_by_its_plan(shared: Home) -> None:
    plan = shared.executed("true")
    job_id = shared.plan(plan)["job_id"]

    found = {shared.data("job", "show", text)["job_id"] for text in (job_id, job_id.lower(), job_id[-8:], plan)}

    assert found == {job_id}


def test_list_is_filtered_by_status_and_plan(shared: Home) -> None:
    done, failed = shared.executed("true"), shared.executed("false", code=1)

    assert shared.data("job", "list", "--plan", failed, "--status", "failed")["total"] == 1
    assert shared.data("job", "list", "--plan", done, "--status", "failed")["total"] == 0
    listed = shared.data("job", "list", "--limit", "2")
    assert len(listed["jobs"]) == 2 <= listed["total"]
    assert len(shared.data("job", "list", "--all")["jobs"]) == listed["total"]
    assert shared.error("job", "list", "--status", "done", code=2)["code"] == "usage"


def test_cancel_of_a_running_job_cancels_its_plan(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    job_id = home.plan(plan)["job_id"]

    cancelled = home.data("job", "cancel", job_id, "--yes", "--reason", "enough")

    assert cancelled["status"] == "cancelled"
    assert cancelled["cancel_requested_at"] is not None
    assert home.position(plan) == "execute/cancelled"
    assert home.plan(plan)["error"]["message"] == "enough"
    assert "already" in home.messages("job", "cancel", job_id, "--yes")[0]
    assert home.error("job", "wait", job_id, code=6)["code"] == "cancelled"


def test_finished_job_cannot_be_cancelled(shared: Home) -> None:
    plan = shared.executed("true")

    error = shared.error("job", "cancel", shared.plan(plan)["job_id"], "--yes", code=4)

    assert error["code"] == "invalid_transition"
    assert shared.position(plan) == "execute/complete"


def test_wait_ends_with_the_job(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    job_id = home.plan(plan)["job_id"]

    assert home.error("job", "wait", job_id, "--timeout", "0.1", code=124)["code"] == "timed_out"
    with home.spawn("job", "wait", job_id) as waiting:
        gate.open()
        assert waiting.wait(20) == 0
    assert home.data("job", "wait", job_id)["status"] == "succeeded"


def test_wait_for_several_jobs_lists_jobs(shared: Home) -> None:
    jobs = [shared.plan(shared.executed("true"))["job_id"] for _ in range(2)]

    waited = shared.data("job", "wait", *jobs)

    assert [job["job_id"] for job in waited["jobs"]] == jobs


def test_wait_for_a_failed_job_exits_with_1(shared: Home) -> None:
    plan = shared.executed("false", code=1)

    error = shared.error("job", "wait", shared.plan(plan)["job_id"], code=1)

    assert error["code"] == "step_failed"


def test_logs_have_every_command_of_the_job(shared: Home) -> None:
    plan = shared.executed("echo one", "echo two", sandbox={"setup": "echo preparing"})
    job_id = shared.plan(plan)["job_id"]

    logs = {log["name"]: log["text"] for log in shared.data("job", "logs", job_id)["logs"]}

    assert logs == {"setup@0": "preparing\n", "s1.1": "one\n", "s2.1": "two\n"}
    text = shared.run("job", "logs", job_id).out
    assert text.index("preparing") < text.index("one") < text.index("two")


def test_follow_prints_from_the_start_until_the_job_is_over(home: Home) -> None:
    """The daemon may be replaced meanwhile; the exit code is that of a wait."""
    gate = home.gate()
    plan = home.use(home.action(f"echo begin; {gate.command}; printf end; exit 3"), home.repository(), code=None)
    gate.wait()
    with home.spawn("job", "follow", plan) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"s1.1 \xe2\x94\x82 begin\n"
        home.data("daemon", "restart")
        gate.open()
        out, err = following.communicate(timeout=SECONDS)

    assert (following.returncode, out.decode().splitlines()) == (1, ["s1.1 │ end"]), err


def test_unknown_job_is_not_found(shared: Home) -> None:
    for verb in ("show", "logs", "wait"):
        assert shared.error("job", verb, "nothing-like-it", code=3)["code"] == "not_found"


def test_list_for_people_names_phase_and_status(shared: Home) -> None:
    plan = shared.executed("false", code=1)

    text = shared.run("job", "list", "--plan", plan).out

    assert "execute" in text
    assert "failed" in text


def test_idle_workers_are_woken_at_once(home: Home) -> None:
    """Even when they poll once a minute only."""
    home.set("async.poll_interval", "60")
    root, action = home.repository(), home.action("true")
    home.data("daemon", "start")

    for _ in range(3):
        plan = home.use(action, root)
        assert home.position(plan) == "execute/complete"


def test_wait_goes_on_when_the_daemon_is_killed_or_replaced(home: Home) -> None:
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    job = home.plan(plan)["job_id"]
    waiting = home.spawn("job", "wait", job, "--format", "json")
    home.until(lambda: psutil.Process(waiting.pid).net_connections("unix"))

    os.kill(home.data("daemon", "status")["pid"], signal.SIGKILL)
    home.data("daemon", "start")
    home.data("daemon", "restart")
    gate.open()

    out, err = waiting.communicate(timeout=SECONDS)
    assert waiting.returncode == 0, (out, err)
    assert b'"status":"succeeded"' in out


def test_job_that_a_newer_program_queued_is_cancelled_with_what_runs_for_it(home: Home) -> None:
    """It waits for that program, and says so; to be stopped it needs nothing that this one does not know."""
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    home.data("daemon", "stop")
    connection = cast("Connection", apsw.Connection(str(home.home / "data" / "store.db")))
    connection.execute("UPDATE async_jobs SET schema_version = 2 WHERE status = 'queued'")
    connection.close()

    assert "the newer program that queued it (payload version 2)" in home.data("plan", "explain", plan)["summary"]
    assert home.error("plan", "execute", plan, code=1)["code"] == "payload_version"

    home.data("plan", "cancel", plan, "--yes")
    assert home.position(plan) == "execute/cancelled"
    home.until(lambda: not home.processes(having="CA_JOB_ID"))


def test_what_was_handed_over_is_stopped_although_no_worker_is_free(home: Home) -> None:
    """Its command runs on, in the queue or not; the job of the other plan is not touched."""
    gate = home.gate()
    action = home.action(gate.command)
    plans = [home.use(action, home.repository(), code=None) for _ in range(2)]
    home.until(lambda: [home.position(plan) for plan in plans] == ["execute/processing"] * 2)
    gate.wait()
    home.set("async.max_workers", "1")
    home.data("daemon", "restart")
    home.until(lambda: sorted(home.position(plan) for plan in plans) == ["execute/processing", "execute/queued"])
    queued, working = sorted(plans, key=home.position, reverse=True)

    home.data("plan", "cancel", queued, "--yes")

    assert home.position(queued) == "execute/cancelled"
    assert home.position(working) == "execute/processing"
    left = home.processes(having="CA_JOB_ID")
    assert {process.environ()["CA_PLAN_ID"] for process in left} == {home.plan(working)["plan_id"]}
    gate.open()
    assert home.run("plan", "wait", working).code == 0


def test_what_an_earlier_daemon_left_at_work_comes_before_what_has_not_begun(home: Home) -> None:
    """Of whatever priority: else two would work where one may."""
    home.set("async.max_workers", "1")
    gate = home.gate()
    action = home.action(gate.command)
    begun = home.use(action, home.repository(), code=None)
    gate.wait()
    home.use(action, home.repository(), code=None, options=["--priority", "5"])

    home.data("daemon", "restart")

    home.until(lambda: home.position(begun) == "execute/processing")
    gate.open()
