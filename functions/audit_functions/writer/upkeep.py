"""What a writer at work does beside committing: compare watermarks, trim the stream, measure how full it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from audit_core.errors import Unavailable
from audit_core.projection import Watermark
from audit_functions.logs import Log
from audit_functions.writer.fill import Filling
from audit_functions.writer.ledger import Wanted
from audit_functions.writer.ports import Shard
from audit_functions.writer.state import Message, Offset, StreamState
from audit_functions.writer.trim import REPLAY_WINDOW_US, Backups, trim_through
from audit_functions.writer.watermarks import due, finding

WATERMARKS_EVERY_SECONDS: Final = 5.0
TRIM_EVERY_SECONDS: Final = 30.0
_HOUR_US: Final = 3_600_000_000

Backup = Literal["archive", "none"]
"""What the trimmer waits for besides the commit: the archive of WAL files, or nothing."""


class Lacking(NamedTuple):
    """An instance saw all frames up to `acknowledged` acknowledged, and they are not all here."""

    instance: bytes
    epoch: bytes
    acknowledged: int


_log: Final = Log("writer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """The upkeep of one shard, over all turns of its writer."""

    shard: Shard
    backup: Backup
    _judged: dict[bytes, Watermark] = field(default_factory=dict)
    _lacking: list[Lacking] = field(default_factory=list)
    _backups: Backups = field(default_factory=Backups)
    _filling: Filling = field(default_factory=Filling)

    @property
    def lacks(self) -> bool:
        """Tell whether there is something to take."""
        return bool(self._lacking)

    def take_lacking(self) -> list[Lacking]:
        """Return what watermarks showed missing since the last call."""
        taken = list(self._lacking)
        self._lacking.clear()
        return taken

    async def run(self, offset: Callable[[], Offset]) -> None:
        """Do both for ever, each at its pace. A server that is away is another task's to report."""
        trim_at = 0.0
        while True:
            try:
                await self.compare_watermarks(offset())
                if self.shard.clock.monotonic() >= trim_at:
                    trim_at = self.shard.clock.monotonic() + TRIM_EVERY_SECONDS
                    await self.trim()
            except Unavailable as error:
                _log.warning("upkeep_postponed", shard_id=self.shard.shard_id, error=str(error))
            await asyncio.sleep(WATERMARKS_EVERY_SECONDS)

    async def compare_watermarks(self, offset: Offset) -> None:
        """Hold what ingest was promised against what is committed at `offset`."""
        marks = due(await self.shard.board.watermarks(), self._judged, offset)
        found = await self.shard.store.look_up(Wanted(tenants=[], events=[], instances=list(marks)), since=0)
        for instance, mark in marks.items():
            # Another epoch's sequences mean other messages.
            message = (
                await self.shard.stream.message(mark.stream_sequence) if mark.epoch == offset.epoch else None
            )
            wrong = finding(instance, mark, found.producers.get(instance), message)
            self._judged[instance] = mark
            if wrong is None:
                continue
            _log.error(
                "watermark_contradicted",
                shard_id=self.shard.shard_id,
                instance=instance.hex(),
                frame=mark.frame,
                stream_sequence=mark.stream_sequence,
                missing=wrong.missing,
            )
            if wrong.missing:
                self._lacking.append(Lacking(instance, mark.epoch, mark.frame))
            else:
                self.shard.telemetry.contradictions.labels(self.shard.shard_id).inc()
        self.shard.telemetry.missing.labels(self.shard.shard_id).set(await self.shard.store.missing_frames())

    async def trim(self) -> int:
        """Purge what may be purged, and say so before; return how many messages that were."""
        stream = await self.shard.stream.state()
        if stream is None:
            return 0
        offset = await self.shard.store.offset()
        oldest = await self.shard.stream.next_message(stream.first_sequence) if stream.messages else None
        self._measure(stream, oldest)
        through = trim_through(
            offset,
            stream,
            backed_up=await self._backed_up(offset),
            window_start=await self._window_start(stream, oldest),
        )
        if through is None or await self.shard.store.mark_trimmed(through, offset.epoch) is None:
            return 0
        await self.shard.board.trimmed(through)
        purged = await self.shard.stream.purge(through)
        self.shard.telemetry.trimmed.labels(self.shard.shard_id).inc(purged)
        _log.info("stream_trimmed", shard_id=self.shard.shard_id, through=through, messages=purged)
        return purged

    async def _backed_up(self, offset: Offset) -> int:
        if self.backup == "none":
            return offset.stream_sequence
        self._backups.seen(offset.stream_sequence, *await self.shard.store.wal_files())
        return self._backups.through

    async def _window_start(self, stream: StreamState, oldest: Message | None) -> int:
        start = self.shard.clock.microseconds() - REPLAY_WINDOW_US
        if oldest is None or oldest.timestamp_ns // 1000 >= start:
            return stream.first_sequence
        return await self.shard.stream.sequence_at(start)

    def _measure(self, stream: StreamState, oldest: Message | None) -> None:
        self._filling.seen(self.shard.clock.monotonic(), stream.bytes)
        age = 0 if oldest is None else self.shard.clock.microseconds() - oldest.timestamp_ns // 1000
        self.shard.telemetry.window.labels(self.shard.shard_id).set(age / _HOUR_US)
        self.shard.telemetry.hours_to_full.labels(self.shard.shard_id).set(
            self._filling.hours_to_full(stream.max_bytes)
        )
        if stream.max_bytes > 0:
            self.shard.telemetry.fill.labels(self.shard.shard_id).set(stream.bytes / stream.max_bytes)
