"""Going on after a stream was lost or replaced: a person's decision, never a reconcile's.

The new stream begins behind the stored offset, in a new epoch, with a control frame that names the place; the writer
accepts it for that. What the old stream still holds is carried over, all of it: frames that are stored already are
recognised by their numbers, so that nothing acknowledged is left behind and nothing is stored twice. Each step may be
the last before a crash: how far a recovery came stands in the stream's metadata, and the next attempt goes on there.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

import msgspec

from audit_core.control import EpochArguments, epoch_frame
from audit_core.errors import AuditError
from audit_core.frame import encode_control
from audit_core.projection import FROZEN_KEY
from audit_core.tenant import EPOCH_METADATA, config_bucket, control_subject, ingest_subject, stream_name
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.jetstream import JetStream, Source, StreamConfig, StreamInfo
from audit_operator.clients.shards import Shard, ShardOffset, shard_offset
from audit_operator.reconcile.placement import EPOCH_BYTES
from audit_operator.reconcile.ports import Database, Random
from audit_operator.reconcile.shard import ShardReconciler
from audit_operator.reconcile.stream import RECOVERING, StreamBroken, settled, stream_step, wanted_stream

PATIENCE_SECONDS: Final = 60.0

_ASIDE: Final = "aside"
"""Of the old stream: it takes nothing in any more and is being copied."""
_BEGUN: Final = "begun"
"""Of the new stream: what the old one held is still to be carried over."""
_OVERHEAD_BYTES: Final = 512
"""What a copied message may weigh more than the original, for the header that names it."""


class NothingToRecover(AuditError):
    """The shard is as it should be, or was never used; `reason` says which. Nothing was done."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class CopyingStalled(AuditError):
    """The server does not get on with copying stream `source`: it is at `reached` of `last`. To be tried again."""

    __slots__ = ("last", "reached", "source")

    def __init__(self, source: str, reached: int, last: int) -> None:
        self.source = source
        self.reached = reached
        self.last = last


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """The stream goes on in `epoch` (hex), and `carried` says whether there was an old one to carry over."""

    epoch: str
    carried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRecovery:
    """Restart a shard's stream in the name of a person."""

    database: Database
    shards: ShardReconciler
    random: Random

    async def restart(self, shard: Shard, principal: str) -> Recovered:
        """Begin a new epoch behind the stored offset. Raises NothingToRecover and CopyingStalled."""
        async with self.database() as connection:
            offset = await shard_offset(connection, shard.shard_id)
        if offset is None:
            raise NothingToRecover("the shard was never opened: provisioning makes its stream")
        async with self.shards.cluster.streams(shard.shard_id) as streams:
            current = await streams.stream(stream_name(shard.shard_id))
            if current is None or current.config.metadata.get(RECOVERING) != _BEGUN:
                await _demand_broken(streams, shard, current, offset)
                if current is not None:
                    await _set_aside(streams, shard, current)
                current = await self._begun(streams, shard, current, offset)
            if current.state.last_seq == offset.stream_sequence:
                await _open(streams, shard, current, offset, principal)
            carried = await _carry_over(streams, shard, current)
            await _finish(streams, shard, current)
        return Recovered(epoch=current.config.metadata[EPOCH_METADATA], carried=carried)

    async def _begun(
        self, streams: JetStream, shard: Shard, old: StreamInfo | None, offset: ShardOffset
    ) -> StreamInfo:
        """Make the new stream, closed to ingest: its first message must be the order that opens the epoch."""
        epoch = self.random(EPOCH_BYTES)
        size = old.config.max_bytes if old is not None else await self._size(shard)
        wanted = wanted_stream(
            shard.shard_id, epoch, max_bytes=size, replicas=self.shards.installation.stream_replicas
        )
        begun = msgspec.structs.replace(
            wanted,
            subjects=(control_subject(shard.shard_id),),
            metadata=wanted.metadata | {RECOVERING: _BEGUN},
            first_seq=offset.stream_sequence + 1,
        )
        return await streams.create_stream(begun)

    async def _size(self, shard: Shard) -> int:
        installation = self.shards.installation
        wanted = installation.pool_max_bytes if shard.retention_class else installation.stream_max_bytes
        return await self.shards.allotted(None, wanted)


async def _demand_broken(
    streams: JetStream, shard: Shard, current: StreamInfo | None, offset: ShardOffset
) -> None:
    """Raise NothingToRecover unless the stream contradicts the offset, or the writer says that it does."""
    frozen = await Bucket(streams, config_bucket(shard.shard_id)).entry(FROZEN_KEY)
    if frozen is not None and frozen.value is not None:
        return
    wanted = wanted_stream(shard.shard_id, offset.epoch, max_bytes=0, replicas=0)
    try:
        stream_step(wanted, current, shard, offset)
    except StreamBroken:
        return
    raise NothingToRecover("the stream fits what is stored, and the shard is not frozen")


async def _set_aside(streams: JetStream, shard: Shard, old: StreamInfo) -> None:
    """Close the old stream to ingest, copy what it holds, and delete it."""
    closed = msgspec.structs.replace(
        old.config,
        subjects=(control_subject(shard.shard_id),),
        metadata=settled(old.config).metadata | {RECOVERING: _ASIDE},
    )
    old = await streams.update_stream(closed)
    if old.state.messages > 0:
        await _copy(streams, old, _aside(shard))
    await streams.delete_stream(old.config.name)


async def _copy(streams: JetStream, old: StreamInfo, name: str) -> None:
    """Make a stream that holds what the old one holds. One without a source is complete."""
    copy = await streams.stream(name)
    if copy is None:
        size = old.state.bytes + _OVERHEAD_BYTES * (old.state.messages + 1)
        wanted = StreamConfig(
            name=name,
            sources=(Source(name=old.config.name),),
            discard="new",
            num_replicas=old.config.num_replicas,
            max_bytes=size,
            deny_delete=True,
        )
        copy = await streams.create_stream(wanted)
    if copy.config.sources:
        await _copied(streams, name, ">", source=old.config.name, last=old.state.last_seq)
        # Streams that take in one another are refused, and this one is to be taken in soon.
        await streams.update_stream(msgspec.structs.replace(copy.config, sources=()))


async def _open(
    streams: JetStream, shard: Shard, begun: StreamInfo, offset: ShardOffset, principal: str
) -> None:
    """Publish the order that opens the epoch, as the first message of the stream."""
    arguments = EpochArguments(
        epoch=bytes.fromhex(begun.config.metadata[EPOCH_METADATA]),
        frame_sha256=offset.frame_sha256,
        offset=offset.stream_sequence,
        previous_epoch=offset.epoch,
    )
    order = encode_control(epoch_frame(shard.shard_id, arguments, principal))
    acked = await streams.publish(control_subject(shard.shard_id), order, stream=begun.config.name)
    if acked.seq != offset.stream_sequence + 1:
        raise StreamBroken(shard.shard_id, "replaced", offset.stream_sequence)


async def _carry_over(streams: JetStream, shard: Shard, begun: StreamInfo) -> bool:
    """Let the new stream take in the frames that were set aside; return whether there were any."""
    subject = ingest_subject(shard.shard_id)
    last = None
    if await streams.stream(_aside(shard)) is not None:
        last = await streams.last_message(_aside(shard), subject)
    if last is None:
        return False
    source = Source(name=_aside(shard), filter_subject=subject, opt_start_seq=1)
    await streams.update_stream(msgspec.structs.replace(begun.config, sources=(source,)))
    await _copied(streams, begun.config.name, subject, source=source.name, last=last.seq)
    return True


async def _finish(streams: JetStream, shard: Shard, begun: StreamInfo) -> None:
    """Delete the copy of the old stream, of which everything is in the new one now, and open that to ingest."""
    if await streams.stream(_aside(shard)) is not None:
        await streams.delete_stream(_aside(shard))
    epoch = bytes.fromhex(begun.config.metadata[EPOCH_METADATA])
    final = wanted_stream(
        shard.shard_id, epoch, max_bytes=begun.config.max_bytes, replicas=begun.config.num_replicas
    )
    await streams.update_stream(msgspec.structs.replace(final, first_seq=begun.config.first_seq))


async def _copied(streams: JetStream, name: str, subject: str, *, source: str, last: int) -> None:
    """Return when a stream has taken in its source up to the sequence `last`."""
    reached, deadline = 0, time.monotonic() + PATIENCE_SECONDS
    while reached < last:
        if time.monotonic() > deadline:
            raise CopyingStalled(source, reached, last)
        await asyncio.sleep(0.05)
        message = await streams.last_message(name, subject)
        now = 0 if message is None else message.source_sequence()
        if now > reached:
            reached, deadline = now, time.monotonic() + PATIENCE_SECONDS


def _aside(shard: Shard) -> str:
    return f"{stream_name(shard.shard_id)}_aside"
