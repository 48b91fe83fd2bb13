"""Conflicts: the files in which a child and its plan do not fit together, or a plan and its project; looked at, and settled."""

import asyncio
import base64
import os
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual import events, work
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.here import entitle
from cleveragents_tui.dashboard.room import NARROW, Room, bindings
from cleveragents_tui.dashboard.screens.conflict_texts import headings, next_steps, summary
from cleveragents_tui.dashboard.widgets import three_ways
from cleveragents_tui.dashboard.widgets.conflict_list import ConflictList, is_of_apply, state_of
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.versions import Shown, Versions
from daemon import protocol, views
from store import errors

ON_FROM_HERE = ("plan.execute", "plan.apply", "plan.revert", "plan.undo")
"""What a plan can do once everything is settled, or when it is the project that it collides with."""


TEXT_MODES = {"100644", "100755"}
"""Links and submodules are no files to edit."""


@dataclass(frozen=True)
class Chosen:
    """What a verb settles.

    Attributes:
        plan: The plan's name.
        file: The file, as a command names it.
        conflict: What is known of it.
        merged: Where the merged file can be edited; nowhere when it was settled, and nothing else in its project is open.
    """

    plan: str
    file: str
    conflict: views.MergeConflictView
    merged: Path | None

    @property
    def can_take(self) -> bool:
        """Whether it is settled here; what is in the project is the user's to change."""
        return not is_of_apply(self.conflict)

    @property
    def is_text(self) -> bool:
        """Whether an editor is of any use."""
        found = (self.conflict.parent, self.conflict.base, self.conflict.child)
        return all(version is None or (version.mode in TEXT_MODES and not version.binary) for version in found)


class ConflictsScreen(Room):
    """The conflicts of one plan, and the versions of the one under the cursor."""

    TITLE = "Conflicts"
    AUTO_FOCUS = "ConflictList"
    HELP = """The files that keep a child from entering its plan, or a plan from its project, with their versions side by side.
A line that differs from the base is marked: + came, ~ changed, − went; ! where both sides differ.
A choice may be made again until the plan goes on."""  # noqa: RUF001  the sign as it is shown
    AREAS = ("conflict",)
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(*AREAS),
        Binding("n", "difference(1)", "Next difference", id="conflict.next", show=False,
                tooltip="To the next lines that differ."),
        Binding("N", "difference(-1)", "Previous difference", id="conflict.previous", show=False,
                tooltip="To those before."),
        Binding("w", "wrap", "Wrap", id="conflict.wrap", tooltip="Wrap long lines, or cut them."),
        *(one for one in bindings("plan") if isinstance(one, Binding) and one.id in ON_FROM_HERE),
        Binding("escape", "leave", "Back", id="conflict.back", tooltip="To where you came from."),
    ]  # fmt: skip
    DEFAULT_CSS = """
    ConflictsScreen {
        & #summary { height: 1; padding: 0 1; text-style: bold; }
        & #next { height: auto; max-height: 4; padding: 0 1; color: $text-muted; }
        & ConflictList { height: auto; min-height: 3; max-height: 25%; }
        & Versions { height: 1fr; }
    }
    """

    def __init__(self, plan: str) -> None:
        super().__init__()
        self._given = plan
        self._plan: views.PlanView | None = None
        self._found: views.PlanConflictsView | None = None
        self._shown: views.MergeConflictView | None = None

    def body(self) -> Iterable[Widget]:
        """What does not fit, what to do, the files and their versions."""
        yield Static(id="summary")
        yield Static(id="next")
        yield ConflictList(classes="pane")
        yield Versions(classes="pane")

    @property
    def _list(self) -> ConflictList:
        return self.query_one(ConflictList)

    @property
    def _versions(self) -> Versions:
        return self.query_one(Versions)

    def on_resize(self, event: events.Resize) -> None:
        """One version at a time where there is no room for three."""
        self._versions.one_only = event.size.width < NARROW

    # --- what there is ------------------------------------------------------------------------------------------------

    async def refill(self, happened: list[views.EventView]) -> None:
        """The conflicts as they are now."""
        if happened and self._plan is not None and not any(event.plan_id == self._plan.plan_id for event in happened):
            return
        link = self.dashboard.link
        self._plan = await link.call(protocol.PlanShow(plan=self._given))
        self._found = await link.call(protocol.PlanConflicts(plan=self._plan.plan_id), timeout=None)
        self._show()

    def _show(self) -> None:
        if self._plan is None or self._found is None:
            return
        self._list.show(self._found.conflicts, several_projects=len(self._plan.projects) > 1)
        self.query_one("#summary", Static).update(summary(self._found, self._plan))
        self._turn()

    def _turn(self) -> None:
        """Something else is under the cursor, or it is in another state."""
        self._say_next()
        self._look()
        self.refresh_keys()

    def _say_next(self) -> None:
        if self._plan is not None and self._found is not None:
            said = next_steps(self._found, self._plan, read_only=self.dashboard.read_only)
            self.query_one("#next", Static).update(said)

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """The versions are of the file under the cursor."""
        event.stop()
        self._turn()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        """A file was chosen to be read."""
        event.stop()
        self._versions.focus()

    def _look(self) -> None:
        """Fetch the versions of the file under the cursor, unless it is they that are shown."""
        one = self._list.current
        if one is None:
            self._versions.show(Shown())
            entitle(self._versions, "")
        elif one != self._shown:
            self._fetch(one)

    @work(exclusive=True, group="versions", exit_on_error=False)
    async def _fetch(self, one: views.MergeConflictView) -> None:
        await self._attempt(self._fetched(one))

    async def _fetched(self, one: views.MergeConflictView) -> None:
        asked = protocol.PlanConflicts(plan=self._plan_name, path=self._list.named(one))
        (whole,) = (await self.dashboard.link.call(asked, timeout=None)).conflicts
        plan = self._plan
        assert plan is not None, "it was fetched before its conflicts"
        shown = await asyncio.to_thread(_shown, whole, plan)
        stays = self._shown is not None and (self._shown.project, self._shown.path) == (one.project, one.path)
        self._shown = one
        self._versions.show(shown, stay=stays)
        state = state_of(one)
        entitle(self._versions, f"{wording.one_line(one.path)} · {one.kind} · {state}", self._where(one))

    def _where(self, one: views.MergeConflictView) -> str:
        """Where the merged file is, for those who edit it elsewhere."""
        merged = None if is_of_apply(one) else self._merged(one)
        if merged is None:
            return ""
        return wording.cut_front(f"merged: {wording.one_line(str(merged))}", self._versions.size.width - 4)

    async def _attempt(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)

    # --- what is done -------------------------------------------------------------------------------------------------

    def subject(self, area: str) -> Any:
        """The conflict under the cursor; the plan, as soon as it can go on."""
        found = self._found
        if found is None:
            return None
        if area == "conflict":
            return self._chosen(self._list.current)
        waits = any(one.taken is None and not is_of_apply(one) for one in found.conflicts)
        return self._plan if area == "plan" and not waits else None

    def _chosen(self, one: views.MergeConflictView | None) -> Chosen | None:
        return None if one is None else Chosen(self._plan_name, self._list.named(one), one, self._merged(one))

    def action_difference(self, step: int) -> None:
        """To the next difference, or the one before."""
        self._versions.go_to_difference(step)

    def action_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self._versions.wrap = not self._versions.wrap

    def action_leave(self) -> None:
        """Back to where one came from."""
        self.dismiss()

    async def show_taken(self, taken: Chosen) -> None:
        """A conflict was settled: show it, and go to the next one that is open."""
        await self.refill([])
        one = self._list.current
        if one is not None and (one.project, one.path) == (taken.conflict.project, taken.conflict.path):
            self._go_to_open()

    def _go_to_open(self) -> None:
        """The next one that is open, if there is one."""
        count, cursor = self._list.count, self._list.cursor
        order = [(cursor + step) % count for step in range(1, count)]
        self._list.cursor = next((row for row in order if self._list.conflicts[row].taken is None), cursor)

    def _merged(self, one: views.MergeConflictView) -> Path | None:
        directory = self._found.checkouts.get(one.project) if self._found else None
        if directory is None:
            return None
        name = one.path if one.path_base64 is None else os.fsdecode(base64.b64decode(one.path_base64))
        return Path(directory, name)

    @property
    def _plan_name(self) -> str:
        return self._plan.name if self._plan is not None else self._given


def _shown(one: views.MergeConflictView, plan: views.PlanView) -> Shown:
    """Aligned and measured; not in the event loop."""
    base = _lines(one.base)
    parent, child = (_lines(version, gone=base is not None) for version in (one.parent, one.child))
    return Shown.of(three_ways.align(parent, base, child), headings(one, plan))


def _lines(version: views.VersionView | None, *, gone: bool = False) -> list[str] | None:
    """The lines of a version; none of them is left of one that is gone."""
    if version is None:
        return [] if gone else None
    if version.text is None:
        return None
    return version.text.removesuffix("\n").split("\n") if version.text else []
