"""Aligned columns that fit the terminal."""

from collections.abc import Iterable, Sequence

import msgspec

from cleveragents_tui import wording
from cleveragents_tui.output import Look
from cleveragents_tui.wording import Tone

GAP = 2
"""Blank columns between two columns."""


class Cell(msgspec.Struct, frozen=True):
    """Text in a tone."""

    text: str
    tone: Tone = Tone.PLAIN
    bold: bool = False


class Column(msgspec.Struct, frozen=True):
    """How a column behaves when the terminal is narrow.

    Attributes:
        title: Its heading.
        minimum: The columns to which its text may be cut; None is never.
        drop: The column with the highest number goes first when cutting is not enough; 0 stays.
        right: Numbers stand to the right.
    """

    title: str = ""
    minimum: int | None = None
    drop: int = 0
    right: bool = False


Row = Sequence[Cell | str]


def table(
    look: Look, layout: Sequence[Column], rows: Iterable[Row], *, heading: bool = True, indent: int = 0
) -> Iterable[str]:
    """The lines of a table; a column whose cells are all empty is left out."""
    body = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if not body:
        return
    titles = [Cell(column.title, Tone.WAITING) for column in layout]
    natural = [max(wording.columns(row[index].text) for row in body) for index in range(len(layout))]
    shown = [index for index, width in enumerate(natural) if width]
    if heading:
        natural = [max(width, len(column.title)) for width, column in zip(natural, layout, strict=True)]
    widths = _fit({index: natural[index] for index in shown}, layout, look.width - indent)
    for row in [titles, *body] if heading else body:
        yield " " * indent + _line(look, layout, row, widths)


def _line(look: Look, layout: Sequence[Column], row: Sequence[Cell], widths: dict[int, int]) -> str:
    parts: list[str] = []
    for index, width in widths.items():
        cell = row[index]
        text = wording.cut(cell.text, width)
        blank = " " * (width - wording.columns(text))
        painted = look.paint(text, cell.tone, bold=cell.bold)
        parts.append(blank + painted if layout[index].right else painted + blank)
    return (" " * GAP).join(parts).rstrip()


def _fit(widths: dict[int, int], layout: Sequence[Column], width: int) -> dict[int, int]:
    """The widths that fit: first the widest of those that may be cut are cut, then columns are dropped."""
    widths = dict(widths)
    while widths and (excess := sum(widths.values()) + GAP * (len(widths) - 1) - width) > 0:
        room = sum(
            max(0, widths[index] - minimum) for index in widths if (minimum := layout[index].minimum) is not None
        )
        if room >= excess:
            _cut(widths, layout, excess)
            break
        dropped = max(widths, key=lambda index: layout[index].drop)
        if layout[dropped].drop == 0:
            _cut(widths, layout, min(room, excess))
            break
        del widths[dropped]
    return widths


def _cut(widths: dict[int, int], layout: Sequence[Column], excess: int) -> None:
    for _ in range(excess):
        cuttable = [
            index
            for index in widths
            if widths[index] > (layout[index].minimum or 0) and layout[index].minimum is not None
        ]
        widest = max(cuttable, key=lambda index: widths[index])
        widths[widest] -= 1


def pairs(look: Look, rows: Iterable[tuple[str, str | Cell]], *, indent: int = 2) -> Iterable[str]:
    """`label   value` lines; rows without a value are left out."""
    found = [(label, cell) for label, value in rows if (cell := value if isinstance(value, Cell) else Cell(value)).text]
    width = max((len(label) for label, _ in found), default=0)
    for label, cell in found:
        room = max(20, look.width - indent - width - GAP)
        text = look.paint(wording.cut(cell.text, room), cell.tone, bold=cell.bold)
        yield f"{' ' * indent}{look.dim(label.ljust(width))}{' ' * GAP}{text}"
