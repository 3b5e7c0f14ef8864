-- The log itself: one row per leaf of every kind.

-- Neither may be left to PUBLIC: provisioning of the database took both away. The writer's landing table is temporary.
DO $grant$
BEGIN
    EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO {writer}', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {query}', current_database());
END
$grant$;

GRANT USAGE ON SCHEMA {schema} TO {writer}, {query};

-- Fixed-width columns first: no padding, and cheap to reach. Identifiers compare by bytes (COLLATE "C"), so that an
-- upgrade of the system's collations cannot break an index. No CHECK: whatever passed validation must be stored.
CREATE TABLE {schema}.event (
    received_at     timestamptz NOT NULL,
    sequence        bigint NOT NULL,
    stream_sequence bigint NOT NULL,
    -- The client's time, else received_at.
    occurred_at     timestamptz,
    -- In the frame; 0 where the leaf stands for a whole message, as in the commitment.
    position        integer NOT NULL,
    kind            smallint NOT NULL,
    id_from_client  boolean NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    -- Empty where the kind has none, as in the commitment.
    id              text COLLATE "C" NOT NULL,
    epoch           bytea NOT NULL,
    -- The three that the commitment covers and erasure takes away. A dead letter's bytes stand in dead_letter.
    salt            bytea,
    envelope        text,
    body            text,
    -- Copies of parts of the body, for search; kinds other than event and conflict have none.
    event_type      text COLLATE "C",
    action          text COLLATE "C",
    outcome         text COLLATE "C",
    severity        text COLLATE "C",
    actor_id        text COLLATE "C",
    actor_type      text COLLATE "C",
    target_id       text COLLATE "C",
    target_type     text COLLATE "C",
    correlation_id  text COLLATE "C",
    service         text COLLATE "C",
    ip              text COLLATE "C",
    PRIMARY KEY (tenant_id, received_at, sequence)
) PARTITION BY RANGE (received_at);

CREATE INDEX event_tenant_id_id ON {schema}.event (tenant_id, id);

-- Faster than pglz on the bodies long enough to be compressed; some builds of the server lack it.
DO $compression$
BEGIN
    IF (SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression') THEN
        ALTER TABLE {schema}.event ALTER COLUMN body SET COMPRESSION lz4;
    END IF;
END
$compression$;

ALTER TABLE {schema}.event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON {schema}.event TO {owner} USING (true) WITH CHECK (true);
-- Any tenant: the writer stores a frame of many, and a setting per tenant would cost a factor of 20.
CREATE POLICY writer ON {schema}.event FOR INSERT TO {writer} WITH CHECK (true);
GRANT INSERT ON {schema}.event TO {writer};
GRANT SELECT ON {schema}.event TO {query};

-- Alone in its shard, a tenant is kept apart by schema and role, so every index works as if there were no policy.
-- In a pool the reader sees the tenant it has named in this transaction, and nothing when it has named none. The
-- subselect makes the setting be read once per statement and lets the primary key serve the comparison.
DO $reader$
BEGIN
    IF '{isolation}' = 'pooled' THEN
        CREATE POLICY query ON {schema}.event FOR SELECT TO {query}
            USING (tenant_id = (SELECT nullif(current_setting('audit.tenant_id', true), '')));
    ELSE
        CREATE POLICY query ON {schema}.event FOR SELECT TO {query} USING (true);
    END IF;
END
$reader$;
