"""What a person or a script is shown of the team server and the sync: the `data` of `ca server …` and `ca sync …`."""

import msgspec

from daemon.view import View


class HostView(View, frozen=True):
    """The team server that this home hosts."""

    running: bool
    pid: int | None
    url: str | None


class InvalidEntityView(View, frozen=True):
    """A definition that one side does not take from the other.

    `origin` is who has it: `server` for one that cannot be used here, `local` for one that the server refused.
    """

    kind: str
    name: str
    origin: str
    revision: int
    reason: str


class SyncView(View, frozen=True):
    """How the sync stands.

    `active` is whether the timer runs, `entities` how many shared definitions are known here, `conflicts` how many wait for
    a choice, `pending` how many changes wait to be pushed, `streaming` whether the server says at once when something
    changes. `pulls` counts since the daemon started.
    """

    active: bool
    auto: bool
    interval: int
    cursor: str | None
    epoch: str | None
    entities: int
    last_pull_at: str | None
    next_pull_at: str | None
    last_error: str | None
    pulls: int
    conflicts: int
    server_id: str | None
    namespace: str | None
    pending: int
    streaming: bool
    running: bool
    invalid: list[InvalidEntityView]


class SyncRunView(SyncView, frozen=True):
    """The same after one sync, and how many definitions it brought (`pulled`), removed and pushed."""

    pulled: int
    removed: int
    pushed: int


class ServerView(View, frozen=True):
    """The connection to the team server: `mode` is `disabled`, `connected` or `error`, `reason` says why."""

    mode: str
    url: str | None
    namespace: str | None
    tls_verify: bool
    token_set: bool
    reason: str | None
    server_version: str | None
    sync: SyncView
    host: HostView


class SharedVersionView(View, frozen=True):
    """One version of a shared definition; `content` is None when it is a deletion."""

    content: str | None
    revision: int | None
    changed_at: str | None
    changed_by: str | None


class SyncConflictView(View, frozen=True):
    """A definition that was changed here and on the server; `base` is what both changes started from."""

    kind: str
    name: str
    namespace: str
    base: SharedVersionView
    local: SharedVersionView
    server: SharedVersionView


class LostVersionView(View, frozen=True):
    """A version that did not stay: what it was, whose, and why."""

    kind: str
    name: str
    origin: str
    revision: int
    content: str | None
    reason: str
    created_at: str


class SyncConflictsView(View, frozen=True):
    conflicts: list[SyncConflictView]
    total: int
    history: list[LostVersionView]


class ServerStartedView(View, frozen=True):
    """A team server that answers."""

    url: str
    pid: int
    pid_file: str
    log: str


class ServerStoppedView(View, frozen=True):
    """What `server stop` did."""

    running: bool
    stopped: bool
    pid: int | None


class TokenView(View, frozen=True):
    """A token of the team server, without the token itself."""

    token_id: str
    namespace: str
    role: str
    name: str
    created_at: str
    revoked_at: str | None


class NewTokenView(View, frozen=True):
    """A token, shown this once."""

    token_id: str
    token: str
    namespace: str
    role: str
    name: str


class TokensView(View, frozen=True):
    tokens: list[TokenView]
    total: int


def combined(run: SyncView, *, pulled: int, removed: int, pushed: int) -> SyncRunView:
    """A run's own numbers beside how the sync now stands."""
    return SyncRunView(**msgspec.structs.asdict(run), pulled=pulled, removed=removed, pushed=pushed)
