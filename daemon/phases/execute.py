"""Execute: the steps run in the sandbox, one checkpoint after each; a resume starts at the last good one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon import actions, changes, processes, sandboxes, snapshots, views
from daemon.decisions import note_failure
from daemon.phases import attempts, commands, subplans
from daemon.phases.context import Context, sandbox_path, shown
from daemon.preflight import Uncarried
from store import damage, errors, plans
from store.clock import SECOND
from store.database import Transaction
from store.records import PlanProject, Step
from store.states import StepState

UNFINISHED = frozenset({StepState.FAILED, StepState.TIMED_OUT, StepState.LOST, StepState.CANCELLED})
"""What a step that ended in one of these left behind is not part of its plan."""
SHORT = 0.1
"""Seconds; how long a step took that failed sooner is not worth telling."""


async def run(context: Context) -> None:
    """Run every step that has not succeeded, then store the change with the phase's completion."""
    await _adopt(context)
    for project in context.projects:
        await _ready(context, project)
    while batch := _next_batch(context.steps):
        if batch[0].kind == "subplans":
            await subplans.run(context, batch[0])
        else:
            await _run_batch(context, batch)
    await _finish(context)


def _next_batch(steps: list[Step]) -> list[Step]:
    """The step that is next, with the isolated ones that may run beside it."""
    done = {step.step_id for step in steps if step.state is StepState.SUCCEEDED}
    waiting = [step for step in steps if step.step_id not in done]
    ready = [step for step in waiting if done.issuperset(attempts.spec(step).needs)]
    if not ready or not attempts.spec(ready[0]).isolated:
        return ready[:1]
    return [step for step in ready if attempts.spec(step).isolated]


async def _ready(context: Context, project: PlanProject) -> None:
    """The project's sandbox is there, at the checkpoint of the last good step."""
    if project.strategy == "none":
        return
    assert project.base is not None and project.tip is not None, "Strategize stored them"  # noqa: PT018  one fact
    path = sandbox_path(context.services.paths, project)
    repository = context.repository_of(project)
    if project.sandbox_status == "ready" and path.is_dir():
        if broken := [step for step in context.steps if step.state in UNFINISHED]:
            await _restore(context, project, path, broken[0])
        return
    await commands.end_earlier(context, _setup_log(context, project).parent, "setup")
    await context.blocking(sandboxes.put_away, repository, project.plan_id, path)  # a setup that was cut short
    include = context.action.sandbox.include
    missing = await context.blocking(sandboxes.create, repository, project.plan_id, path, project.tip, include=include)
    await _set_up(context, project, path)

    def note(tx: Transaction) -> None:
        plans.update_project(tx, project, sandbox_path=str(path), sandbox_status="ready")
        tx.event("sandbox.ready", plan_id=project.plan_id, project=project.project, missing=missing)

    await context.write(note)


async def _restore(context: Context, project: PlanProject, path: Path, step: Step) -> None:
    """Back to the last good step; what people did in the sandbox since `step` failed is kept, and where is told."""
    repository, plan_id = context.repository_of(project), project.plan_id
    name = context.name_of(f"edited/{step.step_id}-{step.attempt}")
    ref = await context.blocking(sandboxes.keep, repository, plan_id, path, name)
    aside = await context.blocking(sandboxes.restore, repository, plan_id, path, project.tip)
    told = [f"what was edited in it since step {step.step_id} failed is kept as {ref}"] if ref else []
    told += [f"what no ref can keep of it is in {aside}"] if aside else []

    def note(tx: Transaction) -> None:
        for reason in told:
            tx.event("sandbox.kept", plan_id=plan_id, project=project.project, reason=reason)

    if told:
        await context.write(note)


async def _set_up(context: Context, project: PlanProject, path: Path) -> None:
    """Run the action's `setup` in a new sandbox; what it makes belongs to the sandbox, not to a step."""
    setup = context.action.sandbox.setup
    if setup is None:
        return
    log = _setup_log(context, project)
    command = processes.Command(
        argv=actions.shell_argv(actions.render(setup, context.arguments), context.action.shell),
        cwd=path,
        environment={**context.variables(project, path), "CA_STEP_ID": "setup"},
        umask=context.plan.umask,
        log=log,
        exit_file=log.with_suffix(".exit"),
    )
    result = await commands.run_anew(context, command, seconds=None)
    if result.code != 0:
        raise errors.StepFailedError(
            f"the sandbox's setup failed: exit {result.code}",
            detail={"exit_code": result.code, "log": str(log), "tail": commands.tail(log)},
            suggestions=[f"read {log}"],
        )
    await context.blocking(sandboxes.set_up, context.repository_of(project), project.plan_id, path)


def _setup_log(context: Context, project: PlanProject) -> Path:
    return (
        context.services.paths.jobs / context.claim.job.job_id / f"setup@{project.position}.log"
    )  # no step has such an id


async def _adopt(context: Context) -> None:
    """Wait for the steps that an earlier daemon started, as if it had been this one.

    Also for those that were given up, if their processes turn out to run still: nothing runs twice at the same time.
    """
    steps = [step for step in context.steps if step.kind != "subplans"]  # their children are plans of their own
    running = [step for step in steps if step.state is StepState.RUNNING or _is_given_up(step)]
    ends = list(zip(running, await asyncio.gather(*(_take_over(context, step) for step in running)), strict=True))
    if never_ran := [step for step, result in ends if result is not None and result.code == processes.NEVER_RAN]:
        await context.write(lambda tx: _forget_start(tx, never_ran))
    if gone := [step for step, result in ends if result is None]:
        await context.write(lambda tx: _forget_process(tx, gone))
    if begun := [(step, result) for step, result in ends if result is not None and result.code != processes.NEVER_RAN]:
        await _settle(context, begun)


def _is_given_up(step: Step) -> bool:
    """It is lost, but nobody saw its process end."""
    return step.state is StepState.LOST and step.pid is not None


def _forget_start(tx: Transaction, steps: list[Step]) -> None:
    """The daemon died between noting these attempts and letting them run: they did not happen."""
    for step in steps:
        plans.update_step(
            tx, step.plan_id, step.step_id, state=StepState.PENDING, attempt=step.attempt - 1, started_at=None, pid=None
        )


def _forget_process(tx: Transaction, steps: list[Step]) -> None:
    """Steps that were given up, and whose processes are gone by now: they run again."""
    for step in steps:
        plans.update_step(tx, step.plan_id, step.step_id, pid=None)


async def _take_over(context: Context, step: Step) -> commands.Result | None:
    """How a step that was begun ended, once it has; None when it was given up and is gone."""
    if step.pid is None or step.process_start is None or step.boot_id is None or step.exit_file is None:
        return commands.Result(None)
    identity = processes.ProcessIdentity(step.pid, step.process_start, step.boot_id)
    exit_file = Path(step.exit_file)
    cookie = {"CA_JOB_ID": exit_file.parent.name, "CA_STEP_ID": step.step_id}  # a given up one is of an earlier job
    found = await processes.adopt(identity, exit_file, cookie)
    if isinstance(found, processes.Process):
        return await commands.watch(context, found, seconds=_seconds_left(context, step))
    if isinstance(found, processes.Exit):
        return None if _is_given_up(step) else commands.Result(found.code)
    raise errors.LostError(
        f"whether step {step.step_id} still runs is unknown: process {step.pid} is there, and the system does not say "
        f"whether it is the step's; nothing was signalled",
        detail={"step": step.step_id, "pid": step.pid, "process": "unknown"},
        suggestions=[
            f"if process {step.pid} is the step's, end it, then: ca plan execute {context.plan.name}",
            f"if it is another one: ca plan revert {context.plan.name}",
        ],
    )


def _seconds_left(context: Context, step: Step) -> float | None:
    if step.deadline_at is None:
        return None
    return max(0.0, (step.deadline_at - context.db.clock.steady()) / SECOND)


async def _run_batch(context: Context, batch: list[Step]) -> None:
    # Whatever cannot be run is known before anything of the batch runs.
    prepared = [attempts.prepare(context, step) for step in batch]
    results = await asyncio.gather(*(_carry_out(context, attempt) for attempt in prepared), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    await _settle(context, [(step, result) for step, result in zip(batch, results, strict=True)])  # type: ignore[misc]


async def _carry_out(context: Context, attempt: attempts.Attempt) -> commands.Result:
    """The process is durable before it runs, its log and exit code are files."""

    async def started(identity: processes.ProcessIdentity) -> None:
        await context.write(lambda tx: _note_start(tx, attempt, identity))

    return await commands.run(context, attempt.command, seconds=attempt.seconds, started=started)


def _note_start(tx: Transaction, attempt: attempts.Attempt, identity: processes.ProcessIdentity) -> None:
    step, command = attempt.step, attempt.command
    plans.update_step(
        tx, step.plan_id, step.step_id,
        state=StepState.RUNNING, attempt=step.attempt + 1, exit_code=None, started_at=tx.now, finished_at=None,
        deadline_at=None if attempt.seconds is None else tx.steady + int(attempt.seconds * SECOND),
        log=str(command.log), exit_file=str(command.exit_file),
        pid=identity.pid, process_start=identity.start_time, boot_id=identity.boot_id,
    )  # fmt: skip
    tx.event("step.started", plan_id=step.plan_id, step=step.step_id, attempt=step.attempt + 1, log=str(command.log))


async def _settle(context: Context, results: list[tuple[Step, commands.Result]]) -> None:
    """What a batch did becomes durable: all of it with a checkpoint, or none of it and the first failure."""
    failed = [(step, result) for step, result in results if result.code != 0 or result.timed_out]
    forbidden = [] if failed else await _forbidden(context)
    if not failed and not forbidden:
        await _checkpoint(context, results)
        return
    failed = failed or results  # edits of a batch cannot be told apart
    fresh = {step.step_id: step for step in context.steps}
    await _keep_partial(context, fresh[failed[0][0].step_id])
    retry = all(
        fresh[step.step_id].attempt <= attempts.spec(step).retries and result.code is not None
        for step, result in failed
    )
    problems = [_failure(context, fresh[step.step_id], result, forbidden) for step, result in failed]
    told = problems if retry else problems[1:]

    def note(tx: Transaction) -> None:
        _note_ends(tx, results, failed)
        for error in told:  # the phase's own error is kept when it ends
            note_failure(
                tx, context.plan, views.ErrorView(error.code, error.message, error.detail["step"], error.detail)
            )

    await context.write(note)
    if not retry:  # the sandbox stays as the step left it, for people to look at; the next attempt restores it
        raise problems[0]
    for project in context.projects:
        await _ready(context, project)
    attempt = max(fresh[step.step_id].attempt for step, _ in failed)
    await context.token.watch(asyncio.sleep(attempts.pause(attempt)))


async def _forbidden(context: Context) -> list[str]:
    """The files that the steps of a read-only action changed all the same."""
    found: list[str] = []
    for project in context.projects if context.action.read_only else ():
        path = sandbox_path(context.services.paths, project)
        if project.strategy == "clone" and path.is_dir():
            repository = context.repository_of(project)
            edits = await asyncio.to_thread(sandboxes.edits, repository, project.plan_id, path)
            found += [shown(name) for name in edits]
    return found


async def _checkpoint(context: Context, results: list[tuple[Step, commands.Result]]) -> None:
    name = context.name_of(f"checkpoint/{results[-1][0].step_id}")
    tips: list[tuple[PlanProject, sandboxes.Checkpoint]] = []
    for project in context.projects:
        if project.strategy == "clone":
            assert project.tip is not None, "Strategize stored it"
            path = sandbox_path(context.services.paths, project)
            repository = context.repository_of(project)
            try:
                made = await asyncio.to_thread(
                    sandboxes.checkpoint, repository, project.plan_id, path, name, project.tip
                )
            except errors.StepFailedError as error:
                error.detail["step"] = results[-1][0].step_id
                raise
            tips.append((project, made))

    def note(tx: Transaction) -> None:
        for project, made in tips:
            plans.update_project(tx, project, tip=made.commit, tip_tree=made.tree)
            _note_uncarried(tx, project, made.uncarried, beside=_left_out(project, made_here=False))
        for step, _ in results:
            plans.update_step(
                tx, step.plan_id, step.step_id, state=StepState.SUCCEEDED, exit_code=0, finished_at=tx.now, pid=None
            )
            tx.event("step.finished", plan_id=step.plan_id, step=step.step_id, state=StepState.SUCCEEDED, exit_code=0)

    await context.write(note)
    context.token.check()


def _left_out(project: PlanProject, *, made_here: bool) -> list[str]:
    """What is named as left out: of the project, and if asked for of the sandbox too."""
    named = damage.document(project, "uncarried_json", list[str])
    return [entry for entry in named if made_here or not entry.endswith(sandboxes.MADE)]


def _note_uncarried(tx: Transaction, project: PlanProject, made: Sequence[Uncarried], *, beside: Sequence[str]) -> None:
    """Name what is in the sandbox and not in the change, beside what is named already."""
    named = _left_out(project, made_here=True)
    found = list(dict.fromkeys([*beside, *(f"{shown(one.path)}: {one.reason}" for one in made)]))
    if found != named:
        plans.update_project(tx, project, uncarried_json=msgspec.json.encode(found).decode())
    if fresh := [entry for entry in found if entry not in named]:
        tx.event("project.uncarried", plan_id=project.plan_id, project=project.project, entries=fresh)


async def _keep_partial(context: Context, step: Step) -> None:
    """What a failed step left in the sandboxes stays reachable under a ref."""
    for project in context.projects:
        if project.strategy == "clone" and project.tip is not None:
            path = sandbox_path(context.services.paths, project)
            name = context.name_of(f"partial/{step.step_id}-{step.attempt}")
            repository = context.repository_of(project)
            if path.exists():
                await asyncio.to_thread(sandboxes.checkpoint, repository, project.plan_id, path, name, project.tip)


def _note_ends(
    tx: Transaction, results: list[tuple[Step, commands.Result]], failed: list[tuple[Step, commands.Result]]
) -> None:
    """Steps that succeeded beside a failed one run again with it: their edits cannot be told apart."""
    broken = {step.step_id for step, _ in failed}
    for step, result in results:
        state = _state(result) if step.step_id in broken else StepState.PENDING
        plans.update_step(
            tx, step.plan_id, step.step_id, state=state, exit_code=result.code, finished_at=tx.now, pid=None
        )
        tx.event("step.finished", plan_id=step.plan_id, step=step.step_id, state=state, exit_code=result.code)


def _state(result: commands.Result) -> StepState:
    if result.timed_out:
        return StepState.TIMED_OUT
    return StepState.LOST if result.code is None else StepState.FAILED


def _failure(
    context: Context, step: Step, result: commands.Result, forbidden: Sequence[str]
) -> errors.CleverAgentsError:
    seconds = 0.0 if step.started_at is None else (context.db.clock.now() - step.started_at) / SECOND
    detail: dict[str, Any] = {
        "step": step.step_id, "exit_code": result.code, "attempt": step.attempt, "log": step.log,
        "tail": commands.tail(step.log),
    }  # fmt: skip
    suggestions = [f"ca plan logs {context.plan.name} --step {step.step_id}", f"ca plan execute {context.plan.name}"]
    if result.timed_out:
        allowed = (context.db.clock.wall(step.deadline_at or 0) - (step.started_at or 0)) / SECOND
        limit = attempts.spec(step).timeout or round(allowed, 1)  # else it was the actor's
        text = f"step {step.step_id} did not end within {limit:g} s"
        return errors.TimedOutError(text, detail=detail, suggestions=suggestions)
    if result.code is None:
        text = f"step {step.step_id} is lost: its process ended and left no exit code"
        return errors.LostError(text, detail=detail, suggestions=suggestions)
    if forbidden:
        detail["files"] = list(forbidden)
        text = f"{context.action.name} is read-only, but its step {step.step_id} changed {_listed(forbidden)}"
        return errors.StepFailedError(text, detail=detail, suggestions=suggestions)
    took = f" after {seconds:.1f} s" if seconds >= SHORT else ""
    text = f"step {step.step_id} failed: exit {result.code}{took}"
    return errors.StepFailedError(text, detail=detail, suggestions=suggestions)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


async def _finish(context: Context) -> None:
    """The change set is computed and stored with the completion of the phase."""
    for project in context.projects:
        await _name_specials(context, project)
    projects = [await _result(context, project) for project in context.projects]
    diffs = [await context.blocking(_diff, context, project) for project in projects]
    pairs = [(project.base_tree or "", project.tip_tree or "") for project in projects]
    stat = views.DiffStatView(
        digest=changes.digest(pairs),
        files=sum(len(diff.files) for diff in diffs),
        insertions=sum(diff.insertions for diff in diffs),
        deletions=sum(diff.deletions for diff in diffs),
    )
    if context.action.read_only and stat.files:
        changed = [shown(file.path) for diff in diffs for file in diff.files]
        raise errors.StepFailedError(
            f"{context.action.name} is read-only, but its steps changed {_listed(changed)}",
            detail={"files": changed},
            suggestions=[f"ca plan logs {context.plan.name}"],
        )
    diff_json = msgspec.json.encode(stat).decode()
    await context.write(lambda tx: context.services.lifecycle.complete(tx, context.claim, diff_json=diff_json))


async def _name_specials(context: Context, project: PlanProject) -> None:
    """Name what git does not see in the sandbox: once, at the end, since it takes a walk through all of it."""
    path = sandbox_path(context.services.paths, project)
    if project.strategy == "clone" and path.is_dir():
        found = await context.blocking(sandboxes.specials, context.repository_of(project), project.plan_id, path)
        if found:
            named = _left_out(project, made_here=True)
            await context.write(lambda tx: _note_uncarried(tx, project, found, beside=named))


async def _result(context: Context, project: PlanProject) -> PlanProject:
    """A project with its result; without a sandbox, the project itself is looked at again."""
    if project.strategy == "clone":
        return project
    ref = f"{snapshots.PLAN_REFS}/{project.plan_id}/{context.name_of('result')}"
    after = await context.blocking(snapshots.take, context.repository_of(project), ref)
    await context.write(lambda tx: plans.update_project(tx, project, tip=after.commit, tip_tree=after.tree))
    return msgspec.structs.replace(project, tip=after.commit, tip_tree=after.tree)


def _diff(context: Context, project: PlanProject) -> changes.Changes:
    assert project.base is not None and project.tip is not None, "stored by now"  # noqa: PT018  one fact
    return changes.diff(context.repository_of(project), project.base, project.tip)
