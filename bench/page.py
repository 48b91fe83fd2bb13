"""The page `docs/benchmarks.md`: made from the results, but for the part below `BY_HAND`, which is kept.

usage: python -m bench.page, to make it again without taking anything
"""

import time
from collections.abc import Iterable, Mapping, Sequence

from bench import plot, results
from bench.measure import ROOT, Figure, shown
from bench.results import Curve, Results
from bench.rows import GROUPS, ROWS

FILE = ROOT / "docs" / "benchmarks.md"
PICTURE = ROOT / "docs" / "benchmarks.svg"
BY_HAND = "<!-- by hand: what is below is kept -->"

_HEAD = """\
# Benchmarks

Each figure is a ratio to a limit or to a peer that was measured in the same rounds on the same machine: the
median of the rounds, with the smallest and the largest. *wish* and *must* say which limit was reached; a figure without
limits is for information. Where the spread is wide or the machine was busy, the median says little.

`nox -s bench` takes the first table, `nox -s bench -- --only NAME…` single rows or groups of them, `--all` all,
`--growth` the curves. With `--write` they are kept in [benchmarks.json](benchmarks.json), every round of them, and this
page is made from it. Rows of one table may be from several runs; then each run is named.
"""
_HEADINGS = ["what", "against", "ours : peer", "ratio (min-max)", "must", "wish", "verdict"]


def written(results: Results, old: str) -> str:
    """The page for some results; what was written by hand is taken from the page as it is."""
    kept = old.partition(BY_HAND)[2]
    lines = [_HEAD]
    for group in GROUPS:
        taken = {row.name: results.figures[row.name] for row in group.rows if row.name in results.figures}
        if taken:
            lines += [f"## {group.title}", "", *_conditions(taken), "", *table(taken.values()), "", *notes(taken)]
    if results.growth:
        lines += _growth(results.growth)
    return "\n".join([*lines, BY_HAND]) + kept


def table(figures: Iterable[Figure]) -> list[str]:
    """A Markdown table, its columns aligned so that it reads well on a terminal too."""
    return _aligned([_HEADINGS, *(_cells(figure) for figure in figures)])


def notes(figures: Mapping[str, Figure]) -> list[str]:
    """What the rows have to say beside their figures, and an empty line."""
    lines = [f"- {name}: {note}" for name, figure in figures.items() for note in figure.notes]
    return [*lines, ""] if lines else []


def conditions(figures: Sequence[Figure]) -> str:
    """When, where and how some figures of one run were taken."""
    taken = [figure.taken for figure in figures]
    rounds = sorted({one.rounds for one in taken})
    begin, end = (time.gmtime(when(one.begun for one in taken)) for when in (min, max))
    days = time.strftime("%Y-%m-%d %H:%M", begin) + time.strftime(" to %H:%M UTC" if begin != end else " UTC", end)
    return (
        f"{days}, {taken[0].machine}; {' to '.join(map(str, dict.fromkeys((rounds[0], rounds[-1]))))} rounds"
        f"{', quick' if taken[0].quick else ''}; "
        f"load of the machine {min(one.load_least for one in taken):.1f} to {max(one.load_most for one in taken):.1f}."
    )


def _conditions(figures: Mapping[str, Figure]) -> list[str]:
    """A line for each run."""
    runs: dict[object, list[str]] = {}
    for name, figure in figures.items():
        taken = figure.taken
        runs.setdefault((taken.run, taken.machine, taken.quick), []).append(name)
    if len(runs) == 1:
        return [conditions(list(figures.values()))]
    return [f"- {', '.join(names)}: {conditions([figures[name] for name in names])}" for names in runs.values()]


def _cells(figure: Figure) -> list[str]:
    limits = [str(limit) if limit else "" for limit in (figure.must, figure.wish)]
    if figure.ratio is None or figure.least is None or figure.most is None:
        return [figure.what, figure.against, "", f"not measured: {figure.reason}", *limits, figure.verdict]
    bare = figure.peer is None
    unit = figure.must.unit if figure.must else figure.unit if bare else "x"
    spread = f"{shown(figure.ratio, unit)} ({shown(figure.least, unit)}-{shown(figure.most, unit)})"
    return [figure.what, figure.against, _values(figure), spread, *limits, figure.verdict]


def _values(figure: Figure) -> str:
    values = [value for value in (figure.ours, figure.peer) if value is not None]
    return " : ".join(shown(value, figure.unit) for value in values)


def _growth(curves: Mapping[str, Curve]) -> list[str]:
    sizes = [
        [name, curve.of, *(f"{point.size:,}: {_values(point.figure)}" for point in curve.points)]
        for name, curve in curves.items()
    ]
    width = max(map(len, sizes))
    without = [name for name, row in ROWS.items() if not row.sizes]
    figures = [point.figure for curve in curves.values() for point in curve.points]
    return [
        "## Growth",
        "",
        "What it is with ten and a hundred times as much of something. Both axes are logarithmic; the dotted line is the",
        "peer, the red one what has to be reached at the size that the table has.",
        "",
        f"![Growth]({PICTURE.name})",
        "",
        conditions(figures),
        "",
        *_aligned([
            ["what", "more of", "ours : peer", *[""] * (width - 3)],
            *([*cells, *[""] * (width - len(cells))] for cells in sizes),
        ]),
        "",
        f"Without a curve, since they have no size or their name has it: {', '.join(without)}.",
        "",
    ]  # fmt: skip


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return [text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]]


def update(kept: Results) -> None:
    """Write the page anew, and the picture."""
    FILE.write_text(written(kept, FILE.read_text(encoding="utf-8")), encoding="utf-8")
    if kept.growth:
        plot.draw(kept.growth, PICTURE)


if __name__ == "__main__":
    update(results.read())
