-- get: The lease on one resource
SELECT * FROM locks WHERE resource_type = ? AND resource_id = ?

-- put: Take or take over a resource
INSERT OR REPLACE INTO locks (resource_type, resource_id, owner_id, acquired_at, expires_at, boot_id, fence)
VALUES (?, ?, ?, ?, ?, ?, ?)

-- extend: The same owner again
UPDATE locks SET expires_at = :expires_at
WHERE resource_type = :type AND resource_id = :id AND owner_id = :owner AND fence = :fence
RETURNING *

-- release: Give up a lease that is still one's own
DELETE FROM locks WHERE resource_type = :type AND resource_id = :id AND owner_id = :owner AND fence = :fence RETURNING 1

-- keep_all: Extend everything of one owner
UPDATE locks SET expires_at = :expires_at WHERE owner_id = :owner RETURNING 1

-- release_all: Everything of one owner
DELETE FROM locks WHERE owner_id = ? RETURNING 1

-- stale: Leases that anybody may take over
SELECT * FROM locks WHERE expires_at <= :now OR boot_id <> :boot_id

-- cleanup: Remove the leases that anybody may take over; a running job that could not renew its own gets it back
DELETE FROM locks
WHERE (expires_at <= :now OR boot_id <> :boot_id)
    AND NOT EXISTS (SELECT 1 FROM async_jobs WHERE job_id = substr(locks.owner_id, 5) AND status = 'running')
RETURNING *

-- files: The leases on files of a project
SELECT * FROM locks WHERE resource_type = 'file' AND resource_id >= :first AND resource_id < :beyond

-- files_of: The leases on files of one owner
SELECT * FROM locks WHERE owner_id = ? AND resource_type = 'file'

-- list: Every lease
SELECT * FROM locks ORDER BY resource_type, resource_id

-- next_fence: One counter for all resources: it grows with every acquisition and is never given twice
INSERT INTO counters (name, value) VALUES ('fence', 1)
ON CONFLICT (name) DO UPDATE SET value = value + 1
RETURNING value
