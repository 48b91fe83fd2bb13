"""The way of a plan in one line: which phases are behind it, where it stands, what is ahead."""

from collections.abc import Sequence

from textual.content import Content

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Mood, Tone
from daemon import views

PHASES = ("strategize", "execute", "apply")
_JOINT = " ── "
_NARROW_JOINT = " ─ "


def stepper(plan: views.PlanView, jobs: Sequence[views.JobView], now: float, width: int) -> Content:
    """`Strategize ✔ 0.2 s ── Execute ▶ 14 s ── Apply ◌`; `jobs` are the plan's, the newest first.

    Where `width` columns are too few the phases that are behind it are told without the time that they took.
    """
    took = {phase: _took(jobs, phase, now) for phase in PHASES}
    whole = Content(_JOINT).join([_phase(plan, phase, took[phase]) for phase in PHASES])
    if whole.cell_length <= width:
        return whole
    short = [_phase(plan, phase, took[phase] if phase == plan.phase else "") for phase in PHASES]
    return Content(_NARROW_JOINT).join(short)


def _phase(plan: views.PlanView, phase: str, took: str) -> Content:
    here = PHASES.index(plan.phase)
    at = PHASES.index(phase)
    title = phase.capitalize()
    if at < here or (at == here and plan.state == "complete"):
        return Content.assemble(title, " ", toned("✔", Tone.DONE), took)
    if at == here + 1 and plan.state == "complete" and plan.parent_plan_id is None:
        return Content.assemble((title, "bold"), " ", toned("◆ your turn", Tone.NEEDS_YOU))
    if at > here:
        return Content.assemble((f"{title} ◌", "dim"))
    mood = wording.plan_mood(plan)
    word = "your turn" if mood is Mood.NEEDS_YOU else plan.state
    return Content.assemble((title, "bold"), " ", toned(f"{mood.sign} {word}", mood.tone, bold=True), took)


def _took(jobs: Sequence[views.JobView], phase: str, now: float) -> str:
    """How long the last job of a phase took, or has taken."""
    job = next((job for job in jobs if job.phase == phase), None)
    took = None if job is None else wording.between(job.started_at, job.finished_at, now)
    return "" if took is None else f" {wording.duration(took)}"
