"""Parents, children and grandchildren: any sequence of what people, workers and daemons do to them, on a real store."""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon import actions, aside, children, decisions, soundness, views
from daemon.action_schema import ForEach, StepSpec, SubplansSpec
from daemon.holding import ROLLBACK_OWNER, owner_of
from daemon.lifecycle import ROLLED_BACK_FROM, Lifecycle, Rollback
from daemon.moves import Claim, Outcome
from daemon.outline import Child, Node
from daemon.settings import Settings
from store import errors, events, jobs, locks, names, plans, subplans, trees
from store.database import Transaction
from store.records import Conflict, Lock, Plan, PlanProject, Step, Subplan
from store.states import FORWARD, REVERSIONS, START, Phase, Position, State, StepState
from tests.stores import SettableClock, Store, new_plan

pytestmark = pytest.mark.timeout(300)

REFUSALS = (
    errors.InvalidTransitionError,
    errors.LockConflictError,
    errors.LockExpiredError,
    errors.NothingToApplyError,
    errors.ChangeMovedError,
)
STUCK = views.ErrorView(code="stuck", message="no sign of life", step=None, detail={})
DIFF = views.DiffStatView(digest="d" * 64, files=1, insertions=1, deletions=0)
APPLIED = views.AppliedView("p", "d" * 64, "worktree", 1, 1, 0, None, [], "ca plan undo p")
COMPLETE = Position(Phase.EXECUTE, State.COMPLETE)
ERRORED = Position(Phase.EXECUTE, State.ERRORED)
OPEN = frozenset({State.QUEUED, State.PROCESSING})
PROJECT = "local/x"


def error(code: str) -> views.ErrorView:
    return views.ErrorView(code=code, message="no", step=None, detail={})


def document(value: object) -> str:
    return msgspec.json.encode(value).decode()


def object_id(*parts: str) -> str:
    """What git would call a commit or a tree of these."""
    return hashlib.sha1(" ".join(parts).encode()).hexdigest()


# --- what the plans do ---------------------------------------------------------------------------------------------------


def subplans_step(name: str, action: str, **keys: Any) -> StepSpec:
    spec = SubplansSpec(action=action, for_each=ForEach(), **keys)
    return StepSpec(id=name, title=name, kind="subplans", subplans=spec)


RUN = StepSpec(id="s0", title="s0", kind="run", run=":")
LEAF = actions.Action(name="local/leaf", steps=[RUN])
NESTED = actions.Action(name="local/nested", steps=[subplans_step("inner", "local/leaf")])
PATHS: Sequence[list[str]] = ([], ["a"], ["a/b"])


def root_action(*, fail_fast: bool, retries: int) -> actions.Action:
    first = subplans_step("one", "local/leaf", fail_fast=fail_fast, retries=retries)
    return actions.Action(name="local/root", steps=[RUN, first, subplans_step("two", "local/nested")])


def node_of(action: actions.Action) -> Node:
    """The tree below a plan of this action: three leaves, then two that have two leaves each."""
    below = {"one": [LEAF] * 3, "two": [NESTED] * 2, "inner": [LEAF] * 2}
    found = {
        step.id: [
            Child(
                item=f"i{n}", needs=[0] if n == 2 else [], paths=PATHS[n] if step.id == "one" else [], node=node_of(one)
            )
            for n, one in enumerate(below[step.id])
        ]
        for step in action.steps
        if step.kind == "subplans"
    }
    return Node(action=action, arguments={}, steps=action.steps, children=found)


NUMBERS = st.integers(0, 30)


HOWS = st.sampled_from(["well", "well", "well", "fails", "runs on", "does not fit"])
"""What becomes of the next job that a worker has in hand."""


def person(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule for what somebody does; then daemons work on for a while."""

    def made(function: Callable[..., None]) -> Any:
        def do(self: "FamilyModel", then: list[str], **chosen: Any) -> None:
            function(self, **chosen)
            self.every_move_is_in_a_table_and_has_one_event()
            self.work_on(then)

        do.__name__ = function.__name__
        return cast("Any", rule(then=st.lists(HOWS, max_size=6), **arguments))(do)

    return made


class FamilyModel(RuleBasedStateMachine):
    """People move any plan of the family, jobs move what they claimed, and daemons come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.clock = SettableClock()
        self.store = Store(Path(self.directory.name), self.clock)
        self.cycle = self.new_cycle()
        self.where: dict[str, Position] = {}
        self.claims: list[Claim] = []
        self.commands: set[str] = set()
        self.unwanted: set[str] = set()
        self.merges: list[tuple[Claim, Plan]] = []
        self.heard = 0
        self.boots = 1

    def new_cycle(self) -> Lifecycle:
        return Lifecycle(Settings(Path(self.directory.name) / "config.toml", {}))

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    # --- looking -------------------------------------------------------------------------------------------------------

    def attempt(self, work: Callable[[Transaction], Any]) -> Any:
        """The result, or None when it was refused; a refusal changes nothing."""
        before = self.store.dump()
        try:
            return self.store.write(work)
        except REFUSALS:
            assert self.store.dump() == before
            return None

    def plan(self, plan_id: str) -> Plan:
        found = plans.get(self.store.read, plan_id)
        assert found is not None
        return found

    def chosen(self, number: int, *, of: Callable[[Plan], bool] = lambda _: True) -> Plan | None:
        """One of the plans that are so; those whose family was given up long ago are of no interest."""
        found = [plan for plan_id in sorted(self.where) if of(plan := self.plan(plan_id)) and not self.is_past(plan)]
        return found[number % len(found)] if found else None

    @staticmethod
    def seldom_whole(number: int) -> Callable[[Plan], bool]:
        """Mostly children: what ends a whole family leaves little to look at."""
        return lambda plan: plan.depth > 0 or number % 5 == 0

    def is_past(self, plan: Plan) -> bool:
        return plan.parent_plan_id is not None and plan.terminal and subplans.get(self.store.read, plan.plan_id) is None

    def rows(self, plan_id: str) -> list[Subplan]:
        return subplans.of_plan(self.store.read, plan_id)

    def above(self, plan: Plan) -> list[Plan]:
        found: list[Plan] = []
        while plan.parent_plan_id is not None:
            plan = self.plan(plan.parent_plan_id)
            found.append(plan)
        return found

    def owns(self, claim: Claim) -> bool:
        job = jobs.get(self.store.read, claim.job.job_id)
        return job is not None and job.status == "running" and job.attempt == claim.job.attempt

    def asked_to_stop(self, plan: Plan) -> bool:
        job = jobs.open_of_plan(self.store.read, plan.plan_id)
        return job is not None and job.cancel_requested_at is not None

    def current_step(self, plan: Plan) -> Step | None:
        """The step that Execute is at, if children carry it out."""
        steps = plans.steps(self.store.read, plan.plan_id)
        step = next((one for one in steps if one.state is not StepState.SUCCEEDED), None)
        return step if step is not None and step.kind == "subplans" and plan.phase is Phase.EXECUTE else None

    def tips(self, plan: Plan) -> dict[str, tuple[str, str]]:
        (project,) = plans.projects(self.store.read, plan.plan_id)
        return {PROJECT: (project.tip or "", project.tip_tree or "")}

    # --- what people do ------------------------------------------------------------------------------------------------

    @precondition(
        lambda self: len([one for one in map(self.plan, self.where) if one.depth == 0 and not one.terminal]) < 2
    )
    @person(fail_fast=st.booleans(), retries=st.integers(0, 1), profile=st.sampled_from(["manual", "trusted"]))
    def use(self, profile: str, retries: int, *, fail_fast: bool) -> None:
        definition = root_action(fail_fast=fail_fast, retries=retries)
        plan = new_plan(
            f"p{len(self.where)}",
            now=self.clock.now(),
            action=definition.name,
            definition_json=document(definition),
            automation_profile=profile,
        )
        project = PlanProject(
            plan.plan_id, 0, names.new_ulid(self.clock.now()), PROJECT, "/x", "git", "clone", None, "absent", None, None, 0,
            None, None, None, None,
        )  # fmt: skip
        self.store.write(lambda tx: self.cycle.use(tx, plan, [project]))

    @person(number=NUMBERS)
    def execute(self, number: int) -> None:
        plan = self.chosen(number)
        if plan is None:
            return
        before = {row.plan_id: (row, self.plan(row.plan_id)) for row in self.rows(plan.plan_id)}
        outcome: Outcome | None = self.attempt(lambda tx: self.cycle.execute(tx, plan.plan_id))
        if outcome is not None and outcome.message is None and plan.position == ERRORED:
            self.check_renewed(plan, before)
        if outcome is not None and plan.parent_plan_id is not None:
            assert outcome.plan.position == plan.position, "only the parent's job moves a child on"

    def check_renewed(self, plan: Plan, before: dict[str, tuple[Subplan, Plan]]) -> None:
        """What a parent that goes on makes of its children: only those that failed run again."""
        after = {(row.step_id, row.position): row for row in self.rows(plan.plan_id)}
        for old, child in before.values():
            new = after[old.step_id, old.position]
            if old.integrated_at is not None or child.state is State.COMPLETE:
                assert new == old
            elif old.fate == children.DROPPED:
                assert child.plan_id not in self.unwanted
                assert new.plan_id != old.plan_id
                assert (new.item, new.needs_json, new.starts) == (old.item, old.needs_json, 0)
            elif child.state is State.CANCELLED:
                assert new.fate == children.LEFT_OUT
                assert child.plan_id in self.unwanted
            else:
                assert new.plan_id == old.plan_id
                assert bool(new.retry) >= child.recoverable
            if new.plan_id == old.plan_id:
                assert self.plan(child.plan_id) == child

    @person(number=NUMBERS)
    def cancel(self, number: int) -> None:
        plan = self.chosen(number, of=self.seldom_whole(number))
        if plan is None:
            return
        outcome: Outcome | None = self.attempt(lambda tx: self.cycle.cancel(tx, plan.plan_id, "why"))
        if outcome is not None and outcome.message is None:
            self.unwanted.add(plan.plan_id)

    @person(number=NUMBERS)
    def revert(self, number: int) -> None:
        seldom = self.seldom_whole(number)
        plan = self.chosen(number, of=lambda one: seldom(one) and START in REVERSIONS.get(one.position, frozenset()))
        if plan is None:
            return
        row = subplans.get(self.store.read, plan.plan_id)
        after: Plan | None = self.attempt(lambda tx: self.cycle.revert(tx, plan.plan_id, "why"))
        if row is not None and row.integrated_at is not None:
            assert after is None
        if after is not None:
            assert after.position == START
            assert self.rows(plan.plan_id) == []

    @person(number=NUMBERS)
    def prompt(self, number: int) -> None:
        plan = self.chosen(number)
        if plan is not None:
            after: Plan | None = self.attempt(lambda tx: self.cycle.prompt(tx, plan.plan_id, "text"))
            assert after is None or plan.recoverable

    @person(number=NUMBERS, cut=st.booleans())
    def rollback(self, number: int, *, cut: bool) -> None:
        """To the first step; with it the children of all later ones are taken back."""
        seldom = self.seldom_whole(number)
        plan = self.chosen(number, of=lambda one: seldom(one) and one.position in ROLLED_BACK_FROM)
        if plan is None:
            return
        steps = plans.steps(self.store.read, plan.plan_id)
        lock: Lock | None = self.attempt(lambda tx: self.cycle.begin_rollback(tx, plan.plan_id, steps[0].step_id))
        if lock is None:
            return
        (project,) = plans.projects(self.store.read, plan.plan_id)
        later = [step.step_id for step in steps[1:]]
        complete = plan.state is State.COMPLETE
        assert project.base is not None
        assert project.base_tree is not None
        found = Rollback(
            step_id=steps[0].step_id,
            later=later,
            tips=[(project, project.base, project.base_tree)],
            kept="0/rollback/1",
            diff_json=document(DIFF) if complete else None,
        )
        self.store.write(lambda tx: self.cycle.rolled_back(tx, lock, found))
        assert all(row.integrated_at is None for row in self.rows(plan.plan_id) if row.step_id in later)
        if cut:
            self.restart(dead=False, then=[])
        else:
            self.store.write(lambda tx: self.cycle.end_rollback(tx, lock))

    @rule(number=NUMBERS)
    def apply(self, number: int) -> None:
        plan = self.chosen(number, of=lambda one: one.state is State.COMPLETE)
        if plan is None:
            return
        outcome: Outcome | None = self.attempt(
            lambda tx: self.cycle.apply(tx, plan.plan_id, expect=None, allow_empty=True, payload={"mode": "worktree"})
        )
        if outcome is not None:
            assert plan.parent_plan_id is None, "a child is never applied"
            assert not any(one.taken is None for one in subplans.conflicts(self.store.read, plan.plan_id))

    @person(number=NUMBERS, taken=st.sampled_from(["base", "parent", "child"]))
    def resolve(self, number: int, taken: str) -> None:
        plan = self.chosen(number, of=lambda one: bool(subplans.conflicts(self.store.read, one.plan_id)))
        if plan is None:
            return
        conflict = subplans.conflicts(self.store.read, plan.plan_id)[0]
        after: Plan | None = self.attempt(
            lambda tx: self.cycle.resolve(tx, plan.plan_id, conflict, taken, mode=0o100644, blob="b" * 40)
        )
        assert (after is not None) == (plan.position == ERRORED)

    # --- what jobs do --------------------------------------------------------------------------------------------------

    @initialize(fail_fast=st.booleans(), retries=st.integers(0, 1))
    def begin(self, retries: int, *, fail_fast: bool) -> None:
        """A parent executes."""
        self.use(profile="trusted", retries=retries, fail_fast=fail_fast, then=[])
        for _ in range(2):
            self.every_move_is_in_a_table_and_has_one_event()
            self.work("well")

    @rule(hows=st.lists(HOWS, min_size=4, max_size=16))
    def work_on(self, hows: list[str]) -> None:
        """What daemons do when nothing happens to them."""
        for how in hows:
            self.work(how)
            self.every_move_is_in_a_table_and_has_one_event()

    def work(self, how: str) -> None:
        """Parents start their children and let them in; then one job is claimed, or ended."""
        for claim in self.live():
            if self.executing(claim) and (step := self.at_children(claim)) is not None:
                self.go_on_with_children(claim, step, how)
        ending = self.claim_next("w0") or next((one for one in self.live() if not self.waits_for_children(one)), None)
        if ending is None:
            return
        if how == "runs on":
            self.begin_command(ending)
            return
        if how == "fails":
            self.fail(ending, "step_failed")
        else:
            self.complete(ending)

    def begin_command(self, claim: Claim) -> None:
        """The step that is no child's has a process."""

        def begin(tx: Transaction) -> None:
            self.cycle.guard(tx, claim)
            for step in plans.steps(tx, claim.plan.plan_id):
                if step.kind == "run":
                    plans.update_step(tx, step.plan_id, step.step_id, state=StepState.RUNNING)

        if self.executing(claim):
            self.store.write(begin)
            self.commands.add(claim.plan.plan_id)

    def waits_for_children(self, claim: Claim) -> bool:
        return self.executing(claim) and self.at_children(claim) is not None

    def go_on_with_children(self, claim: Claim, step: Step, how: str) -> None:
        self.admit(claim)
        for row in subplans.of_step(self.store.read, step.plan_id, step.step_id):
            child = self.plan(row.plan_id)
            if child.position == COMPLETE and row.integrated_at is None and how != "runs on":
                self.enter(claim, child, fits=how != "does not fit")
            else:
                self.start(claim, step, row)

    def live(self) -> list[Claim]:
        """What the workers have in hand."""
        found: list[Claim] = []
        for job in jobs.running(self.store.read):
            lock = locks.get(self.store.read, "plan", job.plan_id)
            assert lock is not None
            found.append(Claim(job, self.plan(job.plan_id), lock))
        return found

    def one_of(self, number: int) -> Claim | None:
        """A job in somebody's hands, or one that somebody still believes to have."""
        found = self.live() if number % 4 else self.claims
        return found[number // 4 % len(found)] if found else None

    @rule()
    def claim(self) -> None:
        self.claim_next("w1")

    def claim_next(self, worker: str) -> Claim | None:
        claim = self.store.write(lambda tx: self.cycle.claim(tx, worker))
        if claim is not None and claim.plan.parent_plan_id is not None and claim.job.cancel_requested_at is None:
            row = subplans.get(self.store.read, claim.plan.plan_id)
            lock = locks.get(self.store.read, "plan", claim.plan.parent_plan_id)
            assert row is not None
            assert lock is not None
            assert not lock.stale(self.clock)
            assert lock.fence == row.admitted
            assert lock.owner_id.startswith("job:")
        if claim is not None:
            self.claims.append(claim)
        else:
            waiting = [jobs.open_of_plan(self.store.read, plan_id) for plan_id in self.where]
            assert all(job is None or job.status == "running" or job.cancel_requested_at is None for job in waiting)
        return claim

    def executing(self, claim: Claim) -> bool:
        return claim.plan.phase is Phase.EXECUTE and self.owns(claim)

    @rule(which=NUMBERS, number=st.integers(0, 2))
    def start_child(self, which: int, number: int) -> None:
        """A child of the step that the job is at, in any order."""
        claim = self.one_of(which)
        if claim is None or not self.executing(claim) or (step := self.at_children(claim)) is None:
            return
        found = subplans.of_step(self.store.read, step.plan_id, step.step_id)
        self.start(claim, step, found[number % len(found)])

    def start(self, claim: Claim, step: Step, row: Subplan) -> None:
        """As the scheduler would: what failed for good waits until somebody asks for it."""
        child = self.plan(row.plan_id)
        spec, code = self.spec_of(step), decisions.error_of(child).code if child.recoverable else None
        if row.integrated_at is not None or (
            child.recoverable and not (row.retry or children.runs_again(row.starts, code, spec))
        ):
            return
        tips = self.tips(claim.plan)
        began: bool | None = self.attempt(lambda tx: self.cycle.start_child(tx, claim, child.plan_id, tips))
        if began:
            after = subplans.get(self.store.read, row.plan_id)
            assert after is not None
            assert (after.starts, after.retry, after.admitted) == (row.starts + 1, 0, claim.lock.fence)
            assert child.recoverable or child.position == START

    @staticmethod
    def spec_of(step: Step) -> SubplansSpec:
        spec = msgspec.json.decode(step.spec_json, type=StepSpec).subplans
        assert spec is not None
        return spec

    def at_children(self, claim: Claim) -> Step | None:
        """The step of children that the job is at, begun; what lies before it is done."""
        plan_id = claim.plan.plan_id

        def go_on(tx: Transaction) -> None:
            self.cycle.guard(tx, claim)
            for step in plans.steps(tx, plan_id):
                if step.kind == "subplans":
                    rows = subplans.of_step(tx, plan_id, step.step_id)
                    if any(row.integrated_at is None and row.fate != children.LEFT_OUT for row in rows):
                        plans.update_step(tx, plan_id, step.step_id, state=StepState.RUNNING)
                        return
                plans.update_step(tx, plan_id, step.step_id, state=StepState.SUCCEEDED)

        self.attempt(go_on)
        return self.current_step(self.plan(plan_id))

    @rule(which=NUMBERS)
    def admit_again(self, which: int) -> None:
        claim = self.one_of(which)
        if claim is not None and self.executing(claim):
            self.admit(claim)

    def admit(self, claim: Claim) -> None:
        def admit(tx: Transaction) -> None:
            for row in subplans.of_plan(tx, claim.plan.plan_id):
                if jobs.open_of_plan(tx, row.plan_id) is not None and row.admitted != claim.lock.fence:
                    self.cycle.admit_again(tx, claim, row)

        self.attempt(admit)

    @rule(which=NUMBERS, number=st.integers(0, 2))
    def begin_merge(self, which: int, number: int) -> None:
        """A finished child is looked at; until its change is recorded anything may happen to it."""
        claim = self.one_of(which)
        if claim is None or not self.executing(claim) or (step := self.at_children(claim)) is None:
            return
        found = subplans.of_step(self.store.read, step.plan_id, step.step_id)
        row = found[number % len(found)]
        child = self.plan(row.plan_id)
        if child.position == COMPLETE and row.integrated_at is None:
            self.merges = [(claim, child), *self.merges][:3]

    @precondition(lambda self: self.merges)
    @rule(fits=st.booleans())
    def end_merge(self, *, fits: bool) -> None:
        claim, child = self.merges.pop()
        self.enter(claim, child, fits=fits)

    def enter(self, claim: Claim, child: Plan, *, fits: bool) -> None:
        """What a merge came to is recorded, if the child and the job are still what they were."""
        row = subplans.get(self.store.read, child.plan_id)
        known = subplans.conflicts(self.store.read, claim.plan.plan_id)
        before = self.tips(claim.plan)
        tips = {PROJECT: (object_id(before[PROJECT][0], child.plan_id), object_id("tree", child.plan_id))}

        def integrated(tx: Transaction) -> bool:
            self.cycle.integrated(tx, claim, child, tips, {})
            return True

        def conflicted(tx: Transaction) -> bool:
            found = Conflict(
                claim.plan.plan_id, child.plan_id, 0, PROJECT, b"a", "text",
                0o100644, "a" * 40, 0o100644, "b" * 40, 0o100644, "c" * 40,
            )  # fmt: skip
            self.cycle.conflicted(tx, claim, child, [found])
            return True

        done: bool | None = self.attempt(integrated if fits else conflicted)
        unmoved = self.plan(child.plan_id) == child and row is not None and row.integrated_at is None
        assert (done is not None) == (unmoved and self.owns(claim))
        if done and fits:
            assert self.tips(claim.plan) == tips
            left = subplans.conflicts(self.store.read, claim.plan.plan_id)
            assert left == [one for one in known if one.child_plan_id != child.plan_id]

    @rule(which=NUMBERS)
    def end_well(self, which: int) -> None:
        if (claim := self.one_of(which)) is not None:
            self.complete(claim)

    def complete(self, claim: Claim) -> None:
        """A phase ends well, if it can: Execute only when every child is in the plan."""
        if self.executing(claim) and self.at_children(claim) is not None:
            return

        def work(tx: Transaction) -> Plan:
            self.cycle.guard(tx, claim)  # as every write of a phase
            if claim.plan.phase is Phase.STRATEGIZE:
                self.strategize(tx, claim)
                return self.cycle.complete(tx, claim)
            if claim.plan.phase is Phase.APPLY:
                return self.cycle.complete(tx, claim, applied_json=document(APPLIED))
            for step in plans.steps(tx, claim.plan.plan_id):
                plans.update_step(tx, claim.plan.plan_id, step.step_id, state=StepState.SUCCEEDED)
            return self.cycle.complete(tx, claim, diff_json=document(DIFF))

        mine = self.owns(claim)
        after: Plan | None = self.attempt(work)
        assert (after is not None) == mine
        self.note_end(after)

    def note_end(self, ended: Plan | None) -> None:
        """A phase that ends has ended its command."""
        if ended is not None:
            self.commands.discard(ended.plan_id)

    def strategize(self, tx: Transaction, claim: Claim) -> None:
        """The bases of the projects, the steps, and the tree below, as far as it is not known."""
        plan = claim.plan
        node = node_of(msgspec.json.decode(plan.definition_json, type=actions.Action))
        (project,) = plans.projects(tx, plan.plan_id)
        if plan.parent_plan_id is None:
            commit, tree = object_id(plan.plan_id), object_id("tree", plan.plan_id)
            plans.update_project(tx, project, base=commit, base_tree=tree, tip=commit, tip_tree=tree)
        else:
            assert project.base is not None, "a child starts from its parent"
        steps = [
            Step(plan.plan_id, spec.id, n, "", spec.kind, document(spec), StepState.PENDING, 0, *([None] * 9))
            for n, spec in enumerate(node.steps)
        ]
        plans.replace_steps(tx, plan.plan_id, steps)
        decisions.decide(tx, plan.plan_id, None, "prompt_definition", question="?", choice="x", reason="y")
        if not subplans.of_plan(tx, plan.plan_id):
            children.create(tx, plan, plans.projects(tx, plan.plan_id), node)

    @rule(which=NUMBERS, code=st.sampled_from(["step_failed", "merge_conflict"]))
    def end_badly(self, which: int, code: str) -> None:
        if (claim := self.one_of(which)) is not None:
            self.fail(claim, code)

    def fail(self, claim: Claim, code: str) -> None:
        mine = self.owns(claim)
        after: Plan | None = self.attempt(lambda tx: self.cycle.fail(tx, claim, error(code)))
        assert (after is not None) == mine
        self.note_end(after)
        if after is not None and after.state is State.ERRORED:
            self.check_told(after, code)

    def check_told(self, failed: Plan, code: str) -> None:
        """With fail_fast the last failure of a child stops all that are not over."""
        row = subplans.get(self.store.read, failed.plan_id)
        if row is None:
            return
        step = next(one for one in plans.steps(self.store.read, row.parent_plan_id) if one.step_id == row.step_id)
        spec = self.spec_of(step)
        if spec.fail_fast and not (row.starts <= spec.retries and code != "merge_conflict"):
            for other in subplans.of_step(self.store.read, row.parent_plan_id, row.step_id):
                sibling = self.plan(other.plan_id)
                assert sibling.state not in OPEN or self.asked_to_stop(sibling)

    @rule(which=NUMBERS)
    def stopped(self, which: int) -> None:
        claim = self.one_of(which)
        if claim is not None and self.asked_to_stop(self.plan(claim.plan.plan_id)):
            mine = self.owns(claim)
            after: Plan | None = self.attempt(lambda tx: self.cycle.stopped(tx, claim, "why"))
            assert (after is not None) == mine
            self.note_end(after)

    @rule(which=NUMBERS)
    def rescue(self, which: int) -> None:
        claim = self.one_of(which)
        if claim is not None and self.owns(claim):
            after: Plan | None = self.attempt(lambda tx: self.cycle.rescue(tx, claim.job, STUCK))
            assert after is not None
            assert after.state is State.ERRORED
            self.note_end(after)

    # --- daemons come and go -------------------------------------------------------------------------------------------

    @person(ended=st.booleans())
    def stop_and_start(self, *, ended: bool) -> None:
        """The graceful end: each phase gives its job back, one after the other."""
        for job in jobs.running(self.store.read):
            plan = self.plan(job.plan_id)
            lock = locks.get(self.store.read, "plan", job.plan_id)
            assert lock is not None
            claim = Claim(job, plan, lock)
            self.store.write(lambda tx, claim=claim: self.cycle.requeue(tx, claim, ended=ended))
        if ended:
            self.commands.clear()
        self.restart(dead=False, then=[])

    @person(dead=st.booleans())
    def restart(self, *, dead: bool) -> None:
        """A new daemon takes back what an earlier one left, also after the machine was started anew."""
        self.cycle = self.new_cycle()
        if dead:
            self.boots += 1
            self.clock.boot = f"boot-{self.boots}"
            self.commands.clear()

        def mend(tx: Transaction) -> list[str]:
            done = aside.mend_queue(tx, self.cycle, Path(self.directory.name))
            for lock in locks.all_locks(tx):
                if lock.owner_id.startswith(ROLLBACK_OWNER):
                    locks.release_all_for_owner(tx, lock.owner_id)
            return done

        assert self.store.write(mend) == []
        for job in jobs.running(self.store.read):
            self.store.write(lambda tx, job=job: self.cycle.take_back(tx, job))

    @rule(seconds=st.sampled_from([1.0, 100.0, 10_000.0]))
    def time_passes(self, seconds: float) -> None:
        """Also past the leases of running jobs, which their daemon renews when it goes on."""
        self.clock.advance(seconds)

    @rule()
    def beat(self) -> None:
        """Running jobs keep what nobody took from them."""

        def renew(tx: Transaction) -> None:
            for job in jobs.running(tx):
                locks.keep_all_for_owner(tx, owner_of(job), 300)

        self.store.write(renew)

    # --- what always holds ---------------------------------------------------------------------------------------------

    @invariant()
    def every_move_is_in_a_table_and_has_one_event(self) -> None:
        for event in events.since(self.store.read, self.heard):
            self.heard = event.seq
            if event.plan_id is None or event.kind not in {"plan.created", "plan.moved"}:
                continue
            if event.kind == "plan.created":
                self.where[event.plan_id] = START
                continue
            detail = msgspec.json.decode(event.detail_json)
            here = self.where[event.plan_id]
            assert detail["from"] == str(here)
            ahead = [move for table in (FORWARD, REVERSIONS) for move in table.get(here, ())]
            (self.where[event.plan_id],) = {move for move in ahead if str(move) == detail["to"]}
        for plan_id, position in self.where.items():
            assert self.plan(plan_id).position == position

    @invariant()
    def every_row_is_sound(self) -> None:
        assert list(map(str, soundness.find(self.store.read))) == []

    @invariant()
    def children_are_counted_once_and_without_a_gap(self) -> None:
        for parent in map(self.plan, self.where):
            rows = self.rows(parent.plan_id)
            places: dict[str, list[int]] = {}
            for row in rows:
                places.setdefault(row.step_id, []).append(row.position)
                child = self.plan(row.plan_id)
                assert (child.parent_plan_id, child.depth) == (parent.plan_id, parent.depth + 1)
            assert all(found == list(range(len(found))) for found in places.values())
            counted = Counter((row.step_id, str(self.plan(row.plan_id).state)) for row in rows)
            told = trees.counts(self.store.read, [parent.plan_id])
            assert {(one.step_id, one.state): one.number for one in told} == counted
            assert sum(one.integrated for one in told) == sum(row.integrated_at is not None for row in rows)

    @invariant()
    def a_child_that_does_not_count_is_over(self) -> None:
        for plan in map(self.plan, self.where):
            if plan.parent_plan_id is not None and subplans.get(self.store.read, plan.plan_id) is None:
                assert plan.state is State.CANCELLED or self.asked_to_stop(plan), plan.name

    @invariant()
    def nothing_goes_on_below_a_plan_that_does_not(self) -> None:
        for plan in map(self.plan, self.where):
            job = jobs.open_of_plan(self.store.read, plan.plan_id)
            for above in self.above(plan):
                if above.state is State.CANCELLED:
                    assert plan.state is State.CANCELLED or self.asked_to_stop(plan), plan.name
                if job is not None and (above.phase, above.state in OPEN) != (Phase.EXECUTE, True):
                    assert self.asked_to_stop(plan), f"{plan.name} works for nobody"

    @invariant()
    def what_is_in_its_parent_stays_as_it_is(self) -> None:
        for plan in map(self.plan, self.where):
            for row in self.rows(plan.plan_id):
                child = self.plan(row.plan_id)
                if row.integrated_at is not None:
                    assert child.position == COMPLETE or child.plan_id not in self.unwanted, child.name
                    assert child.phase is Phase.EXECUTE
                    assert child.state in {State.COMPLETE, State.CANCELLED}, child.name
                    assert (row.retry, row.fate) == (0, None)

    @invariant()
    def conflicts_are_of_a_child_that_waits_to_enter(self) -> None:
        for plan in map(self.plan, self.where):
            found = subplans.conflicts(self.store.read, plan.plan_id)
            assert [one.position for one in found] == list(range(len(found)))
            for one in found:
                row = subplans.get(self.store.read, one.child_plan_id)
                assert row is not None
                assert row.integrated_at is None
                assert self.plan(one.child_plan_id).position == COMPLETE

    @invariant()
    def locks_are_of_jobs_that_run(self) -> None:
        running = {owner_of(job) for job in jobs.running(self.store.read)}
        for lock in locks.all_locks(self.store.read):
            assert lock.owner_id in running

    @invariant()
    def processing_is_a_running_job_that_holds_the_plan(self) -> None:
        running = {job.plan_id: job for job in jobs.running(self.store.read)}
        for plan_id, position in self.where.items():
            job = running.get(plan_id)
            assert (position.state is State.PROCESSING) == (job is not None)
            if job is not None:
                lock = locks.get(self.store.read, "plan", plan_id)
                assert job.phase == position.phase
                assert lock is not None
                assert lock.owner_id == owner_of(job)

    @invariant()
    def a_command_is_ended_before_its_plan_is_cancelled(self) -> None:
        for plan_id in self.commands:
            assert self.plan(plan_id).state in OPEN

    @invariant()
    def a_child_is_never_applied(self) -> None:
        assert all(self.plan(one).depth == 0 for one, here in self.where.items() if here.phase is Phase.APPLY)


FamilyModel.TestCase.settings = settings(max_examples=20, stateful_step_count=50, deadline=None, derandomize=True)
TestFamilies = FamilyModel.TestCase


# --- what chance seldom comes to -----------------------------------------------------------------------------------------


@pytest.fixture
def model() -> Iterator[FamilyModel]:
    made = FamilyModel()
    yield made
    made.teardown()


def begun(model: FamilyModel) -> tuple[Claim, list[Subplan]]:
    """A parent at its first step of children, of which the third needs the first; nobody has begun yet."""
    model.begin(retries=0, fail_fast=False)
    (claim,) = model.live()
    assert model.at_children(claim) is not None
    return claim, subplans.of_step(model.store.read, claim.plan.plan_id, "one")


def test_what_was_asked_for_once_does_not_hold_for_later(model: FamilyModel) -> None:
    """A child that was to run and could not does not keep its parent from running all that failed."""
    claim, (first, _, third) = begun(model)
    step = model.current_step(claim.plan)
    assert step is not None
    model.start(claim, step, first)
    failed = model.claim_next("w1")
    assert failed is not None
    model.fail(failed, "step_failed")
    model.fail(claim, "step_failed")
    model.store.write(lambda tx: model.cycle.execute(tx, third.plan_id))
    again = model.claim_next("w1")
    assert again is not None
    model.fail(again, "step_failed")

    model.store.write(lambda tx: model.cycle.execute(tx, claim.plan.plan_id))

    row = subplans.get(model.store.read, first.plan_id)
    assert row is not None
    assert row.retry == 1


def test_a_parent_that_was_to_be_cancelled_and_goes_on_has_all_its_children(model: FamilyModel) -> None:
    """Its phase could not be ended: what was cancelled with it is made anew, and not left out."""
    claim, rows = begun(model)
    model.store.write(lambda tx: model.cycle.cancel(tx, claim.plan.plan_id, "why"))
    model.store.write(lambda tx: model.cycle.rescue(tx, claim.job, STUCK))
    assert model.plan(claim.plan.plan_id).position == ERRORED

    model.store.write(lambda tx: model.cycle.execute(tx, claim.plan.plan_id))

    now = subplans.of_step(model.store.read, claim.plan.plan_id, "one")
    assert [row.item for row in now] == [row.item for row in rows]
    assert [row.fate for row in now] == [None] * 3
    assert {model.plan(row.plan_id).position for row in now} == {START}


def test_a_child_that_somebody_cancelled_is_not_made_anew(model: FamilyModel) -> None:
    """Also when its parent ended before the child could."""
    claim, (first, *_) = begun(model)
    step = model.current_step(claim.plan)
    assert step is not None
    model.start(claim, step, first)
    running = model.claim_next("w1")
    assert running is not None
    model.store.write(lambda tx: model.cycle.cancel(tx, first.plan_id, "why"))
    model.fail(claim, "step_failed")
    model.store.write(lambda tx: model.cycle.stopped(tx, running, "why"))

    model.store.write(lambda tx: model.cycle.execute(tx, claim.plan.plan_id))

    row = subplans.get(model.store.read, first.plan_id)
    assert row is not None
    assert row.fate == children.LEFT_OUT


def complete_first(model: FamilyModel, claim: Claim, first: Subplan) -> Plan:
    """The first child has done its work and waits to enter its parent."""
    step = model.current_step(claim.plan)
    assert step is not None
    model.start(claim, step, first)
    for _ in range(2):
        phase = model.claim_next("w1")
        assert phase is not None
        model.complete(phase)
    done = model.plan(first.plan_id)
    assert done.position == COMPLETE
    return done


@pytest.mark.parametrize("fits", [True, False])
def test_a_child_that_moved_while_it_was_merged_does_not_enter(model: FamilyModel, *, fits: bool) -> None:
    """Neither its change nor its conflicts are recorded: both are of a child that is taken back by now."""
    claim, (first, *_) = begun(model)
    merged = complete_first(model, claim, first)
    before = model.tips(claim.plan)
    model.store.write(lambda tx: model.cycle.revert(tx, first.plan_id, "why"))

    model.enter(claim, merged, fits=fits)

    row = subplans.get(model.store.read, first.plan_id)
    assert row is not None
    assert row.integrated_at is None
    assert model.tips(claim.plan) == before
    assert subplans.conflicts(model.store.read, claim.plan.plan_id) == []


def test_a_parent_that_starts_again_has_new_children_only(model: FamilyModel) -> None:
    """Those of its first strategy do not count any more, and Strategize makes others."""
    claim, rows = begun(model)
    model.fail(claim, "step_failed")
    model.store.write(lambda tx: model.cycle.revert(tx, claim.plan.plan_id, "why"))
    assert model.rows(claim.plan.plan_id) == []
    again = model.claim_next("w1")
    assert again is not None

    model.complete(again)

    now = subplans.of_step(model.store.read, claim.plan.plan_id, "one")
    assert [row.item for row in now] == [row.item for row in rows]
    assert {row.plan_id for row in now}.isdisjoint(row.plan_id for row in rows)
    assert {model.plan(row.plan_id).position for row in now} == {START}


def test_a_child_that_is_cancelled_takes_its_conflicts_along(model: FamilyModel) -> None:
    """There is nothing left to settle, and the parent goes on without it."""
    claim, (first, *_) = begun(model)
    model.enter(claim, complete_first(model, claim, first), fits=False)
    model.fail(claim, "merge_conflict")
    assert [one.child_plan_id for one in subplans.conflicts(model.store.read, claim.plan.plan_id)] == [first.plan_id]

    model.store.write(lambda tx: model.cycle.cancel(tx, first.plan_id, "why"))

    assert subplans.conflicts(model.store.read, claim.plan.plan_id) == []
    model.store.write(lambda tx: model.cycle.execute(tx, claim.plan.plan_id))
    row = subplans.get(model.store.read, first.plan_id)
    assert row is not None
    assert row.fate == children.LEFT_OUT
