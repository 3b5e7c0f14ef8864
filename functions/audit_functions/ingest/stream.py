"""A shard's stream as ingest sees it: its epoch, whether it takes frames now, and publications to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from audit_core.errors import AuditError, ShardFrozen, StreamUnavailable, Unavailable
from audit_core.projection import DURABILITY_VALID_SECONDS
from audit_core.tenant import ShardId, ingest_subject, stream_name
from audit_functions.adapters.jetstream import Connection, NotStored, StorageUnknown, StreamInfo
from audit_functions.adapters.kv import ConfigFollower
from audit_functions.ingest.ports import Publication, Refused, Stored, Unknown
from audit_functions.logs import Log

LOOK_EVERY_SECONDS: Final = 0.5
FULL_AT: Final = 0.95
"""The part of `max_bytes` that ingest may fill; the rest is for control frames."""
_FULL_RETRY_SECONDS: Final = 10.0
_MICROSECONDS: Final = 1_000_000

_log: Final = Log("stream")


class ShardStream:
    """Implements `FrameStream` over a connection, and watches the stream meanwhile."""

    def __init__(
        self,
        connection: Connection,
        shard_id: ShardId,
        config: ConfigFollower,
        *,
        clock: Callable[[], float],
        now_us: Callable[[], int],
    ) -> None:
        self._connection = connection
        self._shard_id = shard_id
        self._config = config
        self._clock = clock
        self._now_us = now_us
        self._name = stream_name(shard_id)
        self._subject = ingest_subject(shard_id)
        self._info: StreamInfo | None = None
        self._epoch: bytes | None = None
        self._published_since = 0
        self._full = False
        self._unseen = False
        self._answered_at = float("-inf")

    @property
    def epoch(self) -> bytes | None:
        """The epoch that the stream's metadata carries."""
        return self._epoch

    @property
    def answered_at(self) -> float:
        """When the stream was last looked at with success."""
        return self._answered_at

    def obstacle(self) -> Unavailable | None:
        """Return why the stream takes no frames now, or None."""
        view = self._config.view
        if view.frozen is not None:
            return ShardFrozen(self._shard_id, view.frozen.reason)
        if not self._connection.up:
            return StreamUnavailable("the stream's server is away", 1.0)
        if self._epoch is None:
            return StreamUnavailable("there is no stream", 2.0)
        attested = view.durability
        if (
            attested is None
            or attested.attested_at + DURABILITY_VALID_SECONDS * _MICROSECONDS <= self._now_us()
        ):
            return StreamUnavailable("that the stream fsyncs every message is not attested", 10.0)
        if self._full:
            return StreamUnavailable("the stream is full", _FULL_RETRY_SECONDS)
        return None

    async def publish(self, payload: bytes, message_id: str, *, wait_seconds: float) -> Publication:
        """Publish a frame."""
        headers = {"Nats-Msg-Id": message_id, "Nats-Expected-Stream": self._name}
        try:
            acked = await self._connection.publish(self._subject, payload, headers, wait_seconds=wait_seconds)
        except NotStored as error:
            self._full = self._full or error.full
            return Refused("the stream is full" if error.full else error.reason)
        except StorageUnknown as error:
            return Unknown(error.reason)
        if acked.stream != self._name:
            return Unknown("another stream answered")
        self._published_since += len(payload)
        self._full = self._full or self._fill() >= FULL_AT
        return Stored(acked.seq, acked.duplicate)

    async def run(self) -> None:
        """Look at the stream for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def look(self) -> None:
        """Look once. What is not known any more counts as it was; a stream that is gone does not."""
        asked_at = self._clock()
        published_before = self._published_since
        try:
            info = await self._connection.stream(self._name)
        except AuditError as error:
            if not self._unseen:
                _log.warning("stream_unseen", shard_id=self._shard_id, error=str(error))
            self._unseen = True
            return
        self._unseen = False
        self._answered_at = asked_at
        self._take(info)
        # What was published while the answer was under way may or may not be in it: count it twice rather than never.
        self._published_since -= published_before
        self._full = self._fill() >= FULL_AT

    def _take(self, info: StreamInfo | None) -> None:
        epoch = None if info is None else info.epoch
        if epoch != self._epoch:
            told = None if epoch is None else epoch.hex()
            _log.info("stream_epoch_seen", shard_id=self._shard_id, epoch=told)
        self._info, self._epoch = info, epoch

    def _fill(self) -> float:
        if self._info is None or self._info.config.max_bytes <= 0:
            return 0.0
        return (self._info.state.bytes + self._published_since) / self._info.config.max_bytes
