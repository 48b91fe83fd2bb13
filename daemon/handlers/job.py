"""Jobs: one phase of one plan each."""

from daemon import lookup, protocol, show, views
from daemon.calls import Call, Table
from daemon.handlers import plan as plan_handlers
from store import errors, jobs
from store.records import AsyncJob
from store.states import VALID_JOB_TRANSITIONS, AsyncJobStatus


def list_(call: Call, request: protocol.JobList) -> views.JobsView:
    db = call.services.db.read
    plan_id = lookup.plan(db, request.plan).plan_id if request.plan else None
    found = jobs.latest(db, status=request.status, plan_id=plan_id, limit=request.limit)
    total = jobs.count(db, status=request.status, plan_id=plan_id)
    return views.JobsView([show.job(job, db.clock) for job in found], total)


def show_(call: Call, request: protocol.JobShow) -> views.JobView:
    db = call.services.db.read
    return show.job(lookup.job(db, request.job), db.clock)


async def wait(call: Call, request: protocol.JobWait) -> views.JobView:
    found = lookup.job(call.services.db.read, request.job)

    def over() -> AsyncJob | None:
        job = jobs.get(call.services.db.read, found.job_id)
        return job if job is not None and not VALID_JOB_TRANSITIONS[job.status] else None

    job = await call.services.feed.until(over, plan_id=found.plan_id, timeout=request.timeout)
    if job is None:
        raise errors.TimedOutError(
            f"job {found.job_id} is not over after {request.timeout:.3g} s of waiting; it goes on",
            detail={"job_id": found.job_id, "waited": request.timeout},
            suggestions=[f"ca job wait {found.job_id}"],
        )
    return show.job(job, call.services.db.clock)


async def cancel(call: Call, request: protocol.JobCancel) -> views.JobView:
    """A job is a phase of a plan: cancelling it cancels the plan."""
    db = call.services.db.read
    found = lookup.job(db, request.job)
    if found.status is AsyncJobStatus.CANCELLED:
        call.say(f"job {found.job_id} is cancelled already")
        return show.job(found, db.clock)
    if not VALID_JOB_TRANSITIONS[found.status]:
        raise errors.InvalidJobTransitionError(
            f"job {found.job_id} is {found.status}; it cannot be cancelled any more",
            detail={"job_id": found.job_id, "status": found.status},
            suggestions=[f"ca plan show {found.plan_id}"],
        )
    await plan_handlers.cancel(call, protocol.PlanCancel(plan=found.plan_id, reason=request.reason))
    return show.job(jobs.get(db, found.job_id) or found, db.clock)


TABLE: Table = {
    protocol.JobList: list_,
    protocol.JobShow: show_,
    protocol.JobWait: wait,
    protocol.JobCancel: cancel,
}
