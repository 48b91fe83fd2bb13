"""The last figures, in `docs/benchmarks.json`: every row as it was taken last, whenever that was, and the growth curves."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bench.measure import ROOT, Figure

FILE = ROOT / "docs" / "benchmarks.json"


@dataclass(frozen=True)
class Point:
    """A row at one size."""

    size: int
    figure: Figure


@dataclass(frozen=True)
class Curve:
    """A row at several sizes; `of` says what there was more of."""

    of: str
    points: list[Point]


@dataclass
class Results:
    """Figures and curves, by the name of their row."""

    figures: dict[str, Figure] = field(default_factory=dict[str, Figure])
    growth: dict[str, Curve] = field(default_factory=dict[str, Curve])


def read(file: Path = FILE) -> Results:
    """What is kept there."""
    return msgspec.json.decode(file.read_bytes(), type=Results) if file.exists() else Results()


def write(results: Results, file: Path = FILE) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
