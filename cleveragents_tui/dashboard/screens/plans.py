"""The first room: all plans on the left, the one under the cursor on the right; on a narrow terminal one of the two."""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input

from cleveragents_tui import wording
from cleveragents_tui.cli import logs
from cleveragents_tui.dashboard.here import entitle
from cleveragents_tui.dashboard.room import Room, bindings
from cleveragents_tui.dashboard.widgets.board import Board, Draft, running_logs
from cleveragents_tui.dashboard.widgets.plan_pane import PlanPane
from cleveragents_tui.dashboard.widgets.rows import Rows
from daemon import protocol, views
from store import errors

TRIES = 4
"""Answers after which what is in view is drawn as it is: lines that move faster than they can be asked for."""


class PlansRoom(Room):
    """Plans."""

    TITLE = "Plans"
    HELP = """
The plans: first those that need you, then what runs, what waits, and what is done.
Under the cursor is the plan that the keys are about; its steps, log and diff are beside it.
On a narrow terminal enter opens a plan, and escape goes back to the list.
"""
    AREAS = ("plan", "make")
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(*AREAS),
        Binding("slash", "filter", "Filter", id="board.filter", tooltip="Only plans whose name, action or project has …"),
        Binding("escape", "back", "Back", id="board.back", tooltip="Leave the plan, or end the filter."),
    ]  # fmt: skip
    DEFAULT_CSS = """
    PlansRoom {
        #board-pane { width: 9fr; min-width: 44; max-width: 90; }
        #plan-pane { width: 11fr; }
        #filter { display: none; dock: bottom; height: 1; border: none; padding: 0 1; background: $panel; }
        &.-zoomed #board-pane, &.-zoomed #side-log { display: none; }
        &.-narrow #board-pane { width: 1fr; max-width: 100%; }
        &.-narrow #plan-pane { display: none; width: 1fr; }
        &.-narrow.-opened #board-pane, &.-narrow.-empty #board-pane { display: none; }
        &.-narrow.-opened #plan-pane, &.-narrow.-empty #plan-pane { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._ticking: Timer | None = None

    def body(self) -> Iterable[Widget]:
        """The list and the plan."""
        board, pane = Board(id="board"), PlanPane(id="plan-pane")
        line = Input(placeholder="of a name, action or project · esc ends it", id="filter")
        holder = Horizontal(board, line, id="board-pane", classes="pane")
        return [Horizontal(holder, pane)]

    @property
    def board(self) -> Board:
        """The list."""
        return self.query_one("#board", Board)

    @property
    def pane(self) -> PlanPane:
        """The plan."""
        return self.query_one("#plan-pane", PlanPane)

    def on_mount(self) -> None:
        """The keyboard is in the list; what changes with time is drawn each second, while there is any of it."""
        self.board.focus()
        self._ticking = self.set_interval(1.0, self._tick, pause=True)
        self.set_interval(60.0, self.board.refresh)  # how old all the others are

    # --- keeping up ----------------------------------------------------------------------------------------------------

    async def refill(self, happened: list[views.EventView]) -> None:
        """What is in view; again as long as the answer moves other plans into view."""
        del happened
        board = self.board
        draft: Draft | None = None
        for _ in range(TRIES):
            draft = board.draft(await self.dashboard.link.call(board.request(draft)), draft)
            if board.covers(draft):
                break
        assert draft is not None, "it is tried at least once"
        board.draw(draft)
        self._show_plan()
        self._draw_title()
        await self._read_tails()
        self._tick_if_needed()

    @on(Board.Wanted)
    def _wanted(self) -> None:
        self.keep_up([])

    def _show_plan(self) -> None:
        plan = self.board.plan
        self.set_class(self.board.known and not self.board.count and not self.board.filter, "-empty")
        if self.focused is None and self.board.count:  # the first plan of a narrow terminal has just come into being
            self.call_after_refresh(self.board.focus)
        if plan is None and self.board.count:
            return  # it is on its way
        if plan is None and self.board.filter:
            self.pane.show(None, Content(""))
        elif plan != self.pane.plan or plan is None:
            self.pane.show(plan)
        self.refresh_keys()

    @on(Rows.Moved, "#board")
    def _moved(self) -> None:
        self._show_plan()
        self._tick_if_needed()

    def _draw_title(self) -> None:
        words = self.board.filter
        holder = self.query_one("#board-pane")
        entitle(holder, "Plans", f"{wording.count(self.board.plans, 'plan')} of this filter" if words else "")

    # --- what changes with time ----------------------------------------------------------------------------------------

    def _tick_if_needed(self) -> None:
        """Each second while what is seen changes with it; nothing of a daemon that is gone goes on."""
        assert self._ticking is not None
        shown = self.pane.plan  # the list, and its line in it, may be hidden
        changing = self.board.changing or (shown is not None and shown.state == "processing")
        if changing and self.dashboard.pulse.up and self.is_current:
            self._ticking.resume()
        else:
            self._ticking.pause()

    async def _tick(self) -> None:
        if self.dashboard.pulse.up and self.is_current:
            await self._read_tails()
        self._tick_if_needed()

    async def _read_tails(self) -> None:
        """The last line that each running plan in view has printed, and each running step of the plan that is shown."""
        plans, steps = running_logs(self.board.seen_plans()), self.pane.running_logs()
        tails = await asyncio.to_thread(_tails, {*plans.values(), *steps.values()}) if plans or steps else {}
        self.board.tails = {plan_id: tails[log] for plan_id, log in plans.items()}
        self.board.redraw_changing()
        self.pane.tick({step_id: tails[log] for step_id, log in steps.items()})

    # --- keys ----------------------------------------------------------------------------------------------------------

    def subject(self, area: str) -> Any:
        """The plan under the cursor."""
        return self.board.plan if area == "plan" else None

    def select(self, plan_id: str) -> None:
        """Put the cursor on a plan, wherever it is; of a child all above it are opened."""
        self.run_worker(partial(self._select, plan_id), group="select", exclusive=True, exit_on_error=False)

    async def _select(self, plan_id: str) -> None:
        above: list[str] = []
        try:
            plan = await self.dashboard.link.call(protocol.PlanShow(plan=plan_id))
            while plan.parent_plan_id is not None:
                above.append(plan.parent_plan_id)
                plan = await self.dashboard.link.call(protocol.PlanShow(plan=plan.parent_plan_id))
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)
            return
        self.board.choose(plan_id, above)
        self.keep_up([])

    def open(self, tab: str) -> None:
        """Look at the plan, in one of its tabs."""
        self.add_class("-opened")
        self.pane.open_tab(tab)

    def follow(self) -> None:
        """Look at the log of what runs, and stay at its end."""
        self.add_class("-opened")
        self.pane.follow()

    @on(Rows.Opened, "#board")
    def _opened(self) -> None:
        self.open(self.pane.tab)

    @on(PlanPane.ChildChosen)
    def _child_chosen(self, event: PlanPane.ChildChosen) -> None:
        self.select(event.plan_id)

    def action_back(self) -> None:
        """From the plan to the list; from the filter, or a filtered list, to all of it."""
        line = self.query_one("#filter", Input)
        if line.has_focus or (self.board.has_focus and self.board.filter):
            line.value = ""
            line.display = False
        self.remove_class("-opened", "-zoomed")
        self.board.focus()

    def action_zoom(self) -> None:
        """The tab of the plan alone, or what was beside it again."""
        self.toggle_class("-zoomed")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Of no plans there is nothing to filter, and from the whole list there is no way back."""
        if action in {"filter", "back"} and not self.is_mounted:
            return False
        if action == "filter":
            return bool(self.board.count or self.board.filter)
        if action == "back":
            elsewhere = self.focused is not None and not self.board.has_focus
            return elsewhere or bool(self.board.filter) or self.has_class("-opened")
        return super().check_action(action, parameters)

    def action_filter(self) -> None:
        """Type what the plans are to be filtered by."""
        line = self.query_one("#filter", Input)
        line.display = True
        self.set_focus(line)  # at once: what is typed next is for it

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        self.board.filter = event.value.strip()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        line = self.query_one("#filter", Input)
        line.display = bool(line.value)
        self.set_focus(self.board)


def _tails(wanted: Iterable[str]) -> dict[str, str]:
    return {log: wording.one_line(logs.last_line(log)) for log in wanted}
