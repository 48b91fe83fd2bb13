"""The verbs of plans."""

import shlex
from functools import partial
from typing import TYPE_CHECKING

from cleveragents_tui import surroundings, verbs, wording
from cleveragents_tui.cli import plan_history, plan_prune
from cleveragents_tui.dashboard.dialogs import Question, Text
from cleveragents_tui.dashboard.screens.apply import ApplyDialog
from cleveragents_tui.dashboard.screens.conflicts import ConflictsScreen
from cleveragents_tui.dashboard.screens.plans import PlansRoom
from cleveragents_tui.dashboard.screens.prompt_form import PromptForm
from cleveragents_tui.dashboard.screens.rollback import StepChoice
from cleveragents_tui.dashboard.speech import lines, spoken
from cleveragents_tui.output import Look
from daemon import protocol, views
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

TEXT_WIDTH = 98
"""Columns of a text in a dialog, where the terminal has them."""


def _width(app: "Dashboard") -> int:
    return min(TEXT_WIDTH, app.size.width * 96 // 100 - 8)


def _command(name: str, plan: views.PlanView) -> str:
    return verbs.VERBS[f"plan.{name}"].command(plan=plan.name)


async def _confirmed(app: "Dashboard", name: str, plan: views.PlanView) -> bool:
    verb = verbs.VERBS[f"plan.{name}"]
    said = f"{wording.position(plan)} · {wording.one_line(wording.plan_note(plan, app.now()))}".rstrip(" ·")
    return await app.push_screen_wait(
        Question(verb.ask.format(plan=plan.name), said, yes=f"Yes, {verb.title.lower()} it")
    )


# --- moving -----------------------------------------------------------------------------------------------------------------


async def execute(app: "Dashboard", plan: views.PlanView) -> None:
    """Start Execute, or go on."""
    await app.link.call(protocol.PlanExecute(plan=plan.plan_id))
    app.echo(_command("execute", plan))
    if isinstance(app.screen, ConflictsScreen):  # everything is settled there, and the plan is what one wants to see
        app.screen.dismiss()


async def apply(app: "Dashboard", plan: views.PlanView) -> None:
    """Show what would be done, and do exactly that: the digest that was on the screen is what is applied."""
    settings = {
        name: value
        for name, value in surroundings.environment(app.environ, app.link.messages.append).items()
        if name.startswith("CLEVERAGENTS_")
    }

    async def look(mode: str | None) -> views.PlanPreviewView:
        asked = protocol.PlanPreview(plan=plan.plan_id, mode=mode, environment=settings)
        return await app.link.call(asked, timeout=None)

    preview = await app.push_screen_wait(ApplyDialog(plan, await look(None), look))
    if preview is None:
        return
    empty = not any(project.files or project.conflicts for project in preview.projects)
    await app.link.call(
        protocol.PlanApply(
            plan=plan.plan_id, expect=preview.digest, mode=preview.mode, allow_empty=empty, environment=settings
        )
    )
    options = f"--yes --mode {preview.mode}{' --allow-empty' if empty else ''} --expect {preview.digest}"
    app.echo(f"{_command('apply', plan)} {options}")


async def prompt(app: "Dashboard", plan: views.PlanView) -> None:
    """A word of advice, then on."""
    found = await app.link.call(protocol.PlanErrors(plan=plan.plan_id))
    said = [line for step in found.steps for line in step.tail]
    text = await app.push_screen_wait(PromptForm(plan, said))
    if text is None:
        return
    app.echo(f"{_command('prompt', plan)} {shlex.quote(text)}")


async def undo(app: "Dashboard", plan: views.PlanView) -> None:
    """Take the change out of the project again."""
    if not await _confirmed(app, "undo", plan):
        return
    options = "--yes"
    try:
        await app.link.call(protocol.PlanUndo(plan=plan.plan_id), timeout=None)
    except errors.ChangeMovedError as error:
        kept = "What was changed since stays as it is; everything else is taken out."
        if not await app.push_screen_wait(
            Question("Take the rest of it out?", wording.plain(error.message), kept, yes="Yes, the rest")
        ):
            return
        options = "--keep-going --yes"
        await app.link.call(protocol.PlanUndo(plan=plan.plan_id, keep_going=True), timeout=None)
    app.echo(f"{_command('undo', plan)} {options}")


async def revert(app: "Dashboard", plan: views.PlanView) -> None:
    """Back to Strategize."""
    if await _confirmed(app, "revert", plan):
        await app.link.call(protocol.PlanRevert(plan=plan.plan_id))
        app.echo(f"{_command('revert', plan)} --yes")


async def cancel(app: "Dashboard", plan: views.PlanView) -> None:
    """Stop it for good."""
    if await _confirmed(app, "cancel", plan):
        await app.link.call(protocol.PlanCancel(plan=plan.plan_id), timeout=None)
        app.echo(f"{_command('cancel', plan)} --yes")


async def rollback(app: "Dashboard", plan: views.PlanView) -> None:
    """The sandbox back to the checkpoint of a step."""
    step = await app.push_screen_wait(StepChoice(plan))
    if step is not None:
        await app.link.call(protocol.PlanRollback(plan=plan.plan_id, step=step), timeout=None)
        app.echo(f"{_command('rollback', plan)} {shlex.quote(step)}")


async def prune(app: "Dashboard", _subject: object) -> None:
    """Show what would go, and remove it when that is wanted."""
    found = await app.link.call(protocol.PlanPrune(dry_run=True), timeout=None)
    look = Look(width=_width(app), colour=True, now=app.now())
    shown = lines(plan_prune.prune_lines(found, look))
    app.echo("ca plan prune --dry-run")
    if not any(entry.removed for entry in found.entries):
        await app.push_screen_wait(Text("Nothing to prune", shown))
    elif await app.push_screen_wait(Question("Remove these?", *shown, yes="Remove")):
        done = await app.link.call(protocol.PlanPrune(), timeout=None)
        app.notify(f"freed {wording.size(done.freed)}", markup=False)
        app.echo("ca plan prune --yes")


# --- looking ----------------------------------------------------------------------------------------------------------------


async def look_at(tab: str, name: str, app: "Dashboard", plan: views.PlanView) -> None:
    """One of the plan's tabs."""
    room = await _room_of(app, plan)
    room.open(tab)
    app.echo(_command(name, plan))


async def _room_of(app: "Dashboard", plan: views.PlanView) -> PlansRoom:
    """The plans, with the cursor on one of them; whoever asks may be in another room, or in front of its conflicts."""
    if isinstance(app.screen, PlansRoom):
        return app.screen
    if isinstance(app.screen, ConflictsScreen):
        await app.screen.dismiss()
    await app.switch_mode("plans")
    room = app.screen_stack[0]
    assert isinstance(room, PlansRoom), "the first room is that of the plans"
    room.select(plan.plan_id)
    return room


async def follow(app: "Dashboard", plan: views.PlanView) -> None:
    """The log of what runs, and its end."""
    (await _room_of(app, plan)).follow()
    app.echo(_command("follow", plan))


async def conflicts(app: "Dashboard", plan: views.PlanView) -> None:
    """Settle what does not fit together."""
    app.echo(_command("conflicts", plan))
    await app.push_screen_wait(ConflictsScreen(plan.plan_id))


async def explain(app: "Dashboard", plan: views.PlanView) -> None:
    """Why it stands where it stands."""
    found = await app.link.call(protocol.PlanExplain(plan=plan.plan_id))
    app.echo(_command("explain", plan))
    said = spoken(plan_history.explain_lines, found, width=_width(app), now=app.now())
    await app.push_screen_wait(Text(f"Why {plan.name} is {wording.position(plan)}", said))


async def artifacts(app: "Dashboard", plan: views.PlanView) -> None:
    """Everything that it made and that can be reached."""
    found = await app.link.call(protocol.PlanArtifacts(plan=plan.plan_id))
    app.echo(_command("artifacts", plan))
    said = spoken(plan_history.artifact_lines, found, width=_width(app), now=app.now())
    await app.push_screen_wait(Text(f"What {plan.name} made", said))


async def wait(app: "Dashboard", plan: views.PlanView) -> None:
    """Tell when nothing more happens by itself, wherever one looks then."""
    app.echo(_command("wait", plan))
    app.notify(f"you will be told when {plan.name} is through", markup=False)
    rested = await app.link.call(protocol.PlanWait(plan=plan.plan_id), timeout=None)
    mood = wording.plan_mood(rested)
    app.bell()
    app.notify(f"{mood.sign} {rested.name}: {wording.position(rested)}", title="Through", markup=False)


async def copy(app: "Dashboard", plan: views.PlanView) -> None:
    """Its id, to the clipboard of the terminal."""
    app.copy_to_clipboard(plan.plan_id)
    app.notify(f"copied {plan.plan_id}", markup=False)


TABLE = {
    "plan.execute": execute,
    "plan.apply": apply,
    "plan.prompt": prompt,
    "plan.undo": undo,
    "plan.revert": revert,
    "plan.cancel": cancel,
    "plan.rollback": rollback,
    "plan.prune": prune,
    "plan.conflicts": conflicts,
    "plan.explain": explain,
    "plan.artifacts": artifacts,
    "plan.wait": wait,
    "plan.copy": copy,
    "plan.show": partial(look_at, "steps", "show"),
    "plan.logs": partial(look_at, "log", "logs"),
    "plan.follow": follow,
    "plan.diff": partial(look_at, "diff", "diff"),
    "plan.tree": partial(look_at, "decisions", "tree"),
    "plan.events": partial(look_at, "events", "events"),
    "plan.errors": partial(look_at, "errors", "errors"),
}
