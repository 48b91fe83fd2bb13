"""What cannot be used is set aside: kept as it was in a file, then taken out of the store, so that nobody meets it again.

Nothing is lost: sandboxes, logs and refs of a plan stay where they are, and the file holds every value of every row.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from daemon.holding import owner_of
from daemon.lifecycle import Lifecycle
from daemon.soundness import IDLE, MISPLACED, OPEN, Finding, among
from store import damage, jobs, locks, names, plans, raw, records
from store.database import Reader, Transaction
from store.records import AsyncJob, Plan
from store.states import AsyncJobStatus, State

_PARTS = (
    "journal_entries", "journals", "async_jobs", "failures", "decisions", "subplans", "conflicts", "steps", "plan_projects",
)  # fmt: skip
"""What belongs to a plan, whatever belongs to something else first."""
_ESSENTIAL = frozenset({"plans", "plan_projects", "steps"})
"""A plan is nothing without these; without a decision, say, it goes on."""
_OF_OPEN = f"plan_id IN (SELECT plan_id FROM async_jobs WHERE {OPEN})"


class Aside(msgspec.Struct):
    """What is set aside together, in one file."""

    taken: list[raw.Row] = []
    told: list[str] = []

    def keep(self, tx: Transaction, directory: Path) -> list[str]:
        """Make it durable in a file before the transaction is; what was done, in sentences."""
        if self.taken:
            path = raw.keep(directory, self.taken, self.told)
            for told in self.told:
                tx.event("store.set-aside", what=told, file=str(path))
        return self.told


def mend_queue(tx: Transaction, lifecycle: Lifecycle, directory: Path, *, busy: Iterable[str] = ()) -> list[str]:
    """See that a worker meets only jobs that it can carry out, and that no plan waits for a job that is not there.

    Args:
        tx: The transaction.
        lifecycle: Moves the plans.
        directory: Where what is set aside is kept.
        busy: Jobs that are carried out right now; they are left alone.

    Returns:
        What was done, in sentences.
    """
    aside = Aside()
    for finding in among(tx, records.Lock):
        _take_row(tx, aside, finding)
    useless = [finding for finding in among(tx, AsyncJob, OPEN) if _job_id(finding) not in busy]
    for finding in useless:
        _take_row(tx, aside, finding)
    payloads = {row.columns["plan_id"]: row.columns["payload_json"] for row in aside.taken if row.table == "async_jobs"}
    broken = _broken_plans(tx)
    for finding in [*MISPLACED.find(tx), *_jobs_of(tx, broken)]:
        if _job_id(finding) not in busy:
            _give_up(tx, aside, finding)
    for finding in IDLE.find(tx):
        plan = _idle(tx, finding)
        if plan is not None:
            plan = _with_job(tx, lifecycle, plan, payloads.get(finding.key["plan_id"]), aside)
            if plan.state is State.PROCESSING:
                lifecycle.take_back(tx, raw.job_as_running(tx, plan.job_id or ""))
    return aside.keep(tx, directory)


def set_aside(tx: Transaction, findings: Sequence[Finding], directory: Path) -> list[str]:
    """Set aside every row that was found, a plan with all that belongs to it; what was done, in sentences."""
    aside = Aside()
    for finding in findings:
        plan = _plan_of(tx, finding)
        if plan is None:
            _take_row(tx, aside, finding)
        elif _is_held(tx, plan):
            aside.told.append(f"{finding}; not touched, because somebody works on its plan")
        else:
            _take_plan(tx, aside, plan, finding)
    return aside.keep(tx, directory)


def give_up(tx: Transaction, job: AsyncJob, why: str) -> None:
    """End a job whose plan cannot be moved: only its own row is written, so that nobody claims it again."""
    if raw.give_up_job(tx, job.job_id, damage.UnreadableRowError.code, why):
        tx.event("job.failed", plan_id=job.plan_id, job_id=job.job_id, error=damage.UnreadableRowError.code)
    locks.release_all_for_owner(tx, owner_of(job))


def _take_row(tx: Transaction, aside: Aside, finding: Finding) -> None:
    if finding.table == "journals":
        aside.taken += raw.take_out(tx, "journal_entries", finding.key)
    found = raw.take_out(tx, finding.table, finding.key)
    if found:
        aside.taken += found
        aside.told.append(str(finding))


def _take_plan(tx: Transaction, aside: Aside, plan_id: raw.Raw, finding: Finding) -> None:
    """A plan with all its rows, and the plans that are a part of it."""
    for child in raw.of_key(tx, "plans", {"parent_plan_id": plan_id}):
        _take_plan(tx, aside, child.columns["plan_id"], finding)
    parts = [row for table in _PARTS for row in raw.take_out(tx, table, {"plan_id": plan_id})]
    found = raw.take_out(tx, "plans", {"plan_id": plan_id})
    if found:
        aside.taken += found + parts
        aside.told.append(f"{finding}; set aside with its whole plan, {raw.text(found[0].columns['name'])}")


def _plan_of(db: Reader, finding: Finding) -> raw.Raw:
    """The plan that has to go with a row; None when the row can go alone."""
    plan_id = finding.key.get("plan_id")
    if plan_id is None or not raw.of_key(db, "plans", {"plan_id": plan_id}):
        return None
    if finding.table in _ESSENTIAL:
        return plan_id
    if finding.table == "subplans":
        return _unfinished_parent(db, plan_id)
    states = {row.columns["state"] for row in raw.of_key(db, "journals", {"plan_id": plan_id})}
    return plan_id if finding.table in {"journals", "journal_entries"} and states - {b"written"} else None


def _unfinished_parent(db: Reader, plan_id: raw.Raw) -> raw.Raw:
    """The parent of a child, unless it is over: without the row it would end as if the child had never been asked for."""
    for row in raw.of_key(db, "subplans", {"plan_id": plan_id}):
        for parent in raw.of_key(db, "plans", {"plan_id": row.columns["parent_plan_id"]}):
            if parent.columns["state"] not in {b"applied", b"cancelled"}:
                return row.columns["parent_plan_id"]
    return None


def _is_held(tx: Transaction, plan_id: raw.Raw) -> bool:
    if not isinstance(plan_id, bytes):
        return False
    try:
        lock = locks.get(tx, "plan", plan_id.decode())
    except (UnicodeDecodeError, damage.UnreadableRowError):
        return False
    return lock is not None and not lock.stale(tx.clock)


def _broken_plans(tx: Transaction) -> dict[raw.Raw, Finding]:
    """The plans with an open job that cannot be moved, each with the reason; any other defect is met by the phase."""
    kinds = (Plan, records.PlanProject, records.Step)
    return {found.key["plan_id"]: found for kind in kinds for found in among(tx, kind, _OF_OPEN, whole=False)}


def _jobs_of(tx: Transaction, broken: dict[raw.Raw, Finding]) -> list[Finding]:
    return [
        Finding("async_jobs", {"job_id": row.columns["job_id"]}, f"its plan cannot be used: {finding}")
        for plan_id, finding in broken.items()
        for row in raw.of_key(tx, "async_jobs", {"plan_id": plan_id})
        if row.columns["status"] in {b"queued", b"running"}
    ]


def _job_id(finding: Finding) -> str:
    return raw.text(finding.key["job_id"])


def _give_up(tx: Transaction, aside: Aside, finding: Finding) -> None:
    job = jobs.get(tx, _job_id(finding))
    if job is not None and job.status in {AsyncJobStatus.QUEUED, AsyncJobStatus.RUNNING}:
        aside.taken += raw.of_key(tx, "async_jobs", finding.key)
        aside.told.append(f"{finding}; the job was set aside")
        give_up(tx, job, f"the job was set aside: {finding.wrong}")


def _idle(tx: Transaction, finding: Finding) -> Plan | None:
    """The plan that was found; None when something of it cannot be read, for then no job helps it."""
    try:
        plan = plans.get(tx, raw.text(finding.key["plan_id"]))
        if plan is not None:
            plans.projects(tx, plan.plan_id)
            plans.steps(tx, plan.plan_id)
    except damage.UnreadableRowError:
        return None
    return plan


def _with_job(tx: Transaction, lifecycle: Lifecycle, plan: Plan, payload: raw.Raw, aside: Aside) -> Plan:
    """A plan whose job is gone gets another one for the same phase, under the same id where it is free."""
    taken = plan.job_id is None or raw.of_key(tx, "async_jobs", {"job_id": plan.job_id.encode()})
    job_id = names.new_ulid(tx.now) if taken or plan.job_id is None else plan.job_id
    aside.told.append(f"plan {plan.name} was {plan.position} without a job that could be used; it got job {job_id}")
    return lifecycle.enqueue_again(tx, plan, job_id, _payload(payload))


def _payload(kept: raw.Raw) -> dict[str, object]:
    """What was asked for, if that part of the job can be read."""
    try:
        return msgspec.json.decode(kept, type=dict[str, object]) if isinstance(kept, bytes) else {}
    except msgspec.DecodeError:
        return {}
