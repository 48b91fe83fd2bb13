"""A `subplans` step: its children are started, waited for, and integrated one by one.

What may happen next is read from the store each time and decided by `daemon.scheduling`. So a daemon that finds the step
running goes on where another one was: nothing is kept here but how long a child that failed has rested.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon import children, pool, repositories, sandboxes, scheduling, views
from daemon.children import ACTIVE
from daemon.holding import owner_of
from daemon.phases import attempts, integration
from daemon.phases.context import Context, sandbox_path, shown
from daemon.scheduling import Sibling, Stage
from daemon.tokens import Stop, Stopped
from store import crashpoints, damage, errors, locks, plans, subplans
from store.clock import SECOND
from store.database import Transaction
from store.records import Event, PlanProject, Step
from store.states import Phase, State, StepState
from store.subplans import Standing

LOOK_AGAIN = 1.0
"""Seconds between two looks at a lock of somebody else: not each one is given back with an event."""
MANY = 100
"""Children whose refs are worth a file together."""
NAMED = 3
"""Children that a message names at most."""


async def run(context: Context, step: Step) -> None:
    """Bring the change of every child of the step into the plan.

    Raises:
        MergeConflictError: a child does not fit into the plan; nothing after it was integrated.
        StepFailedError: some children did not succeed.
        TimedOutError: they did not end in the time that the step has.
        Stopped: the phase is to stop; its children have.
    """
    work = _Family(context, step)
    await work.begin()
    try:
        async with context.lend():
            await work.until_over()
    except Stopped as stopped:
        if stopped.reason not in {Stop.SHUTDOWN, Stop.KILL}:  # else they stop as their parent does
            await work.until_quiet()
        raise
    except TimeoutError:
        await context.write(
            lambda tx: context.services.lifecycle.drop_active(tx, context.claim, "its step took too long")
        )
        await work.until_quiet()
        await work.enter_sandboxes()
        raise work.timed_out() from None
    await work.enter_sandboxes()
    await work.tidy()
    await work.end()


class _Family:
    """The children of one step, as the job of their parent sees them."""

    def __init__(self, context: Context, step: Step) -> None:
        self._context = context
        self._step = step
        spec = attempts.spec(step)
        assert spec.subplans is not None, "only such a step comes here"
        self._timeout = spec.timeout
        self._spec = spec.subplans
        self._rules = scheduling.Rules.of(spec.subplans)
        rows = subplans.of_step(context.db.read, step.plan_id, step.step_id)
        self._needs = [frozenset(children.needs_of(row)) for row in rows]
        self._paths = [tuple(children.paths_of(row)) for row in rows]
        self._rested: dict[str, float] = {}
        self._locked_out: dict[int, float] = {}
        self._ids: frozenset[str] = frozenset()
        self._changed = asyncio.Event()

    # --- the step ------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The step runs; what its children start from is noted the first time."""
        if self._step.state is StepState.RUNNING:
            return
        tips = {} if self._step.tips_json else await self._checkpoint()

        def note(tx: Transaction) -> None:
            step = self._step
            deadline = None if self._timeout is None else tx.steady + int(self._timeout * SECOND)
            for project in plans.projects(tx, step.plan_id) if tips else ():
                commit, tree = tips[project.project]
                plans.update_project(tx, project, tip=commit, tip_tree=tree)
            plans.update_step(
                tx, step.plan_id, step.step_id,
                state=StepState.RUNNING, attempt=step.attempt + 1, exit_code=None, started_at=tx.now, finished_at=None,
                deadline_at=deadline, tips_json=msgspec.json.encode(tips).decode() if tips else step.tips_json,
            )  # fmt: skip
            tx.event("step.started", plan_id=step.plan_id, step=step.step_id, attempt=step.attempt + 1, log=None)

        await self._context.write(note)
        self._step = next(step for step in self._context.steps if step.step_id == self._step.step_id)

    async def _checkpoint(self) -> dict[str, tuple[str, str]]:
        """What the sandboxes hold now, also what people did in them since the last step."""
        tips: dict[str, tuple[str, str]] = {}
        for project in self._context.projects:
            assert project.tip is not None and project.tip_tree is not None, "Strategize stored them"  # noqa: PT018  one fact
            tips[project.project] = (project.tip, project.tip_tree)
            if project.strategy == "clone":
                path = sandbox_path(self._context.services.paths, project)
                name = self._context.name_of(f"before/{self._step.step_id}")
                repository = self._context.repository_of(project)
                made = await self._context.blocking(
                    sandboxes.checkpoint, repository, project.plan_id, path, name, project.tip
                )
                tips[project.project] = (made.commit, made.tree)
        return tips

    async def enter_sandboxes(self) -> None:
        """What was integrated is in the sandboxes of the plan too, and not only in its tip."""
        for project in self._context.projects:
            if project.strategy == "clone" and project.tip is not None:
                path = sandbox_path(self._context.services.paths, project)
                await self._context.blocking(self._enter, project, path, project.tip)
        crashpoints.reach("subplans.restored")

    def _enter(self, project: PlanProject, path: Path, tip: str) -> None:
        """Make a sandbox the tip; what somebody edited in it while the children worked is kept under a ref."""
        repository, plan_id = self._context.repository_of(project), project.plan_id
        if path.is_dir() and sandboxes.edits(repository, plan_id, path):
            name = self._context.name_of(f"edited/{self._step.step_id}-{self._step.attempt}")
            sandboxes.checkpoint(repository, plan_id, path, name, tip)
        sandboxes.restore(repository, plan_id, path, tip)

    async def end(self) -> None:
        """The step succeeded when every child is in the plan.

        Raises:
            MergeConflictError, StepFailedError: it did not.
        """
        standing = self._standing()
        stages = [self._stage(one) for one in standing]
        if not all(stage in {Stage.INTEGRATED, Stage.LEFT_OUT} for stage in stages):
            raise self._failure(standing, stages)
        for project in self._context.projects:
            if project.strategy == "clone" and project.tip is not None:
                ref = repositories.plan_ref(project.plan_id, self._context.name_of(f"checkpoint/{self._step.step_id}"))
                repository = self._context.repository_of(project)
                await self._context.blocking(repositories.move_refs, repository, [(ref, project.tip)])
        await self._context.write(self._note_success)

    async def tidy(self) -> None:
        """What many children leave in the private repositories takes less room, and less time to read, together."""
        for project in self._context.projects:
            repository = self._context.repository_of(project)
            await self._context.blocking(pool.trim, repository)
            if len(self._paths) >= MANY:
                await self._context.blocking(repositories.pack_refs, repository)

    def _note_success(self, tx: Transaction) -> None:
        step = self._step
        plans.update_step(tx, step.plan_id, step.step_id, state=StepState.SUCCEEDED, exit_code=0, finished_at=tx.now)
        tx.event("step.finished", plan_id=step.plan_id, step=step.step_id, state=StepState.SUCCEEDED, exit_code=0)

    # --- the children --------------------------------------------------------------------------------------------------

    async def until_over(self) -> None:
        """Start and integrate until nothing happens any more by itself.

        Raises:
            TimeoutError: the step's deadline passed.
        """
        with self._context.services.feed.listen(self._note):
            while True:
                self._changed.clear()
                standing = self._standing()
                await self._admit(standing)
                siblings = [
                    Sibling(one.plan_id, self._stage(one), needs, paths)
                    for one, needs, paths in zip(standing, self._needs, self._paths, strict=True)
                ]
                await self._release_files(siblings)
                held_up = self._held_up(standing)
                todo = scheduling.look(self._rules, siblings, stopped=self._is_stopped(), held_up=frozenset(held_up))
                if todo.over:
                    return
                if todo.start:
                    await self._start([standing[position] for position in todo.start])
                if todo.integrate is not None:
                    await integration.integrate(self._context, self._step, self._spec, standing[todo.integrate].plan_id)
                if not todo.start and todo.integrate is None:
                    await self._wait(min(held_up.values(), default=None))

    async def _start(self, chosen: Sequence[Standing]) -> None:
        """Let these children begin; those for which somebody else holds a lock wait."""
        tips = {one.position: self._tips_for(one) for one in chosen}
        lifecycle, claim = self._context.services.lifecycle, self._context.claim

        def start(tx: Transaction, one: Standing) -> None:
            lifecycle.start_child(tx, claim, one.plan_id, tips[one.position])

        await self._unless_locked(chosen, start)

    async def _admit(self, standing: Sequence[Standing]) -> None:
        """Children that an earlier run of this job started go on under the lock that it has now."""
        lifecycle, claim = self._context.services.lifecycle, self._context.claim
        stale = [one for one in standing if self._stage(one) is Stage.ACTIVE and one.admitted != claim.lock.fence]

        def admit(tx: Transaction, one: Standing) -> None:
            row = subplans.get(tx, one.plan_id)
            if row is not None:
                lifecycle.admit_again(tx, claim, row)

        if stale:
            await self._unless_locked(stale, admit)

    async def _unless_locked(self, chosen: Sequence[Standing], work: Callable[[Transaction, Standing], None]) -> None:
        """Do it for all of them in one transaction; those whose files somebody else has locked wait for a while."""

        def all_of_them(tx: Transaction) -> list[Standing]:
            refused: list[Standing] = []
            for one in chosen:
                try:
                    work(tx, one)
                except errors.LockConflictError:
                    refused.append(one)
            return refused

        refused = await self._context.write(all_of_them)
        until = asyncio.get_running_loop().time() + LOOK_AGAIN
        self._locked_out |= {one.position: until for one in refused}

    def _held_up(self, standing: Sequence[Standing]) -> dict[int, float]:
        """The children that wait for a lock, or rest before they run again by themselves; seconds to go."""
        now = asyncio.get_running_loop().time()
        found = {position: until - now for position, until in self._locked_out.items() if until > now}
        for one in standing:
            if one.state == State.ERRORED and not one.retry and self._stage(one) is Stage.WAITING:
                until = self._rested.setdefault(f"{one.plan_id} {one.starts}", now + attempts.pause(one.starts))
                if until > now:
                    found[one.position] = until - now
        return found

    def _tips_for(self, one: Standing) -> dict[str, tuple[str, str]]:
        """What a child starts from; it does not depend on which of the others have been the fastest."""
        now = {project.project: (project.tip or "", project.tip_tree or "") for project in self._context.projects}
        child = plans.get(self._context.db.read, one.plan_id)
        if self._rules.chained or (child is not None and child.reversions):
            return now
        needs = self._needs[one.position]
        rows = subplans.of_step(self._context.db.read, self._step.plan_id, self._step.step_id) if needs else []
        before = [row for row in rows if row.position in needs and row.tips_json is not None]
        if before:
            return children.tips_of(before[-1])
        return damage.document(self._step, "tips_json", dict[str, tuple[str, str]])

    async def _release_files(self, siblings: Sequence[Sibling]) -> None:
        """The files of children that are not active any more are free."""
        if not any(self._paths):
            return
        owner = owner_of(self._context.claim.job)
        active = {path for one in siblings if one.stage is Stage.ACTIVE for path in one.paths}
        held = locks.files_of(self._context.db.read, owner)
        left = [lock for lock in held if lock.resource_id.partition(":")[2] not in active]
        if left:
            await self._context.write(lambda tx: [locks.release(tx, lock) for lock in left])

    async def _wait(self, seconds: float | None) -> None:
        """Until a child came to rest, or `seconds` passed.

        Raises:
            TimeoutError: the step's deadline passed.
        """
        left = self._seconds_left()
        soonest = min((limit for limit in (seconds, left) if limit is not None), default=None)
        waiter = asyncio.ensure_future(self._changed.wait())
        try:
            await self._context.token.watch(waiter, seconds=soonest)
        except TimeoutError:
            if self._seconds_left() == 0:
                raise
        finally:
            waiter.cancel()

    def _seconds_left(self) -> float | None:
        if self._step.deadline_at is None:
            return None
        return max(0.0, (self._step.deadline_at - self._context.db.clock.steady()) / SECOND)

    async def until_quiet(self) -> None:
        """Wait for the children that were told to stop; one that does not is dealt with as any phase is."""
        config = self._context.services.config
        patience = float(config.value("async.cancel-grace")) + float(config.value("async.job_ttl")) / 2

        def quiet() -> bool | None:
            return None if any(self._stage(one) is Stage.ACTIVE for one in self._standing()) else True

        await self._context.services.feed.until(quiet, timeout=patience)

    def _note(self, found: list[Event]) -> None:
        for event in found:
            if event.plan_id in self._ids and event.kind == "plan.moved":
                target = str(msgspec.json.decode(event.detail_json)["to"])
                if target.endswith(_ENDS):
                    self._changed.set()
            elif event.kind == "subplan.retried":
                self._changed.set()
            elif event.kind in _FREED and self._locked_out:
                self._locked_out.clear()
                self._changed.set()

    def _standing(self) -> list[Standing]:
        found = subplans.standing(self._context.db.read, self._step.plan_id, self._step.step_id)
        self._ids = frozenset(one.plan_id for one in found)
        return found

    def _stage(self, one: Standing) -> Stage:
        if one.integrated:
            return Stage.INTEGRATED
        if one.state == State.CANCELLED:
            return Stage.LEFT_OUT if one.fate == children.LEFT_OUT else Stage.CANCELLED
        if one.state == State.ERRORED:
            again = one.retry or children.runs_again(one.starts, one.error_code, self._spec)
            return Stage.WAITING if again else Stage.FAILED
        if one.state in ACTIVE and one.has_job:
            return Stage.ACTIVE
        if one.phase == Phase.EXECUTE and one.state == State.COMPLETE:
            return Stage.FINISHED
        return Stage.WAITING

    def _is_stopped(self) -> bool:
        """Whether a conflict is open."""
        return any(one.taken is None for one in subplans.conflicts(self._context.db.read, self._step.plan_id))

    # --- how it failed -------------------------------------------------------------------------------------------------

    def timed_out(self) -> errors.TimedOutError:
        """The error of a step whose deadline passed."""
        return errors.TimedOutError(
            f"step {self._step.step_id} did not end within {self._timeout:g} s; its children were stopped",
            detail={"step": self._step.step_id, "attempt": self._step.attempt},
            suggestions=[f"ca plan errors {self._context.plan.name}", f"ca plan execute {self._context.plan.name}"],
        )

    def _failure(self, standing: Sequence[Standing], stages: Sequence[Stage]) -> errors.CleverAgentsError:
        gone = [
            self._told(one)
            for one, stage in zip(standing, stages, strict=True)
            if stage in {Stage.FAILED, Stage.CANCELLED}
        ]
        waiting = [one.item for one, stage in zip(standing, stages, strict=True) if stage is Stage.WAITING]
        detail: dict[str, Any] = {
            "step": self._step.step_id,
            "attempt": self._step.attempt,
            "children": gone,
            "not_started": waiting,
        }
        said = [f"{one['item']} ({one['name']}): {one['message']}" for one in gone[:NAMED]]
        if len(gone) > NAMED:
            said.append(f"and {len(gone) - NAMED} more")
        if waiting:
            said.append(f"{len(waiting)} did not start")
        known = subplans.conflicts(self._context.db.read, self._step.plan_id)
        found = [one for one in known if one.taken is None]
        if found:
            return self._conflict(found, said, detail)
        name = self._context.plan.name
        return errors.StepFailedError(
            f"step {self._step.step_id}: {len(gone)} of {len(standing)} children did not succeed: {'; '.join(said)}",
            detail=detail,
            suggestions=[f"ca plan errors {name}", f"ca plan execute {name}"],
        )

    def _conflict(self, found: Sequence[Any], said: Sequence[str], detail: dict[str, Any]) -> errors.CleverAgentsError:
        child = plans.get(self._context.db.read, found[0].child_plan_id)
        row = subplans.get(self._context.db.read, found[0].child_plan_id)
        name, item = (child.name if child else found[0].child_plan_id), (row.item if row else "")
        detail["files"] = [
            {"path": shown(one.path), "kind": one.kind, "project": one.project, "child": name, "item": item}
            for one in found
        ]
        listed = ", ".join(f"{file['path']} ({file['kind']})" for file in detail["files"][:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        beside = f"; {'; '.join(said)}" if said else ""
        plan = self._context.plan.name
        return errors.MergeConflictError(
            f"{item} ({name}) does not fit into {plan}: {listed}{more}{beside}",
            detail=detail,
            suggestions=[
                f"ca plan conflicts {plan}",
                f"ca plan resolve {plan} FILE --take parent|child|base|edited",
                f"ca plan execute {plan}",
            ],
        )

    def _told(self, one: Standing) -> dict[str, str]:
        plan = plans.get(self._context.db.read, one.plan_id)
        error = damage.document(plan, "error_json", views.ErrorView) if plan is not None and plan.error_json else None
        code, message = (error.code, error.message) if error else (one.state, one.state)
        return {"plan_id": one.plan_id, "name": one.name, "item": one.item, "code": code, "message": message}


_ENDS = ("execute/complete", "/errored", "/cancelled", "strategize/queued")
_FREED = frozenset({"lock.released", "lock.expired"})
