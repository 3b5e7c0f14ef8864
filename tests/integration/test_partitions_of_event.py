"""Partitions of `event`: made by the writer's own call, at most once, and in nobody's way."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest
from asyncpg import CheckViolationError, Connection, LockNotAvailableError

from audit_core.partitions import DAY_MICROSECONDS, Partition, PartitionBy, partition_of
from audit_operator.clients.shards import ensure_partitions
from tests.support.catalogue import breaches
from tests.support.postgres import NOW, Database, ShardInDatabase, connected
from tests.support.rows import an_event_row, insert, make_landing, store

NEXT_YEAR = NOW + 400 * DAY_MICROSECONDS
ENSURE = "SELECT ensure_partition($1)"


def _at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000_000)


async def _partitions(shard: ShardInDatabase) -> list[Partition]:
    """Return the attached partitions with the bounds that the server itself states."""
    rows = await shard.database.admin.fetch(
        """
        SELECT relname::text AS name,
            substring(bound FROM $$FROM \\('([^']+)'$$)::timestamptz AS lower,
            substring(bound FROM $$TO \\('([^']+)'$$)::timestamptz AS upper
        FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid,
            LATERAL pg_get_expr(c.relpartbound, c.oid) bound
        WHERE inhparent = ($1 || '.event')::regclass
        ORDER BY 2
        """,
        shard.schema,
    )
    return [Partition(name=row["name"], lower=row["lower"], upper=row["upper"]) for row in rows]


@pytest.mark.parametrize("by", PartitionBy)
@pytest.mark.parametrize(
    "text",
    ["2025-12-31T23:59:59.999999", "2026-01-01T00:00:00", "2024-02-29T12:00:00", "1970-01-01T00:00:00"],
)
async def test_the_database_and_the_core_agree_on_names_and_bounds(
    database: Database, by: PartitionBy, text: str
) -> None:
    shard = await database.a_shard(partition_by=by, now=_at("2030-01-01"))
    async with connected(shard.dsn("writer")) as writer:
        assert await writer.fetchval(ENSURE, _at(text)) is True
        assert await writer.fetchval(ENSURE, _at(text)) is False
    assert (await _partitions(shard))[0] == partition_of(_at(text), by)


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Kiritimati"])
async def test_the_sessions_time_zone_and_date_style_do_not_matter(database: Database, zone: str) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as writer:
        await writer.execute(f"SET timezone = '{zone}'")
        await writer.execute("SET datestyle = 'SQL, DMY'")
        await writer.fetchval(ENSURE, _at("2027-03-31T23:30"))
    assert (await _partitions(shard))[-1] == partition_of(_at("2027-03-31T23:30"), PartitionBy.MONTH)


async def test_provisioning_makes_the_current_partition_and_two_more(database: Database) -> None:
    months, days = await database.a_shard(), await database.a_shard(partition_by=PartitionBy.DAY)
    assert [p.name for p in await _partitions(months)] == ["event_202511", "event_202512", "event_202601"]
    assert [p.name for p in await _partitions(days)] == ["event_20251124", "event_20251125", "event_20251126"]
    assert await ensure_partitions(database.admin, days.stored, now=NOW) == 0
    assert await ensure_partitions(database.admin, days.stored, now=NOW + DAY_MICROSECONDS) == 1


async def test_a_new_partition_is_as_protected_and_indexed_as_the_others(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as writer:
        await writer.fetchval(ENSURE, NEXT_YEAR)
    await store(shard, an_event_row(received_at=NEXT_YEAR))
    assert await breaches(database.admin) == []
    shapes = await database.admin.fetch(
        """
        SELECT array_agg(pg_get_indexdef(indexrelid, n, true) || indisunique ORDER BY indnatts, n) AS columns
        FROM pg_index JOIN pg_class c ON c.oid = indrelid, generate_series(1, indnatts) n
        WHERE c.relnamespace = $1::regnamespace AND c.relname LIKE 'event_%'
        GROUP BY indrelid
        """,
        shard.schema,
    )
    assert len(shapes) == 4
    assert len({tuple(row["columns"]) for row in shapes}) == 1


async def test_an_event_without_a_partition_is_refused_not_lost(database: Database) -> None:
    shard = await database.a_shard()
    with pytest.raises(CheckViolationError, match="no partition of relation"):
        await store(shard, an_event_row(received_at=NEXT_YEAR))


async def test_a_partition_serves_the_transaction_that_made_it(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as writer:
        await make_landing(writer)
        async with writer.transaction():
            await insert(writer, an_event_row())
            assert await writer.fetchval(ENSURE, NEXT_YEAR) is True
            await writer.execute("TRUNCATE landing")
            await insert(writer, an_event_row(received_at=NEXT_YEAR))
    assert await database.admin.fetchval(f"SELECT count(*) FROM {shard.schema}.event") == 2


async def test_two_callers_at_once_make_one_partition(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as first, connected(shard.dsn("writer")) as second:
        async with first.transaction():
            assert await first.fetchval(ENSURE, NEXT_YEAR) is True
            waiting = asyncio.create_task(second.fetchval(ENSURE, NEXT_YEAR))
            await _until_waiting(database.admin, second)
        assert await waiting is False


async def test_many_callers_at_once_make_one_partition(database: Database) -> None:
    shard = await database.a_shard()

    async def ensure() -> bool:
        async with connected(shard.dsn("writer")) as writer:
            return bool(await writer.fetchval(ENSURE, NEXT_YEAR))

    assert sorted(await asyncio.gather(*(ensure() for _ in range(8)))) == [False] * 7 + [True]


async def test_inserts_and_reads_go_on_while_a_partition_is_made(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as maker, connected(shard.dsn("writer")) as other:
        await _impatient(other)
        async with maker.transaction():
            await maker.fetchval(ENSURE, NEXT_YEAR)
            async with other.transaction():
                await insert(other, an_event_row())
            async with connected(shard.dsn("query")) as reader:
                assert await reader.fetchval("SELECT count(*) FROM event") == 1


async def test_a_partition_is_made_while_inserts_are_open(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as maker, connected(shard.dsn("writer")) as other:
        await _impatient(other)
        async with other.transaction():
            await insert(other, an_event_row())
            assert await asyncio.wait_for(maker.fetchval(ENSURE, NEXT_YEAR), 1)


async def test_making_a_partition_in_place_would_have_blocked_inserts(database: Database) -> None:
    shard = await database.a_shard()
    in_place = f"""
        CREATE TABLE {shard.schema}.event_in_place PARTITION OF {shard.schema}.event
        FOR VALUES FROM ('2027-01-01Z') TO ('2027-02-01Z')
    """
    async with connected(shard.dsn("writer")) as other:
        await _impatient(other)
        making = database.admin.transaction()
        await making.start()
        await database.admin.execute(in_place)
        with pytest.raises(LockNotAvailableError):
            await insert(other, an_event_row())
        await making.rollback()


async def test_a_lock_that_does_not_come_is_an_error_within_seconds(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as writer:
        async with database.admin.transaction():
            await database.admin.execute(f"LOCK TABLE {shard.schema}.event IN SHARE MODE")
            started = time.monotonic()
            with pytest.raises(LockNotAvailableError):
                await writer.fetchval(ENSURE, NEXT_YEAR)
            assert time.monotonic() - started < 5
        assert await writer.fetchval(ENSURE, NEXT_YEAR) is True


async def test_a_rolled_back_partition_is_made_again(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as writer:
        making = writer.transaction()
        await making.start()
        assert await writer.fetchval(ENSURE, NEXT_YEAR) is True
        await making.rollback()
        assert await writer.fetchval(ENSURE, NEXT_YEAR) is True


async def _impatient(writer: Connection) -> None:
    await make_landing(writer)
    await writer.execute("SET lock_timeout = '300ms'")


async def _until_waiting(admin: Connection, other: Connection) -> None:
    pid = other.get_server_pid()
    async with asyncio.timeout(5):
        while not await admin.fetchval(  # noqa: ASYNC110 - only the server knows
            "SELECT cardinality(pg_blocking_pids($1)) > 0", pid
        ):
            await asyncio.sleep(0.01)
