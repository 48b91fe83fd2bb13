-- counts: How many root plans each list has
SELECT list, plans FROM board_counts WHERE plans > 0

-- counts_of_matching: How many of those that fit a pattern each list has; it looks at all of them
SELECT list, count(*) FROM board WHERE text LIKE :pattern ESCAPE '\' GROUP BY list

-- page: Some plans of one list, from the place that :offset counts to
SELECT plans.*
FROM (SELECT plan_id, place FROM board WHERE list = :list ORDER BY place, plan_id LIMIT :limit OFFSET :offset) AS page
CROSS JOIN plans ON plans.plan_id = page.plan_id
ORDER BY page.place, page.plan_id

-- page_of_matching: The same of those that fit a pattern
SELECT plans.*
FROM (
    SELECT plan_id, place FROM board
    WHERE list = :list AND text LIKE :pattern ESCAPE '\'
    ORDER BY place, plan_id
    LIMIT :limit OFFSET :offset
) AS page
CROSS JOIN plans ON plans.plan_id = page.plan_id
ORDER BY page.place, page.plan_id

-- where: The list and place of a root plan
SELECT list, place FROM board_rows WHERE plan_id = ?

-- before: How many plans of a list come before a place in it
SELECT (SELECT count(*) FROM board WHERE list = :list AND place < :place)
    + (SELECT count(*) FROM board WHERE list = :list AND place = :place AND plan_id < :plan_id)

-- before_matching: The same of those that fit a pattern; NULL when the plan itself does not
SELECT count(*) FROM board
WHERE list = :list AND (place, plan_id) < (:place, :plan_id) AND text LIKE :pattern ESCAPE '\'
HAVING EXISTS (
    SELECT 1 FROM board
    WHERE list = :list AND place = :place AND plan_id = :plan_id AND text LIKE :pattern ESCAPE '\'
)

-- children: Some children of a plan, by step and in the order in which they enter it
SELECT plans.* FROM subplans
CROSS JOIN steps ON steps.plan_id = subplans.parent_plan_id AND steps.step_id = subplans.step_id
CROSS JOIN plans ON plans.plan_id = subplans.plan_id
WHERE subplans.parent_plan_id = :parent
ORDER BY steps.position, subplans.position
LIMIT :limit OFFSET :offset

-- children_count: How many children of a plan count
SELECT count(*) FROM subplans WHERE parent_plan_id = ?

-- children_before: How many come before one of them; NULL when it does not count
SELECT (
    SELECT count(*) FROM subplans AS other
    CROSS JOIN steps AS others ON others.plan_id = other.parent_plan_id AND others.step_id = other.step_id
    WHERE other.parent_plan_id = subplans.parent_plan_id
        AND (others.position, other.position) < (steps.position, subplans.position)
)
FROM subplans
CROSS JOIN steps ON steps.plan_id = subplans.parent_plan_id AND steps.step_id = subplans.step_id
WHERE subplans.plan_id = ?

-- names: What some plans are called
SELECT plan_id, name FROM json_each(:plan_ids) CROSS JOIN plans ON plan_id = value
