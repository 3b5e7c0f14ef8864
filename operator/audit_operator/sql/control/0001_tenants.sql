-- What exists: shards, the tenants assigned to them, and the keys that name a tenant. No runtime role reads it; what
-- functions need of it is projected into the shard's configuration bucket.

CREATE TABLE {schema}.shard (
    shard_id        text COLLATE "C" PRIMARY KEY,
    isolation       text NOT NULL CHECK (isolation IN ('Dedicated', 'Pooled')),
    -- One pool per retention class, so that dropping a partition is exact for all of its tenants.
    retention_class text,
    partition_by    text NOT NULL CHECK (partition_by IN ('month', 'day')),
    -- Decided before the stream exists, so that a crash between the two cannot leave two epochs.
    epoch           bytea NOT NULL CHECK (octet_length(epoch) = 16),
    created_at      timestamptz NOT NULL,
    CHECK ((isolation = 'Pooled') = (retention_class IS NOT NULL)),
    UNIQUE (shard_id, isolation)
);

CREATE TABLE {schema}.tenant (
    tenant_id  text COLLATE "C" PRIMARY KEY,
    name       text COLLATE "C" NOT NULL,
    shard_id   text COLLATE "C" NOT NULL,
    isolation  text NOT NULL,
    -- Of the resource, as last provisioned: an older one never overwrites a newer.
    generation bigint NOT NULL,
    created_at timestamptz NOT NULL,
    removed_at timestamptz,
    FOREIGN KEY (shard_id, isolation) REFERENCES {schema}.shard (shard_id, isolation)
);

-- A name is free again once its tenant is removed; the removed tenant keeps its id, shard and log.
CREATE UNIQUE INDEX tenant_name ON {schema}.tenant (name) WHERE removed_at IS NULL;

-- Dedicated means alone, and stays so after removal.
CREATE UNIQUE INDEX tenant_dedicated_shard ON {schema}.tenant (shard_id) WHERE isolation = 'Dedicated';

-- Made once, never rotated: idempotency ids and cursors derive from it.
CREATE TABLE {schema}.tenant_secret (
    tenant_id text COLLATE "C" PRIMARY KEY REFERENCES {schema}.tenant,
    secret    bytea NOT NULL CHECK (octet_length(secret) = 32)
);

CREATE TABLE {schema}.api_key (
    key_id     text COLLATE "C" PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL REFERENCES {schema}.tenant,
    key_sha256 bytea NOT NULL UNIQUE CHECK (octet_length(key_sha256) = 32),
    principal  text NOT NULL,
    scopes     text[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['events:write', 'events:read']),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX api_key_tenant ON {schema}.api_key (tenant_id);

ALTER TABLE {schema}.shard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.tenant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.tenant_secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.api_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON {schema}.shard TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.tenant TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.tenant_secret TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.api_key TO {owner} USING (true) WITH CHECK (true);
