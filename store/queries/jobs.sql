-- claim: The next job in turn for a worker; a plan whose lock somebody holds, an Execute beyond the limit, and a child that the
-- holder of its parent's lock has not admitted wait. What an earlier daemon left at work comes before what has not begun, and
-- before that what is only claimed to be stopped, which needs nobody's leave
UPDATE async_jobs
SET status = 'running',
    attempt = attempt + 1,
    worker_id = :worker,
    started_at = coalesce(started_at, :now),
    last_heartbeat = :steady,
    deadline_at = CASE
        WHEN timeout_s = 0 THEN NULL
        WHEN boot_id = :boot_id THEN deadline_at
        ELSE :steady + timeout_s * :second
    END,
    boot_id = :boot_id
WHERE job_id = (
    SELECT job.job_id
    FROM async_jobs AS job
    WHERE job.status = 'queued'
        AND (job.schema_version <= :payload_version OR job.cancel_requested_at IS NOT NULL)
        AND (
            job.phase <> 'execute'
            OR job.depth > 0
            OR job.cancel_requested_at IS NOT NULL
            OR (
                SELECT count(*)
                FROM async_jobs AS other
                WHERE other.status = 'running' AND other.phase = 'execute' AND other.depth = 0
            ) < :execute_limit
        )
        AND NOT EXISTS (
            SELECT 1
            FROM locks
            WHERE resource_type = 'plan'
                AND resource_id = job.plan_id
                AND expires_at > :steady
                AND boot_id = :boot_id
        )
        AND (
            job.depth = 0
            OR job.cancel_requested_at IS NOT NULL
            OR EXISTS (
                SELECT 1
                FROM subplans
                CROSS JOIN locks ON resource_type = 'plan' AND resource_id = subplans.parent_plan_id
                WHERE subplans.plan_id = job.plan_id
                    AND fence = subplans.admitted
                    AND expires_at > :steady
                    AND boot_id = :boot_id
            )
        )
    ORDER BY job.cancel_requested_at IS NULL, job.started_at IS NULL, job.priority DESC, job.turn, job.job_id
    LIMIT 1
)
RETURNING *

-- next_turn: Start-time fair queueing between root plans: behind the root's own jobs, not behind everybody's
SELECT max(
    coalesce((SELECT max(turn) + 1 FROM async_jobs WHERE status = 'queued' AND root_plan_id = :root), 0),
    coalesce(
        (SELECT max(turn) FROM async_jobs WHERE status = 'running'),
        (SELECT min(turn) FROM async_jobs WHERE status = 'queued'),
        0
    )
)

-- get: One job
SELECT * FROM async_jobs WHERE job_id = ?

-- like: Jobs whose id holds a part
SELECT * FROM async_jobs WHERE instr(job_id, upper(:part)) ORDER BY job_id DESC LIMIT 11

-- open_of_plan: The job of a plan that is not over
SELECT * FROM async_jobs WHERE plan_id = ? AND status IN ('queued', 'running')

-- latest: The newest jobs
SELECT * FROM async_jobs WHERE :status IS NULL OR status = :status ORDER BY job_id DESC LIMIT :limit

-- latest_of_plan: The newest jobs of one plan
SELECT * FROM async_jobs
WHERE plan_id = :plan_id AND (:status IS NULL OR status = :status)
ORDER BY job_id DESC
LIMIT :limit

-- open_page: Some jobs that are not over: what runs, then what waits, in the order in which it is claimed
SELECT * FROM async_jobs
WHERE status IN ('queued', 'running')
ORDER BY status DESC, cancel_requested_at IS NULL, started_at IS NULL, priority DESC, turn, job_id
LIMIT :limit OFFSET :offset

-- open_count: How many are not over
SELECT count(*) FROM async_jobs WHERE status IN ('queued', 'running')

-- finished_page: Some jobs that are over, the latest first
SELECT * FROM async_jobs WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT :limit OFFSET :offset

-- finished_count: How many are over
SELECT count(*) FROM async_jobs WHERE finished_at IS NOT NULL

-- count: How many jobs there are
SELECT count(*) FROM async_jobs WHERE :status IS NULL OR status = :status

-- count_of_plan: How many jobs one plan has
SELECT count(*) FROM async_jobs WHERE plan_id = :plan_id AND (:status IS NULL OR status = :status)

-- running: The jobs that some worker has
SELECT * FROM async_jobs WHERE status = 'running' ORDER BY +job_id

-- to_stop: Queued jobs whose processes, which an earlier daemon left at work, somebody has to end
SELECT job_id FROM async_jobs WHERE status = 'queued' AND cancel_requested_at IS NOT NULL

-- queued_count: How many jobs wait
SELECT count(*) FROM async_jobs WHERE status = 'queued'

-- newer_payloads: Queued jobs that a newer program wrote
SELECT count(*) FROM async_jobs WHERE status = 'queued' AND schema_version > ?

-- move: A guarded transition of a running job by its owner
UPDATE async_jobs
SET status = :status, finished_at = :finished_at, error_code = :error_code, error_message = :error_message, worker_id = :worker
WHERE job_id = :job_id AND status = 'running' AND attempt = :attempt
RETURNING *

-- cancel_queued: A queued job that nobody has is cancelled at once
UPDATE async_jobs
SET status = 'cancelled', finished_at = :now, cancel_requested_at = :now, error_code = 'cancelled', error_message = :reason
WHERE job_id = :job_id AND status = 'queued'
RETURNING *

-- request_cancel: Ask the worker of a job to stop, the one that has it or the next
UPDATE async_jobs
SET cancel_requested_at = coalesce(cancel_requested_at, :now), error_message = coalesce(error_message, :reason)
WHERE job_id = :job_id AND status IN ('queued', 'running')
RETURNING *

-- beat: The worker is alive
UPDATE async_jobs SET last_heartbeat = :now
WHERE job_id = :job_id AND status = 'running' AND attempt = :attempt
RETURNING *

-- silent: Running jobs whose worker gives no sign of life
SELECT * FROM async_jobs WHERE status = 'running' AND last_heartbeat <= ? ORDER BY +job_id

-- prune: Finished jobs that are older than the retention and not the newest of their plan
DELETE FROM async_jobs
WHERE job_id IN (
    SELECT job.job_id
    FROM async_jobs AS job
    WHERE job.finished_at < :before
        AND NOT EXISTS (SELECT 1 FROM plans WHERE plans.plan_id = job.plan_id AND plans.job_id = job.job_id)
    ORDER BY job.finished_at
    LIMIT :limit
)
RETURNING job_id, plan_id

-- worker_seen: A worker's state and its last sign of life
INSERT INTO workers (worker_id, state, job_id, last_heartbeat) VALUES (:worker, :state, :job_id, :now)
ON CONFLICT (worker_id) DO UPDATE SET state = excluded.state, job_id = excluded.job_id, last_heartbeat = excluded.last_heartbeat

-- worker_finished: One more job, by how it ended
UPDATE workers
SET state = 'idle',
    job_id = NULL,
    last_heartbeat = :now,
    jobs_processed = jobs_processed + (:status <> 'queued'),
    jobs_failed = jobs_failed + (:status = 'failed'),
    jobs_cancelled = jobs_cancelled + (:status = 'cancelled')
WHERE worker_id = :worker

-- workers: Every worker that is not stopped
SELECT * FROM workers WHERE state <> 'stopped' ORDER BY worker_id

-- stop_worker: A worker that is needed no longer
UPDATE workers SET state = 'stopped', job_id = NULL WHERE worker_id = ?

-- stop_workers: The daemon that had these workers is gone
UPDATE workers SET state = 'stopped', job_id = NULL WHERE state <> 'stopped'
