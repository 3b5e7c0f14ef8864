"""A shard's buckets: the configuration, followed entry by entry, and single entries written by compare-and-set.

A bucket is a stream with one message per key; the message's sequence is the entry's revision. Watchers are not relied
on: one saw a change 17 s late after a server restart. The bucket's last sequence is compared instead, and what is
behind the applied one is read.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from nats.aio.msg import Msg

from audit_core.errors import AuditError, StreamUnavailable
from audit_core.projection import ConfigView
from audit_core.tenant import config_bucket
from audit_functions.adapters.jetstream import Connection, JetStreamRefused, StreamInfo
from audit_functions.logs import Log

COMPARE_EVERY_SECONDS: Final = 0.5
_TIMEOUT_SECONDS: Final = 1.0
_BATCH: Final = 500
_WRONG_SEQUENCE: Final = 10071
NEW: Final = 0
"""The revision of an entry that is not there yet."""

_log: Final = Log("config")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a bucket; `value` None says that the key was deleted."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket over a connection whose user may use it."""

    connection: Connection
    name: str

    @property
    def stream(self) -> str:
        """The name of the stream that the bucket is."""
        return f"KV_{self.name}"

    async def info(self) -> StreamInfo:
        """Return the bucket's stream. Raises StreamUnavailable, also when there is no such bucket."""
        info = await self.connection.stream(self.stream, wait_seconds=_TIMEOUT_SECONDS)
        if info is None:
            raise StreamUnavailable(f"no bucket {self.name}")
        return info

    async def get(self, key: str) -> Entry | None:
        """Return an entry, or None when there is none. One that was deleted has a revision and no value."""
        subject = f"$JS.API.DIRECT.GET.{self.stream}.$KV.{self.name}.{key}"
        message = await self.connection.ask(subject, b"", wait_seconds=_TIMEOUT_SECONDS)
        return None if "Status" in (message.headers or {}) else self._entry(message)

    async def put(self, key: str, value: bytes, *, revision: int | None = None) -> bool:
        """Write an entry if it still has `revision` (None: whatever it has); return whether it was written."""
        return await self._write(key, value, revision, {})

    async def delete(self, key: str, *, revision: int | None = None) -> bool:
        """Delete an entry if it still has `revision` (None: whatever it has); return whether it was deleted."""
        return await self._write(key, b"", revision, {"KV-Operation": "DEL"})

    async def entries_from(self, sequence: int) -> AsyncIterator[Entry]:
        """Yield what is stored at `sequence` and behind it, deletions too, in order."""
        while True:
            pending = 0
            last = sequence - 1
            request = {"seq": sequence, "batch": _BATCH, "next_by_subj": f"$KV.{self.name}.>"}
            answers = self.connection.many(
                f"$JS.API.DIRECT.GET.{self.stream}",
                msgspec.json.encode(request),
                wait_seconds=_TIMEOUT_SECONDS,
            )
            async for message in answers:
                headers = message.headers or {}
                if "Status" in headers:
                    pending = int(headers.get("Nats-Num-Pending", "0"))
                    break
                entry = self._entry(message)
                last = entry.revision
                yield entry
            await answers.aclose()  # type: ignore[attr-defined]  # it is an async generator
            if not pending or last < sequence:
                return
            sequence = last + 1

    async def _write(self, key: str, value: bytes, revision: int | None, headers: dict[str, str]) -> bool:
        if revision is not None:
            headers = {**headers, "Nats-Expected-Last-Subject-Sequence": str(revision)}
        headers["Nats-Expected-Stream"] = self.stream
        try:
            await self.connection.call(f"$KV.{self.name}.{key}", value, headers=headers)
        except JetStreamRefused as refused:
            if refused.code == _WRONG_SEQUENCE:
                return False
            raise StreamUnavailable(refused.description) from refused
        return True

    def _entry(self, message: Msg) -> Entry:
        headers = message.headers or {}
        return Entry(
            key=headers["Nats-Subject"].removeprefix(f"$KV.{self.name}."),
            value=None if "KV-Operation" in headers else message.data,
            revision=int(headers["Nats-Sequence"]),
        )


class ConfigFollower:
    """Keeps the view of a shard's configuration at most `COMPARE_EVERY_SECONDS` old while NATS answers.

    `view` is replaced when the bucket has to be read anew, so it is asked for each time and never kept.
    """

    def __init__(
        self, connection: Connection, shard_id: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.view = ConfigView()
        self._bucket = Bucket(connection, config_bucket(shard_id))
        self._shard_id = shard_id
        self._clock = clock
        self._confirmed_at: float | None = None
        self._created = ""
        self._applied = 0
        self._keys: set[str] = set()
        self._behind = False

    @property
    def bucket(self) -> Bucket:
        """The bucket that is followed, for who may write to it."""
        return self._bucket

    def age_seconds(self) -> float:
        """Return how long ago it was certain that `view` is what the bucket holds; infinite before the first time."""
        return float("inf") if self._confirmed_at is None else self._clock() - self._confirmed_at

    async def run(self) -> None:
        """Follow for ever. While NATS does not answer the view stays, and its age grows."""
        while True:
            try:
                await self.refresh()
            except AuditError as error:
                if not self._behind:
                    _log.warning("config_unconfirmed", shard_id=self._shard_id, error=str(error))
                self._behind = True
            else:
                if self._behind:
                    _log.info("config_confirmed", shard_id=self._shard_id)
                self._behind = False
            await asyncio.sleep(COMPARE_EVERY_SECONDS)

    async def refresh(self) -> None:
        """Compare once, and read what changed. Raises StreamUnavailable."""
        asked_at = self._clock()
        info = await self._bucket.info()
        state = info.state
        if info.created != self._created or state.last_seq < self._applied:
            await self._read_anew(info)
        elif state.last_seq > self._applied:
            await self._read_on()
        if len(self._keys) != state.messages and state.last_seq == self._applied:
            await self._read_anew(info)  # keys were purged, which leaves nothing to read
        if self._applied < state.last_seq:
            raise StreamUnavailable("a copy of the bucket lags behind")
        self._confirmed_at = asked_at

    async def _read_on(self) -> None:
        async for entry in self._bucket.entries_from(self._applied + 1):
            self._apply(self.view, entry)
            self._keys.add(entry.key)
            self._applied = entry.revision

    async def _read_anew(self, info: StreamInfo) -> None:
        view, keys, applied = ConfigView(), set(), 0
        async for entry in self._bucket.entries_from(1):
            self._apply(view, entry)
            keys.add(entry.key)
            applied = entry.revision
        self.view, self._keys, self._applied, self._created = view, keys, applied, info.created

    def _apply(self, view: ConfigView, entry: Entry) -> None:
        problem = view.apply(entry.key, entry.value)
        if problem is not None:
            key = entry.key if not entry.key.startswith("key.") else f"{entry.key[:12]}…"
            _log.error("config_entry_undecodable", shard_id=self._shard_id, key=key, reason=problem)
