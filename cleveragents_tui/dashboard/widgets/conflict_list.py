"""The files of a plan that do not fit together, a line each, and what is said of them."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.style import Style

from cleveragents_tui import wording
from cleveragents_tui.dashboard.widgets import patches
from cleveragents_tui.dashboard.widgets.rows import Cells, Rows, fit
from cleveragents_tui.wording import Mood, Tone
from daemon import views

TAKEN = {"parent": "parent's", "child": "child's", "base": "base's", "edited": "edited", "file": "your file"}
"""What was chosen, as the list says it."""


def is_of_apply(one: views.MergeConflictView) -> bool:
    """Whether it is the project that the plan does not fit into."""
    return one.item is None


def side_name(one: views.MergeConflictView, side: str) -> str:
    """What a side is called; at Apply the project stands for the parent, and the plan for the child."""
    return {"parent": "project", "child": "plan"}.get(side, side) if is_of_apply(one) else side


def child_name(one: views.MergeConflictView) -> str:
    """Who was to enter: the child with its item, or at Apply the plan."""
    return one.child_name if one.item is None else f"{one.child_name} ({wording.one_line(one.item)})"


class Widths(NamedTuple):
    """Columns of what stands in a column."""

    path: int = 0
    kind: int = 0
    note: int = 0


class ConflictList(Rows):
    """Whether it is open, the file, how it collides, and what was chosen."""

    conflicts: Sequence[views.MergeConflictView] = ()
    several_projects: bool = False
    _widths = Widths()

    def show(self, conflicts: Sequence[views.MergeConflictView], *, several_projects: bool) -> None:
        """Other conflicts, or the same in another state; the cursor stays on its line."""
        self.conflicts = conflicts
        self.several_projects = several_projects
        self._widths = Widths(
            max((wording.columns(self._path(one)) for one in conflicts), default=0),
            max((len(one.kind) for one in conflicts), default=0),
            max((len(_missing(one)) for one in conflicts), default=0),
        )
        self.count = len(conflicts)
        self.refresh()

    @property
    def current(self) -> views.MergeConflictView | None:
        """The one under the cursor."""
        return self.conflicts[self.cursor] if self.cursor < len(self.conflicts) else None

    def named(self, one: views.MergeConflictView) -> str:
        """How a command names a file: with its project where there are several."""
        return f"{wording.short_name(one.project)}:{one.path}" if self.several_projects else one.path

    def _path(self, one: views.MergeConflictView) -> str:
        return patches.shown(self.named(one))

    def cells(self, row: int, width: int) -> Cells:
        """In columns; of a long path the end is shown."""
        one = self.conflicts[row]
        mood = Mood.NEEDS_YOU if one.taken is None else Mood.DONE
        state = f"{one.kind:<{self._widths.kind}}  {state_of(one):<{_STATES}}"
        room = min(self._widths.path, max(8, width - len(state) - self._widths.note - 7))
        path = wording.cut_front(self._path(one), room)
        gap = " " * (room - wording.columns(path) + 2)
        parts = [
            (f" {mood.sign} ", self.tone(mood.tone)),
            (path + gap, Style(bold=True)),
            (state, self.tone(mood.tone)),
        ]
        return fit([*parts, (f"  {_missing(one)}", self.tone(Tone.WAITING))], width)


def state_of(one: views.MergeConflictView) -> str:
    """Whether it is open, else what was chosen."""
    return "open" if one.taken is None else TAKEN[one.taken]


_STATES = max(map(len, TAKEN.values()))


def _missing(one: views.MergeConflictView) -> str:
    """Which side has no such file."""
    sides = (("parent", one.parent), ("child", one.child))
    absent = [side_name(one, side) for side, version in sides if version is None]
    where = "a directory in" if one.kind == "file/directory" else "not in"
    return f"{where} the {' and the '.join(absent)}" if absent else ""
