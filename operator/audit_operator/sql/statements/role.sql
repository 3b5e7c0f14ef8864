-- The login roles of a shard, one per function. They own nothing; what they may do stands in the shard's migrations.

-- name: login_roles
-- Which of the roles $1 exist and can log in.
SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1::text[]) AND rolcanlogin

-- name: create_role
-- Without a password yet, so that it cannot be used. Another administrator may make it at the same moment.
DO $create$
BEGIN
    IF to_regrole('{role}') IS NULL THEN
        CREATE ROLE {role} NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL;
END
$create$

-- name: pass_verifier
-- Hands the verifier $1 to `set_password` of the same transaction, so that it stands in no DDL, which many servers log.
SELECT set_config('audit.verifier', $1, true)

-- name: set_password
-- The role can log in from here on.
DO $password$
BEGIN
    EXECUTE format('ALTER ROLE {role} LOGIN PASSWORD %L', current_setting('audit.verifier'));
END
$password$

-- name: configure_writer
-- What bounds a writer that froze or lost its network, each below the ten seconds after which another must be able to
-- go on. Written only where it differs.
DO $configure$
BEGIN
    IF (SELECT rolconfig FROM pg_roles WHERE rolname = '{role}') IS DISTINCT FROM ARRAY[
        'search_path={schema}, pg_temp',
        'TimeZone=UTC',
        'synchronous_commit=on',
        'idle_in_transaction_session_timeout=8s',
        'statement_timeout=30s',
        'lock_timeout=10s',
        'tcp_user_timeout=8s',
        'tcp_keepalives_idle=5',
        'tcp_keepalives_interval=1',
        'tcp_keepalives_count=3'
    ] THEN
        ALTER ROLE {role} RESET ALL;
        ALTER ROLE {role} SET search_path = {schema}, pg_temp;
        ALTER ROLE {role} SET TimeZone = 'UTC';
        ALTER ROLE {role} SET synchronous_commit = 'on';
        ALTER ROLE {role} SET idle_in_transaction_session_timeout = '8s';
        ALTER ROLE {role} SET statement_timeout = '30s';
        ALTER ROLE {role} SET lock_timeout = '10s';
        ALTER ROLE {role} SET tcp_user_timeout = '8s';
        ALTER ROLE {role} SET tcp_keepalives_idle = '5';
        ALTER ROLE {role} SET tcp_keepalives_interval = '1';
        ALTER ROLE {role} SET tcp_keepalives_count = '3';
    END IF;
END
$configure$

-- name: configure_query
-- Readers change nothing, and no read runs for long. Written only where it differs.
DO $configure$
BEGIN
    IF (SELECT rolconfig FROM pg_roles WHERE rolname = '{role}') IS DISTINCT FROM ARRAY[
        'search_path={schema}, pg_temp',
        'TimeZone=UTC',
        'default_transaction_read_only=on',
        'idle_in_transaction_session_timeout=10s',
        'statement_timeout=10s',
        'lock_timeout=2s',
        'tcp_user_timeout=10s'
    ] THEN
        ALTER ROLE {role} RESET ALL;
        ALTER ROLE {role} SET search_path = {schema}, pg_temp;
        ALTER ROLE {role} SET TimeZone = 'UTC';
        ALTER ROLE {role} SET default_transaction_read_only = 'on';
        ALTER ROLE {role} SET idle_in_transaction_session_timeout = '10s';
        ALTER ROLE {role} SET statement_timeout = '10s';
        ALTER ROLE {role} SET lock_timeout = '2s';
        ALTER ROLE {role} SET tcp_user_timeout = '10s';
    END IF;
END
$configure$
