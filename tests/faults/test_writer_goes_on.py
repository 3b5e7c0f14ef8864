"""Whatever the writer needs goes away under it: it comes back by itself, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from audit_core.tenant import stream_name
from audit_operator.clients.database import create_database, provision_database
from tests.support.nats import NatsServer
from tests.support.postgres import Database, PostgresServer, connected
from tests.support.writing import Instance, StreamedShard, a_tenant_id, an_event, streamed_shard, until

TENANT = a_tenant_id()


@asynccontextmanager
async def under_load(ingest: Instance) -> AsyncIterator[None]:
    """Publish all the time, twenty events a frame."""
    enough = asyncio.Event()

    async def publish() -> None:
        while not enough.is_set():
            await ingest.publish(TENANT, *(an_event() for _ in range(20)))
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(publish())
        yield
        enough.set()


async def demand_each_once(shard: StreamedShard) -> None:
    await shard.committed(seconds=30)
    frames = await shard.seeded.frames()
    published = [event.id for frame in frames for entry in frame.entries for event in entry.events]
    rows = await shard.events()
    assert [row["id"] for row in rows] == published
    assert [row["sequence"] for row in rows] == list(range(len(published)))


async def consumers(shard: StreamedShard) -> list[str]:
    answer = await shard.provisioner.request(f"$JS.API.CONSUMER.NAMES.{stream_name(shard.shard_id)}")
    return list(msgspec.json.decode(answer.data)["consumers"] or [])


async def test_a_consumer_that_somebody_deletes_is_made_anew(shard: StreamedShard) -> None:
    ingest = shard.instance()
    async with shard.writer(), under_load(ingest):
        for _ in range(3):
            await asyncio.sleep(0.4)
            names = await consumers(shard)
            for name in names:
                await shard.provisioner.request(
                    f"$JS.API.CONSUMER.DELETE.{stream_name(shard.shard_id)}.{name}"
                )
            assert names
    async with shard.writer():
        await demand_each_once(shard)


async def test_a_writer_leaves_no_consumer_behind(shard: StreamedShard) -> None:
    await shard.instance().publish(TENANT)
    async with shard.writer():
        await shard.committed()
        assert len(await consumers(shard)) == 1
    assert await consumers(shard) == []


async def test_a_partition_that_is_missing_is_made(shard: StreamedShard) -> None:
    partitions = await shard.admin.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass",
        f"{shard.schema}.event",
    )
    for [partition] in partitions:
        await shard.admin.execute(f"DROP TABLE {partition}")
    await shard.instance().publish(TENANT)
    async with shard.writer():
        await demand_each_once(shard)


async def test_a_partition_that_goes_away_between_two_steps_of_a_batch_is_made_again(
    shard: StreamedShard,
) -> None:
    ingest = shard.instance()
    async with shard.writer(), under_load(ingest):
        for _ in range(4):
            await asyncio.sleep(0.25)
            [partition] = await shard.admin.fetch(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1 LIMIT 1",
                f"{shard.schema}.event",
            )
            async with shard.admin.transaction():
                await shard.admin.execute(f"LOCK TABLE {shard.schema}.event")
                await shard.admin.execute(
                    f"CREATE TABLE IF NOT EXISTS public.kept (LIKE {shard.schema}.event)"
                )
                await shard.admin.execute(f"INSERT INTO public.kept SELECT * FROM {partition[0]}")
                await shard.admin.execute(f"DROP TABLE {partition[0]}")
        await asyncio.sleep(0.2)
    async with shard.writer():
        await shard.committed()
    published = [
        event.id for frame in await shard.seeded.frames() for entry in frame.entries for event in entry.events
    ]
    rows = await shard.admin.fetch(
        f"SELECT id, sequence FROM public.kept UNION ALL SELECT id, sequence FROM {shard.schema}.event ORDER BY sequence"
    )
    assert [tuple(row) for row in rows] == [(event_id, number) for number, event_id in enumerate(published)]


@pytest.fixture
async def own_servers(
    new_postgres: Callable[[], PostgresServer], new_nats: Callable[[], NatsServer], tmp_path: Path
) -> AsyncIterator[tuple[StreamedShard, PostgresServer, NatsServer]]:
    """Make a shard on servers that the test may stop."""
    postgres, nats = new_postgres(), new_nats()
    postgres.start()
    await nats.started()
    async with connected(postgres.dsn()) as maintenance:
        await create_database(maintenance, "audit")
    async with connected(postgres.dsn(database="audit")) as admin:
        await provision_database(admin)
        database = Database(server=postgres, name="audit", admin=admin)
        async with streamed_shard(database, nats, tmp_path / "shards") as shard:
            yield shard, postgres, nats
    postgres.stop(signal.SIGQUIT)
    nats.stop()


async def _reachable(shard: StreamedShard) -> bool:
    return shard.ingest.is_connected and shard.provisioner.is_connected


async def test_postgres_stopped_at_once_again_and_again(
    own_servers: tuple[StreamedShard, PostgresServer, NatsServer],
) -> None:
    shard, postgres, _ = own_servers
    ingest = shard.instance()
    async with shard.writer(), under_load(ingest):
        for _ in range(3):
            await asyncio.sleep(0.4)
            postgres.stop(signal.SIGQUIT)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(postgres.start)
    async with connected(postgres.dsn(database="audit")) as shard.admin, shard.writer():
        await demand_each_once(shard)


async def test_nats_killed_again_and_again(
    own_servers: tuple[StreamedShard, PostgresServer, NatsServer],
) -> None:
    shard, _, nats = own_servers
    ingest = shard.instance()
    async with shard.writer():
        for _ in range(3):
            async with under_load(ingest):
                await asyncio.sleep(0.4)
            nats.kill()
            await asyncio.sleep(0.2)
            await nats.started()
            await until(lambda: _reachable(shard))
        await ingest.publish(TENANT)
        await demand_each_once(shard)
