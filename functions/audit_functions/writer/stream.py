"""A shard's stream as its writer sees it: what it holds, single messages, a consumer, and the purge."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from audit_core.errors import StreamUnavailable
from audit_core.rfc3339 import microseconds, time_text
from audit_core.tenant import control_subject, stream_name
from audit_functions.adapters.jetstream import Connection, JetStreamRefused
from audit_functions.writer.consumer import Consumer, consumer_config, discarded, made
from audit_functions.writer.state import Message, StreamState

_NOT_FOUND: Final = frozenset({10059, 10037})
_FIRST: Final = 1


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    seq: int
    time: str
    data: str = ""


class _StoredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    message: _Stored


@dataclass(frozen=True, slots=True)
class ShardStream:
    """The stream of one shard. Raises StreamUnavailable while NATS does not answer."""

    connection: Connection
    shard_id: str

    @property
    def name(self) -> str:
        """The stream's name."""
        return stream_name(self.shard_id)

    async def state(self) -> StreamState | None:
        """Return what the stream holds, or None when there is no such stream."""
        info = await self.connection.stream(self.name)
        if info is None:
            return None
        return StreamState(
            epoch=info.epoch,
            created=info.created,
            first_sequence=info.state.first_seq,
            last_sequence=info.state.last_seq,
            messages=info.state.messages,
            bytes=info.state.bytes,
            max_bytes=info.config.max_bytes,
        )

    async def message(self, sequence: int) -> Message | None:
        """Return the message at a sequence, from the stream's leader, or None when it is not there."""
        return await self._message({"seq": sequence})

    async def next_message(self, sequence: int) -> Message | None:
        """Return the first message at `sequence` or behind it."""
        return await self._message({"seq": sequence, "next_by_subj": ">"})

    async def next_control(self, sequence: int) -> Message | None:
        """Return the first control message at `sequence` or behind it."""
        return await self._message({"seq": sequence, "next_by_subj": control_subject(self.shard_id)})

    async def sequence_at(self, at: int) -> int:
        """Return the first sequence that is not older than `at` (µs); the next one when all are."""
        config = consumer_config(deliver_policy="by_start_time", opt_start_time=time_text(at))
        name, before = await made(self.connection, self.name, config)
        await discarded(self.connection, self.name, name)
        return before + 1

    @asynccontextmanager
    async def consumer(self, sequence: int) -> AsyncIterator[Consumer]:
        """Consume from `sequence` on, in order."""
        config = consumer_config(deliver_policy="by_start_sequence", opt_start_seq=max(sequence, _FIRST))
        name, _ = await made(self.connection, self.name, config)
        consumer = Consumer(self.connection, self.name, name)
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    async def purge(self, through: int) -> int:
        """Delete every message up to and including `through`; return how many there were."""
        answer = msgspec.json.decode(
            await self._call("STREAM.PURGE", {"seq": through + 1}), type=dict[str, Any]
        )
        return int(answer.get("purged", 0))

    async def _message(self, request: dict[str, object]) -> Message | None:
        try:
            answer = await self.connection.call(
                f"$JS.API.STREAM.MSG.GET.{self.name}", msgspec.json.encode(request)
            )
        except JetStreamRefused as refused:
            if refused.code in _NOT_FOUND:
                return None
            raise StreamUnavailable(refused.description) from refused
        stored = msgspec.json.decode(answer, type=_StoredAnswer).message
        return Message(
            sequence=stored.seq,
            timestamp_ns=(microseconds(stored.time) or 0) * 1000,
            subject=stored.subject,
            data=base64.b64decode(stored.data),
        )

    async def _call(self, verb: str, request: dict[str, object]) -> bytes:
        try:
            return await self.connection.call(f"$JS.API.{verb}.{self.name}", msgspec.json.encode(request))
        except JetStreamRefused as refused:
            raise StreamUnavailable(refused.description) from refused
