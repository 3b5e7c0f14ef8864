"""Ids from clients are remembered over midnight and restarts, and forgotten a day later, by the stream's time alone.

The stream's clock cannot be set, so batches of other days are settled here and stored as the writer stores them.
"""

from __future__ import annotations

import pytest

from audit_core.frame import DEDUPE_WINDOW_US, FrameEvent
from audit_core.outcome import Fate
from audit_core.partitions import DAY_MICROSECONDS
from audit_core.tenant import ingest_subject
from audit_functions.writer.intake import Intake, keys_of
from audit_functions.writer.ledger import Ledger
from audit_functions.writer.ports import Store
from audit_functions.writer.settle import Batch, Settling
from audit_functions.writer.state import FenceLost, Message
from tests.support.writing import Instance, StreamedShard, a_body, a_tenant_id, an_event

TENANT = a_tenant_id()
MIDNIGHT = 1_764_028_800_000_000
OTHER = a_body("other")


async def prepared(
    shard: StreamedShard, store: Store, ingest: Instance, at: int, *events: FrameEvent
) -> Batch:
    """Prepare a batch of one frame from what is stored, as a writer that has just started does."""
    offset = await store.offset()
    frame = ingest.frame(TENANT, events)
    intake = Intake(shard.shard_id, offset)
    intake.add([Message(offset.stream_sequence + 1, at * 1000, ingest_subject(shard.shard_id), frame)])
    [read] = await intake.cut()
    ledger = Ledger(offset)
    wanted = ledger.wanted(*keys_of([read], shard.shard_id))
    ledger.learn(wanted, await store.look_up(wanted, since=at - DEDUPE_WINDOW_US))
    await store.ensure_partition(at)
    settling = Settling(ledger=ledger, shard_id=shard.shard_id)
    settling.take(read.message, read.content, read.received_at)
    return settling.batch()


async def stored(shard: StreamedShard, ingest: Instance, at: int, *events: FrameEvent) -> list[Fate]:
    async with shard.wired() as wired:
        batch = await prepared(shard, wired.store, ingest, at, *events)
        landed = await wired.store.land(batch)
        await landed.commit()
    return [event.fate for _, outcome in batch.outcomes for event in outcome.events]


async def test_an_id_of_yesterday_is_a_duplicate_until_24_hours_are_over(shard: StreamedShard) -> None:
    ingest, first = shard.instance(), MIDNIGHT + 3600_000_000
    fates = [
        await stored(shard, ingest, at, an_event(id="order"))
        for at in (first, first + DAY_MICROSECONDS - 1, first + DAY_MICROSECONDS)
    ]
    assert fates == [[Fate.COMMITTED], [Fate.DUPLICATE], [Fate.COMMITTED]]


async def test_over_many_days_each_day_forgets_the_one_before_the_last(shard: StreamedShard) -> None:
    ingest = shard.instance()
    for day in range(6):
        at = MIDNIGHT + day * DAY_MICROSECONDS + 5
        assert (
            await stored(shard, ingest, at, an_event(id="daily"), an_event(id=f"day-{day}"))
            == [Fate.COMMITTED] * 2
        )
        again = [an_event(OTHER, id=f"day-{day - 1}"), an_event(id="daily")]
        fates = await stored(shard, ingest, at + DAY_MICROSECONDS - 10, *again)
        assert fates == [Fate.COMMITTED, Fate.DUPLICATE]
    rows = await shard.table("dedupe")
    days = {row["received_at"] // DAY_MICROSECONDS - MIDNIGHT // DAY_MICROSECONDS for row in rows}
    assert days == {4, 5}


async def test_a_refused_commit_forgets_nothing(shard: StreamedShard) -> None:
    ingest = shard.instance()
    await stored(shard, ingest, MIDNIGHT + 5, an_event(id="first"))
    await stored(shard, ingest, MIDNIGHT + DAY_MICROSECONDS + 1, an_event(id="second"))
    async with shard.wired() as wired:
        batch = await prepared(
            shard, wired.store, ingest, MIDNIGHT + 2 * DAY_MICROSECONDS, an_event(id="third")
        )
        await shard.admin.execute(f"UPDATE {shard.schema}.shard_offset SET frame_sha256 = $1", b"x" * 32)
        landed = await wired.store.land(batch)
        with pytest.raises(FenceLost):
            await landed.commit()
    assert {row["id"] for row in await shard.table("dedupe")} == {"first", "second"}


async def test_a_conflict_is_found_over_midnight_too(shard: StreamedShard) -> None:
    ingest = shard.instance()
    await stored(shard, ingest, MIDNIGHT - 1, an_event(id="order"))
    assert await stored(shard, ingest, MIDNIGHT, an_event(OTHER, id="order")) == [Fate.CONFLICT]
    assert [row["kind"] for row in await shard.events()] == [1, 2]
