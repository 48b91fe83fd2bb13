"""The files of a change, a line each."""

from collections.abc import Sequence

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Tone
from daemon import views

MARKS = {
    "added": ("A", Tone.DONE),
    "deleted": ("D", Tone.FAILED),
    "renamed": ("R", Tone.RUNNING),
    "modified": ("M", Tone.NEEDS_YOU),
}
"""The letters that git has for them."""


def sizes(file: views.FileView) -> str:
    """How much of a file came and went, or that it has no lines."""
    if file.binary or file.insertions is None or file.deletions is None:
        return "binary"
    if not file.insertions and not file.deletions:
        return "empty" if file.status in {"added", "deleted"} else ""
    return wording.signed(file.insertions, file.deletions)


class FileList(Rows):
    """What happened to each file, its path, and how many lines came and went."""

    files: Sequence[views.FileView] = ()

    def show(self, files: Sequence[views.FileView]) -> None:
        """Other files; the cursor stays on its line."""
        self.files = files
        self.count = len(files)
        self.refresh()

    def cells(self, row: int, width: int) -> Cells:
        """Of a long path the end is shown."""
        file = self.files[row]
        mark, tone = MARKS.get(file.status, ("?", Tone.PLAIN))
        size = sizes(file)
        room = max(0, width - len(size) - (5 if size else 4))
        path = wording.cut_front(patches.shown(file.path), room)
        gap = " " * (room - wording.columns(path) + 1)
        return fit([(f" {mark} ", self.tone(tone)), (path + gap, Style.null()), (size, self.tone(Tone.WAITING))], width)
