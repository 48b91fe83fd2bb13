"""What is shown while a plan runs: a block on the terminal that is redrawn in place, or a line for each finished step.

A spectator is told how the plan stands (`show`), that time passes (`tick`), and that it is over (`end`). Everything goes
to stderr except the steps' own output, which is data.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from cleveragents_tui import wording
from cleveragents_tui.cli.logs import Lines, last_line
from cleveragents_tui.cli.tables import Cell
from cleveragents_tui.output import Look, Output
from cleveragents_tui.wording import Mood, Tone
from daemon import views

REPAINT_SECONDS = 0.1
TAIL_SECONDS = 0.1
PHASES = ("strategize", "execute", "apply")
_OVER = {"succeeded", "failed", "timed_out", "cancelled", "skipped", "lost"}


class Spectator(Protocol):
    """Somebody who watches a plan. `interval` is how often `tick` has something to do; None is never."""

    interval: float | None

    def show(self, plan: views.PlanView) -> None: ...
    def tick(self) -> None: ...
    def end(self) -> None: ...


class Silence:
    """Shows nothing."""

    interval: float | None = None

    def show(self, plan: views.PlanView) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class PlainLines:
    """A line on stderr for each step that is over, and for each phase."""

    interval: float | None = None

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told: set[tuple[str, int]] = set()
        self._phase = ""

    def show(self, plan: views.PlanView) -> None:
        """Tell what is new. What was over before the first look is not news."""
        look = self._out.talk_look
        first = not self._phase
        if plan.phase != self._phase:
            self._phase = plan.phase
            if not first or plan.state in {"queued", "processing"}:
                self._out.talk(f"{look.mood(Mood.RUNNING)} {plan.name}: {plan.phase}")
        for step in plan.steps:
            key = (step.id, step.attempt)
            if step.state in _OVER and key not in self._told:
                self._told.add(key)
                if not first and step.state != "skipped":
                    self._out.talk(_step_line(step, look))

    def tick(self) -> None:
        """Nothing moves between two lines."""

    def end(self) -> None:
        """Nothing is left to tidy."""


class Follower(PlainLines):
    """The output of the steps, each line with its step in front, and the lines of `PlainLines` beside it."""

    interval: float | None = TAIL_SECONDS

    def __init__(self, out: Output) -> None:
        super().__init__(out)
        self._tails: dict[str, tuple[str, Lines]] = {}
        self._done: set[str] = set()
        self._width = 0

    def skip(self, plan: views.PlanView) -> None:
        """What was over when the command began is not its output."""
        self._done |= {step.log for step in plan.steps if step.log is not None and step.state in _OVER}

    def show(self, plan: views.PlanView) -> None:
        """Follow the logs of steps that have one, to their end when the step is over."""
        self._width = max([self._width, *(len(step.id) for step in plan.steps)])
        for step in plan.steps:
            if step.log is None or step.log in self._done:
                continue
            if step.log not in self._tails:
                self._tails[step.log] = (step.id, Lines(step.log))
            if step.state in _OVER:
                self._print(step.log, last=True)
                self._done.add(step.log)
                del self._tails[step.log]
        super().show(plan)

    def tick(self) -> None:
        """Print what was written since the last look."""
        for log in self._tails:
            self._print(log)

    def end(self) -> None:
        """Print what is left, unfinished lines too."""
        for log in list(self._tails):
            self._print(log, last=True)

    def _print(self, log: str, *, last: bool = False) -> None:
        step, tail = self._tails[log]
        print_labelled(self._out, step.ljust(self._width), tail.read(last=last))


def print_labelled(out: Output, label: str, lines: Sequence[bytes]) -> None:
    """Lines of a log with a label in front: data, or talk beside a document for programs."""
    if not lines:
        return
    look = out.talk_look if out.structured else out.look
    prefix = look.paint(f"{label} │ ", Tone.WAITING)
    if out.structured:
        out.talk(*(prefix + line.decode(errors="backslashreplace") for line in lines))
        return
    head = out.encoded(prefix)
    out.raw(b"".join(head + line + b"\n" for line in lines))


class Block:
    """Phases and steps on a terminal, redrawn in place."""

    interval: float | None = REPAINT_SECONDS

    def __init__(self, out: Output, height: Callable[[], int]) -> None:
        self._out = out
        self._height = height
        self._plan: views.PlanView | None = None
        self._drawn = 0
        self._painted_at = 0.0

    def show(self, plan: views.PlanView) -> None:
        """Take over how the plan stands; painted at the next tick."""
        self._plan = plan
        self.tick()

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
        lines = block_lines(self._plan, Look(look.width - 1, look.colour, time.time()), max(3, self._height() - 6))
        up = f"\x1b[{self._drawn}A\r" if self._drawn else ""
        stderr = self._out.stderr
        stderr.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        stderr.flush()
        self._drawn = len(lines)


def spectator(out: Output, *, follow: bool, quiet: bool = False, since: views.PlanView | None = None) -> Spectator:
    """Who watches: the steps' output when that was asked for, else the block on a terminal, else lines.

    Args:
        out: Where to.
        follow: The output of the steps was asked for.
        quiet: No lines where there is no terminal.
        since: How the plan stood when the command began; what was over by then is not printed again.
    """
    if follow:
        follower = Follower(out)
        if since is not None:
            follower.skip(since)
        return follower
    if out.animated:
        return Block(out, terminal_height)
    return Silence() if quiet else PlainLines(out)


def terminal_height() -> int:
    """Rows of the terminal that stderr is."""
    import os  # noqa: PLC0415  only a live block asks

    try:
        return os.get_terminal_size(sys.stderr.fileno()).lines or 24
    except OSError:
        return 24


def block_lines(plan: views.PlanView, look: Look, room: int) -> list[str]:
    """The picture of a plan on its way."""
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
            lines += [_running_line(step, look) for step in _visible(plan.steps, room)]
    return lines


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
    if step.state == "running" and step.log is not None:
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


def _title(step: views.StepView) -> str:
    return "" if step.title == step.id else wording.plain(step.title).replace("\n", " ")


def _visible(steps: list[views.StepView], room: int) -> list[views.StepView]:
    """The steps around the one that runs, when the terminal is too low for all."""
    if len(steps) <= room:
        return steps
    running = next((index for index, step in enumerate(steps) if step.state not in _OVER), len(steps) - 1)
    start = max(0, min(running - room // 2, len(steps) - room))
    return steps[start : start + room]


def _spread(look: Look, cells: list[Cell], right: str) -> str:
    """Cells from the left, cut to leave place for the text at the right edge."""
    edge = min(look.width, 100)
    room = edge - (len(right) + 2 if right else 0)
    painted = ""
    for cell in cells:
        text = wording.cut(cell.text, room)
        room -= wording.columns(text)
        painted += look.paint(text, cell.tone, bold=cell.bold)
    return f"{painted}{' ' * max(0, room)}  {right}" if right else painted


def _step_line(step: views.StepView, look: Look) -> str:
    mood = wording.step_mood(step.state)
    took = wording.between(step.started_at, step.finished_at, time.time())
    parts = [look.mood(mood), step.id]
    if step.state not in {"succeeded", "failed"}:
        parts.append(step.state.replace("_", " "))
    if step.exit_code:
        parts.append(f"exit {step.exit_code}")
    if took is not None:
        parts.append(look.dim(wording.duration(took)))
    return "  " + " ".join(parts)
