-- A log that is dropped with everything in it. Each statement may be repeated.

-- name: begin_drop
-- Notes at $3 that shard $1 is being dropped, if it is the log of the tenant named $2, which was removed.
UPDATE control.shard SET dropped_at = $3
FROM control.tenant
WHERE shard.shard_id = $1 AND shard.isolation = 'Dedicated' AND shard.dropped_at IS NULL
    AND tenant.shard_id = shard.shard_id AND tenant.name = $2 AND tenant.removed_at IS NOT NULL

-- name: dropped
-- Whether shard $1 is the log of the tenant named $2 and is being dropped, or was.
SELECT EXISTS (
    SELECT FROM control.shard JOIN control.tenant USING (shard_id)
    WHERE shard_id = $1 AND name = $2 AND dropped_at IS NOT NULL
)

-- name: forget_keys
-- The keys of the tenant of shard $1 are gone.
DELETE FROM control.api_key USING control.tenant WHERE api_key.tenant_id = tenant.tenant_id AND shard_id = $1

-- name: forget_secret
-- The secret of the tenant of shard $1 is gone; from here on nobody can adopt the log.
DELETE FROM control.tenant_secret USING control.tenant
WHERE tenant_secret.tenant_id = tenant.tenant_id AND shard_id = $1

-- name: lock_timeout
-- A reader that is still there is waited for a moment, and then again at the next look.
SET LOCAL lock_timeout = '2s'

-- name: partitions
-- Some of the partitions of the schema, at most $1: each takes locks, of which one transaction has a bounded number.
SELECT relname::text FROM pg_class
WHERE relnamespace = to_regnamespace('{schema}') AND relispartition AND relkind = 'r'
ORDER BY relname
LIMIT $1

-- name: drop_partition
DROP TABLE IF EXISTS {schema}.{partition}

-- name: drop_schema
DROP SCHEMA IF EXISTS {schema} CASCADE

-- name: leave_database
-- Takes from the role what it may do with the database, which would keep it there.
DO $leave$
BEGIN
    IF to_regrole('{role}') IS NOT NULL THEN
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM {role}', current_database());
    END IF;
END
$leave$

-- name: drop_role
DROP ROLE IF EXISTS {role}
