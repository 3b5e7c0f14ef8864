-- Every breach of the isolation rules that the database's own catalogue shows, one sentence each. The rules hold for
-- whatever is in the database, so that a table, partition, function or role added later is held to them unasked.
WITH
ours AS (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = 'control' OR nspname ~ '^shard_'
),
relation AS (
    SELECT c.*, n.nspname, format('%s.%s', n.nspname, c.relname) AS label
    FROM pg_class c JOIN ours n ON n.oid = c.relnamespace
    WHERE c.relkind NOT IN ('i', 'I', 't', 'c')
),
runtime AS (
    SELECT r.*, substring(r.rolname FROM '^audit_([a-z2-7]{16})_') AS shard_id, substring(r.rolname FROM '[a-z]+$') AS function
    FROM pg_roles r
    WHERE r.rolname ~ '^audit_[a-z2-7]{16}_(ingest|query|writer|sealer)$'
      AND EXISTS (SELECT FROM ours WHERE nspname = 'shard_' || substring(r.rolname FROM '^audit_([a-z2-7]{16})_'))
),
policy AS (
    SELECT polrelid, polcmd, polpermissive, polroles = ARRAY[to_regrole('audit_owner')::oid] AS for_owner,
        pg_get_expr(polqual, polrelid) AS seen, pg_get_expr(polwithcheck, polrelid) AS written
    FROM pg_policy
),
table_grant AS (
    SELECT r.label, r.nspname, r.relowner AS owner, r.relispartition, g.grantee, g.privilege_type, NULL::name AS attname
    FROM relation r CROSS JOIN LATERAL aclexplode(r.relacl) g
    UNION ALL
    SELECT r.label, r.nspname, r.relowner, r.relispartition, g.grantee, g.privilege_type, a.attname
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid CROSS JOIN LATERAL aclexplode(a.attacl) g
),
foreign_grant AS (
    SELECT t.*, coalesce(g.rolname, 'PUBLIC') AS grantee_name, rt.shard_id
    FROM table_grant t LEFT JOIN pg_roles g ON g.oid = t.grantee LEFT JOIN runtime rt ON rt.oid = t.grantee
    WHERE t.grantee <> t.owner
),
routine AS (
    SELECT p.*, format('%s.%s', n.nspname, p.proname) AS label, n.nspname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
)
SELECT format('%s is a relation of kind %s, which no row-level security protects', label, relkind)
FROM relation WHERE relkind NOT IN ('r', 'p')
UNION ALL
SELECT format('%s has row-level security disabled', label)
FROM relation WHERE relkind IN ('r', 'p') AND NOT relrowsecurity
UNION ALL
SELECT format('%s does not force row-level security on its owner', label)
FROM relation WHERE relkind IN ('r', 'p') AND NOT relforcerowsecurity
UNION ALL
SELECT format('%s has no policy for its owner', label)
FROM relation r
WHERE relkind IN ('r', 'p') AND NOT EXISTS (
    SELECT FROM policy WHERE polrelid = r.oid AND for_owner AND polcmd = '*' AND polpermissive AND seen = 'true' AND written = 'true')
UNION ALL
SELECT format('%s does not belong to audit_owner', label)
FROM (
    SELECT label, relowner AS owner FROM relation
    UNION ALL SELECT nspname, nspowner FROM ours
    UNION ALL SELECT label, proowner FROM routine
    UNION ALL SELECT datname, datdba FROM pg_database WHERE datname = current_database()
) owned WHERE owner IS DISTINCT FROM to_regrole('audit_owner')
UNION ALL
SELECT format('%s owns something in this database', rt.rolname)
FROM runtime rt
WHERE EXISTS (
    SELECT FROM pg_shdepend d JOIN pg_database db ON db.oid = d.dbid
    WHERE db.datname = current_database() AND d.refclassid = 'pg_authid'::regclass AND d.refobjid = rt.oid AND d.deptype = 'o')
UNION ALL
SELECT format('%s has %s on partition %s', grantee_name, privilege_type, label) FROM foreign_grant WHERE relispartition
UNION ALL
SELECT format('%s has %s on %s', grantee_name, privilege_type, label)
FROM foreign_grant
WHERE privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE') OR (privilege_type = 'UPDATE' AND attname IS NULL)
UNION ALL
SELECT format('%s has %s on %s, which is not its shard', grantee_name, privilege_type, label)
FROM foreign_grant WHERE nspname IS DISTINCT FROM 'shard_' || shard_id
UNION ALL
SELECT format('%s has %s on schema %s, which is not its shard', coalesce(r.rolname, 'PUBLIC'), g.privilege_type, n.nspname)
FROM ours n CROSS JOIN LATERAL aclexplode(n.nspacl) g
LEFT JOIN pg_roles r ON r.oid = g.grantee LEFT JOIN runtime rt ON rt.oid = g.grantee
WHERE g.grantee <> n.nspowner AND (n.nspname IS DISTINCT FROM 'shard_' || rt.shard_id OR g.privilege_type <> 'USAGE')
UNION ALL
SELECT format('%s may do more than log in: %s', rolname, attribute)
FROM runtime CROSS JOIN LATERAL (VALUES
    ('superuser', rolsuper), ('bypass row-level security', rolbypassrls), ('create roles', rolcreaterole),
    ('create databases', rolcreatedb), ('replicate', rolreplication)) a (attribute, has)
WHERE has
UNION ALL
SELECT format('audit_owner may %s', attribute)
FROM pg_roles CROSS JOIN LATERAL (VALUES
    ('log in', rolcanlogin), ('do anything as superuser', rolsuper), ('bypass row-level security', rolbypassrls),
    ('create roles', rolcreaterole)) a (attribute, has)
WHERE rolname = 'audit_owner' AND has
UNION ALL
SELECT format('%s is a member of %s', rt.rolname, g.rolname)
FROM runtime rt JOIN pg_auth_members m ON m.member = rt.oid JOIN pg_roles g ON g.oid = m.roleid
UNION ALL
SELECT format('%s is SECURITY DEFINER without a fixed search_path', label)
FROM routine
WHERE prosecdef AND NOT EXISTS (SELECT FROM unnest(proconfig) setting WHERE setting = 'search_path=pg_catalog, pg_temp')
UNION ALL
SELECT format('%s may be executed by PUBLIC', label)
FROM routine
WHERE proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) g WHERE g.grantee = 0)
UNION ALL
SELECT format('PUBLIC has %s on the database', privilege)
FROM unnest(ARRAY['CONNECT', 'TEMPORARY', 'CREATE']) privilege
WHERE has_database_privilege('public', current_database(), privilege)
UNION ALL
SELECT format('PUBLIC has %s on the schema public', privilege)
FROM unnest(ARRAY['USAGE', 'CREATE']) privilege
WHERE has_schema_privilege('public', 'public', privilege)
UNION ALL
SELECT format('%s has %s on the database', rolname, privilege)
FROM runtime CROSS JOIN unnest(ARRAY['TEMPORARY', 'CREATE']) privilege
WHERE has_database_privilege(oid, current_database(), privilege) AND NOT (function = 'writer' AND privilege = 'TEMPORARY')
UNION ALL
SELECT format('%s may make large objects', rolname)
FROM runtime WHERE has_function_privilege(oid, 'pg_catalog.lo_from_bytea(oid, bytea)', 'EXECUTE')
UNION ALL
SELECT 'default privileges are set' FROM pg_default_acl
ORDER BY 1
