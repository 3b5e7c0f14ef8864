"""The stream gives up what PostgreSQL has for good, says so before, and always keeps its last committed message."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from asyncpg import Connection

from audit_core.projection import TRIMMED_KEY, Trimmed
from audit_functions.writer.clock import Clock
from audit_functions.writer.ports import Shard, Stream
from audit_functions.writer.trim import REPLAY_WINDOW_US
from audit_functions.writer.upkeep import Backup, Upkeep
from audit_operator.clients.database import create_database, provision_database
from tests.support.nats import NatsServer
from tests.support.postgres import Database, PostgresServer, connected
from tests.support.writing import StreamedShard, a_body, a_tenant_id, an_event, streamed_shard, until

TENANT = a_tenant_id()
LATER = Clock(microseconds=lambda: time.time_ns() // 1000 + REPLAY_WINDOW_US + 1_000_000)


@pytest.fixture
async def committed(shard: StreamedShard) -> StreamedShard:
    """Commit ten messages, leave two that are not."""
    ingest = shard.instance()
    for _ in range(10):
        await ingest.publish(TENANT)
    async with shard.writer():
        await shard.committed()
    await ingest.publish(TENANT)
    await ingest.publish(TENANT)
    return shard


async def trimmed(shard: StreamedShard, *, clock: Clock = LATER, backup: Backup = "none") -> int:
    async with shard.wired(clock=clock) as wired:
        return await Upkeep(shard=wired, backup=backup).trim()


async def first_sequence(shard: StreamedShard) -> int:
    return (await shard.stream()).state.first_seq


async def test_what_is_committed_and_older_than_the_window_goes_but_the_last(
    committed: StreamedShard,
) -> None:
    assert await trimmed(committed) == 9
    assert await first_sequence(committed) == 10
    assert (await committed.offset()).trimmed_through == 9
    assert await committed.entry(TRIMMED_KEY) == msgspec.json.encode(Trimmed(through=9))


async def test_what_is_inside_the_window_stays(committed: StreamedShard) -> None:
    assert await trimmed(committed, clock=Clock()) == 0
    assert await first_sequence(committed) == 1


async def test_a_part_of_the_window_is_found_by_the_time_of_its_messages(shard: StreamedShard) -> None:
    ingest = shard.instance()
    for _ in range(5):
        await ingest.publish(TENANT)
    border = time.time_ns() // 1000
    for _ in range(5):
        await ingest.publish(TENANT)
    async with shard.writer():
        await shard.committed()
    assert await trimmed(shard, clock=Clock(microseconds=lambda: border + REPLAY_WINDOW_US)) == 5
    assert await first_sequence(shard) == 6


async def test_a_writer_goes_on_behind_what_was_trimmed(committed: StreamedShard) -> None:
    await trimmed(committed)
    async with committed.writer():
        await committed.committed()
        assert await committed.frozen() is None
    assert len(await committed.events()) == 12


async def test_a_full_stream_gives_up_its_oldest_messages_before_their_time(shard: StreamedShard) -> None:
    ingest = shard.instance()
    text = "x" * 20_000
    for _ in range(20):
        await ingest.publish(TENANT, an_event(a_body("big", description=text)))
    wanted = (await shard.stream()).config
    await shard.streams.update_stream(msgspec.structs.replace(wanted, max_bytes=500_000))
    async with shard.writer():
        await shard.committed()
    purged = await trimmed(shard, clock=Clock())
    state = (await shard.stream()).state
    assert 0 < purged < 19
    assert state.bytes <= 0.7 * 500_000 < state.bytes + 2 * 20_500


async def test_with_an_archive_nothing_goes_before_it_has_the_commit(committed: StreamedShard) -> None:
    assert await trimmed(committed, backup="archive") == 0
    assert await first_sequence(committed) == 1


async def test_with_an_archive_a_commit_goes_once_its_wal_file_is_archived(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    postgres = PostgresServer({"archive_mode": "on", "archive_command": "test -f %p"})
    try:
        postgres.start()
        async with connected(postgres.dsn()) as maintenance:
            await create_database(maintenance, "audit")
        async with connected(postgres.dsn(database="audit")) as admin:
            await provision_database(admin)
            database = Database(server=postgres, name="audit", admin=admin)
            async with streamed_shard(database, nats_server, tmp_path) as shard:
                ingest = shard.instance()
                for _ in range(5):
                    await ingest.publish(TENANT)
                async with shard.writer():
                    await shard.committed()
                async with shard.wired(clock=LATER) as wired:
                    upkeep = Upkeep(shard=wired, backup="archive")
                    assert await upkeep.trim() == 0
                    await admin.execute("SELECT pg_switch_wal()")
                    await until(lambda: _archived(admin))
                    assert await upkeep.trim() == 4
    finally:
        postgres.stop()
        postgres.remove()


async def _archived(admin: Connection) -> bool:
    return bool(await admin.fetchval("SELECT archived_count > 0 FROM pg_stat_archiver"))


@dataclass(slots=True)
class Witness:
    """A stream that looks, at the moment of a purge, at what was said before. Everything else is the stream's own."""

    stream: Stream
    shard: StreamedShard
    seen: list[tuple[int, int, bytes | None]] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)

    async def purge(self, through: int) -> int:
        mark = (await self.shard.offset()).trimmed_through
        self.seen.append((through, mark, await self.shard.entry(TRIMMED_KEY)))
        return await self.stream.purge(through)


async def test_both_marks_stand_before_anything_is_purged(committed: StreamedShard) -> None:
    async with committed.wired(clock=LATER) as wired:
        witness = Witness(wired.stream, committed)
        watched = Shard(
            **{name: getattr(wired, name) for name in Shard.__dataclass_fields__} | {"stream": witness}
        )
        assert await Upkeep(shard=watched, backup="none").trim() == 9
    assert witness.seen == [(9, 9, msgspec.json.encode(Trimmed(through=9)))]


async def test_a_database_restored_to_before_the_trimmed_part_freezes_the_shard(
    committed: StreamedShard,
) -> None:
    await trimmed(committed)
    await committed.admin.execute(
        f"UPDATE {committed.schema}.shard_offset SET stream_sequence = 4, trimmed_through = 0, frame_sha256 = $1",
        b"h" * 32,
    )
    async with committed.writer():
        frozen = await committed.freezes("gap")
        assert frozen.evidence == {"from": 4, "through": 9}
