"""The tree that `ca plan use --dry-run` found, as people read it."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from cleveragents_tui import wording
from cleveragents_tui.cli.tables import Cell, pairs
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Mood, Tone
from daemon import views

CHILDREN = 10
"""Children of a step that are shown unless all are asked for."""
NAMED = 5
"""Items of an overlap that are named before the rest is counted."""
NARROW = 20
"""Columns that a command keeps on the narrowest line."""
_SETUP = "setup"


def dry_run(view: views.DryRunView, look: Look, *, everything: bool) -> Iterable[str]:
    """What `plan use` would make."""
    made = "a plan" if view.plans == 1 else f"{view.plans:,} plans"
    yield f"{look.bold(wording.short_name(view.action))} would make {made}; nothing was stored"
    yield from pairs(look, _facts(view))
    for base in view.base:
        where = f"{look.mood(Mood.NEEDS_YOU)} not in the sandbox of {wording.short_name(base.project)}:"
        yield from (f"{where} {wording.plain(entry)}" for entry in base.uncarried)
    yield look.dim("steps")
    yield from _Tree(look, everything=everything).plan(view.tree, "  ")


def _facts(view: views.DryRunView) -> list[tuple[str, str | Cell]]:
    facts: list[tuple[str, str | Cell]] = [
        ("on", ", ".join(wording.short_name(project) for project in view.projects)),
        ("profile", f"{view.automation_profile} ({view.profile_source})"),
        ("arguments", _line(wording.arguments(view.arguments))),
    ]
    facts += [("base", _base(base, alone=len(view.base) == 1)) for base in view.base]
    facts.append(("copied in", _copied(view.tree)))
    facts += [(check.name, f"{_line(check.run)} (a check)") for check in view.checks]
    return facts


def _base(base: views.DryRunBaseView, *, alone: bool) -> str:
    at = [] if alone else [wording.short_name(base.project)]
    at += [wording.plain(base.branch)] if base.branch is not None else []
    at.append(wording.short_commit(base.head) if base.head is not None else f"the files of {base.path}")
    dirty = f" and {wording.count(base.modified, 'uncommitted file')}" if base.head and base.modified else ""
    in_place = ", without a sandbox" if base.strategy == "none" else ""
    return f"{' '.join(at)}{dirty}{in_place}"


def _copied(plan: views.DryRunPlanView) -> str:
    """The ignored files that a plan gets; with several projects, one that is missing in all of them is missing."""
    lacking = [plan.missing.get(project, ()) for project in plan.projects]
    gone = {name for name in plan.include if all(name in missing for missing in lacking)}
    return _line("  ".join(f"{name} (missing)" if name in gone else name for name in plan.include))


def _line(text: str) -> str:
    return wording.plain(text.strip()).replace("\n", " ⏎ ")


class _Row(msgspec.Struct, frozen=True):
    """A step on its line."""

    label: str
    text: str
    notes: str = ""
    tone: Tone = Tone.PLAIN


class _Tree:
    """Plans below each other."""

    def __init__(self, look: Look, *, everything: bool) -> None:
        self._look = look
        self._shown = None if everything else CHILDREN

    def plan(self, plan: views.DryRunPlanView, indent: str) -> Iterator[str]:
        """The steps of a plan, and below each what it would make."""
        if plan.decided_by is not None:
            yield f"{self._look.dim(indent)}{self._look.dim(f'decided by {plan.decided_by} when it is their turn')}"
            return
        width = max(len(step.id) for step in plan.steps)
        if plan.setup is not None:
            width = max(width, len(_SETUP))
            yield self._row(_Row(_SETUP, _line(plan.setup), tone=Tone.WAITING), indent, width)
        for step in plan.steps:
            yield self._row(_row(step, plan), indent, width)
            if step.subplans is not None:
                yield from self._subplans(step.subplans, indent)

    def _row(self, row: _Row, indent: str, width: int) -> str:
        look = self._look
        room = look.width - wording.columns(indent) - width - 2
        notes = row.notes if room - wording.columns(row.notes) >= 2 * NARROW else ""
        text = wording.cut(row.text, max(NARROW, room - (wording.columns(notes) + 2 if notes else 0)))
        label = row.label + " " * (width - wording.columns(row.label))
        painted = look.bold(label) if row.tone is Tone.PLAIN else look.paint(label, row.tone)
        return f"{look.dim(indent)}{painted}  {text}" + (f"  {look.dim(notes)}" if notes else "")

    def _subplans(self, found: views.DryRunSubplansView, indent: str) -> Iterator[str]:
        if not found.children:
            return
        beside = f"{indent}│  "
        yield from self._told(beside, _limits(found), Tone.WAITING)
        if copied := _copied(found.children[0].plan):
            yield from self._told(beside, f"copied in: {copied}", Tone.WAITING)
        for overlap in found.overlaps[: self._shown]:
            yield from self._told(beside, _overlap(overlap), Tone.NEEDS_YOU)
        yield from self._rest(len(found.overlaps), beside, "overlap")
        for child in found.children[: self._shown]:
            last = child is found.children[-1]
            yield self._child(child, f"{indent}{'└─ ' if last else '├─ '}")
            yield from self.plan(child.plan, f"{indent}{'     ' if last else '│    '}")
        yield from self._rest(len(found.children), f"{indent}└─ ", "plan")

    def _child(self, child: views.DryRunChildView, guide: str) -> str:
        notes = [_line(wording.arguments(child.plan.arguments))]
        notes += [f"after {_named(child.needs)}"] if child.needs else []
        notes += [f"changes {_named(child.paths)}"] if child.paths else []
        item = _line(child.item)
        room = max(NARROW, self._look.width - wording.columns(guide))
        beside = wording.cut(_line(" · ".join(note for note in notes if note)), room - wording.columns(item) - 2)
        shown = self._look.bold(wording.cut(item, room))
        return f"{self._look.dim(guide)}{shown}" + (f"  {self._look.dim(beside)}" if beside else "")

    def _told(self, guide: str, text: str, tone: Tone) -> Iterator[str]:
        room = max(NARROW, self._look.width - wording.columns(guide))
        for line in textwrap.wrap(text, room, break_on_hyphens=False):
            yield f"{self._look.dim(guide)}{self._look.paint(line, tone)}"

    def _rest(self, number: int, guide: str, noun: str) -> Iterator[str]:
        if self._shown is not None and number > self._shown:
            yield self._look.dim(f"{guide}… {wording.count(number - self._shown, f'more {noun}')}; --all shows them")


def _row(step: views.DryRunStepView, plan: views.DryRunPlanView) -> _Row:
    notes = [f"after {', '.join(step.needs)}"] if step.needs else []
    notes += [f"in {wording.short_name(step.project)}"] if step.project != plan.projects[0] else []
    if step.subplans is not None:
        number, action = len(step.subplans.children), wording.short_name(step.subplans.action)
        made = f"{wording.count(number, 'plan')} of {action}" if number else f"no plans of {action}: there are no items"
        return _Row(step.id, made, " · ".join(notes))
    notes += [f"timeout {wording.duration(step.timeout)}"] if step.timeout is not None else []
    notes += [wording.count(step.retries, "retry", "retries")] if step.retries else []
    text = step.run if step.run is not None else f"“{step.prompt or ''}”"
    return _Row(step.id, _line(text), " · ".join(notes))


def _limits(found: views.DryRunSubplansView) -> str:
    one_by_one = found.mode == "sequential" or found.merge == "sequential_apply"
    told = ["one after another"] if one_by_one and found.mode != "sequential" else [found.mode.replace("_", " ")]
    told += [] if one_by_one else [f"at most {found.max_parallel} at once"]
    told += ["stops at the first failure"] if found.fail_fast else []
    told.append(f"merge {found.merge}")
    told += [wording.count(found.retries, "retry", "retries")] if found.retries else []
    told += [f"timeout {wording.duration(found.timeout)}"] if found.timeout is not None else []
    return ", ".join(told)


def _overlap(overlap: views.OverlapView) -> str:
    below = f", and below it {_named(overlap.below)}" if overlap.below else ""
    return _line(f"never at once: {overlap.path} is declared by {_named(overlap.items)}{below}")


def _named(items: Sequence[str]) -> str:
    rest = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + rest
