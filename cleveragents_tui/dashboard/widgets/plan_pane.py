"""One plan, whole: where it stands, and its steps, log, diff, decisions, events and errors in tabs.

A tab is filled when it is looked at, and again when what it shows has changed.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.markup import escape
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static, TabbedContent, TabPane
from textual.worker import Worker

from cleveragents_tui import verbs, wording
from cleveragents_tui.dashboard.attempts import Choice, Shown
from cleveragents_tui.dashboard.dialogs import Text
from cleveragents_tui.dashboard.here import dashboard_of
from cleveragents_tui.dashboard.stepper import stepper
from cleveragents_tui.dashboard.widgets import decision_tree, event_rows
from cleveragents_tui.dashboard.widgets.decision_tree import DecisionTree
from cleveragents_tui.dashboard.widgets.diff_view import NEVER, NOTHING_YET, DiffView
from cleveragents_tui.dashboard.widgets.error_text import error_text
from cleveragents_tui.dashboard.widgets.event_rows import PAGE, EventRows
from cleveragents_tui.dashboard.widgets.log_view import LogView
from cleveragents_tui.dashboard.widgets.pane import Pane
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.step_rows import StepRows
from cleveragents_tui.dashboard.widgets.toned import toned
from cleveragents_tui.wording import Tone
from daemon import protocol, views
from store import errors

if TYPE_CHECKING:
    from cleveragents_tui.dashboard.app import Dashboard

TABS = ("steps", "log", "diff", "decisions", "events", "errors")
APPLIED = {
    "worktree": "to the working tree",
    "index": "and staged",
    "commit": "as commit",
    "branch": "as a branch, commit",
}
NOTHING = "Nothing has been printed yet."
CHILDREN = 512
"""Children whose lines are shown among the steps; the board has all of them."""


class PlanPane(Pane):
    """The plan that was chosen, or a word on how to get one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("z", "screen.zoom", "Zoom", id="plan.zoom", show=False,
                tooltip="Give the tab the whole screen, or no longer."),
        Binding("left_square_bracket", "other_step(-1)", "Log before", id="plan.log_before", show=False,
                tooltip="The log of the step before."),
        Binding("right_square_bracket", "other_step(1)", "Log after", id="plan.log_after", show=False,
                tooltip="The log of the step after."),
        Binding("left_parenthesis", "other_attempt(-1)", "Attempt before", id="plan.attempt_before", show=False,
                tooltip="The log of the step's attempt before."),
        Binding("right_parenthesis", "other_attempt(1)", "Attempt after", id="plan.attempt_after", show=False,
                tooltip="The log of the step's attempt after."),
    ]  # fmt: skip
    DEFAULT_CSS = """
    PlanPane { width: 1fr; height: 1fr; }
    PlanPane #head { height: 3; padding: 0 1; }
    PlanPane #head.-welcome { height: auto; }
    PlanPane #body { height: 1fr; }
    PlanPane TabbedContent { height: 1fr; width: 1fr; }
    PlanPane #side-log { display: none; width: 1fr; margin-left: 2; }
    PlanPane DiffView, PlanPane DiffView:focus-within { border: none; }
    PlanPane DiffView, PlanPane LogView {
        border-top: solid $border-blurred;
        border-bottom: solid $border-blurred;
        border-title-color: $foreground;
        border-subtitle-color: $tone-waiting;
        &:focus-within { border-top: solid $border; border-bottom: solid $border; }
    }
    PlanPane TabPane { padding: 0; height: 1fr; }
    PlanPane Tabs { padding-left: 1; }
    PlanPane Tab { padding: 0 1 0 0; }
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
        self._choice = Choice()
        self._following = False
        self._said = Content("")
        self._instead: Content | None = None
        self._projects: list[str] = []
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
            yield LogView(empty=NOTHING, id="side-log")

    def _tabs(self) -> ComposeResult:
        yield TabPane(_titled("show"), StepRows(id="step-rows"), id="steps")
        yield TabPane(_titled("logs"), LogView(empty=NOTHING, id="log-view"), id="log")
        yield TabPane(_titled("diff"), DiffView(id="diff-view"), id="diff")
        yield TabPane(_titled("tree"), DecisionTree(id="decision-tree"), id="decisions")
        yield TabPane(_titled("events"), EventRows(id="event-rows"), id="events")
        yield TabPane(_titled("errors"), VerticalScroll(Static(id="errors-text"), id="errors-scroll"), id="errors")

    # --- what is shown -------------------------------------------------------------------------------------------------

    def show(self, plan: views.PlanView | None, instead: Content | None = None) -> None:
        """A plan as it is now, or what is said when there is none: how to get one."""
        another = plan is not None and (self.plan is None or plan.plan_id != self.plan.plan_id)
        if another:
            self._filled.clear()
            self._choice, self._jobs = Choice(), []
            self.query_one(EventRows).forget()
        self.plan, self._instead = plan, instead
        self.query_one("#body").display = plan is not None
        if not another or not self.dashboard.pulse.up:
            self.draw_head()  # else once, with how long its phases took
        self.refill()

    def running_logs(self) -> dict[str, str]:
        """The logs of the steps that run and whose last lines are looked at, by step."""
        if self.plan is None or self.tab != "steps" or not self.query_one(StepRows).is_on_screen:
            return {}
        return {step.id: step.log for step in self.plan.steps if step.state == "running" and step.log is not None}

    def tick(self, tails: Mapping[str, str]) -> None:
        """Draw what changes with time; `tails` are the last lines of the logs of steps that run."""
        self.draw_head()
        if self.tab == "steps":
            self.query_one(StepRows).tick(tails)

    def on_resize(self) -> None:
        """What is drawn for its width was drawn for none while it was hidden."""
        self.draw_head()

    def draw_head(self) -> None:
        """How long the phase has taken, and what is worth knowing of the plan."""
        plan = self.plan
        head = self.query_one("#head", Static)
        head.set_class(plan is None, "-welcome")
        if plan is None:
            self.entitle("")
            self._said = welcome(self._projects) if self._instead is None else self._instead
            head.update(self._said)
            return
        now = self.dashboard.now()
        what = f"{wording.short_name(plan.action)} on {wording.projects(plan)}"
        bases = " ".join(sorted({wording.short_commit(base) for base in plan.base.values() if base}))
        self.entitle(f"{_title(plan)} ─ {what}", f"base {bases} · {wording.short_id(plan.plan_id)}" if bases else "")
        room = head.scrollable_content_region.width or self.size.width
        said = Content("\n").join([stepper(plan, self._jobs, now, room), *_standing(plan, now)])
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
        work = self._find_projects if self.plan is None else partial(self._refill, self.plan)
        self.run_worker(work, group="pane", exclusive=True, exit_on_error=False)

    async def _find_projects(self) -> None:
        """Who has registered one already is told what comes next."""
        try:
            found = (await self.dashboard.link.call(protocol.ProjectList())).projects
        except errors.DaemonUnavailableError:
            return  # the banner says so
        self._projects = [wording.short_name(project.name) for project in found]
        self.draw_head()

    async def _refill(self, plan: views.PlanView) -> None:
        try:
            if self.screen.has_class("-broad"):  # a log is a file: it is there before the daemon has answered
                self.set_class(self.tab == "log" or self._choice.of(plan) is None, "-log-in-tab")
                await self._show_log(plan, "side-log")
            if self.tab == "log":
                await self._fill_log(plan)
            await self._fill_head(plan)
            await self._refills[self.tab](plan)
            self._following = False
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
        children: list[views.PlanView] = []
        if plan.children.total:
            page = protocol.BoardPage(plan.plan_id, 0, CHILDREN)
            found = await self.dashboard.link.call(protocol.PlanBoard(pages=[page]))
            children = found.pages[0].plans
        self.query_one(StepRows).show(plan, children)

    async def _fill_log(self, plan: views.PlanView) -> None:
        await self._show_log(plan, "log-view")

    async def _show_log(self, plan: views.PlanView, name: str) -> None:
        """The log in the tab, or in a broad terminal the one beside all tabs."""
        shown = self._choice.of(plan)
        if shown is not None and shown.step.attempt > 1:
            await self._learn_logs(plan)
            shown = self._choice.of(plan)
        view = self.query_one(f"#{name}", LogView)
        what = (None, False) if shown is None else (shown.path, shown.live)
        if not self._is_filled(name, what):
            view.show(what[0], live=what[1])
            self._filled[name] = what
        if self._following:
            view.follow()
        view.border_title = escape(_log_title(plan, shown))

    async def _learn_logs(self, plan: views.PlanView) -> None:
        """Where the logs of earlier attempts are."""
        attempts = [step.attempt for step in plan.steps]
        if not self._is_filled("attempts", attempts):
            self._choice.learn(await self.dashboard.link.call(protocol.PlanArtifacts(plan=plan.plan_id)))
            self._filled["attempts"] = attempts

    async def _fill_diff(self, plan: views.PlanView) -> None:
        digest = plan.diff.digest if plan.diff is not None else None
        if not self._is_filled("diff", (digest, plan.terminal)):
            try:
                diff = None if digest is None else await self.dashboard.link.call(protocol.PlanDiff(plan=plan.plan_id))
            except errors.CleverAgentsError as error:
                self.query_one(DiffView).show(None, f"It could not be read: {wording.plain(error.message)}")
                raise
            self.query_one(DiffView).show(diff, NEVER if plan.terminal else NOTHING_YET)
            self._filled["diff"] = (digest, plan.terminal)

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
            read_only = self.dashboard.read_only
            offered = [verb for verb in verbs.of("plan") if verb.makes_sense(plan) and not (verb.writes and read_only)]
            text = error_text(found, plan, offered, self.size.width - 6)
            self.query_one("#errors-text", Static).update(text)
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
            self._choice.choose(entry.step.id)
            self.open_tab("log")
            self._echo_log()

    @on(Rows.Opened, "#event-rows")
    def _event_opened(self) -> None:
        event = self.query_one(EventRows).event
        if event is not None:
            self.dashboard.push_screen(Text(event.kind, list(event_rows.whole(event))))

    @on(DecisionTree.NodeSelected)
    def _decision_opened(self, message: "DecisionTree.NodeSelected[views.DecisionView | None]") -> None:
        if message.node.data is not None:
            self.dashboard.push_screen(Text("What was decided", list(decision_tree.whole(message.node.data))))

    def follow(self) -> None:
        """The log of what runs, and its end, whatever was looked at before."""
        self._choice.choose(None)
        self._following = True
        self.open_tab("log")

    def action_other_step(self, by: int) -> None:
        """The log of the step before or after the one in view."""
        if self.plan is not None and self._shows_log:
            self._choice.move_step(self.plan, by)
            self._echo_log()
            self.refill()

    def action_other_attempt(self, by: int) -> None:
        """The log of the attempt before or after the one in view."""
        if self.plan is not None and self._shows_log:
            self._choice.move_attempt(self.plan, by)
            self._echo_log()
            self.refill()

    @property
    def _shows_log(self) -> bool:
        return self.tab == "log" or self.screen.has_class("-broad")

    def _echo_log(self) -> None:
        shown = None if self.plan is None else self._choice.of(self.plan)
        if shown is not None and self.plan is not None:
            self.dashboard.echo(shown.command(self.plan))


def _titled(verb: str) -> Content:
    """The title of a tab: the key of the verb that opens it, and its word."""
    found = verbs.VERBS[f"plan.{verb}"]
    return Content.assemble((found.key.partition(",")[0], "dim"), f" {found.title}")


def _title(plan: views.PlanView) -> str:
    """Its name; of a child also what it is for, as the list calls it."""
    name = wording.plain(plan.name)
    return name if plan.subplan is None else f"{name} {wording.plain(plan.subplan.item)}"


def _log_title(plan: views.PlanView, shown: Shown | None) -> str:
    """Which log it is, and the keys for others."""
    if shown is None or shown.step.children is not None:
        return " its children have the logs: choose one under Steps " if plan.children.total else ""
    keys = "  [ ] step" if any(step.log is not None and step.id != shown.step.id for step in plan.steps) else ""
    keys += "  ( ) attempt" if shown.step.attempt > 1 else ""
    return f" {shown.title}{keys} "


def _standing(plan: views.PlanView, now: float) -> Iterable[Content]:
    """What is worth knowing before anything is opened: the error, the change, how it was applied."""
    if plan.error is not None and plan.state != "applied":
        yield Content.assemble(toned(f"✘ {wording.one_line(wording.error_note(plan.error))}", Tone.FAILED))
    if plan.state == "processing":
        yield Content.assemble(toned(wording.progress_note(plan, now), Tone.RUNNING))
    if plan.applied is not None and plan.state == "applied":
        change = wording.change(plan.applied.files, plan.applied.insertions, plan.applied.deletions)
        commit = f" {wording.short_commit(plan.applied.commit)}" if plan.applied.commit else ""
        yield Content.assemble(
            toned("✔ ", Tone.DONE),
            f"{change} applied {APPLIED.get(plan.applied.mode, '')}{commit}; ",
            ("u takes it back", "dim"),
        )
    elif plan.diff is not None:
        change = wording.change(plan.diff.files, plan.diff.insertions, plan.diff.deletions)
        yield Content.assemble(change, (f"  digest {wording.short_digest(plan.diff.digest)}", "dim"))


def welcome(projects: Sequence[str]) -> Content:
    """What to do when there is no plan yet: the three commands to get one, their keys, and which of it is done."""
    there = f"{wording.plain(', '.join(projects[:3]))}{' …' if len(projects) > 3 else ''}"
    rows = (
        (
            "✔" if projects else "+",
            "ca project add",
            f"{there}; + adds another" if projects else "register a directory",
        ),
        ("r", "ca run -- CMD", "one command, in a sandbox of it"),
        ("n", "ca plan use ACTION PROJECT", "use an action, a YAML file"),
    )
    lines = [Content.assemble(("No plans yet. Three keys, or commands, to your first one:", "bold")), Content("")]
    for key, command, why in rows:
        lines += [Content.assemble((f" {key}  ", "bold $primary"), f"{command:<27}", (why, "dim"))]
    lines += [Content(""), Content.assemble(("Nothing of yours changes until you apply it.", "dim"))]
    return Content("\n").join(lines)
