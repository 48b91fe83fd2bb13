-- The team server's first schema. Times are microseconds since 1970 in UTC.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- A row for each definition that is or was there, with its newest revision; a deletion has no content. Paging by revision
-- misses nothing and repeats nothing: a definition that changes moves to the end.
CREATE TABLE entities (
    namespace TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('action', 'actor', 'project')),
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    content TEXT,
    digest TEXT,
    deleted INTEGER NOT NULL CHECK (deleted = (content IS NULL) AND deleted = (digest IS NULL)),
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (namespace, kind, name)
) STRICT;

CREATE UNIQUE INDEX entities_by_revision ON entities (namespace, revision);
CREATE INDEX entities_alive ON entities (namespace, kind, name) WHERE deleted = 0;
CREATE INDEX entities_gone ON entities (namespace, revision) WHERE deleted = 1;

-- The history of each namespace: every revision that was given, with a hash over all changes up to it. The newest row is
-- never removed, so no revision is ever given twice; the oldest one is as far back as a client may stand.
CREATE TABLE changes (
    namespace TEXT NOT NULL,
    revision INTEGER NOT NULL,
    chain TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, revision)
) STRICT, WITHOUT ROWID;

-- The answers to pushes, for a client that did not hear its own.
CREATE TABLE pushes (
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    answer TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT;

CREATE INDEX pushes_by_age ON pushes (created_at);

-- `digest` is the SHA-256 of the token; the token itself is nowhere. A row stays when the token is revoked.
CREATE TABLE tokens (
    token_id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('read', 'write')),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
