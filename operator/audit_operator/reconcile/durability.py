"""Whether a stream's every copy is fsynced before it is acknowledged. Pure.

Ingest takes nothing for a shard without an attestation. It is renewed every minute and valid for a day, so that an
operator that is away does not stop ingest; one that is seen to be untrue is withdrawn at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from audit_core.errors import AuditError
from audit_core.projection import Durability
from audit_operator.clients.jetstream import StreamInfo
from audit_operator.clients.servers import Server

RENEW_AFTER_US: Final = 60_000_000


class NotDurable(AuditError):
    """The peers in `servers` were seen not to fsync every message: `sync_interval` is not `always` there."""

    __slots__ = ("servers",)

    def __init__(self, servers: tuple[str, ...]) -> None:
        self.servers = servers


class PeersUnknown(AuditError):
    """The peers in `servers` did not answer, or it is not known who keeps the stream. What was attested stays."""

    __slots__ = ("servers",)

    def __init__(self, servers: tuple[str, ...]) -> None:
        self.servers = servers


def attested(stream: StreamInfo, servers: Iterable[Server], *, now: int) -> Durability:
    """Return the attestation that every peer of the stream earns at `now` (µs). Raises NotDurable, PeersUnknown."""
    by_name = {server.name: server for server in servers}
    names = peers(stream) or tuple(by_name)
    if missing := tuple(name for name in names if name not in by_name):
        raise PeersUnknown(missing)
    if len(names) != stream.config.num_replicas:
        raise PeersUnknown(names)
    if lax := tuple(name for name in names if not by_name[name].sync_always):
        raise NotDurable(lax)
    ids = tuple(sorted(by_name[name].server_id for name in names))
    return Durability(attested_at=now, peers=ids, replicas=stream.config.num_replicas)


def peers(stream: StreamInfo) -> tuple[str, ...]:
    """Return the names of the servers that keep the stream; none are named when there is only one server."""
    if stream.cluster is None:
        return ()
    followers = (peer.name for peer in stream.cluster.replicas)
    return tuple(sorted({stream.cluster.leader, *followers} - {""}))


def is_due(stored: Durability | None, fresh: Durability) -> bool:
    """Tell whether the fresh attestation has to be written: the first, another one, or a minute later."""
    if stored is None or (stored.peers, stored.replicas) != (fresh.peers, fresh.replicas):
        return True
    return fresh.attested_at - stored.attested_at >= RENEW_AFTER_US
