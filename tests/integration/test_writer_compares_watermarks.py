"""What ingest was promised and never arrived is found, counted and kept, though the stream says nothing of it."""

from __future__ import annotations

import hashlib

import pytest

from audit_core.projection import Watermark
from audit_functions.writer.upkeep import Upkeep
from tests.support.writing import Instance, RunningWriter, StreamedShard, a_tenant_id, until

TENANT = a_tenant_id()


async def mark(
    shard: StreamedShard,
    ingest: Instance,
    frame: int,
    sequence: int,
    message: bytes,
    *,
    epoch: bytes | None = None,
) -> None:
    digest = hashlib.sha256(message).digest()
    await shard.watermark(
        ingest.instance,
        Watermark(
            epoch=epoch or shard.epoch, frame=frame, stream_sequence=sequence, frame_sha256=digest, at=0
        ),
    )


async def published(shard: StreamedShard, ingest: Instance, count: int) -> bytes:
    for _ in range(count):
        await ingest.publish(TENANT)
    return (await shard.seeded.messages())[-1]


async def compared(shard: StreamedShard, running: RunningWriter) -> None:
    """Compare now, beside the writer's own rhythm."""
    await Upkeep(shard=running.shard, backup="none").compare_watermarks(await shard.offset())


async def test_a_watermark_that_holds_says_nothing(shard: StreamedShard) -> None:
    ingest = shard.instance()
    message = await published(shard, ingest, 3)
    await mark(shard, ingest, 3, 3, message)
    async with shard.writer() as running:
        await shard.committed()
        await compared(shard, running)
        assert running.metric("missing_frames_count") == 0
        assert running.metric("watermark_contradictions_total") == 0


async def test_acknowledged_frames_that_never_arrived_are_recorded_once(shard: StreamedShard) -> None:
    ingest = shard.instance()
    message = await published(shard, ingest, 3)
    await mark(shard, ingest, 5, 3, message)

    async def recorded() -> bool:
        [producer] = await shard.table("producer")
        return bool(producer["missing"] == [4, 5])

    async with shard.writer() as running:
        await shard.committed()
        await until(recorded)
        assert running.metric("lost_frames_total") == 2
    ingest.number = 5
    async with shard.writer() as running:
        await ingest.publish(TENANT)
        await shard.committed()
        assert running.metric("lost_frames_total") == 0
    [producer] = await shard.table("producer")
    assert (producer["last_frame"], producer["missing"]) == (6, [4, 5])


async def test_an_instance_of_which_nothing_arrived_at_all_is_recorded(shard: StreamedShard) -> None:
    message = await published(shard, shard.instance(), 2)
    lost = shard.instance()
    await mark(shard, lost, 2, 1, message)

    async def recorded() -> bool:
        producers = {row["instance"]: row["missing"] for row in await shard.table("producer")}
        return producers.get(lost.instance) == [1, 2]

    async with shard.writer():
        await shard.committed()
        await until(recorded)


async def test_a_watermark_ahead_of_the_offset_is_not_judged_yet(shard: StreamedShard) -> None:
    ingest = shard.instance()
    message = await published(shard, ingest, 3)
    await mark(shard, ingest, 9, 4, message)
    async with shard.writer() as running:
        await shard.committed()
        await compared(shard, running)
        assert running.metric("missing_frames_count") == 0


async def test_other_bytes_where_an_acknowledged_frame_was_stored_raise_an_alarm(
    shard: StreamedShard,
) -> None:
    ingest = shard.instance()
    await published(shard, ingest, 3)
    await mark(shard, ingest, 3, 3, b"what was promised")
    async with shard.writer() as running:
        await shard.committed()
        await compared(shard, running)
        assert running.metric("watermark_contradictions_total") >= 1


@pytest.mark.parametrize("key", ["not-hex", "00"])
async def test_a_watermark_that_does_not_decode_harms_nobody(shard: StreamedShard, key: str) -> None:
    ingest = shard.instance()
    message = await published(shard, ingest, 1)
    await mark(shard, ingest, 1, 1, message)
    await shard.ingest.request(f"$KV.audit_wm_{shard.shard_id}.{key}", b"{")
    async with shard.writer() as running:
        await shard.committed()
        await compared(shard, running)
        assert running.metric("watermark_contradictions_total") == 0
