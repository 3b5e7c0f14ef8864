"""A stream that was lost or replaced is begun anew behind what is stored, and nothing it held is left behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec
import pytest

from audit_core.control import GapArguments
from audit_core.leaf import Kind
from audit_core.tenant import stream_name
from audit_operator.clients import postgres
from audit_operator.clients.cluster import Cluster
from audit_operator.clients.jetstream import Acked, JetStream, StreamConfig, StreamInfo
from audit_operator.local.shard_folder import ShardFolder
from audit_operator.reconcile.gaps import accept_gap
from audit_operator.reconcile.installation import Installation
from audit_operator.reconcile.recovery import NothingToRecover, Recovered, StreamRecovery
from audit_operator.reconcile.shard import ShardReconciler
from audit_operator.reconcile.stream import RECOVERING, settled, wanted_stream
from tests.support.provisioning import MIB, Clock
from tests.support.writing import StreamedShard, a_tenant_id, an_event

TENANT = a_tenant_id()
PRINCIPAL = "ops@example"
Result = TypeVar("Result")


@pytest.fixture
async def recovery(shard: StreamedShard) -> AsyncIterator[StreamRecovery]:
    database, nats = shard.stored.database, shard.seeded.nats
    async with Cluster(lambda: nats.url, nats.embedded.authority, os.urandom) as cluster:
        shards = ShardReconciler(
            installation=Installation(stream_replicas=1, stream_max_bytes=64 * MIB),
            cluster=cluster,
            credentials=ShardFolder(
                folder=shard.seeded.folder,
                authority=nats.embedded.authority,
                dsn=lambda role, password: database.server.dsn(user=role, password=password),
                random=os.urandom,
            ),
            clock=Clock(),
        )
        yield StreamRecovery(
            database=lambda: postgres.connected(database.server.dsn(database=database.name)),
            shards=shards,
            random=os.urandom,
        )


async def _restarted(shard: StreamedShard, recovery: StreamRecovery) -> Recovered:
    return await recovery.restart(shard.stored.stored, PRINCIPAL)


async def _ids(shard: StreamedShard) -> list[str]:
    rows = await shard.events(f"tenant_id = '{TENANT}'")
    return [row["id"] for row in rows]


async def test_a_vanished_stream_is_begun_behind_the_offset_and_the_shard_goes_on(
    shard: StreamedShard, recovery: StreamRecovery
) -> None:
    for number in range(3):
        await shard.instance().publish(TENANT, an_event(id=f"before-{number}"))
    async with shard.writer():
        await shard.committed()
        before = await shard.offset()
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.freezes("stream_missing")
        recovered = await _restarted(shard, recovery)
        await shard.thaws()
        epoch = bytes.fromhex(recovered.epoch)
        await shard.instance().publish(TENANT, an_event(id="after"), epoch=epoch)
        await shard.committed()
    assert recovered.carried is False
    assert epoch != before.epoch
    assert (await shard.offset()).epoch == epoch
    assert await _ids(shard) == ["before-0", "before-1", "before-2", "after"]
    [leaf] = await shard.events(f"kind = {Kind.EPOCH}")
    assert leaf["stream_sequence"] == before.stream_sequence + 1
    stream = await shard.stream()
    assert settled(stream.config) == wanted_stream(shard.shard_id, epoch, max_bytes=64 * MIB, replicas=1)


async def test_what_a_replaced_stream_holds_is_carried_over_once(
    shard: StreamedShard, recovery: StreamRecovery
) -> None:
    """Frames that are stored already stand in the old stream, too: they are recognised."""
    stored, fresh = shard.instance(), shard.instance()
    again = [stored.frame(TENANT, (an_event(id=f"stored-{number}"),)) for number in range(3)]
    for frame in again:
        await shard.publish(frame)
    async with shard.writer():
        await shard.committed()
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.make_stream(b"x" * 16)
        for frame in again:
            await shard.publish(frame)
        for number in range(4):
            await fresh.publish(TENANT, an_event(id=f"fresh-{number}"), epoch=b"x" * 16)
        await shard.freezes("epoch_changed")
        recovered = await _restarted(shard, recovery)
        await shard.thaws()
        await shard.committed()
    assert recovered.carried is True
    assert await _ids(shard) == [
        *(f"stored-{number}" for number in range(3)),
        *(f"fresh-{number}" for number in range(4)),
    ]
    assert await shard.streams.stream(f"{stream_name(shard.shard_id)}_aside") is None


class Broke(Exception):
    """The process that recovers ends here."""


@dataclass(frozen=True, slots=True)
class BreakingStreams(JetStream):
    """Do what is asked, and break right after the call that uses up `left`."""

    left: list[None] = field(default_factory=list)

    async def create_stream(self, config: StreamConfig) -> StreamInfo:
        return self._done(await JetStream.create_stream(self, config))

    async def update_stream(self, config: StreamConfig) -> StreamInfo:
        return self._done(await JetStream.update_stream(self, config))

    async def delete_stream(self, name: str) -> None:
        await JetStream.delete_stream(self, name)
        self._done(None)

    async def publish(
        self, subject: str, data: bytes, *, stream: str, headers: dict[str, str] | None = None
    ) -> Acked:
        return self._done(await JetStream.publish(self, subject, data, stream=stream, headers=headers))

    def _done(self, result: Result) -> Result:
        self.left.pop()
        if not self.left:
            raise Broke
        return result


class BreakingCluster(Cluster):
    """A cluster whose connections break after so many changes."""

    left: list[None]

    @asynccontextmanager
    async def streams(self, shard_id: str) -> AsyncIterator[JetStream]:
        async with Cluster.streams(self, shard_id) as streams:
            yield BreakingStreams(streams.connection, self.left)


@pytest.mark.parametrize("changes", range(1, 10))
async def test_a_recovery_that_broke_off_anywhere_is_finished_by_the_next(
    shard: StreamedShard, recovery: StreamRecovery, changes: int
) -> None:
    nats = shard.seeded.nats
    async with (
        shard.writer(),
        BreakingCluster(lambda: nats.url, nats.embedded.authority, os.urandom) as cluster,
    ):
        cluster.left = [None] * changes
        await shard.instance().publish(TENANT, an_event(id="stored"))
        await shard.committed()
        await shard.streams.delete_stream(stream_name(shard.shard_id))
        await shard.make_stream(b"x" * 16)
        await shard.instance().publish(TENANT, an_event(id="fresh"), epoch=b"x" * 16)
        await shard.freezes("epoch_changed")
        breaking = replace(recovery, shards=replace(recovery.shards, cluster=cluster))
        with pytest.raises(Broke):
            await _restarted(shard, breaking)
        if changes < 9:  # the ninth is the last: nothing is left to do
            await _restarted(shard, recovery)
        await shard.thaws()
        await shard.committed()
    assert await _ids(shard) == ["stored", "fresh"]
    stream = await shard.stream()
    assert RECOVERING not in stream.config.metadata
    assert (stream.config.subjects, stream.config.sources) == (
        (f"audit.in.{shard.shard_id}", f"audit.ctl.{shard.shard_id}"),
        (),
    )
    assert await shard.streams.stream(f"{stream_name(shard.shard_id)}_aside") is None


async def test_a_sound_shard_is_not_recovered(shard: StreamedShard, recovery: StreamRecovery) -> None:
    async with shard.writer():
        await shard.instance().publish(TENANT)
        await shard.committed()
        before = await shard.stream()
        with pytest.raises(NothingToRecover):
            await _restarted(shard, recovery)
    assert (await shard.stream()).created == before.created


async def test_a_gap_is_accepted_by_order_and_the_shard_goes_on(
    shard: StreamedShard, recovery: StreamRecovery
) -> None:
    cluster = recovery.shards.cluster
    await shard.instance().publish(TENANT, an_event(id="before"))
    async with shard.writer():
        await shard.committed()
        with pytest.raises(NothingToRecover):
            await accept_gap(cluster, shard.shard_id, GapArguments(first=2, last=3), PRINCIPAL)
    for name in ("lost-1", "lost-2", "after"):
        await shard.instance().publish(TENANT, an_event(id=name))
    info = await shard.stream()
    await shard.streams.update_stream(msgspec.structs.replace(info.config, max_msgs_per_subject=1))
    await shard.streams.update_stream(info.config)
    async with shard.writer():
        await shard.freezes("gap")
        await accept_gap(cluster, shard.shard_id, GapArguments(first=1, last=3), PRINCIPAL)
        await shard.thaws()
        await shard.committed()
    assert await _ids(shard) == ["before", "after"]
    assert len(await shard.events(f"kind = {Kind.GAP}")) == 1
