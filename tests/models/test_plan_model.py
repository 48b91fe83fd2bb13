"""Any sequence of life-cycle calls against the tables of moves and what must hold between plan, job and lock."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from daemon import profiles, undo, views
from daemon.holding import owner_of
from daemon.lifecycle import ROLLED_BACK_FROM, Lifecycle, Rollback
from daemon.moves import Claim, Outcome
from daemon.settings import Settings
from store import errors, events, jobs, locks, plans
from store.database import Transaction
from store.records import Lock, Plan, PlanProject, Step
from store.states import FORWARD, REVERSIONS, START, AsyncJobStatus, Phase, Position, State, StepState
from tests.stores import SettableClock, Store, new_plan

REFUSALS = (
    errors.InvalidTransitionError,
    errors.LockConflictError,
    errors.LockExpiredError,
    errors.NothingToApplyError,
)
DIFF = {
    files: msgspec.json.encode(views.DiffStatView(digest="d" * 64, files=files, insertions=1, deletions=0)).decode()
    for files in (0, 1)
}
STUCK = views.ErrorView(code="stuck", message="no sign of life", step=None, detail={})
ERROR = views.ErrorView(code="step_failed", message="no", step=None, detail={})


class PlanModel(RuleBasedStateMachine):
    """Users move plans, workers move what they claimed, as early, late and often as they like."""

    ids: Bundle[str] = Bundle("ids")
    claims: Bundle[Claim | None] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = SettableClock()
        self.store = Store(Path(self.directory.name), self.clock)
        self.cycle = self.new_cycle()
        self.where: dict[str, Position] = {}
        self.heard = 0

    def new_cycle(self) -> Lifecycle:
        """The life cycle of a daemon that just started."""
        return Lifecycle(Settings(Path(self.directory.name) / "config.toml", {}))

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    def attempt(self, work: Callable[[Transaction], Any]) -> Any:
        """The result, or None when it was refused; a refusal changes nothing."""
        before = self.store.dump()
        try:
            return self.store.write(work)
        except REFUSALS:
            assert self.store.dump() == before
            return None

    def plan(self, plan_id: str) -> Plan:
        plan = plans.get(self.store.read, plan_id)
        assert plan is not None
        return plan

    @rule(target=ids, profile=st.sampled_from(sorted(profiles.PROFILES)))
    def use(self, profile: str) -> str:
        plan = new_plan(f"p{len(self.where)}", now=self.clock.now(), automation_profile=profile)
        project = PlanProject(
            plan.plan_id,
            0,
            "id",
            "local/x",
            "/x",
            "git",
            "clone",
            None,
            "absent",
            None,
            None,
            0,
            None,
            None,
            None,
            None,
        )
        made = self.store.write(lambda tx: self.cycle.use(tx, plan, [project]))
        assert made.position == START
        assert (made.job_id is not None) == (profile != "manual")
        self.where[made.plan_id] = START
        return made.plan_id

    @rule(plan_id=ids)
    def execute(self, plan_id: str) -> None:
        before = self.plan(plan_id)
        outcome: Outcome | None = self.attempt(lambda tx: self.cycle.execute(tx, plan_id))
        if outcome is None:
            assert before.phase is Phase.APPLY or before.terminal
        elif outcome.message is not None:
            assert outcome.plan == before
        else:
            assert outcome.plan.state is State.QUEUED
            assert outcome.plan.job_id is not None

    @rule(plan_id=ids, expect=st.sampled_from([None, "d" * 64]), allow_empty=st.booleans())
    def apply(self, plan_id: str, expect: str | None, *, allow_empty: bool) -> None:
        before = self.plan(plan_id)
        outcome: Outcome | None = self.attempt(
            lambda tx: self.cycle.apply(
                tx, plan_id, expect=expect, allow_empty=allow_empty, payload={"mode": "worktree"}
            )
        )
        if outcome is not None and outcome.message is None:
            assert (before.phase, before.state) == ("execute", "complete") or before.recoverable
        elif outcome is not None:
            assert outcome.plan == before

    @rule(plan_id=ids)
    def apply_what_moved(self, plan_id: str) -> None:
        """Another digest than the reviewed one is refused wherever an Apply would begin."""
        before = self.store.dump()
        try:
            outcome = self.store.write(
                lambda tx: self.cycle.apply(tx, plan_id, expect="other", allow_empty=True, payload={})
            )
        except (errors.ChangeMovedError, *REFUSALS):
            assert self.store.dump() == before
        else:
            assert outcome.message is not None
            assert self.store.dump() == before

    @rule(plan_id=ids)
    def cancel(self, plan_id: str) -> None:
        before = self.plan(plan_id)
        outcome: Outcome | None = self.attempt(lambda tx: self.cycle.cancel(tx, plan_id, "why"))
        assert (outcome is None) == (before.state is State.APPLIED)
        if outcome is None or before.state is State.CANCELLED:
            return
        if before.state is State.PROCESSING:
            job = jobs.open_of_plan(self.store.read, plan_id)
            assert outcome.plan == before
            assert job is not None
            assert job.cancel_requested_at is not None
        else:
            assert outcome.plan.position == Position(before.phase, State.CANCELLED)

    @rule(plan_id=ids)
    def revert(self, plan_id: str) -> None:
        before = self.plan(plan_id)
        after: Plan | None = self.attempt(lambda tx: self.cycle.revert(tx, plan_id, "why"))
        allowed = START in REVERSIONS.get(before.position, frozenset()) and before.reversions < 3
        assert (after is not None) == allowed
        if after is not None:
            assert (after.position, after.reversions) == (START, before.reversions + 1)

    @rule(plan_id=ids)
    def undo(self, plan_id: str) -> None:
        before = self.plan(plan_id)

        def work(tx: Transaction) -> Plan:
            lock = locks.acquire(tx, "plan", plan_id, "undo", undo.LOCK_SECONDS)
            plan = self.cycle.undone(tx, plan_id, lock)
            locks.release(tx, lock)
            return plan

        after: Plan | None = self.attempt(work)
        assert (after is not None) == (before.state is State.APPLIED)

    @rule(plan_id=ids)
    def prompt(self, plan_id: str) -> None:
        before, said = self.plan(plan_id), len(plans.decisions(self.store.read, plan_id))
        after: Plan | None = self.attempt(lambda tx: self.cycle.prompt(tx, plan_id, "text"))
        assert (after is not None) == before.recoverable
        assert self.plan(plan_id) == before
        assert len(plans.decisions(self.store.read, plan_id)) == said + (after is not None)

    @rule(plan_id=ids, cut=st.sampled_from(["", "begun", "recorded"]))
    def rollback(self, plan_id: str, cut: str) -> None:
        """Whole, or cut by the death of the daemon: the next one is not kept out by what the first one held."""
        before = self.plan(plan_id)
        lock: Lock | None = self.attempt(lambda tx: self.cycle.begin_rollback(tx, plan_id, "s1"))
        assert (lock is not None) == (before.position in ROLLED_BACK_FROM)
        if lock is None:
            return
        (project,) = plans.projects(self.store.read, plan_id)
        complete = before.state is State.COMPLETE
        found = Rollback(
            step_id="s1",
            later=["s2"],
            tips=[(project, "c", "t")],
            kept="0/rollback/1",
            diff_json=DIFF[1] if complete else None,
        )
        if cut != "begun":
            self.store.write(lambda tx: self.cycle.rolled_back(tx, lock, found))
            assert [step.state for step in plans.steps(self.store.read, plan_id)] == [
                StepState.SUCCEEDED,
                StepState.SKIPPED if complete else StepState.CANCELLED,
            ]
        if cut:
            self.cycle = self.new_cycle()
            return
        self.store.write(lambda tx: self.cycle.end_rollback(tx, lock))
        assert self.plan(plan_id).position == before.position
        assert plans.steps(self.store.read, plan_id)[1].state is (StepState.SKIPPED if complete else StepState.PENDING)

    def set_steps(self, tx: Transaction, plan_id: str, *states: StepState) -> None:
        """What a phase would have made of the two steps of each plan."""
        steps = [
            Step(plan_id, f"s{number}", number, "", "run", "{}", state, 0, *([None] * 9))
            for number, state in enumerate(states, 1)
        ]
        plans.replace_steps(tx, plan_id, steps)

    @rule(target=claims, worker=st.sampled_from(["w1", "w2", "w3", "w4", "w5"]))
    def claim(self, worker: str) -> Claim | None:
        claim = self.store.write(lambda tx: self.cycle.claim(tx, worker))
        if claim is None:
            return None
        assert claim.plan.state is State.PROCESSING
        assert claim.lock.owner_id == owner_of(claim.job)
        return claim

    def owns(self, claim: Claim) -> bool:
        job = jobs.get(self.store.read, claim.job.job_id)
        return job is not None and job.status == "running" and job.attempt == claim.job.attempt

    @rule(claim=claims, files=st.sampled_from([0, 1]))
    def complete(self, claim: Claim | None, files: int) -> None:
        if claim is None:
            return
        mine = self.owns(claim)
        job = jobs.get(self.store.read, claim.job.job_id)
        changes = {"diff_json": DIFF[files]} if claim.plan.phase is Phase.EXECUTE else {}

        def work(tx: Transaction) -> Plan:
            self.set_steps(tx, claim.plan.plan_id, StepState.SUCCEEDED, StepState.SUCCEEDED)
            return self.cycle.complete(tx, claim, **changes)

        after: Plan | None = self.attempt(work)
        assert (after is not None) == mine
        if after is not None and job is not None and job.cancel_requested_at is not None:
            assert after.state is (State.APPLIED if claim.plan.phase is Phase.APPLY else State.CANCELLED)

    @rule(claim=claims, constrained=st.booleans())
    def fail(self, claim: Claim | None, *, constrained: bool) -> None:
        if claim is None:
            return
        mine, constrained = self.owns(claim), constrained and claim.plan.phase is Phase.APPLY
        job = jobs.get(self.store.read, claim.job.job_id)

        def work(tx: Transaction) -> Plan:
            self.set_steps(tx, claim.plan.plan_id, StepState.SUCCEEDED, StepState.FAILED)
            return self.cycle.fail(tx, claim, ERROR, constrained=constrained)

        after: Plan | None = self.attempt(work)
        assert (after is not None) == mine
        if after is not None and job is not None and job.cancel_requested_at is not None:
            assert after.state is State.CANCELLED
        elif after is not None:
            assert after.recoverable
            assert after.error_json is not None

    @rule(claim=claims)
    def stopped(self, claim: Claim | None) -> None:
        if claim is not None:
            mine = self.owns(claim)
            assert (self.attempt(lambda tx: self.cycle.stopped(tx, claim, "why")) is not None) == mine

    @rule(claim=claims)
    def requeue(self, claim: Claim | None) -> None:
        if claim is not None:
            mine = self.owns(claim)
            after: Plan | None = self.attempt(lambda tx: self.cycle.requeue(tx, claim))
            assert (after is not None) == mine
            assert after is None or after.state is State.QUEUED

    @rule(claim=claims)
    def rescue(self, claim: Claim | None) -> None:
        """The daemon fails a job whose worker gives no sign of life; only the job's newest claim can be running."""
        if claim is not None and self.owns(claim):
            after: Plan | None = self.attempt(lambda tx: self.cycle.rescue(tx, claim.job, STUCK))
            assert after is not None
            assert after.state is State.ERRORED

    @rule(seconds=st.sampled_from([1.0, 100.0, 10_000.0]))
    def time_passes(self, seconds: float) -> None:
        """Also past the lease of a running job whose daemon was stopped: it keeps what nobody took."""
        self.clock.advance(seconds)

    @rule(seconds=st.integers(-(10**8), 10**8))
    def clock_is_set(self, seconds: int) -> None:
        self.clock.set(seconds)

    @rule(seconds=st.floats(0, 10**6))
    def machine_sleeps(self, seconds: float) -> None:
        self.clock.sleep(seconds)

    @invariant()
    def every_move_is_in_a_table_and_has_one_event(self) -> None:
        found = events.since(self.store.read, self.heard)
        for event in found:
            self.heard = event.seq
            if event.kind != "plan.moved":
                continue
            assert event.plan_id is not None
            detail = msgspec.json.decode(event.detail_json)
            here = self.where[event.plan_id]
            assert detail["from"] == str(here)
            (target,) = [
                move for table in (FORWARD, REVERSIONS) for move in table.get(here, ()) if str(move) == detail["to"]
            ][:1]
            self.where[event.plan_id] = target
        for plan_id, position in self.where.items():
            assert self.plan(plan_id).position == position

    @invariant()
    def processing_is_a_running_job_that_holds_the_plan(self) -> None:
        running = {job.plan_id: job for job in jobs.running(self.store.read)}
        for plan_id, position in self.where.items():
            job, lock = running.get(plan_id), locks.get(self.store.read, "plan", plan_id)
            assert (position.state is State.PROCESSING) == (job is not None)
            if job is None:
                assert lock is None or lock.owner_id.startswith("rollback:")
            else:
                assert job.phase == position.phase
                assert lock is not None
                assert lock.owner_id == owner_of(job)

    @invariant()
    def a_plan_has_a_queued_job_exactly_when_it_waits_for_a_worker(self) -> None:
        for plan_id in self.where:
            plan, job = self.plan(plan_id), jobs.open_of_plan(self.store.read, plan_id)
            if job is not None:
                assert job.job_id == plan.job_id
                assert plan.state in {State.QUEUED, State.PROCESSING}
            queued = job is not None and job.status is AsyncJobStatus.QUEUED
            assert queued == (plan.state is State.QUEUED and plan.job_id is not None)


PlanModel.TestCase.settings = settings(max_examples=30, stateful_step_count=50, deadline=None, derandomize=True)
TestPlans = PlanModel.TestCase
