"""The figures of this product, each as a ratio to a limit or a peer, interleaved in one run on one machine.

usage: python bench/run.py [--only NAME…] [--rounds N] [--quick] [--json FILE] [--write]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # what is measured lies there, so it is imported below

from bench import children, commands, commits, dashboard, git_work, idle, lasting, queueing, spawning, sync, wire  # noqa: E402
from bench.measure import HEADINGS, Figure, Row, Settings, take  # noqa: E402
from store.database import sqlite_version  # noqa: E402

ROWS: list[Row] = [
    row
    for module in (commands, wire, queueing, spawning, lasting, commits, git_work, children, idle, sync, dashboard)
    for row in module.ROWS
]
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def main() -> int:
    """Take the figures that were asked for and print them; 1 when one missed what it must reach."""
    options = _options()
    settings = Settings(count=options.rounds or (3 if options.quick else 5), quick=options.quick)
    wanted = [row for row in ROWS if not options.only or row.name in options.only]
    load = [os.getloadavg()[0]]
    figures: list[Figure] = []
    for row in wanted:
        begin = time.monotonic()
        print(f"{row.name} …", end=" ", file=sys.stderr, flush=True)
        figures.append(take(row, settings))
        load.append(os.getloadavg()[0])
        print(f"{figures[-1].verdict} ({time.monotonic() - begin:.0f} s)", file=sys.stderr)
        if options.json:
            text = json.dumps(_document(figures, _conditions(settings, load)), indent=2)
            options.json.write_text(text + "\n", encoding="utf-8")
    conditions = _conditions(settings, load)
    print("\n".join([*_table(figures), "", *_notes(figures), conditions]))
    if options.write:
        DOCUMENT.write_text(_page(figures, conditions), encoding="utf-8")
    return int(any(figure.verdict == "MISSED" for figure in figures))


class _Options(argparse.Namespace):
    only: list[str]
    rounds: int | None
    quick: bool
    json: Path | None
    write: bool


def _options() -> _Options:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    names = [row.name for row in ROWS]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, default=[], help=", ".join(names))
    parser.add_argument("--rounds", type=int, metavar="N", help="5, with --quick 3")
    parser.add_argument("--quick", action="store_true", help="smaller amounts: a look, not a record")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample as JSON too")
    parser.add_argument("--write", action="store_true", help=f"write the table to {DOCUMENT.relative_to(ROOT)}")
    return parser.parse_args(namespace=_Options())


def _table(figures: Sequence[Figure]) -> list[str]:
    """A Markdown table, its columns aligned so that it reads well on a terminal too."""
    lines = [HEADINGS, *(figure.cells for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return [text[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *text[1:]]


def _notes(figures: Sequence[Figure]) -> list[str]:
    lines = [f"- {figure.row.name}: {note}" for figure in figures for note in figure.notes]
    return [*lines, ""] if lines else []


def _conditions(settings: Settings, load: Sequence[float]) -> str:
    git = subprocess.run(["git", "version"], capture_output=True, text=True, check=False).stdout.split()[-1:]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC, {_processor()}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, SQLite {sqlite_version()}, "
        f"git {' '.join(git) or 'absent'}; {settings.count} rounds{', quick' if settings.quick else ''}; "
        f"load of the machine {min(load):.1f} to {max(load):.1f}."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _document(figures: Sequence[Figure], conditions: str) -> dict[str, object]:
    return {
        "conditions": conditions,
        "figures": [
            {
                "name": figure.row.name,
                "verdict": figure.verdict,
                "ratio": figure.ratio if figure.samples else None,
                "samples": [[sample.ours, sample.peer] for sample in figure.samples],
                "unit": figure.row.unit,
                "reason": figure.reason,
                "notes": figure.notes,
            }
            for figure in figures
        ],
    }


def _page(figures: Sequence[Figure], conditions: str) -> str:
    return "\n".join([
        "# Benchmarks",
        "",
        "Each figure is a ratio to a limit or to a peer that was measured in the same rounds on the same machine: the",
        "median of the rounds, with the smallest and the largest. `python bench/run.py --write` takes them again. Where the",
        "spread is wide or the machine was busy, the median says little.",
        "",
        conditions,
        "",
        *_table(figures),
        "",
        *_notes(figures),
        "*wish* and *must* say which limit was reached. A figure without limits is for information.",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
