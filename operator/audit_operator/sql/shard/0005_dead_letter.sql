-- The bytes of what could not be stored as an event: a message that does not decode, or a single event that the
-- database refused all the same. The leaf stands in event like any other.
CREATE TABLE {schema}.dead_letter (
    stream_sequence bigint NOT NULL,
    received_at     timestamptz NOT NULL,
    sequence        bigint NOT NULL,
    -- In the frame; 0 for a whole message.
    position        integer NOT NULL,
    tenant_id       text COLLATE "C" NOT NULL,
    epoch           bytea NOT NULL,
    reason          text NOT NULL,
    raw             bytea NOT NULL,
    PRIMARY KEY (epoch, stream_sequence, position)
);

ALTER TABLE {schema}.dead_letter ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON {schema}.dead_letter TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY writer ON {schema}.dead_letter FOR INSERT TO {writer} WITH CHECK (true);
GRANT INSERT ON {schema}.dead_letter TO {writer};
