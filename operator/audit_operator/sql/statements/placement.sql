-- Where a new tenant goes, beyond the pools: back to a log that was kept, or to a shard that nobody has.

-- name: vacant_shard
-- A dedicated shard with partitions by $1 that was made for a tenant who was never stored: provisioning broke off.
SELECT shard_id, isolation, retention_class, partition_by, epoch
FROM control.shard
WHERE isolation = 'Dedicated' AND partition_by = $1
    AND NOT EXISTS (SELECT FROM control.tenant WHERE tenant.shard_id = shard.shard_id)
ORDER BY created_at, shard_id
LIMIT 1

-- name: adopt_tenant
-- The removed tenant $1 is there again, under the name $2, by generation $3 of its resource.
UPDATE control.tenant SET removed_at = NULL, name = $2, generation = $3 WHERE tenant_id = $1 AND removed_at IS NOT NULL

-- name: tenants_of_shard
-- The tenants assigned to shard $1, removed ones too.
SELECT tenant_id, name, shard_id, isolation, generation, created_at, removed_at, secret
FROM control.tenant JOIN control.tenant_secret USING (tenant_id)
WHERE shard_id = $1
ORDER BY created_at, tenant_id
