"""What a person or a script is shown: the `data` of each command, key for key.

Times are RFC 3339 text in UTC with milliseconds; what is absent is `None`. These structs travel over the socket and are
printed as JSON as they are, so that both faces of the product show the same thing.
"""

from typing import Any

from daemon import sync_views
from daemon.view import View


class SandboxView(View, frozen=True):
    """Where a plan works on one project; `uncarried` names what git cannot carry there, each with the reason."""

    project: str
    strategy: str
    path: str | None
    status: str
    uncarried: list[str]


class ChildrenView(View, frozen=True):
    total: int
    queued: int
    processing: int
    complete: int
    applied: int
    errored: int
    cancelled: int


class StepChildrenView(ChildrenView, frozen=True):
    """The children of one step; `integrated` are those whose change entered the parent."""

    integrated: int


class StepView(View, frozen=True):
    """One step; `children` counts those of a subplans step."""

    id: str
    title: str
    kind: str
    state: str
    attempt: int
    exit_code: int | None
    started_at: str | None
    finished_at: str | None
    log: str | None
    children: StepChildrenView | None


class SubplanView(View, frozen=True):
    """What a child is to its parent.

    Attributes:
        step: The parent's step that it belongs to.
        item: What it is for.
        position: Its place in the order in which the children enter the parent.
        needs: The items whose children have to be in the parent before it starts.
        paths: The paths that it declares to change.
        starts: How often it was started.
        left_out: Whether its parent goes on without it.
        integrated_at: When its change entered the parent.
    """

    step: str
    item: str
    position: int
    needs: list[str]
    paths: list[str]
    starts: int
    left_out: bool
    integrated_at: str | None


class DiffStatView(View, frozen=True):
    digest: str
    files: int
    insertions: int
    deletions: int


class ErrorView(View, frozen=True):
    """Why a plan is errored or constrained."""

    code: str
    message: str
    step: str | None
    detail: dict[str, Any]


class AppliedView(View, frozen=True):
    """What an Apply did; also the `data` of a `plan apply` that waited. `moved`: projects that differed from the base."""

    plan_id: str
    digest: str
    mode: str
    files: int
    insertions: int
    deletions: int
    commit: str | None
    moved: list[str]
    undo: str


class ConflictView(View, frozen=True):
    path: str
    kind: str


class ProjectPreviewView(View, frozen=True):
    """What Apply would do in one project.

    Attributes:
        branch: The one that is checked out; None for a folder and a detached HEAD.
        moved: Whether the project differs from the base.
        edited: Files of the change that have uncommitted edits too; both are kept.
        conflicts: Where the two cannot be merged; then nothing is written anywhere.
    """

    project: str
    path: str
    branch: str | None
    files: int
    insertions: int
    deletions: int
    moved: bool
    edited: list[str]
    conflicts: list[ConflictView]


class DryRunCheckView(View, frozen=True):
    """A command that would have to succeed on the merged result before anything is written."""

    name: str
    run: str


class PlanPreviewView(View, frozen=True):
    """What Apply would do now; `checks` run on the merged result first."""

    plan_id: str
    digest: str
    mode: str
    projects: list[ProjectPreviewView]
    checks: list[DryRunCheckView]


class PlanView(View, frozen=True):
    plan_id: str
    name: str
    action: str
    projects: list[str]
    phase: str
    state: str
    terminal: bool
    recoverable: bool
    automation_profile: str
    profile_source: str
    arguments: dict[str, Any]
    priority: int
    parent_plan_id: str | None
    root_plan_id: str
    depth: int
    subplan: SubplanView | None
    base: dict[str, str | None]
    sandboxes: list[SandboxView]
    steps: list[StepView]
    children: ChildrenView
    diff: DiffStatView | None
    applied: AppliedView | None
    error: ErrorView | None
    reversions: int
    job_id: str | None
    revision: int
    created_at: str
    updated_at: str
    started_at: str | None
    finished_at: str | None
    next: list[str]


class PlansView(View, frozen=True):
    plans: list[PlanView]
    total: int


class BoardCountsView(View, frozen=True):
    """How many root plans each list of the board has."""

    needs_you: int
    running: int
    queued: int
    done: int


class BoardPageView(View, frozen=True):
    """Some plans of a list of the board, from the position `offset` on."""

    of: str
    offset: int
    plans: list[PlanView]


class BoardPlaceView(View, frozen=True):
    """Where a plan is: behind `position` others in a list, or among the children of the plan `of`; and how many it has."""

    plan_id: str
    of: str
    position: int
    children: int


class PlanBoardView(View, frozen=True):
    """The board after the event `seq`; a plan that is in no list, or not in the filter, has no place."""

    seq: int
    counts: BoardCountsView
    pages: list[BoardPageView]
    places: list[BoardPlaceView]


class FileView(View, frozen=True):
    path: str
    path_base64: str | None
    old_path: str | None
    old_path_base64: str | None
    status: str
    binary: bool
    insertions: int | None
    deletions: int | None


class PlanDiffView(View, frozen=True):
    r"""Base against result; a patch that is not UTF-8 is shown with `\\xNN` and given whole in `patch_base64`."""

    plan_id: str
    digest: str
    base: dict[str, str | None]
    files: list[FileView]
    patch: str
    patch_base64: str | None


class DecisionView(View, frozen=True):
    decision_id: str
    parent_id: str | None
    kind: str
    question: str
    choice: str
    reason: str
    superseded: bool
    plan_id: str
    created_at: str


class PlanTreeView(View, frozen=True):
    """A plan's decisions, and its children in the order in which they enter it; `item` is None for a root plan."""

    plan_id: str
    name: str
    item: str | None
    phase: str
    state: str
    decisions: list[DecisionView]
    children: list["PlanTreeView"]


class VersionView(View, frozen=True):
    """One version of a file in conflict.

    Attributes:
        mode: git's mode in octal, such as 100644.
        blob: The id of its content.
        bytes: Its size.
        binary: Whether it is no text.
        text: The text, when it was asked for, is text and not too long to show.
    """

    mode: str
    blob: str
    bytes: int
    binary: bool
    text: str | None


class MergeConflictView(View, frozen=True):
    """A file that two sides changed in ways that do not fit together; a version is None where the file is absent.

    Attributes:
        path: In the project; several projects are told apart by `project`.
        kind: content, binary, rename, delete/modify, mode, … as in the error's detail.
        status: open or resolved.
        taken: Which version was chosen: base, parent, child, edited or file; None while it is open.
        child_plan_id: The child that was to enter the parent; of Apply the plan itself. `child_name`, `item` likewise.
        parent: The parent's version; of Apply the project's.
        child: The child's version; of Apply the plan's.
    """

    project: str
    path: str
    path_base64: str | None
    kind: str
    status: str
    taken: str | None
    child_plan_id: str
    child_name: str
    item: str | None
    base: VersionView | None
    parent: VersionView | None
    child: VersionView | None


class PlanConflictsView(View, frozen=True):
    """What keeps a plan from going on; `checkouts` are directories in which the merged files can be edited, by project."""

    plan_id: str
    conflicts: list[MergeConflictView]
    total: int
    checkouts: dict[str, str]


class PlanErrorsView(View, frozen=True):
    """The error a plan stands in, what its failed steps said last, and those of its children that failed."""

    plan_id: str
    error: ErrorView | None
    steps: list["FailedStepView"]
    children: list["FailedChildView"]
    next: list[str]


class FailedChildView(View, frozen=True):
    """A child that failed; `step` is its parent's, `steps` are its own."""

    plan_id: str
    name: str
    step: str
    item: str
    error: ErrorView | None
    steps: list["FailedStepView"]
    next: list[str]


class FailedStepView(View, frozen=True):
    id: str
    state: str
    attempt: int
    exit_code: int | None
    log: str | None
    tail: list[str]


class ArtifactView(View, frozen=True):
    """One thing that a plan made.

    Attributes:
        kind: base, checkpoint, partial, before, integrated, edited, resolved, rollback, result, removed or applied (objects in
            the private repository), log, prompt (files), sandbox (a directory).
        project: None for a file.
        step: The step it belongs to, None when it is no step's.
        attempt: The step's attempt.
        path: The file or directory; for a commit the private repository.
        ref: The ref that keeps a commit.
        commit: Its id.
        bytes: The size of a file.
    """

    kind: str
    project: str | None
    step: str | None
    attempt: int | None
    path: str
    ref: str | None
    commit: str | None
    bytes: int | None


class PlanArtifactsView(View, frozen=True):
    plan_id: str
    artifacts: list[ArtifactView]
    total: int


class NextView(View, frozen=True):
    """A command that makes sense now, and what it would do."""

    command: str
    effect: str


class PlanExplainView(View, frozen=True):
    """Why a plan stands where it stands: a sentence, then the facts behind it, the latest last."""

    plan_id: str
    phase: str
    state: str
    summary: str
    reasons: list[str]
    decisions: list[DecisionView]
    next: list[NextView]


class PruneEntryView(View, frozen=True):
    """Something that takes room for a plan.

    Attributes:
        kind: sandbox (of a plan), pool (a spare checkout), plan (what Undo needed, past `plan.retention`), unknown (nobody
            knows what it is; never removed).
        plan: The plan's name.
        bytes: Room on the disk.
        holds: What it still holds, in words; "nothing" when all of it is in the project or under a ref.
        removed: Whether it was removed; with `dry_run`, whether it would be.
        error: Why it could not be removed.
    """

    kind: str
    plan_id: str | None
    plan: str | None
    project: str | None
    path: str
    bytes: int
    holds: str
    removed: bool
    error: str | None


class PruneView(View, frozen=True):
    dry_run: bool
    entries: list[PruneEntryView]
    freed: int


class JobPruneView(View, frozen=True):
    """How many jobs were removed, and how many bytes their logs took."""

    jobs: int
    freed: int


class JobView(View, frozen=True):
    job_id: str
    plan_id: str
    phase: str
    status: str
    priority: int
    attempt: int
    payload_json: str
    schema_version: int
    timeout_s: int
    worker_id: str | None
    created_at: str
    started_at: str | None
    last_heartbeat: str | None
    cancel_requested_at: str | None
    finished_at: str | None
    error_code: str | None
    error_message: str | None


class JobsView(View, frozen=True):
    jobs: list[JobView]
    total: int


class JobPageView(View, frozen=True):
    """Some jobs of a list of the board, from the position `offset` on."""

    of: str
    offset: int
    jobs: list[JobView]


class JobBoardView(View, frozen=True):
    """The jobs that are open and those that are finished: how many, and pages of them; `plans` names their plans by id."""

    open: int
    finished: int
    pages: list[JobPageView]
    plans: dict[str, str]


class LockView(View, frozen=True):
    """A lease. `stale`: it expired, or is from an earlier boot of the machine, and anybody may take it over."""

    resource_type: str
    resource_id: str
    owner_id: str
    fence: int
    acquired_at: str
    expires_at: str
    stale: bool


class LocksView(View, frozen=True):
    locks: list[LockView]
    total: int


class EventView(View, frozen=True):
    seq: int
    time: str
    kind: str
    plan_id: str | None
    job_id: str | None
    detail: dict[str, Any]


class EventsView(View, frozen=True):
    events: list[EventView]
    total: int


class ProjectView(View, frozen=True):
    """A project; `path` is None for one that is shared and has no directory here."""

    name: str
    description: str
    namespace: str
    source: str
    revision: int
    path: str | None
    kind: str


class ProjectsView(View, frozen=True):
    projects: list[ProjectView]
    total: int


class ActionView(View, frozen=True):
    """A registered action with the keys of its file as they were understood."""

    name: str
    description: str
    namespace: str
    source: str
    revision: int
    archived: bool
    definition_of_done: str
    strategy_actor: str
    execution_actor: str
    automation_profile: str | None
    read_only: bool
    reusable: bool
    arguments: list[dict[str, Any]]
    invariants: list[str]
    sandbox: dict[str, Any]
    env: dict[str, str]
    shell: str | None
    steps: list[dict[str, Any]]
    checks: list[dict[str, Any]]


class ActionsView(View, frozen=True):
    actions: list[ActionView]
    total: int


class ActorView(View, frozen=True):
    """A registered actor with the keys of its file; `timeout` is in seconds."""

    name: str
    description: str
    namespace: str
    source: str
    revision: int
    type: str
    command: list[str]
    env: dict[str, str]
    timeout: float | None


class ActorsView(View, frozen=True):
    actors: list[ActorView]
    total: int


class WorkerView(View, frozen=True):
    worker_id: str
    state: str
    job_id: str | None
    last_heartbeat: str | None
    jobs_processed: int
    jobs_failed: int
    jobs_cancelled: int


class DaemonView(View, frozen=True):
    running: bool
    pid: int | None
    version: str | None
    protocol: int | None
    socket: str
    store: str
    log: str
    started_at: str | None
    workers: list[WorkerView]
    queued: int
    running_jobs: int
    draining: bool


class StatusView(View, frozen=True):
    """One screen: what needs me, what runs, what waits, what is locked; users' locks before those of jobs.

    `sync` is None when no team server is connected.
    """

    needs_you: list[PlanView]
    running: list[PlanView]
    queued: list[PlanView]
    locks: list[LockView]
    totals: "StatusTotalsView"
    done: int
    sync: sync_views.SyncView | None
    daemon: DaemonView


class StatusTotalsView(View, frozen=True):
    """How many plans of each kind and how many locks there are, beyond those that are listed."""

    needs_you: int
    running: int
    queued: int
    locks: int


class CheckView(View, frozen=True):
    name: str
    status: str
    message: str
    fix: str | None


class CheckSummaryView(View, frozen=True):
    ok: int
    warnings: int
    errors: int


class DiagnosticsView(View, frozen=True):
    checks: list[CheckView]
    workers: list[WorkerView]
    summary: CheckSummaryView


class DryRunView(View, frozen=True):
    """What `plan use --dry-run` would do; nothing was stored.

    Attributes:
        steps: As the action has them.
        base: What each project is now.
        checks: What would be run on the merged result before it is applied.
        plans: How many plans the tree has, the root included.
        tree: The plan and all below it.
    """

    action: str
    projects: list[str]
    automation_profile: str
    profile_source: str
    arguments: dict[str, Any]
    include: list[str]
    steps: list[dict[str, Any]]
    base: list["DryRunBaseView"]
    checks: list[DryRunCheckView]
    plans: int
    tree: "DryRunPlanView"


class DryRunBaseView(View, frozen=True):
    """What a plan would start from in one project.

    Attributes:
        head: The commit that is checked out; None for a folder and when there is none yet.
        branch: None when HEAD is detached, and for a folder.
        modified: How many files differ from it, untracked ones included.
        base: The commit of ours that has them all.
        uncarried: What no sandbox gets, each with the reason.
    """

    project: str
    path: str
    strategy: str
    head: str | None
    branch: str | None
    modified: int
    base: str
    uncarried: list[str]


class DryRunPlanView(View, frozen=True):
    """One plan of a tree that was only tried.

    Attributes:
        decided_by: The strategy actor that would decide its steps; None when they are known.
        include: Ignored files that are copied into its sandboxes.
        missing: Those of them that are not there, by project.
        steps: In the order in which they run, every value filled in.
    """

    action: str
    projects: list[str]
    arguments: dict[str, Any]
    decided_by: str | None
    read_only: bool
    include: list[str]
    missing: dict[str, list[str]]
    setup: str | None
    steps: list["DryRunStepView"]


class DryRunStepView(View, frozen=True):
    id: str
    title: str
    kind: str
    needs: list[str]
    project: str
    run: str | None
    prompt: str | None
    timeout: float | None
    retries: int
    subplans: "DryRunSubplansView | None"


class DryRunSubplansView(View, frozen=True):
    """The children of a step, in the order in which they enter their parent, and the limits under which they run."""

    action: str
    mode: str
    max_parallel: int
    fail_fast: bool
    merge: str
    retries: int
    timeout: float | None
    overlaps: list["OverlapView"]
    children: list["DryRunChildView"]


class DryRunChildView(View, frozen=True):
    """A child: what it is for, which items come before it, what it declares to change, and what it does."""

    item: str
    needs: list[str]
    paths: list[str]
    plan: DryRunPlanView


class OverlapView(View, frozen=True):
    """Children that declare to change the same, and so do not run at the same time.

    Attributes:
        path: What is declared.
        items: Whose children declare it.
        below: Whose children declare something below it.
    """

    path: str
    items: list[str]
    below: list[str]


class RemovedView(View, frozen=True):
    """Something was removed."""

    name: str
    removed: bool


class SubscribedView(View, frozen=True):
    """From which event on the subscriber is told."""

    seq: int


class StoppingView(View, frozen=True):
    """The daemon was asked to stop, and does."""

    pid: int
    left_running: int
