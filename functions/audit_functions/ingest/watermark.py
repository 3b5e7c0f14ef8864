"""What this instance was promised, told to the writer beside the stream, so that a loss inside it shows.

Written every second in which something was acknowledged, and once more when draining: the blind tail is one second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from audit_core.errors import AuditError
from audit_core.projection import Watermark
from audit_functions.adapters.kv import Bucket
from audit_functions.ingest.frames import Frames, LastAcknowledged
from audit_functions.logs import Log

WRITE_EVERY_SECONDS: Final = 1.0

_log: Final = Log("watermark")


class Watermarks:
    """Writes the watermark of one instance and shard."""

    def __init__(self, bucket: Bucket, instance: bytes, frames: Frames, *, now_us: Callable[[], int]) -> None:
        self._bucket = bucket
        self._key = instance.hex()
        self._frames = frames
        self._now_us = now_us
        self._written: LastAcknowledged | None = None
        self._failing = False

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(WRITE_EVERY_SECONDS)
            if self._frames.last is not self._written:
                await self._write(drained=False)

    async def drained(self) -> None:
        """Write the last one, when no more frames will come."""
        if self._frames.last is not None:
            await self._write(drained=True)

    async def _write(self, *, drained: bool) -> None:
        last = self._frames.last
        if last is None:
            return
        mark = Watermark(
            epoch=last.epoch,
            frame=last.number,
            stream_sequence=last.sequence,
            frame_sha256=last.sha256,
            at=self._now_us(),
            drained=drained,
        )
        try:
            await self._bucket.put(self._key, msgspec.json.encode(mark))
        except AuditError as error:
            if not self._failing:
                _log.warning("watermark_unwritten", instance=self._key, error=str(error))
            self._failing = True
        else:
            self._written = last
            self._failing = False
