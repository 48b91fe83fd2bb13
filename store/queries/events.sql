-- since: Events after a number, oldest first
SELECT * FROM events
WHERE seq > :since AND (:plan_id IS NULL OR plan_id = :plan_id)
ORDER BY seq
LIMIT :limit

-- last: The newest events, oldest of them first
SELECT * FROM (
    SELECT * FROM events WHERE (:plan_id IS NULL OR plan_id = :plan_id) ORDER BY seq DESC LIMIT :limit
) ORDER BY seq

-- count: How many events there are
SELECT count(*) FROM events WHERE (:plan_id IS NULL OR plan_id = :plan_id)

-- kept: How many events there are after a number
SELECT count(*) FROM events WHERE seq > :since

-- newest: The number of the newest event ever
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)

-- prune: Events older than the retention; the last one of each plan stays
DELETE FROM events
WHERE time < :before
    AND (plan_id IS NULL OR seq <> (SELECT max(newer.seq) FROM events AS newer WHERE newer.plan_id = events.plan_id))
RETURNING 1
