"""The end of a log whose owner wants it gone: stream and buckets, then schema and roles.

Begun, it cannot be taken back: before anything else the control schema says that the log is dropped, and refuses to
give it to anybody. Each step may be repeated, so whoever broke off is continued by the next call.
"""

from __future__ import annotations

from audit_core.tenant import config_bucket, stream_name, watermark_bucket
from audit_operator.clients.buckets import stream_of
from audit_operator.clients.cluster import Cluster
from audit_operator.clients.dropping import begin_drop, drop_roles, drop_schema
from audit_operator.clients.jetstream import JetStream
from audit_operator.reconcile.ports import Clock, Database


async def drop_log(database: Database, cluster: Cluster, clock: Clock, shard_id: str, *, name: str) -> bool:
    """Delete everything of the log that the removed tenant `name` had in a shard of its own.

    Returns False, and deletes nothing, when it is not that tenant's, or the tenant is there. Raises StreamUnavailable
    and what PostgreSQL raises.
    """
    async with database() as connection:
        if not await begin_drop(connection, shard_id, name=name, now=clock()):
            return False
        async with cluster.streams(shard_id) as streams:
            await _delete_streams(streams, shard_id)
        await drop_schema(connection, shard_id)
        await drop_roles(connection, shard_id)
    return True


async def _delete_streams(streams: JetStream, shard_id: str) -> None:
    buckets = (config_bucket(shard_id), watermark_bucket(shard_id))
    for name in (stream_name(shard_id), *map(stream_of, buckets)):
        if await streams.stream(name) is not None:
            await streams.delete_stream(name)
