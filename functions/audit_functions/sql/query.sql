-- What readers ask. Every statement names the tenant, though in a pool the policy alone would keep the others out.

-- name: name_tenant
-- Makes $1 the tenant that a pooled reader sees for the rest of this transaction; means nothing in a dedicated shard.
SELECT set_config('audit.tenant_id', $1, true)

-- name: page_descending
-- The newest $5 events of tenant $1 received from $2 to $3 (both included), and at $3 only those before sequence $4.
-- $6 to $16 take any of their values, or all when NULL. The bound on received_at alone says less than the one on the
-- pair, but partitions are left out of the plan by it. The page ends with the event whose body makes it $17 bytes or
-- more.
SELECT received_at, sequence, id, envelope, body, bytes_before
FROM (
    SELECT
        received_at, sequence, id, envelope, body,
        coalesce(sum(octet_length(body)) OVER (
            ORDER BY received_at DESC, sequence DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
    FROM event
    WHERE tenant_id = $1
      AND kind = 1
      AND received_at BETWEEN $2 AND $3
      AND (received_at, sequence) < ($3, $4)
      AND ($6::text[] IS NULL OR event_type = ANY ($6))
      AND ($7::text[] IS NULL OR action = ANY ($7))
      AND ($8::text[] IS NULL OR outcome = ANY ($8))
      AND ($9::text[] IS NULL OR severity = ANY ($9))
      AND ($10::text[] IS NULL OR actor_id = ANY ($10))
      AND ($11::text[] IS NULL OR actor_type = ANY ($11))
      AND ($12::text[] IS NULL OR target_id = ANY ($12))
      AND ($13::text[] IS NULL OR target_type = ANY ($13))
      AND ($14::text[] IS NULL OR correlation_id = ANY ($14))
      AND ($15::text[] IS NULL OR service = ANY ($15))
      AND ($16::text[] IS NULL OR ip = ANY ($16))
    ORDER BY received_at DESC, sequence DESC
    LIMIT $5
) page
WHERE bytes_before < $17
ORDER BY received_at DESC, sequence DESC

-- name: page_ascending
-- The oldest $5 events of tenant $1 received from $2 to $3 (both included), and at $2 only those behind sequence $4.
-- The rest as in page_descending.
SELECT received_at, sequence, id, envelope, body, bytes_before
FROM (
    SELECT
        received_at, sequence, id, envelope, body,
        coalesce(sum(octet_length(body)) OVER (
            ORDER BY received_at, sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS bytes_before
    FROM event
    WHERE tenant_id = $1
      AND kind = 1
      AND received_at BETWEEN $2 AND $3
      AND (received_at, sequence) > ($2, $4)
      AND ($6::text[] IS NULL OR event_type = ANY ($6))
      AND ($7::text[] IS NULL OR action = ANY ($7))
      AND ($8::text[] IS NULL OR outcome = ANY ($8))
      AND ($9::text[] IS NULL OR severity = ANY ($9))
      AND ($10::text[] IS NULL OR actor_id = ANY ($10))
      AND ($11::text[] IS NULL OR actor_type = ANY ($11))
      AND ($12::text[] IS NULL OR target_id = ANY ($12))
      AND ($13::text[] IS NULL OR target_type = ANY ($13))
      AND ($14::text[] IS NULL OR correlation_id = ANY ($14))
      AND ($15::text[] IS NULL OR service = ANY ($15))
      AND ($16::text[] IS NULL OR ip = ANY ($16))
    ORDER BY received_at, sequence
    LIMIT $5
) page
WHERE bytes_before < $17
ORDER BY received_at, sequence

-- name: newest_event
-- The newest event of tenant $1 with the id $2 (which is unique within a day only) received from $3 to $4, both
-- included. Ordered outside, so that the index on ids serves whatever the planner believes: for a limit of one it may
-- walk the log backwards.
WITH found AS MATERIALIZED (
    SELECT received_at, sequence, id, envelope, body
    FROM event
    WHERE tenant_id = $1 AND id = $2 AND kind = 1 AND received_at BETWEEN $3 AND $4
)
SELECT received_at, sequence, id, envelope, body
FROM found
ORDER BY received_at DESC, sequence DESC
LIMIT 1

-- name: partition_bounds
-- Where each partition of the log begins, oldest first.
SELECT substring(pg_get_expr(relpartbound, oid) FROM 'FROM \(''([^'']+)''\)')::timestamptz AS lower_bound
FROM pg_class
WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'event'::regclass AND NOT inhdetachpending)
ORDER BY lower_bound

-- name: answer
-- Whether the database answers.
SELECT 1
