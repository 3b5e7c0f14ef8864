-- The database as a whole: made and closed by an administrator, owned by {owner}.

-- name: server
-- What the server is and who is asking.
SELECT
    current_setting('server_version_num')::int AS version,
    current_setting('server_encoding') AS encoding,
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser

-- name: database_owner
-- Who owns database $1; no row when there is none.
SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = $1

-- name: create_owner
-- The role that owns every object of ours and cannot log in. Another administrator may make it at the same moment.
-- An administrator without superuser must belong to it before it can act as it.
DO $create$
DECLARE
    can_act text;
BEGIN
    IF to_regrole('{owner}') IS NULL THEN
        BEGIN
            CREATE ROLE {owner} NOLOGIN;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    can_act := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
    IF NOT pg_has_role('{owner}', can_act) THEN
        EXECUTE format('GRANT {owner} TO %I', current_user);
    END IF;
END
$create$

-- name: create_database
-- Bodies are UTF-8, whatever the cluster's default is.
CREATE DATABASE {database} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0

-- name: close_database
-- Takes from PUBLIC what every new database gives it: to connect, to make temporary tables, to use the schema public.
DO $close$
BEGIN
    IF has_database_privilege('public', current_database(), 'CONNECT')
        OR has_database_privilege('public', current_database(), 'TEMPORARY')
    THEN
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    END IF;
    IF has_schema_privilege('public', 'public', 'USAGE') THEN
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
    END IF;
END
$close$

-- name: close_large_objects
-- Large objects are the one thing that any role may make and then own. Only a superuser can take that away.
DO $close$
BEGIN
    IF has_function_privilege('public', 'pg_catalog.lo_from_bytea(oid, bytea)', 'EXECUTE') THEN
        REVOKE EXECUTE ON FUNCTION
            pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea)
        FROM PUBLIC;
    END IF;
END
$close$
