"""The steps of a plan, and under a step that has children those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.widgets.board import bar
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Mood, Tone
from daemon import views

BAR = 14


@dataclass(frozen=True)
class Entry:
    """A line: a step, or a child of the step."""

    step: views.StepView
    child: views.PlanView | None = None


class StepRows(Rows):
    """What the plan does, in order."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id)
        self._entries: list[Entry] = []

    def show(self, steps: Sequence[views.StepView], children: Mapping[str, Sequence[views.PlanView]]) -> None:
        """Steps, and by step the children that are known."""
        self._entries = [
            entry
            for step in steps
            for entry in (Entry(step), *(Entry(step, child) for child in children.get(step.id, ())))
        ]
        self.count = len(self._entries)
        self.refresh()

    @property
    def entry(self) -> Entry | None:
        """What is under the cursor."""
        return self._entries[self.cursor] if self.cursor < len(self._entries) else None

    def cells(self, row: int, width: int) -> Cells:
        """Sign, name, what it does, how it went, how long it took."""
        entry = self._entries[row]
        return self._step(entry.step, width) if entry.child is None else self._child(entry.child, width)

    def _now(self) -> float:
        return dashboard_of(self).now()

    def _step(self, step: views.StepView, width: int) -> Cells:
        mood = wording.step_mood(step.state)
        title = wording.one_line(step.title)
        took = wording.between(step.started_at, step.finished_at, self._now())
        right: Cells = [
            (f"{_how_it_went(step)} ", self.tone(mood.tone)),
            *self._children_bar(step),
            (_took(took), Style.null()),
        ]
        name = f" {mood.sign} {step.id}  "
        left: Cells = [(f" {mood.sign} ", self.tone(mood.tone)), (f"{step.id}  ", Style(bold=True)),
                       ("" if title == step.id else title, self.tone(Tone.WAITING))]  # fmt: skip
        return spread(left, right, max(width, wording.columns(name)))

    def _children_bar(self, step: views.StepView) -> Cells:
        if step.children is None or not step.children.total:
            return []
        numbers = step.children
        full = self.tone(wording.step_mood(step.state).tone)
        drawn = bar(numbers.complete + numbers.applied, numbers.total, BAR, full, self.tone(Tone.WAITING))
        return [*drawn, (f" {wording.children_note(numbers)} ", self.tone(Tone.WAITING))]

    def _child(self, child: views.PlanView, width: int) -> Cells:
        mood, now = wording.plan_mood(child), self._now()
        name = child.subplan.item if child.subplan is not None else child.name
        took = wording.between(child.started_at, child.finished_at, now)
        note = wording.one_line(wording.plan_note(child, now))
        left: Cells = [(f"   {mood.sign} ", self.tone(mood.tone)), (f"{wording.plain(name)}  ", Style.null()),
                       (note, self.tone(Tone.FAILED if mood is Mood.FAILED else Tone.WAITING))]  # fmt: skip
        return spread(left, [(f"{child.state} ", self.tone(mood.tone)), (_took(took), Style.null())], width)


def spread(left: Cells, right: Cells, width: int) -> Cells:
    """One part at the left edge, cut to what the part at the right edge leaves."""
    taken = sum(wording.columns(text) for text, _ in right)
    return [*fit(left, max(0, width - taken)), *right]


def _how_it_went(step: views.StepView) -> str:
    notes = [] if step.state in {"pending", "succeeded"} else [step.state.replace("_", " ")]
    notes += [f"exit {step.exit_code}"] if step.exit_code else []
    notes += [f"attempt {step.attempt}"] if step.attempt > 1 else []
    return ", ".join(notes)


def _took(took: float | None) -> str:
    return f"{wording.duration(took) if took is not None else '':>9} "
