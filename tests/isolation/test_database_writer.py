"""What a writer may do, and what it may not even to its own shard."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asyncpg import Connection, FeatureNotSupportedError, InsufficientPrivilegeError

from tests.support.postgres import Database, ShardInDatabase, connected
from tests.support.rows import an_event_row, insert, make_landing


@pytest.fixture
async def shard(database: Database) -> ShardInDatabase:
    return await database.a_shard()


@pytest.fixture
async def writer(shard: ShardInDatabase) -> AsyncIterator[Connection]:
    async with connected(shard.dsn("writer")) as connection:
        yield connection


async def test_row_security_refuses_copy_into_the_log(writer: Connection) -> None:
    row = an_event_row()
    with pytest.raises(FeatureNotSupportedError, match="COPY FROM not supported with row-level security"):
        await writer.copy_records_to_table("event", records=[tuple(row.values())], columns=list(row))


async def test_copy_into_a_landing_table_and_insert_from_it_works(
    database: Database, shard: ShardInDatabase, writer: Connection
) -> None:
    rows = [an_event_row(tenant_id=f"tenant-{n % 3}") for n in range(100)]
    await make_landing(writer)
    async with writer.transaction():
        await insert(writer, *rows)
    stored = await database.admin.fetch(
        f"SELECT {', '.join(rows[0])} FROM {shard.schema}.event ORDER BY sequence"
    )
    assert [dict(row) for row in stored] == rows


async def test_a_commit_leaves_the_landing_table_empty(writer: Connection) -> None:
    await make_landing(writer)
    async with writer.transaction():
        await insert(writer, an_event_row())
    assert await writer.fetchval("SELECT count(*) FROM landing") == 0


async def test_a_temporary_table_cannot_stand_in_for_the_log(
    database: Database, shard: ShardInDatabase, writer: Connection
) -> None:
    await writer.execute("CREATE TEMPORARY TABLE event (received_at timestamptz)")
    await make_landing(writer)
    async with writer.transaction():
        await insert(writer, an_event_row())
    assert await database.admin.fetchval(f"SELECT count(*) FROM {shard.schema}.event") == 1


async def test_the_offset_is_locked_and_moved(writer: Connection) -> None:
    async with writer.transaction():
        assert await writer.fetchval("SELECT stream_sequence FROM shard_offset FOR UPDATE") == 0
        await writer.execute(
            "UPDATE shard_offset SET stream_sequence = 7, received_at = $1, frame_sha256 = $2, trimmed_through = 3",
            1,
            bytes(32),
        )
    assert await writer.fetchval("SELECT stream_sequence FROM shard_offset") == 7


async def test_heads_producers_and_duplicates_are_kept(writer: Connection) -> None:
    await writer.execute("INSERT INTO log_head VALUES ('tenant-a', 1)")
    await writer.execute(
        "INSERT INTO log_head VALUES ('tenant-a', 2) ON CONFLICT (tenant_id) DO UPDATE SET size = excluded.size"
    )
    assert await writer.fetchval("SELECT size FROM log_head") == 2
    await writer.execute(
        "INSERT INTO producer (epoch, instance, last_frame, last_stream_sequence, last_seen) VALUES ('', '', 1, 1, now())"
    )
    await writer.execute("UPDATE producer SET last_frame = 2, abandoned = '{1}', missing = '{}'")
    await writer.execute(
        "INSERT INTO dedupe (slot, tenant_id, id, received_at, sequence, body_sha256) VALUES (0, 'a', 'b', now(), 0, '')"
    )
    assert (
        await writer.fetchval("SELECT count(*) FROM dedupe WHERE slot = 0 AND tenant_id = 'a' AND id = 'b'")
        == 1
    )


REFUSED = [
    "SELECT * FROM event",
    "SELECT * FROM dead_letter",
    "INSERT INTO event_202511 DEFAULT VALUES",
    "INSERT INTO dedupe_0 DEFAULT VALUES",
    "INSERT INTO shard_offset VALUES ('x', '')",
    "UPDATE event SET body = ''",
    "UPDATE shard_offset SET shard_id = 'x'",
    "UPDATE log_head SET tenant_id = 'x'",
    "UPDATE producer SET instance = ''",
    "UPDATE dedupe SET sequence = 0",
    "UPDATE dead_letter SET reason = ''",
    "DELETE FROM event",
    "DELETE FROM dedupe",
    "DELETE FROM shard_offset",
    "DELETE FROM log_head",
    "DELETE FROM producer",
    "DELETE FROM dead_letter",
    "TRUNCATE event",
    "TRUNCATE dedupe_0",
    "TRUNCATE log_head",
]


async def test_a_writer_can_neither_read_the_log_nor_take_anything_back(
    writer: Connection, subtests: pytest.Subtests
) -> None:
    for attempt in REFUSED:
        with subtests.test(attempt), pytest.raises(InsufficientPrivilegeError):
            await writer.execute(attempt)


async def test_a_frozen_writer_is_bounded_below_ten_seconds(writer: Connection) -> None:
    shown = {
        name: await writer.fetchval(f"SHOW {name}")
        for name in (
            "synchronous_commit",
            "idle_in_transaction_session_timeout",
            "statement_timeout",
            "lock_timeout",
            "tcp_user_timeout",
            "tcp_keepalives_idle",
            "tcp_keepalives_interval",
            "tcp_keepalives_count",
            "TimeZone",
        )
    }
    assert shown == {
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": "8s",
        "statement_timeout": "30s",
        "lock_timeout": "10s",
        "tcp_user_timeout": "8000",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "1",
        "tcp_keepalives_count": "3",
        "TimeZone": "UTC",
    }
