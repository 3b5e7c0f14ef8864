"""What stands in the stream stands in PostgreSQL once, in order, whatever is sent again and whoever starts again."""

from __future__ import annotations

import asyncio
import hashlib

from audit_core.frame import Frame, decode_message
from audit_core.leaf import salts
from tests.support.writing import ENVELOPE, StreamedShard, a_body, a_tenant_id, an_event


async def test_events_become_rows_with_their_place_in_stream_and_log(shard: StreamedShard) -> None:
    tenants = [a_tenant_id(), a_tenant_id()]
    ingest = shard.instance()
    bodies = [a_body("doc.read", actor={"id": f"u{n}", "type": "user"}) for n in range(6)]
    for number in range(3):
        pair = bodies[2 * number : 2 * number + 2]
        await ingest.publish(tenants[number % 2], *(an_event(body) for body in pair))
    async with shard.writer():
        await shard.committed()
    rows = await shard.events()
    frames = [decode_message(message) for message in await shard.seeded.messages()]
    expected = [
        (entry.tenant_id, sequence, event.id, event.body.decode(), ENVELOPE.decode(), salt, position, place)
        for tenant in sorted(tenants)
        for sequence, (entry, event, salt, position, place) in enumerate(
            (entry, event, salts(frame.seed, 2)[position], position, place)
            for place, frame in enumerate(frames, 1)
            if isinstance(frame, Frame)
            for entry in frame.entries
            if entry.tenant_id == tenant
            for position, event in enumerate(entry.events)
        )
    ]
    found = [
        tuple(
            row[name]
            for name in (
                "tenant_id",
                "sequence",
                "id",
                "body",
                "envelope",
                "salt",
                "position",
                "stream_sequence",
            )
        )
        for row in rows
    ]
    assert found == expected
    assert {row["kind"] for row in rows} == {1}
    assert [row["actor_id"] for row in rows if row["tenant_id"] == tenants[1]] == ["u2", "u3"]
    assert {row["occurred_at"] == row["received_at"] for row in rows} == {True}


async def test_a_backlog_is_stored_in_one_transaction_up_to_a_full_batch(shard: StreamedShard) -> None:
    tenant, ingest = a_tenant_id(), shard.instance()
    body = a_body(metadata={"text": "x" * 4_000})
    for _ in range(60):
        await ingest.publish(tenant, *(an_event(body) for _ in range(5)))
    async with shard.writer():
        await shard.committed()
    assert len(await shard.events()) == 300
    assert await shard.transactions() == 1


async def test_the_offset_names_the_last_message(shard: StreamedShard) -> None:
    await shard.instance().publish(a_tenant_id())
    async with shard.writer():
        await shard.committed()
    [message] = await shard.seeded.messages()
    offset = await shard.offset()
    assert (offset.stream_sequence, offset.frame_sha256) == (1, hashlib.sha256(message).digest())


async def test_writers_that_start_again_and_again_store_each_event_once(shard: StreamedShard) -> None:
    tenant, ingest = a_tenant_id(), shard.instance()
    for _ in range(4):
        for _ in range(25):
            await ingest.publish(tenant, an_event(), an_event())
        async with shard.writer():
            await asyncio.sleep(0.05)  # in the middle of its work, or not
    async with shard.writer():
        await shard.committed()
    rows = await shard.events()
    assert [row["sequence"] for row in rows] == list(range(200))
    assert len({row["id"] for row in rows}) == 200


async def test_a_writer_that_is_cancelled_at_any_moment_loses_and_doubles_nothing(
    shard: StreamedShard,
) -> None:
    tenant, ingest = a_tenant_id(), shard.instance()
    for number in range(12):
        for _ in range(10):
            await ingest.publish(tenant, *(an_event() for _ in range(20)))
        async with shard.writer() as running:
            await asyncio.sleep(0.012 * number)
            await running.cancel()
    async with shard.writer():
        await shard.committed()
    rows = await shard.events()
    assert [row["sequence"] for row in rows] == list(range(2400))
    assert len({row["id"] for row in rows}) == 2400


async def test_a_frame_that_the_stream_stored_twice_is_taken_once(shard: StreamedShard) -> None:
    tenant, ingest = a_tenant_id(), shard.instance()
    frame = ingest.frame(tenant, [an_event(), an_event()])
    await shard.publish(frame)
    await shard.publish(frame)
    async with shard.writer() as running:
        await shard.committed()
        assert running.metric("repeated_events_total") == 2
    assert len(await shard.events()) == 2


async def test_messages_that_arrive_while_it_runs_are_committed_soon(shard: StreamedShard) -> None:
    tenant, ingest = a_tenant_id(), shard.instance()
    async with shard.writer():
        await ingest.publish(tenant)
        await shard.committed()
        for _ in range(10):
            acked = await ingest.publish(tenant)
            await shard.committed(acked.seq, seconds=1.0)
    assert len(await shard.events()) == 11
