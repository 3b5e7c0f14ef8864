"""A stream that is not the one the offset belongs to freezes its shard, and only its shard, until somebody decides."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from audit_core.control import EpochArguments, epoch_frame
from audit_core.tenant import stream_name
from tests.support.nats import NatsServer
from tests.support.postgres import Database
from tests.support.writing import NewShard, StreamedShard, a_tenant_id, streamed_shard, until

TENANT = a_tenant_id()


async def committed(shard: StreamedShard, count: int = 3) -> None:
    """Publish frames and commit them."""
    ingest = shard.instance()
    for _ in range(count):
        await ingest.publish(TENANT)
    async with shard.writer():
        await shard.committed()


async def test_a_stream_that_vanished_freezes_the_shard(shard: StreamedShard) -> None:
    await committed(shard)
    async with shard.writer() as running:
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        frozen = await shard.freezes("stream_missing")
        assert frozen.evidence == {"offset": 3}
        assert running.metric("shard_frozen", reason="stream_missing") == 1


async def test_a_stream_that_was_made_anew_freezes_the_shard_and_nothing_of_it_is_taken(
    shard: StreamedShard,
) -> None:
    await committed(shard)
    async with shard.writer():
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.make_stream()
        await shard.instance().publish(TENANT)
        frozen = await shard.freezes("stream_shrank")
        assert frozen.evidence == {"offset": 3, "last": 1}
    assert len(await shard.events()) == 3


async def test_a_stream_of_another_epoch_freezes_the_shard(shard: StreamedShard) -> None:
    await committed(shard)
    other = b"x" * 16
    async with shard.writer():
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.make_stream(other)
        for _ in range(5):
            await shard.instance().publish(TENANT)
        frozen = await shard.freezes("epoch_changed")
        assert frozen.evidence == {"stored": shard.epoch.hex(), "stream": other.hex()}
    assert len(await shard.events()) == 3


async def test_other_messages_under_the_same_numbers_freeze_the_shard(shard: StreamedShard) -> None:
    await committed(shard)
    async with shard.writer():
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.make_stream()
        for _ in range(5):
            await shard.instance().publish(TENANT)
        frozen = await shard.freezes("frame_differs")
        assert frozen.evidence["offset"] == 3
    assert len(await shard.events()) == 3


async def test_the_other_shards_go_on(new_shard: NewShard) -> None:
    async with new_shard() as broken, new_shard() as sound:
        await committed(broken)
        await committed(sound)
        async with broken.writer(), sound.writer():
            await broken.streams.delete_stream(stream_name(broken.shard_id))
            await broken.freezes("stream_missing")
            await sound.instance().publish(TENANT)
            await sound.committed()
            assert await sound.frozen() is None


async def test_a_new_epoch_that_an_operator_ordered_is_followed(shard: StreamedShard) -> None:
    await committed(shard)
    before = await shard.offset()
    async with shard.writer():
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.freezes("stream_missing")
        after = b"n" * 16
        await shard.make_stream(after, first_seq=before.stream_sequence + 1)
        await shard.freezes("epoch_changed")
        arguments = EpochArguments(
            epoch=after,
            frame_sha256=before.frame_sha256,
            offset=before.stream_sequence,
            previous_epoch=before.epoch,
        )
        await shard.order(epoch_frame(shard.shard_id, arguments, "ops@example"))
        await shard.thaws()
        await shard.instance().publish(TENANT, epoch=after)
        await shard.committed(5)
    offset = await shard.offset()
    assert (offset.epoch, offset.stream_sequence) == (after, 5)
    leaves = await shard.events(f"tenant_id = '{shard.shard_id}'")
    assert [(leaf["kind"], leaf["stream_sequence"]) for leaf in leaves] == [(9, 4)]


async def test_a_new_epoch_that_names_another_place_is_not_followed(shard: StreamedShard) -> None:
    await committed(shard)
    before = await shard.offset()
    async with shard.writer():
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        after = b"n" * 16
        await shard.make_stream(after, first_seq=before.stream_sequence + 1)
        arguments = EpochArguments(
            epoch=after, frame_sha256=b"h" * 32, offset=before.stream_sequence, previous_epoch=before.epoch
        )
        await shard.order(epoch_frame(shard.shard_id, arguments, "ops@example"))
        await shard.freezes("epoch_changed")
    assert (await shard.offset()).stream_sequence == before.stream_sequence


@pytest.fixture
async def own_nats(new_nats: Callable[[], NatsServer]) -> AsyncIterator[NatsServer]:
    """Start a server whose files the test may exchange."""
    server = new_nats()
    await server.started()
    yield server
    server.stop()


async def test_an_older_copy_that_has_grown_past_the_offset_freezes_the_shard(
    database: Database, own_nats: NatsServer, tmp_path: Path
) -> None:
    store, copy = own_nats.folder / "store", tmp_path / "copy"
    async with streamed_shard(database, own_nats, tmp_path / "shards") as shard:
        await committed(shard, 5)
        own_nats.stop()
        shutil.copytree(store, copy)
        await own_nats.started()
        await committed(shard, 5)
        rows = await shard.events()
        async with shard.writer() as running:
            own_nats.stop()
            newer = tmp_path / "newer"
            store.rename(newer)
            shutil.copytree(copy, store)
            await own_nats.started()
            await until(lambda: _connected(shard))
            ingest = shard.instance()
            for _ in range(8):
                await ingest.publish(TENANT)
            assert (await shard.stream()).state.last_seq == 13 > (await shard.offset()).stream_sequence
            await shard.freezes("frame_differs")
            assert running.writer.frozen is not None
            assert await shard.events() == rows

            own_nats.stop()
            shutil.rmtree(store)
            newer.rename(store)
            await own_nats.started()
            await until(lambda: _connected(shard))
            await shard.thaws()
            await shard.instance().publish(TENANT)
            await shard.committed()
        assert len(await shard.events()) == 11


async def _connected(shard: StreamedShard) -> bool:
    return shard.ingest.is_connected and shard.provisioner.is_connected
