"""The lines of a log that are at hand: a few pages of it, and its end while nobody knows yet how many lines it has."""

from collections import OrderedDict
from collections.abc import Iterable

from cleveragents_tui.dashboard.widgets.log_lines import Line, Tail

PAGE = 128
"""Lines of a page."""

MOST = 24
"""Pages that are kept: of those, that were looked at last."""


class LogPages:
    """Lines by their number.

    While there is a tail, the last lines have numbers that are guessed from the size of the file.

    Attributes:
        version: Counts how often there was more of the log.
    """

    def __init__(self) -> None:
        self._pages: OrderedDict[int, list[Line]] = OrderedDict()
        self._asked: set[int] = set()
        self._outdated: set[int] = set()
        self.version = 0
        self._tail: list[Line] = []
        self._tail_from = 0

    def line(self, number: int) -> Line | None:
        """A line; None when it is not at hand."""
        if self._tail and number >= self._tail_from:
            place = number - self._tail_from
            return self._tail[place] if place < len(self._tail) else None
        page = self._pages.get(number // PAGE)
        place = number % PAGE
        return page[place] if page is not None and place < len(page) else None

    def put(self, page: int, lines: list[Line], version: int) -> None:
        """Keep a page, and read it again when there was more of the log after the `version` that it was read from."""
        self._pages[page] = lines
        self._pages.move_to_end(page)
        self._asked.discard(page)
        if version == self.version:
            self._outdated.discard(page)
        else:
            self._outdated.add(page)
        while len(self._pages) > MOST:
            self._outdated.discard(self._pages.popitem(last=False)[0])

    def ask(self, first: int, last: int) -> list[int]:
        """The pages that have to be read for some lines; who gets the answer reads them."""
        pages = range(max(0, first) // PAGE, max(0, last) // PAGE + 1)
        for page in pages:
            if page in self._pages:
                self._pages.move_to_end(page)
        missing = [page for page in pages if page not in self._asked and self._lacks(page)]
        self._asked.update(missing)
        return missing

    def _lacks(self, page: int) -> bool:
        known = not self._tail or page * PAGE < self._tail_from
        return known and (page not in self._pages or page in self._outdated)

    def unask(self, pages: Iterable[int]) -> None:
        """Pages could not be read."""
        self._asked.difference_update(pages)

    def outdate(self, first: int) -> None:
        """From line `first` on there is more than what is at hand; it is shown until the new is read."""
        self.version += 1
        self._outdated.update(page for page in self._pages if page >= max(0, first) // PAGE)

    def put_tail(self, tail: Tail) -> None:
        """Keep the last lines, with guessed numbers."""
        self._tail = tail.lines
        self._tail_from = tail.about - len(tail.lines)

    @property
    def has_tail(self) -> bool:
        return bool(self._tail)

    def in_tail(self, number: int) -> bool:
        """Whether the number of a line is a guessed one."""
        return self.has_tail and number >= self._tail_from

    def drop_tail(self) -> None:
        """The lines are counted."""
        self._tail = []
