-- since: Events after a number, oldest first
SELECT * FROM events
WHERE seq > :since AND (:plan_id IS NULL OR plan_id = :plan_id)
ORDER BY seq
LIMIT :limit

-- since_in_tree: The same of a plan and all of its children, also those that do not count any more
WITH RECURSIVE tree (plan_id) AS (
    SELECT :plan_id
    UNION ALL
    SELECT plans.plan_id FROM tree CROSS JOIN plans ON plans.parent_plan_id = tree.plan_id
)
SELECT events.* FROM tree CROSS JOIN events ON events.plan_id = tree.plan_id
WHERE seq > :since
ORDER BY seq
LIMIT :limit

-- last: The newest events, oldest of them first
SELECT * FROM (
    SELECT * FROM events WHERE (:plan_id IS NULL OR plan_id = :plan_id) ORDER BY seq DESC LIMIT :limit OFFSET :offset
) ORDER BY seq

-- count: How many events there are
SELECT count(*) FROM events WHERE (:plan_id IS NULL OR plan_id = :plan_id)

-- count_in_tree: How many there are of a plan and all of its children
WITH RECURSIVE tree (plan_id) AS (
    SELECT :plan_id
    UNION ALL
    SELECT plans.plan_id FROM tree CROSS JOIN plans ON plans.parent_plan_id = tree.plan_id
)
SELECT count(*) FROM tree CROSS JOIN events ON events.plan_id = tree.plan_id

-- kept: How many events there are after a number
SELECT count(*) FROM events WHERE seq > :since

-- newest: The number of the newest event ever
SELECT max(coalesce((SELECT max(seq) FROM events), 0), (SELECT value FROM counters WHERE name = 'events'))

-- prune: Events older than the retention; the last one of each plan stays
DELETE FROM events
WHERE time < :before
    AND (plan_id IS NULL OR seq <> (SELECT max(newer.seq) FROM events AS newer WHERE newer.plan_id = events.plan_id))
RETURNING 1
