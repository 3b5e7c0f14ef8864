"""What cannot be stored as an event is kept with its bytes, has its leaf, and holds up nobody."""

from __future__ import annotations

from audit_core.control import GapArguments, gap_frame
from audit_core.frame import ControlFrame, encode_control
from tests.support.writing import StreamedShard, a_body, a_tenant_id, an_event

TENANT = a_tenant_id()
LETTER = ("stream_sequence", "position", "tenant_id", "sequence", "raw")


async def letters(shard: StreamedShard) -> list[tuple[object, ...]]:
    rows = await shard.table("dead_letter")
    return sorted(tuple(row[name] for name in LETTER) for row in rows)


async def test_a_message_that_does_not_decode_gets_a_leaf_in_the_shards_own_log(shard: StreamedShard) -> None:
    ingest = shard.instance()
    garbage = [
        b"garbage",
        ingest.frame(TENANT, [an_event()])[:-3],
        encode_control(ControlFrame("gap", TENANT, b"{}", "")),
    ]
    await ingest.publish(TENANT)
    for message in garbage:
        await shard.publish(message)
    await ingest.publish(TENANT)
    async with shard.writer() as running:
        await shard.committed()
        assert running.metric("dead_letters_total") == 3
    leaves = await shard.events(f"tenant_id = '{shard.shard_id}'")
    assert [(leaf["sequence"], leaf["kind"], leaf["body"], leaf["position"]) for leaf in leaves] == [
        (number, 3, None, 0) for number in range(3)
    ]
    assert await letters(shard) == [
        (place, 0, shard.shard_id, place - 2, message) for place, message in enumerate(garbage, 2)
    ]
    assert len(await shard.events(f"tenant_id = '{TENANT}'")) == 2


async def test_ingest_cannot_order_what_only_an_operator_may(shard: StreamedShard) -> None:
    order = encode_control(gap_frame(shard.shard_id, GapArguments(first=1, last=9), "intruder"))
    await shard.publish(order)
    async with shard.writer():
        await shard.committed()
    [leaf] = await shard.events()
    assert leaf["kind"] == 3


async def test_a_body_that_is_no_event_keeps_its_place_among_its_neighbours(shard: StreamedShard) -> None:
    await shard.instance().publish(TENANT, an_event(), an_event(b"\xff", id="bad"), an_event())
    async with shard.writer():
        await shard.committed()
    rows = await shard.events()
    assert [(row["sequence"], row["kind"], row["body"] is None) for row in rows] == [
        (0, 1, False), (1, 1, True), (2, 1, False),
    ]  # fmt: skip
    assert await letters(shard) == [(1, 1, TENANT, 1, b"\xff")]


async def test_events_that_postgres_refuses_all_the_same_keep_their_leaves(shard: StreamedShard) -> None:
    # Stands for what nobody foresaw: the database refuses a value that passed every check before it.
    await shard.admin.execute(
        f"ALTER TABLE {shard.schema}.event ADD CONSTRAINT unforeseen CHECK (action <> 'poison') NOT VALID"
    )
    ingest = shard.instance()
    poison = a_body(action="poison")
    for number in range(30):
        events = [an_event() for _ in range(10)]
        if number in (3, 17):
            events[4] = an_event(poison, id=f"poison-{number}")
        await ingest.publish(TENANT, *events)
    async with shard.writer():
        await shard.committed()
        await ingest.publish(TENANT)
        await shard.committed()
    rows = await shard.events()
    assert [row["sequence"] for row in rows] == list(range(301))
    bare = [row for row in rows if row["body"] is None]
    assert [(row["id"], row["sequence"], row["kind"], row["event_type"]) for row in bare] == [
        ("poison-3", 34, 1, None), ("poison-17", 174, 1, None),
    ]  # fmt: skip
    assert await letters(shard) == [(4, 4, TENANT, 34, poison), (18, 4, TENANT, 174, poison)]
    assert {row["reason"] for row in await shard.table("dead_letter")} == {"SQLSTATE 23514"}


async def test_a_database_that_refuses_everything_freezes_the_shard_and_is_tried_again(
    shard: StreamedShard,
) -> None:
    await shard.admin.execute(
        f"ALTER TABLE {shard.schema}.event ADD CONSTRAINT broken CHECK (sequence < 0) NOT VALID"
    )
    ingest = shard.instance()
    for _ in range(3):
        await ingest.publish(TENANT)
    async with shard.writer():
        frozen = await shard.freezes("store_contradicts")
        assert frozen.evidence["sqlstate"] == "23514"
        await shard.admin.execute(f"ALTER TABLE {shard.schema}.event DROP CONSTRAINT broken")
        await shard.thaws()
        await shard.committed()
    assert [row["body"] is None for row in await shard.events()] == [False] * 3


async def test_a_log_that_is_longer_than_its_head_freezes_the_shard(shard: StreamedShard) -> None:
    ingest = shard.instance()
    await ingest.publish(TENANT)
    async with shard.writer():
        await shard.committed()
        [row] = await shard.events()
    await shard.admin.execute(f"UPDATE {shard.schema}.log_head SET size = 0")
    await shard.admin.execute(f"DELETE FROM {shard.schema}.producer")
    await shard.admin.execute(
        f"UPDATE {shard.schema}.shard_offset SET stream_sequence = 0, frame_sha256 = NULL"
    )
    async with shard.writer():
        frozen = await shard.freezes("store_contradicts")
        assert frozen.evidence["constraint"].endswith("_pkey")  # type: ignore[union-attr]  # it is a text
    assert await shard.events() == [row]
