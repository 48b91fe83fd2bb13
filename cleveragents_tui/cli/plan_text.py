"""Plans as people read them."""

from collections.abc import Iterable, Sequence
from typing import Any

from cleveragents_tui import wording
from cleveragents_tui.cli import children_text
from cleveragents_tui.cli.tables import Cell, Column, pairs, table
from cleveragents_tui.cli.watch import failure_lines
from cleveragents_tui.output import Look, Result
from cleveragents_tui.wording import Mood, Tone
from daemon import views


def status(plan: views.PlanView, look: Look) -> Iterable[str]:
    """Where a plan stands, and what to do next."""
    mood = wording.plan_mood(plan)
    note = wording.plain(wording.plan_note(plan, look.now))
    since = wording.age(plan.updated_at, look.now)
    head = f"{look.mood(mood)} {look.bold(plan.name)}  {look.paint(wording.position(plan), mood.tone)}"
    yield "  ".join(part for part in (head, note, look.dim(f"since {since}" if since != "now" else "")) if part)
    yield from next_line(plan.next, look)


def next_line(commands: Sequence[str], look: Look) -> Iterable[str]:
    """The commands that make sense now, as many as fit."""
    text, *rest = commands or [""]
    for command in rest:
        longer = f"{text} · {command}"
        if wording.columns(longer) + 8 > look.width:
            break
        text = longer
    if text:
        yield f"  {look.dim('next')}  {text}"


def show(plan: views.PlanView, look: Look, *, failed: views.PlansView | None = None) -> Iterable[str]:
    """Everything about a plan; `failed` are those of its children that need somebody."""
    mood = wording.plan_mood(plan)
    yield f"{look.mood(mood)} {look.bold(plan.name)}  {look.paint(wording.position(plan), mood.tone)}"
    yield from pairs(look, _facts(plan, look))
    if plan.error is not None and plan.state != "applied":
        yield from pairs(look, [("error", Cell(wording.plain(wording.error_note(plan.error)), Tone.FAILED))])
    if plan.steps:
        yield look.dim("steps")
        yield from table(look, _STEPS, [_step(step, look.now) for step in plan.steps], heading=False, indent=2)
    yield from _left_out(plan, look)
    if failed is not None:
        yield from children_text.needing(plan, failed, look)
    for command in plan.next:
        yield f"{look.dim('next' if command == plan.next[0] else '    ')}  {command}"


def _left_out(plan: views.PlanView, look: Look) -> Iterable[str]:
    """What git cannot carry of a project or of what the steps have made."""
    for box in plan.sandboxes:
        where = f"{look.mood(Mood.NEEDS_YOU)} not in the change of {wording.short_name(box.project)}:"
        yield from (f"{where} {wording.plain(reason)}" for reason in box.uncarried)


def _facts(plan: views.PlanView, look: Look) -> list[tuple[str, str | Cell]]:
    base = "  ".join(
        f"{wording.short_name(name)} {wording.short_commit(commit)}" for name, commit in plan.base.items() if commit
    )
    took = wording.between(plan.started_at, plan.finished_at, look.now)
    return [
        ("id", plan.plan_id),
        ("action", wording.short_name(plan.action)),
        ("on", wording.projects(plan)),
        *children_text.place(plan),
        ("arguments", wording.plain(wording.arguments(plan.arguments))),
        ("profile", f"{plan.automation_profile} ({plan.profile_source})"),
        ("priority", str(plan.priority) if plan.priority else ""),
        ("base", base),
        ("sandbox", "  ".join(box.path or "" for box in plan.sandboxes if box.status == "ready" and box.path)),
        ("children", children_text.numbers(plan)),
        ("change", _change(plan)),
        ("digest", plan.diff.digest if plan.diff is not None else ""),
        ("applied", _applied_note(plan.applied)),
        ("reversions", str(plan.reversions) if plan.reversions else ""),
        ("created", _ago(plan.created_at, look)),
        (
            "took" if plan.finished_at else "running",
            wording.duration(took) if took is not None and (plan.finished_at or plan.state == "processing") else "",
        ),
    ]


def _ago(moment: str, look: Look) -> str:
    passed = wording.age(moment, look.now)
    return (
        f"{wording.local_time(moment)} ({passed})"
        if passed == "now"
        else f"{wording.local_time(moment)} ({passed} ago)"
    )


def _change(plan: views.PlanView) -> str:
    return wording.change(plan.diff.files, plan.diff.insertions, plan.diff.deletions) if plan.diff is not None else ""


def _applied_note(applied: views.AppliedView | None) -> str:
    if applied is None:
        return ""
    commit = f", commit {wording.short_commit(applied.commit)}" if applied.commit else ""
    return f"{wording.change(applied.files, applied.insertions, applied.deletions)} as {applied.mode}{commit}"


_STEPS = (Column(), Column(), Column(minimum=16), Column(minimum=8), Column(right=True))


def _step(step: views.StepView, now: float) -> list[Cell | str]:
    mood = wording.step_mood(step.state)
    took = wording.between(step.started_at, step.finished_at, now)
    notes = [] if step.state in {"pending", "succeeded"} else [step.state.replace("_", " ")]
    notes += [f"exit {step.exit_code}"] if step.exit_code else []
    notes += [f"attempt {step.attempt}"] if step.attempt > 1 else []
    title = wording.plain(step.title).replace("\n", " ⏎ ")
    return [
        Cell(mood.sign, mood.tone),
        Cell(step.id, bold=True),
        Cell(title if title != step.id else "", Tone.WAITING),
        Cell(", ".join(notes), mood.tone),
        wording.duration(took) if took is not None else "",
    ]


def used(plan: views.PlanView, look: Look) -> Iterable[str]:
    """A new plan that nobody waits for."""
    mood = wording.plan_mood(plan)
    place = look.paint(wording.position(plan), mood.tone)
    yield f"Plan {look.bold(plan.name)} ({wording.short_id(plan.plan_id)}) on {wording.projects(plan)}: {place}"
    yield from next_line(plan.next[:2], look)


def moved(plan: views.PlanView, look: Look) -> Iterable[str]:
    """A plan that was just moved."""
    yield from status(plan, look)


def undone(plan: views.PlanView, look: Look) -> Iterable[str]:
    """A plan whose change is out of the project again."""
    if (plan.phase, plan.state) == ("execute", "complete"):
        yield f"{look.mood(Mood.DONE)} the change of {look.bold(plan.name)} is out of {wording.projects(plan)} again"
    yield from status(plan, look)


def settled(plan: views.PlanView, look: Look) -> Iterable[str]:
    """A plan that was waited for and ended well."""
    if plan.state == "applied":
        yield from _applied(plan, look)
        return
    yield from status(plan, look)
    yield from children_text.summary(plan, look)
    yield from _left_out(plan, look)


def _applied(plan: views.PlanView, look: Look) -> Iterable[str]:
    undo = plan.applied.undo if plan.applied is not None else f"ca plan undo {plan.name}"
    yield f"{look.mood(Mood.DONE)} {look.bold(plan.name)} applied: {_applied_note(plan.applied)}.  Undo: {undo}"
    for project in plan.applied.moved if plan.applied is not None else ():
        yield f"  {wording.short_name(project)} had moved since the plan's base; the change was merged with what is there now"


def applied_result(result: Result[views.PlanView]) -> Result[Any]:
    """After an Apply that was waited for: programs get what it did; people read it as always."""
    plan = result.data
    if result.error is not None or plan.applied is None:
        return result
    return Result(plan.applied, lambda _applied_view, look: settled(plan, look), exit_code=result.exit_code)


def about_to_apply(name: str, preview: views.PlanPreviewView, look: Look) -> Iterable[str]:
    """What `plan apply` is about to do, project by project."""
    yield from table(look, _TARGETS, [_target(project) for project in preview.projects], heading=False, indent=2)
    for project in preview.projects:
        for conflict in project.conflicts:
            yield f"    {look.paint('✘', Tone.FAILED)} {wording.plain(conflict.path)} ({conflict.kind})"
    if preview.checks:
        yield f"  {look.dim('checked first, on the merged result:')}"
        rows = [
            [wording.one_line(check.name), Cell(wording.one_line(check.run), Tone.WAITING)] for check in preview.checks
        ]
        yield from table(look, _CHECKS, rows, heading=False, indent=4)
    yield f"  {look.dim(f'the change {wording.short_digest(preview.digest)}   review: ca plan diff {name}')}"


_CHECKS = (Column(), Column(minimum=16))
_TARGETS = (Column(minimum=8), Column(drop=1), Column(), Column(minimum=16))


def _target(project: views.ProjectPreviewView) -> list[Cell | str]:
    change = wording.change(project.files, project.insertions, project.deletions)
    if project.conflicts:
        change, verdict = "", Cell("collides with your own changes; nothing would be written", Tone.FAILED)
    elif project.edited:
        verdict = Cell(f"merges cleanly, {len(project.edited)} of them with edits of yours, which are kept", Tone.DONE)
    elif project.moved:
        verdict = Cell("merges cleanly with what is there now", Tone.DONE)
    else:
        verdict = Cell("merges cleanly", Tone.DONE)
    return [Cell(wording.short_name(project.project), bold=True), wording.plain(project.branch or ""), change, verdict]


_QUESTIONS = {
    "worktree": "Apply to the working tree, nothing staged?",
    "index": "Apply and stage it, nothing committed?",
    "commit": "Apply as a commit on the current branch?",
    "branch": "Apply as a new branch, the checkout untouched?",
}


def apply_question(preview: views.PlanPreviewView) -> str:
    """What the mode means, as a question."""
    if any(project.conflicts for project in preview.projects):
        return "Try it all the same?"
    return _QUESTIONS[preview.mode]


def why(found: views.PlanErrorsView, look: Look, *, plan: views.PlanView | None) -> Iterable[str]:
    """Why a plan does not go on."""
    assert plan is not None, "people are shown the whole plan"
    if found.error is None:
        yield f"{look.mood(Mood.DONE)} {look.bold(plan.name)} has no error; it is {wording.position(plan)}"
        return
    yield f"{look.paint('✘', Tone.FAILED, bold=True)} {look.bold(plan.name)}: {wording.plain(wording.error_note(found.error))}"
    yield from failure_lines(plan, found, look)
