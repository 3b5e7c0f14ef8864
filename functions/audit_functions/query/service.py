"""Read a tenant's log: one page of a list, or one event. Knows neither HTTP nor the database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from audit_core.errors import NotFound
from audit_core.query import Position, Search, Span, span
from audit_core.schema import EventId
from audit_functions.query.cursor import Listing, seal, unseal
from audit_functions.query.gate import Gate


class Reader(msgspec.Struct, frozen=True, kw_only=True):
    """Who reads. `secret` is the tenant's; of its queries `concurrency` may be under way and `share` run at once."""

    tenant_id: str
    secret: bytes
    concurrency: int
    share: int

    def __repr__(self) -> str:
        return f"Reader({self.tenant_id})"


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as it is stored. `received_at` in µs; envelope and body are JSON, and None once erased."""

    received_at: int
    sequence: int
    id: str
    envelope: str | None
    body: str | None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Events in order. `full`: the page ended before the list did, as far as is known."""

    events: list[StoredEvent]
    full: bool


class Store(Protocol):
    """Where events are. Raises StoreUnavailable, and QueryTooBroad for what would take too long."""

    async def page(self, tenant_id: str, search: Search, where: Span) -> Found:
        """Return at most `search.limit` events in the order of the search."""
        ...

    async def newest(self, tenant_id: str, event_id: str) -> StoredEvent | None:
        """Return the newest event of that id."""
        ...


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Some events in order. `next_cursor` is None when there were no more at that moment."""

    events: Sequence[StoredEvent]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Query:
    """Answer the readers of one shard."""

    store: Store
    gate: Gate

    async def page(self, reader: Reader, search: Search) -> Page:
        """Return one page. Raises InvalidQuery for a foreign cursor, and what the gate and the store raise."""
        listing = Listing(
            tenant_id=reader.tenant_id, route="logs", filters=search.filters, order=search.order
        )
        after = None if search.cursor is None else unseal(reader.secret, listing, search.cursor)
        async with self._admitted(reader):
            found = await self.store.page(reader.tenant_id, search, span(search, after))
        if not found.full:
            return Page(events=found.events, next_cursor=None)
        last = Position(received_at=found.events[-1].received_at, sequence=found.events[-1].sequence)
        return Page(events=found.events, next_cursor=seal(reader.secret, listing, last))

    async def event(self, reader: Reader, event_id: str) -> StoredEvent:
        """Return the newest event of that id. Raises NotFound, and what the gate and the store raise."""
        try:
            msgspec.convert(event_id, EventId)
        except msgspec.ValidationError:
            raise NotFound("event") from None
        async with self._admitted(reader):
            event = await self.store.newest(reader.tenant_id, event_id)
        if event is None:
            raise NotFound("event")
        return event

    def _admitted(self, reader: Reader) -> AbstractAsyncContextManager[None]:
        return self.gate.admitted(reader.tenant_id, concurrency=reader.concurrency, share=reader.share)
