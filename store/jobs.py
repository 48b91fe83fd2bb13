"""Jobs and workers: the table `async_jobs` and every statement on it.

Each write of a worker names the job, its status and its attempt; no row back means that somebody else moved it.
"""

import msgspec

from store import errors, rows
from store.clock import SECOND
from store.database import Reader, Transaction
from store.records import AsyncJob, Plan, Worker
from store.states import VALID_JOB_TRANSITIONS, AsyncJobStatus, Phase

PAYLOAD_VERSION = 1

_SQL = rows.statements("jobs")


def enqueue(
    tx: Transaction, plan: Plan, phase: Phase, job_id: str, *, timeout_s: int, payload: dict[str, object]
) -> AsyncJob:
    """Add a queued job for one phase of a plan; the plan's earlier attempts at this phase are counted on."""
    turn = tx.scalar(_SQL["next_turn"], {"root": plan.root_plan_id})
    job = AsyncJob(
        job_id=job_id,
        plan_id=plan.plan_id,
        phase=phase,
        status=AsyncJobStatus.QUEUED,
        priority=plan.priority,
        attempt=plan.attempt,
        payload_json=msgspec.json.encode({"schema_version": PAYLOAD_VERSION, **payload}).decode(),
        schema_version=PAYLOAD_VERSION,
        timeout_s=timeout_s,
        worker_id=None,
        created_at=tx.now,
        started_at=None,
        last_heartbeat=None,
        cancel_requested_at=None,
        finished_at=None,
        error_code=None,
        error_message=None,
        root_plan_id=plan.root_plan_id,
        depth=plan.depth,
        turn=turn,
    )
    rows.insert(tx, "async_jobs", job)
    tx.event("job.queued", plan_id=plan.plan_id, job_id=job_id, phase=phase)
    return job


def claim(tx: Transaction, worker_id: str, *, execute_limit: int) -> AsyncJob | None:
    """The next job in turn, now running and this worker's; `None` when nothing may run.

    A job whose payload is of a newer schema stays queued: the program that wrote it may come back. The deadline counts from
    the first claim in this boot of the machine: no step of an earlier one goes on.
    """
    bindings = {
        "worker": worker_id,
        "now": tx.now,
        "steady": tx.steady,
        "second": SECOND,
        "execute_limit": execute_limit,
        "boot_id": tx.clock.boot_id,
        "payload_version": PAYLOAD_VERSION,
    }
    job = tx.one(AsyncJob, _SQL["claim"], bindings)
    if job is not None:
        _worker_seen(tx, worker_id, "busy", job.job_id)
        tx.event("job.running", plan_id=job.plan_id, job_id=job.job_id, worker=worker_id, attempt=job.attempt)
    return job


def move(
    tx: Transaction,
    job: AsyncJob,
    status: AsyncJobStatus,
    *,
    error_code: str | None = None,
    error_message: str | None = None,
) -> AsyncJob | None:
    """A transition of a running job by its owner; `None` when it is no longer this owner's.

    Raises:
        InvalidJobTransitionError: `VALID_JOB_TRANSITIONS` does not have the move; nothing changed.
    """
    if status not in VALID_JOB_TRANSITIONS[job.status]:
        raise errors.InvalidJobTransitionError(f"job {job.job_id} is {job.status}; it cannot become {status}")
    bindings = {
        "job_id": job.job_id,
        "attempt": job.attempt,
        "status": status,
        "finished_at": None if status is AsyncJobStatus.QUEUED else tx.now,
        "error_code": error_code,
        "error_message": error_message,
        "worker": None if status is AsyncJobStatus.QUEUED else job.worker_id,
    }
    moved = tx.one(AsyncJob, _SQL["move"], bindings)
    if moved is not None:
        tx.execute(_SQL["worker_finished"], {"worker": job.worker_id, "status": status, "now": tx.steady})
        tx.event(f"job.{status}", plan_id=job.plan_id, job_id=job.job_id, error=error_code)
    return moved


def cancel(tx: Transaction, job: AsyncJob, reason: str) -> AsyncJob | None:
    """A queued job is cancelled, a running one is asked to stop; `None` when it is neither any more."""
    cancelled = tx.one(AsyncJob, _SQL["cancel_queued"], {"job_id": job.job_id, "now": tx.now, "reason": reason})
    if cancelled is not None:
        tx.event("job.cancelled", plan_id=job.plan_id, job_id=job.job_id, reason=reason)
        return cancelled
    return ask_to_stop(tx, job, reason)


def ask_to_stop(tx: Transaction, job: AsyncJob, reason: str) -> AsyncJob | None:
    """Whoever has the job, or claims it next, is to stop what it began; `None` when it is over."""
    asked = tx.one(AsyncJob, _SQL["request_cancel"], {"job_id": job.job_id, "now": tx.now, "reason": reason})
    if asked is not None:
        tx.event("job.cancel-requested", plan_id=job.plan_id, job_id=job.job_id, reason=reason)
    return asked


def beat(tx: Transaction, job: AsyncJob) -> AsyncJob | None:
    """Note that the job's worker is alive; `None` when the job is no longer this worker's."""
    beaten = tx.one(AsyncJob, _SQL["beat"], {"job_id": job.job_id, "now": tx.steady, "attempt": job.attempt})
    if beaten is not None and beaten.worker_id is not None:
        _worker_seen(tx, beaten.worker_id, "busy", job.job_id)
    return beaten


def silent(tx: Transaction, before: int) -> list[AsyncJob]:
    """The running jobs that have given no sign of life since `before`, on the steady time line."""
    return tx.all(AsyncJob, _SQL["silent"], (before,))


def get(db: Reader, job_id: str) -> AsyncJob | None:
    return db.one(AsyncJob, _SQL["get"], (job_id,))


def like(db: Reader, part: str) -> list[AsyncJob]:
    """Jobs whose id holds `part`, newest first, at most 11."""
    return db.all(AsyncJob, _SQL["like"], {"part": part})


def open_of_plan(db: Reader, plan_id: str) -> AsyncJob | None:
    """The one queued or running job of a plan, if there is one."""
    return db.one(AsyncJob, _SQL["open_of_plan"], (plan_id,))


def latest(db: Reader, *, status: str | None = None, plan_id: str | None = None, limit: int = 50) -> list[AsyncJob]:
    if plan_id is None:
        return db.all(AsyncJob, _SQL["latest"], {"status": status, "limit": limit})
    return db.all(AsyncJob, _SQL["latest_of_plan"], {"status": status, "plan_id": plan_id, "limit": limit})


def open_page(db: Reader, *, offset: int, limit: int) -> list[AsyncJob]:
    """Some jobs that are not over: what runs, then what waits in the order in which it is claimed."""
    return db.all(AsyncJob, _SQL["open_page"], {"offset": offset, "limit": limit})


def open_count(db: Reader) -> int:
    return int(db.scalar(_SQL["open_count"]))


def finished_page(db: Reader, *, offset: int, limit: int) -> list[AsyncJob]:
    """Some jobs that are over, the latest first."""
    return db.all(AsyncJob, _SQL["finished_page"], {"offset": offset, "limit": limit})


def finished_count(db: Reader) -> int:
    return int(db.scalar(_SQL["finished_count"]))


def count(db: Reader, *, status: str | None = None, plan_id: str | None = None) -> int:
    if plan_id is None:
        return int(db.scalar(_SQL["count"], {"status": status}))
    return int(db.scalar(_SQL["count_of_plan"], {"status": status, "plan_id": plan_id}))


def running(db: Reader) -> list[AsyncJob]:
    return db.all(AsyncJob, _SQL["running"])


def to_stop(db: Reader) -> set[str]:
    """The queued jobs that are claimed only to end what an earlier daemon left at work for them."""
    return {str(job_id) for (job_id,) in db.execute(_SQL["to_stop"])}


def queued_count(db: Reader) -> int:
    return int(db.scalar(_SQL["queued_count"]))


def newer_payloads(db: Reader) -> int:
    """How many queued jobs were written by a newer program; they wait for it."""
    return int(db.scalar(_SQL["newer_payloads"], (PAYLOAD_VERSION,)))


def prune(tx: Transaction, before: int, limit: int) -> list[str]:
    """Remove finished jobs that ended before `before`, the oldest first; the newest of each plan stays."""
    found = tx.execute(_SQL["prune"], {"before": before, "limit": limit})
    pruned = [(str(job_id), str(plan_id)) for job_id, plan_id in found]
    for job_id, plan_id in pruned:
        tx.event("job.pruned", plan_id=plan_id, job_id=job_id)
    return [job_id for job_id, _ in pruned]


def workers(db: Reader) -> list[Worker]:
    return db.all(Worker, _SQL["workers"])


def worker_idle(tx: Transaction, worker_id: str) -> None:
    _worker_seen(tx, worker_id, "idle", None)


def stop_worker(tx: Transaction, worker_id: str) -> None:
    tx.execute(_SQL["stop_worker"], (worker_id,))


def stop_workers(tx: Transaction) -> None:
    tx.execute(_SQL["stop_workers"])


def _worker_seen(tx: Transaction, worker_id: str, state: str, job_id: str | None) -> None:
    bindings = {"worker": worker_id, "state": state, "job_id": job_id, "now": tx.steady}
    tx.execute(_SQL["worker_seen"], bindings)
