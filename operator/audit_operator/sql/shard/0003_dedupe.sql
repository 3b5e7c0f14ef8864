-- The ids that came from clients, for the 24 hours in which a second one is a duplicate. Two slots, today's and
-- yesterday's; the day after tomorrow empties today's in one stroke instead of row by row.
CREATE TABLE {schema}.dedupe (
    received_at timestamptz NOT NULL,
    sequence    bigint NOT NULL,
    -- Number of the UTC day of received_at, modulo 2.
    slot        smallint NOT NULL,
    tenant_id   text COLLATE "C" NOT NULL,
    id          text COLLATE "C" NOT NULL,
    body_sha256 bytea NOT NULL,
    PRIMARY KEY (slot, tenant_id, id)
) PARTITION BY LIST (slot);

CREATE TABLE {schema}.dedupe_0 PARTITION OF {schema}.dedupe FOR VALUES IN (0);
CREATE TABLE {schema}.dedupe_1 PARTITION OF {schema}.dedupe FOR VALUES IN (1);

ALTER TABLE {schema}.dedupe ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.dedupe_0 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE {schema}.dedupe_1 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON {schema}.dedupe TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.dedupe_0 TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY owner ON {schema}.dedupe_1 TO {owner} USING (true) WITH CHECK (true);
CREATE POLICY writer ON {schema}.dedupe TO {writer} USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON {schema}.dedupe TO {writer};

-- Empties the slot of an instant's day if an older day's rows are in it; tells whether it did. To be called before the
-- first insert of a day: then all rows of a slot are of one day, and looking at any one of them is enough.
--
-- TRUNCATE waits for everyone who has read the slot in an open transaction, such as a second writer that waits for the
-- shard's offset row: hence the short timeout (55P03; roll back and try again) instead of a deadlock. An `at` older
-- than the rows, from a writer that slept for days, empties nothing.
CREATE FUNCTION {schema}.rotate_dedupe(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '500ms'
AS $function$
DECLARE
    day_start CONSTANT timestamptz := date_trunc('day', at);
    day_slot  CONSTANT smallint := floor(extract(epoch FROM at) / 86400)::bigint % 2;
    held      timestamptz;
BEGIN
    SELECT received_at INTO held FROM {schema}.dedupe WHERE slot = day_slot LIMIT 1;
    IF held >= day_start OR held IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('TRUNCATE {schema}.%I', 'dedupe_' || day_slot);
    RETURN true;
END
$function$;

REVOKE ALL ON FUNCTION {schema}.rotate_dedupe FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.rotate_dedupe TO {writer};
