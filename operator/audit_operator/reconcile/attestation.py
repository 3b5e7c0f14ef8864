"""The attestation of a shard's durability, kept in its configuration bucket."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from audit_core.errors import AuditError, StreamUnavailable
from audit_core.projection import DURABILITY_KEY, Durability
from audit_operator.clients.buckets import Bucket, Entry
from audit_operator.clients.cluster import Cluster
from audit_operator.clients.jetstream import StreamInfo
from audit_operator.reconcile.durability import NotDurable, PeersUnknown, attested, is_due, peers
from audit_operator.reconcile.ports import Clock
from audit_operator.reconcile.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """Ask every peer of a stream whether it fsyncs each message, and tell ingest."""

    cluster: Cluster
    clock: Clock

    async def renew(self, stream: StreamInfo, bucket: Bucket, progress: Progress) -> None:
        """Write what the peers say if it is due; withdraw what one of them denies. Who is silent changes nothing."""
        try:
            async with self.cluster.servers() as asked:
                servers = await asked.answering(peers(stream))
            fresh = attested(stream, servers, now=self.clock())
        except NotDurable as trouble:
            await self._withdraw(bucket, trouble, progress)
        except (PeersUnknown, StreamUnavailable) as trouble:
            progress.failed(trouble)
        else:
            await self._write(bucket, fresh, progress)

    async def _write(self, bucket: Bucket, fresh: Durability, progress: Progress) -> None:
        entry = await bucket.entry(DURABILITY_KEY)
        if is_due(_decoded(entry), fresh):
            await bucket.put(
                DURABILITY_KEY, msgspec.json.encode(fresh), revision=entry.revision if entry else 0
            )
            progress.changed(DURABILITY_KEY)

    async def _withdraw(self, bucket: Bucket, trouble: AuditError, progress: Progress) -> None:
        progress.failed(trouble)
        entry = await bucket.entry(DURABILITY_KEY)
        if entry is not None and entry.value is not None:
            await bucket.delete(DURABILITY_KEY, revision=entry.revision)
            progress.changed(DURABILITY_KEY)


def _decoded(entry: Entry | None) -> Durability | None:
    """Return the attestation that is stored; one that cannot be read is none."""
    if entry is None or entry.value is None:
        return None
    try:
        return msgspec.json.decode(entry.value, type=Durability)
    except msgspec.DecodeError:
        return None
