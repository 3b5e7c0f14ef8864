-- How far the shard has come: its place in the stream, the size of each tenant's log, and what each ingest process
-- was seen to have published.

-- One row, which is also the fence: a writer commits nothing without its lock. Made by provisioning once the stream is.
CREATE TABLE {schema}.shard_offset (
    shard_id        text COLLATE "C" PRIMARY KEY,
    epoch           bytea NOT NULL CHECK (octet_length(epoch) = 16),
    -- Of the last committed message; 0 before the first.
    stream_sequence bigint NOT NULL DEFAULT 0,
    received_at     timestamptz,
    -- Read back from the stream and compared: a replaced stream shows. NULL before the first message of an epoch.
    frame_sha256    bytea CHECK (octet_length(frame_sha256) = 32),
    -- The stream may lack messages up to and including this one, and no others.
    trimmed_through bigint NOT NULL DEFAULT 0 CHECK (trimmed_through <= stream_sequence)
);

CREATE TABLE {schema}.log_head (
    tenant_id text COLLATE "C" PRIMARY KEY,
    -- The next sequence.
    size      bigint NOT NULL CHECK (size >= 0)
);

CREATE TABLE {schema}.producer (
    epoch                bytea NOT NULL,
    instance             bytea NOT NULL,
    -- The highest frame number committed, and the ones below it that the instance declared abandoned or that are missing.
    last_frame           bigint NOT NULL,
    abandoned            bigint[] NOT NULL DEFAULT '{}',
    missing              bigint[] NOT NULL DEFAULT '{}',
    last_stream_sequence bigint NOT NULL,
    last_seen            timestamptz NOT NULL,
    PRIMARY KEY (epoch, instance)
);

ALTER TABLE {schema}.shard_offset ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.log_head ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.producer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON {schema}.shard_offset TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.log_head TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.producer TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY writer ON {schema}.shard_offset TO {writer} USING (true) WITH CHECK (true);
CREATE POLICY writer ON {schema}.log_head TO {writer} USING (true) WITH CHECK (true);
CREATE POLICY writer ON {schema}.producer TO {writer} USING (true) WITH CHECK (true);
-- How fresh answers are: it names no tenant.
CREATE POLICY query ON {schema}.shard_offset FOR SELECT TO {query} USING (true);

-- A new epoch is an operator's decision, which the writer follows when it reads the epoch's control frame in the stream.
GRANT SELECT, UPDATE (epoch, stream_sequence, received_at, frame_sha256, trimmed_through) ON {schema}.shard_offset TO {writer};
GRANT SELECT, INSERT, UPDATE (size) ON {schema}.log_head TO {writer};
GRANT SELECT, INSERT, UPDATE (last_frame, abandoned, missing, last_stream_sequence, last_seen)
    ON {schema}.producer TO {writer};
GRANT SELECT ON {schema}.shard_offset TO {query};
