"""Events in PostgreSQL, read as one tenant."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from asyncpg import Record

from audit_core.errors import QueryTooBroad, StoreUnavailable
from audit_core.query import FILTERED_COLUMNS, Filters, Order, Search, Span, span
from audit_core.query_windows import windows
from audit_functions.adapters.postgres import ConnectionPool, away_as_unavailable, pooled, sql
from audit_functions.query.service import Found, StoredEvent

QUERY_SECONDS: Final = 10.0
"""What one query may take. The role's statement_timeout is the same, for each of its statements."""
COMMAND_TIMEOUT_SECONDS: Final = 12.0
"""Longer than both, so that a slow statement is told apart from a dead server."""
MAX_PAGE_BYTES: Final = 4 * 1024 * 1024
"""Of bodies on a page, which then ends before its limit: a thousand of the largest events would be 256 MiB."""
_PARTITIONS_SECONDS: Final = 60.0

SETTINGS: Final = {
    # A plan made without the values knows neither the partitions nor how many events match.
    "plan_cache_mode": "force_custom_plan",
    # Every page follows the primary key and stops when it is full. What looks cheaper to the planner is so only if its
    # estimate is right, and costs the whole log when it is wrong.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    # A reader's pages must not take the cores that the writer needs.
    "max_parallel_workers_per_gather": "0",
}
_ADVICE: Final = "narrow `from` and `to`"
_SQL: Final = sql("query")
_PAGE: Final = {Order.ASCENDING: _SQL["page_ascending"], Order.DESCENDING: _SQL["page_descending"]}
_EVERYTHING: Final = span(Search(filters=Filters()), None)


class EventStore:
    """The events of one shard. Every statement runs in a transaction that has named its tenant."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.away: str | None = None
        """Why the database could not be used the last time, or None when it could or was not asked."""
        self._pool = pool
        self._partition_bounds: Sequence[int] = ()
        self._partitions_until = 0.0

    async def page(self, tenant_id: str, search: Search, where: Span) -> Found:
        """Return at most `search.limit` events. Raises StoreUnavailable and QueryTooBroad."""
        events: list[StoredEvent] = []
        room = MAX_PAGE_BYTES
        for window in await self._windows(where, search.order):
            limit = search.limit - len(events)
            arguments = page_arguments(search.filters, window, limit=limit, room=room)
            rows = await self._fetch(tenant_id, _PAGE[search.order], *arguments)
            if rows:
                events += [StoredEvent(*row[:-1]) for row in rows]
                room -= rows[-1]["bytes_before"] + len((events[-1].body or "").encode())
            if len(events) == search.limit or room <= 0:
                return Found(events=events, full=True)
        return Found(events=events, full=False)

    async def newest(self, tenant_id: str, event_id: str) -> StoredEvent | None:
        """Return the newest event of that id. Raises StoreUnavailable and QueryTooBroad."""
        for window in await self._windows(_EVERYTHING, Order.DESCENDING):
            rows = await self._fetch(tenant_id, _SQL["newest_event"], event_id, window.lower, window.upper)
            if rows:
                return StoredEvent(*rows[0])
        return None

    async def answers(self) -> bool:
        """Tell whether the database answers now."""
        try:
            async with self._noting():
                await self._pool.fetchval(_SQL["answer"])
        except StoreUnavailable:
            return False
        return True

    async def _fetch(self, tenant_id: str, statement: str, *arguments: object) -> list[Record]:
        """Run one statement as the tenant, in a transaction of its own: what it locks is locked until that ends."""
        async with self._noting(), self._pool.acquire() as connection, connection.transaction(readonly=True):
            await connection.execute(_SQL["name_tenant"], tenant_id)
            return await connection.fetch(statement, tenant_id, *arguments)

    @asynccontextmanager
    async def _noting(self) -> AsyncIterator[None]:
        """Translate errors, and note whether the database could be used."""
        try:
            with away_as_unavailable():
                yield
        except StoreUnavailable as error:
            self.away = error.reason
            raise
        except asyncpg.LockNotAvailableError as error:
            raise StoreUnavailable(type(error).__name__) from error
        except asyncpg.QueryCanceledError as error:
            raise _too_broad() from error
        self.away = None

    async def _windows(self, where: Span, order: Order) -> Iterator[Span]:
        """Return the windows of a span; the iterator raises QueryTooBroad when the query has had its time."""
        if time.monotonic() >= self._partitions_until:
            async with self._noting():
                rows = await self._pool.fetch(_SQL["partition_bounds"])
            self._partition_bounds = [row[0] for row in rows]
            self._partitions_until = time.monotonic() + _PARTITIONS_SECONDS
        return _in_time(windows(where, order, self._partition_bounds))


def page_arguments(filters: Filters, window: Span, *, limit: int, room: int) -> tuple[object, ...]:
    """Return what a page's statement takes behind the tenant: at most `limit` events of `room` bytes."""
    any_of = (getattr(filters, column) or None for column in FILTERED_COLUMNS)
    return (window.lower, window.upper, window.sequence, limit, *any_of, room)


def _in_time(spans: Iterator[Span]) -> Iterator[Span]:
    until = time.monotonic() + QUERY_SECONDS
    for each in spans:
        if time.monotonic() >= until:
            raise _too_broad()
        yield each


def _too_broad() -> QueryTooBroad:
    return QueryTooBroad("no page was found within the time that a query may take", _ADVICE)


@asynccontextmanager
async def opened(dsn: str, *, command_timeout: float = COMMAND_TIMEOUT_SECONDS) -> AsyncIterator[EventStore]:
    """Open the store behind a shard's query role; connections are made when they are needed."""
    async with pooled(dsn, SETTINGS, command_timeout=command_timeout) as pool:
        yield EventStore(pool)
