"""The JSON documents of `ca`, as the specification has them: one schema for the envelope, one a command for its `data`.

A key that the specification does not list is an error here, except those that `BEYOND` names.
"""

from collections.abc import Mapping
from typing import Any, Final

import jsonschema

Schema = dict[str, Any]

ULID: Final = {"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
TIME: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"}
TEXT: Final = {"type": "string"}
COUNT: Final = {"type": "integer", "minimum": 0}
FLAG: Final = {"type": "boolean"}
NAME: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*$"}
COMMIT: Final = {"type": "string", "pattern": "^[0-9a-f]{40}([0-9a-f]{24})?$"}
DIGEST: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
MAPPING: Final = {"type": "object"}
ANYTHING: Final[Schema] = {}

BEYOND: Final = {
    "plan": {"profile_source": TEXT, "priority": {"type": "integer"}},
    "sandbox": {"uncarried": {"type": "array", "items": TEXT}},
    "action": {"archived": FLAG},
    "config get": {"description": TEXT},
    "sync status": {
        "server_id": {"anyOf": [ULID, {"type": "null"}]},
        "namespace": {"anyOf": [TEXT, {"type": "null"}]},
        "pending": COUNT,
        "streaming": FLAG,
        "running": FLAG,
        "invalid": {"type": "array"},
    },
}
"""Keys that are shown beside those that the specification lists."""


def absent(schema: Schema) -> Schema:
    """What `schema` allows, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def one_of(*words: str) -> Schema:
    return {"enum": list(words)}


def many(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def record(**keys: Schema) -> Schema:
    """An object with exactly these keys."""
    return {"type": "object", "properties": keys, "required": list(keys), "additionalProperties": False}


def listing(noun: str, item: Schema) -> Schema:
    """The data of a list verb."""
    return record(**{noun: many(item), "total": COUNT})


PHASE: Final = one_of("strategize", "execute", "apply")
STATE: Final = one_of("queued", "processing", "complete", "errored", "cancelled", "constrained", "applied")
STEP_STATE: Final = one_of("pending", "running", "succeeded", "failed", "timed_out", "cancelled", "skipped", "lost")

ERROR: Final = record(code=TEXT, message=TEXT, step=absent(TEXT), detail=MAPPING)
CHILDREN_COUNTS: Final = dict.fromkeys(
    ("total", "queued", "processing", "complete", "applied", "errored", "cancelled"), COUNT
)
CHILDREN: Final = record(**CHILDREN_COUNTS)
STEP_CHILDREN: Final = record(**CHILDREN_COUNTS, integrated=COUNT)
SUBPLAN: Final = record(
    step=TEXT,
    item=TEXT,
    position=COUNT,
    needs=many(TEXT),
    paths=many(TEXT),
    starts=COUNT,
    left_out=FLAG,
    integrated_at=absent(TIME),
)
STEP: Final = record(
    id=TEXT,
    title=TEXT,
    kind=one_of("run", "prompt", "subplans"),
    state=STEP_STATE,
    attempt=COUNT,
    exit_code=absent(COUNT),
    started_at=absent(TIME),
    finished_at=absent(TIME),
    log=absent(TEXT),
    children=absent(STEP_CHILDREN),
)
DIFF_STAT: Final = record(digest=DIGEST, files=COUNT, insertions=COUNT, deletions=COUNT)
SANDBOX: Final = record(
    project=NAME, strategy=one_of("clone", "none"), path=absent(TEXT), status=TEXT, uncarried=many(TEXT)
)
APPLIED: Final = record(
    plan_id=ULID,
    digest=DIGEST,
    mode=one_of("worktree", "index", "commit", "branch"),
    files=COUNT,
    insertions=COUNT,
    deletions=COUNT,
    commit=absent(COMMIT),
    moved=many(NAME),
    undo={"type": "string", "pattern": "^ca plan undo "},
)
PLAN: Final = record(
    plan_id=ULID,
    name=TEXT,
    action=NAME,
    projects=many(NAME),
    phase=PHASE,
    state=STATE,
    terminal=FLAG,
    recoverable=FLAG,
    automation_profile=one_of("manual", "supervised", "trusted", "full-auto"),
    arguments=MAPPING,
    parent_plan_id=absent(ULID),
    root_plan_id=ULID,
    depth=COUNT,
    base={"type": "object", "additionalProperties": absent(COMMIT)},
    sandboxes=many(SANDBOX),
    steps=many(STEP),
    children=CHILDREN,
    diff=absent(DIFF_STAT),
    error=absent(ERROR),
    reversions=COUNT,
    job_id=absent(ULID),
    revision=COUNT,
    created_at=TIME,
    updated_at=TIME,
    started_at=absent(TIME),
    finished_at=absent(TIME),
    next=many({"type": "string", "pattern": "^ca "}),
    applied=absent(APPLIED),
    subplan=absent(SUBPLAN),
    **BEYOND["plan"],
)
CHANGED_FILE: Final = record(
    path=TEXT,
    path_base64=absent(TEXT),
    old_path=absent(TEXT),
    old_path_base64=absent(TEXT),
    status=one_of("added", "modified", "deleted", "renamed"),
    binary=FLAG,
    insertions=absent(COUNT),
    deletions=absent(COUNT),
)
PLAN_DIFF: Final = record(
    plan_id=ULID,
    digest=DIGEST,
    base={"type": "object", "additionalProperties": COMMIT},
    files=many(CHANGED_FILE),
    patch=TEXT,
    patch_base64=absent(TEXT),
)
DECISION: Final = record(
    decision_id=ULID,
    parent_id=absent(ULID),
    kind=TEXT,
    question=TEXT,
    choice=TEXT,
    reason=TEXT,
    superseded=FLAG,
    plan_id=ULID,
    created_at=TIME,
)
PLAN_TREE: Final = record(
    plan_id=ULID,
    name=TEXT,
    item=absent(TEXT),
    phase=PHASE,
    state=STATE,
    decisions=many(DECISION),
    children=many(MAPPING),
)
JOB: Final = record(
    job_id=ULID,
    plan_id=ULID,
    phase=PHASE,
    status=one_of("queued", "running", "succeeded", "failed", "cancelled"),
    priority={"type": "integer"},
    attempt=COUNT,
    payload_json=TEXT,
    schema_version=COUNT,
    timeout_s=COUNT,
    worker_id=absent(TEXT),
    created_at=TIME,
    started_at=absent(TIME),
    last_heartbeat=absent(TIME),
    cancel_requested_at=absent(TIME),
    finished_at=absent(TIME),
    error_code=absent(TEXT),
    error_message=absent(TEXT),
)
LOCK: Final = record(
    resource_type=one_of("plan", "project", "file", "user"),
    resource_id=TEXT,
    owner_id=TEXT,
    fence={"type": "integer", "minimum": 1},
    acquired_at=TIME,
    expires_at=TIME,
    stale=FLAG,
)
EVENT: Final = record(seq=COUNT, time=TIME, kind=TEXT, plan_id=absent(ULID), job_id=absent(ULID), detail=MAPPING)
PROJECT: Final = record(
    name=NAME,
    description=TEXT,
    namespace=TEXT,
    source=one_of("local", "synced"),
    revision=COUNT,
    path=absent(TEXT),
    kind=one_of("git", "folder"),
)
ACTION: Final = record(
    name=NAME,
    description=TEXT,
    namespace=TEXT,
    source=one_of("local", "synced"),
    revision=COUNT,
    definition_of_done=TEXT,
    strategy_actor=NAME,
    execution_actor=NAME,
    automation_profile=absent(TEXT),
    read_only=FLAG,
    reusable=FLAG,
    arguments=many(MAPPING),
    invariants=many(TEXT),
    sandbox=MAPPING,
    env=MAPPING,
    shell=absent(TEXT),
    steps=many(MAPPING),
    checks=many(MAPPING),
    **BEYOND["action"],
)
ACTOR: Final = record(
    name=NAME,
    description=TEXT,
    namespace=TEXT,
    source=one_of("local", "synced"),
    revision=COUNT,
    type=one_of("command"),
    command=many(TEXT),
    env=MAPPING,
    timeout=absent({"type": "number", "exclusiveMinimum": 0}),
)
WORKER: Final = record(
    worker_id=TEXT,
    state=TEXT,
    job_id=absent(ULID),
    last_heartbeat=absent(TIME),
    jobs_processed=COUNT,
    jobs_failed=COUNT,
    jobs_cancelled=COUNT,
)
DAEMON: Final = record(
    running=FLAG,
    pid=absent(COUNT),
    version=absent(TEXT),
    protocol=absent(COUNT),
    socket=TEXT,
    store=TEXT,
    log=TEXT,
    started_at=absent(TIME),
    workers=many(WORKER),
    queued=COUNT,
    running_jobs=COUNT,
    draining=FLAG,
)
KIND: Final = one_of("action", "actor", "project")
INVALID_ENTITY: Final = record(
    kind=KIND, name=NAME, origin=one_of("server", "local"), revision=COUNT, reason={"type": "string", "minLength": 1}
)
SYNC_KEYS: Final = {
    "active": FLAG,
    "auto": FLAG,
    "interval": {"type": "integer", "minimum": 1, "maximum": 86_400},
    "cursor": absent(TEXT),
    "epoch": absent(ULID),
    "entities": COUNT,
    "last_pull_at": absent(TIME),
    "next_pull_at": absent(TIME),
    "last_error": absent({"type": "string", "pattern": "^[a-z_]+: "}),
    "pulls": COUNT,
    "conflicts": COUNT,
    **BEYOND["sync status"],
    "invalid": many(INVALID_ENTITY),
}
SYNC: Final = record(**SYNC_KEYS)
SYNC_RUN: Final = record(**SYNC_KEYS, pulled=COUNT, removed=COUNT, pushed=COUNT)
HOST: Final = record(running=FLAG, pid=absent(COUNT), url=absent(TEXT))
SERVER: Final = record(
    mode=one_of("disabled", "connected", "error"),
    url=absent(TEXT),
    namespace=absent(TEXT),
    tls_verify=FLAG,
    token_set=FLAG,
    reason=absent(TEXT),
    server_version=absent(TEXT),
    sync=SYNC,
    host=HOST,
)
SHARED_VERSION: Final = record(
    content=absent(TEXT), revision=absent(COUNT), changed_at=absent(TIME), changed_by=absent(TEXT)
)
SYNC_CONFLICT: Final = record(
    kind=KIND, name=NAME, namespace=TEXT, base=SHARED_VERSION, local=SHARED_VERSION, server=SHARED_VERSION
)
LOST_VERSION: Final = record(
    kind=KIND,
    name=NAME,
    origin=one_of("server", "local"),
    revision=COUNT,
    content=absent(TEXT),
    reason=TEXT,
    created_at=TIME,
)
SYNC_CONFLICTS: Final = record(conflicts=many(SYNC_CONFLICT), total=COUNT, history=many(LOST_VERSION))
SERVER_STARTED: Final = record(url={"type": "string", "pattern": "^https?://"}, pid=COUNT, pid_file=TEXT, log=TEXT)
SERVER_STOPPED: Final = record(running=FLAG, stopped=FLAG, pid=absent(COUNT))
TOKEN_KEYS: Final = {"token_id": TEXT, "namespace": TEXT, "role": one_of("read", "write"), "name": TEXT}
TOKEN: Final = record(**TOKEN_KEYS, created_at=TIME, revoked_at=absent(TIME))
NEW_TOKEN: Final = record(**TOKEN_KEYS, token={"type": "string", "pattern": "^ca_"})
CONFIG_KEY: Final = record(
    key=TEXT, value=ANYTHING, level=TEXT, env=TEXT, default=ANYTHING, chain=many(MAPPING), **BEYOND["config get"]
)
DIAGNOSTICS: Final = record(
    checks=many(record(name=TEXT, status=one_of("ok", "warn", "error"), message=TEXT, fix=absent(TEXT))),
    workers=many(WORKER),
    summary=record(ok=COUNT, warnings=COUNT, errors=COUNT),
)
REMOVED: Final = record(name=NAME, removed=FLAG)
FAILED_STEP: Final = record(
    id=TEXT, state=STEP_STATE, attempt=COUNT, exit_code=absent(COUNT), log=absent(TEXT), tail=many(TEXT)
)
STEP_LOG: Final = record(
    id=TEXT, state=absent(STEP_STATE), attempt=COUNT, exit_code=absent(COUNT), log=absent(TEXT), text=absent(TEXT)
)
FAILED_CHILD: Final = record(
    plan_id=ULID,
    name=TEXT,
    step=TEXT,
    item=TEXT,
    error=absent(ERROR),
    steps=many(FAILED_STEP),
    next=many(TEXT),
)
SEVERAL_PLANS: Final = listing("plans", PLAN)
VERSION: Final = record(
    mode=one_of("100644", "100755", "120000", "160000"), blob=COMMIT, bytes=COUNT, binary=FLAG, text=absent(TEXT)
)
MERGE_CONFLICT: Final = record(
    project=NAME,
    path=TEXT,
    path_base64=absent(TEXT),
    kind=TEXT,
    status=one_of("open", "resolved"),
    taken=absent(one_of("base", "parent", "child", "edited", "file")),
    child_plan_id=ULID,
    child_name=TEXT,
    item=absent(TEXT),
    base=absent(VERSION),
    parent=absent(VERSION),
    child=absent(VERSION),
)
PLAN_CONFLICTS: Final = record(plan_id=ULID, conflicts=many(MERGE_CONFLICT), total=COUNT, checkouts=MAPPING)
OVERLAP: Final = record(path=TEXT, items=many(TEXT), below=many(TEXT))
DRY_RUN_CHILD: Final = record(item=TEXT, needs=many(TEXT), paths=many(TEXT), plan=MAPPING)
DRY_RUN_SUBPLANS: Final = record(
    action=NAME,
    mode=one_of("sequential", "parallel", "dependency_ordered"),
    max_parallel=COUNT,
    fail_fast=FLAG,
    merge=one_of("git_three_way", "sequential_apply", "fail_on_conflict", "last_wins"),
    retries=COUNT,
    timeout=absent({"type": "number"}),
    overlaps=many(OVERLAP),
    children=many(DRY_RUN_CHILD),
)
DRY_RUN_STEP: Final = record(
    id=TEXT,
    title=TEXT,
    kind=one_of("run", "prompt", "subplans"),
    needs=many(TEXT),
    project=NAME,
    run=absent(TEXT),
    prompt=absent(TEXT),
    timeout=absent({"type": "number"}),
    retries=COUNT,
    subplans=absent(DRY_RUN_SUBPLANS),
)
DRY_RUN_PLAN: Final = record(
    action=NAME,
    projects=many(NAME),
    arguments=MAPPING,
    decided_by=absent(NAME),
    read_only=FLAG,
    include=many(TEXT),
    missing=MAPPING,
    setup=absent(TEXT),
    steps=many(DRY_RUN_STEP),
)
DRY_RUN_BASE: Final = record(
    project=NAME,
    path=TEXT,
    strategy=one_of("clone", "none"),
    head=absent(COMMIT),
    branch=absent(TEXT),
    modified=COUNT,
    base=COMMIT,
    uncarried=many(TEXT),
)
DRY_RUN: Final = record(
    action=NAME,
    projects=many(NAME),
    automation_profile=TEXT,
    profile_source=TEXT,
    arguments=MAPPING,
    include=many(TEXT),
    steps=many(MAPPING),
    base=many(DRY_RUN_BASE),
    checks=many(record(name=TEXT, run=TEXT)),
    plans=COUNT,
    tree=DRY_RUN_PLAN,
)
ARTIFACT: Final = record(
    kind=one_of(
        "base",
        "checkpoint",
        "partial",
        "before",
        "integrated",
        "edited",
        "resolved",
        "rollback",
        "result",
        "removed",
        "applied",
        "log",
        "prompt",
        "sandbox",
    ),
    project=absent(NAME),
    step=absent(TEXT),
    attempt=absent(COUNT),
    path=TEXT,
    ref=absent(TEXT),
    commit=absent(COMMIT),
    bytes=absent(COUNT),
)
PLAN_EXPLAIN: Final = record(
    plan_id=ULID,
    phase=PHASE,
    state=STATE,
    summary=TEXT,
    reasons=many(TEXT),
    decisions=many(DECISION),
    next=many(record(command=TEXT, effect=TEXT)),
)
PRUNE: Final = record(
    dry_run=FLAG,
    entries=many(
        record(
            kind=one_of("sandbox", "pool", "plan", "unknown"),
            plan_id=absent(ULID),
            plan=absent(TEXT),
            project=absent(NAME),
            path=TEXT,
            bytes=COUNT,
            holds=TEXT,
            removed=FLAG,
            error=absent(TEXT),
        )
    ),
    freed=COUNT,
)
TOTALS: Final = record(needs_you=COUNT, running=COUNT, queued=COUNT, locks=COUNT)
INFO: Final = record(
    version=TEXT,
    system=record(python=TEXT, executable=TEXT, platform=TEXT, kernel=TEXT, sqlite=absent(TEXT), git=absent(TEXT)),
    packages={"type": "object", "additionalProperties": TEXT},
    terminal=record(
        term=absent(TEXT), terminal=FLAG, columns=absent(COUNT), colour=FLAG, locale=absent(TEXT), encoding=TEXT
    ),
    places={"type": "object", "additionalProperties": TEXT},
    settings=many(record(key=TEXT, value=TEXT, level=TEXT, project=absent(NAME))),
    daemon=record(
        running=FLAG,
        pid=absent(COUNT),
        version=absent(TEXT),
        started_at=absent(TIME),
        workers=absent(COUNT),
        problem=absent(TEXT),
    ),
    counts=absent(
        record(needs_you=COUNT, running=COUNT, queued=COUNT, done=COUNT, jobs_running=COUNT, jobs_queued=COUNT)
    ),
    disk=absent(record(path=TEXT, free=COUNT, total=COUNT)),
    problems=many(TEXT),
)

DATA: Final[Mapping[str, Schema]] = {
    "status": record(
        needs_you=many(PLAN),
        running=many(PLAN),
        queued=many(PLAN),
        locks=many(LOCK),
        totals=TOTALS,
        done=COUNT,
        sync=absent(SYNC),
        daemon=DAEMON,
    ),
    "run": PLAN,
    "plan use": {"anyOf": [PLAN, DRY_RUN]},
    "plan execute": {"anyOf": [PLAN, SEVERAL_PLANS]},
    "plan apply": {"anyOf": [APPLIED, PLAN, listing("plans", {"anyOf": [APPLIED, PLAN]})]},
    "plan cancel": {"anyOf": [PLAN, SEVERAL_PLANS]},
    "plan revert": {"anyOf": [PLAN, SEVERAL_PLANS]},
    "plan undo": {"anyOf": [PLAN, SEVERAL_PLANS]},
    "plan prompt": PLAN,
    "plan rollback": PLAN,
    "plan list": SEVERAL_PLANS,
    "plan show": PLAN,
    "plan status": PLAN,
    "plan tree": PLAN_TREE,
    "plan diff": PLAN_DIFF,
    "plan artifacts": record(plan_id=ULID, artifacts=many(ARTIFACT), total=COUNT),
    "plan explain": PLAN_EXPLAIN,
    "plan prune": PRUNE,
    "plan errors": record(
        plan_id=ULID, error=absent(ERROR), steps=many(FAILED_STEP), children=many(FAILED_CHILD), next=many(TEXT)
    ),
    "plan conflicts": PLAN_CONFLICTS,
    "plan resolve": {"anyOf": [MERGE_CONFLICT, listing("conflicts", MERGE_CONFLICT)]},
    "plan logs": record(plan_id=ULID, steps=many(STEP_LOG)),
    "plan follow": PLAN,
    "plan wait": {"anyOf": [PLAN, SEVERAL_PLANS]},
    "action create": ACTION,
    "action list": listing("actions", ACTION),
    "action show": ACTION,
    "action validate": ACTION,
    "action remove": REMOVED,
    "actor create": ACTOR,
    "actor list": listing("actors", ACTOR),
    "actor show": ACTOR,
    "actor remove": REMOVED,
    "project add": PROJECT,
    "project list": listing("projects", PROJECT),
    "project show": PROJECT,
    "project remove": REMOVED,
    "job list": listing("jobs", JOB),
    "job show": JOB,
    "job logs": record(job_id=ULID, logs=many(record(name=TEXT, path=TEXT, text=TEXT))),
    "job follow": JOB,
    "job wait": {"anyOf": [JOB, listing("jobs", JOB)]},
    "job cancel": JOB,
    "job prune": record(jobs=COUNT, freed=COUNT),
    "lock list": listing("locks", LOCK),
    "lock acquire": LOCK,
    "lock renew": LOCK,
    "lock release": LOCK,
    "lock run": record(lock=LOCK, command=many(TEXT), exit_code=COUNT),
    "lock clean": listing("locks", LOCK),
    "events": listing("events", EVENT),
    "server connect": SERVER,
    "server disconnect": SERVER,
    "server status": SERVER,
    "server start": SERVER_STARTED,
    "server stop": SERVER_STOPPED,
    "server token create": NEW_TOKEN,
    "server token list": listing("tokens", TOKEN),
    "server token revoke": TOKEN,
    "sync now": SYNC_RUN,
    "sync pull": SYNC_RUN,
    "sync push": SYNC_RUN,
    "sync full": SYNC_RUN,
    "sync status": SYNC,
    "sync conflicts": SYNC_CONFLICTS,
    "sync resolve": SYNC_CONFLICT,
    "config get": CONFIG_KEY,
    "config set": {"anyOf": [CONFIG_KEY, listing("keys", CONFIG_KEY)]},
    "config unset": {"anyOf": [CONFIG_KEY, listing("keys", CONFIG_KEY)]},
    "config list": listing("keys", CONFIG_KEY),
    "config path": record(path=TEXT, exists=FLAG),
    "daemon start": DAEMON,
    "daemon restart": DAEMON,
    "daemon status": DAEMON,
    "daemon stop": record(running=FLAG, stopped=FLAG, pid=absent(COUNT), left_running=COUNT),
    "daemon logs": record(log=TEXT, lines=many(TEXT)),
    "diagnostics": DIAGNOSTICS,
    "info": INFO,
    "completion": record(shell=one_of("bash", "zsh", "fish"), script=TEXT),
}
"""The data of each command that was done."""

CODES: Final = [
    "not_found",
    "ambiguous",
    "usage",
    "invalid_action",
    "invalid_argument",
    "invalid_config",
    "invalid_transition",
    "lock_conflict",
    "lock_lost",
    "invalid_ttl",
    "already_running",
    "change_moved",
    "merge_conflict",
    "nothing_to_apply",
    "checks_failed",
    "step_failed",
    "timed_out",
    "lost",
    "cancelled",
    "daemon_unavailable",
    "protocol_error",
    "store_damaged",
    "unreachable",
    "unauthorized",
    "forbidden",
    "version_mismatch",
    "tls",
    "sync_conflict",
    "disk_full",
    "payload_version",
    "permission_denied",
    "stuck",
    "internal",
]
"""Every error code that there is."""

_COMMON: Final = {
    "schema": {"const": 1},
    "command": TEXT,
    "exit_code": COUNT,
    "messages": many(TEXT),
    "timing": record(duration_ms=COUNT),
}
SUCCESS: Final = record(**_COMMON, status={"const": "ok"}, data=ANYTHING)
FAILURE: Final = record(
    **_COMMON,
    status={"const": "error"},
    error=record(
        code={"enum": CODES}, message={"type": "string", "minLength": 1}, detail=MAPPING, suggestions=many(TEXT)
    ),
)

_validators: dict[str, Any] = {}  # jsonschema's own types are partial


def check(document: Mapping[str, Any]) -> None:
    """See that a document is what it should be: the envelope, and the data of its command."""
    if document["status"] == "ok":
        _check("ok", SUCCESS, document)
        command = document["command"]
        assert command in DATA, f"{command!r} has no schema"
        _check(command, DATA[command], document["data"])
    else:
        _check("error", FAILURE, document)


def check_event(event: Mapping[str, Any]) -> None:
    """See that a line of `ca events --follow --format json` is an event."""
    _check("event", EVENT, event)


def _check(name: str, schema: Schema, content: object) -> None:
    if name not in _validators:
        _validators[name] = jsonschema.Draft202012Validator(schema)
    error = next(iter(_validators[name].iter_errors(content)), None)
    if error is not None:
        place = ".".join(map(str, error.absolute_path))
        causes = "; ".join(cause.message[:300] for cause in error.context or ())
        raise AssertionError(f"{name}, at {place or 'the top'}: {error.message[:500]} {causes}")
