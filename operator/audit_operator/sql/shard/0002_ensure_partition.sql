-- Makes the partition of an instant, or finds it made; tells which. Cheap when there is nothing to do.
--
-- The partition is made detached, protected, then attached: CREATE … PARTITION OF would lock out every insert into the
-- parent, ATTACH locks out only itself. It is empty, so there is nothing to scan. Runtime roles get no grant on it and
-- no policy but the owner's: reached directly it shows nothing, even if someone grants it one day. A lock that does not
-- come within the timeout is an error (55P03), and the caller tries again.
CREATE FUNCTION {schema}.ensure_partition(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '2s'
AS $function$
DECLARE
    lower_bound CONSTANT timestamptz := date_trunc('{partition_by}', at);
    upper_bound CONSTANT timestamptz := lower_bound + interval '1 {partition_by}';
    digits      CONSTANT text := CASE '{partition_by}' WHEN 'day' THEN 'YYYYMMDD' ELSE 'YYYYMM' END;
    partition   CONSTANT text := 'event_' || to_char(at, digits);
BEGIN
    IF (SELECT relispartition FROM pg_class WHERE oid = to_regclass('{schema}.' || partition)) THEN
        RETURN false;
    END IF;

    -- What ATTACH takes anyway; taken first, it lets the second of two callers find the partition made.
    LOCK TABLE {schema}.event IN SHARE UPDATE EXCLUSIVE MODE;
    IF (SELECT relispartition FROM pg_class WHERE oid = to_regclass('{schema}.' || partition)) THEN
        RETURN false;
    END IF;

    EXECUTE format(
        'CREATE TABLE {schema}.%I (LIKE {schema}.event INCLUDING DEFAULTS INCLUDING CONSTRAINTS'
        ' INCLUDING STORAGE INCLUDING COMPRESSION)',
        partition);
    EXECUTE format('ALTER TABLE {schema}.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', partition);
    EXECUTE format('CREATE POLICY owner ON {schema}.%I TO {owner} USING (true) WITH CHECK (true)', partition);
    EXECUTE format(
        'ALTER TABLE {schema}.event ATTACH PARTITION {schema}.%I FOR VALUES FROM (%L) TO (%L)',
        partition, lower_bound, upper_bound);
    RETURN true;
END
$function$;

REVOKE ALL ON FUNCTION {schema}.ensure_partition FROM PUBLIC;
GRANT EXECUTE ON FUNCTION {schema}.ensure_partition TO {writer};
