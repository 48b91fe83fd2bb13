"""Long lines, folded to the columns that there are: which row of a text is on which line of the screen.

Only rows that are folded are kept, so that a hundred thousand short ones cost nothing.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from rich.cells import cell_len, chop_cells
from rich.segment import Segment
from textual.strip import Strip

from cleveragents_tui.dashboard.widgets import patches
from cleveragents_tui.dashboard.widgets.patches import Patch


def pieces(text: str, columns: int) -> list[str]:
    """A line as it is drawn in pieces of at most `columns`; a wide character is never halved."""
    if _is_narrow(text):
        return [text[start : start + columns] for start in range(0, len(text), columns)] or [text]
    return chop_cells(text, columns) or [text]


def height(line: str, columns: int) -> int:
    """How many lines a line takes when it is drawn."""
    text = patches.shown(line)
    return max(1, -(-len(text) // columns)) if _is_narrow(text) else len(pieces(text, columns))


def _is_narrow(text: str) -> bool:
    """Whether every character takes one column; so does the `…` of a line that was cut."""
    return text[: patches.LONGEST].isascii()


class Folds:
    """Where each of some rows is, when those of `long` take so many lines and all others one.

    Args:
        rows: How many there are.
        long: A row and its number of lines, in order.
        columns: What they were folded to.
    """

    def __init__(self, rows: int, long: Iterable[tuple[int, int]] = (), columns: int = 0) -> None:
        self.columns = columns
        self._rows, self._ends = array("i"), array("i")
        more = 0
        for row, lines in long:
            more += lines - 1
            self._rows.append(row)
            self._ends.append(row + more)
        self.count = rows + more

    def line_of(self, row: int) -> int:
        """The first line of a row."""
        before = bisect_left(self._rows, row)
        return row if not before else row + self._ends[before - 1] - self._rows[before - 1]

    def at(self, line: int) -> tuple[int, int]:
        """The row that a line is of, and which of its lines it is."""
        before = bisect_left(self._ends, line)
        row = line if not before else line - self._ends[before - 1] + self._rows[before - 1]
        if before < len(self._rows):
            row = min(row, self._rows[before])
        return row, line - self.line_of(row)


def of_patch(patch: Patch, columns: int) -> Folds:
    """The lines of a change, its long ones in pieces of at most `columns`."""
    long = ((row, height(patch.texts[row][1:], columns)) for row, width in enumerate(patch.widths) if width > columns)
    return Folds(len(patch), long, columns)


def folded(segments: Iterable[Segment], text: str, columns: int) -> Sequence[Strip]:
    """A painted text in pieces of at most `columns`."""
    return Strip(segments).divide([*accumulate(cell_len(piece) for piece in pieces(text, columns))])
