"""Logs that were written by the rules of the writer, and readers that walk them page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from audit_core.columns import Promoted, promoted
from audit_core.event import canonical_event
from audit_core.query import Search
from audit_core.query_parameters import parse_search
from audit_functions.adapters.postgres import MAX_CONNECTIONS
from audit_functions.query.gate import Gate
from audit_functions.query.service import Page, Query, Reader, StoredEvent
from audit_functions.query.store import opened
from tests.support.events import encoded
from tests.support.postgres import NOW, ShardInDatabase
from tests.support.rows import Row, an_event_row, store

ENVELOPE: Final = (
    '{"accepted_at":"2025-11-24T16:00:00.000000Z","key_id":"k1","principal":"ci","transport":"http"}'
)


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as it was stored, and the columns that it can be found by."""

    event: StoredEvent
    columns: Promoted
    row: Row


def a_logged(
    event: dict[str, Any],
    *,
    tenant_id: str = "tenant-a",
    received_at: int = NOW,
    sequence: int = 0,
    **changes: object,
) -> Logged:
    """Build one stored event from a body, with the columns that the writer would derive."""
    body = canonical_event(encoded(event)).body.decode()
    columns = promoted(body)
    searchable = {name: value for name, value in columns._asdict().items() if name != "occurred_at_us"}
    row = an_event_row(
        tenant_id=tenant_id, received_at=received_at, sequence=sequence, body=body, envelope=ENVELOPE
    )
    row |= searchable | changes
    stored = StoredEvent(received_at, sequence, str(row["id"]), ENVELOPE, body)
    return Logged(stored, columns, row)


async def write(shard: ShardInDatabase, log: Iterable[Logged]) -> None:
    """Store events in one transaction of the shard's writer."""
    await store(shard, *(logged.row for logged in log))


def a_reader(tenant_id: str = "tenant-a", *, secret: bytes | None = None, share: int = 4) -> Reader:
    """Build the reader of a tenant, whose secret is its own."""
    return Reader(
        tenant_id=tenant_id,
        secret=tenant_id.encode().ljust(32, b"*") if secret is None else secret,
        concurrency=16,
        share=share,
    )


@asynccontextmanager
async def reading(shard: ShardInDatabase) -> AsyncIterator[Query]:
    """Open the query function's view of a shard's database."""
    async with opened(shard.dsn("query")) as events:
        yield Query(events, Gate(MAX_CONNECTIONS))


def a_search(**parameters: object) -> Search:
    """Build a search from parameters as a query string has them; `from_` is `from`, a list repeats one."""
    pairs = []
    for name, value in parameters.items():
        values = value if isinstance(value, list) else [value]
        pairs += [(name.rstrip("_"), str(each)) for each in values]
    return parse_search(pairs)


async def pages(query: Query, reader: Reader, search: Search) -> list[Page]:
    """Walk a list to its end."""
    found = [await query.page(reader, search)]
    while found[-1].next_cursor is not None:
        found.append(await query.page(reader, replace(search, cursor=found[-1].next_cursor)))
    return found


def events_of(walked: Sequence[Page]) -> list[StoredEvent]:
    """Return the events of pages, in order."""
    return [event for page in walked for event in page.events]
