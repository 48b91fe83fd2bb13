"""Whether every row of the store can be used: read as its record, with documents of the right shape, and beside its kin.

The one place that knows what a sound row is beyond what the schema and the record say. It only looks; what is done about a
row that is not sound is in `daemon.aside`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from daemon import actions, profiles, views
from daemon.sync import pushing
from store import damage, entities, errors, names, raw, records
from store.damage import UnreadableRowError, document
from store.database import Reader
from store.records import Record
from store.states import Phase, State

_ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
_LARGEST = 2**53
"""Numbers that only grow never come here."""

Wrong = Iterator[str]


class Finding(msgspec.Struct, frozen=True):
    """A row that cannot be used, and why."""

    table: str
    key: raw.Key
    wrong: str

    def __str__(self) -> str:
        named = " ".join(raw.text(value) for value in self.key.values())
        return f"{self.table} {named}: {self.wrong}"


def _wrong_with(row: tuple[Any, ...], record: type[Record], *, whole: bool) -> str | None:
    """What keeps a row from being used; None when nothing does."""
    try:
        found = damage.record_of(row, record)
        return next(_CHECKS.get(record, _nothing)(found), None) if whole else None
    except UnreadableRowError as error:
        return str(error.detail["wrong"])


def find(db: Reader) -> list[Finding]:
    """Every row that cannot be used."""
    alone = [found for record in damage.TABLES for found in among(db, record)]
    return alone + [found for kin in _KIN for found in kin.find(db)]


def among(db: Reader, record: type[Record], where: str = "TRUE", *, whole: bool = True) -> Iterator[Finding]:
    """The rows of one table that cannot be used; unless `whole` only those that cannot even be read.

    A first look at all of them costs little; which one it is, and its key, is asked only when one is wrong.
    """
    table, fields = damage.TABLES[record], record.__struct_fields__
    try:
        rows = db.execute(f"SELECT {', '.join(fields)} FROM {table.name} WHERE {where}")
        if not any(_wrong_with(row, record, whole=whole) for row in rows):
            return
    except UnreadableRowError:
        pass
    for row in raw.rows(db, table.name, where):
        try:
            wrong = _wrong_with(row.values(fields), record, whole=whole)
        except UnicodeDecodeError as error:
            wrong = f"a text is not UTF-8: {error.reason}"
        if wrong is not None:
            yield Finding(table.name, {name: row.columns[name] for name in table.key}, wrong)


# --- one row -------------------------------------------------------------------------------------------------------------


def _nothing(_record: Any) -> Wrong:
    return iter(())


def _document(record: Record, column: str, kind: Any) -> None:
    if getattr(record, column) is not None:
        document(record, column, kind)


def _range(record: Record, *columns: str) -> Wrong:
    for column in columns:
        value = getattr(record, column)
        if value is not None and not 0 <= value <= _LARGEST:
            yield f"{column}: {value} is out of range"


def _id(record: Record, *columns: str) -> Wrong:
    for column in columns:
        value = getattr(record, column)
        if value is not None and not _ULID.fullmatch(value):
            yield f"{column}: {value!r} is no id"


def _project(project: records.Project) -> Wrong:
    yield from _id(project, "project_id")
    yield from _name(project)
    yield from _absolute(project)


def _name(found: records.Project | records.Action | records.Actor) -> Wrong:
    try:
        if names.parse_name(found.name, what="name") != found.name:
            yield f"name: {found.name!r} is not whole"
    except errors.CleverAgentsError as error:
        yield f"name: {error.message}"


def _absolute(found: records.Project | records.PlanProject) -> Wrong:
    if not found.path.startswith("/"):
        yield f"path: {found.path!r} is not absolute"


def _plan(plan: records.Plan) -> Wrong:
    document(plan, "definition_json", actions.Action)
    document(plan, "arguments_json", actions.Values)
    _document(plan, "error_json", views.ErrorView)
    _document(plan, "diff_json", views.DiffStatView)
    _document(plan, "applied_json", views.AppliedView)
    yield from _id(plan, "plan_id", "parent_plan_id", "root_plan_id", "job_id")
    yield from _range(plan, "depth", "reversions", "attempt", "revision", "umask")
    if plan.automation_profile not in profiles.PROFILES:
        yield f"automation_profile: there is no profile {plan.automation_profile!r}"
    if plan.recoverable and plan.error_json is None:
        yield f"error_json: a plan at {plan.position} has an error"
    if plan.diff_json is None and (
        plan.phase is Phase.APPLY or (plan.phase, plan.state) == (Phase.EXECUTE, State.COMPLETE)
    ):
        yield f"diff_json: a plan at {plan.position} has a change"
    if plan.state is State.APPLIED and plan.applied_json is None:
        yield "applied_json: an applied plan has one"


def _plan_project(project: records.PlanProject) -> Wrong:
    document(project, "uncarried_json", list[str])
    yield from _id(project, "plan_id", "project_id")
    yield from _range(project, "position", "modified")
    if project.kind not in {"git", "folder"}:
        yield f"kind: a project is no {project.kind!r}"
    yield from _absolute(project)
    for column in ("base", "base_tree", "tip", "tip_tree", "head"):
        value = getattr(project, column)
        if value is not None and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
            yield f"{column}: {value!r} is no object of git"
    if len({project.base is None, project.base_tree is None, project.tip is None, project.tip_tree is None}) > 1:
        yield "base and tip: one is known without the other"


def _step(step: records.Step) -> Wrong:
    document(step, "spec_json", actions.StepSpec)
    _document(step, "tips_json", dict[str, tuple[str, str]])
    yield from _id(step, "plan_id")
    yield from _range(step, "position", "attempt", "pid", "process_start")


def _subplan(row: records.Subplan) -> Wrong:
    document(row, "needs_json", list[int])
    document(row, "paths_json", list[str])
    _document(row, "tips_json", dict[str, tuple[str, str]])
    yield from _id(row, "plan_id", "parent_plan_id")
    yield from _range(row, "position", "timeout_s", "starts", "retry", "admitted")


def _conflict(conflict: records.Conflict) -> Wrong:
    yield from _id(conflict, "plan_id", "child_plan_id")
    yield from _range(conflict, "position", "base_mode", "parent_mode", "child_mode", "taken_mode")


def _failure(failure: records.Failure) -> Wrong:
    document(failure, "error_json", views.ErrorView)
    return _nothing(failure)


def _job(job: records.AsyncJob) -> Wrong:
    document(job, "payload_json", dict[str, Any])
    yield from _id(job, "job_id", "plan_id", "root_plan_id")
    yield from _range(job, "attempt", "schema_version", "timeout_s", "depth", "turn")


def _event(event: records.Event) -> Wrong:
    document(event, "detail_json", dict[str, Any])
    return _nothing(event)


def _lock(lock: records.Lock) -> Wrong:
    return _range(lock, "fence")


def _worker(worker: records.Worker) -> Wrong:
    return _range(worker, "jobs_processed", "jobs_failed", "jobs_cancelled")


def _definition(found: records.Action | records.Actor) -> Wrong:
    damage.check_content(found)
    yield from _name(found)
    yield from _range(found, "revision")


def _entity(found: records.Entity) -> Wrong:
    if found.content is not None and entities.digest(found.content) != found.digest:
        yield "content: it is not what was stored; its digest is another one"
    yield from _range(found, "revision", "pending", "theirs_revision")


def _sync_state(found: records.SyncState) -> Wrong:
    _document(found, "push_json", pushing.Push)
    return _nothing(found)


_CHECKS: Mapping[type[Record], Callable[[Any], Wrong]] = {
    records.Project: _project,
    records.Action: _definition,
    records.Actor: _definition,
    records.Plan: _plan,
    records.PlanProject: _plan_project,
    records.Step: _step,
    records.Subplan: _subplan,
    records.Conflict: _conflict,
    records.Failure: _failure,
    records.AsyncJob: _job,
    records.Event: _event,
    records.Lock: _lock,
    records.Worker: _worker,
    records.Entity: _entity,
    records.SyncState: _sync_state,
}


# --- rows beside each other ----------------------------------------------------------------------------------------------


class Kin(msgspec.Struct, frozen=True):
    """What a row of a table needs of other rows, or must not meet there: `broken` is the condition that it does."""

    record: type[Record]
    wrong: str
    broken: str

    def find(self, db: Reader) -> Iterator[Finding]:
        """The rows for which it is so; they may be sound alone."""
        table = damage.TABLES[self.record]
        for row in db.execute(
            f"SELECT {', '.join(map(raw.as_it_is, table.key))} FROM {table.name} AS this WHERE {self.broken}"
        ):
            yield Finding(table.name, dict(zip(table.key, row, strict=True)), self.wrong)


OPEN = "status IN ('queued', 'running')"
_OF_PLAN = "FROM {0} WHERE {0}.plan_id = this.plan_id"

IDLE = Kin(
    records.Plan,
    "it is to be worked on, and has no job",
    "state IN ('queued', 'processing') AND (job_id IS NOT NULL OR (phase, state) <> ('strategize', 'queued')) "
    f"AND NOT EXISTS (SELECT 1 {_OF_PLAN.format('async_jobs')} AND {OPEN})",
)
MISPLACED = Kin(
    records.AsyncJob,
    "its plan is not where the job could work on it",
    f"{OPEN} AND NOT EXISTS (SELECT 1 {_OF_PLAN.format('plans')} AND plans.phase = this.phase "
    "AND plans.state = iif(this.status = 'queued', 'queued', 'processing'))",
)


def _without(record: type[Record], owner: str) -> Kin:
    return Kin(
        record, f"what it belongs to is not among the {owner}", f"NOT EXISTS (SELECT 1 {_OF_PLAN.format(owner)})"
    )


def _gaps(record: type[Record], part: str) -> Kin:
    missing = f"(SELECT count(*) <> coalesce(max(position) + 1, 0) {_OF_PLAN.format(part)})"
    return Kin(record, f"some of its {part} are missing", missing)


_KIN = (
    *(_without(record, "plans") for record in (records.PlanProject, records.Step, records.Decision, records.Failure)),
    *(_without(record, "plans") for record in (records.AsyncJob, records.Journal, records.Subplan, records.Conflict)),
    _without(records.JournalEntry, "journals"),
    _gaps(records.Plan, "plan_projects"),
    _gaps(records.Plan, "steps"),
    _gaps(records.Journal, "journal_entries"),
    Kin(records.Plan, "it has no project", f"NOT EXISTS (SELECT 1 {_OF_PLAN.format('plan_projects')})"),
    Kin(
        records.Plan,
        "its snapshot is not known",
        f"phase <> 'strategize' AND EXISTS (SELECT 1 {_OF_PLAN.format('plan_projects')} AND base IS NULL)",
    ),
    Kin(
        records.Plan,
        "the plan that it is a part of is not there",
        "parent_plan_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM plans WHERE plans.plan_id = this.parent_plan_id)",
    ),
    Kin(
        records.Subplan,
        "its plan is not a child of the one that it is to enter",
        f"NOT EXISTS (SELECT 1 {_OF_PLAN.format('plans')} AND plans.parent_plan_id = this.parent_plan_id)",
    ),
    Kin(
        records.Plan,
        "some of its children are missing",
        "EXISTS (SELECT 1 FROM subplans WHERE subplans.parent_plan_id = this.plan_id "
        "GROUP BY step_id HAVING count(*) <> max(position) + 1)",
    ),
    IDLE,
    MISPLACED,
)
