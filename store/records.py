"""What the store holds, as immutable records: one struct a table, its fields in the order of the table's columns.

Times are microseconds since 1970 in UTC; those of locks, heartbeats and deadlines are on the steady time line (`store.clock`).
A field that ends in `_json` is the text of a JSON document; flags are 0 or 1.
A row that does not fit its record raises `msgspec.ValidationError` where it is read.
"""

import msgspec

from store.clock import Clock
from store.states import RECOVERABLE, TERMINAL, AsyncJobStatus, Phase, Position, State, StepState


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A row; `msgspec.convert` makes it from the tuple that SQLite returns."""


class Project(Record, frozen=True):
    """A registered directory."""

    project_id: str
    name: str
    path: str
    kind: str
    description: str
    created_at: int


class Action(Record, frozen=True):
    """A reusable description of work; `content` is the YAML text as it was given."""

    name: str
    content: str
    digest: str
    description: str
    source: str
    revision: int
    archived: int
    created_at: int
    updated_at: int


class Actor(Record, frozen=True):
    """A program that carries out steps or decides them; `content` is the YAML text as it was given."""

    name: str
    content: str
    digest: str
    description: str
    source: str
    revision: int
    created_at: int
    updated_at: int


class Plan(Record, frozen=True):
    """One use of an action on one or more projects."""

    plan_id: str
    name: str
    action: str
    definition_json: str
    arguments_json: str
    phase: Phase
    state: State
    automation_profile: str
    profile_source: str
    priority: int
    parent_plan_id: str | None
    root_plan_id: str
    depth: int
    reversions: int
    attempt: int
    revision: int
    umask: int
    error_json: str | None
    diff_json: str | None
    applied_json: str | None
    job_id: str | None
    created_at: int
    updated_at: int
    started_at: int | None
    finished_at: int | None
    pruned_at: int | None = None

    @property
    def position(self) -> Position:
        return Position(self.phase, self.state)

    @property
    def terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def recoverable(self) -> bool:
        return self.state in RECOVERABLE


class PlanProject(Record, frozen=True):
    """One project of a plan: what its base was, where its sandbox is, what came out."""

    plan_id: str
    position: int
    project_id: str
    project: str
    path: str
    kind: str
    strategy: str
    sandbox_path: str | None
    sandbox_status: str
    head: str | None
    branch: str | None
    modified: int
    base: str | None
    base_tree: str | None
    tip: str | None
    tip_tree: str | None
    uncarried_json: str = "[]"


class Step(Record, frozen=True):
    """One unit of Execute, with the process that carries it out while it runs.

    Attributes:
        tips_json: Of a `subplans` step: for each project the plan's `[commit, tree]` when the step began.
    """

    plan_id: str
    step_id: str
    position: int
    title: str
    kind: str
    spec_json: str
    state: StepState
    attempt: int
    exit_code: int | None
    started_at: int | None
    finished_at: int | None
    deadline_at: int | None
    log: str | None
    exit_file: str | None
    pid: int | None
    process_start: int | None
    boot_id: str | None
    tips_json: str | None = None


class Subplan(Record, frozen=True):
    """A child as its parent sees it: which item it is for, and how far it is on its way into the parent.

    Attributes:
        position: Its place in the order of integration.
        needs_json: The positions of the children that have to be integrated before it starts.
        paths_json: The paths that it declares to change.
        timeout_s: Seconds that each of its jobs may take; 0 is no limit.
        resolved: Whether its own children are known from when its parent's were.
        starts: How often it was started.
        retry: Whether it is to be started again although it failed.
        fate: `dropped` when its parent cancelled it, `left_out` when its parent goes on without it.
        admitted: The fence of the parent's lock under which its jobs may run.
        tips_json: For each project the parent's `[commit, tree]` after its integration.
    """

    plan_id: str
    parent_plan_id: str
    step_id: str
    position: int
    item: str
    needs_json: str
    paths_json: str
    timeout_s: int = 0
    resolved: int = 0
    starts: int = 0
    retry: int = 0
    fate: str | None = None
    admitted: int | None = None
    integrated_at: int | None = None
    tips_json: str | None = None


class Conflict(Record, frozen=True):
    """A file that a child and its parent changed in ways that do not fit together; `None` stands for absent.

    Attributes:
        plan_id: The parent.
        base_mode: git's mode of the version that both started from, `base` its blob; so for `parent` and `child`.
        taken: Which version was chosen: base, parent, child, edited or file; None while the conflict is open.
        taken_mode: The mode of what was chosen, `taken_blob` its blob; both None when the file is to be absent.
    """

    plan_id: str
    child_plan_id: str
    position: int
    project: str
    path: bytes
    kind: str
    base_mode: int | None
    base: str | None
    parent_mode: int | None
    parent: str | None
    child_mode: int | None
    child: str | None
    taken: str | None = None
    taken_mode: int | None = None
    taken_blob: str | None = None


class Decision(Record, frozen=True):
    """A recorded choice with its reason."""

    decision_id: str
    plan_id: str
    parent_id: str | None
    kind: str
    question: str
    choice: str
    reason: str
    superseded: int
    created_at: int


class Failure(Record, frozen=True):
    """An error in which a phase of a plan ended; `attempt` is the step's, when a step failed."""

    failure_id: str
    plan_id: str
    phase: Phase
    step_id: str | None
    attempt: int | None
    error_json: str
    created_at: int


class AsyncJob(Record, frozen=True):
    """One phase of one plan, queued for a worker."""

    job_id: str
    plan_id: str
    phase: Phase
    status: AsyncJobStatus
    priority: int
    attempt: int
    payload_json: str
    schema_version: int
    timeout_s: int
    worker_id: str | None
    created_at: int
    started_at: int | None
    last_heartbeat: int | None
    cancel_requested_at: int | None
    finished_at: int | None
    error_code: str | None
    error_message: str | None
    root_plan_id: str
    depth: int
    turn: int
    deadline_at: int | None = None
    boot_id: str | None = None


class Lock(Record, frozen=True):
    """A lease on a resource."""

    resource_type: str
    resource_id: str
    owner_id: str
    acquired_at: int
    expires_at: int
    boot_id: str
    fence: int

    @property
    def resource(self) -> str:
        return f"{self.resource_type}:{self.resource_id}"

    def stale(self, clock: Clock) -> bool:
        """Whether anybody may take it over: it expired, or its owner lived before this boot."""
        return clock.steady() >= self.expires_at or self.boot_id != clock.boot_id


class Event(Record, frozen=True):
    """Something that was committed."""

    seq: int
    time: int
    kind: str
    plan_id: str | None
    job_id: str | None
    detail_json: str


class Worker(Record, frozen=True):
    """A slot of the daemon and what it has done so far; the counters survive restarts."""

    worker_id: str
    state: str
    job_id: str | None
    last_heartbeat: int | None
    jobs_processed: int
    jobs_failed: int
    jobs_cancelled: int


class JournalEntry(Record, frozen=True):
    """One thing that Apply changes in a project: a file, an index entry or a ref; `None` stands for absent.

    `old` and `new` are ids of raw blobs in the private repository for a file (its bytes as they are on disk), of blobs for
    an index entry, of commits for a ref. For a file the modes are permission bits of the disk.
    """

    project: str
    target: str
    path: bytes
    old_mode: int | None
    old: str | None
    new_mode: int | None
    new: str | None


class Entity(Record, frozen=True):
    """A shared definition: what the team server is known to have, and what happened here since.

    Attributes:
        revision: Of the server's version that was taken over, or overridden; 0 when it has none.
        content: That version; None when it is deleted, or there is none. `digest` is its SHA-256.
        changed_by: Who pushed it.
        pending: The number of the last change made here that the server does not have yet.
        refused: Why the server did not take the pending change; it is not sent again.
        invalid: Why the server's version cannot be used here; what is in force is an older one, or none.
        theirs_revision: The server's version that the pending change is in conflict with; None without a conflict.
        theirs_content: None when it is a deletion.
    """

    kind: str
    namespace: str
    name: str
    revision: int = 0
    content: str | None = None
    digest: str | None = None
    changed_at: int | None = None
    changed_by: str = ""
    pending: int | None = None
    pending_at: int | None = None
    refused: str | None = None
    invalid: str | None = None
    theirs_revision: int | None = None
    theirs_content: str | None = None
    theirs_at: int | None = None
    theirs_by: str | None = None

    @property
    def whole_name(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def in_conflict(self) -> bool:
        return self.theirs_revision is not None


class EntityVersion(Record, frozen=True):
    """A version of a shared definition that lost; `content` is None when it was a deletion."""

    version_id: str
    kind: str
    namespace: str
    name: str
    origin: str
    revision: int
    content: str | None
    reason: str
    created_at: int


class SyncState(Record, frozen=True):
    """How far a namespace is in step with its server.

    Attributes:
        cursor: Where the next pull goes on.
        push_json: What was sent and not answered yet.
        pushed: The server's place after the last push, until a pull has come that far.
    """

    namespace: str
    server_id: str
    epoch: str
    cursor: str
    push_json: str | None = None
    pushed: str | None = None


class Journal(Record, frozen=True):
    """That an Apply or an Undo of a plan is being written (`writing`, `undoing`), or was (`written`)."""

    plan_id: str
    state: str
    mode: str
    created_at: int
