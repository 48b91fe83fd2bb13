"""What a dashboard does, taken through its terminal: the first row, pages, the filter, and other clients' changes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.dashboard_desk import Desk, Screen, Seen
from bench.homes import Home
from bench.idle import cpu
from cleveragents_tui import client as clients
from cleveragents_tui.dashboard.outline import LISTS, Spot, outline, windows
from daemon import protocol

CHANGES = 20
"""Plans that another client moves at once."""
PAGE_DOWN, HOME = "\x1b[6~", "g"
BACKSPACE = "\x7f"

_NAME = re.compile(r"\b[a-z]+-\d+\b")


@dataclass(frozen=True)
class Taken:
    """What something took: seconds until it was seen, and milliseconds of CPU time until all was quiet."""

    seconds: float
    cpu: float
    daemon: float


class Lines:
    """What is on each line of the board, as the daemon has it."""

    def __init__(self, client: clients.Client, words: str = "") -> None:
        self._client = client
        self._words = words
        self._outline = outline(client.call(protocol.PlanBoard(filter=words)).counts, ())
        self.count = self._outline.size

    def names(self, first: int, number: int) -> list[str]:
        """The plans on some lines, by name."""
        spots = [self._outline.at(line) for line in range(first, min(self.count, first + number))]
        pages = [protocol.BoardPage(*window) for window in windows(spot for spot in spots if isinstance(spot, Spot))]
        found = self._client.call(protocol.PlanBoard(pages=pages, filter=self._words)).pages
        return [plan.name for of in LISTS for page in found if page.of == of for plan in page.plans]

    def resting_place(self, line: int) -> int:
        """The plan on a line, or the one below a heading."""
        return line if isinstance(self._outline.at(line), Spot) else line + 1


def a_plan(screen: Screen) -> bool:
    """Whether the name of a plan is on the screen."""
    return bool(_NAME.search(screen.text))


def exactly(names: Sequence[str]) -> Seen:
    """Whether these plans, and no others, are on the board."""
    return lambda screen: _NAME.findall(screen.left) == names


def first_row(home: Home) -> float:
    """Seconds from the start of the process until the first plan is on the screen; the daemon runs."""
    with Desk(home) as desk:
        return desk.until(a_plan) - desk.begun


class Reader:
    """Somebody who looks at the plans of a home whose daemon runs."""

    def __init__(self, desk: Desk, client: clients.Client) -> None:
        self.desk = desk
        self._client = client
        desk.until(a_plan)
        desk.settle()
        self._height = desk.screen.height
        self.lines = Lines(client)
        self._cursor = 1

    def _take(self, keys: str, seen: Seen) -> Taken:
        before, daemon = self.desk.cpu, cpu(self._client.hello.pid)
        seconds = self.desk.answer(keys, seen)
        self.desk.settle()
        return Taken(seconds, self.desk.cpu - before, cpu(self._client.hello.pid) - daemon)

    def _to_the_top(self) -> None:
        self.desk.answer(HOME, exactly(self.lines.names(0, self._height)))
        self.desk.settle()
        self._cursor = 1

    def page_down(self) -> Taken:
        """The next page of the board, and the plan beside it; at the end the first page comes again, for nothing."""
        if self._cursor + self._height > self.lines.count:
            self._to_the_top()
        self._cursor = self.lines.resting_place(self._cursor + self._height - 1)
        names = self.lines.names(self._cursor - self._height + 1, self._height)
        listed = exactly(names)
        return self._take(PAGE_DOWN, lambda screen: listed(screen) and names[-1] in screen.right)

    def filter(self) -> Taken:
        """One letter of a filter, that one plan in fifty has; it is taken back for nothing."""
        self._to_the_top()
        self.desk.press("/")
        self.desk.settle()
        height = self._height - 1  # what is typed takes a line
        taken = self._take("z", exactly(Lines(self._client, "z").names(0, height)))
        self.desk.answer(BACKSPACE, lambda screen: "annotate-" in screen.left)
        self.desk.answer("\r", lambda screen: "esc ends" not in screen.left)
        self.desk.settle()
        self._to_the_top()
        return taken

    def tick(self) -> Taken:
        """Another client cancels plans of the first page, all at once."""
        names = Lines(self._client).names(0, self._height)
        waiting = self._client.call(protocol.PlanBoard()).counts.needs_you
        before, daemon = self.desk.cpu, cpu(self._client.hello.pid)
        begin = self.desk.press("")
        moving = [self._client.ask(protocol.PlanCancel(plan=name)) for name in names[3 : 3 + CHANGES]]
        shown = self.desk.until(_headed(waiting - CHANGES, names[3 : 3 + CHANGES]))
        for one in moving:
            one.result()
        self.desk.settle()
        return Taken(shown - begin, self.desk.cpu - before, cpu(self._client.hello.pid) - daemon)


def _headed(waiting: int, moved: Sequence[str]) -> Seen:
    """Whether so many plans need somebody, and none of those that moved are among them."""
    heading = re.compile(rf"NEEDS YOU +{waiting} ")

    def seen(screen: Screen) -> bool:
        above = screen.left.partition(" DONE ")[0]
        return bool(heading.search(above)) and not any(name in above for name in moved)

    return seen
