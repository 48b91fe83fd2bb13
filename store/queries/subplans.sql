-- get: A child as its parent sees it
SELECT * FROM subplans WHERE plan_id = ?

-- of_plan: The children of a plan, by step and in the order of integration
SELECT subplans.* FROM subplans
LEFT JOIN steps ON steps.plan_id = subplans.parent_plan_id AND steps.step_id = subplans.step_id
WHERE subplans.parent_plan_id = ?
ORDER BY steps.position, subplans.step_id, subplans.position

-- of_step: The children of a step, in the order of integration
SELECT * FROM subplans WHERE parent_plan_id = ? AND step_id = ? ORDER BY position

-- standing: Where the children of a step stand, in the order of integration
SELECT
    plans.plan_id, subplans.position, plans.name, subplans.item, plans.phase, plans.state, plans.job_id IS NOT NULL,
    subplans.starts, subplans.retry, subplans.fate, subplans.admitted, subplans.integrated_at IS NOT NULL,
    iif(json_valid(plans.error_json), json_extract(plans.error_json, '$.code'), NULL)
FROM subplans CROSS JOIN plans ON plans.plan_id = subplans.plan_id
WHERE subplans.parent_plan_id = ? AND subplans.step_id = ?
ORDER BY subplans.position

-- made: How many children a plan ever had
SELECT count(*) FROM plans WHERE parent_plan_id = ?

-- unfinished: The children that a plan ever had and that are not over
SELECT * FROM plans WHERE parent_plan_id = ? AND state NOT IN ('applied', 'cancelled') ORDER BY plan_id

-- forget: A child that no longer counts
DELETE FROM subplans WHERE plan_id = ?

-- forget_all: The children of a plan that starts again
DELETE FROM subplans WHERE parent_plan_id = ?

-- conflicts: The conflicts of a plan with one of its children
SELECT * FROM conflicts WHERE plan_id = ? ORDER BY position

-- forget_conflicts: They are settled, or their child does not come any more
DELETE FROM conflicts WHERE plan_id = ?
