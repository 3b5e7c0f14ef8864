"""Who waits for a commit hears what became of each event of its frame, and where it stands."""

from __future__ import annotations

import asyncio

from nats.aio.msg import Msg

from audit_core.outcome import EventOutcome, Fate, FrameOutcome, decode_outcome
from audit_core.tenant import outcome_subject
from tests.support.writing import StreamedShard, a_body, a_tenant_id, an_event

TENANT = a_tenant_id()


async def test_committed_duplicate_and_conflict_are_told_with_their_sequence(shard: StreamedShard) -> None:
    ingest = shard.instance()
    heard: asyncio.Queue[FrameOutcome] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(decode_outcome(message.data))

    await shard.ingest.subscribe(outcome_subject(shard.shard_id, ingest.instance), cb=hear)
    await shard.ingest.flush()
    async with shard.writer():
        await ingest.publish(TENANT, an_event(id="order-1"), an_event())
        first = await asyncio.wait_for(heard.get(), 5)
        await ingest.publish(TENANT, an_event(id="order-1"), an_event(a_body("other"), id="order-1"))
        second = await asyncio.wait_for(heard.get(), 5)
    rows = await shard.events()
    at = [row["received_at"] for row in rows]
    assert first == FrameOutcome(
        1, [EventOutcome(Fate.COMMITTED, 0, at[0]), EventOutcome(Fate.COMMITTED, 1, at[1])]
    )
    assert second == FrameOutcome(
        2, [EventOutcome(Fate.DUPLICATE, 0, at[0]), EventOutcome(Fate.CONFLICT, 2, at[2])]
    )
    assert [row["kind"] for row in rows] == [1, 1, 2]


async def test_an_event_is_told_only_when_a_reader_can_see_it(shard: StreamedShard) -> None:
    ingest = shard.instance()
    seen: asyncio.Queue[int] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        seen.put_nowait(len(await shard.events()))

    await shard.ingest.subscribe(outcome_subject(shard.shard_id, ingest.instance), cb=hear)
    await shard.ingest.flush()
    async with shard.writer():
        for number in range(1, 6):
            await ingest.publish(TENANT)
            assert await asyncio.wait_for(seen.get(), 5) >= number
