"""What to do about a shard's stream. Pure."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from audit_core.errors import IntegrityError
from audit_core.tenant import EPOCH_METADATA, control_subject, ingest_subject, stream_name
from audit_operator.clients.jetstream import StreamConfig, StreamInfo
from audit_operator.clients.shards import Shard, ShardOffset

MAX_MESSAGE_BYTES: Final = 1_000_000
"""Above the largest frame, below the server's default `max_payload` with its headers."""
DUPLICATE_WINDOW_NS: Final = 120_000_000_000
RECOVERING: Final = "auditlog.dev/recovering"
"""Metadata of a stream that a recovery has not finished with."""
SHARE: Final = 8
"""Where streams are capped to the disk, none takes more than this part of it."""
FREE_SHARE: Final = 2
"""A new one leaves at least this part of what is free to the ones to come."""


class StreamBroken(IntegrityError):
    """The stream contradicts the shard's offset; provisioning leaves it alone and a person decides.

    `reason` is `vanished` (there was one, and it is gone), `replaced` (it carries another epoch), `shrank` (it ends
    before what was committed from it) or `recovering` (a recovery has not finished with it).
    """

    __slots__ = ("offset", "reason", "shard_id")

    def __init__(self, shard_id: str, reason: str, offset: int) -> None:
        self.shard_id = shard_id
        self.reason = reason
        self.offset = offset


class Step(Enum):
    """What has to be done about a stream."""

    KEEP = "keep"
    CREATE = "create"
    UPDATE = "update"


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes that streams may be promised, and those that are promised already."""

    max_storage: int
    reserved_storage: int


def wanted_stream(shard_id: str, epoch: bytes, *, max_bytes: int, replicas: int) -> StreamConfig:
    """Return the configuration of a shard's stream.

    No `max_age`: it would delete what was acknowledged and is not stored yet. Nothing but the writer's purge deletes.
    """
    return StreamConfig(
        name=stream_name(shard_id),
        subjects=(ingest_subject(shard_id), control_subject(shard_id)),
        discard="new",
        num_replicas=replicas,
        max_bytes=max_bytes,
        max_msg_size=MAX_MESSAGE_BYTES,
        duplicate_window=DUPLICATE_WINDOW_NS,
        deny_delete=True,
        allow_direct=True,
        metadata={EPOCH_METADATA: epoch.hex()},
    )


def stream_step(
    wanted: StreamConfig, observed: StreamInfo | None, shard: Shard, offset: ShardOffset | None
) -> Step:
    """Return what to do. A stream is created only where no offset exists. Raises StreamBroken."""
    committed = 0 if offset is None else offset.stream_sequence
    if observed is None:
        if offset is not None:
            raise StreamBroken(shard.shard_id, "vanished", committed)
        return Step.CREATE
    if RECOVERING in observed.config.metadata:
        raise StreamBroken(shard.shard_id, "recovering", committed)
    if observed.config.metadata.get(EPOCH_METADATA) != epoch_of(shard, offset).hex():
        raise StreamBroken(shard.shard_id, "replaced", committed)
    if observed.state.last_seq < committed:
        raise StreamBroken(shard.shard_id, "shrank", committed)
    return bucket_step(wanted, observed)


def bucket_step(wanted: StreamConfig, observed: StreamInfo | None) -> Step:
    """Return what to do about a bucket's stream: its content can be made again, so it may be created at any time."""
    if observed is None:
        return Step.CREATE
    return Step.KEEP if settled(observed.config) == wanted else Step.UPDATE


def settled(observed: StreamConfig) -> StreamConfig:
    """Return a configuration without what the server adds or what counted only when the stream was created."""
    ours = {key: value for key, value in observed.metadata.items() if not key.startswith("_nats.")}
    return msgspec.structs.replace(observed, metadata=ours, first_seq=0)


def epoch_of(shard: Shard, offset: ShardOffset | None) -> bytes:
    """Return the epoch that the shard's stream must carry."""
    return shard.epoch if offset is None else offset.epoch


def allotted_bytes(wanted: int, held: int | None, disk: Disk | None) -> int:
    """Return the `max_bytes` of a stream that `held` has now, on a `disk` that caps it or (None) does not.

    A stream that was capped stays as it is until what is wanted fits: its size never follows the disk up and down.
    """
    if disk is None or wanted <= disk.max_storage // SHARE:
        return wanted
    if held is not None:
        return min(wanted, held)
    free = max(disk.max_storage - disk.reserved_storage, 0)
    return min(wanted, disk.max_storage // SHARE, free // FREE_SHARE)
