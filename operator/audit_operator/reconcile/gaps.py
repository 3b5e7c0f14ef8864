"""Accepting that messages are missing from a stream: a person's decision, with the watermarks as evidence."""

from __future__ import annotations

import msgspec

from audit_core.control import GapArguments, gap_frame
from audit_core.frame import encode_control
from audit_core.projection import FROZEN_KEY, Frozen
from audit_core.tenant import config_bucket, control_subject, stream_name
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.cluster import Cluster
from audit_operator.reconcile.recovery import NothingToRecover

_GAP = "gap"


async def accept_gap(cluster: Cluster, shard_id: str, gap: GapArguments, principal: str) -> int:
    """Order the writer to go on without these messages; return the order's sequence in the stream.

    Raises NothingToRecover unless the shard is frozen for a gap: nobody accepts in advance what may go missing.
    """
    async with cluster.streams(shard_id) as streams:
        entry = await Bucket(streams, config_bucket(shard_id)).entry(FROZEN_KEY)
        if entry is None or entry.value is None:
            raise NothingToRecover("the shard is not frozen")
        frozen = msgspec.json.decode(entry.value, type=Frozen)
        if frozen.reason != _GAP:
            raise NothingToRecover(f"the shard is not frozen for a gap but for {frozen.reason}")
        order = encode_control(gap_frame(shard_id, gap, principal))
        acked = await streams.publish(control_subject(shard_id), order, stream=stream_name(shard_id))
        return acked.seq
