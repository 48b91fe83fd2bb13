"""What is shown while a plan runs: a block on the terminal that is redrawn in place; the other spectators are in `following`.

A spectator is told how the plan stands (`show`), what happened to it and its children (`hear`), that time passes (`tick`), and
that it is over (`end`). Everything goes to stderr except the steps' own output, which is data.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from cleveragents_tui import wording
from cleveragents_tui.cli.logs import last_line
from cleveragents_tui.cli.tables import Cell
from cleveragents_tui.output import Look, Output
from cleveragents_tui.wording import Mood, Tone
from daemon import views

REPAINT_SECONDS = 0.1
EDGE = 100
"""Columns beyond which nothing is drawn: what stands at the right edge should be near what it belongs to."""
ROOMY = 60
"""Columns from which on there is room for the bar of a step with children."""
STEP_ROWS = 3
"""Lines that steps get at least when children need room too."""
PHASES = ("strategize", "execute", "apply")
OVER = {"succeeded", "failed", "timed_out", "cancelled", "skipped", "lost"}


class Spectator(Protocol):
    """Somebody who watches a plan.

    Attributes:
        interval: How often `tick` has something to do; None is never.
        tree: Whether the plan's children are watched too.
        seq: The event after which it wants to hear of the others; None is from now on.
    """

    interval: float | None
    tree: bool
    seq: int | None

    @property
    def rows(self) -> int:
        """How many running children it has room for."""
        ...

    def show(self, plan: views.PlanView, running: Sequence[views.PlanView] = ()) -> None: ...
    def hear(self, events: Sequence[views.EventView]) -> None: ...
    def tick(self) -> None: ...
    def end(self) -> None: ...


class Silence:
    """Shows nothing."""

    interval: float | None = None
    tree = False
    rows = 0

    def __init__(self) -> None:
        self.seq: int | None = None

    def show(self, plan: views.PlanView, running: Sequence[views.PlanView] = ()) -> None:
        """Nothing."""

    def hear(self, events: Sequence[views.EventView]) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class Block:
    """Phases, steps and running children on a terminal, redrawn in place."""

    interval: float | None = REPAINT_SECONDS
    tree = True

    def __init__(self, out: Output, height: Callable[[], int]) -> None:
        self.seq: int | None = None
        self._running: Sequence[views.PlanView] = ()
        self._out = out
        self._height = height
        self._plan: views.PlanView | None = None
        self._drawn = 0
        self._painted_at = 0.0

    @property
    def rows(self) -> int:
        """So many that some lines are left for the steps."""
        return max(1, self._room - STEP_ROWS)

    @property
    def _room(self) -> int:
        return max(3, self._height() - 6)

    def show(self, plan: views.PlanView, running: Sequence[views.PlanView] = ()) -> None:
        """Take over how the plan and its running children stand; painted at the next tick."""
        self._plan = plan
        self._running = running
        self.tick()

    def hear(self, events: Sequence[views.EventView]) -> None:
        """What happened is seen in how the plan stands."""

    def tick(self) -> None:
        """Paint, but not more often than ten times a second."""
        if time.monotonic() - self._painted_at >= REPAINT_SECONDS * 0.9:
            self._paint()

    def end(self) -> None:
        """Leave the last picture standing."""
        self._paint()

    def _paint(self) -> None:
        if self._plan is None:
            return
        self._painted_at = time.monotonic()
        look = self._out.talk_look
        narrower = Look(look.width - 1, look.colour, time.time())
        lines = block_lines(self._plan, narrower, self._room, self._running)
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        stderr = self._out.stderr
        stderr.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        stderr.flush()
        self._drawn = len(lines)


def terminal_height() -> int:
    """Rows of the terminal that stderr is."""
    import os  # noqa: PLC0415  only a live block asks

    try:
        return os.get_terminal_size(sys.stderr.fileno()).lines or 24
    except OSError:
        return 24


def block_lines(plan: views.PlanView, look: Look, room: int, running: Sequence[views.PlanView] = ()) -> list[str]:
    """The picture of a plan on its way, with those of its children that run."""
    projects = ", ".join(wording.short_name(project) for project in plan.projects)
    lines = [
        _spread(
            look,
            [
                Cell("Plan "),
                Cell(plan.name, bold=True),
                Cell(f" ({wording.short_id(plan.plan_id)}) on {projects}{_base(plan)}"),
            ],
            "",
        )
    ]
    current = PHASES.index(plan.phase)
    for index, phase in enumerate(PHASES[: current + 1]):
        lines.append(_phase_line(plan, phase, look, done=index < current))
        if phase == "execute":
            lines += _steps_lines(plan, look, room, running)
    return lines


def _steps_lines(plan: views.PlanView, look: Look, room: int, running: Sequence[views.PlanView]) -> list[str]:
    """The steps, and below the step that they belong to the running children, as many as there is room for."""
    lines: list[str] = []
    steps = _visible(plan.steps, max(STEP_ROWS, room - len(running)))
    left = max(1, room - len(steps))
    for step in steps:
        lines.append(_running_line(step, look))
        mine = [child for child in running if child.subplan is not None and child.subplan.step == step.id]
        at_work = step.children.processing if step.children is not None and mine else 0
        shown = mine[:left] if at_work <= left else mine[: left - 1]
        lines += [_child_line(child, look) for child in shown]
        if shown and at_work > len(shown):
            lines.append(_spread(look, [Cell(f"      and {at_work - len(shown)} more running", Tone.WAITING)], ""))
    return lines


def _child_line(child: views.PlanView, look: Look) -> str:
    step = next((step for step in child.steps if step.state == "running"), None)
    since = step.started_at if step is not None else child.updated_at
    if child.children.total:
        said = wording.children_note(child.children, short=look.width < ROOMY)
    elif step is not None:
        said = f"{step.id}: {wording.plain(last_line(step.log)) if step.log is not None else ''}".removesuffix(": ")
    else:
        said = child.phase
    mood = wording.plan_mood(child)
    item = wording.one_line(child.subplan.item if child.subplan is not None else child.name)
    name = wording.cut_front(item, max(8, min(look.width, EDGE) // 2))
    right = wording.clock(look.now - wording.seconds(since)) if since is not None else ""
    return _spread(
        look,
        [Cell("      "), Cell(mood.sign, mood.tone), Cell(f" {name}  ", bold=True), Cell(said, Tone.WAITING)],
        right,
    )


def _base(plan: views.PlanView) -> str:
    commits = [wording.short_commit(commit) for commit in plan.base.values() if commit]
    return f", base {' '.join(commits)}" if commits else ""


def _phase_line(plan: views.PlanView, phase: str, look: Look, *, done: bool) -> str:
    mood = Mood.DONE if done or plan.state in {"complete", "applied"} else wording.plan_mood(plan)
    note = {"strategize": _strategize_note, "execute": _execute_note, "apply": _apply_note}[phase](plan)
    if not done and plan.state not in {"complete", "applied"}:
        note = f"{plan.state} {note}".rstrip()
    since = plan.updated_at if not done and plan.state == "processing" else None
    right = wording.clock(look.now - wording.seconds(since)) if since else ""
    return _spread(look, [Cell(f"  {phase.ljust(11)} "), Cell(mood.sign, mood.tone), Cell(f" {note}")], right)


def _strategize_note(plan: views.PlanView) -> str:
    parts = [wording.count(len(plan.steps), "step")] if plan.steps else []
    if plan.children.total:
        parts.append(f"{plan.children.total} children")
    return ", ".join(parts)


def _execute_note(plan: views.PlanView) -> str:
    if plan.diff is not None and (plan.phase == "apply" or plan.state == "complete"):
        return wording.change(plan.diff.files, plan.diff.insertions, plan.diff.deletions)
    if not plan.steps:
        return ""
    done, total = wording.finished_steps(plan.steps), len(plan.steps)
    return f"{done}/{total} {_bar(done, total)}"


def _apply_note(plan: views.PlanView) -> str:
    change = plan.applied or plan.diff
    return wording.change(change.files, change.insertions, change.deletions) if change is not None else ""


def _bar(done: int, total: int, width: int = 20) -> str:
    filled = width * done // max(1, total)
    return "━" * filled + ("╺" if filled < width else "") + "─" * (width - filled - 1)


def _running_line(step: views.StepView, look: Look) -> str:
    mood = wording.step_mood(step.state)
    took = wording.between(step.started_at, step.finished_at, look.now)
    right = ""
    if took is not None:
        right = wording.clock(took) if step.state == "running" else wording.duration(took)
    said = ""
    if step.children is not None and step.children.total:
        said = _children_note(step.children, look)
    elif step.state == "running" and step.log is not None:
        said = wording.plain(last_line(step.log))
    elif step.exit_code:
        said = f"exit {step.exit_code}"
    elif step.state not in {"pending", "succeeded"}:
        said = step.state.replace("_", " ")
    return _spread(
        look,
        [Cell("    "), Cell(mood.sign, mood.tone), Cell(f" {step.id}  "), Cell(said or _title(step), Tone.WAITING)],
        right,
    )


def _children_note(children: views.StepChildrenView, look: Look) -> str:
    if look.width < ROOMY:
        return wording.children_note(children, short=True)
    return f"{_bar(children.complete, children.total)} {wording.children_note(children)}"


def _title(step: views.StepView) -> str:
    return "" if step.title == step.id else wording.plain(step.title).replace("\n", " ")


def _visible(steps: list[views.StepView], room: int) -> list[views.StepView]:
    """The steps around the one that runs, when the terminal is too low for all."""
    if len(steps) <= room:
        return steps
    running = next((index for index, step in enumerate(steps) if step.state not in OVER), len(steps) - 1)
    start = max(0, min(running - room // 2, len(steps) - room))
    return steps[start : start + room]


def _spread(look: Look, cells: list[Cell], right: str) -> str:
    """Cells from the left, cut to leave place for the text at the right edge."""
    edge = min(look.width, EDGE)
    room = edge - (len(right) + 2 if right else 0)
    painted = ""
    for cell in cells:
        text = wording.cut(cell.text, room)
        room -= wording.columns(text)
        painted += look.paint(text, cell.tone, bold=cell.bold)
    return f"{painted}{' ' * max(0, room)}  {right}" if right else painted
