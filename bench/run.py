"""The figures of this product, each as a ratio to a limit or a peer, interleaved in one run on one machine.

usage: python bench/run.py [--only NAME… | --all] [--growth] [--rounds N] [--quick] [--json FILE] [--write]
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # what is measured lies there, so it is imported below

from bench import page, results  # noqa: E402
from bench.measure import Figure, Row, Settings, take  # noqa: E402
from bench.rows import GROUPS, ROWS  # noqa: E402


def main() -> int:
    """Take the figures that were asked for and print them; 1 when one missed what it must reach."""
    options = _options()
    settings = Settings(count=options.rounds or (3 if options.quick else 5), quick=options.quick)
    found = results.Results()
    for row in _wanted(options):
        if options.growth:
            found.growth[row.name] = _curve(row, settings)
        else:
            found.figures[row.name] = _take(row, settings)
        if options.json:
            results.write(found, options.json)
    figures = dict(found.figures)
    for name, curve in found.growth.items():
        for point in curve.points:
            what = f"{name}, {point.size:,} {curve.of}"
            figures[what] = dataclasses.replace(point.figure, what=what)
    print("\n".join([*page.table(figures.values()), "", *page.notes(figures), page.conditions(list(figures.values()))]))
    if options.write:
        _keep(found)
    return int(any(figure.verdict == "MISSED" for figure in found.figures.values()))


class _Options(argparse.Namespace):
    only: list[str]
    all: bool
    growth: bool
    rounds: int | None
    quick: bool
    json: Path | None
    write: bool


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    groups = [group.name for group in GROUPS]
    words = f"rows, or groups ({', '.join(groups)}); the rows are {', '.join(ROWS)}"
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[*groups, *ROWS], default=[], help=words)
    parser.add_argument("--all", action="store_true", help="every row, not only the table of what has to be reached")
    parser.add_argument("--growth", action="store_true", help="at several sizes, every row that has one")
    parser.add_argument("--rounds", type=int, metavar="N", help="5, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="smaller amounts: a look, not a record")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample as JSON too")
    kept = results.FILE.relative_to(ROOT)
    parser.add_argument("--write", action="store_true", help=f"keep them in {kept} and write the page anew")
    return parser.parse_args(namespace=_Options())


def _wanted(options: _Options) -> Sequence[Row]:
    """The rows that were asked for; of curves those that have a size."""
    everything = options.all or (options.growth and not options.only)
    asked = options.only or ([group.name for group in GROUPS] if everything else [GROUPS[0].name])
    groups = {group.name: group.rows for group in GROUPS}
    found = {row.name: row for name in asked for row in groups.get(name, [ROWS.get(name)]) if row}
    return [row for row in found.values() if row.sizes or not options.growth]


def _take(row: Row, settings: Settings, label: str = "") -> Figure:
    begin = time.monotonic()
    print(f"{row.name}{label} …", end=" ", file=sys.stderr, flush=True)
    figure = take(row, settings)
    print(f"{figure.verdict} ({time.monotonic() - begin:.0f} s)", file=sys.stderr)
    return figure


def _curve(row: Row, settings: Settings) -> results.Curve:
    points = [
        results.Point(size, _take(row, dataclasses.replace(settings, size=size), f", {size:,} {row.of}"))
        for size in row.sizes
    ]
    return results.Curve(row.of, points)


def _keep(found: results.Results) -> None:
    """Put what was taken in the place of what was taken before, and let the page follow."""
    kept = results.read()
    kept.figures |= found.figures
    kept.growth |= found.growth
    results.write(kept)
    page.update(kept)


if __name__ == "__main__":
    sys.exit(main())
