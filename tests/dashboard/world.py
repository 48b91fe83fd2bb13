"""A world that stands still: what a scripted daemon knows, and how it answers from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from daemon import protocol, sync_views, views
from store import errors
from tests.dashboard import scenery
from tests.dashboard.scripted import PID

V = TypeVar("V")


@dataclass
class World:
    """Everything there is; whatever is left out is not there.

    Attributes:
        needs_you, running, queued, done: The root plans, as the board lists them.
        children: The plans below a plan, by its id.
        diffs, trees, failures, previews, conflicts: What is told of a plan, by its id.
        refusals: What requests of a class are refused with.
    """

    needs_you: Sequence[views.PlanView] = ()
    running: Sequence[views.PlanView] = ()
    queued: Sequence[views.PlanView] = ()
    done: Sequence[views.PlanView] = ()
    children: Mapping[str, Sequence[views.PlanView]] = field(default_factory=dict[str, Sequence[views.PlanView]])
    diffs: Mapping[str, views.PlanDiffView] = field(default_factory=dict[str, views.PlanDiffView])
    trees: Mapping[str, views.PlanTreeView] = field(default_factory=dict[str, views.PlanTreeView])
    failures: Mapping[str, views.PlanErrorsView] = field(default_factory=dict[str, views.PlanErrorsView])
    previews: Mapping[str, views.PlanPreviewView] = field(default_factory=dict[str, views.PlanPreviewView])
    conflicts: Mapping[str, views.PlanConflictsView] = field(default_factory=dict[str, views.PlanConflictsView])
    jobs: Sequence[views.JobView] = ()
    workers: Sequence[views.WorkerView] = ()
    locks: Sequence[views.LockView] = ()
    events: Sequence[views.EventView] = ()
    projects: Sequence[views.ProjectView] = ()
    actions: Sequence[views.ActionView] = ()
    checks: Sequence[views.CheckView] = ()
    server: sync_views.ServerView = field(default_factory=lambda: scenery.server(scenery.sync()))
    sync_conflicts: Sequence[sync_views.SyncConflictView] = ()
    refusals: Mapping[type[Any], errors.CleverAgentsError] = field(
        default_factory=dict[type[Any], errors.CleverAgentsError]
    )

    # --- what it is made of --------------------------------------------------------------------------------------------------

    @property
    def plans(self) -> dict[str, views.PlanView]:
        """Every plan by its id."""
        lists = [self.needs_you, self.running, self.queued, self.done, *self.children.values()]
        return {plan.plan_id: plan for plans in lists for plan in plans}

    @property
    def seq(self) -> int:
        """The number of the newest event."""
        return max((event.seq for event in self.events), default=0)

    def board(self, of: str) -> Sequence[views.PlanView]:
        """One of its lists, or the children of a plan."""
        lists = {"needs_you": self.needs_you, "running": self.running, "queued": self.queued, "done": self.done}
        return lists[of] if of in lists else self.children.get(of, ())

    def queue(self, of: str) -> list[views.JobView]:
        """The jobs that are open, or those that are finished."""
        return [job for job in self.jobs if (job.finished_at is None) == (of == "open")]

    # --- answers -------------------------------------------------------------------------------------------------------------

    def answer(self, request: protocol.Request[Any]) -> object:  # noqa: C901, PLR0911, PLR0912  a table, one line a request
        """What the daemon says to a request.

        Raises:
            CleverAgentsError: what it is refused with.
            NotImplementedError: nothing was written down for it.
        """
        if type(request) in self.refusals:
            raise self.refusals[type(request)]
        match request:
            case protocol.Ping():
                return "pong"
            case protocol.Subscribe():
                return views.SubscribedView(self.seq)
            case protocol.Status():
                return self._status()
            case protocol.DaemonStatus():
                return self._daemon()
            case protocol.PlanBoard():
                return self._board(request)
            case protocol.PlanShow():
                return _known(self.plans, request.plan)
            case protocol.PlanDiff():
                return _known(self.diffs, request.plan)
            case protocol.PlanTree():
                return self.trees.get(request.plan) or scenery.tree(self.plans[request.plan], [])
            case protocol.PlanErrors():
                return _known(self.failures, request.plan)
            case protocol.PlanPreview():
                return _known(self.previews, request.plan)
            case protocol.PlanConflicts():
                return self._conflicts(request)
            case protocol.JobList():
                return self._job_list(request)
            case protocol.JobBoard():
                return self._job_board(request)
            case protocol.EventList():
                return self._event_list(request)
            case protocol.LockList():
                return views.LocksView(list(self.locks), len(self.locks))
            case protocol.ProjectList():
                return views.ProjectsView(list(self.projects), len(self.projects))
            case protocol.ActionList():
                return views.ActionsView(list(self.actions), len(self.actions))
            case protocol.Diagnostics():
                return self._diagnostics()
            case protocol.ServerStatus():
                return self.server
            case protocol.SyncStatus():
                return self.server.sync
            case protocol.SyncConflicts():
                return sync_views.SyncConflictsView(list(self.sync_conflicts), len(self.sync_conflicts), [])
            case _:
                raise NotImplementedError

    def _status(self) -> views.StatusView:
        return views.StatusView(
            needs_you=list(self.needs_you), running=list(self.running), queued=list(self.queued), locks=list(self.locks),
            totals=views.StatusTotalsView(len(self.needs_you), len(self.running), len(self.queued), len(self.locks)),
            done=len(self.done), sync=self.server.sync if self.server.sync.namespace else None, daemon=self._daemon(),
        )  # fmt: skip

    def _daemon(self) -> views.DaemonView:
        queued, running = (sum(job.status == status for job in self.jobs) for status in ("queued", "running"))
        return views.DaemonView(
            running=True, pid=PID, version="0.1.0", protocol=protocol.PROTOCOL_VERSION, socket="", store="", log="",
            started_at=scenery.ago(11_000), workers=list(self.workers), queued=queued, running_jobs=running, draining=False,
        )  # fmt: skip

    def _board(self, request: protocol.PlanBoard) -> views.PlanBoardView:
        fitting = {of: self._matching(of, request.filter) for of in ("needs_you", "running", "queued", "done")}
        pages = [
            views.BoardPageView(page.of, page.offset, list(found[page.offset : page.offset + page.limit]))
            for page in request.pages
            for found in [fitting.get(page.of, self.board(page.of))]
        ]
        places = [
            views.BoardPlaceView(plan.plan_id, of, position, len(self.children.get(plan.plan_id, ())))
            for of, plans in [*fitting.items(), *self.children.items()]
            for position, plan in enumerate(plans)
            if plan.plan_id in request.places
        ]
        counts = views.BoardCountsView(**{of: len(plans) for of, plans in fitting.items()})
        return views.PlanBoardView(self.seq, counts, pages, places)

    def _matching(self, of: str, words: str) -> list[views.PlanView]:
        return [
            plan
            for plan in self.board(of)
            if all(word in f"{plan.name} {plan.action} {plan.projects}" for word in words.split())
        ]

    def _conflicts(self, request: protocol.PlanConflicts) -> views.PlanConflictsView:
        found = _known(self.conflicts, self._id_of(request.plan))
        fitting = [one for one in found.conflicts if request.path in {None, one.path}]
        return views.PlanConflictsView(found.plan_id, fitting, len(fitting), found.checkouts)

    def _id_of(self, plan: str) -> str:
        return next((one.plan_id for one in self.plans.values() if one.name == plan), plan)

    def _job_list(self, request: protocol.JobList) -> views.JobsView:
        found = [job for job in self.jobs if request.plan in {None, job.plan_id}]
        return views.JobsView(found, len(found))

    def _job_board(self, request: protocol.JobBoard) -> views.JobBoardView:
        pages = [
            views.JobPageView(page.of, page.offset, self.queue(page.of)[page.offset : page.offset + page.limit])
            for page in request.pages
        ]
        names = {plan.plan_id: plan.name for plan in self.plans.values()}
        return views.JobBoardView(len(self.queue("open")), len(self.queue("finished")), pages, names)

    def _event_list(self, request: protocol.EventList) -> views.EventsView:
        found = [event for event in self.events if request.plan in {None, event.plan_id}]
        newest = found[: len(found) - request.offset]
        return views.EventsView(newest[-request.limit :], len(found))

    def _diagnostics(self) -> views.DiagnosticsView:
        statuses = [check.status for check in self.checks]
        summary = views.CheckSummaryView(*(statuses.count(status) for status in ("ok", "warn", "error")))
        return views.DiagnosticsView(list(self.checks), list(self.workers), summary)


def _known(table: Mapping[str, V], plan: str) -> V:
    if plan not in table:
        raise errors.NotFoundError(f"nothing was written down for the plan {plan}")
    return table[plan]
