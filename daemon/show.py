"""From records to what is shown: the views of `daemon.views`, filled from the store."""

import base64
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from daemon import actions, actors, changes, views
from store import damage, jobs, names, plans
from store.clock import Clock, rfc3339
from store.database import Reader
from store.records import Action, Actor, AsyncJob, Decision, Event, Lock, Plan, PlanProject, Project, Step, Worker
from store.states import Phase, State, StepState


def moment(microseconds: int) -> str:
    """A time that is always there."""
    return rfc3339(microseconds) or ""


def plan(db: Reader, record: Plan) -> views.PlanView:
    """A plan with everything that belongs to it; one of which something cannot be read is shown with that as its error."""
    try:
        return _plan(db, record)
    except damage.UnreadableRowError as error:
        return _damaged(record, error)


def _damaged(record: Plan, error: damage.UnreadableRowError) -> views.PlanView:
    return views.PlanView(
        plan_id=record.plan_id,
        name=record.name,
        action=record.action,
        projects=[],
        phase=record.phase,
        state=record.state,
        terminal=record.terminal,
        recoverable=record.recoverable,
        automation_profile=record.automation_profile,
        profile_source=record.profile_source,
        arguments={},
        priority=record.priority,
        parent_plan_id=record.parent_plan_id,
        root_plan_id=record.root_plan_id,
        depth=record.depth,
        base={},
        sandboxes=[],
        steps=[],
        children=views.ChildrenView(0, 0, 0, 0, 0, 0, 0),
        diff=None,
        applied=None,
        error=views.ErrorView(error.code, error.message, None, {"suggestions": error.suggestions}),
        reversions=record.reversions,
        job_id=record.job_id,
        revision=record.revision,
        created_at=moment(record.created_at),
        updated_at=moment(record.updated_at),
        started_at=rfc3339(record.started_at),
        finished_at=rfc3339(record.finished_at),
        next=error.suggestions,
    )


def _plan(db: Reader, record: Plan) -> views.PlanView:
    projects = plans.projects(db, record.plan_id)
    steps = plans.steps(db, record.plan_id)
    return views.PlanView(
        plan_id=record.plan_id,
        name=record.name,
        action=record.action,
        projects=[project.project for project in projects],
        phase=record.phase,
        state=record.state,
        terminal=record.terminal,
        recoverable=record.recoverable,
        automation_profile=record.automation_profile,
        profile_source=record.profile_source,
        arguments=damage.document(record, "arguments_json", dict[str, Any]),
        priority=record.priority,
        parent_plan_id=record.parent_plan_id,
        root_plan_id=record.root_plan_id,
        depth=record.depth,
        base={project.project: project.base for project in projects},
        sandboxes=[_sandbox(project) for project in projects],
        steps=[_step(step) for step in steps],
        children=_children(db, record),
        diff=_decoded(record, "diff_json", views.DiffStatView),
        applied=_decoded(record, "applied_json", views.AppliedView),
        error=_decoded(record, "error_json", views.ErrorView),
        reversions=record.reversions,
        job_id=record.job_id,
        revision=record.revision,
        created_at=moment(record.created_at),
        updated_at=moment(record.updated_at),
        started_at=rfc3339(record.started_at),
        finished_at=rfc3339(record.finished_at),
        next=next_commands(record, steps),
    )


def next_commands(record: Plan, steps: Sequence[Step] = ()) -> list[str]:  # noqa: PLR0911  a table, one line a position
    """The commands that make sense where a plan stands, the likeliest first."""
    name = record.name
    over = [f"ca plan revert {name}", f"ca plan cancel {name}"]
    back = [f"ca plan rollback {name} {step}" for step in _step_before_the_last(steps)]
    advice = [f'ca plan prompt {name} "…"']
    match record.phase, record.state:
        case Phase.STRATEGIZE, State.QUEUED if record.job_id is None:
            return [f"ca plan execute {name}", f"ca plan cancel {name}"]
        case _, State.QUEUED | State.PROCESSING:
            return [f"ca plan follow {name}", f"ca plan wait {name}", f"ca plan cancel {name}"]
        case Phase.STRATEGIZE, State.COMPLETE:
            return [f"ca plan tree {name}", f"ca plan execute {name}", f"ca plan cancel {name}"]
        case Phase.EXECUTE, State.COMPLETE:
            return [f"ca plan diff {name}", f"ca plan apply {name}", *back, *over]
        case Phase.APPLY, State.ERRORED | State.CONSTRAINED:
            return [f"ca plan errors {name}", f"ca plan apply {name}", *advice, *over]
        case Phase.EXECUTE, State.ERRORED:
            return [f"ca plan errors {name}", f"ca plan execute {name}", *advice, *back, *over]
        case _, State.ERRORED:
            return [f"ca plan errors {name}", f"ca plan execute {name}", *advice, *over]
        case _, State.APPLIED:
            return [f"ca plan undo {name}"]
        case _:
            return []


def _step_before_the_last(steps: Sequence[Step]) -> list[str]:
    """The step to which a rollback takes one step back; none when there is none."""
    ended = {step.finished_at: step.step_id for step in steps if step.state is StepState.SUCCEEDED}
    return [step_id for _, step_id in sorted(ended.items())][-2:-1]


def plan_list(db: Reader, records: Sequence[Plan], total: int) -> views.PlansView:
    return views.PlansView(plans=[plan(db, record) for record in records], total=total)


def job(record: AsyncJob, clock: Clock) -> views.JobView:
    return views.JobView(
        job_id=record.job_id,
        plan_id=record.plan_id,
        phase=record.phase,
        status=record.status,
        priority=record.priority,
        attempt=record.attempt,
        payload_json=record.payload_json,
        schema_version=record.schema_version,
        timeout_s=record.timeout_s,
        worker_id=record.worker_id,
        created_at=moment(record.created_at),
        started_at=rfc3339(record.started_at),
        last_heartbeat=_by_wall(record.last_heartbeat, clock),
        cancel_requested_at=rfc3339(record.cancel_requested_at),
        finished_at=rfc3339(record.finished_at),
        error_code=record.error_code,
        error_message=record.error_message,
    )


def lock(record: Lock, clock: Clock) -> views.LockView:
    return views.LockView(
        resource_type=record.resource_type,
        resource_id=record.resource_id,
        owner_id=record.owner_id,
        fence=record.fence,
        acquired_at=moment(clock.wall(record.acquired_at)),
        expires_at=moment(clock.wall(record.expires_at)),
        stale=record.stale(clock),
    )


def event(record: Event) -> views.EventView:
    try:
        detail = damage.document(record, "detail_json", dict[str, Any])
    except damage.UnreadableRowError as error:  # what happened, and when, is known all the same
        detail: dict[str, Any] = {"unreadable": error.message}
    return views.EventView(record.seq, moment(record.time), record.kind, record.plan_id, record.job_id, detail)


def worker(record: Worker, clock: Clock) -> views.WorkerView:
    return views.WorkerView(
        record.worker_id,
        record.state,
        record.job_id,
        _by_wall(record.last_heartbeat, clock),
        record.jobs_processed,
        record.jobs_failed,
        record.jobs_cancelled,
    )


def _by_wall(steady: int | None, clock: Clock) -> str | None:
    return None if steady is None else rfc3339(clock.wall(steady))


def workers(db: Reader) -> list[views.WorkerView]:
    return [worker(record, db.clock) for record in jobs.workers(db)]


def decision(record: Decision) -> views.DecisionView:
    return views.DecisionView(
        decision_id=record.decision_id,
        parent_id=record.parent_id,
        kind=record.kind,
        question=record.question,
        choice=record.choice,
        reason=record.reason,
        superseded=bool(record.superseded),
        plan_id=record.plan_id,
        created_at=moment(record.created_at),
    )


def project(record: Project) -> views.ProjectView:
    namespace, _ = names.split_name(record.name)
    return views.ProjectView(record.name, record.description, namespace, "local", 1, record.path, record.kind)


def action(record: Action, definition: actions.Action) -> views.ActionView:
    namespace, _ = names.split_name(record.name)
    own: dict[str, Any] = msgspec.to_builtins(definition)
    own |= {"name": record.name, "namespace": namespace, "source": record.source, "revision": record.revision}
    return msgspec.convert({**own, "archived": bool(record.archived)}, views.ActionView)


def actor(record: Actor, definition: actors.Actor) -> views.ActorView:
    namespace, _ = names.split_name(record.name)
    return views.ActorView(
        name=record.name,
        description=definition.description,
        namespace=namespace,
        source=record.source,
        revision=record.revision,
        type=definition.type,
        command=definition.command,
        env=definition.env,
        timeout=definition.timeout,
    )


def text(raw: bytes) -> tuple[str, str | None]:
    r"""Bytes as text, and in base64 when the text cannot carry them: what is not UTF-8 is shown as `\xNN`."""
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace"), base64.b64encode(raw).decode()


def file(change: changes.FileChange, prefix: str) -> views.FileView:
    """A changed file; `prefix` is set when several projects have to be told apart."""
    shown, encoded = text(os.fsencode(prefix) + change.path)
    old = None if change.old_path is None else text(os.fsencode(prefix) + change.old_path)[0]
    return views.FileView(shown, encoded, old, change.status, change.binary, change.insertions, change.deletions)


def _decoded(record: Plan, column: str, kind: type[Any]) -> Any:
    return None if getattr(record, column) is None else damage.document(record, column, kind)


def _sandbox(record: PlanProject) -> views.SandboxView:
    uncarried = damage.document(record, "uncarried_json", list[str])
    return views.SandboxView(record.project, record.strategy, record.sandbox_path, record.sandbox_status, uncarried)


def _step(record: Step) -> views.StepView:
    return views.StepView(
        id=record.step_id,
        title=record.title,
        kind=record.kind,
        state=record.state,
        attempt=record.attempt,
        exit_code=record.exit_code,
        started_at=rfc3339(record.started_at),
        finished_at=rfc3339(record.finished_at),
        log=record.log,
    )


def _children(db: Reader, record: Plan) -> views.ChildrenView:
    counts = dict.fromkeys(State, 0)
    for _, state, number in plans.children(db, record.plan_id):
        counts[State(state)] += number
    return views.ChildrenView(
        total=sum(counts.values()),
        queued=counts[State.QUEUED],
        processing=counts[State.PROCESSING],
        complete=counts[State.COMPLETE],
        applied=counts[State.APPLIED],
        errored=counts[State.ERRORED] + counts[State.CONSTRAINED],
        cancelled=counts[State.CANCELLED],
    )
