"""Walking the pages neither skips nor repeats an event while the writer commits more."""

from __future__ import annotations

import asyncio

import pytest

from audit_core.tenant import Isolation
from audit_functions.query.service import StoredEvent
from tests.support.events import an_event
from tests.support.postgres import NOW, Database, ShardInDatabase
from tests.support.reading import Logged, a_logged, a_reader, a_search, events_of, pages, reading, write

BATCH = 40
BATCHES = 25


def _a_batch(first: int) -> list[Logged]:
    """Build what one commit adds: the events of a frame share their time, which may be that of the frame before."""
    return [
        a_logged(an_event(), received_at=NOW + sequence // 60 * 1000, sequence=sequence)
        for sequence in range(first, first + BATCH)
    ]


async def _arrive(shard: ShardInDatabase) -> list[StoredEvent]:
    arrived: list[StoredEvent] = []
    for number in range(1, BATCHES):
        batch = _a_batch(number * BATCH)
        await write(shard, batch)
        arrived += [logged.event for logged in batch]
        await asyncio.sleep(0)
    return arrived


@pytest.mark.parametrize("isolation", Isolation)
async def test_newest_first_shows_what_was_there_when_the_walk_began(
    database: Database, isolation: Isolation
) -> None:
    shard = await database.a_shard(isolation=isolation)
    there = _a_batch(0)
    await write(shard, there)
    async with reading(shard) as query, asyncio.TaskGroup() as tasks:
        tasks.create_task(_arrive(shard))
        walks = [events_of(await pages(query, a_reader(), a_search(limit=7))) for _ in range(10)]
    assert len({len(walk) for walk in walks}) > 1, "nothing arrived between the walks"
    for walk in walks:
        assert [event.sequence for event in walk] == list(range(walk[0].sequence, -1, -1))


@pytest.mark.parametrize("isolation", Isolation)
async def test_oldest_first_catches_up_with_what_arrives(database: Database, isolation: Isolation) -> None:
    shard = await database.a_shard(isolation=isolation)
    there = _a_batch(0)
    await write(shard, there)
    async with reading(shard) as query, asyncio.TaskGroup() as tasks:
        arriving = tasks.create_task(_arrive(shard))
        walks = []
        while not arriving.done():
            walks.append(events_of(await pages(query, a_reader(), a_search(order="asc", limit=7))))
        walks.append(events_of(await pages(query, a_reader(), a_search(order="asc", limit=7))))
    for walk in walks:
        assert [event.sequence for event in walk] == list(range(len(walk)))
    assert walks[-1] == [logged.event for logged in there] + arriving.result()
    assert len({len(walk) for walk in walks}) > 1, "nothing arrived between the walks"
