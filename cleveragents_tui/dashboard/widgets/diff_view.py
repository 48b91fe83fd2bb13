"""What a plan changes: its files beside the lines that came and went."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import entitle
from cleveragents_tui.dashboard.widgets import patches
from cleveragents_tui.dashboard.widgets.diff_lines import DiffLines
from cleveragents_tui.dashboard.widgets.file_list import FileList
from cleveragents_tui.dashboard.widgets.patches import Patch
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.search_line import SearchLine
from daemon import views

ROOM = 90
"""Columns from which on the files stand beside the lines."""
NOTHING_YET = "No change yet: it comes with the first step of Execute that succeeds."
NEVER = "No change: it was over before a step of Execute had succeeded."
NO_CHANGES = "No changes: the steps left every file as it was."


class DiffView(Widget):
    """A change: a list of its files, and all their lines; with less than 90 columns the list is opened by a key.

    `show` may be called as often as there is something new: whoever reads stays where they are, as long as the file is there.
    """

    DEFAULT_CSS = """
    DiffView {
        layout: horizontal; width: 1fr; height: 1fr; border: round $border-blurred;
        &:focus-within { border: round $border; }
        & > FileList { display: none; width: 30%; min-width: 28; max-width: 56; height: 1fr; }
        & > FileList { border-right: vkey $border-blurred; }
        & > Vertical { width: 1fr; height: 1fr; }
        & #nothing { width: 1fr; height: 1fr; padding: 1 2; color: $text-muted; display: none; }
        &.-files > FileList { display: block; }
        &.-narrow { layout: vertical; }
        &.-narrow > FileList { width: 1fr; max-width: 100%; height: 40%; }
        &.-narrow > FileList { border-right: none; border-bottom: hkey $border-blurred; }
        &.-empty > FileList { display: none; }
        &.-empty DiffLines { display: none; }
        &.-empty #nothing { display: block; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "find(1)", "Next", id="diff.next_find", tooltip="The next line with the text."),
        Binding("N", "find(-1)", "Previous", id="diff.previous_find", tooltip="The previous line with the text."),
        Binding("F", "files", "Files", id="diff.files", tooltip="Open or close the list of files."),
        Binding(
            "slash", "search", "Search", id="diff.search", key_display="/", tooltip="Find text in the whole change."
        ),
        Binding("w", "wrap", "Wrap", id="diff.wrap", tooltip="Wrap long lines, or cut them."),
        Binding("y", "copy", "Copy path", id="diff.copy", show=False, tooltip="Copy the path of the file in view."),
        Binding("escape", "back", "Back to the lines", id="diff.back", show=False),
        Binding("escape", "end_search", "End search", id="diff.end_search"),
    ]

    diff: reactive[views.PlanDiffView | None] = reactive(None, init=False, always_update=True)
    """What is shown, or about to be."""
    files_wanted: reactive[bool | None] = reactive(None)
    """Whether the list of files is open; None: when there is room."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002  as Textual calls them
        super().__init__(name=name, id=id, classes=classes)
        self._shown: views.PlanDiffView | None = None
        self._found: Sequence[int] = ()
        self._nothing = NOTHING_YET

    def compose(self) -> ComposeResult:
        """The files, the lines, what is said when there are none, and the line to search with."""
        yield FileList()
        with Vertical():
            yield DiffLines()
            yield Static(self._nothing, id="nothing", markup=False)
            yield SearchLine()

    @property
    def lines(self) -> DiffLines:
        """The lines of all files."""
        return self.query_one(DiffLines)

    @property
    def files(self) -> FileList:
        """The list of files."""
        return self.query_one(FileList)

    def show(self, diff: views.PlanDiffView | None, nothing: str = NOTHING_YET) -> None:
        """Another change, a later state of the same one, or None and why there is none; it appears once it was read."""
        self._nothing = nothing if diff is None else NO_CHANGES
        for text in self.query("#nothing").results(Static):
            text.update(self._nothing)
        self.diff = diff

    def on_mount(self) -> None:
        """What was given before there was a screen is read now."""
        self.set_class(True, "-empty")  # noqa: FBT003  as Textual has it
        self.watch(self, "diff", self._diff_changed)

    def _diff_changed(self, diff: views.PlanDiffView | None) -> None:
        if (
            diff is None
            or self._shown is None
            or (diff.plan_id, diff.digest) != (self._shown.plan_id, self._shown.digest)
        ):
            self._read(diff)

    @work(exclusive=True, group="diff")
    async def _read(self, diff: views.PlanDiffView | None) -> None:
        patch = Patch() if diff is None else await asyncio.to_thread(patches.read, diff)
        self._fill(diff, patch)

    def _fill(self, diff: views.PlanDiffView | None, patch: Patch) -> None:
        same = self._is_of_same_plan(diff)
        place = self._place_in(patch) if same else 0
        self._shown = diff
        self.set_class(not patch.sections, "-empty")
        self.lines.show(patch, place)
        with self.prevent(Rows.Moved):
            self.files.show([section.file for section in patch.sections])
        self._point_at(self.lines.section)
        self._say_place()
        if same and self.lines.needle:
            self._search(self.lines.needle, 0)
        else:
            self.end_search()

    def _is_of_same_plan(self, diff: views.PlanDiffView | None) -> bool:
        return diff is not None and self._shown is not None and diff.plan_id == self._shown.plan_id

    def _place_in(self, patch: Patch) -> int:
        """The row of another state of the change that is nearest to where one is."""
        old = self.lines.patch
        if not old.sections:
            return 0
        here = old.sections[self.lines.section]
        for section in patch.sections:
            if section.file.path == here.file.path:
                return min(section.end - 1, section.row + self.lines.place - here.row)
        return 0

    # --- the two parts move together --------------------------------------------------------------------------------------

    def on_diff_lines_moved(self, event: DiffLines.Moved) -> None:
        """The list goes along with the lines."""
        event.stop()
        self._point_at(event.section)
        self._say_place()

    def _say_place(self) -> None:
        """Which file and hunk of how many one is at."""
        patch = self.lines.patch
        if not patch.sections:
            entitle(self, "")
            return
        section = patch.sections[self.lines.section]
        first, end = (bisect_left(patch.hunks, row, key=lambda hunk: hunk.row) for row in (section.row, section.end))
        hunk = bisect_right(patch.hunks, self.lines.place, key=lambda hunk: hunk.row) - first
        file = f" file {self.lines.section + 1:,} of {len(patch.sections):,} "
        entitle(self, file, f" hunk {hunk} of {end - first} " if hunk else "")

    def _point_at(self, section: int) -> None:
        with self.prevent(Rows.Moved):
            self.files.cursor = section

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """The lines go along with the list."""
        event.stop()
        if event.cursor != self.lines.section and event.cursor < len(self.lines.patch.sections):
            self.lines.jump(self.lines.patch.sections[event.cursor].row)

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A file was chosen to be read."""
        event.stop()
        self.action_back()

    # --- room -----------------------------------------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        """Beside each other when there is room."""
        self.set_class(event.size.width < ROOM, "-narrow")
        self._open_files()

    def watch_files_wanted(self) -> None:
        """The list is opened or closed."""
        self._open_files()

    @property
    def _narrow(self) -> bool:
        return self.has_class("-narrow")

    def _open_files(self) -> None:
        wanted = not self._narrow if self.files_wanted is None else self.files_wanted
        self.set_class(wanted, "-files")
        if not wanted and self.is_mounted and self.files.has_focus:
            self.lines.focus()

    def action_files(self) -> None:
        """Open or close the list of files."""
        self.files_wanted = not self.has_class("-files")
        if self.files_wanted:
            self.files.focus()

    def action_back(self) -> None:
        """To the lines; where there is no room for both, the list closes."""
        if self._narrow:
            self.files_wanted = None
        self.lines.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  Textual's signature
        """Escape is somebody else's key unless one is in the list, or searches."""
        if action == "back":
            return self.files.has_focus
        if action in {"find", "end_search"}:
            return bool(self.lines.needle)
        return True

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.lines.wrap = not self.lines.wrap

    def action_copy(self) -> None:
        """The path of the file one is in, to the clipboard."""
        if not self.lines.patch.sections:
            return
        path = self.lines.patch.sections[self.lines.section].file.path
        self.app.copy_to_clipboard(path)  # pyright: ignore[reportUnknownMemberType]  textual says App[Unknown]
        self.notify(wording.one_line(path), title="Copied", markup=False, timeout=2)

    # --- search ---------------------------------------------------------------------------------------------------------------

    def action_search(self) -> None:
        """Open the line to search with."""
        self.query_one(SearchLine).open()

    def on_search_line_typed(self, event: SearchLine.Typed) -> None:
        """Mark it, and say how often it is there."""
        event.stop()
        self._search(event.text, 0)

    def on_search_line_entered(self, event: SearchLine.Entered) -> None:
        """Go to the first find from here on; the keys are for the lines again."""
        event.stop()
        self.lines.focus()
        self._search(self.query_one(SearchLine).text, 1)

    def action_find(self, step: int) -> None:
        """The next line with the text, or the one before."""
        self._go(step)

    @work(exclusive=True, group="search")
    async def _search(self, text: str, step: int) -> None:
        self.lines.needle = text
        found = await asyncio.to_thread(self.lines.patch.find, text) if text else ()
        if self.lines.needle == text:  # else the search was ended meanwhile
            self._found = found
            self._go(step)

    def _go(self, step: int) -> None:
        place = self.lines.jump_to_next(self._found, step) if step else 0
        if self.lines.needle:
            self.query_one(SearchLine).tell(place, len(self._found))

    def on_search_line_closed(self, event: SearchLine.Closed) -> None:
        """What was found is marked no more."""
        event.stop()
        self.action_end_search()

    def action_end_search(self) -> None:
        """No text is searched any more."""
        self.end_search()
        self.lines.focus()

    def end_search(self) -> None:
        """The line goes, with all marks."""
        self.query_one(SearchLine).close()
        self.lines.needle, self._found = "", ()
