"""A log of years in daily partitions is read a few partitions at a time: the server's table of locks is finite."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest
from asyncpg import OutOfMemoryError

from audit_core.partitions import PartitionBy
from audit_core.query import Filters, span
from audit_functions.adapters.postgres import connected, sql
from audit_functions.query.store import MAX_PAGE_BYTES, SETTINGS, page_arguments
from audit_operator.clients.database import create_database, provision_database
from tests.support import postgres
from tests.support.events import an_event
from tests.support.postgres import NOW, Database, PostgresServer, ShardInDatabase
from tests.support.reading import a_logged, a_reader, a_search, events_of, pages, reading, write

DAY = 86_400_000_000
DAYS = 500
FEW_LOCKS = {"max_locks_per_transaction": "10", "max_connections": "12", "autovacuum": "off"}
LOG = [
    a_logged(an_event(), received_at=NOW - day * DAY, sequence=DAYS - day, id=f"e-{day}")
    for day in (DAYS, 333, 332, 60, 2, 0)
]
OLDEST_FIRST = [logged.event for logged in LOG]


@pytest.fixture
async def shard() -> AsyncIterator[ShardInDatabase]:
    server = PostgresServer(FEW_LOCKS)
    server.start()
    try:
        async with postgres.connected(server.dsn()) as maintenance:
            await create_database(maintenance, "audit")
        async with postgres.connected(server.dsn(database="audit")) as admin:
            await provision_database(admin)
            shard = await Database(server=server, name="audit", admin=admin).a_shard(
                partition_by=PartitionBy.DAY
            )
            for day in range(DAYS + 1):
                await admin.fetchval(f"SELECT {shard.schema}.ensure_partition($1)", NOW - day * DAY)
            for logged in LOG:
                await write(shard, [logged])
            yield shard
    finally:
        server.stop(signal.SIGQUIT)
        server.remove()


async def test_a_search_through_all_of_it_stays_within_the_locks_of_a_small_server(
    shard: ShardInDatabase,
) -> None:
    whole = page_arguments(Filters(), span(a_search(), None), limit=50, room=MAX_PAGE_BYTES)
    async with connected(shard.dsn("query"), SETTINGS, command_timeout=60) as connection:
        with pytest.raises(OutOfMemoryError):
            await connection.fetch(sql("query")["page_descending"], "tenant-a", *whole)
    async with reading(shard) as query:
        for limit in (1, 2, 50):
            oldest_first = await pages(query, a_reader(), a_search(order="asc", limit=limit))
            newest_first = await pages(query, a_reader(), a_search(limit=limit))
            assert events_of(oldest_first) == OLDEST_FIRST
            assert events_of(newest_first) == OLDEST_FIRST[::-1]
            for walked in (oldest_first, newest_first):
                assert {len(page.events) for page in walked[:-1]} <= {limit}
                assert len(walked[-1].events) < limit
        assert await query.event(a_reader(), f"e-{DAYS}") == OLDEST_FIRST[0]
        assert await query.event(a_reader(), "e-0") == OLDEST_FIRST[-1]
