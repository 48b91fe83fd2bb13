"""Why a plan does not go on: the error, the last lines of what failed, and the keys that lead on."""

from collections.abc import Iterable, Sequence

from textual.content import Content

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.verbs import Verb
from cleveragents_tui.wording import Mood, Tone
from daemon import views

CHILDREN = 10
"""Children that failed and are shown; the others are counted."""
WAYS = ("apply", "conflicts", "execute", "prompt", "logs", "explain", "rollback", "revert", "cancel")
"""The verbs that lead on, the likeliest first."""


def error_text(found: views.PlanErrorsView, plan: views.PlanView, offered: Sequence[Verb], width: int) -> Content:
    """All of it, for so many columns; `offered` are the verbs that can be done to the plan now."""
    return Content("\n").join([*_what(found, plan, width), Content(""), *_ways(plan, offered, width)])


def _what(found: views.PlanErrorsView, plan: views.PlanView, width: int) -> Iterable[Content]:
    if found.error is None and not found.children:
        sign = toned(f"{Mood.DONE.sign} ", Tone.DONE)
        yield Content.assemble(sign, f"{wording.plain(plan.name)} has no error; it is {wording.position(plan)}")
        return
    if found.error is not None:
        said = wording.plain(wording.error_note(found.error))
        yield Content.assemble(toned(f"{Mood.FAILED.sign} {said}", Tone.FAILED, bold=True))
        for file in wording.files_of(found.error):
            kind = f"  {file.kind}" if file.kind else ""
            item = f"  with {file.item}" if file.item else ""
            yield Content.assemble(f"  {wording.one_line(file.path)}", (wording.one_line(kind + item), "dim"))
    yield from _steps(found.steps, width)
    for child in found.children[:CHILDREN]:
        why = f": {wording.error_note(child.error)}" if child.error is not None else ""
        yield Content("")
        yield Content.assemble(toned(f"{Mood.FAILED.sign} ", Tone.FAILED), (wording.one_line(child.item), "bold"),
                               f" ({wording.plain(child.name)}){wording.one_line(why)}")  # fmt: skip
        yield from _steps(child.steps, width)
    if (more := len(found.children) - CHILDREN) > 0:
        yield Content.assemble((f"and {wording.count(more, 'more child', 'more children')} that failed", "dim"))


def _steps(steps: Iterable[views.FailedStepView], width: int) -> Iterable[Content]:
    """How each step ended, and what it said last."""
    for step in steps:
        if step.log is None and not step.tail:
            continue  # its children have failed, and say why themselves
        code = f", exit {step.exit_code}" if step.exit_code else ""
        again = f", attempt {step.attempt}" if step.attempt > 1 else ""
        state = step.state.replace("_", " ")
        yield Content("")
        yield Content.assemble(("step ", "dim"), (wording.plain(step.id), "bold"), (f" {state}{code}{again}", "dim"))
        if not step.tail:
            yield Content.assemble(("  it printed nothing", "dim"))
        for line in step.tail:
            yield Content(wording.cut(f"  {wording.one_line(line)}", width))  # the log tab has all of it


def _ways(plan: views.PlanView, offered: Sequence[Verb], width: int) -> Iterable[Content]:
    """The key, what it does, and where there is room the command that does the same."""
    ways = sorted((verb for verb in offered if verb.name in WAYS), key=lambda verb: WAYS.index(verb.name))
    column = max((wording.columns(verb.help) for verb in ways), default=0)
    for verb in ways:
        command = f"  {verb.command(plan=plan.name)}"
        room = width - column - 4 >= wording.columns(command)
        yield Content.assemble(
            (f" {verb.key}  ", "bold $primary"), f"{verb.help:<{column}}", (command if room else "", "dim")
        )
