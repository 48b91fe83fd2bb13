-- project: One project
SELECT * FROM projects WHERE name = ?

-- project_at: The project of a directory
SELECT * FROM projects WHERE path = ?

-- projects: Every project
SELECT * FROM projects ORDER BY name

-- remove_project: Forget a project
DELETE FROM projects WHERE name = ? RETURNING 1

-- action: One action
SELECT * FROM actions WHERE name = ?

-- actions: Every action that is not archived, or every one
SELECT * FROM actions WHERE :archived OR NOT archived ORDER BY name

-- remove_action: Forget an action
DELETE FROM actions WHERE name = ? RETURNING 1

-- actor: One actor
SELECT * FROM actors WHERE name = ?

-- actors: Every actor
SELECT * FROM actors ORDER BY name

-- remove_actor: Forget an actor
DELETE FROM actors WHERE name = ? RETURNING 1

-- archive_action: It made its one plan
UPDATE actions SET archived = 1, revision = revision + 1, updated_at = :now WHERE name = :name
