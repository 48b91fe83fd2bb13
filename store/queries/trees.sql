-- list: Plans that fit: the newest trees first, in each its plans in the order in which they were made
SELECT plans.* FROM plans
WHERE (:phase IS NULL OR phase = :phase)
    AND (:state IS NULL OR state = :state)
    AND (:action IS NULL OR action = :action)
    AND (:project IS NULL OR plan_id IN (SELECT plan_id FROM plan_projects WHERE project = :project))
ORDER BY root_plan_id DESC, plan_id
LIMIT :limit

-- children: The children of a plan that fit, by step and in the order of integration
SELECT plans.* FROM subplans
CROSS JOIN steps ON steps.plan_id = subplans.parent_plan_id AND steps.step_id = subplans.step_id
CROSS JOIN plans ON plans.plan_id = subplans.plan_id
WHERE subplans.parent_plan_id = :parent
    AND (:phase IS NULL OR plans.phase = :phase)
    AND (:state IS NULL OR plans.state = :state)
    AND (:action IS NULL OR plans.action = :action)
    AND (:project IS NULL OR plans.plan_id IN (SELECT plan_id FROM plan_projects WHERE project = :project))
ORDER BY steps.position, subplans.position
LIMIT :limit

-- children_count: How many of them there are
SELECT count(*) FROM subplans
CROSS JOIN plans ON plans.plan_id = subplans.plan_id
WHERE subplans.parent_plan_id = :parent
    AND (:phase IS NULL OR phase = :phase)
    AND (:state IS NULL OR state = :state)
    AND (:action IS NULL OR action = :action)
    AND (:project IS NULL OR plans.plan_id IN (SELECT plan_id FROM plan_projects WHERE project = :project))

-- below: A plan and all that count as its children, theirs included; parents before their children, these in their order
WITH RECURSIVE tree (plan_id, depth) AS (
    SELECT :plan_id, 0
    UNION ALL
    SELECT subplans.plan_id, tree.depth + 1 FROM tree CROSS JOIN subplans ON subplans.parent_plan_id = tree.plan_id
)
SELECT plans.* FROM tree
CROSS JOIN plans ON plans.plan_id = tree.plan_id
LEFT JOIN subplans ON subplans.plan_id = tree.plan_id
LEFT JOIN steps ON steps.plan_id = subplans.parent_plan_id AND steps.step_id = subplans.step_id
ORDER BY tree.depth, steps.position, subplans.position

-- holds: Whether a plan is another one or, however far, below it
WITH RECURSIVE above (plan_id) AS (
    SELECT :plan_id
    UNION ALL
    SELECT parent_plan_id FROM above CROSS JOIN plans USING (plan_id) WHERE parent_plan_id IS NOT NULL
)
SELECT count(*) FROM above WHERE plan_id = :top

-- projects: The projects of some plans
SELECT plan_projects.* FROM json_each(:plan_ids) CROSS JOIN plan_projects ON plan_id = value ORDER BY plan_id, position

-- steps: The steps of some plans in declared order
SELECT steps.* FROM json_each(:plan_ids) CROSS JOIN steps ON plan_id = value ORDER BY plan_id, position

-- decisions: The decisions of some plans, oldest first
SELECT decisions.* FROM json_each(:plan_ids) CROSS JOIN decisions ON plan_id = value ORDER BY decision_id

-- subplans: Some children as their parents see them
SELECT subplans.* FROM json_each(:plan_ids) CROSS JOIN subplans ON plan_id = value

-- items: What the children of some plans are for, by step and position
SELECT parent_plan_id, step_id, position, item FROM json_each(:plan_ids) CROSS JOIN subplans ON parent_plan_id = value

-- counts: How many children some plans have in each state, by step, and how many of them entered their parent
SELECT subplans.parent_plan_id, subplans.step_id, plans.state, count(*), count(subplans.integrated_at)
FROM json_each(:plan_ids)
CROSS JOIN subplans ON subplans.parent_plan_id = value
CROSS JOIN plans ON plans.plan_id = subplans.plan_id
GROUP BY subplans.parent_plan_id, subplans.step_id, plans.state

-- open_conflicts: The paths that some plans have to settle
SELECT plan_id, conflicts.path FROM json_each(:plan_ids) CROSS JOIN conflicts ON plan_id = value
WHERE taken IS NULL
ORDER BY position
