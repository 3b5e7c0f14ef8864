"""While the database cannot be used, readers are told so at once, and find it again without anybody's help."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from audit_core.errors import QueryTooBroad, StoreUnavailable
from audit_core.tenant import role_name
from audit_functions.query.gate import Gate
from audit_functions.query.service import Query
from audit_functions.query.store import EventStore, opened
from audit_operator.clients.database import create_database, provision_database
from tests.support import postgres
from tests.support.events import an_event
from tests.support.postgres import Database, PostgresServer, ShardInDatabase
from tests.support.reading import a_logged, a_reader, a_search, write

EVENT = a_logged(an_event(), id="e-1")


@pytest.fixture
async def shard(database: Database) -> ShardInDatabase:
    shard = await database.a_shard()
    await write(shard, [EVENT])
    return shard


@pytest.fixture
async def own_server(new_postgres: Callable[[], PostgresServer]) -> PostgresServer:
    """Start a server that a test may stop."""
    server = new_postgres()
    server.start()
    return server


@pytest.fixture
async def own_shard(own_server: PostgresServer) -> ShardInDatabase:
    async with postgres.connected(own_server.dsn()) as maintenance:
        await create_database(maintenance, "audit")
    async with postgres.connected(own_server.dsn(database="audit")) as admin:
        await provision_database(admin)
        shard = await Database(server=own_server, name="audit", admin=admin).a_shard()
    await write(shard, [EVENT])
    return shard


@pytest.fixture
async def events(shard: ShardInDatabase) -> AsyncIterator[EventStore]:
    async with opened(shard.dsn("query")) as events:
        yield events


def a_query(events: EventStore) -> Query:
    return Query(events, Gate(4))


async def _reads(query: Query) -> bool:
    return list((await query.page(a_reader(), a_search())).events) == [EVENT.event]


async def test_a_stopped_server_is_said_to_be_away_and_found_again(
    own_server: PostgresServer, own_shard: ShardInDatabase
) -> None:
    async with opened(own_shard.dsn("query")) as events:
        query = a_query(events)
        assert await _reads(query)
        for stop in (own_server.stop, own_server.kill):
            stop()
            with _within(2.0), pytest.raises(StoreUnavailable):
                await query.page(a_reader(), a_search())
            with _within(2.0), pytest.raises(StoreUnavailable):
                await query.event(a_reader(), "e-1")
            assert events.away is not None
            assert not await events.answers()
            own_server.start()
            assert await _reads(query)
            assert events.away is None


async def test_a_server_that_no_longer_answers_is_given_up(
    own_server: PostgresServer, own_shard: ShardInDatabase
) -> None:
    async with opened(own_shard.dsn("query"), command_timeout=0.5) as events:
        query = a_query(events)
        assert await _reads(query)
        with _frozen(own_server), _within(10.0), pytest.raises(StoreUnavailable):
            await query.page(a_reader(), a_search())
        assert await _reads(query)


async def test_readers_under_way_are_told_when_their_server_dies(
    own_server: PostgresServer, own_shard: ShardInDatabase
) -> None:
    async with (
        postgres.connected(own_server.dsn(database="audit")) as admin,
        opened(own_shard.dsn("query")) as events,
    ):
        query = a_query(events)
        assert await _reads(query)
        await admin.execute(f"BEGIN; LOCK TABLE {own_shard.schema}.event")
        waiting = [asyncio.create_task(query.page(a_reader(), a_search())) for _ in range(3)]
        await asyncio.sleep(0.2)
        own_server.stop(signal.SIGQUIT)
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, StoreUnavailable)
    own_server.start()


async def test_a_query_that_runs_too_long_is_too_broad(database: Database, shard: ShardInDatabase) -> None:
    role = role_name(shard.shard_id, "query")
    await database.admin.execute(f"ALTER ROLE {role} SET statement_timeout = '100ms'")
    async with opened(shard.dsn("query")) as events:
        query = a_query(events)
        async with database.admin.transaction():
            await database.admin.execute(f"LOCK TABLE {shard.schema}.event")
            with pytest.raises(QueryTooBroad) as refused:
                await query.page(a_reader(), a_search())
            assert "`from`" in refused.value.advice
        assert events.away is None
        assert await _reads(query)


async def test_a_table_that_stays_locked_is_unavailable(database: Database, shard: ShardInDatabase) -> None:
    role = role_name(shard.shard_id, "query")
    await database.admin.execute(f"ALTER ROLE {role} SET lock_timeout = '100ms'")
    async with opened(shard.dsn("query")) as events:
        query = a_query(events)
        async with database.admin.transaction():
            await database.admin.execute(f"LOCK TABLE {shard.schema}.event")
            with pytest.raises(StoreUnavailable):
                await query.event(a_reader(), "e-1")
        assert await _reads(query)


async def test_a_refused_login_is_unavailable_and_tells_no_password(shard: ShardInDatabase) -> None:
    dsn = shard.dsn("query").replace(shard.passwords["query"], "not-the-password")
    async with opened(dsn) as events:
        with pytest.raises(StoreUnavailable) as refused:
            await a_query(events).page(a_reader(), a_search())
        assert refused.value.reason == events.away == "InvalidPasswordError"
        assert "not-the-password" not in str(refused.value)


async def test_connections_that_the_server_closed_are_replaced(
    database: Database, shard: ShardInDatabase, events: EventStore
) -> None:
    query = a_query(events)
    assert await _reads(query)
    await database.admin.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = $1",
        role_name(shard.shard_id, "query"),
    )
    await asyncio.sleep(0.05)
    assert await _reads(query)


async def test_no_connection_is_made_before_somebody_asks_and_never_more_than_four(
    database: Database, shard: ShardInDatabase, events: EventStore
) -> None:
    query = a_query(events)
    assert await _connections(database, shard) == 0
    await asyncio.gather(*(query.page(a_reader(str(reader)), a_search()) for reader in range(60)))
    assert 1 < await _connections(database, shard) <= 4


async def _connections(database: Database, shard: ShardInDatabase) -> int:
    return int(
        await database.admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", role_name(shard.shard_id, "query")
        )
    )


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@contextmanager
def _frozen(server: PostgresServer) -> Iterator[None]:
    """Stop the server's processes without ending them."""
    postmaster = int((server.embedded.data / "postmaster.pid").read_text().splitlines()[0])
    family = [postmaster, *_children(postmaster)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in reversed(family):
            os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
