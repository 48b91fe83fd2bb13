-- entity: One shared definition
SELECT * FROM entities WHERE kind = :kind AND namespace = :namespace AND name = :name

-- entities: Every shared definition of a namespace
SELECT * FROM entities WHERE namespace = ? ORDER BY kind, name

-- put: What is known of one, new or instead of what was known before
INSERT OR REPLACE INTO entities VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- forget: One of which neither side has anything
DELETE FROM entities WHERE kind = :kind AND namespace = :namespace AND name = :name

-- waiting: Changes made here that can be pushed, oldest first
SELECT * FROM entities
WHERE namespace = ? AND pending IS NOT NULL AND refused IS NULL AND theirs_revision IS NULL
ORDER BY pending

-- waiting_count: How many there are
SELECT count(*) FROM entities
WHERE namespace = ? AND pending IS NOT NULL AND refused IS NULL AND theirs_revision IS NULL

-- conflicts: Definitions that were changed here and on the server
SELECT * FROM entities WHERE namespace = ? AND pending IS NOT NULL AND theirs_revision IS NOT NULL ORDER BY kind, name

-- conflicts_count: How many there are
SELECT count(*) FROM entities WHERE namespace = ? AND pending IS NOT NULL AND theirs_revision IS NOT NULL

-- unusable: Definitions that one side does not take from the other
SELECT * FROM entities WHERE namespace = ? AND (invalid IS NOT NULL OR refused IS NOT NULL) ORDER BY kind, name

-- count: How many definitions there are that the server or this home has
SELECT count(*) FROM entities WHERE namespace = ? AND (content IS NOT NULL OR pending IS NOT NULL)

-- projects_elsewhere: Projects that the server knows and that have no directory here
SELECT * FROM entities
WHERE kind = 'project' AND content IS NOT NULL AND pending IS NULL AND invalid IS NULL
    AND NOT EXISTS (SELECT 1 FROM projects WHERE projects.name = entities.namespace || '/' || entities.name)
ORDER BY namespace, name

-- next_change: A number that is larger than that of every change before
INSERT INTO counters VALUES ('change', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value

-- state: How far a namespace is in step
SELECT * FROM sync_states WHERE namespace = ?

-- put_state: How far it is now
INSERT OR REPLACE INTO sync_states VALUES (?, ?, ?, ?, ?, ?)

-- versions: What lost, newest first
SELECT * FROM entity_versions WHERE namespace = ? ORDER BY version_id DESC

-- note: A note about the store
SELECT value FROM meta WHERE key = ?

-- put_note: The same, new or changed
INSERT OR REPLACE INTO meta VALUES (?, ?)

-- source_of_action: Whether the server has it
UPDATE actions SET source = :source WHERE name = :name AND source <> :source

-- source_of_actor: Whether the server has it
UPDATE actors SET source = :source WHERE name = :name AND source <> :source

-- describe_project: What the server says of a project that has its directory here
UPDATE projects SET description = :description WHERE name = :name AND description <> :description RETURNING 1
