"""Any sequence of what workers, users and daemons do to jobs, against a model of the queue."""

import tempfile
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from store import jobs, locks, names, plans
from store.clock import SECOND
from store.database import Transaction
from store.records import AsyncJob
from store.states import VALID_JOB_TRANSITIONS, AsyncJobStatus, Phase
from tests.stores import SettableClock, Store, new_plan

WORKERS = st.sampled_from(["w1", "w2", "w3"])
ENDS = st.sampled_from([AsyncJobStatus.SUCCEEDED, AsyncJobStatus.FAILED, AsyncJobStatus.CANCELLED])
LIMIT = 2
FINAL = {AsyncJobStatus.SUCCEEDED, AsyncJobStatus.FAILED, AsyncJobStatus.CANCELLED}


class Expected(msgspec.Struct):
    """What is known of a job."""

    phase: Phase
    priority: int
    status: AsyncJobStatus = AsyncJobStatus.QUEUED
    attempt: int = 0
    cancel_asked: bool = False
    newer: bool = False
    held: bool = False
    beaten: int = 0


class JobModel(RuleBasedStateMachine):
    """Handles of workers may be as old as they like; only the newest one has any effect."""

    handles: Bundle[AsyncJob] = Bundle("handles")
    queued: Bundle[str] = Bundle("queued")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = SettableClock()
        self.store = Store(Path(self.directory.name), self.clock)
        self.jobs: dict[str, Expected] = {}
        self.plan_of: dict[str, str] = {}
        self.seen: dict[str, AsyncJobStatus] = {}
        self.made = 0

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(
        target=queued,
        priority=st.integers(-1, 1),
        phase=st.sampled_from(Phase),
        newer=st.sampled_from([False] * 4 + [True]),
    )
    def enqueue(self, priority: int, phase: Phase, *, newer: bool) -> str:
        self.made += 1
        plan = new_plan(f"p{self.made}", now=self.clock.now(), priority=priority)
        job_id = names.new_ulid(self.clock.now())

        def work(tx: Transaction) -> None:
            plans.insert(tx, plan, [])
            jobs.enqueue(tx, plan, phase, job_id, timeout_s=0, payload={})
            if newer:
                tx.execute("UPDATE async_jobs SET schema_version = 2 WHERE job_id = ?", (job_id,))

        self.store.write(work)
        self.jobs[job_id] = Expected(phase, priority, newer=newer)
        self.plan_of[job_id] = plan.plan_id
        return job_id

    def eligible(self) -> list[str]:
        """The jobs that may be claimed now."""
        executing = sum(job.status == "running" and job.phase == "execute" for job in self.jobs.values())
        return [
            job_id
            for job_id, job in self.jobs.items()
            if job.status == "queued"
            and not job.newer
            and not job.held
            and (job.phase != "execute" or executing < LIMIT)
        ]

    @rule(target=handles, worker=WORKERS)
    def claim(self, worker: str) -> AsyncJob:
        may = self.eligible()
        job = self.store.write(lambda tx: jobs.claim(tx, worker, execute_limit=LIMIT))
        if job is None:
            assert may == []
            return NOBODY
        assert job.job_id in may
        expected = self.jobs[job.job_id]
        assert expected.priority == max(self.jobs[one].priority for one in may)
        expected.status = AsyncJobStatus.RUNNING
        expected.attempt += 1
        assert (job.status, job.attempt, job.worker_id) == ("running", expected.attempt, worker)
        expected.beaten = self.clock.steady()
        return job

    def owns(self, job: AsyncJob) -> bool:
        expected = self.jobs.get(job.job_id)
        return expected is not None and expected.status == "running" and expected.attempt == job.attempt

    @rule(job=handles, status=ENDS)
    def end(self, job: AsyncJob, status: AsyncJobStatus) -> None:
        mine = self.owns(job)
        moved = self.store.write(lambda tx: jobs.move(tx, job, status))
        assert (moved is not None) == mine
        if mine:
            self.jobs[job.job_id].status = status

    @rule(job=handles)
    def requeue(self, job: AsyncJob) -> None:
        mine = self.owns(job)
        moved = self.store.write(lambda tx: jobs.move(tx, job, AsyncJobStatus.QUEUED))
        assert (moved is not None) == mine
        if mine:
            self.jobs[job.job_id].status = AsyncJobStatus.QUEUED

    @rule(job=handles)
    def beat(self, job: AsyncJob) -> None:
        if job is not NOBODY:
            mine = self.owns(job)
            assert (self.store.write(lambda tx: jobs.beat(tx, job)) is not None) == mine
            if mine:
                self.jobs[job.job_id].beaten = self.clock.steady()

    @rule(seconds=st.sampled_from([3, 60, 3600]))
    def judge(self, seconds: int) -> None:
        """Whoever runs and has not beaten for so long is failed, and nobody else is."""
        before = self.clock.steady() - seconds * SECOND

        def work(tx: Transaction) -> set[str]:
            silent = jobs.silent(tx, before)
            for job in silent:
                assert jobs.move(tx, job, AsyncJobStatus.FAILED, error_code="stuck") is not None
            return {job.job_id for job in silent}

        running = {one: job for one, job in self.jobs.items() if job.status == "running"}
        assert self.store.write(work) == {one for one, job in running.items() if job.beaten <= before}
        for one, job in running.items():
            if job.beaten <= before:
                self.jobs[one].status = AsyncJobStatus.FAILED

    @rule(seconds=st.floats(0, 200))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(seconds=st.integers(-(10**8), 10**8))
    def clock_is_set(self, seconds: int) -> None:
        self.clock.set(seconds)

    @rule(job_id=queued)
    def cancel(self, job_id: str) -> None:
        job = jobs.get(self.store.read, job_id)
        expected = self.jobs.get(job_id)
        if job is None or expected is None:
            assert job is expected is None
            return
        result = self.store.write(lambda tx: jobs.cancel(tx, job, "why"))
        assert (result is None) == (expected.status in FINAL)
        if expected.status == "queued":
            expected.status = AsyncJobStatus.CANCELLED
        if expected.status not in FINAL or result is not None:
            expected.cancel_asked = True

    @rule(job_id=queued)
    def hold_plan(self, job_id: str) -> None:
        if job_id in self.jobs and not self.jobs[job_id].held:
            self.store.write(lambda tx: locks.acquire(tx, "plan", self.plan_of[job_id], "holder", 3600))
            self.jobs[job_id].held = True

    @rule()
    def locks_expire(self) -> None:
        self.clock.advance(3600)
        for job in self.jobs.values():
            job.held = False

    @rule()
    def retention(self) -> None:
        """It takes every job that is over, and never one that is not."""
        removed = self.store.write(lambda tx: jobs.prune(tx, 2**62, 1000))
        assert set(removed) == {one for one, job in self.jobs.items() if job.status in FINAL}
        for one in removed:
            del self.jobs[one]
            self.seen.pop(one, None)

    @invariant()
    def the_table_is_the_model(self) -> None:
        found = {job.job_id: job for job in jobs.latest(self.store.read, limit=-1)}
        assert found.keys() == self.jobs.keys()
        for job_id, job in found.items():
            expected = self.jobs[job_id]
            assert (job.status, job.attempt) == (expected.status, expected.attempt)
            assert (job.cancel_requested_at is not None) == expected.cancel_asked
            assert (job.finished_at is not None) == (job.status in FINAL)

    @invariant()
    def only_allowed_moves_were_made(self) -> None:
        for job in jobs.latest(self.store.read, limit=-1):
            before = self.seen.get(job.job_id, job.status)
            assert before == job.status or job.status in VALID_JOB_TRANSITIONS[before]
            self.seen[job.job_id] = job.status


NOBODY = AsyncJob(
    "none",
    "none",
    Phase.APPLY,
    AsyncJobStatus.RUNNING,
    0,
    0,
    "{}",
    1,
    0,
    "w0",
    0,
    None,
    None,
    None,
    None,
    None,
    None,
    "",
    0,
    0,
)

JobModel.TestCase.settings = settings(max_examples=25, stateful_step_count=40, deadline=None, derandomize=True)
TestJobs = JobModel.TestCase
