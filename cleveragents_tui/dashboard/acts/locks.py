"""The verbs of locks."""

from typing import TYPE_CHECKING, Any

from cleveragents_tui import verbs, wording
from cleveragents_tui.cli import lock_text
from cleveragents_tui.dashboard.dialogs import Question
from daemon import protocol, views

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard


async def open_(app: "Dashboard", lock: views.LockView) -> None:
    job = await app.link.call(protocol.JobShow(job=lock.owner_id.removeprefix("job:")))
    app.select_plan(job.plan_id)
    app.echo(verbs.VERBS["lock.open"].command(plan=wording.short_id(job.plan_id)))


async def release(app: "Dashboard", lock: views.LockView) -> None:
    verb = verbs.VERBS["lock.release"]
    name = lock_text.name(lock)
    asked = Question(
        verb.ask.format(lock=wording.one_line(name)), f"holder: {wording.one_line(lock.owner_id)}", yes=verb.title
    )
    if not await app.push_screen_wait(asked):
        return
    resource = f"{lock.resource_type}:{lock.resource_id}"
    await app.link.call(protocol.LockRelease(resource=resource, owner=lock.owner_id, fence=lock.fence))
    app.echo(f"{verb.command(lock=name)} --owner {verbs.quoted(lock.owner_id)} --fence {lock.fence}")


async def clean(app: "Dashboard", _subject: Any) -> None:
    found = await app.link.call(protocol.LockClean())
    app.echo(verbs.VERBS["lock.clean"].ca)
    app.notify(f"removed {wording.count(found.total, 'expired lock')}")


TABLE = {"lock.open": open_, "lock.release": release, "lock.clean": clean}
