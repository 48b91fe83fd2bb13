"""A plan told line by line: what was finished, and on request what its steps print, those of its children included.

What was printed follows the events: a step's log is opened when its start was told and read to its end when its end was, so
that every attempt is printed once and whole, whatever becomes of the connection or the daemon in between.
"""

import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from cleveragents_tui import wording
from cleveragents_tui.cli.logs import Lines
from cleveragents_tui.cli.progress import OVER, Block, Silence, Spectator, terminal_height
from cleveragents_tui.output import Look, Output
from cleveragents_tui.wording import Mood, Tone
from daemon import views

TAIL_SECONDS = 0.1
LABEL_SHARE = 3
"""On a terminal the label of a line takes about one of so many parts of its width at most."""
NARROWEST_ITEM = 8
_COLOURS = re.compile(rb"\x1b\[[0-9;:]*m")


def spectator(out: Output, *, follow: bool, quiet: bool = False, since: int = 0) -> Spectator:
    """Who watches: the steps' output when that was asked for, else the block on a terminal, else lines.

    Args:
        out: Where to.
        follow: The output of the steps was asked for.
        quiet: No lines where there is no terminal.
        since: The number of the last event before the command; what was over by then is not printed again.
    """
    if follow:
        return Follower(out, since)
    if out.animated:
        return Block(out, terminal_height)
    return Silence() if quiet else PlainLines(out)


class PlainLines:
    """A line on stderr for each step that is over, for each phase, and for what becomes of each child."""

    interval: float | None = None
    tree = True
    rows = 0

    def __init__(self, out: Output) -> None:
        self.seq: int | None = None
        self._out = out
        self._told: set[tuple[str, int]] = set()
        self._phase = ""

    def show(self, plan: views.PlanView, running: Sequence[views.PlanView] = ()) -> None:  # noqa: ARG002  only a block shows them
        """Tell what is new. What was over before the first look is not news."""
        look = self._out.talk_look
        first = not self._phase
        if plan.phase != self._phase:
            self._phase = plan.phase
            if not first or plan.state in {"queued", "processing"}:
                self._out.talk(f"{look.mood(Mood.RUNNING)} {plan.name}: {plan.phase}")
        for step in plan.steps:
            key = (step.id, step.attempt)
            if step.state in OVER and key not in self._told:
                self._told.add(key)
                if not first and step.state != "skipped":
                    self._out.talk(_step_line(step, look))

    def hear(self, events: Sequence[views.EventView]) -> None:
        """Tell what became of children."""
        for event in events:
            line = _child_line(event, self._out.talk_look)
            if line:
                self._out.talk(line)

    def tick(self) -> None:
        """Nothing moves between two lines."""

    def end(self) -> None:
        """Nothing is left to tidy."""


class Child(msgspec.Struct, frozen=True):
    """What a line of a child is labelled with: its item, or its name when another one is for an item called the same."""

    name: str
    item: str
    place: tuple[str, str, str]


class Family:
    """The children of the plan `top` that is followed, theirs included, as events told of them."""

    def __init__(self) -> None:
        self.top: str | None = None
        self._children: dict[str, Child] = {}
        self._places: dict[tuple[str, str, str], int] = {}
        self._items: Counter[str] = Counter()

    def note(self, event: views.EventView) -> None:
        """Take over what an event says of a child that was made."""
        detail = event.detail
        if event.kind == "plan.created" and event.plan_id and event.plan_id != self.top and detail.get("parent"):
            item = wording.one_line(str(detail["item"]))
            place = (str(detail["parent"]), str(detail["step"]), item)
            self._children[event.plan_id] = Child(str(detail["name"]), item, place)
            if place not in self._places:  # a child that takes the place of another has its label too
                self._places[place] = len(self._places)
                self._items[item] += 1

    def label(self, plan_id: str) -> str:
        """What tells the lines of a child from those of all others; nothing for the plan that is followed."""
        child = self._children.get(plan_id)
        if child is None:
            return ""
        return child.item if self._items[child.item] == 1 else child.name

    def number(self, plan_id: str) -> int | None:
        """What a child is counted as, always the same; None for the plan that is followed."""
        child = self._children.get(plan_id)
        return None if child is None else self._places[child.place]

    @property
    def width(self) -> int:
        """The columns of the longest label."""
        return max((wording.columns(self.label(plan_id)) for plan_id in self._children), default=0)


class Printed(msgspec.Struct):
    """The log of an attempt, as far as it was printed."""

    plan_id: str
    step: str
    log: str
    lines: Lines


class Follower(PlainLines):
    """The output of the steps, each line with its child and step in front, and the lines of `PlainLines` beside it."""

    interval: float | None = TAIL_SECONDS

    def __init__(self, out: Output, since: int = 0) -> None:
        super().__init__(out)
        self.seq: int | None = 0
        self._since = since
        self._family = Family()
        self._open: dict[tuple[str, str], Printed] = {}
        self._step_width = 0
        self._item_width = 0
        self._begun = False
        self._gone = 0

    def show(self, plan: views.PlanView, running: Sequence[views.PlanView] = ()) -> None:
        """Note which plan is followed, and make room for the names of its steps."""
        self._family.top = plan.plan_id
        printing = [len(step.id) for step in plan.steps if step.children is None]
        self._step_width = max([self._step_width, *printing])
        super().show(plan, running)

    def hear(self, events: Sequence[views.EventView]) -> None:
        """Open the log of each attempt that began, and print the rest of each that ended, in the order of both."""
        self._see_the_beginning(events)
        for event in events:
            self._family.note(event)
        self._item_width = self._family.width
        for event in events:
            if event.kind == "step.started" and event.detail.get("log"):  # a step of children prints nothing itself
                self._begin(event)
            elif event.kind == "step.finished":
                self._finish((event.plan_id or "", event.detail["step"]), wanted=event.seq > self._since)
        super().hear([event for event in events if event.seq > self._since])

    def _see_the_beginning(self, events: Sequence[views.EventView]) -> None:
        """Say it when the first event of the plan is not that of its making."""
        first = None if self._begun else next((event for event in events if event.plan_id == self._family.top), None)
        if first is not None:
            self._begun = True
            if first.kind != "plan.created":
                self._say("the beginning cannot be shown any more: its events are older than events.retention")

    def _say(self, line: str) -> None:
        self._out.talk(self._out.talk_look.dim(line))

    def tick(self) -> None:
        """Print what was written since the last look."""
        for printed in self._open.values():
            self._print(printed)

    def end(self) -> None:
        """Print what is left, unfinished lines too."""
        for key in list(self._open):
            self._finish(key, wanted=True)
        if self._gone:
            self._say(f"logs that are gone: {self._gone}; async.retention is how long they are kept")

    def _begin(self, event: views.EventView) -> None:
        key = (event.plan_id or "", event.detail["step"])
        self._finish(key, wanted=event.seq > self._since)
        self._open[key] = Printed(*key, event.detail["log"], Lines(event.detail["log"]))

    def _finish(self, key: tuple[str, str], *, wanted: bool) -> None:
        printed = self._open.pop(key, None)
        if printed is not None and wanted:
            self._print(printed, last=True)
            self._gone += not Path(printed.log).exists()

    def _print(self, printed: Printed, *, last: bool = False) -> None:
        lines = printed.lines.read(last=last)
        if lines:
            colour = self._family.number(printed.plan_id)
            print_labelled(self._out, self._label(printed), lines, colour=colour)

    def _label(self, printed: Printed) -> str:
        self._step_width = max(self._step_width, len(printed.step))
        if not self._item_width:
            return printed.step.ljust(self._step_width)
        look = self._out.talk_look if self._out.structured else self._out.look
        width = min(self._item_width, max(NARROWEST_ITEM, look.width // LABEL_SHARE - self._step_width))
        item = wording.cut_front(self._family.label(printed.plan_id), width)
        if not item:
            return printed.step.ljust(width + 1 + self._step_width)
        return f"{item}{' ' * (width - wording.columns(item))} {printed.step.ljust(self._step_width)}"


def print_labelled(out: Output, label: str, lines: Sequence[bytes], *, colour: int | None = None) -> None:
    """Lines of a log with a label in front: data, or talk beside a document for programs. Without colour, they lose theirs."""
    if not lines:
        return
    look = out.talk_look if out.structured else out.look
    if not look.colour:
        lines = [_COLOURS.sub(b"", line) for line in lines]
    text = f"{label} │ "
    prefix = look.paint(text, Tone.WAITING) if colour is None else look.tint(text, colour)
    if out.structured:
        out.talk(*(prefix + line.decode(errors="backslashreplace") for line in lines))
        return
    head = out.encoded(prefix)
    out.raw(b"".join(head + line + b"\n" for line in lines))


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


def _child_line(event: views.EventView, look: Look) -> str:
    detail = event.detail
    match event.kind:
        case "subplan.integrated":
            mood, said = Mood.DONE, "integrated"
        case "subplan.failed":
            mood, said = Mood.FAILED, f"failed: {str(detail.get('message', '')).strip().partition(chr(10))[0]}"
        case "subplan.conflict":
            mood, said = Mood.FAILED, f"does not fit: {wording.count(len(detail.get('files') or []), 'conflict')}"
        case "subplan.left-out":
            mood, said = Mood.CANCELLED, "left out"
        case _:
            return ""
    return f"  {look.mood(mood)} {wording.one_line(str(detail.get('item', '')))} {wording.plain(said)}"
