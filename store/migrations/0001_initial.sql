-- The first schema. Times are microseconds since 1970 in UTC, those of leases, heartbeats and deadlines on the steady time
-- line; *_json columns hold JSON text.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Numbers that only grow: lock fences, the numbers in the names of plans, those of events that are gone.
CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    project_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('git', 'folder')),
    description TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE actions (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    digest TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT 'local' CHECK (source IN ('local', 'synced')),
    revision INTEGER NOT NULL,
    archived INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE actors (
    name TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    digest TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    source TEXT NOT NULL DEFAULT 'local' CHECK (source IN ('local', 'synced')),
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plans (
    plan_id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    action TEXT NOT NULL,
    definition_json TEXT NOT NULL,
    arguments_json TEXT NOT NULL,
    phase TEXT NOT NULL,
    state TEXT NOT NULL,
    automation_profile TEXT NOT NULL,
    profile_source TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    parent_plan_id TEXT REFERENCES plans (plan_id) DEFERRABLE INITIALLY DEFERRED,
    root_plan_id TEXT NOT NULL,
    depth INTEGER NOT NULL DEFAULT 0,
    reversions INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 1,
    umask INTEGER NOT NULL,
    error_json TEXT,
    diff_json TEXT,
    applied_json TEXT,
    job_id TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    started_at INTEGER,
    finished_at INTEGER,
    pruned_at INTEGER,
    CHECK (
        phase IN ('strategize', 'execute') AND state IN ('queued', 'processing', 'complete', 'errored', 'cancelled')
        OR phase = 'apply' AND state IN ('queued', 'processing', 'applied', 'constrained', 'errored', 'cancelled')
    )
) STRICT;

CREATE INDEX plans_by_parent ON plans (parent_plan_id) WHERE parent_plan_id IS NOT NULL;
CREATE INDEX plans_in_trees ON plans (root_plan_id DESC, plan_id);
CREATE INDEX plans_over ON plans (finished_at) WHERE finished_at IS NOT NULL AND pruned_at IS NULL;
CREATE INDEX plans_of_roots ON plans (plan_id) WHERE parent_plan_id IS NULL;

CREATE TABLE plan_projects (
    plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    project_id TEXT NOT NULL,
    project TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    strategy TEXT NOT NULL CHECK (strategy IN ('clone', 'none')),
    sandbox_path TEXT,
    sandbox_status TEXT NOT NULL DEFAULT 'absent' CHECK (sandbox_status IN ('absent', 'ready', 'removed')),
    head TEXT,
    branch TEXT,
    modified INTEGER NOT NULL DEFAULT 0,
    base TEXT,
    base_tree TEXT,
    tip TEXT,
    tip_tree TEXT,
    uncarried_json TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (plan_id, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX plan_projects_by_project ON plan_projects (project, plan_id);

-- The lists in which root plans are shown, in their order: the latest first of those that need somebody and of those that are
-- over, the others as they were made. `text` is what is filtered by. Triggers keep it: to look for a word reads narrow rows
-- and no plans, and how long the lists are is known.
CREATE TABLE board (
    list TEXT NOT NULL CHECK (list IN ('needs_you', 'running', 'queued', 'done')),
    place INTEGER NOT NULL,
    plan_id TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (list, place, plan_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE board_counts (
    list TEXT PRIMARY KEY,
    plans INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO board_counts VALUES ('needs_you', 0), ('running', 0), ('queued', 0), ('done', 0);

-- The row of the board that each root plan has.
CREATE VIEW board_rows (list, place, plan_id, text) AS
SELECT
    CASE
        WHEN state IN ('applied', 'cancelled') THEN 'done'
        WHEN state = 'processing' THEN 'running'
        WHEN state = 'queued' AND job_id IS NOT NULL THEN 'queued'
        ELSE 'needs_you'
    END,
    CASE
        WHEN state IN ('applied', 'cancelled') THEN -coalesce(finished_at, updated_at)
        WHEN state = 'processing' OR state = 'queued' AND job_id IS NOT NULL THEN 0
        ELSE -updated_at
    END,
    plan_id,
    concat_ws(' ', name, action, (
        SELECT group_concat(project, ' ')
        FROM (SELECT project FROM plan_projects WHERE plan_projects.plan_id = plans.plan_id ORDER BY position)
    ))
FROM plans
WHERE parent_plan_id IS NULL;

CREATE TRIGGER board_plan_made AFTER INSERT ON plans BEGIN
    INSERT INTO board SELECT * FROM board_rows WHERE plan_id = NEW.plan_id;
END;

-- A plan's projects come after it; they and its names stay as they are from then on.
CREATE TRIGGER board_project_came AFTER INSERT ON plan_projects BEGIN
    UPDATE board
    SET text = (SELECT text FROM board_rows WHERE plan_id = NEW.plan_id)
    WHERE (list, place, plan_id) = (SELECT list, place, plan_id FROM board_rows WHERE plan_id = NEW.plan_id);
END;

-- The view's own expressions, twice: a plan moves often, and this way nothing is looked up for it.
CREATE TRIGGER board_plan_moved AFTER UPDATE OF state, job_id, updated_at, finished_at ON plans
WHEN NEW.parent_plan_id IS NULL BEGIN
    UPDATE board
    SET list = CASE
            WHEN NEW.state IN ('applied', 'cancelled') THEN 'done'
            WHEN NEW.state = 'processing' THEN 'running'
            WHEN NEW.state = 'queued' AND NEW.job_id IS NOT NULL THEN 'queued'
            ELSE 'needs_you'
        END,
        place = CASE
            WHEN NEW.state IN ('applied', 'cancelled') THEN -coalesce(NEW.finished_at, NEW.updated_at)
            WHEN NEW.state = 'processing' OR NEW.state = 'queued' AND NEW.job_id IS NOT NULL THEN 0
            ELSE -NEW.updated_at
        END
    WHERE list = CASE
            WHEN OLD.state IN ('applied', 'cancelled') THEN 'done'
            WHEN OLD.state = 'processing' THEN 'running'
            WHEN OLD.state = 'queued' AND OLD.job_id IS NOT NULL THEN 'queued'
            ELSE 'needs_you'
        END
        AND place = CASE
            WHEN OLD.state IN ('applied', 'cancelled') THEN -coalesce(OLD.finished_at, OLD.updated_at)
            WHEN OLD.state = 'processing' OR OLD.state = 'queued' AND OLD.job_id IS NOT NULL THEN 0
            ELSE -OLD.updated_at
        END
        AND plan_id = OLD.plan_id;
END;

CREATE TRIGGER board_plan_goes BEFORE DELETE ON plans BEGIN
    DELETE FROM board
    WHERE (list, place, plan_id) = (SELECT list, place, plan_id FROM board_rows WHERE plan_id = OLD.plan_id);
END;

CREATE TRIGGER board_longer AFTER INSERT ON board BEGIN
    UPDATE board_counts SET plans = plans + 1 WHERE list = NEW.list;
END;

CREATE TRIGGER board_shorter AFTER DELETE ON board BEGIN
    UPDATE board_counts SET plans = plans - 1 WHERE list = OLD.list;
END;

CREATE TRIGGER board_changed AFTER UPDATE OF list ON board WHEN OLD.list <> NEW.list BEGIN
    UPDATE board_counts SET plans = plans + iif(list = NEW.list, 1, -1) WHERE list IN (OLD.list, NEW.list);
END;

CREATE TABLE steps (
    plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    title TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('run', 'prompt', 'subplans')),
    spec_json TEXT NOT NULL,
    state TEXT NOT NULL CHECK (
        state IN ('pending', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'skipped', 'lost')
    ),
    attempt INTEGER NOT NULL DEFAULT 0,
    exit_code INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    deadline_at INTEGER,
    log TEXT,
    exit_file TEXT,
    pid INTEGER,
    process_start INTEGER,
    boot_id TEXT,
    tips_json TEXT,
    PRIMARY KEY (plan_id, step_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE decisions (
    decision_id TEXT PRIMARY KEY,
    plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    parent_id TEXT,
    kind TEXT NOT NULL,
    question TEXT NOT NULL,
    choice TEXT NOT NULL,
    reason TEXT NOT NULL,
    superseded INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX decisions_by_plan ON decisions (plan_id, decision_id);

-- The children of a plan's subplans steps in the order in which they enter their parent. A child that was replaced, or whose
-- parent was reverted, has no row here any more; it is a plan like others, over.
CREATE TABLE subplans (
    plan_id TEXT PRIMARY KEY REFERENCES plans (plan_id) ON DELETE CASCADE,
    parent_plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    step_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    item TEXT NOT NULL,
    needs_json TEXT NOT NULL DEFAULT '[]',
    paths_json TEXT NOT NULL DEFAULT '[]',
    timeout_s INTEGER NOT NULL DEFAULT 0,
    resolved INTEGER NOT NULL DEFAULT 0,
    starts INTEGER NOT NULL DEFAULT 0,
    retry INTEGER NOT NULL DEFAULT 0,
    fate TEXT CHECK (fate IN ('dropped', 'left_out')),
    admitted INTEGER,
    integrated_at INTEGER,
    tips_json TEXT,
    CHECK ((integrated_at IS NULL) = (tips_json IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX subplans_of_step ON subplans (parent_plan_id, step_id, position);

-- The files in which a child and its parent do not fit together; they stop the integration until each is settled.
CREATE TABLE conflicts (
    plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    child_plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    project TEXT NOT NULL,
    path BLOB NOT NULL,
    kind TEXT NOT NULL,
    base_mode INTEGER,
    base TEXT,
    parent_mode INTEGER,
    parent TEXT,
    child_mode INTEGER,
    child TEXT,
    taken TEXT CHECK (taken IN ('base', 'parent', 'child', 'edited', 'file')),
    taken_mode INTEGER,
    taken_blob TEXT,
    PRIMARY KEY (plan_id, position)
) STRICT, WITHOUT ROWID;

-- Every error in which a phase ended; the next attempt is told of them.
CREATE TABLE failures (
    failure_id TEXT PRIMARY KEY,
    plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    phase TEXT NOT NULL,
    step_id TEXT,
    attempt INTEGER,
    error_json TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX failures_by_plan ON failures (plan_id, failure_id);

CREATE TABLE async_jobs (
    job_id TEXT PRIMARY KEY,
    plan_id TEXT NOT NULL REFERENCES plans (plan_id) ON DELETE CASCADE,
    phase TEXT NOT NULL CHECK (phase IN ('strategize', 'execute', 'apply')),
    status TEXT NOT NULL CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    priority INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    payload_json TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    timeout_s INTEGER NOT NULL,
    worker_id TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    last_heartbeat INTEGER,
    cancel_requested_at INTEGER,
    finished_at INTEGER,
    error_code TEXT,
    error_message TEXT,
    root_plan_id TEXT NOT NULL,
    depth INTEGER NOT NULL DEFAULT 0,
    turn INTEGER NOT NULL,
    deadline_at INTEGER,
    boot_id TEXT,
    CHECK ((status = 'running') <= (worker_id IS NOT NULL)),
    CHECK ((status IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL))
) STRICT;

-- The order of claims. Partial, so that a million finished jobs cost a claim nothing.
CREATE INDEX jobs_queued ON async_jobs (cancel_requested_at IS NULL, started_at IS NULL, priority DESC, turn, job_id)
WHERE status = 'queued';
CREATE INDEX jobs_queued_of_root ON async_jobs (root_plan_id, turn) WHERE status = 'queued';
CREATE INDEX jobs_running ON async_jobs (phase, depth, turn) WHERE status = 'running';
CREATE INDEX jobs_finished ON async_jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_by_plan ON async_jobs (plan_id, job_id);
-- A plan has at most one job that is not over.
CREATE UNIQUE INDEX jobs_open_of_plan ON async_jobs (plan_id) WHERE status IN ('queued', 'running');

CREATE TABLE locks (
    resource_type TEXT NOT NULL CHECK (resource_type IN ('plan', 'project', 'file', 'user')),
    resource_id TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    acquired_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    fence INTEGER NOT NULL,
    PRIMARY KEY (resource_type, resource_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX locks_by_owner ON locks (owner_id);

-- The number of an event that is gone is never given again. AUTOINCREMENT would write down each one that is given; the counter
-- `events` is written when one goes.
INSERT INTO counters VALUES ('events', 0);

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    plan_id TEXT,
    job_id TEXT,
    detail_json TEXT NOT NULL
) STRICT;

CREATE TRIGGER event_goes AFTER DELETE ON events
WHEN OLD.seq > (SELECT value FROM counters WHERE name = 'events') BEGIN
    UPDATE counters SET value = OLD.seq WHERE name = 'events';
END;

CREATE INDEX events_by_plan ON events (plan_id, seq) WHERE plan_id IS NOT NULL;

CREATE TABLE workers (
    worker_id TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('idle', 'busy', 'stopped')),
    job_id TEXT,
    last_heartbeat INTEGER,
    jobs_processed INTEGER NOT NULL DEFAULT 0,
    jobs_failed INTEGER NOT NULL DEFAULT 0,
    jobs_cancelled INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- What Apply is about to change, durable before the first change; kept for Undo.
CREATE TABLE journals (
    plan_id TEXT PRIMARY KEY REFERENCES plans (plan_id) ON DELETE CASCADE,
    state TEXT NOT NULL CHECK (state IN ('writing', 'written', 'undoing')),
    mode TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE journal_entries (
    plan_id TEXT NOT NULL REFERENCES journals (plan_id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    project TEXT NOT NULL,
    target TEXT NOT NULL CHECK (target IN ('file', 'index', 'ref')),
    path BLOB NOT NULL,
    old_mode INTEGER,
    old TEXT,
    new_mode INTEGER,
    new TEXT,
    PRIMARY KEY (plan_id, position)
) STRICT, WITHOUT ROWID;

-- Definitions of every namespace but `local`: what the team server is known to have, and what happened here since.
-- What is in force here is in the tables of actions, actors and projects.
CREATE TABLE entities (
    kind TEXT NOT NULL CHECK (kind IN ('action', 'actor', 'project')),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    content TEXT,
    digest TEXT,
    changed_at INTEGER,
    changed_by TEXT NOT NULL DEFAULT '',
    pending INTEGER,
    pending_at INTEGER,
    refused TEXT,
    invalid TEXT,
    theirs_revision INTEGER,
    theirs_content TEXT,
    theirs_at INTEGER,
    theirs_by TEXT,
    PRIMARY KEY (namespace, kind, name),
    CHECK ((content IS NULL) = (digest IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX entities_pending ON entities (namespace) WHERE pending IS NOT NULL;

-- The versions that lost: nothing that somebody wrote is ever dropped.
CREATE TABLE entity_versions (
    version_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('local', 'server')),
    revision INTEGER NOT NULL,
    content TEXT,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX entity_versions_of_namespace ON entity_versions (namespace, version_id);

-- How far each namespace is in step with its server.
CREATE TABLE sync_states (
    namespace TEXT PRIMARY KEY,
    server_id TEXT NOT NULL,
    epoch TEXT NOT NULL,
    cursor TEXT NOT NULL,
    push_json TEXT,
    pushed TEXT
) STRICT, WITHOUT ROWID;
