"""What a writer says of its shard in the configuration bucket, and the watermarks that it reads."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from audit_core.errors import StreamUnavailable
from audit_core.outcome import FrameOutcome, encode_outcome
from audit_core.projection import FROZEN_KEY, TRIMMED_KEY, VERSIONS_KEY, Frozen, Trimmed, Versions, Watermark
from audit_core.tenant import config_bucket, outcome_subject, watermark_bucket
from audit_functions.adapters.jetstream import Connection
from audit_functions.adapters.kv import NEW, Bucket
from audit_functions.logs import Log

T = TypeVar("T", bound=msgspec.Struct)
_encoder: Final = msgspec.json.Encoder()
_log: Final = Log("writer")


class ShardBoard:
    """The writer's keys of one shard. Writes only what changes, and never over what another wrote meanwhile."""

    def __init__(self, connection: Connection, shard_id: str) -> None:
        self._bucket = Bucket(connection, config_bucket(shard_id))
        self._marks = Bucket(connection, watermark_bucket(shard_id))
        self._watermarks: dict[bytes, Watermark] = {}
        self._created = ""
        self._applied = 0

    async def frozen(self) -> Frozen | None:
        """Return why the shard is frozen, or None."""
        return (await self._read(FROZEN_KEY, Frozen))[0]

    async def freeze(self, frozen: Frozen) -> None:
        """Say that the shard is frozen. What says so already, with the same reason and evidence, stays."""
        shown, revision = await self._read(FROZEN_KEY, Frozen)
        if shown is None or (shown.reason, shown.evidence) != (frozen.reason, frozen.evidence):
            await self._bucket.put(FROZEN_KEY, _encoder.encode(frozen), revision=revision)

    async def thaw(self) -> None:
        """Say that the shard goes on."""
        shown, revision = await self._read(FROZEN_KEY, Frozen)
        if shown is not None:
            await self._bucket.delete(FROZEN_KEY, revision=revision)

    async def reads_frame_version(self, version: int) -> None:
        """Say which frames this shard's writers read."""
        shown, revision = await self._read(VERSIONS_KEY, Versions)
        if shown != Versions(frame=version):
            await self._bucket.put(VERSIONS_KEY, _encoder.encode(Versions(frame=version)), revision=revision)

    async def trimmed(self, through: int) -> None:
        """Say that the stream may lack messages up to `through`. Raises StreamUnavailable unless it is said."""
        shown, revision = await self._read(TRIMMED_KEY, Trimmed)
        if shown is not None and shown.through >= through:
            return
        if not await self._bucket.put(
            TRIMMED_KEY, _encoder.encode(Trimmed(through=through)), revision=revision
        ):
            raise StreamUnavailable("another writer marks the trimming")

    async def watermarks(self) -> dict[bytes, Watermark]:
        """Return the last watermark of every instance."""
        info = await self._marks.info()
        if info.created != self._created or info.state.last_seq < self._applied:
            self._watermarks, self._applied, self._created = {}, 0, info.created
        if info.state.last_seq > self._applied:
            async for entry in self._marks.entries_from(self._applied + 1):
                self._applied = entry.revision
                self._take(entry.key, entry.value)
        return self._watermarks

    def _take(self, key: str, value: bytes | None) -> None:
        try:
            instance = bytes.fromhex(key)
            if value is None:
                self._watermarks.pop(instance, None)
            else:
                self._watermarks[instance] = msgspec.json.decode(value, type=Watermark)
        except (msgspec.DecodeError, ValueError) as error:
            _log.error("watermark_undecodable", key=key[:32], reason=str(error))

    async def _read(self, key: str, kind: type[T]) -> tuple[T | None, int]:
        entry = await self._bucket.get(key)
        if entry is None:
            return None, NEW
        if entry.value is None:
            return None, entry.revision
        try:
            return msgspec.json.decode(entry.value, type=kind), entry.revision
        except msgspec.DecodeError:
            return None, entry.revision  # of another release, or broken: ours replaces it


class OutcomeTeller:
    """Publishes outcomes over core NATS: whoever does not hear one falls back to the durable answer."""

    def __init__(self, connection: Connection, shard_id: str) -> None:
        self._connection = connection
        self._shard_id = shard_id

    async def tell(self, instance: bytes, outcome: FrameOutcome) -> None:
        """Tell the instance that published a frame what became of it."""
        await self._connection.send(outcome_subject(self._shard_id, instance), encode_outcome(outcome))
