"""Key-value buckets, as the streams that they are: read whole, written by compare-and-set.

A bucket keeps one message per key; its sequence is the entry's revision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error

from audit_core.errors import StreamUnavailable
from audit_operator.clients.jetstream import TIMEOUT_SECONDS, JetStream, JetStreamRefused, StreamConfig

_BATCH: Final = 512
_NEW: Final = 0
_WRONG_SEQUENCE: Final = 10071
_DUPLICATE_WINDOW_NS: Final = 120_000_000_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a bucket (None: it was deleted) and the revision that a change of it must name."""

    value: bytes | None
    revision: int


def bucket_config(bucket: str, *, max_bytes: int, replicas: int) -> StreamConfig:
    """Return the stream that a bucket with one value per key is."""
    return StreamConfig(
        name=stream_of(bucket),
        subjects=(f"$KV.{bucket}.>",),
        discard="new",
        num_replicas=replicas,
        max_bytes=max_bytes,
        max_msgs_per_subject=1,
        duplicate_window=_DUPLICATE_WINDOW_NS,
        deny_delete=True,
        allow_direct=True,
        allow_rollup_hdrs=True,
    )


def stream_of(bucket: str) -> str:
    """Return the name of a bucket's stream."""
    return f"KV_{bucket}"


class Bucket:
    """One bucket. What another wrote in between is never overwritten."""

    def __init__(self, streams: JetStream, name: str) -> None:
        self._streams = streams
        self._name = name
        self._prefix = f"$KV.{name}."

    async def entries(self) -> dict[str, Entry]:
        """Return every entry by key, deleted ones too: their revision is needed to write them again."""
        found: dict[str, Entry] = {}
        sequence = 1
        while sequence:
            sequence = await self._read_from(sequence, found)
        return found

    async def entry(self, key: str) -> Entry | None:
        """Return one entry, or None when there never was one."""
        subject = f"$JS.API.DIRECT.GET.{stream_of(self._name)}.{self._prefix}{key}"
        try:
            message = await self._streams.connection.request(subject, b"", timeout=TIMEOUT_SECONDS)
        except (TimeoutError, Error) as error:
            raise StreamUnavailable(type(error).__name__) from error
        return _entry(message)

    async def put(self, key: str, value: bytes, *, revision: int = _NEW) -> bool:
        """Write an entry that still has `revision` (0: that never was); return whether it had."""
        return await self._write(key, value, revision, {})

    async def delete(self, key: str, *, revision: int) -> bool:
        """Delete an entry that still has `revision`; return whether it had."""
        return await self._write(key, b"", revision, {"KV-Operation": "DEL"})

    async def _write(self, key: str, value: bytes, revision: int, headers: dict[str, str]) -> bool:
        expected = {"Nats-Expected-Last-Subject-Sequence": str(revision), **headers}
        try:
            await self._streams.publish(
                self._prefix + key, value, stream=stream_of(self._name), headers=expected
            )
        except JetStreamRefused as refused:
            if refused.code == _WRONG_SEQUENCE:
                return False
            raise
        return True

    async def _read_from(self, sequence: int, found: dict[str, Entry]) -> int:
        """Take over the entries from `sequence` on; return where to go on, 0 when there are no more."""
        async for message in self._batch(sequence):
            headers = message.headers or {}
            if "Status" in headers:
                return sequence if int(headers.get("Nats-Num-Pending", "0")) else 0
            sequence = int(headers["Nats-Sequence"]) + 1
            entry = _entry(message)
            assert entry is not None, "it has no status"
            found[headers["Nats-Subject"].removeprefix(self._prefix)] = entry
        return 0

    async def _batch(self, sequence: int) -> AsyncIterator[Msg]:
        connection = self._streams.connection
        request = {"seq": sequence, "batch": _BATCH, "next_by_subj": f"{self._prefix}>"}
        inbox = connection.new_inbox()
        subscription = await connection.subscribe(inbox)
        try:
            subject = f"$JS.API.DIRECT.GET.{stream_of(self._name)}"
            await connection.publish(subject, msgspec.json.encode(request), reply=inbox)
            while True:
                yield await subscription.next_msg(timeout=TIMEOUT_SECONDS)
        except (TimeoutError, Error) as error:
            raise StreamUnavailable(type(error).__name__) from error
        finally:
            await subscription.unsubscribe()


def _entry(message: Msg) -> Entry | None:
    headers = message.headers or {}
    if "Status" in headers:
        return None
    value = None if "KV-Operation" in headers else message.data
    return Entry(value=value, revision=int(headers["Nats-Sequence"]))
