-- standing: The database's own identity, and where the history of a namespace stands
SELECT server.value, epoch.value, c.revision, c.chain
FROM meta AS server
JOIN meta AS epoch
LEFT JOIN changes AS c ON c.namespace = ?
WHERE server.key = 'server_id' AND epoch.key = 'epoch'
ORDER BY c.revision DESC
LIMIT 1

-- writes: A number that changes when anybody else has written
PRAGMA data_version

-- server_id: The database's own identity
SELECT value FROM meta WHERE key = 'server_id'

-- newest: Where the history of a namespace stands
SELECT revision, chain FROM changes WHERE namespace = ? ORDER BY revision DESC LIMIT 1

-- chain_at: The hash at a revision that the history still has
SELECT chain FROM changes WHERE namespace = ? AND revision = ?

-- log: A new revision
INSERT INTO changes (namespace, revision, chain, created_at) VALUES (?, ?, ?, ?)

-- get: One definition, also a deleted one
SELECT * FROM entities WHERE namespace = ? AND kind = ? AND name = ?

-- put: The newest revision of a definition
INSERT OR REPLACE INTO entities (namespace, kind, name, revision, content, digest, deleted, updated_at, updated_by)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- changed: What changed after a revision, in order
SELECT * FROM entities WHERE namespace = :namespace AND revision > :revision ORDER BY revision LIMIT :limit

-- changed_sizes: How long the contents of those are
SELECT coalesce(octet_length(content), 0) FROM entities
WHERE namespace = :namespace AND revision > :revision
ORDER BY revision
LIMIT :limit

-- notices: What changed after a revision, without the contents
SELECT e.kind, e.name, e.revision, e.deleted, c.chain
FROM entities AS e JOIN changes AS c ON c.namespace = e.namespace AND c.revision = e.revision
WHERE e.namespace = :namespace AND e.revision > :revision
ORDER BY e.revision
LIMIT :limit

-- alive: What is there after a kind and name, in their order
SELECT * FROM entities
WHERE namespace = :namespace AND deleted = 0 AND (kind, name) > (:kind, :name)
ORDER BY kind, name
LIMIT :limit

-- alive_sizes: How long the contents of those are
SELECT octet_length(content) FROM entities
WHERE namespace = :namespace AND deleted = 0 AND (kind, name) > (:kind, :name)
ORDER BY kind, name
LIMIT :limit

-- count: How many definitions a namespace has
SELECT count(*) FROM entities WHERE namespace = ? AND deleted = 0

-- answered: What a push was answered, and the digest of its changes
SELECT digest, answer FROM pushes WHERE namespace = ? AND key = ?

-- answer: Remember the answer to a push
INSERT INTO pushes (namespace, key, digest, answer, created_at) VALUES (?, ?, ?, ?, ?)

-- floors: The newest revision of each namespace that is older than a time
SELECT namespace, max(revision) FROM changes WHERE created_at < ? GROUP BY namespace

-- forget_changes: The history before a revision
DELETE FROM changes WHERE namespace = ? AND revision < ? RETURNING 1

-- forget_deleted: The deletions up to a revision
DELETE FROM entities WHERE namespace = ? AND deleted = 1 AND revision <= ? RETURNING 1

-- forget_answers: The answers older than a time
DELETE FROM pushes WHERE created_at < ? RETURNING 1

-- any_token: Whether there is any token, also a revoked one
SELECT EXISTS (SELECT 1 FROM tokens)

-- token: By its digest
SELECT * FROM tokens WHERE digest = ?

-- tokens: Every token, oldest first
SELECT * FROM tokens ORDER BY created_at, token_id

-- revoke: Take a token out of use; the first time stays
UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE token_id = ? RETURNING *
