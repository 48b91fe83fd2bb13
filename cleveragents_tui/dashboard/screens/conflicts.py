"""Conflicts: the files in which a child and its plan do not fit together, or a plan and its project; looked at, and settled."""

import asyncio
import base64
import os
import shlex
import subprocess
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from textual import events, work
from textual.app import SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.room import NARROW, Room
from cleveragents_tui.dashboard.screens.conflict_texts import headings, next_steps, resolve_command, summary
from cleveragents_tui.dashboard.widgets import three_ways
from cleveragents_tui.dashboard.widgets.conflict_list import TAKEN, ConflictList, is_of_apply
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.versions import Shown, Versions
from daemon import protocol, views
from store import errors

EDITOR = "vi"
"""What edits a file when the environment names nothing."""
_EXECUTE = verbs.VERBS["plan.execute"]


class ConflictsScreen(Room):
    """The conflicts of one plan, and the versions of the one under the cursor."""

    TITLE = "Conflicts"
    AUTO_FOCUS = "ConflictList"
    HELP = """The files that keep a child from entering its plan, or a plan from its project, with their versions side by side.
A line that differs from the base is marked: + came, ~ changed, − went; ! where both sides differ.
A choice may be made again until the plan goes on."""  # noqa: RUF001  the sign as it is shown
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "take('parent')", "Parent's", id="conflict.parent", tooltip="Take the parent's version."),
        Binding("c", "take('child')", "Child's", id="conflict.child", tooltip="Take the child's version."),
        Binding("b", "take('base')", "Base's", id="conflict.base", tooltip="Take the version that both started from."),
        Binding("o", "edit", "Edit", id="conflict.edit", tooltip="Edit the merged file with $EDITOR, and take it."),
        Binding(
            "t", "take('edited')", "Take edited", id="conflict.edited", tooltip="Take the merged file as it is now."
        ),
        Binding("n", "difference(1)", "Next difference", id="conflict.next", show=False),
        Binding("N", "difference(-1)", "Previous difference", id="conflict.previous", show=False),
        Binding(_EXECUTE.key, "app.verb('plan.execute')", _EXECUTE.title, id=_EXECUTE.id, tooltip=_EXECUTE.help),
        Binding("escape", "leave", "Back", id="conflict.back"),
    ]
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
        self._offered: tuple[bool, bool, bool] | None = None

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
        offered = (self._can_take(by_hand=False), self._can_take(by_hand=True), self.subject("plan") is not None)
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def _say_next(self) -> None:
        if self._plan is not None and self._found is not None:
            self.query_one("#next", Static).update(next_steps(self._found, self._plan, self._list.current))

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
            self._versions.border_title = ""
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
        state = "open" if one.taken is None else TAKEN[one.taken]
        self._versions.border_title = Content(f"{wording.one_line(one.path)} · {one.kind} · {state}").markup

    async def _attempt(self, doing: Awaitable[None]) -> None:
        try:
            await doing
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)

    # --- what is done -------------------------------------------------------------------------------------------------

    def subject(self, area: str) -> Any:
        """The plan, as soon as it can go on."""
        found = self._found
        if area != "plan" or found is None or any(one.taken is None for one in found.conflicts):
            return None
        return self._plan

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done to the file under the cursor."""
        if action not in {"take", "edit"}:
            return super().check_action(action, parameters)
        return self.is_mounted and self._can_take(by_hand=action == "edit" or parameters == ("edited",))

    def _can_take(self, *, by_hand: bool) -> bool:
        one = self._list.current
        if one is None or is_of_apply(one) or self.dashboard.read_only:
            return False
        return not by_hand or self._file(one) is not None

    def action_difference(self, step: int) -> None:
        """To the next difference, or the one before."""
        self._versions.go_to_difference(step)

    def action_leave(self) -> None:
        """Back to where one came from."""
        self.dismiss()

    def action_take(self, take: str) -> None:
        """Settle the conflict under the cursor by one of its versions."""
        one = self._list.current
        if one is not None:
            self.run_worker(self._attempt(self._resolve(one, take)), group="resolve", exit_on_error=False)

    async def _resolve(self, one: views.MergeConflictView, take: str) -> None:
        file = self._list.named(one)
        asked = protocol.PlanResolve(plan=self._plan_name, path=file, take=take)
        await self.dashboard.link.call(asked, timeout=None)
        self.dashboard.echo(resolve_command(self._plan_name, file, take))
        await self.refill([])
        if self._list.current is not None and self._list.current.path == one.path:
            self._go_to_open()

    def _go_to_open(self) -> None:
        """The next one that is open, if there is one."""
        count, cursor = self._list.count, self._list.cursor
        order = [(cursor + step) % count for step in range(1, count)]
        self._list.cursor = next((row for row in order if self._list.conflicts[row].taken is None), cursor)

    def _file(self, one: views.MergeConflictView) -> Path | None:
        """Where the merged file can be edited; nowhere when it was settled, and nothing else in its project is open."""
        directory = self._found.checkouts.get(one.project) if self._found else None
        if directory is None:
            return None
        name = one.path if one.path_base64 is None else os.fsdecode(base64.b64decode(one.path_base64))
        return Path(directory, name)

    def action_edit(self) -> None:
        """Edit the merged file, and take it when the editor was left as usual."""
        one = self._list.current
        file = self._file(one) if one is not None else None
        if file is not None and self._was_edited(file):
            self.action_take("edited")

    def _was_edited(self, file: Path) -> bool:
        """Nobody sees the screen meanwhile, so the editor is waited for."""
        command = [*_editor(self.dashboard.environ), str(file)]
        try:
            with self.app.suspend():  # pyright: ignore[reportUnknownMemberType]  textual says App[Unknown]
                code = subprocess.run(command, check=False).returncode
        except (SuspendNotSupported, OSError) as error:
            said = f"no editor can be started here ({error}): edit {file}, then take it with t"
            self.notify(wording.plain(said), severity="error", markup=False)
            return False
        if code != 0:
            self.notify(f"{command[0]} ended with {code}; nothing was taken", severity="warning", markup=False)
        return code == 0

    @property
    def _plan_name(self) -> str:
        return self._plan.name if self._plan is not None else self._given


def _editor(environ: Mapping[str, str]) -> list[str]:
    named = environ.get("VISUAL") or environ.get("EDITOR") or EDITOR
    return shlex.split(named) or [EDITOR]


def _shown(one: views.MergeConflictView, plan: views.PlanView) -> Shown:
    """Aligned and measured; not in the event loop."""
    parent, base, child = (_lines(version) for version in (one.parent, one.base, one.child))
    return Shown.of(three_ways.align(parent, base, child), headings(one, plan))


def _lines(version: views.VersionView | None) -> list[str] | None:
    if version is None or version.text is None:
        return None
    return version.text.removesuffix("\n").split("\n") if version.text else []
