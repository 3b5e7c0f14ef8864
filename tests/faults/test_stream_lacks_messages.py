"""Messages that the stream lost freeze the shard until an operator accepts exactly that loss."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from audit_core.control import GapArguments, gap_frame
from audit_core.errors import UnknownVersion
from audit_core.frame import decode_message
from audit_core.tenant import stream_name
from tests.support.postgres import Database, connected
from tests.support.writing import StreamedShard, a_tenant_id, an_event

TENANT = a_tenant_id()


async def lose(shard: StreamedShard, *sequences: int) -> None:
    """Take messages out of the stream, as a broken disk would."""
    name = stream_name(shard.shard_id)
    for sequence in sequences:
        request = msgspec.json.encode({"seq": sequence, "no_erase": True})
        answer = await shard.provisioner.request(f"$JS.API.STREAM.MSG.DELETE.{name}", request)
        assert msgspec.json.decode(answer.data)["success"], answer.data


async def purge(shard: StreamedShard, through: int) -> None:
    request = msgspec.json.encode({"seq": through + 1})
    await shard.provisioner.request(f"$JS.API.STREAM.PURGE.{stream_name(shard.shard_id)}", request)


@pytest.fixture
async def fragile(shard: StreamedShard) -> StreamedShard:
    """Make a shard whose stream can lose single messages."""
    await shard.streams.delete_stream(stream_name(shard.shard_id))
    await shard.make_stream(deny_delete=False)
    return shard


async def test_a_hole_freezes_the_shard_behind_what_comes_before_it(fragile: StreamedShard) -> None:
    ingest = fragile.instance()
    for _ in range(9):
        await ingest.publish(TENANT)
    await lose(fragile, 5, 6)
    async with fragile.writer():
        frozen = await fragile.freezes("gap")
        assert frozen.evidence == {"from": 5, "through": 6}
        assert (await fragile.offset()).stream_sequence == 4


async def test_a_hole_that_is_accepted_is_passed_and_leaves_its_leaf(fragile: StreamedShard) -> None:
    ingest = fragile.instance()
    for _ in range(9):
        await ingest.publish(TENANT)
    await lose(fragile, 5, 6)
    async with fragile.writer() as running:
        await fragile.freezes("gap")
        await fragile.order(gap_frame(fragile.shard_id, GapArguments(first=5, last=5), "ops"))
        await fragile.order(gap_frame(TENANT, GapArguments(first=5, last=6), "ops"))
        await asyncio.sleep(2.5)
        assert (await fragile.offset()).stream_sequence == 4
        assert await fragile.frozen() is not None
        await fragile.order(gap_frame(fragile.shard_id, GapArguments(first=5, last=6), "ops"))
        await fragile.thaws()
        await fragile.committed(12)
        assert running.metric("lost_frames_total") == 2
    assert [row["stream_sequence"] for row in await fragile.events(f"tenant_id = '{TENANT}' AND kind = 1")] == [
        1, 2, 3, 4, 7, 8, 9,
    ]  # fmt: skip
    [producer] = await fragile.table("producer")
    assert (producer["last_frame"], producer["missing"]) == (9, [5, 6])


async def test_a_lost_tail_freezes_the_shard_though_nothing_more_arrives(fragile: StreamedShard) -> None:
    ingest = fragile.instance()
    for _ in range(3):
        await ingest.publish(TENANT)
    async with fragile.writer():
        await fragile.committed()
    for _ in range(3):
        await ingest.publish(TENANT)
    await lose(fragile, 4, 5, 6)
    async with fragile.writer():
        frozen = await fragile.freezes("gap")
        assert frozen.evidence == {"from": 4, "through": 6}
        await fragile.order(gap_frame(fragile.shard_id, GapArguments(first=4, last=6), "ops"))
        await fragile.thaws()
        await fragile.committed(7)


async def test_messages_purged_before_they_were_committed_freeze_the_shard(shard: StreamedShard) -> None:
    ingest = shard.instance()
    for _ in range(6):
        await ingest.publish(TENANT)
    await purge(shard, 4)
    async with shard.writer():
        frozen = await shard.freezes("gap")
        assert frozen.evidence == {"from": 1, "through": 4}
    assert await shard.events() == []


async def test_a_purge_of_the_last_committed_message_freezes_the_shard(shard: StreamedShard) -> None:
    ingest = shard.instance()
    for _ in range(3):
        await ingest.publish(TENANT)
    async with shard.writer():
        await shard.committed()
        await purge(shard, 3)
        frozen = await shard.freezes("gap")
        assert frozen.evidence == {"from": 3, "through": 3}


async def test_a_frame_of_an_unknown_version_stops_the_shard_behind_what_comes_before_it(
    shard: StreamedShard,
) -> None:
    ingest = shard.instance()
    await ingest.publish(TENANT)
    unknown = bytearray(ingest.frame(TENANT, [an_event()]))
    unknown[2] = 2
    with pytest.raises(UnknownVersion):
        decode_message(bytes(unknown))
    await shard.publish(bytes(unknown))
    await ingest.publish(TENANT)
    async with shard.writer() as running:
        frozen = await shard.freezes("unknown_version")
        assert frozen.evidence == {"sequence": 2, "what": "frame", "version": 2}
        assert (await shard.offset()).stream_sequence == 1
        assert running.metric("shard_frozen", reason="unknown_version") == 1
    assert len(await shard.events()) == 1


async def test_a_stop_at_an_unknown_version_outlives_the_writer_until_one_commits_behind_it(
    database: Database, shard: StreamedShard
) -> None:
    ingest = shard.instance()
    await ingest.publish(TENANT)
    unknown = bytearray(ingest.frame(TENANT, [an_event()]))
    unknown[2] = 2
    await shard.publish(bytes(unknown))
    await ingest.publish(TENANT)
    async with shard.writer():
        before = await shard.freezes("unknown_version")
    async with shard.writer() as running:
        await shard.freezes("unknown_version")
        while running.writer.frozen is None:
            await shard.freezes("unknown_version")
        assert await shard.frozen() == before
        # What a release that knows the version would do: commit the message and go on.
        async with connected(database.server.dsn(database=database.name)) as newer:
            message = (await shard.seeded.messages())[1]
            await newer.execute(
                f"UPDATE {shard.schema}.shard_offset SET stream_sequence = 2, frame_sha256 = sha256($1)",
                message,
            )
        await shard.thaws()
        await shard.committed(3)
    assert len(await shard.events()) == 2
