"""What the screen of conflicts says: what does not fit, what each version is, and what to do next."""

from textual.content import Content

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches
from cleveragents_tui.dashboard.widgets.conflict_list import child_name, is_of_apply, side_name
from cleveragents_tui.dashboard.widgets.versions import Heading
from cleveragents_tui.wording import Mood
from daemon import views

_SUBMODULE = "160000"


def summary(found: views.PlanConflictsView, plan: views.PlanView) -> Content:
    """Who does not fit into what, and how many files are open."""
    if not found.conflicts:
        return Content(f"{wording.plan_mood(plan).sign} {plan.name} has no conflicts: it is {wording.position(plan)}")
    one = found.conflicts[0]
    left = sum(conflict.taken is None for conflict in found.conflicts)
    mood = Mood.NEEDS_YOU if left else Mood.DONE
    into = wording.short_name(one.project) if is_of_apply(one) else plan.name
    files = wording.count(len(found.conflicts), "file")
    return Content(f"{mood.sign} {child_name(one)} does not fit into {into}: {files}, {left} open")


def next_steps(found: views.PlanConflictsView, plan: views.PlanView, *, read_only: bool) -> Content:
    """What is to be done now, with the command that does it."""
    if not found.conflicts:
        return Content("Nothing has to be settled here.")
    if read_only:
        return Content("This dashboard only looks; a conflict is settled where one may write.")
    if is_of_apply(found.conflicts[0]):
        return Content(
            f"What is in the project is yours to change: make room there, then apply it (a): ca plan apply {plan.name}; "
            f"or start over from what is there (R): ca plan revert {plan.name}"
        )
    if all(conflict.taken is not None for conflict in found.conflicts):
        return Content(f"Every conflict is settled. Go on (e): ca plan execute {plan.name}")
    return Content("Take the parent's (p), the child's (c) or the base's (b) version, or edit the merged file (o).")


def headings(one: views.MergeConflictView, plan: views.PlanView) -> tuple[Heading, Heading, Heading]:
    """What stands above each version."""
    parent, child = ("", "") if is_of_apply(one) else (plan.name, child_name(one))
    return (
        Heading(side_name(one, "parent"), about(one.parent, one.base, parent)),
        Heading("base", about(one.base, one.base, "")),
        Heading(side_name(one, "child"), about(one.child, one.base, child)),
    )


def about(version: views.VersionView | None, base: views.VersionView | None, whose: str) -> str:
    """What is to be known of a version beside its lines."""
    of = f" in {wording.one_line(whose)}" if whose else ""
    if version is None:
        return f"{'deleted' if base else 'absent'}{of}"
    facts = [f"{patches.mode_word(version.mode)}{of}"]
    if version.mode != _SUBMODULE:
        facts.append(wording.size(version.bytes))
    if version.binary:
        facts.append("binary")
    elif version.text is None:
        facts.append("too long to show")
    elif version.text and not version.text.endswith("\n"):
        facts.append("no newline at the end")
    return ", ".join(facts)
