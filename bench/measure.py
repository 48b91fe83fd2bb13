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
    """How a run is made: `quick` takes smaller amounts, for a look and not for a record."""

    count: int = 5
    quick: bool = False
    notes: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def amount(self, whole: int, little: int) -> int:
        return little if self.quick else whole


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
    """

    name: str
    what: str
    against: str
    unit: str
    rounds: Rounds
    must: Limit | None = None
    wish: Limit | None = None


@dataclass(frozen=True)
class Figure:
    """What a row came to."""

    row: Row
    samples: list[Sample]
    reason: str = ""
    notes: list[str] = field(default_factory=list[str])

    @property
    def ratio(self) -> float:
        return statistics.median(sample.ratio for sample in self.samples)

    @property
    def verdict(self) -> Verdict:
        if not self.samples:
            return "not measured"
        if self.row.must is None:
            return "for information"
        if not self.row.must.reached(self.ratio):
            return "MISSED"
        return "wish" if self.row.wish is not None and self.row.wish.reached(self.ratio) else "must"

    @property
    def cells(self) -> list[str]:
        """The line of the table: what, against, both medians, ratio with its spread, must, wish, verdict."""
        row = self.row
        limits = [str(limit) if limit else "" for limit in (row.must, row.wish)]
        if not self.samples:
            return [row.what, row.against, "", f"not measured: {self.reason}", *limits, self.verdict]
        ratios = [sample.ratio for sample in self.samples]
        unit = row.must.unit if row.must else "x"
        spread = f"{shown(self.ratio, unit)} ({shown(min(ratios), unit)}-{shown(max(ratios), unit)})"
        return [row.what, row.against, self._values(), spread, *limits, self.verdict]

    def _values(self) -> str:
        ours = shown(statistics.median(sample.ours for sample in self.samples), self.row.unit)
        if all(sample.peer == 1 for sample in self.samples):
            return ours
        return f"{ours} : {shown(statistics.median(sample.peer for sample in self.samples), self.row.unit)}"


HEADINGS = ["what", "against", "ours : peer", "ratio (min-max)", "must", "wish", "verdict"]


def take(row: Row, settings: Settings) -> Figure:
    """Run a row for as many rounds as the settings say."""
    samples: list[Sample] = []
    try:
        with contextlib.closing(row.rounds(settings)) as rounds:
            for sample in rounds:
                samples.append(sample)
                if len(samples) >= settings.count:
                    break
    except NotMeasuredError as missing:
        return Figure(row, [], str(missing))
    except Exception as error:  # noqa: BLE001  one row that cannot be taken does not cost the others
        traceback.print_exc()
        return Figure(row, [], f"{type(error).__name__}: {error}")
    return Figure(row, samples, notes=settings.notes.pop(row.name, []))


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
