"""A log that may be long and may grow, with the keys that work in it: follow, search, wrap, copy."""

import asyncio
from typing import ClassVar, cast

from textual import on, work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.markup import escape
from textual.widgets import Input

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets.log_pane import LogPane
from cleveragents_tui.dashboard.widgets.log_reader import LogReader
from cleveragents_tui.dashboard.widgets.log_search import LogSearch


class LogView(Vertical):
    """One log at a time: `show` says which. The border says whether it is followed, how long it is, and what was found.

    Args:
        empty: What is said while there is no log to show.
    """

    HELP = (
        "The output of a step as it comes. f follows the end, / searches (n and N for the next and the previous line; "
        "case counts when the text has a capital), w wraps long lines, h and l move sideways, y copies what is seen or "
        "marked with the mouse."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "Follow", id="log.follow", tooltip="Stay at the end, or no longer."),
        Binding("slash", "search", "Search", id="log.search", tooltip="Find text in the whole log."),
        Binding("n", "next(1)", "Next", id="log.next", tooltip="The next line with the text."),
        Binding("N", "next(-1)", "Previous", id="log.previous", tooltip="The previous line with the text."),
        Binding("w", "wrap", "Wrap", id="log.wrap", tooltip="Wrap long lines, or cut them."),
        Binding("y", "copy", "Copy", id="log.copy", tooltip="Copy what is marked, or seen.", show=False),
        Binding("escape", "end_search", "End search", id="log.end_search", tooltip="Let nothing stand out any more."),
    ]
    DEFAULT_CSS = """
    LogView {
        height: 1fr;
        Input { display: none; height: 1; border: none; padding: 0; background: $surface; }
        &.-searching Input { display: block; }
    }
    """

    def __init__(self, *, empty: str = "no log", id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  as Textual calls it
        super().__init__(id=id, classes=classes)
        self._pane = LogReader(empty, self._search_on)
        self._typed = Input(placeholder="search", compact=True, select_on_focus=True)
        self._way = 0
        self._origin = 0
        self._told: str = ""

    def compose(self) -> ComposeResult:
        """The log, and the line for the text that is searched."""
        yield self._pane
        yield self._typed

    # --- for who shows it --------------------------------------------------------------------------------------------------

    def show(self, path: str | None, *, live: bool) -> None:
        """Show a log.

        Args:
            path: The file; it need not exist yet. None shows nothing.
            live: Whether it may still grow: then its end is shown and followed.
        """
        self._way = 0
        self._pane.read(path, live=live)
        self._tell()

    def follow(self) -> None:
        """Go to its end, and stay there whatever comes."""
        self._pane.following = True

    @property
    def following(self) -> bool:
        """Whether the end is shown, whatever comes."""
        return self._pane.following

    @property
    def wrapping(self) -> bool:
        """Whether long lines are wrapped."""
        return self._pane.wrap

    @property
    def line_count(self) -> int:
        """How many lines there are, as far as is known."""
        return self._pane.count

    @property
    def complete(self) -> bool:
        """Whether the lines of the whole file are counted."""
        return self._pane.source is None or self._pane.source.complete

    @property
    def text(self) -> list[str]:
        """The lines that are seen."""
        return self._pane.seen

    def focus(self, scroll_visible: bool = True) -> "LogView":  # noqa: FBT001, FBT002  as Widget has it
        """Let the keys be for the log."""
        self._pane.focus(scroll_visible)
        return self

    def search(self, text: str) -> None:
        """Find text: the first line that has it, from the one at the top on. No text ends the search."""
        log = self._pane.source
        self._pane.mark(LogSearch(log, text) if text and log is not None else None)
        self._way, self._origin = 1, self._pane.scroll_offset.y - 1
        self._search_on()
        self._tell()
        self.refresh_bindings()

    # --- search ------------------------------------------------------------------------------------------------------------

    @property
    def _search(self) -> LogSearch | None:
        return self._pane.strips.search

    def _search_on(self) -> None:
        if self._search is not None and not self._search.done:
            self._keep_searching(self._search)
        self._tell()

    @work(exclusive=True, group="search")
    async def _keep_searching(self, search: LogSearch) -> None:
        """Search all that there is; a new search takes the place of an old one."""
        while not search.done:
            try:
                await asyncio.to_thread(search.search_on)
            except OSError:
                return  # the file is gone, which whoever looks at it says
            self._jump_when_found()
        self._jump_when_found()
        self._tell()

    def _jump_when_found(self) -> None:
        """Jump once it is known where to: a match behind the end of what was searched may come before one from the start."""
        search = self._search
        if search is None or not self._way:
            return
        line = search.after(self._origin) if self._way > 0 else search.before(self._origin)
        if line is not None and (search.done or (line > self._origin and self._way > 0)):
            self._way = 0
            self._pane.jump(line)
            self._tell()

    # --- keys --------------------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  as Textual calls it
        """Escape is for others when nothing is searched, and there is no next match without a search."""
        if action in {"end_search", "next"}:
            return self._search is not None or self.has_class("-searching")
        return True

    def action_follow(self) -> None:
        """Stay at the end, or no longer."""
        self._pane.following = not self._pane.following

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self._pane.wrap = not self._pane.wrap

    def action_search(self) -> None:
        """Ask for the text."""
        self.add_class("-searching")
        self.refresh_bindings()
        self._typed.focus()

    @on(Input.Submitted)
    def _on_typed(self, message: Input.Submitted) -> None:
        message.stop()
        if self._search is not None and self._search.text == message.value:
            self.action_next(1)
        else:
            self.search(message.value)
        self._pane.focus()

    def action_end_search(self) -> None:
        """No text is searched any more."""
        self.remove_class("-searching")
        self.search("")
        self._pane.focus()

    def action_next(self, way: int) -> None:
        """The next line with the text, or the previous one."""
        current = self._pane.strips.current
        self._way, self._origin = way, current if current >= 0 else self._pane.scroll_offset.y - (way > 0)
        self._jump_when_found()

    def action_copy(self) -> None:
        """Copy what is marked, else what is seen."""
        text = self.screen.get_selected_text() or "\n".join(self._pane.seen)
        app = cast("App[object]", self.app)
        app.copy_to_clipboard(text)
        app.notify(f"copied {wording.count(text.count(chr(10)) + 1, 'line')}", markup=False)

    # --- what the border says ----------------------------------------------------------------------------------------------

    @on(LogPane.Followed)
    def _tell(self) -> None:
        """How it stands."""
        parts = [self._found(), "following" if self._pane.live and self.following else "", *self._length()]
        told = " · ".join(part for part in parts if part)
        if told != self._told:
            self._told = told
            self.border_subtitle = escape(told)

    def _found(self) -> str:
        search = self._search
        if search is None:
            return ""
        text = wording.cut(wording.one_line(search.text), 30)
        if search.done and not search.found:
            return f"{text}: not found"
        place = search.place(self._pane.strips.current)
        number = f"{_number(len(search.found), 'line')}{'' if search.done and not search.full else ' so far'}"
        return f"{text}: {number if place is None else f'{place:,} of {number}'}"

    def _length(self) -> list[str]:
        pane = self._pane
        if pane.source is None or not pane.count:
            return []
        lines = _number(pane.count, "line")
        if pane.pages.has_tail:
            lines = f"about {lines}"
        elif not pane.source.complete:
            lines += " so far"
        return [lines, wording.size(pane.source.length)]


def _number(number: int, noun: str) -> str:
    """`1 line`, `1,234 lines`."""
    return f"{number:,} {wording.count(number, noun).partition(' ')[2]}"
