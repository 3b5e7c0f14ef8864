"""The two slots of `dedupe`: yesterday's rows stay, rows of the day before go, whatever else is going on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asyncpg import Connection, LockNotAvailableError

from audit_core.partitions import DAY_MICROSECONDS, dedupe_slot
from tests.support.postgres import NOW, Database, ShardInDatabase, connected

ROTATE = "SELECT rotate_dedupe($1)"
TOMORROW = NOW + DAY_MICROSECONDS
DAY_AFTER = NOW + 2 * DAY_MICROSECONDS


@pytest.fixture
async def shard(database: Database) -> ShardInDatabase:
    return await database.a_shard()


@pytest.fixture
async def writer(shard: ShardInDatabase) -> AsyncIterator[Connection]:
    async with connected(shard.dsn("writer")) as connection:
        yield connection


async def _remember(writer: Connection, id: str, received_at: int) -> None:  # noqa: A002 - the column's name
    await writer.execute(
        "INSERT INTO dedupe (slot, tenant_id, id, received_at, sequence, body_sha256)"
        " VALUES ($1, 'tenant-a', $2, $3, 0, $4)",
        dedupe_slot(received_at),
        id,
        received_at,
        bytes(32),
    )


async def _remembered(writer: Connection) -> list[str]:
    return [row["id"] for row in await writer.fetch("SELECT id FROM dedupe ORDER BY received_at, id")]


async def test_an_empty_slot_needs_nothing(writer: Connection) -> None:
    assert await writer.fetchval(ROTATE, NOW) is False


async def test_rows_of_the_same_day_stay(writer: Connection) -> None:
    midnight = NOW - NOW % DAY_MICROSECONDS
    await _remember(writer, "first", midnight)
    assert await writer.fetchval(ROTATE, midnight) is False
    assert await writer.fetchval(ROTATE, midnight + DAY_MICROSECONDS - 1) is False
    assert await _remembered(writer) == ["first"]


async def test_yesterday_stays_and_the_day_before_goes(writer: Connection) -> None:
    await _remember(writer, "day before", NOW)
    assert await writer.fetchval(ROTATE, TOMORROW) is False
    await _remember(writer, "yesterday", TOMORROW)
    assert await _remembered(writer) == ["day before", "yesterday"]
    assert await writer.fetchval(ROTATE, DAY_AFTER) is True
    assert await _remembered(writer) == ["yesterday"]
    assert await writer.fetchval(ROTATE, DAY_AFTER) is False


async def test_a_slot_is_emptied_in_the_first_microsecond_of_its_new_day(writer: Connection) -> None:
    midnight = DAY_AFTER - DAY_AFTER % DAY_MICROSECONDS
    await _remember(writer, "old", NOW)
    assert await writer.fetchval(ROTATE, midnight - 1) is False
    assert await writer.fetchval(ROTATE, midnight) is True


async def test_a_shard_that_was_idle_for_months_starts_over(writer: Connection) -> None:
    await _remember(writer, "old", NOW)
    assert await writer.fetchval(ROTATE, NOW + 100 * DAY_MICROSECONDS) is True
    assert await _remembered(writer) == []


async def test_a_writer_that_slept_for_days_empties_nothing(writer: Connection) -> None:
    await _remember(writer, "new", DAY_AFTER)
    assert await writer.fetchval(ROTATE, NOW) is False
    assert await _remembered(writer) == ["new"]


async def test_the_sessions_time_zone_does_not_matter(writer: Connection) -> None:
    await _remember(writer, "old", NOW)
    await writer.execute("SET timezone = 'Pacific/Kiritimati'")
    midnight = DAY_AFTER - DAY_AFTER % DAY_MICROSECONDS
    assert await writer.fetchval(ROTATE, midnight - 1) is False
    assert await writer.fetchval(ROTATE, midnight) is True


async def test_a_batch_that_rolls_back_forgets_nothing(writer: Connection) -> None:
    await _remember(writer, "old", NOW)
    batch = writer.transaction()
    await batch.start()
    assert await writer.fetchval(ROTATE, DAY_AFTER) is True
    await _remember(writer, "new", DAY_AFTER)
    assert await _remembered(writer) == ["new"]
    await batch.rollback()
    assert await _remembered(writer) == ["old"]


async def test_look_up_rotation_and_insert_fit_in_one_transaction(writer: Connection) -> None:
    await _remember(writer, "old", NOW)
    async with writer.transaction():
        assert await _remembered(writer) == ["old"]
        assert await writer.fetchval(ROTATE, DAY_AFTER) is True
        await _remember(writer, "old", DAY_AFTER)
    assert await _remembered(writer) == ["old"]


async def test_a_second_writer_that_has_looked_up_delays_rotation_without_deadlock(
    shard: ShardInDatabase, writer: Connection
) -> None:
    await _remember(writer, "old", NOW)
    async with connected(shard.dsn("writer")) as second:
        waiting = second.transaction()
        await waiting.start()
        await _remembered(second)
        with pytest.raises(LockNotAvailableError):
            await writer.fetchval(ROTATE, DAY_AFTER)
        await waiting.rollback()
    assert await writer.fetchval(ROTATE, DAY_AFTER) is True


async def test_looking_costs_the_same_however_many_rows_there_are(
    database: Database, shard: ShardInDatabase, writer: Connection
) -> None:
    await writer.fetchval(ROTATE, NOW)
    await database.admin.execute(
        f"INSERT INTO {shard.schema}.dedupe (slot, tenant_id, id, received_at, sequence, body_sha256)"
        " SELECT $1::int, 'tenant-a', n::text, $2, n, '' FROM generate_series(1, 50000) n",
        dedupe_slot(NOW),
        NOW,
    )
    await writer.fetchval(ROTATE, NOW)
    plan = await writer.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS, FORMAT TEXT) {ROTATE.replace('$1', f'to_timestamp({NOW // 1_000_000})')}"
    )
    buffers = next(row[0] for row in plan if "Buffers:" in row[0])
    assert int(buffers.partition("hit=")[2].split()[0]) < 20, buffers
