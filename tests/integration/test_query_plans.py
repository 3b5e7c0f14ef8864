"""A page follows the primary key and stops when it is full, whatever the planner believes of the table."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import msgspec
import pytest
from asyncpg import Connection

from audit_core.query import Order, Search, span
from audit_core.tenant import Isolation
from audit_functions.adapters.postgres import connected, sql
from audit_functions.query.store import MAX_PAGE_BYTES, SETTINGS, page_arguments
from tests.support.postgres import NOW, Database, ShardInDatabase, unprepared
from tests.support.reading import a_search

ROWS = 60_000
DAY = 86_400_000_000
SQL = sql("query")
PAGES = {Order.DESCENDING: "page_descending", Order.ASCENDING: "page_ascending"}
SEARCHES = {
    "everything": a_search(),
    "oldest first": a_search(order="asc"),
    "a common value": a_search(event_type="user.login"),
    "a rare value": a_search(correlation_id="c-59999"),
    "a value that nobody has": a_search(user_id="nobody", order="asc"),
    "many filters": a_search(
        user_id="u-1", ip="10.0.0.1", service="web", outcome="denied", severity="critical"
    ),
    "a few hours": a_search(from_="2025-11-24T18:00:00Z", to="2025-11-24T20:00:00Z", user_id=["u-1", "u-2"]),
}


async def _fill(database: Database, shard: ShardInDatabase, tenants: int) -> None:
    await database.admin.execute(
        f"""
        INSERT INTO {shard.schema}.event (
            tenant_id, id, received_at, sequence, stream_sequence, position, kind, id_from_client, epoch,
            event_type, action, outcome, severity, actor_id, correlation_id, service, ip)
        SELECT 'tenant-' || n % {tenants}, 'id-' || n, '2025-11-24T16:00Z'::timestamptz + n * interval '1 second',
            n, n, 0, 1, false, '', 'user.login', 'login', 'success', 'info', 'u-' || n % 500, 'c-' || n, 'web',
            '10.0.0.' || n % 250
        FROM generate_series(1, {ROWS}) n
        """
    )


@pytest.fixture(params=Isolation, ids=lambda isolation: isolation.value)
async def shard(database: Database, request: pytest.FixtureRequest) -> ShardInDatabase:
    shard = await database.a_shard(isolation=request.param)
    await _fill(database, shard, tenants=1 if request.param is Isolation.DEDICATED else 10)
    return shard


@pytest.fixture
async def reader(shard: ShardInDatabase) -> AsyncIterator[Connection]:
    async with connected(shard.dsn("query"), SETTINGS, command_timeout=60) as reader:
        yield reader


async def test_every_statement_prepares_for_the_role_that_runs_it(reader: Connection) -> None:
    assert await unprepared(reader, SQL) == {}


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
async def test_a_page_walks_the_primary_key(
    database: Database, shard: ShardInDatabase, reader: Connection, subtests: pytest.Subtests, analyzed: bool
) -> None:
    if analyzed:
        await database.admin.execute(f"ANALYZE {shard.schema}.event")
    for name, search in SEARCHES.items():
        with subtests.test(name):
            plan = await _plan(reader, PAGES[search.order], *_arguments(search))
            backward = "Backward " if search.order is Order.DESCENDING else ""
            for scan in _scans(plan):
                assert scan.startswith(f"Index Scan {backward}using event_20")
                assert "_pkey on event_20" in scan
            assert all(
                "tenant_id = 'tenant-0'" in each and "received_at" in each for each in _conditions(plan)
            )
            assert "Sort" not in plan


async def test_a_full_page_reads_little_more_than_it_shows(reader: Connection) -> None:
    search = SEARCHES["a common value"]
    plan = await _plan(
        reader, "page_descending", *_arguments(search), explain="ANALYZE, BUFFERS, FORMAT JSON"
    )
    whole = msgspec.json.decode(plan)[0]["Plan"]
    assert whole["Actual Rows"] == 50
    assert whole["Shared Hit Blocks"] + whole["Shared Read Blocks"] < 60


async def test_the_time_of_a_search_leaves_partitions_out(reader: Connection) -> None:
    search = SEARCHES["a few hours"]
    plan = await _plan(reader, "page_descending", *_arguments(search))
    assert {scan.split(" on ")[1].split()[0] for scan in _scans(plan)} == {"event_202511"}


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
async def test_an_id_is_found_by_the_index_on_ids(
    database: Database, shard: ShardInDatabase, reader: Connection, analyzed: bool
) -> None:
    if analyzed:
        await database.admin.execute(f"ANALYZE {shard.schema}.event")
    plan = await _plan(reader, "newest_event", "id-100", NOW, NOW + 30 * DAY)
    assert all("_tenant_id_id_idx on event_20" in scan for scan in _scans(plan))
    assert all("id = 'id-100'" in each for each in _conditions(plan))


async def test_a_sixth_run_is_planned_with_its_values_like_the_first(reader: Connection) -> None:
    search = SEARCHES["everything"]
    for _ in range(8):
        await _run(reader, SQL[PAGES[search.order]], *_arguments(search))
    [plans] = await reader.fetch(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement = $1",
        SQL[PAGES[search.order]],
    )
    assert tuple(plans) == (0, 8)


def _arguments(search: Search) -> tuple[object, ...]:
    return page_arguments(search.filters, span(search, None), limit=search.limit, room=MAX_PAGE_BYTES)


async def _run(reader: Connection, statement: str, *arguments: object) -> list[str]:
    async with reader.transaction():
        await reader.execute(SQL["name_tenant"], "tenant-0")
        return [row[0] for row in await reader.fetch(statement, "tenant-0", *arguments)]


async def _plan(reader: Connection, statement: str, *arguments: object, explain: str = "COSTS OFF") -> str:
    return "\n".join(await _run(reader, f"EXPLAIN ({explain}) {SQL[statement]}", *arguments))


def _scans(plan: str) -> list[str]:
    scans = [
        line.strip(" ->")
        for line in plan.splitlines()
        if " Scan " in line and not re.search("CTE Scan|Subquery Scan", line)
    ]
    assert scans
    return scans


def _conditions(plan: str) -> list[str]:
    return [line for line in plan.splitlines() if "Index Cond" in line]
