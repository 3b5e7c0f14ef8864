"""Readers of one pool share connections and never each other's events."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest

from audit_core.errors import QueryTooBroad
from audit_core.query import Filters, span
from audit_core.tenant import Isolation, role_name
from audit_functions.adapters.postgres import connected, sql
from audit_functions.query.service import Query
from audit_functions.query.store import MAX_PAGE_BYTES, SETTINGS, page_arguments
from tests.support.events import an_event
from tests.support.postgres import NOW, Database, ShardInDatabase
from tests.support.reading import Logged, a_logged, a_reader, a_search, events_of, pages, reading, write

TENANTS = ("tenant-a", "tenant-b", "tenant-c")
EVENTS = 60


def _a_log(tenant_id: str) -> list[Logged]:
    return [
        a_logged(
            an_event(metadata={"of": tenant_id}),
            tenant_id=tenant_id,
            received_at=NOW + sequence // 3,
            sequence=sequence,
            id=f"e-{sequence}",
        )
        for sequence in range(EVENTS)
    ]


LOGS = {tenant_id: _a_log(tenant_id) for tenant_id in TENANTS}


@pytest.fixture
async def pool(database: Database) -> ShardInDatabase:
    shard = await database.a_shard(isolation=Isolation.POOLED)
    for log in LOGS.values():
        await write(shard, log)
    return shard


@pytest.fixture
async def query(pool: ShardInDatabase) -> AsyncIterator[Query]:
    async with reading(pool) as query:
        yield query


async def _sees_exactly_its_own(query: Query, tenant_id: str) -> None:
    walked = events_of(await pages(query, a_reader(tenant_id), a_search(order="asc", limit=25)))
    assert walked == [logged.event for logged in LOGS[tenant_id]]


async def test_each_reader_sees_its_own_log_and_no_other(query: Query) -> None:
    for tenant_id in TENANTS:
        await _sees_exactly_its_own(query, tenant_id)
    nobody = await pages(query, a_reader("tenant-d"), a_search())
    assert events_of(nobody) == []


async def test_readers_at_the_same_time_on_the_same_connections_stay_apart(query: Query) -> None:
    choice = random.Random(7)
    crowd = choice.choices(TENANTS, k=16) + list(TENANTS) * 4
    await asyncio.gather(*(_sees_exactly_its_own(query, tenant_id) for tenant_id in crowd))


async def test_an_id_that_every_tenant_uses_leads_to_the_readers_own_event(query: Query) -> None:
    for tenant_id in TENANTS:
        assert await query.event(a_reader(tenant_id), "e-7") == LOGS[tenant_id][7].event


async def test_without_its_own_condition_every_statement_still_sees_one_tenant_only(
    pool: ShardInDatabase,
) -> None:
    """The policy alone keeps tenants apart: what a mistake in our statements would cost is nothing."""
    newest_first, oldest_first = span(a_search(), None), span(a_search(order="asc"), None)
    arguments = {
        "page_descending": page_arguments(Filters(), newest_first, limit=1000, room=MAX_PAGE_BYTES),
        "page_ascending": page_arguments(Filters(), oldest_first, limit=1000, room=MAX_PAGE_BYTES),
        "newest_event": ("e-7", newest_first.lower, newest_first.upper),
    }
    async with connected(pool.dsn("query"), SETTINGS, command_timeout=60) as reader:
        for name, given in arguments.items():
            careless, conditions = re.subn(r"tenant_id = \$1\b", "$1::text IS NOT NULL", sql("query")[name])
            assert conditions == 1
            for tenant_id in TENANTS:
                async with reader.transaction():
                    await reader.execute(sql("query")["name_tenant"], tenant_id)
                    rows = await reader.fetch(careless, tenant_id, *given)
                bodies = {row["body"] for row in rows}
                assert bodies == {LOGS[tenant_id][0].event.body}
            assert await reader.fetch(careless, "tenant-a", *given) == []


async def test_naming_one_tenant_and_asking_for_another_finds_nothing(pool: ShardInDatabase) -> None:
    listing = page_arguments(Filters(), span(a_search(), None), limit=1000, room=MAX_PAGE_BYTES)
    async with connected(pool.dsn("query"), SETTINGS, command_timeout=60) as reader, reader.transaction():
        await reader.execute(sql("query")["name_tenant"], "tenant-a")
        assert await reader.fetch(sql("query")["page_descending"], "tenant-b", *listing) == []


async def test_a_query_that_was_cut_off_leaves_no_name_on_its_connection(
    database: Database, pool: ShardInDatabase
) -> None:
    role = role_name(pool.shard_id, "query")
    await database.admin.execute(f"ALTER ROLE {role} SET statement_timeout = '100ms'")
    async with reading(pool) as query:
        async with database.admin.transaction():
            await database.admin.execute(f"LOCK TABLE {pool.schema}.event")
            cut_off = [query.page(a_reader("tenant-a"), a_search()) for _ in range(4)]
            outcomes = await asyncio.gather(*cut_off, return_exceptions=True)
            given_up = asyncio.create_task(query.page(a_reader("tenant-a"), a_search()))
            await asyncio.sleep(0.02)
            given_up.cancel()
            await asyncio.gather(given_up, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [QueryTooBroad] * 4
        for _ in range(4):
            await _sees_exactly_its_own(query, "tenant-b")
