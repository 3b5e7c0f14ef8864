"""One shard made whole: schema and roles, stream and buckets, and only then the row that opens it."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Final

from asyncpg import Connection

from audit_core.tenant import config_bucket, stream_name, watermark_bucket
from audit_operator.clients.buckets import Bucket, bucket_config
from audit_operator.clients.cluster import Cluster
from audit_operator.clients.jetstream import JetStream, JetStreamRefused, StreamConfig, StreamInfo
from audit_operator.clients.roles import ROLE_FUNCTIONS, Passwords
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
    bucket_step,
    epoch_of,
    stream_step,
    wanted_stream,
)

PASSWORD_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReconciler:
    """Bring shards to what the installation wants. Every step may be repeated, and may be the last before a crash."""

    installation: Installation
    cluster: Cluster
    credentials: Credentials
    clock: Clock
    _made: dict[str, Passwords] = field(default_factory=dict, repr=False)
    """Passwords on their way to whoever is handed them: tenants of one shard that are made at once share them."""

    async def provision(self, connection: Connection, wanted: Shard) -> tuple[Shard, Passwords]:
        """Make the shard's part of the database; return it as it is stored. Raises ShardDiffers.

        Passwords that nobody was handed are replaced, because nobody can know them.
        """
        made = self._made.setdefault(wanted.shard_id, _passwords())
        known = await self.credentials.passwords(wanted.shard_id)
        passwords = {function: known.get(function) or made[function] for function in ROLE_FUNCTIONS}
        rotate = passwords != known
        stored = await provision_shard(
            connection, wanted, passwords, now=self.clock(), rotate_passwords=rotate
        )
        return stored, passwords

    async def hand_out(self, shard_id: str, passwords: Passwords) -> list[str]:
        """Let the functions in; return what was written for it."""
        written = await self.credentials.hand_out(shard_id, passwords)
        self._made.pop(shard_id, None)  # who begins from here on finds them handed out
        return written

    async def converge(
        self,
        connection: Connection,
        streams: JetStream,
        shard: Shard,
        progress: Progress,
        *,
        max_bytes: int | None = None,
        replicas: int | None = None,
    ) -> StreamInfo | None:
        """Make the stream and the buckets, attest the stream and open the shard; return the stream if it is sound.

        `streams` is that of the shard's account; `max_bytes` and `replicas` are the size and the copies that are wanted
        of the stream, None to leave it at those it has.
        """
        for bucket, size in self._buckets(shard.shard_id):
            wanted = bucket_config(bucket, max_bytes=size, replicas=self.installation.stream_replicas)
            observed = await streams.stream(wanted.name)
            await _apply(streams, bucket_step(wanted, observed), wanted, progress)
        offset = await shard_offset(connection, shard.shard_id)
        try:
            stream = await self._stream(streams, shard, offset, max_bytes, replicas, progress)
        except (StreamBroken, JetStreamRefused) as trouble:
            progress.failed(trouble)
            return None
        attestation = Attestation(cluster=self.cluster, clock=self.clock)
        await attestation.renew(stream, Bucket(streams, config_bucket(shard.shard_id)), progress)
        if offset is None:
            await open_shard(connection, shard)
            progress.changed("offset")
        return stream

    async def allotted(self, observed: StreamInfo | None, wanted: int | None) -> int:
        """Return the `max_bytes` of a stream that is there or not, if `wanted` is asked for or (None) nothing is."""
        held = None if observed is None else observed.config.max_bytes
        if wanted is None:
            return held or self.installation.stream_max_bytes
        return allotted_bytes(wanted, held, await self._disk())

    async def _stream(
        self,
        streams: JetStream,
        shard: Shard,
        offset: ShardOffset | None,
        max_bytes: int | None,
        replicas: int | None,
        progress: Progress,
    ) -> StreamInfo:
        observed = await streams.stream(stream_name(shard.shard_id))
        held = self.installation.stream_replicas if observed is None else observed.config.num_replicas
        wanted = wanted_stream(
            shard.shard_id,
            epoch_of(shard, offset),
            max_bytes=await self.allotted(observed, max_bytes),
            replicas=replicas or held,
        )
        step = stream_step(wanted, observed, shard, offset)
        applied = await _apply(streams, step, wanted, progress)
        if applied is None:
            assert observed is not None, "what is kept is there"
            return observed
        return applied

    async def _disk(self) -> Disk | None:
        if not self.installation.cap_to_disk:
            return None
        async with self.cluster.servers() as servers:
            server, *_ = await servers.answering()
        return Disk(max_storage=server.max_storage, reserved_storage=server.reserved_storage)

    def _buckets(self, shard_id: str) -> tuple[tuple[str, int], ...]:
        return (
            (config_bucket(shard_id), self.installation.config_max_bytes),
            (watermark_bucket(shard_id), self.installation.watermark_max_bytes),
        )


def _passwords() -> Passwords:
    return {function: token_urlsafe(PASSWORD_BYTES) for function in ROLE_FUNCTIONS}


async def _apply(
    streams: JetStream, step: Step, wanted: StreamConfig, progress: Progress
) -> StreamInfo | None:
    if step is Step.KEEP:
        return None
    progress.changed(wanted.name)
    if step is Step.CREATE:
        return await streams.create_stream(wanted)
    return await streams.update_stream(wanted)
