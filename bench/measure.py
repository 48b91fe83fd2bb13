"""What a figure is: two values taken side by side in each round, their ratio, and the limits that it is held against.

A row's `rounds` is a generator that sets up, yields one `Sample` a round, and cleans up when it is closed; it raises
`NotMeasuredError` when this machine lacks what it needs. Such a row, and one that fails, never counts as reached.
"""

import contextlib
import os
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench import machine

ROOT = Path(__file__).resolve().parent.parent
"""The tree that is measured: the one that this file is part of."""

Verdict = Literal["wish", "must", "MISSED", "not measured", "for information"]


class NotMeasuredError(Exception):
    """This machine cannot take the figure; the message is the reason."""


@dataclass(frozen=True)
class Sample:
    """One round: ours and the peer's, in the same unit, taken one right after the other."""

    ours: float
    peer: float

    @property
    def ratio(self) -> float:
        return self.ours / self.peer


@dataclass(frozen=True)
class Limit:
    """A bound of a ratio, or with a peer of 1 of the value itself."""

    number: float
    at_least: bool = False
    unit: str = "x"

    def reached(self, value: float) -> bool:
        return value >= self.number if self.at_least else value <= self.number

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {shown(self.number, self.unit)}"


@dataclass
class Settings:
    """How a run is made: `quick` takes smaller amounts, for a look and not for a record; `size` is that of a growth curve."""

    count: int = 5
    quick: bool = False
    size: int | None = None
    begun: int = field(default_factory=lambda: int(time.time()))
    notes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def amount(self, whole: int, little: int) -> int:
        return little if self.quick else whole

    def sized(self, whole: int, little: int | None = None) -> int:
        """An amount that the row's growth curve is drawn over."""
        return self.size or self.amount(whole, little or whole)


@dataclass(frozen=True)
class Taken:
    """When, where and how a figure was taken.

    Attributes:
        run: When the run began that it was taken in, in seconds since the epoch.
        begun: When it was itself.
        machine: As `machine.described` has it.
        rounds: How many.
        quick: Smaller amounts than a record has.
        load_least: The load of the machine, before or after, whichever was less.
        load_most: The other one.
        seconds: How long it took.
    """

    run: int
    begun: int
    machine: str
    rounds: int
    quick: bool
    load_least: float
    load_most: float
    seconds: int


Rounds = Callable[[Settings], Generator[Sample]]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: For `--only`.
        what: What is measured.
        against: The peer or the limit.
        unit: Of both values, for the column that shows them: `s` and `/s` are scaled, others printed as they are.
        rounds: Takes the samples.
        must: What the ratio has to reach; None for a figure that is only told.
        wish: What would be better still.
        of: What there is more of along the row's growth curve.
        sizes: How much of it; none when the row has no such thing.
    """

    name: str
    what: str
    against: str
    unit: str
    rounds: Rounds
    must: Limit | None = None
    wish: Limit | None = None
    of: str = ""
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Figure:
    """What a row came to, as it is stored beside the page: the medians of all rounds, and every round.

    Attributes:
        taken: When, where and how.
        ours: Ours; None when it could not be measured.
        peer: The peer's; None when there is none.
        ratio: The median of the ratios, or of our values where there is no peer; `least` and `most` are its spread.
        reason: Why it could not be measured.
    """

    what: str
    against: str
    unit: str
    must: Limit | None
    wish: Limit | None
    verdict: Verdict
    taken: Taken
    ours: float | None = None
    peer: float | None = None
    ratio: float | None = None
    least: float | None = None
    most: float | None = None
    samples: list[Sample] = field(default_factory=list[Sample])
    notes: list[str] = field(default_factory=list[str])
    reason: str = ""


def figure(row: Row, samples: list[Sample], taken: Taken, notes: list[str]) -> Figure:
    """What some rounds of a row come to."""
    ratios = [sample.ratio for sample in samples]
    ratio = statistics.median(ratios)
    bare = all(sample.peer == 1 for sample in samples)
    return Figure(
        row.what, row.against, row.unit, row.must, row.wish, _verdict(row, ratio), taken,
        ours=statistics.median(sample.ours for sample in samples),
        peer=None if bare else statistics.median(sample.peer for sample in samples),
        ratio=ratio, least=min(ratios), most=max(ratios), samples=samples, notes=notes,
    )  # fmt: skip


def missing(row: Row, taken: Taken, reason: str) -> Figure:
    """A row that this machine could not take."""
    return Figure(
        row.what, row.against, row.unit, row.must, row.wish, "not measured", taken, reason=reason
    )  # fmt: skip


def _verdict(row: Row, ratio: float) -> Verdict:
    if row.must is None:
        return "for information"
    if not row.must.reached(ratio):
        return "MISSED"
    return "wish" if row.wish is not None and row.wish.reached(ratio) else "must"


def take(row: Row, settings: Settings) -> Figure:
    """Run a row for as many rounds as the settings say."""
    samples: list[Sample] = []
    begin, load = time.time(), os.getloadavg()[0]
    reason = ""
    try:
        with contextlib.closing(row.rounds(settings)) as rounds:
            for sample in rounds:
                samples.append(sample)
                if len(samples) >= settings.count:
                    break
    except NotMeasuredError as found:
        reason = str(found)
    except Exception as error:  # noqa: BLE001  one row that cannot be taken does not cost the others
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    loads = sorted((load, os.getloadavg()[0]))
    taken = Taken(
        settings.begun,
        int(begin),
        machine.described(),
        len(samples),
        settings.quick,
        loads[0],
        loads[1],
        round(time.time() - begin),
    )
    notes = settings.notes.pop(row.name, [])
    return missing(row, taken, reason) if reason or not samples else figure(row, samples, taken, notes)


def shown(value: float, unit: str) -> str:
    """A value with three digits that count."""
    if unit == "s":
        for size, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if value >= size:
                return f"{_digits(value / size)} {name}"
        return f"{value * 1e9:.0f} ns"
    if unit == "/s":
        return f"{value:,.0f}/s"
    return f"{_digits(value)}{'x' if unit == 'x' else f' {unit}'}"


def _digits(value: float) -> str:
    if value == 0 or value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def timed(work: Callable[[], object]) -> float:
    """How many seconds `work` takes."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def alternate(ours: Callable[[], float], peer: Callable[[], float], times: int) -> Sample:
    """The medians of several values of each, taken in turn."""
    pairs = [(ours(), peer()) for _ in range(times)]
    return Sample(statistics.median(one for one, _ in pairs), statistics.median(other for _, other in pairs))


@contextlib.contextmanager
def scratch() -> Generator[Path]:
    """A directory for one row; below `BENCH_DIR` when that is set, to choose the file system."""
    with tempfile.TemporaryDirectory(
        prefix="ca-bench-", dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True
    ) as name:
        yield Path(name)
