"""Which plan is on which line of the board, from a few numbers: how long each list is, and where the opened plans are.

No line is kept: a board of a hundred thousand plans is four counts and the handful of plans whose children are shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from daemon import views

LISTS = ("needs_you", "running", "queued", "done")
"""The lists of the board, in the order in which they matter to the one who looks."""


@dataclass(frozen=True)
class Heading:
    """The line above a list that is not empty."""

    of: str
    count: int


@dataclass(frozen=True)
class Spot:
    """Where a plan is: behind `position` others in a list, or among the children of the plan `of`."""

    of: str
    position: int
    depth: int = 0


@dataclass(frozen=True)
class Section:
    """A list, or the children of a plan, with the children of those that are opened in it, sorted by position."""

    of: str
    count: int
    depth: int = 0
    opened: tuple[tuple[int, "Section"], ...] = ()

    @cached_property
    def size(self) -> int:
        """How many lines it takes, without its heading."""
        return self.count + sum(section.size for _, section in self.opened)

    def at(self, line: int) -> Spot:
        """What is on one of its lines."""
        for position, section in self.opened:
            if line <= position:
                break
            if line <= position + section.size:
                return section.at(line - position - 1)
            line -= section.size
        return Spot(self.of, line, self.depth)

    def line_of(self, of: str, position: int) -> int | None:
        """On which of its lines something is."""
        before = 0
        for at, section in self.opened:
            if self.of == of and position <= at:
                break
            inside = section.line_of(of, position)
            if inside is not None:
                return at + before + 1 + inside
            before += section.size
        return position + before if self.of == of and position < self.count else None


@dataclass(frozen=True)
class Outline:
    """The whole board: the lists that have something, each behind its heading."""

    sections: tuple[Section, ...] = ()

    @cached_property
    def size(self) -> int:
        """How many lines there are."""
        return sum(1 + section.size for section in self.sections)

    def at(self, line: int) -> Heading | Spot:
        """What is on a line."""
        for section in self.sections:
            if line == 0:
                return Heading(section.of, section.count)
            if line <= section.size:
                return section.at(line - 1)
            line -= 1 + section.size
        raise IndexError(line)

    def line_of(self, of: str, position: int) -> int | None:
        """On which line something is; None when that is folded away, or not there."""
        before = 0
        for section in self.sections:
            inside = section.line_of(of, position)
            if inside is not None:
                return before + 1 + inside
            before += 1 + section.size
        return None


def outline(counts: views.BoardCountsView, places: Iterable[views.BoardPlaceView]) -> Outline:
    """The board with the children of the plans in `places` shown."""
    below: dict[str, list[views.BoardPlaceView]] = {}
    for place in places:
        below.setdefault(place.of, []).append(place)
    numbers = {name: int(getattr(counts, name)) for name in LISTS}
    return Outline(tuple(_section(name, numbers[name], 0, below) for name in LISTS if numbers[name]))


def _section(of: str, count: int, depth: int, below: dict[str, list[views.BoardPlaceView]]) -> Section:
    opened = [
        (place.position, _section(place.plan_id, place.children, depth + 1, below))
        for place in sorted(below.get(of, ()), key=lambda place: place.position)
        if place.children
    ]
    return Section(of, count, depth, tuple(opened))


def windows(spots: Iterable[Spot]) -> Sequence[tuple[str, int, int]]:
    """The stretches that spots make up: the list, the first position, and how many from there on."""
    ends: dict[str, tuple[int, int]] = {}
    for spot in spots:
        first, last = ends.get(spot.of, (spot.position, spot.position))
        ends[spot.of] = (min(first, spot.position), max(last, spot.position))
    return [(of, first, last - first + 1) for of, (first, last) in ends.items()]
