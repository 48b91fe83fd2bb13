"""The growth curves as a picture: a small panel for each row, both axes logarithmic."""

import math
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.measure import Figure, shown
from bench.results import Curve

COLUMNS = 4
_OURS, _PEER, _LIMIT = "#2f6fde", "#777777", "#d03030"


def draw(curves: Mapping[str, Curve], file: Path) -> None:
    """Draw all of them into one SVG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    mpl: Any = import_module("matplotlib")  # only whoever draws needs it
    mpl.use("svg")
    plt: Any = import_module("matplotlib.pyplot")
    mpl.rcParams |= {
        "svg.hashsalt": "growth",
        "svg.fonttype": "none",
        "font.size": 8,
        "axes.grid": True,
        "grid.alpha": 0.3,
    }
    rows = math.ceil(len(curves) / COLUMNS)
    figure, panels = plt.subplots(rows, COLUMNS, figsize=(3 * COLUMNS, 2.3 * rows), squeeze=False, layout="constrained")
    every = panels.flat
    for panel, (name, curve) in zip(every, curves.items(), strict=False):
        _panel(panel, name, curve)
    for panel in every:
        panel.set_axis_off()
    plt.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _panel(panel: Any, name: str, curve: Curve) -> None:
    found = {point.size: point.figure for point in curve.points if point.figure.ours is not None}
    panel.set_title(name)
    panel.set_xlabel(curve.of)
    if not found:
        return
    sizes, figures = list(found), list(found.values())
    for values, style, color in (
        ([figure.ours for figure in figures], "o-", _OURS),
        ([figure.peer for figure in figures], ".:", _PEER),
        ([_limit(figure) for figure in figures], "-", _LIMIT),
    ):
        if all(values):
            panel.loglog(sizes, values, style, color=color)
    low, high = panel.get_ylim()
    panel.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))  # else noise looks like growth
    panel.yaxis.set_major_formatter(partial(_label, figures[0].unit))
    panel.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
    panel.minorticks_off()


def _label(unit: str, value: float, _place: int) -> str:
    return shown(value, unit)


def _limit(figure: Figure) -> float | None:
    """What has to be reached, in the unit of the values."""
    return figure.must and figure.must.number * (1 if figure.peer is None else figure.peer)
