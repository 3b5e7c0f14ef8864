"""A pooled query process sees the tenant that it named in this transaction, and nothing else, whatever SQL it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asyncpg import Connection, InsufficientPrivilegeError

from audit_core.tenant import Isolation, role_name
from tests.support.postgres import Database, ShardInDatabase, connected
from tests.support.rows import an_event_row, store

# The bound on received_at alone says the same as the cursor, but only it leaves later partitions out of the plan.
LIST = """
SELECT sequence, body FROM event
WHERE tenant_id = 'tenant-7'
  AND (received_at, sequence) < ('2025-11-02T20:00Z', 500000)
  AND received_at BETWEEN '2025-11-01T00:00Z' AND '2025-11-02T20:00Z'
ORDER BY received_at DESC, sequence DESC LIMIT 50
"""


@pytest.fixture
async def pool(database: Database) -> ShardInDatabase:
    shard = await database.a_shard(isolation=Isolation.POOLED)
    await store(
        shard,
        an_event_row(tenant_id="tenant-a", id="a1"),
        an_event_row(tenant_id="tenant-b", id="b1"),
        an_event_row(tenant_id="tenant-b", id="b2"),
    )
    return shard


@pytest.fixture
async def reader(pool: ShardInDatabase) -> AsyncIterator[Connection]:
    async with connected(pool.dsn("query")) as connection:
        yield connection


async def _name(reader: Connection, tenant_id: str) -> None:
    await reader.execute("SELECT set_config('audit.tenant_id', $1, true)", tenant_id)


async def _ids(reader: Connection) -> list[str]:
    return [row["id"] for row in await reader.fetch("SELECT id FROM event ORDER BY id")]


async def test_a_reader_that_names_no_tenant_sees_nothing(reader: Connection) -> None:
    assert await _ids(reader) == []


async def test_an_empty_name_is_no_name(
    database: Database, pool: ShardInDatabase, reader: Connection
) -> None:
    await store(pool, an_event_row(tenant_id="", id="nobody"))
    async with reader.transaction():
        await _name(reader, "")
        assert await _ids(reader) == []


async def test_a_reader_sees_the_tenant_it_names_and_no_other(reader: Connection) -> None:
    async with reader.transaction():
        await _name(reader, "tenant-a")
        assert await _ids(reader) == ["a1"]
        await _name(reader, "tenant-b")
        assert await _ids(reader) == ["b1", "b2"]


async def test_the_name_ends_with_its_transaction(reader: Connection) -> None:
    async with reader.transaction():
        await _name(reader, "tenant-a")
        assert await _ids(reader) == ["a1"]
    assert await _ids(reader) == []
    rolled_back = reader.transaction()
    await rolled_back.start()
    await _name(reader, "tenant-a")
    await rolled_back.rollback()
    assert await _ids(reader) == []


async def test_asking_for_another_tenant_finds_nothing(reader: Connection) -> None:
    async with reader.transaction():
        await _name(reader, "tenant-a")
        assert await reader.fetch("SELECT id FROM event WHERE tenant_id = 'tenant-b'") == []
        assert await reader.fetchval("SELECT count(*) FROM event WHERE id = 'b1'") == 0


async def test_a_partition_cannot_be_read_around_its_parent(reader: Connection) -> None:
    async with reader.transaction():
        await _name(reader, "tenant-a")
        with pytest.raises(InsufficientPrivilegeError):
            await reader.fetch("SELECT id FROM event_202511")


async def test_a_partition_shows_nothing_even_if_someone_grants_it(
    database: Database, pool: ShardInDatabase, reader: Connection
) -> None:
    role = role_name(pool.shard_id, "query")
    await database.admin.execute(f"GRANT SELECT ON {pool.schema}.event_202511 TO {role}")
    async with reader.transaction():
        await _name(reader, "tenant-a")
        assert await reader.fetch("SELECT id FROM event_202511") == []


async def test_a_condition_that_fails_on_foreign_rows_never_meets_one(reader: Connection) -> None:
    async with reader.transaction():
        await _name(reader, "tenant-a")
        probe = "SELECT id FROM event WHERE 1 / (CASE WHEN tenant_id = 'tenant-b' THEN 0 ELSE 1 END) = 1"
        assert [row["id"] for row in await reader.fetch(probe)] == ["a1"]


async def test_statistics_tell_nothing_of_other_tenants(
    database: Database, pool: ShardInDatabase, reader: Connection
) -> None:
    await database.admin.execute(f"ANALYZE {pool.schema}.event")
    statistics = "SELECT count(*) FROM pg_stats WHERE schemaname = $1 AND tablename LIKE 'event%'"
    assert await database.admin.fetchval(statistics, pool.schema) > 0
    assert await reader.fetchval(statistics, pool.schema) == 0


async def test_a_list_by_time_walks_the_primary_key(database: Database, pool: ShardInDatabase) -> None:
    await _fill(database, pool)
    plan = await _plan(pool, LIST)
    assert _scans(plan) == ["Index Scan Backward using event_202511_pkey on event_202511 event"]
    assert "tenant_id = 'tenant-7'" in _index_condition(plan)
    assert "ROW(received_at, sequence) <" in _index_condition(plan)
    assert "Sort" not in plan


async def test_the_policy_alone_is_served_by_the_primary_key(
    database: Database, pool: ShardInDatabase
) -> None:
    await _fill(database, pool)
    plan = await _plan(pool, LIST.replace("tenant_id = 'tenant-7'", "true"))
    assert _scans(plan) == ["Index Scan Backward using event_202511_pkey on event_202511 event"]
    assert "tenant_id = (InitPlan 1).col1" in _index_condition(plan)
    assert "Sort" not in plan


async def test_a_look_up_by_id_uses_the_index_on_ids(database: Database, pool: ShardInDatabase) -> None:
    await _fill(database, pool)
    plan = await _plan(pool, "SELECT * FROM event WHERE tenant_id = 'tenant-7' AND id = 'id-70007'")
    assert "Index Scan using event_202511_tenant_id_id_idx on event_202511" in plan
    assert "id = 'id-70007'" in _index_condition(plan)


async def _fill(database: Database, pool: ShardInDatabase) -> None:
    """Store enough rows of ten tenants that a plan without the index would be dear."""
    await database.admin.execute(
        f"""
        INSERT INTO {pool.schema}.event (
            tenant_id, id, received_at, sequence, stream_sequence, position, kind, id_from_client, epoch)
        SELECT 'tenant-' || n % 10, 'id-' || n, '2025-11-02T00:00Z'::timestamptz + n * interval '1 second',
            1000 + n, n, 0, 1, false, ''
        FROM generate_series(1, 100000) n
        """
    )
    await database.admin.execute(f"ANALYZE {pool.schema}.event")


async def _plan(pool: ShardInDatabase, statement: str) -> str:
    async with connected(pool.dsn("query")) as reader, reader.transaction():
        await _name(reader, "tenant-7")
        return "\n".join(row[0] for row in await reader.fetch(f"EXPLAIN {statement}"))


def _scans(plan: str) -> list[str]:
    return [line.strip(" ->").partition("  ")[0] for line in plan.splitlines() if " Scan " in line]


def _index_condition(plan: str) -> str:
    return next(line for line in plan.splitlines() if "Index Cond" in line)
