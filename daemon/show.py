"""From records to what is shown: the views of `daemon.views`, filled from the store."""

import base64
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from daemon import actions, actors, changes, projects, views
from store import damage, entities, jobs, names, trees
from store.clock import Clock, rfc3339
from store.config import Config
from store.database import Reader
from store.records import (
    Action,
    Actor,
    AsyncJob,
    Decision,
    Entity,
    Event,
    Lock,
    Plan,
    PlanProject,
    Project,
    Step,
    Worker,
)
from store.states import Phase, State, StepState


class OfPlan(Protocol):
    """Something that belongs to a plan."""

    @property
    def plan_id(self) -> str: ...


P = TypeVar("P", bound=OfPlan)


def moment(microseconds: int) -> str:
    """A time that is always there."""
    return rfc3339(microseconds) or ""


class _Parts:
    """What belongs to some plans, read in one go."""

    def __init__(self, db: Reader, records: Sequence[Plan], config: Config) -> None:
        self.max_reversions = int(config.value("plan.max-reversions"))
        ids = [record.plan_id for record in records]
        self.projects = _by_plan(trees.projects(db, ids))
        self.steps = _by_plan(trees.steps(db, ids))
        self.counts = _by_plan(trees.counts(db, ids))
        self.subplans = {one.plan_id: one for one in trees.subplans(db, ids)}
        needing = {one.parent_plan_id for one in self.subplans.values() if one.needs_json != "[]"}
        self.items = trees.items(db, needing) if needing else {}
        self.conflicting = {plan_id for plan_id, _ in trees.open_conflicts(db, ids)}


def _by_plan(found: Iterable[P]) -> dict[str, list[P]]:
    sorted_out: dict[str, list[P]] = {}
    for one in found:
        sorted_out.setdefault(one.plan_id, []).append(one)
    return sorted_out


def plan(db: Reader, record: Plan, config: Config) -> views.PlanView:
    """A plan with everything that belongs to it; one of which something cannot be read is shown with that as its error."""
    try:
        return _plan(record, _Parts(db, [record], config))
    except damage.UnreadableRowError as error:
        return _damaged(record, error)


def plan_list(db: Reader, records: Sequence[Plan], total: int, config: Config) -> views.PlansView:
    """Plans like that, however many; `total` is how many there are beyond these."""
    return views.PlansView(plans=_plans(db, records, config), total=total)


def _plans(db: Reader, records: Sequence[Plan], config: Config) -> list[views.PlanView]:
    if not records:
        return []
    try:
        parts = _Parts(db, records, config)
        return [_plan(record, parts) for record in records]
    except damage.UnreadableRowError:  # of one of them
        return [plan(db, record, config) for record in records]


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
        subplan=None,
        base={},
        sandboxes=[],
        steps=[],
        children=_CHILDLESS,
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


def _plan(record: Plan, parts: _Parts) -> views.PlanView:
    projects = parts.projects.get(record.plan_id, [])
    steps = parts.steps.get(record.plan_id, [])
    counts = parts.counts.get(record.plan_id, [])
    subplan = _subplan(record, parts)
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
        arguments=arguments(damage.document(record, "arguments_json", actions.Values)),
        priority=record.priority,
        parent_plan_id=record.parent_plan_id,
        root_plan_id=record.root_plan_id,
        depth=record.depth,
        subplan=subplan,
        base={project.project: project.base for project in projects},
        sandboxes=[_sandbox(project) for project in projects],
        steps=[_step(step, counts) for step in steps],
        children=_children(counts),
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
        next=next_commands(
            record,
            steps,
            entered=subplan is not None and subplan.integrated_at is not None,
            conflicting=record.plan_id in parts.conflicting,
            revertible=record.reversions < parts.max_reversions,
        ),
    )


def next_commands(
    record: Plan,
    steps: Sequence[Step] = (),
    *,
    entered: bool = False,
    conflicting: bool = False,
    revertible: bool = False,
) -> list[str]:
    """The commands that make sense where a plan stands, the likeliest first.

    Args:
        record: The plan.
        steps: Its steps.
        entered: Whether it is a child whose change is in its parent.
        conflicting: Whether it has conflicts that are not settled.
        revertible: Whether `plan.max-reversions` allows it to be reverted once more.
    """
    revert = [f"ca plan revert {record.name}"] if revertible else []
    if record.parent_plan_id is not None:
        return _next_of_child(record, revert, entered=entered, conflicting=conflicting)
    return _next_of_root(record, steps, revert, conflicting=conflicting)


def _next_of_root(record: Plan, steps: Sequence[Step], revert: Sequence[str], *, conflicting: bool) -> list[str]:  # noqa: PLR0911  a table, one line a position
    name = record.name
    apply = [f"ca plan apply {name}"] if _changes_something(record) else []
    over = [*revert, f"ca plan cancel {name}"]
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
            return [f"ca plan diff {name}", *apply, *back, *over]
        case Phase.APPLY, State.ERRORED | State.CONSTRAINED:
            return [f"ca plan errors {name}", *apply, *advice, *over]
        case Phase.EXECUTE, State.ERRORED if conflicting:
            return [*_settling(name), f"ca plan execute {name}", *over]
        case Phase.EXECUTE, State.ERRORED:
            return [f"ca plan errors {name}", f"ca plan execute {name}", *advice, *back, *over]
        case _, State.ERRORED:
            return [f"ca plan errors {name}", f"ca plan execute {name}", *advice, *over]
        case _, State.APPLIED:
            return [f"ca plan undo {name}"]
        case _:
            return []


def _changes_something(record: Plan) -> bool:
    change: views.DiffStatView | None = _decoded(record, "diff_json", views.DiffStatView)
    return change is not None and change.files > 0


def _next_of_child(record: Plan, revert: Sequence[str], *, entered: bool, conflicting: bool) -> list[str]:  # noqa: PLR0911  as above
    """A child is never applied, and what it waits for is its parent's to do."""
    name = record.name
    above = f"ca plan show {name.rpartition('.')[0]}"
    match record.state:
        case State.QUEUED if record.job_id is None:
            return [above, f"ca plan execute {name}", f"ca plan cancel {name}"]
        case State.QUEUED | State.PROCESSING:
            return [f"ca plan follow {name}", f"ca plan wait {name}", f"ca plan cancel {name}"]
        case State.COMPLETE if entered:
            return [f"ca plan diff {name}", above]
        case State.COMPLETE:
            return [f"ca plan diff {name}", above, *revert, f"ca plan cancel {name}"]
        case State.ERRORED if conflicting:
            return [*_settling(name), f"ca plan execute {name}", f"ca plan cancel {name}"]
        case State.ERRORED:
            advice = f'ca plan prompt {name} "…"'
            return [f"ca plan errors {name}", f"ca plan execute {name}", advice, f"ca plan cancel {name}"]
        case _:
            return [above]


def _settling(name: str) -> list[str]:
    return [f"ca plan conflicts {name}", f"ca plan resolve {name} FILE --take parent|child|base|edited|PATH"]


def _step_before_the_last(steps: Sequence[Step]) -> list[str]:
    """The step to which a rollback takes one step back; none when there is none."""
    ended = {step.finished_at: step.step_id for step in steps if step.state is StepState.SUCCEEDED}
    return [step_id for _, step_id in sorted(ended.items())][-2:-1]


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


def project(db: Reader, record: Project) -> views.ProjectView:
    """A registered project; one that the team server has too counts its revisions there."""
    namespace, _ = names.split_name(record.name)
    shared = entities.known(db, "project", record.name)
    source = "synced" if shared.content is not None else "local"
    revision = shared.revision or 1
    return views.ProjectView(record.name, record.description, namespace, source, revision, record.path, record.kind)


def project_elsewhere(entity: Entity) -> views.ProjectView:
    """A shared project that has no directory here."""
    told = projects.parse(entity.content or "", source=entity.whole_name)
    return views.ProjectView(
        told.name, told.description, entity.namespace, "synced", entity.revision, path=None, kind=told.kind
    )


def arguments(values: actions.Values) -> dict[str, Any]:
    """The values of a plan's arguments; how a number was written is for its commands."""
    return {name: actions.as_json(value) for name, value in values.items()}


def action(record: Action, definition: actions.Action) -> views.ActionView:
    namespace, _ = names.split_name(record.name)
    own: dict[str, Any] = msgspec.to_builtins(definition)
    for shown, argument in zip(own["arguments"], definition.arguments, strict=True):
        shown["default"] = actions.as_json(argument.default)
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
    old = (None, None) if change.old_path is None else text(os.fsencode(prefix) + change.old_path)
    return views.FileView(shown, encoded, *old, change.status, change.binary, change.insertions, change.deletions)


def _decoded(record: Plan, column: str, kind: type[Any]) -> Any:
    return None if getattr(record, column) is None else damage.document(record, column, kind)


def _sandbox(record: PlanProject) -> views.SandboxView:
    uncarried = damage.document(record, "uncarried_json", list[str])
    return views.SandboxView(record.project, record.strategy, record.sandbox_path, record.sandbox_status, uncarried)


def _step(record: Step, counts: Iterable[trees.Count]) -> views.StepView:
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
        children=_step_children(record, counts),
    )


def _subplan(record: Plan, parts: _Parts) -> views.SubplanView | None:
    mine = parts.subplans.get(record.plan_id)
    if mine is None:
        return None
    parent, step = mine.parent_plan_id, mine.step_id
    return views.SubplanView(
        step=step,
        item=mine.item,
        position=mine.position,
        needs=[parts.items[parent, step, need] for need in damage.document(mine, "needs_json", list[int])],
        paths=damage.document(mine, "paths_json", list[str]),
        starts=mine.starts,
        left_out=mine.fate == "left_out",
        integrated_at=rfc3339(mine.integrated_at),
    )


_CHILDLESS = views.ChildrenView(0, 0, 0, 0, 0, 0, 0)


def _children(counts: Sequence[trees.Count]) -> views.ChildrenView:
    return views.ChildrenView(**_numbers(counts)) if counts else _CHILDLESS


def _step_children(step: Step, counts: Iterable[trees.Count]) -> views.StepChildrenView | None:
    if step.kind != "subplans":
        return None
    mine = [one for one in counts if one.step_id == step.step_id]
    return views.StepChildrenView(**_numbers(mine), integrated=sum(one.integrated for one in mine))


def _numbers(counts: Iterable[trees.Count]) -> dict[str, int]:
    numbers = dict.fromkeys(State, 0)
    for one in counts:
        numbers[State(one.state)] += one.number
    return {
        "total": sum(numbers.values()),
        "queued": numbers[State.QUEUED],
        "processing": numbers[State.PROCESSING],
        "complete": numbers[State.COMPLETE],
        "applied": numbers[State.APPLIED],
        "errored": numbers[State.ERRORED] + numbers[State.CONSTRAINED],
        "cancelled": numbers[State.CANCELLED],
    }
