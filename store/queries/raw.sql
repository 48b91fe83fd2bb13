-- give_up: A job that nobody can carry out ends, whatever becomes of its plan
UPDATE async_jobs
SET status = 'failed', finished_at = :now, error_code = :code, error_message = :message
WHERE job_id = :job_id AND status IN ('queued', 'running')
RETURNING 1

-- as_running: A job that takes the place of one that was running
UPDATE async_jobs SET status = 'running', worker_id = 'recovery' WHERE job_id = ? RETURNING *
