"""A page of large events ends early and says how to go on, so that no answer fills the memory of a process."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence

import pytest

from audit_core.tenant import Isolation
from audit_functions.query.service import Query, StoredEvent
from audit_functions.query.store import MAX_PAGE_BYTES
from tests.support.postgres import NOW, Database
from tests.support.reading import Logged, a_logged, a_reader, a_search, events_of, pages, reading, write

MONTH = 31 * 86_400_000_000
LARGEST = 31_000


def _a_log() -> list[Logged]:
    """Build a log in three partitions: events of any size, multi-byte text among them, and some without payload."""
    choice = random.Random(3)
    log = []
    for sequence in range(800):
        text = choice.choice(["x" * 30_000, "ü" * 15_000, "short"])
        event = {"event_type": "large.one", "metadata": {"text": text}}
        at = NOW + sequence * MONTH // 400
        if choice.random() < 0.1:
            log.append(a_logged(event, received_at=at, sequence=sequence, body=None, envelope=None))
        else:
            log.append(a_logged(event, received_at=at, sequence=sequence))
    return log


LOG = _a_log()
EVENTS = [
    StoredEvent(
        logged.event.received_at,
        logged.event.sequence,
        logged.event.id,
        logged.event.envelope if logged.row["body"] else None,
        logged.event.body if logged.row["body"] else None,
    )
    for logged in LOG
]


@pytest.fixture(params=Isolation, ids=lambda isolation: isolation.value)
async def query(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Query]:
    shard = await database.a_shard(isolation=request.param)
    await write(shard, LOG)
    async with reading(shard) as query:
        yield query


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_that_end_early_leave_nothing_out(query: Query, order: str) -> None:
    walked = await pages(query, a_reader(), a_search(order=order, limit=1000))
    assert events_of(walked) == (EVENTS if order == "asc" else EVENTS[::-1])
    assert len(walked) > 2
    for page in walked[:-1]:
        assert MAX_PAGE_BYTES <= _bytes(page.events) < MAX_PAGE_BYTES + LARGEST
    assert _bytes(walked[-1].events) < MAX_PAGE_BYTES


async def test_a_limit_that_is_reached_first_counts_first(query: Query) -> None:
    walked = await pages(query, a_reader(), a_search(limit=30))
    assert events_of(walked) == EVENTS[::-1]
    assert {len(page.events) for page in walked[:-1]} == {30}


def _bytes(events: Sequence[StoredEvent]) -> int:
    return sum(len((event.body or "").encode()) for event in events)
