"""Jobs and workers: what waits, what runs, what is over, who works, and how it went in the last minutes."""

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from cleveragents_tui import wording
from cleveragents_tui.dashboard.room import bindings
from cleveragents_tui.dashboard.screens.timed import TimedRoom
from cleveragents_tui.dashboard.widgets.history import MINUTES, History, HistoryLines
from cleveragents_tui.dashboard.widgets.job_rows import JobRows, whole
from cleveragents_tui.dashboard.widgets.rows import Rows
from cleveragents_tui.dashboard.widgets.workers import WorkerRows
from daemon import protocol, views
from store import errors

EMPTY = """\
No jobs.  A plan makes one for each of its phases:

  ca run -- CMD
  ca plan use ACTION PROJECT"""

PAST = 1_000
"""Events that are looked at for what happened before the room was entered."""
BEATS = 5
"""Seconds after which busy workers are asked about again: nobody tells of a sign of life."""


class JobsRoom(TimedRoom):
    """The jobs, the workers, and the last minutes."""

    TITLE = "Jobs and workers"
    HELP = """\
One job is one phase of one plan. First the queue: what runs, then what waits, in the order of its turn; then what is over.
Workers: what each one does, when it was last heard of, and how many jobs it has done (✘ failed, ⊘ cancelled among them).
The bars show the last minutes: how many jobs ended, and how many waited.
Enter goes to the plan of the job, or of what the worker does."""
    BINDINGS: ClassVar[list[BindingType]] = bindings("job")
    DEFAULT_CSS = """
    JobsRoom {
        #listed { width: 1fr; }
        #job { height: auto; }
        #job.-none { display: none; }
        #told { padding: 0 1; max-height: 6; }
        #aside { width: 50; }
        #workers { height: 1fr; }
        #past { height: auto; }
        #past > HistoryLines { padding: 0 1; }
        &.-broad #aside { width: 66; }
        &.-narrow #all { layout: vertical; }
        &.-narrow #listed { height: 1fr; }
        &.-narrow #job { display: none; }
        &.-narrow #aside { width: 1fr; height: auto; }
        &.-narrow #workers { height: auto; max-height: 6; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._history = History()
        self._daemon: views.DaemonView | None = None
        self._ticks = 0
        self._fetching = False

    def body(self) -> Iterable[Widget]:
        """The list beside what is about all of it."""
        jobs, workers = JobRows(id="jobs", classes="pane"), WorkerRows(id="workers", classes="pane")
        jobs.border_title, workers.border_title = "Jobs", "Workers"
        past = Vertical(HistoryLines(), id="past", classes="pane")
        past.border_title = f"The last {MINUTES} minutes"
        job = Vertical(Static(id="told"), id="job", classes="pane")
        listed = Vertical(Static(id="nothing", classes="empty"), jobs, job, id="listed")
        yield Horizontal(listed, Vertical(workers, past, id="aside"), id="all")

    # --- what is there -------------------------------------------------------------------------------------------------------

    async def refill(self, happened: list[views.EventView]) -> None:
        """Whatever happens to a job changes the list, the workers and the bars."""
        if happened and not any(event.kind.startswith("job.") for event in happened):
            return
        link = self.dashboard.link
        if happened:
            self._history.add(happened)
        else:
            self._history.begin((await link.call(protocol.EventList(limit=PAST))).events)
        rows = self.query_one(JobRows)
        rows.take(await link.call(rows.request()), anew=True)
        self._daemon = await link.call(protocol.DaemonStatus())
        self.filled = True
        self.show()
        self.attend()

    def on_job_rows_wanted(self) -> None:
        """Somebody scrolls to jobs that are not at hand."""
        if self.filled and not self._fetching:
            self._fetching = True
            self.run_worker(self._fetch, name="jobs", exit_on_error=False)

    async def _fetch(self) -> None:
        rows = self.query_one(JobRows)
        try:
            rows.take(await self.dashboard.link.call(rows.request()), anew=False)
        except errors.DaemonUnavailableError:
            return  # the banner says so, and everything is fetched when it is back
        except errors.CleverAgentsError as error:
            self.dashboard.complain(error)
        finally:
            self._fetching = False
        if not rows.complete:
            rows.post_message(JobRows.Wanted())

    def subject(self, area: str) -> Any:
        """The job under the cursor, or the one that the worker under the cursor has."""
        if area != "job":
            return None
        jobs, workers = self.query_one(JobRows), self.query_one(WorkerRows)
        if self.focused is workers:
            return jobs.known(workers.chosen.job_id) if workers.chosen and workers.chosen.job_id else None
        return jobs.chosen

    def on_rows_opened(self) -> None:
        """Enter goes to the plan."""
        if self.subject("job") is not None:
            self.dashboard.action_verb("job.open")

    def on_rows_moved(self, event: Rows.Moved) -> None:
        """Another job is shown whole, and other verbs may make sense."""
        event.stop()
        self._show_chosen()
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """The job of the worker, or the worker's job."""
        self.refresh_bindings()

    # --- time ----------------------------------------------------------------------------------------------------------------

    def changes_with_time(self) -> bool:
        """What waits and runs, and the bars."""
        return bool(self.query_one(JobRows).totals.get("open")) or self._history.moves(self.moment)

    def tick(self) -> None:
        """Count on."""
        self._ticks += 1
        if self._ticks % BEATS == 0 and self._daemon is not None and self._daemon.running_jobs:
            self.run_worker(self._hear, name="workers", exclusive=True, group="workers", exit_on_error=False)
        self._draw()
        self.attend()

    async def _hear(self) -> None:
        try:
            self._daemon = await self.dashboard.link.call(protocol.DaemonStatus())
        except errors.DaemonUnavailableError:
            return  # the banner says so

    # --- drawing -------------------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """The lists, or what stands for them."""
        jobs = self.query_one(JobRows)
        jobs.border_subtitle = self._summary()
        jobs.display = any(jobs.totals.values())
        self.query_one("#aside").display = self.filled
        self.say_instead("#nothing", "" if jobs.display else EMPTY if self.filled else self.nothing_yet())
        self._draw()
        self._show_chosen()
        if jobs.display and self.focused is None:
            jobs.focus()

    def _summary(self) -> str:
        if self._daemon is None:
            return ""
        draining = ", the daemon is stopping" if self._daemon.draining else ""
        return f"{self._daemon.running_jobs} running, {self._daemon.queued} queued{draining}"

    def _show_chosen(self) -> None:
        """The job under the cursor, with all of its error."""
        jobs, place = self.query_one(JobRows), self.query_one("#job")
        chosen = jobs.chosen
        place.set_class(chosen is None, "-none")
        if chosen is not None:
            place.border_title = Content(f"job {wording.short_id(chosen.job_id)}").markup
            self.query_one("#told", Static).update(whole(chosen, jobs.plans.get(chosen.plan_id, chosen.plan_id)))

    def _draw(self) -> None:
        if self._daemon is None:
            return
        jobs, workers = self.query_one(JobRows), self.query_one(WorkerRows)
        jobs.moment = self.moment
        jobs.refresh()
        workers.show(self._daemon.workers, jobs.names, self.moment)
        busy = sum(worker.job_id is not None for worker in self._daemon.workers)
        workers.border_subtitle = f"{busy} of {wording.count(len(self._daemon.workers), 'worker')} busy"
        self.query_one(HistoryLines).show(self._history, self.moment, self._daemon.queued)
