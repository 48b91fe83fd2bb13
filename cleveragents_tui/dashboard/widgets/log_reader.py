"""What of the file of a log is read, and when; `LogPane` draws it.

The file is looked through in pieces, in a thread; while it grows, and is seen, ten times a second. Nothing goes on
otherwise. A look ends before the next one begins, so that a slow disk makes the view late, and nothing else.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from textual import on, work
from textual.app import App

from cleveragents_tui.dashboard.widgets.log_lines import LogLines, Seen
from cleveragents_tui.dashboard.widgets.log_pages import PAGE, LogPages
from cleveragents_tui.dashboard.widgets.log_pane import LogPane
from cleveragents_tui.dashboard.widgets.log_search import LogSearch

LOOK_SECONDS = 0.1
"""How often a log that grows is looked at."""

GONE = "the log is gone"


class LogReader(LogPane):
    """The lines of one file at a time.

    Args:
        empty: What is said while there is no file.
        grown: Called when there are more lines, or other ones; a message would come a frame later and cost another one.
    """

    def __init__(self, empty: str, grown: Callable[[], None]) -> None:
        super().__init__()
        self._grown = grown
        self.source: LogLines | None = None
        self._empty = empty
        self._seen = False
        self._taken = (0, 0)

    def read(self, path: str | None, *, live: bool) -> None:
        """Show a file; None is none."""
        self.live = live
        if path != (None if self.source is None else self.source.path):
            self.source = None if path is None else LogLines(path)
            self.set_reactive(LogPane.following, live)
            self._begin()
        self._look_at_it()

    def on_mount(self) -> None:
        """Look, now that it can be told."""
        self._begin()
        self.watch(self.screen, "stack_updates", self._look_at_it, init=False)

    def on_show(self) -> None:
        """It is seen."""
        self._seen = True
        self._look_at_it()

    def on_hide(self) -> None:
        """It is behind something else: it is no longer looked at."""
        self._seen = False

    @property
    def _watched(self) -> bool:
        """Whether somebody may see what is new."""
        if not (self.live and self._seen):
            return False
        app = cast("App[object]", self.app)
        return self.screen.is_active or (self.screen.is_current and app.screen.is_modal)

    def _begin(self) -> None:
        """Nothing is known yet; what was searched before is searched here as well."""
        search = self.strips.search
        self._taken = (0, 0) if self.source is None else (self.source.beginnings, 0)
        self.begin(self._empty if self.source is None else "")
        self.mark(LogSearch(self.source, search.text) if search is not None and self.source is not None else None)
        self._grown()

    def _look_at_it(self) -> None:
        if self.source is not None and self._seen:
            self._keep_looking(self.source)

    @work(exclusive=True, group="look")
    async def _keep_looking(self, log: LogLines) -> None:
        """Look through what there is, and then at what comes, while it is looked at."""
        while True:
            try:
                await self._take(log, await asyncio.to_thread(log.look))
                behind = not log.complete
            except OSError as error:
                self._say(f"it cannot be read: {error.strerror}")
                behind = False
            if not behind:
                if not self._watched:
                    return
                await asyncio.sleep(LOOK_SECONDS)

    async def _take(self, log: LogLines, seen: Seen) -> None:
        if seen is Seen.ABSENT:
            self._say(self._absent())
        elif not log.count:
            self._say("nothing was printed yet" if self.live else "it printed nothing")
        elif (found := (log.beginnings, log.size)) != self._taken:
            # Not what this look found: an earlier one may have been given up before it was taken.
            if log.beginnings != self._taken[0]:
                self._begin()
            self.pages.outdate(self.known - 1)
            if self.following or self.pages.has_tail:
                await self._read_end(log)
            self._grow(log)
            self._taken = found

    def _absent(self) -> str:
        if self.count or self.note == GONE:
            return GONE
        return "nothing was printed yet" if self.live else "there is no log"

    def _say(self, note: str) -> None:
        """Say something instead of lines."""
        if note != self.note:
            self._begin()
            self.begin(note)

    async def _read_end(self, log: LogLines) -> None:
        """Have at hand what is shown next: the last pages, or what must do for them until all lines are counted."""
        pages = self.pages
        if log.complete:
            last = max(0, log.count - 1) // PAGE
            for page in range(max(0, last - 1), last + 1):
                await _put(pages, log, page)
        elif not pages.has_tail:
            pages.put_tail(tail := await asyncio.to_thread(log.tail))
            self.count = tail.about
            self.settle()

    def _grow(self, log: LogLines) -> None:
        """There are more lines, or their number is known at last."""
        self.known, self.note = log.count, ""
        if not self.pages.has_tail:
            self.count = log.count
            self.settle()
        elif log.complete:
            by = log.count - self.count if self.pages.in_tail(self.scroll_offset.y) else 0
            self.pages.drop_tail()
            self.renumber(log.count, by)
        self._grown()

    @on(LogPane.Wanted)
    def _read(self, message: LogPane.Wanted) -> None:
        message.stop()
        if self.source is not None:
            self._read_pages(self.source, self.pages, message.pages)

    @work(group="pages")
    async def _read_pages(self, log: LogLines, pages: LogPages, numbers: list[int]) -> None:
        for page in numbers:
            try:
                await _put(pages, log, page)
            except OSError:
                pages.unask(numbers)
                return self._look_at_it()  # which says what there is instead
        if self.pages is pages:
            self.settle()
        return None


async def _put(pages: LogPages, log: LogLines, page: int) -> None:
    version = pages.version
    pages.put(page, await asyncio.to_thread(log.lines, page * PAGE, PAGE), version)
