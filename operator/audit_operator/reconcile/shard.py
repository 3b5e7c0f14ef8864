"""One shard made whole: schema and roles, stream and buckets, and only then the row that opens it."""

from __future__ import annotations

from dataclasses import dataclass
from secrets import token_urlsafe
from typing import Final

from asyncpg import Connection

from audit_core.tenant import config_bucket, stream_name, watermark_bucket
from audit_operator.clients.buckets import Bucket, bucket_config
from audit_operator.clients.jetstream import JetStream, JetStreamRefused, StreamConfig, StreamInfo
from audit_operator.clients.roles import ROLE_FUNCTIONS, Passwords
from audit_operator.clients.servers import Servers
from audit_operator.clients.shards import Shard, ShardOffset, open_shard, provision_shard, shard_offset
from audit_operator.reconcile.attestation import Attestation
from audit_operator.reconcile.installation import Installation
from audit_operator.reconcile.ports import Clock, Credentials
from audit_operator.reconcile.progress import Progress
from audit_operator.reconcile.stream import (
    Disk,
    Step,
    StreamBroken,
    allotted_bytes,
    epoch_of,
    step,
    stream_step,
    wanted_stream,
)

PASSWORD_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReconciler:
    """Bring shards to what the installation wants. Every step may be repeated, and may be the last before a crash."""

    installation: Installation
    streams: JetStream
    servers: Servers
    credentials: Credentials
    clock: Clock

    async def provision(self, connection: Connection, wanted: Shard) -> tuple[Shard, Passwords]:
        """Make the shard's part of the database; return it as it is stored. Raises ShardDiffers.

        Passwords that nobody was handed are replaced, because nobody can know them.
        """
        known = self.credentials.passwords(wanted.shard_id)
        passwords = {
            function: known.get(function) or token_urlsafe(PASSWORD_BYTES) for function in ROLE_FUNCTIONS
        }
        rotate = passwords != known
        stored = await provision_shard(
            connection, wanted, passwords, now=self.clock(), rotate_passwords=rotate
        )
        return stored, passwords

    async def converge(
        self, connection: Connection, shard: Shard, progress: Progress, *, max_bytes: int | None = None
    ) -> StreamInfo | None:
        """Make the stream and the buckets, attest the stream and open the shard; return the stream if it is sound.

        `max_bytes` is the size that is wanted of the stream, None to leave it at the one it has.
        """
        for bucket, size in self._buckets(shard.shard_id):
            wanted = bucket_config(bucket, max_bytes=size, replicas=self.installation.stream_replicas)
            observed = await self.streams.stream(wanted.name)
            await self._apply(step(wanted, observed), wanted, progress)
        offset = await shard_offset(connection, shard.shard_id)
        try:
            stream = await self._stream(shard, offset, max_bytes, progress)
        except (StreamBroken, JetStreamRefused) as trouble:
            progress.failed(trouble)
            return None
        attestation = Attestation(servers=self.servers, clock=self.clock)
        await attestation.renew(stream, self.config(shard.shard_id), progress)
        if offset is None:
            await open_shard(connection, shard)
            progress.changed("offset")
        return stream

    def config(self, shard_id: str) -> Bucket:
        """Return the shard's configuration bucket."""
        return Bucket(self.streams, config_bucket(shard_id))

    async def _stream(
        self, shard: Shard, offset: ShardOffset | None, max_bytes: int | None, progress: Progress
    ) -> StreamInfo:
        observed = await self.streams.stream(stream_name(shard.shard_id))
        wanted = wanted_stream(
            shard.shard_id,
            epoch_of(shard, offset),
            max_bytes=await self._allotted(observed, max_bytes),
            replicas=self.installation.stream_replicas,
        )
        applied = await self._apply(stream_step(wanted, observed, shard, offset), wanted, progress)
        if applied is None:
            assert observed is not None, "what is kept is there"
            return observed
        return applied

    async def _allotted(self, observed: StreamInfo | None, wanted: int | None) -> int:
        held = None if observed is None else observed.config.max_bytes
        if wanted is None:
            return held or self.installation.stream_max_bytes
        return allotted_bytes(wanted, held, await self._disk())

    async def _disk(self) -> Disk | None:
        if not self.installation.cap_to_disk:
            return None
        server, *_ = await self.servers.answering()
        return Disk(max_storage=server.max_storage, reserved_storage=server.reserved_storage)

    async def _apply(self, step: Step, wanted: StreamConfig, progress: Progress) -> StreamInfo | None:
        if step is Step.KEEP:
            return None
        progress.changed(wanted.name)
        if step is Step.CREATE:
            return await self.streams.create_stream(wanted)
        return await self.streams.update_stream(wanted)

    def _buckets(self, shard_id: str) -> tuple[tuple[str, int], ...]:
        return (
            (config_bucket(shard_id), self.installation.config_max_bytes),
            (watermark_bucket(shard_id), self.installation.watermark_max_bytes),
        )
