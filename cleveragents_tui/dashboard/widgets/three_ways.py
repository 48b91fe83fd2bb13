"""Three versions of a file beside each other: what stands in one row belongs together, and whatever differs is marked."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple

MOST_LINES = 20_000
"""Lines that are compared one by one; of longer versions only the beginning and the end are matched."""

Lines = Sequence[str] | None
"""The lines of a version; None where there is no version, or no text."""


class Row(NamedTuple):
    """What stands side by side: the index of a line of each version, None where a version has none."""

    parent: int | None
    base: int | None
    child: int | None


@dataclass(frozen=True)
class ThreeWays:
    """Three versions, aligned.

    Attributes:
        parent: The lines of each version; empty for one that cannot be shown.
        rows: What stands beside what.
        differing: The rows at which a difference begins.
        colliding: The rows in which both sides differ from the base, and from each other.
        there: Whether the parent, and the child, have a version at all.
    """

    parent: Sequence[str] = ()
    base: Sequence[str] = ()
    child: Sequence[str] = ()
    rows: list[Row] = field(default_factory=list[Row])
    differing: list[int] = field(default_factory=list[int])
    colliding: frozenset[int] = frozenset()
    there: tuple[bool, bool] = (False, False)

    def texts(self, row: int) -> tuple[str | None, str | None, str | None]:
        """The lines of one row."""
        found = self.rows[row]
        sides = ((self.parent, found.parent), (self.base, found.base), (self.child, found.child))
        parent, base, child = (None if index is None else lines[index] for lines, index in sides)
        return parent, base, child

    def next_difference(self, row: int, step: int) -> int | None:
        """Where the next difference begins, or the one before."""
        index = bisect_right(self.differing, row) if step > 0 else bisect_left(self.differing, row) - 1
        return self.differing[index] if 0 <= index < len(self.differing) else None


def align(parent: Lines, base: Lines, child: Lines) -> ThreeWays:
    """Set three versions side by side; without a base the two sides are compared with each other."""
    rows = (
        _two(parent or (), child or ()) if base is None else _three(base, _Side.of(base, parent), _Side.of(base, child))
    )
    made = ThreeWays(parent or (), base or (), child or (), rows, there=(parent is not None, child is not None))
    marks = [_mark(*made.texts(row), there=made.there) for row in range(len(rows))]
    return replace(
        made,
        differing=[row for row, mark in enumerate(marks) if mark and (row == 0 or mark != marks[row - 1])],
        colliding=frozenset(row for row, mark in enumerate(marks) if mark == _BOTH),
    )


_BOTH = 2


def _mark(parent: str | None, base: str | None, child: str | None, *, there: tuple[bool, bool]) -> int:
    """0 where nothing differs, 1 where one side does or both do alike; a version that is not there differs nowhere."""
    differs = [known and text != base for known, text in zip(there, (parent, child), strict=True)]
    return _BOTH if all(differs) and parent != child else int(any(differs))


@dataclass(frozen=True)
class _Side:
    """Where the lines of the base are in another version, and which lines came before each of them."""

    places: list[int | None]
    before: list[range]

    @classmethod
    def of(cls, base: Sequence[str], lines: Lines) -> "_Side":
        places: list[int | None] = [None] * len(base)
        before = [range(0)] * (len(base) + 1)
        for tag, first, last, its_first, its_last in _opcodes(base, lines or ()):
            shared = last - first if tag == "equal" else min(last - first, its_last - its_first)
            places[first : first + shared] = range(its_first, its_first + shared)
            if its_first + shared < its_last:
                before[last] = range(its_first + shared, its_last)
        return cls(places, before)


def _three(base: Sequence[str], parent: _Side, child: _Side) -> list[Row]:
    rows: list[Row] = []
    for line in range(len(base) + 1):
        rows += [Row(mine, None, its) for mine, its in zip_longest(parent.before[line], child.before[line])]
        if line < len(base):
            rows.append(Row(parent.places[line], line, child.places[line]))
    return rows


def _two(parent: Sequence[str], child: Sequence[str]) -> list[Row]:
    return [
        Row(mine, None, its)
        for _, first, last, its_first, its_last in _opcodes(parent, child)
        for mine, its in zip_longest(range(first, last), range(its_first, its_last))
    ]


def _opcodes(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, int, int, int, int]]:
    """As difflib has them, but never slow: of what is very long only both ends are matched."""
    if max(len(old), len(new)) <= MOST_LINES:
        return list(SequenceMatcher(None, old, new).get_opcodes())
    most = min(len(old), len(new))
    start = next((index for index in range(most) if old[index] != new[index]), most)
    most -= start
    end = next((index for index in range(most) if old[-1 - index] != new[-1 - index]), most)
    return [
        ("equal", 0, start, 0, start),
        ("replace", start, len(old) - end, start, len(new) - end),
        ("equal", len(old) - end, len(old), len(new) - end, len(new)),
    ]
