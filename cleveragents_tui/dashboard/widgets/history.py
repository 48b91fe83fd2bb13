"""What the queue went through in the last minutes: how much was finished, and how much waited."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from textual.content import Content
from textual.widgets import Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import views

BUCKETS = 20
BUCKET_SECONDS = 15
MINUTES = BUCKETS * BUCKET_SECONDS // 60
MOST = 5_000
"""Marks that are kept: a flood is told of its end."""

_BARS = "▁▂▃▄▅▆▇█"


class Mark(NamedTuple):
    """What an event did: jobs that it ended, and by how many it made the queue longer."""

    time: float
    ended: int
    queued: int


def mark(event: views.EventView) -> Mark | None:
    """What an event did to the queue; None when it did nothing. What is cancelled before it ran comes with a reason."""
    moment = wording.seconds(event.time)
    match event.kind:
        case "job.queued":
            return Mark(moment, 0, 1)
        case "job.running":
            return Mark(moment, 0, -1)
        case "job.succeeded" | "job.failed":
            return Mark(moment, 1, 0)
        case "job.cancelled":
            return Mark(moment, 1, -1 if "reason" in event.detail else 0)
        case _:
            return None


class History:
    """Marks of the last minutes, each event once."""

    def __init__(self) -> None:
        self._marks: deque[Mark] = deque(maxlen=MOST)
        self._seq = 0

    def add(self, events: Iterable[views.EventView]) -> None:
        """Note what happened, in order."""
        for event in events:
            if event.seq > self._seq:
                self._seq = event.seq
                found = mark(event)
                if found is not None:
                    self._marks.append(found)

    def begin(self, events: Iterable[views.EventView]) -> None:
        """Forget everything, and begin with these."""
        self._marks.clear()
        self._seq = 0
        self.add(events)

    def moves(self, moment: float) -> bool:
        """Whether anything of it is in view, and moves on with time."""
        return bool(self._marks) and _bucket(self._marks[-1].time, moment) >= 0

    def ended(self, moment: float) -> list[int]:
        """How many jobs ended, bucket by bucket up to now."""
        found = [0] * BUCKETS
        for one in self._marks:
            bucket = _bucket(one.time, moment)
            if bucket >= 0:
                found[bucket] += one.ended
        return found

    def depths(self, moment: float, queued: int) -> list[int]:
        """How long the queue was at most, bucket by bucket up to now, when it is `queued` long."""
        found = [0] * BUCKETS
        depth, last = queued, BUCKETS - 1
        found[last] = depth
        for one in reversed(self._marks):
            bucket = _bucket(one.time, moment)
            if bucket < 0:
                break
            for passed in range(bucket, last):
                found[passed] = max(found[passed], depth)
            last = min(last, bucket)
            depth = max(0, depth - one.queued)
            found[last] = max(found[last], depth)
        for passed in range(last):
            found[passed] = depth
        return found


def _bucket(time: float, moment: float) -> int:
    """Where a time belongs; negative when it is long ago. What is ahead of this clock is now."""
    return min(BUCKETS - 1, BUCKETS - 1 - int((moment - time) // BUCKET_SECONDS))


def bars(values: Sequence[int]) -> str:
    """Numbers as bars; the highest is as high as it gets, and whatever is more than nothing can be told from it."""
    top = max(values, default=0)
    return "".join(_BARS[-(-value * (len(_BARS) - 1) // top) if top else 0] for value in values)


class HistoryLines(Static):
    """Both in a line each, with the numbers beside the bars."""

    def show(self, history: History, moment: float, queued: int) -> None:
        """Draw them as they are at a moment."""
        ended, depths = history.ended(moment), history.depths(moment, queued)
        lines = (
            ("finished", ended, f"{sum(ended)} in {MINUTES} min", Tone.DONE),
            ("queue", depths, f"{queued} now, {max(depths)} at most", Tone.RUNNING),
        )
        self.update(Content("\n").join(_line(*line) for line in lines))


def _line(name: str, values: Sequence[int], told: str, tone: Tone) -> Content:
    return Content.assemble(toned(f"{name:<9}", Tone.WAITING), toned(bars(values), tone), f" {told}")
