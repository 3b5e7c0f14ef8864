-- Tenants and the secret that each was made with.

-- name: insert_tenant
-- Tenant $1 named $2 in shard $3 of isolation $4, by generation $5 of its resource, made at $6. Inserts nothing when a
-- tenant of that name is there.
INSERT INTO control.tenant (tenant_id, name, shard_id, isolation, generation, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (name) WHERE removed_at IS NULL DO NOTHING

-- name: insert_secret
-- The secret $2 of tenant $1.
INSERT INTO control.tenant_secret (tenant_id, secret) VALUES ($1, $2)

-- name: raise_generation
-- The tenant named $1 was provisioned by generation $2 of its resource; an older one changes nothing.
UPDATE control.tenant SET generation = $2 WHERE name = $1 AND removed_at IS NULL AND generation < $2

-- name: retire_tenant
-- The resource of tenant $1 went away at $2. Only the first time counts.
UPDATE control.tenant SET removed_at = $2 WHERE tenant_id = $1 AND removed_at IS NULL

-- name: tenant_named
-- The tenant that has the name $1 now.
SELECT tenant_id, name, shard_id, isolation, generation, created_at, removed_at, secret
FROM control.tenant JOIN control.tenant_secret USING (tenant_id)
WHERE name = $1 AND removed_at IS NULL

-- name: tenant
-- The tenant $1, removed or not.
SELECT tenant_id, name, shard_id, isolation, generation, created_at, removed_at, secret
FROM control.tenant JOIN control.tenant_secret USING (tenant_id)
WHERE tenant_id = $1

-- name: tenants
-- Every tenant, removed ones too, oldest first.
SELECT tenant_id, name, shard_id, isolation, generation, created_at, removed_at, secret
FROM control.tenant JOIN control.tenant_secret USING (tenant_id)
ORDER BY created_at, tenant_id
