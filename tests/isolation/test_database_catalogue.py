"""Rules that hold for everything in the database, whoever adds it. Each is seen to fail when it is broken."""

from __future__ import annotations

import pytest

from audit_core.partitions import PartitionBy
from audit_core.tenant import Isolation, role_name
from tests.support.catalogue import breaches, grants
from tests.support.postgres import Database, ShardInDatabase


async def _shards(database: Database) -> tuple[ShardInDatabase, ShardInDatabase]:
    return (
        await database.a_shard(isolation=Isolation.POOLED),
        await database.a_shard(partition_by=PartitionBy.DAY),
    )


async def test_every_table_partition_function_and_role_keeps_the_rules(database: Database) -> None:
    await _shards(database)
    assert await breaches(database.admin) == []


async def test_the_writer_has_exactly_the_grants_it_needs(database: Database) -> None:
    shard = await database.a_shard()
    assert await grants(database.admin, role_name(shard.shard_id, "writer")) == {
        "dead_letter": ["INSERT"],
        "dedupe": ["INSERT", "SELECT"],
        "event": ["INSERT"],
        "log_head": ["INSERT", "SELECT", "UPDATE (size)"],
        "producer": [
            "INSERT",
            "SELECT",
            "UPDATE (abandoned, last_frame, last_seen, last_stream_sequence, missing)",
        ],
        "shard_offset": [
            "SELECT",
            "UPDATE (epoch, frame_sha256, received_at, stream_sequence, trimmed_through)",
        ],
    }


async def test_query_has_exactly_the_grants_it_needs(database: Database) -> None:
    shard = await database.a_shard()
    assert await grants(database.admin, role_name(shard.shard_id, "query")) == {
        "event": ["SELECT"],
        "shard_offset": ["SELECT"],
    }


PLANTS = [
    (
        "ALTER TABLE {pool}.event_202511 DISABLE ROW LEVEL SECURITY",
        "event_202511 has row-level security disabled",
    ),
    ("ALTER TABLE {pool}.dedupe_1 NO FORCE ROW LEVEL SECURITY", "dedupe_1 does not force"),
    (
        "ALTER TABLE control.tenant DISABLE ROW LEVEL SECURITY",
        "control.tenant has row-level security disabled",
    ),
    ("DROP POLICY owner ON {pool}.event_202512", "event_202512 has no policy for its owner"),
    (
        "CREATE TABLE {pool}.event_203001 PARTITION OF {pool}.event FOR VALUES FROM ('2030-01-01') TO ('2030-02-01')",
        "event_203001 has row-level security disabled",
    ),
    ("CREATE TABLE {pool}.stray (tenant_id text)", "stray has row-level security disabled"),
    ("CREATE VIEW {pool}.peek AS SELECT * FROM {pool}.event", "peek is a relation of kind v"),
    ("CREATE MATERIALIZED VIEW {pool}.peek AS SELECT * FROM {pool}.event", "peek is a relation of kind m"),
    ("ALTER TABLE {pool}.event OWNER TO postgres", "event does not belong to audit_owner"),
    ("GRANT CREATE ON SCHEMA {pool} TO {pool_writer}", "has CREATE on schema"),
    ("ALTER TABLE {pool}.log_head OWNER TO {pool_writer}", "owns something in this database"),
    ("GRANT SELECT ON {pool}.event_202511 TO {pool_query}", "has SELECT on partition"),
    ("GRANT UPDATE (body) ON {pool}.event_202511 TO {pool_writer}", "has UPDATE on partition"),
    ("GRANT DELETE ON {pool}.event TO {pool_writer}", "has DELETE on"),
    ("GRANT TRUNCATE ON {pool}.dedupe TO {pool_writer}", "has TRUNCATE on"),
    ("GRANT UPDATE ON {pool}.log_head TO {pool_writer}", "has UPDATE on"),
    ("GRANT SELECT ON {pool}.event TO PUBLIC", "PUBLIC has SELECT on"),
    ("GRANT SELECT ON {pool}.event TO {other_query}", "which is not its shard"),
    ("GRANT USAGE ON SCHEMA {pool} TO {other_query}", "has USAGE on schema"),
    ("GRANT SELECT ON control.api_key TO {pool_query}", "control.api_key, which is not its shard"),
    ("GRANT USAGE ON SCHEMA control TO {pool_query}", "has USAGE on schema control"),
    ("ALTER ROLE {pool_writer} SUPERUSER", "may do more than log in: superuser"),
    ("ALTER ROLE {pool_query} BYPASSRLS", "bypass row-level security"),
    ("ALTER ROLE {pool_query} CREATEROLE", "create roles"),
    ("ALTER ROLE audit_owner LOGIN", "audit_owner may log in"),
    ("GRANT audit_owner TO {pool_writer}", "is a member of audit_owner"),
    ("GRANT {other_query} TO {pool_query}", "is a member of"),
    ("GRANT pg_read_all_data TO {pool_query}", "is a member of pg_read_all_data"),
    (
        "ALTER FUNCTION {pool}.ensure_partition RESET search_path",
        "ensure_partition is SECURITY DEFINER without a fixed search_path",
    ),
    ("GRANT EXECUTE ON FUNCTION {pool}.rotate_dedupe TO PUBLIC", "rotate_dedupe may be executed by PUBLIC"),
    (
        "CREATE FUNCTION {pool}.anyone() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "anyone may be executed by PUBLIC",
    ),
    ("GRANT CONNECT ON DATABASE {database} TO PUBLIC", "PUBLIC has CONNECT on the database"),
    ("GRANT TEMPORARY ON DATABASE {database} TO {pool_query}", "has TEMPORARY on the database"),
    ("GRANT CREATE ON DATABASE {database} TO {pool_writer}", "has CREATE on the database"),
    ("GRANT USAGE ON SCHEMA public TO PUBLIC", "PUBLIC has USAGE on the schema public"),
    ("GRANT EXECUTE ON FUNCTION lo_from_bytea TO PUBLIC", "may make large objects"),
    ("ALTER DEFAULT PRIVILEGES FOR ROLE audit_owner GRANT SELECT ON TABLES TO PUBLIC", "default privileges"),
]


async def test_each_planted_breach_is_found_and_named(database: Database, subtests: pytest.Subtests) -> None:
    pool, other = await _shards(database)
    names = {
        "pool": pool.schema,
        "pool_writer": role_name(pool.shard_id, "writer"),
        "pool_query": role_name(pool.shard_id, "query"),
        "other_query": role_name(other.shard_id, "query"),
        "database": database.name,
    }
    for plant, sentence in PLANTS:
        with subtests.test(plant):
            planting = database.admin.transaction()
            await planting.start()
            await database.admin.execute(plant.format(**names))
            found = await breaches(database.admin)
            await planting.rollback()
            assert any(sentence in breach for breach in found), found
    assert await breaches(database.admin) == []
