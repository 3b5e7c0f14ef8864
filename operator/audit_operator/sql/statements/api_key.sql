-- API keys, by the SHA-256 that is all we keep of them.

-- name: insert_key
-- Key $1 of tenant $2 with SHA-256 $3 for principal $4 with scopes $5, made at $6, valid until $7 (NULL: no end).
INSERT INTO control.api_key (key_id, tenant_id, key_sha256, principal, scopes, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: revoke_key
-- Key $1 was revoked at $2. Only the first time counts.
UPDATE control.api_key SET revoked_at = $2 WHERE key_id = $1 AND revoked_at IS NULL

-- name: keys_of_shard
-- The keys that open something in shard $1 at the instant $2: of tenants that are there, neither revoked nor expired.
SELECT key_id, tenant_id, key_sha256, principal, scopes, key.created_at, expires_at
FROM control.api_key AS key JOIN control.tenant USING (tenant_id)
WHERE shard_id = $1 AND removed_at IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
ORDER BY key_id

-- name: keys_of_tenant
-- The keys of tenant $1 that are neither revoked nor expired at the instant $2.
SELECT key_id, tenant_id, key_sha256, principal, scopes, created_at, expires_at
FROM control.api_key
WHERE tenant_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
ORDER BY key_id

-- name: key_by_sha256
-- The key whose SHA-256 is $1, revoked or not.
SELECT key_id, tenant_id, key_sha256, principal, scopes, created_at, expires_at
FROM control.api_key
WHERE key_sha256 = $1
