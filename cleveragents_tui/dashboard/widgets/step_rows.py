"""The steps of a plan, and under a step that has children those."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.misfits import Misfit, misfits
from cleveragents_tui.dashboard.widgets.board import bar
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Mood, Tone
from daemon import views

BAR = 14
ROOMY = 90
"""Columns from which on what children do is said in words."""


@dataclass(frozen=True)
class Entry:
    """A line: a step, or a child of the step."""

    step: views.StepView
    child: views.PlanView | None = None
    misfit: Misfit | None = None

    @property
    def runs(self) -> bool:
        """Whether the line changes with time."""
        return (self.step if self.child is None else self.child).state in {"running", "processing"}


class StepRows(Rows):
    """What the plan does, in order."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id)
        self._entries: list[Entry] = []
        self._tails: Mapping[str, str] = {}
        self._missing = 0
        self._plan_id = ""

    def show(self, plan: views.PlanView, children: Sequence[views.PlanView]) -> None:
        """The steps of a plan, and those of its children that are known."""
        below: dict[str, list[views.PlanView]] = {}
        for child in children:
            if child.subplan is not None:
                below.setdefault(child.subplan.step, []).append(child)
        unfit = misfits(plan)
        entries: list[Entry] = []
        for step in plan.steps:
            entries.append(Entry(step))
            for child in below.get(step.id, ()):
                item = child.subplan.item if child.subplan is not None else ""
                entries.append(Entry(step, child, unfit.get((step.id, item))))
        missing = max(0, plan.children.total - len(children))
        another, self._plan_id = plan.plan_id != self._plan_id, plan.plan_id
        before, self._entries = self._entries, entries
        self._missing = missing
        self.count = len(entries) + bool(missing)
        for row in self.seen:
            if entries[row : row + 1] != before[row : row + 1] or row >= len(entries):
                self.redraw(row)
        if another:
            self.cursor = self._worth_a_look()

    def _worth_a_look(self) -> int:
        """What keeps the plan from going on, else what runs, else the first step."""
        moods = [wording.step_mood(entry.step.state) for entry in self._entries]
        misfit = next((row for row, entry in enumerate(self._entries) if entry.misfit is not None), None)
        found = (moods.index(mood) for mood in (Mood.FAILED, Mood.RUNNING) if mood in moods)
        return next(found, 0) if misfit is None else misfit

    def tick(self, tails: Mapping[str, str]) -> None:
        """Draw what changes with time: how long it takes, and of a step what it printed last, by its id."""
        self._tails = tails
        for row in self.seen:
            if row < len(self._entries) and self._entries[row].runs:
                self.redraw(row)

    @property
    def entry(self) -> Entry | None:
        """What is under the cursor."""
        return self._entries[self.cursor] if self.cursor < len(self._entries) else None

    def selectable(self, row: int) -> bool:
        """What is said about the rest is nothing to choose."""
        return row < len(self._entries)

    def cells(self, row: int, width: int) -> Cells:
        """Sign, name, what it does, how it went, how long it took."""
        if row >= len(self._entries):
            more = wording.count(self._missing, "more child", "more children")
            return [(f"     and {more}, in the list of plans", self.tone(Tone.WAITING))]
        entry = self._entries[row]
        return self._step(entry.step, width) if entry.child is None else self._child(entry.child, entry.misfit, width)

    def _now(self) -> float:
        return dashboard_of(self).now()

    def _step(self, step: views.StepView, width: int) -> Cells:
        mood = wording.step_mood(step.state)
        title = wording.one_line(step.title)
        if step.state == "running" and self._tails.get(step.id):
            title = self._tails[step.id]
        took = wording.between(step.started_at, step.finished_at, self._now())
        drawn = self._children_bar(step, short=width < ROOMY)
        how = "" if drawn and step.state == "running" else _how_it_went(step)  # the bar says it
        right: Cells = [(f"{how} ", self.tone(mood.tone)), *drawn, (_took(took), Style.null())]
        left: Cells = [(f" {mood.sign} ", self.tone(mood.tone)), (f"{wording.plain(step.id)}  ", Style(bold=True)),
                       ("" if title == step.id else title, self.tone(Tone.WAITING))]  # fmt: skip
        return spread(left, right, width, keep=wording.columns(f" {mood.sign} {step.id} "))

    def _children_bar(self, step: views.StepView, *, short: bool) -> Cells:
        """How many children are through; once the step has ended badly how many of them are in the parent."""
        if step.children is None or not step.children.total:
            return []
        numbers, note = step.children, wording.children_note(step.children, short=short)
        done = numbers.complete + numbers.applied
        if step.state in {"failed", "timed_out", "lost", "cancelled"}:
            done = numbers.integrated
            note = f"{done}/{numbers.total} in{note.removeprefix(note.partition(' ')[0])}"
        full = self.tone(wording.step_mood(step.state).tone)
        drawn = bar(done, numbers.total, BAR, full, self.tone(Tone.WAITING))
        return [*drawn, (f" {note} ", self.tone(Tone.WAITING))]

    def _child(self, child: views.PlanView, misfit: Misfit | None, width: int) -> Cells:
        mood, now = wording.plan_mood(child), self._now()
        word, note = _standing(child), wording.one_line(wording.plan_note(child, now))
        if misfit is not None:
            mood, word, note = (Mood.FAILED if misfit.open else Mood.NEEDS_YOU), misfit.word, misfit.note
        name = child.subplan.item if child.subplan is not None else child.name
        left: Cells = [(f"   {mood.sign} ", self.tone(mood.tone)), (f"{wording.one_line(name)}  ", Style.null()),
                       (note, self.tone(mood.tone if misfit or mood is Mood.FAILED else Tone.WAITING))]  # fmt: skip
        return spread(left, [(f"{word} ", self.tone(mood.tone)), (_took(_worked(child, now)), Style.null())], width)


def spread(left: Cells, right: Cells, width: int, *, keep: int = 0) -> Cells:
    """One part at the left edge, cut to what the part at the right edge leaves, which is at least `keep` columns."""
    taken = sum(wording.columns(text) for text, _ in right)
    room = max(keep, width - taken - 1)
    return [*fit(left, room), (" ", Style.null()), *fit(right, max(0, width - room - 1))]


def _how_it_went(step: views.StepView) -> str:
    notes = [] if step.state in {"pending", "succeeded"} else [step.state.replace("_", " ")]
    notes += [f"exit {step.exit_code}"] if step.exit_code else []
    notes += [f"attempt {step.attempt}"] if step.attempt > 1 else []
    return ", ".join(notes)


def _standing(child: views.PlanView) -> str:
    """Its state, or what it is to its parent by now."""
    if child.subplan is not None and child.subplan.left_out:
        return "left out"
    if child.subplan is not None and child.subplan.integrated_at is not None:
        return "in"
    return child.state


def _worked(child: views.PlanView, now: float) -> float | None:
    """How long it has worked; one that is through waits for its parent, and is finished only when that is."""
    ends = [step.finished_at for step in child.steps if step.finished_at is not None]
    through = child.state not in {"queued", "processing"}
    return wording.between(child.started_at, max(ends, default=child.updated_at) if through else child.finished_at, now)


def _took(took: float | None) -> str:
    return f"{wording.duration(took) if took is not None else '':>9} "
