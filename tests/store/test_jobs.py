"""Jobs: who gets which when, guarded writes, cancels, fairness, retention."""

import itertools
import json
from typing import Any

import msgspec
import pytest

from store import errors, jobs, locks, names, plans, subplans
from store.clock import SECOND
from store.database import Transaction
from store.records import AsyncJob, Plan, Subplan
from store.states import VALID_JOB_TRANSITIONS, AsyncJobStatus, Phase
from tests.stores import START, SettableClock, Store, new_plan

UNLIMITED = 10_000
FINAL = [AsyncJobStatus.SUCCEEDED, AsyncJobStatus.FAILED, AsyncJobStatus.CANCELLED]


def enqueue(store: Store, name: str, phase: Phase = Phase.STRATEGIZE, **changes: Any) -> AsyncJob:
    """A plan and its queued job."""
    return store.write(lambda tx: enqueue_in(tx, new_plan(name, now=tx.now, **changes), phase))


def enqueue_in(tx: Transaction, plan: Plan, phase: Phase = Phase.STRATEGIZE) -> AsyncJob:
    plans.insert(tx, plan, [])
    return jobs.enqueue(tx, plan, phase, names.new_ulid(tx.now), timeout_s=60, payload={"x": 1})


def claim(store: Store, worker: str = "w1", *, limit: int = UNLIMITED) -> AsyncJob | None:
    return store.write(lambda tx: jobs.claim(tx, worker, execute_limit=limit))


def claimed(store: Store, worker: str = "w1", *, limit: int = UNLIMITED) -> AsyncJob:
    job = claim(store, worker, limit=limit)
    assert job is not None
    return job


def move(store: Store, job: AsyncJob, status: AsyncJobStatus, **why: str) -> AsyncJob | None:
    return store.write(lambda tx: jobs.move(tx, job, status, **why))


def get(store: Store, job: AsyncJob) -> AsyncJob:
    found = jobs.get(store.read, job.job_id)
    assert found is not None
    return found


def test_a_new_job_waits_with_all_it_needs(store: Store) -> None:
    job = enqueue(store, "p")

    assert (job.status, job.attempt, job.worker_id, job.created_at) == ("queued", 0, None, START)
    assert json.loads(job.payload_json) == {"schema_version": 1, "x": 1}
    assert get(store, job) == job
    assert jobs.open_of_plan(store.read, job.plan_id) == job


def test_the_attempt_grows_at_the_claim(store: Store) -> None:
    """A worker that dies at once has used an attempt all the same."""
    enqueue(store, "p")
    job = claimed(store)

    assert (job.status, job.attempt, job.worker_id) == ("running", 1, "w1")
    assert (job.started_at, job.last_heartbeat) == (START, START)
    assert get(store, job) == job


def test_the_deadline_counts_awake_time_from_the_first_claim_of_a_boot(store: Store, clock: SettableClock) -> None:
    """It holds over restarts of the daemon, jumps of the clock and sleep; after a reboot the job has its time anew."""
    enqueue(store, "p")
    first = claimed(store)
    assert first.deadline_at == clock.steady() + first.timeout_s * SECOND

    clock.advance(5)
    clock.sleep(3600)
    clock.set(-86_400.0)
    store.write(lambda tx: jobs.move(tx, first, AsyncJobStatus.QUEUED))
    again = claimed(store)
    assert again.deadline_at == first.deadline_at

    store.write(lambda tx: jobs.move(tx, again, AsyncJobStatus.QUEUED))
    clock.boot = "boot-2"
    assert claimed(store).deadline_at == clock.steady() + first.timeout_s * SECOND


def test_one_job_goes_to_one_of_many_workers(store: Store) -> None:
    enqueue(store, "p")

    got = store.together([lambda tx, n=n: jobs.claim(tx, f"w{n}", execute_limit=UNLIMITED) for n in range(20)])

    assert sum(job is not None for job in got) == 1


def test_a_second_open_job_of_a_plan_is_impossible(store: Store) -> None:
    plan = new_plan("p")
    store.write(lambda tx: enqueue_in(tx, plan))

    with pytest.raises(errors.InternalError, match="UNIQUE"):
        store.write(lambda tx: jobs.enqueue(tx, plan, Phase.EXECUTE, names.new_ulid(), timeout_s=1, payload={}))
    assert jobs.count(store.read) == 1


def test_higher_priority_goes_first_and_age_decides_among_equals(store: Store, clock: SettableClock) -> None:
    wanted = [("old", 0), ("new", 0), ("low", -5), ("high", 5), ("higher", 9)]
    made: dict[str, str] = {}
    for name, priority in wanted:
        clock.advance(1)
        made[enqueue(store, name, priority=priority).job_id] = name

    order = [made[claimed(store, f"w{n}").job_id] for n in range(len(wanted))]
    assert order == ["higher", "high", "old", "new", "low"]


def admit(tx: Transaction, parent: Plan, child: Plan, position: int) -> None:
    """Let a child's jobs run under the lock that its parent is held with."""
    lock = locks.acquire(tx, "plan", parent.plan_id, "job:of the parent")
    subplans.insert(
        tx, Subplan(child.plan_id, parent.plan_id, "step", position, str(position), "[]", "[]", admitted=lock.fence)
    )


def children(store: Store, root: Plan, count: int) -> None:
    def work(tx: Transaction) -> None:
        plans.insert(tx, root, [])
        for number in range(count):
            child = new_plan(
                f"{root.name}-{number}",
                now=tx.now,
                parent_plan_id=root.plan_id,
                root_plan_id=root.plan_id,
                depth=1,
                priority=root.priority,
            )
            enqueue_in(tx, child)
            admit(tx, root, child, number)

    store.write(work)


def test_a_thousand_children_do_not_starve_another_root(store: Store) -> None:
    """Whoever comes later with one job waits for about one job of the crowd, not for a thousand."""
    children(store, new_plan("crowd"), 1000)
    for number in range(3):
        assert claimed(store, f"w{number}").root_plan_id != ""
    late = enqueue(store, "late")

    order = [claimed(store, f"x{number}").job_id for number in range(3)]
    assert late.job_id in order


def test_two_crowds_take_turns(store: Store) -> None:
    first, second = new_plan("first"), new_plan("second")
    children(store, first, 50)
    children(store, second, 50)

    roots = [claimed(store, f"w{number}").root_plan_id for number in range(40)]

    assert abs(roots.count(first.plan_id) - roots.count(second.plan_id)) <= 2


def test_a_crowd_that_waited_goes_on_when_it_is_alone_again(store: Store) -> None:
    """Fairness costs the crowd its turn, never its place."""
    children(store, new_plan("crowd"), 20)
    for number in range(5):
        enqueue(store, f"single{number}")

    claims = [claim(store, f"w{number}") for number in range(26)]
    assert sum(job is not None for job in claims) == 25
    assert claims[-1] is None


def test_only_so_many_roots_execute_at_once(store: Store) -> None:
    """`plan.concurrency` counts roots in Execute; the rest queue, and other phases pass them."""
    for number in range(3):
        enqueue(store, f"e{number}", Phase.EXECUTE)
    first, second = claimed(store, "w1", limit=2), claimed(store, "w2", limit=2)
    assert claim(store, "w3", limit=2) is None
    other = enqueue(store, "s", Phase.STRATEGIZE)
    assert claimed(store, "w3", limit=2).job_id == other.job_id

    move(store, first, AsyncJobStatus.SUCCEEDED)
    assert claimed(store, "w1", limit=2).phase == "execute"
    assert second.status == "running"


def test_children_do_not_count_against_the_limit(store: Store) -> None:
    root = new_plan("root")
    store.write(lambda tx: enqueue_in(tx, root, Phase.EXECUTE))
    parent = claimed(store, limit=1)

    def spawn(tx: Transaction) -> None:
        for number in range(3):
            child = new_plan(f"c{number}", parent_plan_id=root.plan_id, root_plan_id=root.plan_id, depth=1)
            enqueue_in(tx, child, Phase.EXECUTE)
            admit(tx, root, child, number)

    store.write(spawn)
    assert [claimed(store, f"w{n}", limit=1).depth for n in range(3)] == [1, 1, 1]
    assert parent.depth == 0


def test_a_child_runs_only_under_the_lock_that_its_parent_was_held_with(store: Store, clock: SettableClock) -> None:
    """When that lock ran out, was released, or is another job's by now, the child waits until it is admitted again."""
    root = new_plan("root")
    child = new_plan("child", parent_plan_id=root.plan_id, root_plan_id=root.plan_id, depth=1)

    def spawn(tx: Transaction) -> None:
        plans.insert(tx, root, [])
        enqueue_in(tx, child)
        subplans.insert(tx, Subplan(child.plan_id, root.plan_id, "step", 0, "item", "[]", "[]"))

    store.write(spawn)
    assert claim(store) is None

    first = store.write(lambda tx: locks.acquire(tx, "plan", root.plan_id, "job:1", 60))
    assert claim(store) is None
    store.write(lambda tx: subplans.update(tx, child.plan_id, admitted=first.fence))
    clock.advance(61)
    assert claim(store) is None

    second = store.write(lambda tx: locks.acquire(tx, "plan", root.plan_id, "job:2", 60))
    assert claim(store) is None
    store.write(lambda tx: subplans.update(tx, child.plan_id, admitted=second.fence))
    clock.boot = "boot-2"
    assert claim(store) is None
    clock.boot = "boot-1"
    job = claim(store)
    assert job is not None
    assert job.plan_id == child.plan_id


@pytest.mark.parametrize("depth", [0, 1])
def test_who_is_only_claimed_to_be_stopped_needs_no_leave(store: Store, depth: int) -> None:
    """A root beyond the limit, and a child whose parent nobody holds: what they began has to be ended all the same."""
    root = new_plan("root")

    def spawn(tx: Transaction) -> AsyncJob:
        if depth == 0:
            return enqueue_in(tx, root, Phase.EXECUTE)
        plans.insert(tx, root, [])
        child = new_plan("child", parent_plan_id=root.plan_id, root_plan_id=root.plan_id, depth=depth)
        job = enqueue_in(tx, child, Phase.EXECUTE)
        subplans.insert(tx, Subplan(child.plan_id, root.plan_id, "step", 0, "item", "[]", "[]"))
        return job

    job = store.write(spawn)
    assert claim(store, limit=0) is None

    store.write(lambda tx: jobs.ask_to_stop(tx, job, "why"))

    assert claimed(store, limit=0).job_id == job.job_id


def test_a_plan_that_somebody_holds_is_passed_over(store: Store, clock: SettableClock) -> None:
    held, free = enqueue(store, "held"), enqueue(store, "free")
    store.write(lambda tx: locks.acquire(tx, "plan", held.plan_id, "somebody", 60))

    assert claimed(store, "w1").job_id == free.job_id
    assert claim(store, "w2") is None
    clock.advance(60)
    assert claimed(store, "w2").job_id == held.job_id


def test_a_lock_of_an_earlier_boot_holds_nothing(store: Store, clock: SettableClock) -> None:
    job = enqueue(store, "p")
    store.write(lambda tx: locks.acquire(tx, "plan", job.plan_id, "somebody", 3600))
    clock.boot = "boot-2"

    assert claimed(store).job_id == job.job_id


def test_a_newer_payload_stays_queued(store: Store) -> None:
    """The program that wrote it may come back; the others are not held up by it."""
    newer, known = enqueue(store, "newer"), enqueue(store, "known")
    store.write(
        lambda tx: tx.execute(
            "UPDATE async_jobs SET schema_version = ? WHERE job_id = ?", (jobs.PAYLOAD_VERSION + 1, newer.job_id)
        )
    )

    assert claimed(store, "w1").job_id == known.job_id
    assert claim(store, "w2") is None
    assert get(store, newer).status == "queued"
    assert jobs.newer_payloads(store.read) == 1


@pytest.mark.parametrize("status", [*FINAL, AsyncJobStatus.QUEUED])
def test_a_running_job_ends_as_its_owner_says(store: Store, clock: SettableClock, status: AsyncJobStatus) -> None:
    enqueue(store, "p")
    job = claimed(store)
    clock.advance(3)

    moved = move(store, job, status, error_code="x", error_message="why")

    assert moved is not None
    assert (moved.status, moved.attempt, moved.error_message) == (status, 1, "why")
    assert moved.finished_at == (None if status == "queued" else clock.now())
    assert moved.worker_id == (None if status == "queued" else "w1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (before, after)
        for before, after in itertools.product(AsyncJobStatus, AsyncJobStatus)
        if after not in VALID_JOB_TRANSITIONS[before]
    ],
)
def test_a_move_outside_the_table_is_refused_and_changes_nothing(
    store: Store, before: AsyncJobStatus, after: AsyncJobStatus
) -> None:
    enqueue(store, "p")
    job = claimed(store)
    job = msgspec.structs.replace(job, status=before)
    dump = store.dump()

    with pytest.raises(errors.InvalidJobTransitionError):
        move(store, job, after)
    assert store.dump() == dump


def test_the_table_of_moves_is_that_of_the_contract() -> None:
    status = AsyncJobStatus
    assert dict(VALID_JOB_TRANSITIONS) == {
        status.QUEUED: {status.RUNNING, status.CANCELLED},
        status.RUNNING: {status.SUCCEEDED, status.FAILED, status.CANCELLED, status.QUEUED},
        status.SUCCEEDED: set(),
        status.FAILED: set(),
        status.CANCELLED: set(),
    }


@pytest.mark.parametrize(("end", "late"), list(itertools.product([*FINAL, AsyncJobStatus.QUEUED], FINAL)))
def test_a_late_end_is_no_end(store: Store, end: AsyncJobStatus, late: AsyncJobStatus) -> None:
    """Whoever comes second, or with an older attempt, changes nothing."""
    enqueue(store, "p")
    job = claimed(store, "w1")
    move(store, job, end)
    if end == "queued":
        claimed(store, "w2")
    dump = store.dump()

    assert move(store, job, late) is None
    assert store.write(lambda tx: jobs.beat(tx, job)) is None
    assert [row for row in store.dump() if row[0] == "async_jobs"] == [row for row in dump if row[0] == "async_jobs"]


def test_a_queued_job_is_cancelled_at_once(store: Store) -> None:
    job = enqueue(store, "p")

    cancelled = store.write(lambda tx: jobs.cancel(tx, job, "because"))

    assert cancelled is not None
    assert (cancelled.status, cancelled.error_code, cancelled.error_message) == ("cancelled", "cancelled", "because")
    assert claim(store) is None


def test_a_running_job_is_asked_and_the_first_asking_counts(store: Store, clock: SettableClock) -> None:
    enqueue(store, "p")
    job = claimed(store)
    store.write(lambda tx: jobs.cancel(tx, job, "first"))
    clock.advance(5)
    asked = store.write(lambda tx: jobs.cancel(tx, job, "second"))

    assert asked is not None
    assert (asked.status, asked.cancel_requested_at, asked.error_message) == ("running", START, "first")


@pytest.mark.parametrize("status", FINAL)
def test_a_cancel_of_a_finished_job_changes_nothing(store: Store, status: AsyncJobStatus) -> None:
    enqueue(store, "p")
    job = claimed(store)
    move(store, job, status)
    dump = store.dump()

    assert store.write(lambda tx: jobs.cancel(tx, job, "late")) is None
    assert store.dump() == dump


def test_a_cancel_that_was_asked_survives_a_requeue(store: Store) -> None:
    """The daemon that goes on with the job knows that somebody wants it stopped."""
    enqueue(store, "p")
    job = claimed(store)
    store.write(lambda tx: jobs.cancel(tx, job, "because"))
    move(store, job, AsyncJobStatus.QUEUED)
    again = claimed(store, "w2")

    assert again.job_id == job.job_id
    assert again.cancel_requested_at == START


def test_a_beat_is_noted_for_job_and_worker(store: Store, clock: SettableClock) -> None:
    enqueue(store, "p")
    job = claimed(store)
    clock.advance(20)

    beaten = store.write(lambda tx: jobs.beat(tx, job))

    assert beaten is not None
    assert beaten.last_heartbeat == clock.now()
    (worker,) = jobs.workers(store.read)
    assert (worker.state, worker.job_id, worker.last_heartbeat) == ("busy", job.job_id, clock.now())


def test_workers_are_counted_by_how_their_jobs_ended(store: Store) -> None:
    for number, status in enumerate([*FINAL, AsyncJobStatus.QUEUED]):
        enqueue(store, f"p{number}")
        move(store, claimed(store), status)

    (worker,) = jobs.workers(store.read)
    assert (worker.state, worker.job_id) == ("idle", None)
    assert (worker.jobs_processed, worker.jobs_failed, worker.jobs_cancelled) == (3, 1, 1)


def test_counters_of_workers_survive_a_restart(store: Store) -> None:
    enqueue(store, "p")
    move(store, claimed(store), AsyncJobStatus.FAILED)
    store.write(jobs.stop_workers)
    assert jobs.workers(store.read) == []

    store.write(lambda tx: jobs.worker_idle(tx, "w1"))
    (worker,) = jobs.workers(store.read)
    assert (worker.jobs_processed, worker.jobs_failed) == (1, 1)


def test_retention_removes_old_finished_jobs_but_not_the_plans_last(store: Store, clock: SettableClock) -> None:
    finished = [enqueue(store, f"p{number}") for number in range(3)]
    for _ in finished:
        move(store, claimed(store), AsyncJobStatus.SUCCEEDED)
    store.write(lambda tx: plans.update(tx, get_plan(store, finished[0]), job_id=finished[0].job_id))
    clock.advance(100)
    enqueue(store, "waits")

    removed = store.write(lambda tx: jobs.prune(tx, clock.now() - 50 * SECOND, 10))

    assert set(removed) == {job.job_id for job in finished[1:]}
    assert jobs.count(store.read) == 2


def test_retention_takes_so_many_at_a_time_the_oldest_first(store: Store, clock: SettableClock) -> None:
    made: list[str] = []
    for number in range(5):
        made.append(enqueue(store, f"p{number}").job_id)
        move(store, claimed(store), AsyncJobStatus.SUCCEEDED)
        clock.advance(1)

    assert set(store.write(lambda tx: jobs.prune(tx, clock.now(), 2))) == set(made[:2])
    assert set(store.write(lambda tx: jobs.prune(tx, clock.now(), 2))) == set(made[2:4])
    assert store.write(lambda tx: jobs.prune(tx, clock.now(), 2)) == made[4:]


def get_plan(store: Store, job: AsyncJob) -> Plan:
    plan = plans.get(store.read, job.plan_id)
    assert plan is not None
    return plan


def test_retention_keeps_what_ended_lately(store: Store, clock: SettableClock) -> None:
    enqueue(store, "p")
    move(store, claimed(store), AsyncJobStatus.SUCCEEDED)
    clock.advance(10)

    assert store.write(lambda tx: jobs.prune(tx, clock.now() - 10 * SECOND, 10)) == []


def test_lists_and_counts_agree(store: Store) -> None:
    made = [enqueue(store, f"p{number}") for number in range(5)]
    move(store, claimed(store), AsyncJobStatus.FAILED)

    assert {job.job_id for job in jobs.latest(store.read)} == {job.job_id for job in made}
    assert [job.job_id for job in jobs.latest(store.read)] == sorted((j.job_id for j in made), reverse=True)
    assert len(jobs.latest(store.read, limit=2)) == 2
    assert jobs.count(store.read, status="failed") == len(jobs.latest(store.read, status="failed")) == 1
    assert jobs.count(store.read, plan_id=made[0].plan_id) == 1
    assert jobs.queued_count(store.read) == 4
    assert jobs.running(store.read) == []


def test_a_job_is_found_by_any_part_of_its_id(store: Store) -> None:
    job = enqueue(store, "p")

    assert jobs.like(store.read, job.job_id[-6:].lower()) == [job]
    assert jobs.like(store.read, "zzzzzzzz") == []
