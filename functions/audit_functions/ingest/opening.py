"""Opening a shard for ingest: the connection, what follows it, and how it is let go."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.msg import Msg

from audit_core.errors import AuditError
from audit_core.tenant import ShardId, inbox_prefix, outcome_subject, watermark_bucket
from audit_functions.adapters.jetstream import Connection, connected
from audit_functions.adapters.kv import Bucket, ConfigFollower
from audit_functions.ingest.frames import PUBLISH_DEADLINE_SECONDS, Frames
from audit_functions.ingest.outcomes import Outcomes
from audit_functions.ingest.shard import IngestShard
from audit_functions.ingest.stream import LOOK_EVERY_SECONDS, ShardStream
from audit_functions.ingest.watermark import Watermarks
from audit_functions.logs import Log
from audit_functions.telemetry import Telemetry
from audit_functions.web.shard_files import ShardFiles

CREDENTIALS: Final = "ingest.creds"
_INSTANCE_BYTES: Final = 16
_DRAIN_SECONDS: Final = PUBLISH_DEADLINE_SECONDS + 1.0

_log: Final = Log("ingest")


@asynccontextmanager
async def open_shard(
    nats_url: str, shard_id: ShardId, files: ShardFiles, telemetry: Telemetry
) -> AsyncIterator[IngestShard]:
    """Serve a shard inside; on leaving, flush its frames and write the last watermark.

    Each opening is an instance of its own, so that frame numbers start at 1 again.
    """
    name, inbox = f"ingest {shard_id}", inbox_prefix(shard_id, "ingest")
    async with connected(nats_url, files / CREDENTIALS, name=name, inbox=inbox) as connection:
        instance = os.urandom(_INSTANCE_BYTES)
        config = ConfigFollower(connection, shard_id)
        stream = ShardStream(connection, shard_id, config, clock=time.monotonic, now_us=_now_us)
        outcomes = Outcomes()
        frames = Frames(stream, instance, outcomes, telemetry, clock=time.monotonic)
        bucket = Bucket(connection, watermark_bucket(shard_id))
        watermarks = Watermarks(bucket, instance, frames, now_us=_now_us)
        await _hear_outcomes(connection, shard_id, instance, outcomes)
        _log.info("instance_started", shard_id=shard_id, instance=instance.hex())
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(connection.until_closed(), name=f"connection {shard_id}")]
            await _first_look(config, stream)
            running += [
                tasks.create_task(work, name=f"{what} {shard_id}")
                for what, work in (
                    ("config", config.run()),
                    ("stream", stream.run()),
                    ("frames", frames.run()),
                    ("watermark", watermarks.run()),
                )
            ]
            try:
                yield IngestShard(shard_id, config, frames)
            finally:
                if not await frames.drained(_DRAIN_SECONDS):
                    _log.error("drain_incomplete", shard_id=shard_id, instance=instance.hex())
                await watermarks.drained()
                for task in running:
                    task.cancel()


async def _hear_outcomes(
    connection: Connection, shard_id: ShardId, instance: bytes, outcomes: Outcomes
) -> None:
    async def heard(message: Msg) -> None:
        outcomes.heard(message.data)

    await connection.subscribe(outcome_subject(shard_id, instance), heard)


async def _first_look(config: ConfigFollower, stream: ShardStream) -> None:
    """Wait until both were seen once: before that there is nothing to serve."""
    while True:
        try:
            await config.refresh()
            await stream.look()
        except AuditError as error:
            _log.warning("shard_unseen", error=str(error))
        else:
            return
        await asyncio.sleep(LOOK_EVERY_SECONDS)


def _now_us() -> int:
    return time.time_ns() // 1000
