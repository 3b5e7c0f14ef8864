-- Which migrations a schema has had. Transactions of the runner begin with `lock`.

-- name: lock
-- One migration at a time in the whole database: grants on the database are one row that all schemas share.
-- Anyone who can connect may hold an advisory lock, so waiting for it has an end.
SELECT set_config('lock_timeout', '60s', true), pg_advisory_xact_lock(4702111234474983745)

-- name: begun
-- Whether the schema keeps a record yet.
SELECT to_regclass('{schema}.migration') IS NOT NULL

-- name: begin
-- The schema and its record.
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}.migration (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    applied_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE {schema}.migration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON {schema}.migration TO {owner} USING (true) WITH CHECK (true);

-- name: applied
-- What the schema has had.
SELECT number, name, sha256 FROM {schema}.migration ORDER BY number

-- name: record
-- Number $1 from file $2 with SHA-256 $3 was applied.
INSERT INTO {schema}.migration (number, name, sha256) VALUES ($1, $2, $3)
