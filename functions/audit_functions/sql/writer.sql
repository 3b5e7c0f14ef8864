-- The writer's statements. They run on its own connections, whose search_path is the shard's schema; times are µs.

-- name: offset
-- The shard's place in its stream.
SELECT epoch, stream_sequence, received_at, frame_sha256, trimmed_through FROM shard_offset

-- name: lock_offset
-- The same, and from here to the end of the transaction nobody else moves it: the fence.
SELECT epoch, stream_sequence, received_at, frame_sha256, trimmed_through FROM shard_offset FOR UPDATE

-- name: move_offset
-- Epoch $1, stream sequence $2, received_at $3 and hash $4 of the last message.
UPDATE shard_offset SET epoch = $1, stream_sequence = $2, received_at = $3, frame_sha256 = $4

-- name: mark_trimmed
-- The stream may lack messages up to $1 from now on. Finds nothing unless they are committed under epoch $2.
UPDATE shard_offset SET trimmed_through = greatest(trimmed_through, $1)
WHERE stream_sequence > $1 AND epoch = $2
RETURNING trimmed_through

-- name: heads
-- The sizes of the logs of tenants $1; a log without leaves has no row.
SELECT tenant_id, size FROM log_head WHERE tenant_id = ANY ($1::text[])

-- name: put_heads
-- The logs of tenants $1 have sizes $2 now.
INSERT INTO log_head (tenant_id, size)
SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size

-- name: remembered
-- The event leaves of tenants $1 and their ids $2 that came after $3. Both slots hold one at most.
SELECT d.tenant_id, d.id, d.received_at, d.sequence, d.body_sha256
FROM unnest($1::text[], $2::text[]) AS wanted (tenant_id, id)
JOIN dedupe AS d
    ON d.slot IN (0, 1)
    AND d.tenant_id = wanted.tenant_id COLLATE "C"
    AND d.id = wanted.id COLLATE "C"
    AND d.received_at > $3

-- name: remember
-- The ids from clients among the rows in the landing table, into slot $1.
INSERT INTO dedupe (slot, tenant_id, id, received_at, sequence, body_sha256)
SELECT $1, tenant_id, id, received_at, sequence, body_sha256 FROM landing WHERE body_sha256 IS NOT NULL

-- name: rotate_dedupe
-- Empties the slot of the day of $1 if it holds rows of an older one.
SELECT rotate_dedupe($1)

-- name: ensure_partition
-- Makes the partition of `event` that holds $1, unless it is there.
SELECT ensure_partition($1)

-- name: producers
-- The last row of each instance $1.
SELECT DISTINCT ON (instance) epoch, instance, last_frame, abandoned, missing, last_stream_sequence, last_seen
FROM producer
WHERE instance = ANY ($1::bytea[])
ORDER BY instance, last_stream_sequence DESC

-- name: put_producer
-- Epoch $1, instance $2, and what was seen of it.
INSERT INTO producer (epoch, instance, last_frame, abandoned, missing, last_stream_sequence, last_seen)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (epoch, instance) DO UPDATE SET
    last_frame = excluded.last_frame,
    abandoned = excluded.abandoned,
    missing = excluded.missing,
    last_stream_sequence = excluded.last_stream_sequence,
    last_seen = excluded.last_seen

-- name: missing_frames
-- How many frames of all instances are missing.
SELECT coalesce(sum(cardinality(missing)), 0)::bigint FROM producer

-- name: make_landing
-- Where COPY goes, since row-level security forbids it on `event`. Rows stay whole and as they are up to a page, so that
-- nothing is compressed twice. Made once per session; each commit empties it.
CREATE TEMPORARY TABLE landing (
    tenant_id       text COLLATE "C",
    sequence        bigint,
    received_at     timestamptz,
    stream_sequence bigint,
    position        integer,
    kind            smallint,
    id              text COLLATE "C",
    id_from_client  boolean,
    epoch           bytea,
    salt            bytea,
    envelope        text,
    body_sha256     bytea,
    body            text,
    event_type      text COLLATE "C",
    action          text COLLATE "C",
    outcome         text COLLATE "C",
    severity        text COLLATE "C",
    occurred_at     timestamptz,
    actor_id        text COLLATE "C",
    actor_type      text COLLATE "C",
    target_id       text COLLATE "C",
    target_type     text COLLATE "C",
    correlation_id  text COLLATE "C",
    service         text COLLATE "C",
    ip              text COLLATE "C"
) WITH (toast_tuple_target = 8160) ON COMMIT DELETE ROWS

-- name: keep_bodies_as_they_are
-- Second half of `make_landing`.
ALTER TABLE landing ALTER COLUMN body SET STORAGE EXTERNAL

-- name: insert_landed
-- The landing table's rows into the log.
INSERT INTO event (
    tenant_id, sequence, received_at, stream_sequence, position, kind, id, id_from_client, epoch, salt, envelope, body,
    event_type, action, outcome, severity, occurred_at, actor_id, actor_type, target_id, target_type, correlation_id,
    service, ip
)
SELECT
    tenant_id, sequence, received_at, stream_sequence, position, kind, id, id_from_client, epoch, salt, envelope, body,
    event_type, action, outcome, severity, coalesce(occurred_at, received_at), actor_id, actor_type, target_id,
    target_type, correlation_id, service, ip
FROM landing

-- name: insert_dead_letter
-- The bytes of a message or an event that could not be stored as such.
INSERT INTO dead_letter (stream_sequence, received_at, sequence, position, tenant_id, epoch, reason, raw)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: wal_position
-- The name of the WAL file that holds everything committed so far, and the last one that was archived.
SELECT
    pg_walfile_name(pg_current_wal_insert_lsn()) AS current_file,
    (SELECT last_archived_wal FROM pg_stat_archiver) AS archived_file
