"""The wire: a 4-byte big-endian length, then one msgpack document that is one of the tagged structs below.

Both ends say `Hello` first. A client then sends `Ask`s, each a request with an id of its choice, and gets for each one
`Reply` or one `Failure` with that id, in the order in which they are done; a subscriber also gets `Notice`s. A frame
that is too long, malformed, of an unknown type, or not there as a whole after 60 seconds is answered by a `Failure` with
id 0, and the connection is closed. So is a connection beyond the 512th.
"""

import struct
from typing import Any, Generic, Literal, TypeVar, cast, get_args

import msgspec

from daemon import sync_views, views
from store import errors

PROTOCOL_VERSION = 1
REQUEST_LIMIT = 8 * 1024 * 1024
"""Bytes of the longest frame that the daemon reads."""
REPLY_LIMIT = 256 * 1024 * 1024
"""Bytes of the longest frame that a client reads: a diff may be long."""
HELLO_SECONDS = 5.0

V = TypeVar("V")


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    """One frame."""


class Hello(Message, frozen=True, tag="hello"):
    """Who is at this end of the socket. The daemon's also tells whether it takes new work."""

    protocol: int
    version: str
    pid: int
    draining: bool = False


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something inside of a request."""


class Request(Message, Generic[V], frozen=True):
    """Something asked of the daemon; `V` is the shape of the answer."""


class Ping(Request[str], frozen=True, tag="ping"):
    """Answer at once."""


class Status(Request[views.StatusView], frozen=True, tag="status"):
    """What needs the user, what runs, what waits."""

    limit: int = 10


class DaemonStatus(Request[views.DaemonView], frozen=True, tag="daemon.status"):
    """The daemon about itself."""


class DaemonStop(Request[views.StoppingView], frozen=True, tag="daemon.stop"):
    """Stop: no new claims; running steps get `grace` seconds, then are left to the next daemon, or ended with `kill`."""

    grace: float = 0
    kill: bool = False


class Diagnostics(Request[views.DiagnosticsView], frozen=True, tag="diagnostics"):
    """Check everything that can be checked; with `repair`, put right what can be."""

    repair: bool = False


class ProjectAdd(Request[views.ProjectView], frozen=True, tag="project.add"):
    """Register a directory; `path` is absolute. Without a name the directory's own name is used."""

    path: str
    name: str | None = None


class ProjectList(Request[views.ProjectsView], frozen=True, tag="project.list"):
    """Every registered project."""


class ProjectShow(Request[views.ProjectView], frozen=True, tag="project.show"):
    """One project."""

    project: str


class ProjectRemove(Request[views.RemovedView], frozen=True, tag="project.remove"):
    """Forget a project that no unfinished plan works on; its directory is not touched."""

    project: str


class ActionCreate(Request[views.ActionView], frozen=True, tag="action.create"):
    """Register the action that `content` describes; `source` names the file in messages."""

    content: bytes
    source: str
    update: bool = False


class ActionValidate(Request[views.ActionView], frozen=True, tag="action.validate"):
    """Check an action file without registering it."""

    content: bytes
    source: str


class ActionList(Request[views.ActionsView], frozen=True, tag="action.list"):
    """Every action that is not archived."""

    archived: bool = False


class ActionShow(Request[views.ActionView], frozen=True, tag="action.show"):
    """One action."""

    action: str


class ActionRemove(Request[views.RemovedView], frozen=True, tag="action.remove"):
    """Forget an action; plans that use it keep their own copy."""

    action: str


class ActorCreate(Request[views.ActorView], frozen=True, tag="actor.create"):
    """Register the actor that `content` describes; `source` names the file in messages."""

    content: bytes
    source: str
    update: bool = False


class ActorList(Request[views.ActorsView], frozen=True, tag="actor.list"):
    """Every registered actor."""


class ActorShow(Request[views.ActorView], frozen=True, tag="actor.show"):
    """One actor."""

    actor: str


class ActorRemove(Request[views.RemovedView], frozen=True, tag="actor.remove"):
    """Forget an actor; a step that is given to it later fails."""

    actor: str


class PlanUse(Request[views.PlanView], frozen=True, tag="plan.use"):
    """Make a plan. `environment`, `umask` and the settings are those of the one who asks."""

    action: str
    projects: list[str]
    arguments: dict[str, str] = {}
    name: str | None = None
    profile: str | None = None
    priority: int = 0
    environment: dict[str, bytes] = {}
    umask: int = 0o022


class PlanDryRun(Request[views.DryRunView], frozen=True, tag="plan.dry-run"):
    """What `PlanUse` would make; nothing is stored."""

    action: str
    projects: list[str]
    arguments: dict[str, str] = {}
    profile: str | None = None
    environment: dict[str, bytes] = {}


class PlanRun(Request[views.PlanView], frozen=True, tag="plan.run"):
    """Make a plan of one command, without an action. Without a `project` it is the one that `directory` lies in.

    `command` is text for `/bin/sh`; it runs where `directory` is in the sandbox, when that lies in the project.
    """

    command: str
    directory: str
    project: str | None = None
    name: str | None = None
    profile: str | None = None
    environment: dict[str, bytes] = {}
    umask: int = 0o022


class PlanExecute(Request[views.PlanView], frozen=True, tag="plan.execute"):
    """Start the next phase that `plan execute` stands for, or go on after an error."""

    plan: str


class PlanApply(Request[views.PlanView], frozen=True, tag="plan.apply"):
    """Let the reviewed change into the project. `expect` is the digest that was reviewed."""

    plan: str
    expect: str | None = None
    mode: str | None = None
    allow_empty: bool = False
    environment: dict[str, bytes] = {}


class PlanPreview(Request[views.PlanPreviewView], frozen=True, tag="plan.preview"):
    """What `PlanApply` would do now; nothing is changed."""

    plan: str
    mode: str | None = None
    environment: dict[str, bytes] = {}


class PlanCancel(Request[views.PlanView], frozen=True, tag="plan.cancel"):
    """Stop a plan for good; answered when its processes are gone."""

    plan: str
    reason: str = ""


class PlanRevert(Request[views.PlanView], frozen=True, tag="plan.revert"):
    """Back to Strategize; what was decided is kept, marked as superseded."""

    plan: str
    reason: str = ""


class PlanPrompt(Request[views.PlanView], frozen=True, tag="plan.prompt"):
    """Guidance for the next attempt of a plan that is errored or constrained."""

    plan: str
    text: str


class PlanRollback(Request[views.PlanView], frozen=True, tag="plan.rollback"):
    """The sandbox back to the checkpoint of `step`; what was done after it is kept under a ref."""

    plan: str
    step: str


class PlanUndo(Request[views.PlanView], frozen=True, tag="plan.undo"):
    """Restore what Apply changed."""

    plan: str
    keep_going: bool = False


class PlanList(Request[views.PlansView], frozen=True, tag="plan.list"):
    """The newest plans that fit; `limit` -1 is all. With `children` theirs too, behind them; with `parent` only its own."""

    phase: str | None = None
    state: str | None = None
    project: str | None = None
    action: str | None = None
    children: bool = False
    limit: int = 50
    parent: str | None = None


class BoardPage(Part, frozen=True):
    """Some rows of a list of the board.

    Of plans: needs_you, running, queued, done, or the children of the plan whose id `of` is. Of jobs: open, finished.
    """

    of: str
    offset: int = 0
    limit: int = 64


class PlanBoard(Request[views.PlanBoardView], frozen=True, tag="plan.board"):
    """All plans as the dashboard lists them, page by page; everything in the answer is of one moment.

    With `filter` only root plans whose name, action or project holds its words. Of the plans in `places` it is told where they
    are and how many children they have.
    """

    pages: list[BoardPage] = []
    places: list[str] = []
    filter: str = ""


class PlanShow(Request[views.PlanView], frozen=True, tag="plan.show"):
    """One plan, by id, part of an id, or name."""

    plan: str


class PlanWait(Request[views.PlanView], frozen=True, tag="plan.wait"):
    """Answered when nothing more happens to the plan by itself; `timed_out` after `timeout` seconds."""

    plan: str
    timeout: float | None = None


class PlanTree(Request[views.PlanTreeView], frozen=True, tag="plan.tree"):
    """The decisions of a plan, and its children with theirs."""

    plan: str


class PlanConflicts(Request[views.PlanConflictsView], frozen=True, tag="plan.conflicts"):
    """The files in which a child and its parent do not fit together, or an Apply and its project; of `path` with its texts."""

    plan: str
    path: str | None = None


class PlanResolve(Request[views.MergeConflictView], frozen=True, tag="plan.resolve"):
    """Settle one conflict: `take` is parent, child, base, edited, or file for the content of `file`, an absolute path."""

    plan: str
    path: str
    take: str
    file: str | None = None


class PlanDiff(Request[views.PlanDiffView], frozen=True, tag="plan.diff"):
    """Base against result."""

    plan: str


class PlanErrors(Request[views.PlanErrorsView], frozen=True, tag="plan.errors"):
    """Why a plan does not go on, with the last lines of the steps that failed."""

    plan: str


class PlanArtifacts(Request[views.PlanArtifactsView], frozen=True, tag="plan.artifacts"):
    """Everything that a plan made and that can still be reached."""

    plan: str


class PlanExplain(Request[views.PlanExplainView], frozen=True, tag="plan.explain"):
    """Why a plan stands where it stands, and what each command that makes sense now would do."""

    plan: str


class PlanPrune(Request[views.PruneView], frozen=True, tag="plan.prune"):
    """Remove the sandboxes of plans that are over, and what is kept for longer than its retention."""

    dry_run: bool = False


class JobList(Request[views.JobsView], frozen=True, tag="job.list"):
    """The newest jobs that fit; `limit` -1 is all."""

    status: str | None = None
    plan: str | None = None
    limit: int = 50


class JobBoard(Request[views.JobBoardView], frozen=True, tag="job.board"):
    """All jobs as the dashboard lists them, page by page: open, those that run first, and finished, the latest first."""

    pages: list[BoardPage] = []


class JobShow(Request[views.JobView], frozen=True, tag="job.show"):
    """One job."""

    job: str


class JobWait(Request[views.JobView], frozen=True, tag="job.wait"):
    """Answered when the job is over."""

    job: str
    timeout: float | None = None


class JobCancel(Request[views.JobView], frozen=True, tag="job.cancel"):
    """Cancel the plan's phase that this job carries out."""

    job: str
    reason: str = ""


class JobPrune(Request[views.JobPruneView], frozen=True, tag="job.prune"):
    """Remove the finished jobs that are older than `async.retention`, with their logs."""


class LockAcquire(Request[views.LockView], frozen=True, tag="lock.acquire"):
    """Take a lease on `resource`, or extend one's own; while somebody else has it, wait for `wait` seconds at most.

    Without `ttl` it is `lock.ttl`.
    """

    resource: str
    owner: str
    ttl: float | None = None
    wait: float = 0


class LockRenew(Request[views.LockView], frozen=True, tag="lock.renew"):
    """Extend one's own lease; with `fence` only that acquisition."""

    resource: str
    owner: str
    ttl: float | None = None
    fence: int | None = None


class LockRelease(Request[views.LockView], frozen=True, tag="lock.release"):
    """Give one's own lease back; with `fence` only that acquisition. The answer is the lease as it was."""

    resource: str
    owner: str
    fence: int | None = None


class LockList(Request[views.LocksView], frozen=True, tag="lock.list"):
    """Every lease."""


class LockClean(Request[views.LocksView], frozen=True, tag="lock.clean"):
    """Remove the leases that anybody may take over; the answer lists them."""


class EventList(Request[views.EventsView], frozen=True, tag="event.list"):
    """Events after `since`, or the newest; with `tree` those of a plan and of all its children, from the first one on.

    `offset` leaves out that many of the newest.
    """

    since: int | None = None
    plan: str | None = None
    limit: int = 100
    tree: bool = False
    offset: int = 0


class ServerConnect(Request[sync_views.ServerView], frozen=True, tag="server.connect"):
    """Check a team server, write what connects to it in one change, and sync; with `offline` only write.

    What is None stays as it is.
    """

    url: str
    namespace: str | None = None
    token: str | None = None
    tls_verify: bool | None = None
    offline: bool = False


class ServerDisconnect(Request[sync_views.ServerView], frozen=True, tag="server.disconnect"):
    """Stop syncing, then forget the team server; what came from it stays."""


class ServerStatus(Request[sync_views.ServerView], frozen=True, tag="server.status"):
    """Ask the team server now; and whether this home hosts one."""


class SyncRun(Request[sync_views.SyncRunView], frozen=True, tag="sync.run"):
    """Sync once, or join what runs: `now` pulls and pushes, `full` compares everything."""

    what: Literal["now", "pull", "push", "full"] = "now"


class SyncStatus(Request[sync_views.SyncView], frozen=True, tag="sync.status"):
    """How the sync stands."""


class SyncConflicts(Request[sync_views.SyncConflictsView], frozen=True, tag="sync.conflicts"):
    """Definitions that were changed here and on the server; with `history` also the versions that lost."""

    history: bool = False


class SyncResolve(Request[sync_views.SyncConflictView], frozen=True, tag="sync.resolve"):
    """Settle a conflict."""

    kind: str
    name: str
    take: Literal["local", "server"]


class SettingsChanged(Request[str], frozen=True, tag="settings.changed"):
    """The configuration file was written: what obeys it without being asked looks at it now."""


class Subscribe(Request[views.SubscribedView], frozen=True, tag="subscribe"):
    """Be told of every event after `since` (now, when absent), of all plans or of one; with `tree` of all its children too."""

    since: int | None = None
    plan: str | None = None
    tree: bool = False


AnyRequest = (
    Ping
    | Status
    | DaemonStatus
    | DaemonStop
    | Diagnostics
    | ProjectAdd
    | ProjectList
    | ProjectShow
    | ProjectRemove
    | ActionCreate
    | ActionValidate
    | ActionList
    | ActionShow
    | ActionRemove
    | ActorCreate
    | ActorList
    | ActorShow
    | ActorRemove
    | PlanUse
    | PlanDryRun
    | PlanRun
    | PlanExecute
    | PlanApply
    | PlanPreview
    | PlanCancel
    | PlanRevert
    | PlanPrompt
    | PlanRollback
    | PlanUndo
    | PlanList
    | PlanBoard
    | PlanShow
    | PlanWait
    | PlanTree
    | PlanConflicts
    | PlanResolve
    | PlanDiff
    | PlanErrors
    | PlanArtifacts
    | PlanExplain
    | PlanPrune
    | JobList
    | JobBoard
    | JobShow
    | JobWait
    | JobCancel
    | JobPrune
    | LockAcquire
    | LockRenew
    | LockRelease
    | LockList
    | LockClean
    | EventList
    | ServerConnect
    | ServerDisconnect
    | ServerStatus
    | SyncRun
    | SyncStatus
    | SyncConflicts
    | SyncResolve
    | SettingsChanged
    | Subscribe
)


class Ask(Message, frozen=True, tag="ask"):
    """A request with the id that its answer will carry."""

    id: int
    request: AnyRequest


class Reply(Message, frozen=True, tag="reply"):
    """The answer to a request; `messages` are sentences for the user beside the data."""

    id: int
    data: msgspec.Raw
    messages: list[str] = []


class Failure(Message, frozen=True, tag="failure"):
    """A request, or with id 0 the connection, was refused."""

    id: int
    code: str
    message: str
    detail: dict[str, Any] = {}
    suggestions: list[str] = []

    @classmethod
    def of(cls, error: errors.CleverAgentsError, request_id: int = 0) -> "Failure":
        return cls(
            id=request_id,
            code=error.code,
            message=error.message,
            detail=error.detail,
            suggestions=error.suggestions,
        )

    def error(self) -> errors.CleverAgentsError:
        return errors.from_code(self.code, self.message, self.detail, self.suggestions)


class Notice(Message, frozen=True, tag="notice"):
    """One event, for a subscriber."""

    event: views.EventView


class CatchUp(Message, frozen=True, tag="catch-up"):
    """The subscriber was too slow: events after `seq` are to be fetched with `event.list`, then subscribed to again."""

    seq: int


FromClient = Hello | Ask
FromDaemon = Hello | Reply | Failure | Notice | CatchUp

_LENGTH = struct.Struct(">I")
HEADER = _LENGTH.size

_encoder = msgspec.msgpack.Encoder()
_from_client: msgspec.msgpack.Decoder[FromClient] = msgspec.msgpack.Decoder(FromClient)
_from_daemon: msgspec.msgpack.Decoder[FromDaemon] = msgspec.msgpack.Decoder(FromDaemon)


def frame(message: Message) -> bytes:
    """One message, ready to be sent."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def reply(request_id: int, data: object, messages: list[str]) -> bytes:
    """The frame that answers a request."""
    # The encoder goes by the value: the data is encoded in its place. Only who reads an answer has it raw.
    return frame(Reply(id=request_id, data=cast("msgspec.Raw", data), messages=messages))


def length(header: bytes | bytearray, limit: int) -> int:
    """How many bytes follow a header, with which this begins.

    Raises:
        ProtocolError: more than `limit`, or none.
    """
    (size,) = _LENGTH.unpack_from(header)
    if not 0 < size <= limit:
        raise errors.ProtocolError(f"a frame of {size} bytes was announced; 1 to {limit} are allowed")
    return int(size)


def decode_request(body: bytes | bytearray) -> FromClient:
    """A frame's message, as the daemon reads it.

    Raises:
        ProtocolError: the frame is malformed, of an unknown type, or has wrong or unknown fields.
    """
    try:
        return _from_client.decode(body)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def decode_answer(body: bytes) -> FromDaemon:
    """A frame's message, as a client reads it.

    Raises:
        ProtocolError: the frame is malformed, of an unknown type, or has wrong or unknown fields.
    """
    try:
        return _from_daemon.decode(body)
    except _UNREADABLE as error:
        raise _unreadable(error) from error


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def _unreadable(error: Exception) -> errors.ProtocolError:
    # Most likely the two ends are of different versions.
    return errors.ProtocolError(f"a message could not be read: {error}", suggestions=["ca daemon restart"])


def answer_type(request: Request[V]) -> type[V]:
    """The shape of the answer to a request, as its class declares it."""
    (base,) = cast("tuple[object, ...]", getattr(type(request), "__orig_bases__"))  # noqa: B009  a class attribute that only typing knows
    return get_args(base)[0]
