-- get: One plan
SELECT * FROM plans WHERE plan_id = ?

-- named: The plan of a name
SELECT * FROM plans WHERE name = ?

-- like: Plans whose id holds a part
SELECT * FROM plans WHERE instr(plan_id, upper(:part)) ORDER BY plan_id DESC LIMIT 11

-- list: The newest plans that fit
SELECT plans.* FROM plans
WHERE (:phase IS NULL OR phase = :phase)
    AND (:state IS NULL OR state = :state)
    AND (:action IS NULL OR action = :action)
    AND (:children OR parent_plan_id IS NULL)
    AND (:project IS NULL OR plan_id IN (SELECT plan_id FROM plan_projects WHERE project = :project))
ORDER BY plan_id DESC
LIMIT :limit

-- count: How many plans fit
SELECT count(*) FROM plans
WHERE (:phase IS NULL OR phase = :phase)
    AND (:state IS NULL OR state = :state)
    AND (:action IS NULL OR action = :action)
    AND (:children OR parent_plan_id IS NULL)
    AND (:project IS NULL OR plan_id IN (SELECT plan_id FROM plan_projects WHERE project = :project))

-- count_roots: How many root plans there are; the index alone answers
SELECT count(*) FROM plans WHERE parent_plan_id IS NULL

-- unfinished_of_project: Plans of a project that are not over
SELECT * FROM plans
WHERE state NOT IN ('applied', 'cancelled') AND plan_id IN (SELECT plan_id FROM plan_projects WHERE project = :project)
ORDER BY plan_id

-- unfinished_of_action: Plans of an action that are not over
SELECT * FROM plans WHERE state NOT IN ('applied', 'cancelled') AND action = :action ORDER BY plan_id

-- over_before: Plans that ended long ago and still keep what Undo needs; without :with_sandbox only those that have none
SELECT * FROM plans
WHERE finished_at < :before
    AND pruned_at IS NULL
    AND state IN ('applied', 'cancelled')
    AND (
        :with_sandbox
        OR NOT EXISTS (
            SELECT 1 FROM plan_projects WHERE plan_projects.plan_id = plans.plan_id AND sandbox_status = 'ready'
        )
    )
ORDER BY finished_at
LIMIT :limit

-- below: The plans below a plan, children that count no more included
WITH RECURSIVE below (plan_id) AS (
    SELECT plan_id FROM plans WHERE parent_plan_id = ?
    UNION ALL
    SELECT plans.plan_id FROM below CROSS JOIN plans ON plans.parent_plan_id = below.plan_id
)
SELECT plans.* FROM below CROSS JOIN plans ON plans.plan_id = below.plan_id

-- family_size: How many plans a tree has, without children that count no more
SELECT 1 + count(*)
FROM plans CROSS JOIN subplans ON subplans.plan_id = plans.plan_id
WHERE plans.root_plan_id = ? AND plans.parent_plan_id IS NOT NULL

-- next_number: For the names of plans that were given none
INSERT INTO counters (name, value) VALUES (:name, 1)
ON CONFLICT (name) DO UPDATE SET value = value + 1
RETURNING value

-- projects: The projects of a plan, the first one first
SELECT * FROM plan_projects WHERE plan_id = ? ORDER BY position

-- sandboxes: Every sandbox that is still there
SELECT * FROM plan_projects WHERE sandbox_status = 'ready' ORDER BY plan_id, position

-- steps: The steps of a plan in declared order
SELECT * FROM steps WHERE plan_id = ? ORDER BY position

-- delete_steps: A revert decides the steps anew
DELETE FROM steps WHERE plan_id = ?

-- decisions: The decisions of a plan, oldest first
SELECT * FROM decisions WHERE plan_id = ? ORDER BY decision_id

-- guidance: What people said about a plan, oldest first
SELECT * FROM decisions WHERE plan_id = ? AND kind IN ('user_intervention', 'reversion') ORDER BY decision_id

-- failures: The errors in which phases of a plan ended, oldest first
SELECT * FROM failures WHERE plan_id = ? ORDER BY failure_id

-- supersede_decisions: A revert keeps what was decided, marked
UPDATE decisions SET superseded = 1 WHERE plan_id = ? AND kind NOT IN ('reversion', 'user_intervention')

-- commits: What the plans need of the private repositories
SELECT plan_projects.project_id, plans.name, plans.state, plan_projects.base, plan_projects.tip
FROM plans JOIN plan_projects ON plan_projects.plan_id = plans.plan_id
WHERE plans.pruned_at IS NULL AND plans.state <> 'cancelled' AND plan_projects.base IS NOT NULL
