-- get: The journal of a plan's Apply
SELECT * FROM journals WHERE plan_id = ?

-- unfinished: Journals whose writing a crash may have cut
SELECT * FROM journals WHERE state <> 'written' ORDER BY plan_id

-- entries: What a journal changes, in order
SELECT project, target, path, old_mode, old, new_mode, new FROM journal_entries WHERE plan_id = ? ORDER BY position

-- add_entry: One change
INSERT INTO journal_entries (plan_id, position, project, target, path, old_mode, old, new_mode, new)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- set_state: The writing began, ended, or is taken back
UPDATE journals SET state = :state WHERE plan_id = :plan_id

-- remove: What was changed is as it was before
DELETE FROM journals WHERE plan_id = ?
