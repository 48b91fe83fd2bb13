"""`ca lock`: leases for people and their scripts, the same ones that plans are kept apart with."""

import contextlib
import fcntl
import os
import re
import shlex
import signal
import subprocess
import termios
from typing import Any

import pytest

from tests.homes import CA, SECONDS, Home

ROUNDS, PARTS = 40, 4


def listed(home: Home, resource: str) -> dict[str, Any] | None:
    """The lock on a resource, as `ca lock list` has it."""
    return next((lock for lock in home.data("lock", "list")["locks"] if resource == name(lock)), None)


def name(lock: dict[str, Any]) -> str:
    return f"{lock['resource_type']}:{lock['resource_id']}"


def test_acquire_prints_the_fence_and_nothing_else(shared: Home) -> None:
    """`f=$(ca lock acquire x)` works; the same owner again gets the same fence and more time."""
    resource = shared.fresh("res")

    done = shared.run("lock", "acquire", resource, "--ttl", "60")
    again = shared.data("lock", "acquire", resource, "--ttl", "600")

    assert re.fullmatch(r"\d+\n", done.out)
    assert resource in done.err
    assert again["fence"] == int(done.out)
    assert again["resource_id"] == resource
    lock = listed(shared, f"user:{resource}")
    assert lock is not None
    assert lock["stale"] is False
    assert (lock["fence"], "@" in lock["owner_id"]) == (again["fence"], True)


def test_another_owner_is_told_who_has_it_and_until_when(shared: Home) -> None:
    resource = shared.fresh("res")
    held = shared.data("lock", "acquire", resource, "--owner", "ada")

    error = shared.error("lock", "acquire", resource, "--owner", "bob", code=4)

    assert error["code"] == "lock_conflict"
    assert error["detail"]["holder"] == "ada"
    assert error["detail"]["expires_at"][:19] in error["message"]
    assert error["suggestions"] == [f"ca lock acquire user:{resource} --wait 60", "ca lock list"]
    after = shared.data("lock", "acquire", resource, "--owner", "ada")
    assert after["fence"] == held["fence"]


@pytest.mark.parametrize("part", range(PARTS))
def test_exactly_one_of_two_at_once_gets_it(shared: Home, part: int) -> None:
    """Two real commands, many times: one winner each, and a fence that grows."""
    resource, fences = f"{shared.fresh('res')}-{part}", [0]
    for number in range(ROUNDS // PARTS):
        words = ("lock", "acquire", f"{resource}-{number}", "--owner")
        tries = [shared.spawn(*words, owner) for owner in ("ada", "bob")]
        ended = [(process.communicate(timeout=SECONDS)[0], process.returncode) for process in tries]

        assert sorted(code for _, code in ended) == [0, 4], ended
        (fence,) = (int(out) for out, code in ended if code == 0)
        assert fence > fences[-1]
        fences.append(fence)

    locks = [lock for lock in shared.data("lock", "list")["locks"] if lock["resource_id"].startswith(f"{resource}-")]
    assert sorted(lock["fence"] for lock in locks) == fences[1:]


@pytest.mark.parametrize("ttl", ["4.9", "3600.1", "-1", "nan", "inf"])
def test_time_to_live_outside_the_limits_is_refused(shared: Home, ttl: str) -> None:
    resource = shared.fresh("res")

    for verb in (["acquire"], ["run", "--", "true"]):
        words = [verb[0], resource, "--ttl", ttl, *verb[1:]]
        done = shared.run("lock", *words, code=2)
        assert "5 to 3600" in done.err
    assert shared.error("lock", "acquire", resource, "--ttl", ttl, code=2)["code"] == "invalid_ttl"
    assert listed(shared, f"user:{resource}") is None


def test_only_the_owner_renews_and_releases(shared: Home) -> None:
    """Not another one, not with another fence, not twice; whoever is refused has changed nothing."""
    resource = shared.fresh("res")
    fence = shared.data("lock", "acquire", resource, "--owner", "ada", "--ttl", "60")["fence"]
    before = listed(shared, f"user:{resource}")

    for verb in ("renew", "release"):
        for words in (["--owner", "bob"], ["--owner", "ada", "--fence", str(fence - 1)], []):
            error = shared.error("lock", verb, resource, *words, code=4)
            assert (error["code"], error["detail"]["holder"]) == ("lock_lost", "ada")
    after = listed(shared, f"user:{resource}")
    assert before is not None
    assert after is not None
    assert (after["fence"], after["expires_at"][:16]) == (fence, before["expires_at"][:16])

    renewed = shared.data("lock", "renew", resource, "--owner", "ada", "--fence", str(fence), "--ttl", "3600")
    assert renewed["fence"] == fence
    assert renewed["expires_at"] > after["expires_at"]
    assert shared.data("lock", "release", resource, "--owner", "ada")["fence"] == fence
    assert listed(shared, f"user:{resource}") is None
    assert shared.error("lock", "release", resource, "--owner", "ada", code=4)["detail"]["holder"] is None
    assert shared.data("lock", "acquire", resource, "--owner", "bob")["fence"] > fence


def test_resources_are_named_as_plans_lock_them(shared: Home) -> None:
    """A plan by its name or part of its id, a project without its namespace, a file's path as short as it can be."""
    root = shared.repository()
    plan = shared.use(shared.action("true"), root, profile="manual")
    plan_id = shared.plan(plan)["plan_id"]

    def acquired(resource: str) -> str:
        return name(shared.data("lock", "acquire", resource))

    assert acquired(f"plan:{plan}") == acquired(f"plan:{plan_id[-8:]}") == f"plan:{plan_id}"
    assert acquired(f"project:{root.name}") == acquired(f"project:{root}") == f"project:local/{root.name}"
    assert shared.data("lock", "acquire", "project:.", cwd=root)["resource_id"] == f"local/{root.name}"
    assert acquired(f"file:{root.name}:src//./a:b.py") == f"file:local/{root.name}:src/a:b.py"
    assert acquired(f"user:{plan}:x") == acquired(f"{plan}:x") == f"user:{plan}:x"
    for resource in (f"plan:{plan}", f"project:{root.name}", f"file:{root.name}:src/a:b.py", f"{plan}:x"):
        shared.data("lock", "release", resource)


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["plan:"], 2, "invalid_argument"),
        (["plan:no-such-plan"], 3, "not_found"),
        (["project:no-such-project"], 3, "not_found"),
        (["file:no-such-project:x"], 3, "not_found"),
        (["file:web"], 2, "invalid_argument"),
        (["file:web:../x"], 2, "invalid_argument"),
        (["file:web:/etc/passwd"], 2, "invalid_argument"),
        ([""], 2, "invalid_argument"),
        (["a\nb"], 2, "invalid_argument"),
        (["x" * 1025], 2, "invalid_argument"),
        (["x", "--owner", ""], 2, "invalid_argument"),
        (["x", "--owner", "a\x1b[31m"], 2, "invalid_argument"),
        (["x", "--owner", "x" * 1025], 2, "invalid_argument"),
        (["x", "--owner", "job:01ARZ3NDEKTSV4RRFFQ69G5FAV"], 2, "invalid_argument"),
        (["x", "--wait", "-1"], 2, "usage"),
    ],
)
def test_what_cannot_be_locked_is_refused(shared: Home, words: list[str], code: int, error: str) -> None:
    found = shared.document_of("lock", "acquire", "--format", "json", *words)

    assert (found["exit_code"], found["error"]["code"]) == (code, error)
    assert found["error"]["suggestions"]


def test_a_lock_on_a_plan_keeps_every_move_out(shared: Home) -> None:
    plan = shared.use(shared.action("true"), shared.repository(), profile="manual")
    shared.data("lock", "acquire", f"plan:{plan}", "--owner", "ada")

    for words in (["execute", plan], ["cancel", plan, "--yes"]):
        error = shared.error("plan", *words, code=4)
        assert (error["code"], error["detail"]["holder"]) == ("lock_conflict", "ada")
        assert error["detail"]["acquired_at"][:19] in error["message"]
    assert shared.position(plan) == "strategize/queued"
    kinds = [event["kind"] for event in shared.data("events", "--plan", plan)["events"]]
    assert kinds == ["plan.created", "lock.acquired"]

    shared.data("lock", "release", f"plan:{plan}", "--owner", "ada")
    shared.data("plan", "cancel", plan, "--yes")
    assert shared.position(plan) == "strategize/cancelled"


def test_a_queued_job_waits_for_the_lock_on_its_plan(home: Home) -> None:
    """One that was queued after it goes first; the job runs when the lock is free."""
    home.set("async.max_workers", "1")
    gate, action = home.gate(), home.action("true")
    first = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    locked, later = (home.use(action, home.repository(), code=None) for _ in range(2))
    home.data("lock", "acquire", f"plan:{locked}")

    gate.open()
    home.run("plan", "wait", first, later)

    assert home.position(later) == "execute/complete"
    assert home.position(locked) == "strategize/queued"
    home.data("lock", "release", f"plan:{locked}")
    home.run("plan", "wait", locked)
    assert home.position(locked) == "execute/complete"


def test_a_lock_on_a_project_keeps_apply_out(home: Home) -> None:
    """The Apply of a plan waits and can say for whom; nothing is written before the lock is free."""
    root = home.repository()
    home.data("lock", "acquire", f"project:{root.name}", "--owner", "ada")
    plan = home.use(home.action("echo x > new.txt"), root, profile="full-auto", code=None)
    home.until(lambda: home.position(plan) == "apply/processing")

    home.until(lambda: "ada" in " ".join(home.data("plan", "explain", plan)["reasons"]))
    assert not (root / "new.txt").exists()
    home.data("lock", "release", f"project:{root.name}", "--owner", "ada")

    home.run("plan", "wait", plan)
    assert (root / "new.txt").read_text() == "x\n"


def test_apply_keeps_others_out_of_its_project(home: Home) -> None:
    root, gate = home.repository(), home.gate()
    action = home.action("echo x > new.txt", checks=[{"run": gate.command}])
    plan = home.use(action, root, profile="full-auto", code=None)
    gate.wait()

    error = home.error("lock", "acquire", f"project:{root.name}", code=4)
    status = home.data("status")

    assert (error["code"], error["detail"]["holder"]) == ("lock_conflict", f"job:{home.plan(plan)['job_id']}")
    assert f"of plan {plan}" in error["message"]
    assert sorted(lock["resource_type"] for lock in status["locks"]) == ["plan", "project"]
    gate.open()
    home.run("plan", "wait", plan)
    assert home.data("lock", "acquire", f"project:{root.name}")["stale"] is False


def test_status_shows_locks_and_is_quiet_without(home: Home) -> None:
    assert "locked" not in home.run("status").out
    home.data("lock", "acquire", "deploy", "--owner", "ada", "--ttl", "600")

    status = home.data("status")
    text = home.run("status").out

    assert [name(lock) for lock in status["locks"]] == ["user:deploy"]
    assert status["totals"]["locks"] == 1
    assert re.search(r"1 locked +user:deploy ada (10|9) m", text)
    gate = home.gate()
    plan = home.use(home.action(gate.command), home.repository(), code=None)
    gate.wait()
    assert re.search(r"2 locked +user:deploy ada .* · 1 by running jobs", home.run("status").out)
    assert [lock["resource_type"] for lock in home.data("status")["locks"]] == ["user", "plan"]
    gate.open()
    home.run("plan", "wait", plan)
    home.data("lock", "release", "deploy", "--owner", "ada")
    assert home.data("status")["locks"] == []
    assert "locked" not in home.run("status").out


def test_a_wait_ends_with_the_release(shared: Home) -> None:
    resource = shared.fresh("res")
    shared.data("lock", "acquire", resource, "--owner", "ada", "--ttl", "3600")
    with shared.spawn("lock", "acquire", resource, "--owner", "bob", "--wait", str(SECONDS)) as waiting:
        assert waiting.stderr is not None
        assert b"waiting" in waiting.stderr.readline()
        released = shared.data("lock", "release", resource, "--owner", "ada")
        out, err = waiting.communicate(timeout=SECONDS)

    assert waiting.returncode == 0, err
    assert int(out) > released["fence"]


def test_a_wait_that_is_over_names_the_holder(shared: Home) -> None:
    resource = shared.fresh("res")
    shared.data("lock", "acquire", resource, "--owner", "ada")

    error = shared.error("lock", "acquire", resource, "--owner", "bob", "--wait", "0.2", code=4)

    assert (error["code"], error["detail"]["holder"]) == ("lock_conflict", "ada")
    refused = shared.error("lock", "acquire", resource, "--owner", "bob", "--wait", "1e300", code=2)
    assert refused["code"] == "invalid_argument"


def test_whoever_is_killed_while_waiting_gets_nothing(shared: Home) -> None:
    resource = shared.fresh("res")
    shared.data("lock", "acquire", resource, "--owner", "ada")
    with shared.spawn("lock", "acquire", resource, "--owner", "bob", "--wait", "600") as waiting:
        assert waiting.stderr is not None
        assert b"waiting" in waiting.stderr.readline()
        waiting.kill()
        waiting.communicate(timeout=SECONDS)
    shared.data("lock", "release", resource, "--owner", "ada")

    assert shared.data("lock", "acquire", resource, "--owner", "eve", "--wait", "20")["owner_id"] == "eve"
    events = shared.data("events", "--limit", "20")["events"]
    owners = [event["detail"]["owner"] for event in events if event["detail"].get("resource") == f"user:{resource}"]
    assert "bob" not in owners


def test_the_daemon_stops_while_somebody_waits(home: Home) -> None:
    """The wait goes on with the next daemon, for the same lock: users' locks survive."""
    home.data("lock", "acquire", "x", "--owner", "ada", "--ttl", "3600")
    with home.spawn("lock", "acquire", "x", "--owner", "bob", "--wait", "600") as waiting:
        assert waiting.stderr is not None
        assert b"waiting" in waiting.stderr.readline()
        home.data("daemon", "restart")
        home.data("lock", "release", "x", "--owner", "ada")
        out, err = waiting.communicate(timeout=SECONDS)

    assert waiting.returncode == 0, err
    assert int(out) == home.data("lock", "list")["locks"][0]["fence"]


def test_a_locked_project_refuses_apply_at_once(shared: Home) -> None:
    """Exit code 4 and the holder's name; nothing is queued."""
    root = shared.repository()
    plan = shared.executed("echo x > new.txt", project=root)
    shared.data("lock", "acquire", f"project:{root.name}", "--owner", "ada")

    error = shared.error("plan", "apply", plan, "--yes", code=4)

    assert (error["code"], error["detail"]["holder"]) == ("lock_conflict", "ada")
    assert shared.position(plan) == "execute/complete"
    shared.data("lock", "release", f"project:{root.name}", "--owner", "ada")
    shared.apply(plan)


def test_changes_of_hands_are_events_and_renewals_are_not(shared: Home) -> None:
    resource = shared.fresh("res")
    for verb in ("acquire", "acquire", "renew", "release"):
        shared.data("lock", verb, resource, "--owner", "ada")

    found = [event for event in shared.data("events", "--limit", "1000")["events"] if resource in str(event["detail"])]

    assert [event["kind"] for event in found] == ["lock.acquired", "lock.released"]
    assert {event["detail"]["owner"] for event in found} == {"ada"}
    assert len({event["detail"]["fence"] for event in found}) == 1


def test_run_holds_the_lock_exits_as_its_command_and_gives_it_back(shared: Home) -> None:
    resource = shared.fresh("res")
    ca = shlex.join(CA)
    script = f'echo "$CA_LOCK_RESOURCE $CA_LOCK_FENCE"; {ca} lock acquire {resource}; cat; exit $?$1'

    done = shared.run("lock", "run", resource, "--", "sh", "-c", script, "sh", "7", code=7, feed="typed\n")

    seen, typed = done.lines
    assert re.fullmatch(rf"user:{resource} \d+", seen)
    assert typed == "typed"
    assert f"user:{resource} is locked by" in done.err
    assert listed(shared, f"user:{resource}") is None


@pytest.mark.parametrize(
    ("command", "code"), [("kill -TERM $$", 143), ("kill -KILL $$", 137), ("exit 0", 0), ("exit 255", 255)]
)
def test_run_has_the_exit_code_of_its_command(shared: Home, command: str, code: int) -> None:
    """With json there is one document on stdout, whatever the command prints."""
    resource = shared.fresh("res")

    done = shared.run("lock", "run", resource, "-f", "json", "--", "sh", "-c", f"echo hello; {command}", code=code)

    document = shared.document_of("lock", "run", resource, "-f", "json", "--", "sh", "-c", command)
    assert (document["data"]["exit_code"], document["exit_code"]) == (code, code)
    assert document["data"]["command"] == ["sh", "-c", command]
    assert "hello" in done.err
    assert listed(shared, f"user:{resource}") is None


@pytest.mark.parametrize(("mode", "code", "error"), [(None, 127, "not_found"), (0o644, 126, "permission_denied")])
def test_run_of_what_cannot_be_started_gives_the_lock_back(
    shared: Home, mode: int | None, code: int, error: str
) -> None:
    resource, program = shared.fresh("res"), shared.work / shared.fresh("program")
    if mode is not None:
        program.touch(mode)

    done = shared.run("lock", "run", resource, "--", str(program), code=code)
    document = shared.document_of("lock", "run", resource, "-f", "json", "--", str(program))

    assert program.name in done.err
    assert (document["error"]["code"], document["exit_code"]) == (error, code)
    assert listed(shared, f"user:{resource}") is None


def test_two_runs_of_one_user_exclude_each_other(shared: Home) -> None:
    resource, gate = shared.fresh("res"), shared.gate()
    with shared.spawn("lock", "run", resource, "--", "sh", "-c", gate.command) as first:
        gate.wait()

        refused = shared.document_of("lock", "run", resource, "-f", "json", "--", "true")
        assert (refused["error"]["code"], refused["exit_code"]) == ("lock_conflict", 4)
        with shared.spawn("lock", "run", resource, "--wait", str(SECONDS), "--", "echo", "mine") as second:
            assert second.stderr is not None
            assert b"waiting" in second.stderr.readline()
            gate.open()
            out, _ = second.communicate(timeout=SECONDS)
        assert first.wait(SECONDS) == 0

    assert (second.returncode, out) == (0, b"mine\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_run_passes_signals_on(shared: Home, number: signal.Signals) -> None:
    """The command decides what becomes of it; the lock is given back in every case."""
    resource, gate = shared.fresh("res"), shared.gate()
    script = f"trap 'echo got it; exit 9' {number.name[3:]}; {{ {gate.command}; }} & wait"
    with shared.spawn("lock", "run", resource, "--", "sh", "-c", script) as run:
        gate.wait()
        run.send_signal(number)
        run.wait(SECONDS)
        gate.open()  # what waits there may not have been ended
        out, err = run.communicate(timeout=SECONDS)

    assert (run.returncode, out) == (9, b"got it\n"), err
    assert listed(shared, f"user:{resource}") is None


def test_run_that_was_killed_leaves_a_lock_that_expires(home: Home) -> None:
    """Nobody gives it back; its time runs out, it is marked, and the next one gets a new fence."""
    gate = home.gate()
    with home.spawn("lock", "run", "x", "--ttl", "5", "--owner", "ada", "--", "sh", "-c", gate.command) as run:
        gate.wait()
        held = listed(home, "user:x")
        run.kill()
        gate.open()
        run.communicate(timeout=SECONDS)
    home.data("lock", "acquire", "y", "--owner", "ada", "--ttl", "5")

    home.until(lambda: home.data("lock", "list")["locks"][-1]["stale"])
    assert home.data("lock", "list")["total"] == 2
    assert "expired" in home.run("lock", "list").out
    assert home.data("status")["locks"] == []
    for verb in ("renew", "release"):
        assert home.error("lock", verb, "y", "--owner", "ada", code=4)["code"] == "lock_lost"
    taken = home.data("lock", "acquire", "x", "--owner", "bob")
    cleaned = home.data("lock", "clean")

    assert held is not None
    assert taken["fence"] > held["fence"]
    assert [name(lock) for lock in cleaned["locks"]] == ["user:y"]
    assert home.data("lock", "clean") == {"locks": [], "total": 0}
    assert [name(lock) for lock in home.data("lock", "list")["locks"]] == ["user:x"]
    details = [event["detail"] for event in home.data("events")["events"] if event["kind"] == "lock.acquired"]
    assert details[-1]["taken_from"] == "ada"


def test_run_that_slept_past_its_time_ends_its_command(home: Home) -> None:
    """Stopped for longer than its lock lasts, it finds that somebody else has it: what it guards must not go on."""
    gate = home.gate()
    script = f"trap 'echo ended; exit 0' TERM; {gate.command}; while :; do {gate.command}; done"
    with home.spawn("lock", "run", "x", "--ttl", "5", "--", "sh", "-c", script) as run:
        gate.wait()
        run.send_signal(signal.SIGSTOP)
        taken = home.data("lock", "acquire", "x", "--owner", "bob", "--wait", "30")
        run.send_signal(signal.SIGCONT)
        out, err = run.communicate(timeout=SECONDS)

    assert run.returncode == 4, err
    assert b"bob" in err
    assert b"was ended" in err
    assert out == b"ended\n"
    assert listed(home, "user:x") is not None
    assert home.data("lock", "release", "x", "--owner", "bob")["fence"] == taken["fence"]


def test_run_goes_on_over_the_death_of_the_daemon(home: Home) -> None:
    """The next renewal starts another daemon, which knows the lock by the same fence."""
    gate = home.gate()
    with home.spawn("lock", "run", "x", "--ttl", "6", "--", "sh", "-c", gate.command) as run:
        gate.wait()
        before = listed(home, "user:x")
        pid = home.data("daemon", "status")["pid"]
        os.kill(pid, signal.SIGKILL)

        home.until(lambda: home.data("daemon", "status")["running"])
        assert before is not None
        renewed = home.until(
            lambda: (lock := listed(home, "user:x")) and lock["expires_at"] > before["expires_at"] and lock
        )
        assert renewed is not None
        assert home.data("daemon", "status")["pid"] != pid
        assert (renewed["fence"], renewed["owner_id"]) == (before["fence"], before["owner_id"])
        gate.open()
        _, err = run.communicate(timeout=SECONDS)

    assert run.returncode == 0, err
    assert listed(home, "user:x") is None


def test_run_gives_its_command_the_terminal(shared: Home) -> None:
    """What is typed, and Ctrl-C, are for the command; the terminal comes back afterwards."""
    resource = shared.fresh("res")
    script = "read word; echo \"read $word\"; trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done"
    ours, theirs = os.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    command = [*CA, "lock", "run", resource, "--", "sh", "-c", script]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=shared.environ, start_new_session=True,
        preexec_fn=own_terminal,  # noqa: PLW1509  one thread
    ) as run:  # fmt: skip
        os.close(theirs)
        os.write(ours, b"typed\n")
        seen, interrupted = bytearray(), False
        with contextlib.suppress(OSError):  # the terminal is gone with the last process that has it
            while chunk := os.read(ours, 65536):
                seen += chunk
                if b"ready" in seen and not interrupted:
                    os.write(ours, b"\x03")
                    interrupted = True
        assert run.wait(SECONDS) == 5, seen
    os.close(ours)

    assert b"read typed" in seen
    assert b"caught" in seen
    assert listed(shared, f"user:{resource}") is None


def test_held_locks_are_offered_by_completion(shared: Home) -> None:
    resource = shared.fresh("res")
    shared.data("lock", "acquire", resource, "--owner", "ada")
    words = {"_CA_COMPLETE": "bash_complete", "COMP_WORDS": f"ca lock release {resource[:2]}", "COMP_CWORD": "3"}

    assert f"plain,{resource}" in shared.run(env=words).out
