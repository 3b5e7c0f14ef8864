-- Shards, as the control schema knows them, and the row that starts each one.

-- name: insert_shard
-- Shard $1 of isolation $2, retention class $3 (NULL for a dedicated one), partitions by $4, epoch $5, made at $6.
-- A shard that is there stays as it is, whichever of its unique indexes is the first to tell.
INSERT INTO control.shard (shard_id, isolation, retention_class, partition_by, epoch, created_at)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING

-- name: shard
-- The shard $1, unless it was dropped.
SELECT shard_id, isolation, retention_class, partition_by, epoch
FROM control.shard
WHERE shard_id = $1 AND dropped_at IS NULL

-- name: shards
-- Every shard that was not dropped, oldest first.
SELECT shard_id, isolation, retention_class, partition_by, epoch
FROM control.shard
WHERE dropped_at IS NULL
ORDER BY created_at, shard_id

-- name: pool
-- The shard that pooled tenants of retention class $1 are assigned to: the oldest of them.
SELECT shard_id, isolation, retention_class, partition_by, epoch
FROM control.shard
WHERE retention_class = $1
ORDER BY created_at, shard_id
LIMIT 1

-- name: open_shard
-- Starts shard $1 before the first message of epoch $2. A shard that has an offset keeps it.
INSERT INTO {schema}.shard_offset (shard_id, epoch) VALUES ($1, $2) ON CONFLICT (shard_id) DO NOTHING

-- name: shard_offset
-- How far the shard has come; no row before its stream was made.
SELECT epoch, stream_sequence, received_at, frame_sha256, trimmed_through FROM {schema}.shard_offset

-- name: ensure_partition
-- Makes the partition of `event` that holds $1, unless it is there.
SELECT {schema}.ensure_partition($1)
