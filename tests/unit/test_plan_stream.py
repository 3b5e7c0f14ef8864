"""What provisioning does about a stream, from what is wanted and what is there."""

from __future__ import annotations

import msgspec
import pytest

from audit_core.tenant import Isolation
from audit_operator.clients.jetstream import StreamConfig, StreamInfo, StreamState
from audit_operator.clients.shards import Shard, ShardOffset
from audit_operator.reconcile.stream import (
    Disk,
    Step,
    StreamBroken,
    allotted_bytes,
    bucket_step,
    stream_step,
    wanted_stream,
)

GIB = 1 << 30
FIRST, SECOND = b"\1" * 16, b"\2" * 16
SHARD = Shard(shard_id="s" * 16, isolation=Isolation.DEDICATED, epoch=FIRST)
WANTED = wanted_stream(SHARD.shard_id, FIRST, max_bytes=GIB, replicas=1)


def _observed(config: StreamConfig = WANTED, *, last: int = 9, epoch: bytes = FIRST) -> StreamInfo:
    metadata = {"auditlog.dev/epoch": epoch.hex(), "_nats.ver": "2.15.1"}
    state = StreamState(messages=last, bytes=100, first_seq=1, last_seq=last)
    return StreamInfo(
        config=msgspec.structs.replace(config, metadata=metadata, first_seq=5), state=state, created="then"
    )


def _offset(sequence: int = 9, epoch: bytes = FIRST) -> ShardOffset:
    return ShardOffset(
        epoch=epoch, stream_sequence=sequence, received_at=None, frame_sha256=None, trimmed_through=0
    )


def test_a_stream_keeps_everything_and_refuses_when_it_is_full() -> None:
    assert (
        StreamConfig(
            name=f"AUDIT_{'s' * 16}",
            subjects=(f"audit.in.{'s' * 16}", f"audit.ctl.{'s' * 16}"),
            retention="limits",
            storage="file",
            discard="new",
            num_replicas=1,
            max_bytes=GIB,
            max_age=0,
            max_msgs=-1,
            max_msgs_per_subject=-1,
            max_msg_size=1_000_000,
            duplicate_window=120_000_000_000,
            deny_delete=True,
            deny_purge=False,
            allow_direct=True,
            allow_rollup_hdrs=False,
            metadata={"auditlog.dev/epoch": "01" * 16},
        )
        == WANTED
    )


def test_a_stream_is_created_where_no_offset_exists() -> None:
    assert stream_step(WANTED, None, SHARD, None) is Step.CREATE


def test_a_stream_made_before_a_crash_is_taken_over() -> None:
    assert stream_step(WANTED, _observed(last=0), SHARD, None) is Step.KEEP


@pytest.mark.parametrize("sequence", [0, 9])
def test_a_stream_that_vanished_is_not_created_again(sequence: int) -> None:
    with pytest.raises(StreamBroken) as broken:
        stream_step(WANTED, None, SHARD, _offset(sequence))
    assert broken.value.fields() == {
        "shard_id": SHARD.shard_id,
        "reason": "vanished",
        "offset": sequence,
    }


def test_a_stream_of_another_epoch_is_left_alone() -> None:
    with pytest.raises(StreamBroken, match="replaced"):
        stream_step(WANTED, _observed(epoch=SECOND), SHARD, _offset())


def test_a_stream_that_ends_before_the_offset_is_left_alone() -> None:
    with pytest.raises(StreamBroken, match="shrank"):
        stream_step(WANTED, _observed(last=8), SHARD, _offset(9))


def test_after_a_recovery_the_epoch_of_the_offset_counts() -> None:
    wanted = wanted_stream(SHARD.shard_id, SECOND, max_bytes=GIB, replicas=1)
    assert stream_step(wanted, _observed(epoch=SECOND), SHARD, _offset(epoch=SECOND)) is Step.KEEP


def test_what_the_server_adds_is_no_difference() -> None:
    assert bucket_step(WANTED, _observed()) is Step.KEEP


@pytest.mark.parametrize(
    "drift",
    [
        {"max_bytes": 2 * GIB},
        {"discard": "old"},
        {"max_age": 1},
        {"subjects": (f"audit.in.{'s' * 16}",)},
        {"num_replicas": 3},
        {"duplicate_window": 1},
        {"deny_delete": False},
    ],
    ids=lambda drift: next(iter(drift)),
)
def test_drift_is_mended(drift: dict[str, object]) -> None:
    drifted = msgspec.structs.replace(WANTED, **drift)
    assert bucket_step(WANTED, _observed(drifted)) is Step.UPDATE


def _disk(total: int, reserved: int = 0) -> Disk:
    return Disk(max_storage=total * GIB, reserved_storage=reserved * GIB)


@pytest.mark.parametrize(
    ("wanted", "held", "disk", "allotted"),
    [
        (10, None, None, 10),  # a cluster's disks are its owner's to plan
        (10, None, _disk(80), 10),  # exactly the share of one stream
        (10, None, _disk(40), 5),  # capped to the share
        (10, None, _disk(40, reserved=34), 3),  # capped to half of what is free
        (10, None, _disk(40, reserved=50), 0),  # nothing is free: the server will refuse
        (10, 5, _disk(24), 5),  # a smaller disk later takes nothing back
        (10, 5, _disk(40, reserved=30), 5),  # nor do streams that came later
        (10, 5, _disk(96), 10),  # it grows when what is wanted fits
        (4, 5, _disk(24), 4),  # and shrinks when less is wanted
    ],
)
def test_a_stream_is_capped_to_its_share_of_the_disk_and_then_stays(
    wanted: int, held: int | None, disk: Disk | None, allotted: int
) -> None:
    assert allotted_bytes(wanted * GIB, None if held is None else held * GIB, disk) == allotted * GIB
