"""One plan, whole: where it stands, and its steps, log, diff, decisions, events and errors in tabs.

A tab is filled when it is looked at, and again when what it shows has changed.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.markup import escape
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static, TabbedContent, TabPane
from textual.worker import Worker

from cleveragents_tui import wording
from cleveragents_tui.cli import plan_text
from cleveragents_tui.dashboard.here import dashboard_of, entitle
from cleveragents_tui.dashboard.speech import spoken
from cleveragents_tui.dashboard.stepper import stepper
from cleveragents_tui.dashboard.widgets.decision_tree import DecisionTree
from cleveragents_tui.dashboard.widgets.diff_view import DiffView
from cleveragents_tui.dashboard.widgets.event_rows import PAGE, EventRows
from cleveragents_tui.dashboard.widgets.log_view import LogView
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.step_rows import StepRows
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import protocol, views
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

TABS = ("steps", "log", "diff", "decisions", "events", "errors")
CHILDREN = 512
"""Children whose lines are shown among the steps; the board has all of them."""


class PlanPane(Vertical):
    """The plan that was chosen, or a word on how to get one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "other_log(-1)", "Log before", id="plan.log_before", show=False,
                tooltip="The log of the step before."),
        Binding("right_square_bracket", "other_log(1)", "Log after", id="plan.log_after", show=False,
                tooltip="The log of the step after."),
    ]  # fmt: skip
    DEFAULT_CSS = """
    PlanPane { width: 1fr; height: 1fr; }
    PlanPane #head { height: 3; padding: 0 1; }
    PlanPane #head.-welcome { height: auto; }
    PlanPane #body { height: 1fr; }
    PlanPane TabbedContent { height: 1fr; width: 1fr; }
    PlanPane #side-log { display: none; width: 1fr; padding-left: 1; }
    PlanPane DiffView, PlanPane DiffView:focus-within { border: none; }
    PlanPane DiffView, PlanPane LogView {
        border-top: solid $border-blurred;
        border-bottom: solid $border-blurred;
        &:focus-within { border-top: solid $border; border-bottom: solid $border; }
    }
    PlanPane TabPane { padding: 0; height: 1fr; }
    PlanPane #errors-text { padding: 0 1; height: auto; }
    PlanPane ContentSwitcher { height: 1fr; }
    """

    class ChildChosen(Message):
        """A child was opened among the steps."""

        def __init__(self, plan_id: str) -> None:
            super().__init__()
            self.plan_id = plan_id

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  as every widget has it
        super().__init__(id=id, classes="pane")
        self.plan: views.PlanView | None = None
        self._jobs: list[views.JobView] = []
        self._step: str | None = None
        self._said = Content("")
        self._filled: dict[str, object] = {}
        self._refills: dict[str, Callable[[views.PlanView], Awaitable[None]]] = {
            "steps": self._fill_steps, "log": self._fill_log, "diff": self._fill_diff,
            "decisions": self._fill_decisions, "events": self._fill_events, "errors": self._fill_errors,
        }  # fmt: skip

    @property
    def dashboard(self) -> "Dashboard":
        """The application, as what it is."""
        return dashboard_of(self)

    def compose(self) -> ComposeResult:
        """The head, and the tabs."""
        yield Static(id="head")
        with Horizontal(id="body"):
            with TabbedContent(initial="steps"):
                yield from self._tabs()
            yield LogView(empty="No step has printed anything yet.", id="side-log")

    def _tabs(self) -> ComposeResult:
        yield TabPane("Steps", StepRows(id="step-rows"), id="steps")
        yield TabPane("Log", LogView(empty="No step has printed anything yet.", id="log-view"), id="log")
        yield TabPane("Diff", DiffView(id="diff-view"), id="diff")
        yield TabPane("Decisions", DecisionTree(id="decision-tree"), id="decisions")
        yield TabPane("Events", EventRows(id="event-rows"), id="events")
        yield TabPane("Errors", VerticalScroll(Static(id="errors-text"), id="errors-scroll"), id="errors")

    # --- what is shown -------------------------------------------------------------------------------------------------

    def show(self, plan: views.PlanView | None) -> None:
        """A plan as it is now; another one begins with what it is most likely looked at for."""
        another = plan is not None and (self.plan is None or plan.plan_id != self.plan.plan_id)
        if another:
            self._filled.clear()
            self._step, self._jobs = None, []
            self.query_one(EventRows).forget()
        self.plan = plan
        self.query_one("#body").display = plan is not None
        if not another or not self.dashboard.pulse.up:
            self.draw_head()  # else once, with how long its phases took
        self.refill()

    def draw_head(self) -> None:
        """What changes with time: how long the phase has taken."""
        plan = self.plan
        head = self.query_one("#head", Static)
        head.set_class(plan is None, "-welcome")
        if plan is None:
            entitle(self, "")
            self._said = welcome()
            head.update(self._said)
            return
        now = self.dashboard.now()
        what = f"{wording.short_name(plan.action)} on {wording.projects(plan)}"
        bases = " ".join(sorted({wording.short_commit(base) for base in plan.base.values() if base}))
        entitle(self, f"{_title(plan)} ─ {what}", f"base {bases} · {wording.short_id(plan.plan_id)}" if bases else "")
        said = Content("\n").join([stepper(plan, self._jobs, now), *_standing(plan, now)])
        if said != self._said:
            lines = said.plain.count("\n") != self._said.plain.count("\n")
            head.update(said, layout=lines and self.screen.has_class("-narrow"))
            self._said = said

    @property
    def tab(self) -> str:
        """The tab in view."""
        return self.query_one(TabbedContent).active

    def open_tab(self, name: str) -> None:
        """Look at a tab, with the keyboard in it."""
        self.query_one(TabbedContent).active = name
        self.refill()
        (self.query_one(DiffView).lines if name == "diff" else self._contents(name)).focus()

    def _contents(self, tab: str) -> Widget:
        found = self.query_one(f"#{tab}", TabPane).query("StepRows, LogView, DecisionTree, EventRows, VerticalScroll")
        return found.first(Widget)

    @on(TabbedContent.TabActivated)
    def _tab_activated(self) -> None:
        self.refill()

    # --- filling -------------------------------------------------------------------------------------------------------

    def refill(self) -> None:
        """Fill the tab in view, when what it shows has changed."""
        if self.plan is not None:
            self.run_worker(partial(self._refill, self.plan), group="pane", exclusive=True, exit_on_error=False)

    async def _refill(self, plan: views.PlanView) -> None:
        try:
            await self._fill_head(plan)
            if self.screen.has_class("-broad"):
                self._show_log(plan, "side-log")
            await self._refills[self.tab](plan)
        except errors.DaemonUnavailableError:
            pass  # the banner says so, and it is filled when the daemon is back
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """What failed by a defect is not silent."""
        self.dashboard.own_up(event)

    def _is_filled(self, what: str, state: object) -> bool:
        """Whether something shows this state already."""
        return what in self._filled and self._filled[what] == state

    async def _fill_head(self, plan: views.PlanView) -> None:
        if not self._is_filled("head", plan.revision):
            self._jobs = (await self.dashboard.link.call(protocol.JobList(plan=plan.plan_id, limit=12))).jobs
            self._filled["head"] = plan.revision
            self.draw_head()

    async def _fill_steps(self, plan: views.PlanView) -> None:
        children: dict[str, list[views.PlanView]] = {}
        if plan.children.total:
            page = protocol.BoardPage(plan.plan_id, 0, CHILDREN)
            found = await self.dashboard.link.call(protocol.PlanBoard(pages=[page]))
            for child in found.pages[0].plans:
                if child.subplan is not None:
                    children.setdefault(child.subplan.step, []).append(child)
        self.query_one(StepRows).show(plan.steps, children)

    async def _fill_log(self, plan: views.PlanView) -> None:
        self._show_log(plan, "log-view")

    def _show_log(self, plan: views.PlanView, name: str) -> None:
        """The log in the tab, or in a broad terminal the one beside all tabs."""
        step = self._step_with_log(plan)
        view = self.query_one(f"#{name}", LogView)
        path, live = (None, False) if step is None else (step.log, step.state == "running")
        if not self._is_filled(name, (path, live)):
            view.show(path, live=live)
            self._filled[name] = (path, live)
        title = "" if step is None else f"{step.id} · {step.state.replace('_', ' ')} · attempt {step.attempt}"
        if step is None and plan.children.total:
            title = "its children have the logs: choose one under Steps"
        more = "   [ ] other steps" if len(_with_logs(plan)) > 1 else ""
        view.border_title = escape(f" {title}{more} ") if title else ""

    def _step_with_log(self, plan: views.PlanView) -> views.StepView | None:
        """The one that was asked for, else the one that runs, that failed, that was last."""
        found = _with_logs(plan)
        chosen = [step for step in found if step.id == self._step]
        running = [step for step in found if step.state == "running"]
        failed = [step for step in found if step.state in {"failed", "timed_out", "lost"}]
        return next(iter([*chosen, *running, *failed, *reversed(found)]), None)

    async def _fill_diff(self, plan: views.PlanView) -> None:
        digest = plan.diff.digest if plan.diff is not None else None
        if not self._is_filled("diff", digest):
            diff = None if digest is None else await self.dashboard.link.call(protocol.PlanDiff(plan=plan.plan_id))
            self.query_one(DiffView).show(diff)
            self._filled["diff"] = digest

    async def _fill_decisions(self, plan: views.PlanView) -> None:
        if not self._is_filled("decisions", plan.revision):
            tree = await self.dashboard.link.call(protocol.PlanTree(plan=plan.plan_id))
            self.query_one(DecisionTree).show(tree)
            self._filled["decisions"] = plan.revision

    async def _fill_events(self, plan: views.PlanView) -> None:
        rows = self.query_one(EventRows)
        if not self._is_filled("events", plan.updated_at):
            rows.forget()
            await self._fetch_events(rows, plan, 0)
            self._filled["events"] = plan.updated_at
        while (offset := rows.wanted) is not None and offset < rows.count:
            await self._fetch_events(rows, plan, offset)

    async def _fetch_events(self, rows: EventRows, plan: views.PlanView, offset: int) -> None:
        found = await self.dashboard.link.call(protocol.EventList(plan=plan.plan_id, limit=PAGE, offset=offset))
        rows.take(offset, found.events, found.total)

    @on(EventRows.Wanted)
    def _events_wanted(self) -> None:
        self.refill()

    async def _fill_errors(self, plan: views.PlanView) -> None:
        if not self._is_filled("errors", plan.revision):
            found = await self.dashboard.link.call(protocol.PlanErrors(plan=plan.plan_id))
            width = max(40, self.size.width - 6)
            text = spoken(
                lambda data, look: plan_text.why(data, look, plan=plan), found, width=width, now=self.dashboard.now()
            )
            self.query_one("#errors-text", Static).update(Content("\n").join(text))
            self._filled["errors"] = plan.revision

    # --- keys ----------------------------------------------------------------------------------------------------------

    @on(Rows.Opened, "#step-rows")
    def _step_opened(self) -> None:
        entry = self.query_one(StepRows).entry
        if entry is None:
            return
        if entry.child is not None:
            self.post_message(self.ChildChosen(entry.child.plan_id))
        else:
            self._step = entry.step.id
            self.open_tab("log")

    def action_other_log(self, by: int) -> None:
        """The log of the step before or after the one in view."""
        if self.plan is None or (self.tab != "log" and not self.screen.has_class("-broad")):
            return
        found = _with_logs(self.plan)
        step = self._step_with_log(self.plan)
        if step is not None:
            self._step = found[(found.index(step) + by) % len(found)].id
            self.refill()


def _title(plan: views.PlanView) -> str:
    """Its name; of a child also what it is for, as the list calls it."""
    name = wording.plain(plan.name)
    return name if plan.subplan is None else f"{name} {wording.plain(plan.subplan.item)}"


def _with_logs(plan: views.PlanView) -> list[views.StepView]:
    return [step for step in plan.steps if step.log is not None]


def _standing(plan: views.PlanView, now: float) -> Iterable[Content]:
    """What is worth knowing before anything is opened: the error, the change, how it was applied."""
    if plan.error is not None and plan.state != "applied":
        yield Content.assemble(toned(f"✘ {wording.one_line(wording.error_note(plan.error))}", Tone.FAILED))
    if plan.state == "processing":
        yield Content.assemble(toned(wording.progress_note(plan, now), Tone.RUNNING))
    if plan.applied is not None and plan.state == "applied":
        change = wording.change(plan.applied.files, plan.applied.insertions, plan.applied.deletions)
        yield Content.assemble(
            toned("✔ ", Tone.DONE), f"{change} applied as {plan.applied.mode}; ", ("u takes it back", "dim")
        )
    elif plan.diff is not None:
        change = wording.change(plan.diff.files, plan.diff.insertions, plan.diff.deletions)
        yield Content.assemble(change, (f"  digest {wording.short_digest(plan.diff.digest)}", "dim"))


def welcome() -> Content:
    """What to do when there is no plan yet: the three commands to get one, and their keys."""
    rows = (
        ("+", "ca project add", "register a directory"),
        ("r", "ca run -- CMD", "one command, in a sandbox of it"),
        ("n", "ca plan use ACTION PROJECT", "use an action, a YAML file"),
    )
    lines = [Content.assemble(("No plans yet. Three keys, or commands, to your first one:", "bold")), Content("")]
    for key, command, why in rows:
        lines += [Content.assemble((f" {key}  ", "bold $primary"), f"{command:<27}", (why, "dim"))]
    lines += [Content(""), Content.assemble(("Nothing of yours changes until you apply it.", "dim"))]
    return Content("\n").join(lines)
