"""The verbs of jobs."""

from typing import TYPE_CHECKING, Any

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.dialogs import Question
from daemon import protocol, views

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def open_(app: "Dashboard", job: views.JobView) -> None:
    app.select_plan(job.plan_id)
    app.echo(verbs.VERBS["job.open"].command(plan=wording.short_id(job.plan_id)))


async def cancel(app: "Dashboard", job: views.JobView) -> None:
    verb, name = verbs.VERBS["job.cancel"], wording.short_id(job.job_id)
    plan = await app.link.call(protocol.PlanShow(plan=job.plan_id))
    asked = Question(
        verb.ask.format(job=name), f"{job.phase} of {wording.one_line(plan.name)}, {job.status}", yes="Yes, cancel it"
    )
    if not await app.push_screen_wait(asked):
        return
    await app.link.call(protocol.JobCancel(job=job.job_id), timeout=None)
    app.echo(verb.command(job=name))


async def prune(app: "Dashboard", _subject: Any) -> None:
    verb = verbs.VERBS["job.prune"]
    if not await app.push_screen_wait(Question(verb.ask, yes=verb.title)):
        return
    pruned = await app.link.call(protocol.JobPrune(), timeout=None)
    app.echo(verb.ca)
    app.notify(f"removed {wording.count(pruned.jobs, 'job')}, {wording.size(pruned.freed)} of logs")


TABLE = {"job.open": open_, "job.cancel": cancel, "job.prune": prune}
