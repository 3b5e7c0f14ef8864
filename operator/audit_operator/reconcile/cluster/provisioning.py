"""Provisioning of tenants whose credentials are Secrets, by the code that the local runtime uses too."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from audit_core.tenant import Isolation, stream_name
from audit_core.tenant import namespace as namespace_of
from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.nats_jwt import Authority
from audit_operator.clients.shards import shard_offset
from audit_operator.clients.tenants import tenant_named
from audit_operator.model.audittenant import AuditTenant
from audit_operator.reconcile.cluster.credentials import (
    FIRST_KEY_SECRET,
    Dsn,
    SecretCredentials,
    SecretKeyring,
)
from audit_operator.reconcile.cluster.secrets import SecretPlace
from audit_operator.reconcile.converge import Converged, Reconciler
from audit_operator.reconcile.destruction import drop_log
from audit_operator.reconcile.ports import Random
from audit_operator.resources.pod import credentials_name

POOL_HELD_SECONDS: Final = 30.0
"""How long the Secrets of the pool are not read again for the next of its tenants. Its repair reads them each time."""


class _Known(NamedTuple):
    resource: AuditTenant
    converged: Converged
    at: float


@dataclass(slots=True, kw_only=True)
class Provisioning:
    """One Reconciler, seen from each tenant's namespace: there its credentials are written."""

    reconciler: Reconciler
    api: Kubernetes
    namespace: str
    authority: Authority
    dsn: Dsn
    random: Random
    clock: Callable[[], float] = time.monotonic
    doubted: Callable[[str], None] = lambda _name: None
    """Told of each tenant that should be looked at, since its shard met trouble."""
    _known: dict[str, _Known] = field(default_factory=dict)
    _kept: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """Of each shard a tenant in whose place it is kept: its name, and whether it is pooled."""
    _pool: SecretPlace = field(init=False)
    _pool_read_at: float = -POOL_HELD_SECONDS

    def __post_init__(self) -> None:
        self._pool = SecretPlace(self.api, self.namespace)

    async def converge(self, tenant: AuditTenant) -> Converged:
        """Make everything outside the cluster that the resource stands for. Raises as Reconciler.converge."""
        converged = await self._view(tenant.name, pooled=tenant.is_pooled).converge(tenant)
        self._known[tenant.name] = _Known(tenant, converged, self.clock())
        self._kept[converged.shard_id] = (tenant.name, tenant.is_pooled)
        return converged

    def known(self, name: str) -> Converged | None:
        """Return what the last look at a tenant came to."""
        known = self._known.get(name)
        return None if known is None else known.converged

    def sound(self, tenant: AuditTenant, *, within_seconds: float) -> Converged | None:
        """Return what the last look came to, if it wanted the same, met no trouble and is not older than that.

        What changed outside the cluster since is found by the repair of the shard, and by the next look that is due.
        """
        known = self._known.get(tenant.name)
        if known is None or known.resource.spec != tenant.spec or known.converged.troubles:
            return None
        if known.resource.metadata.generation != tenant.metadata.generation:
            return None
        return known.converged if self.clock() - known.at < within_seconds else None

    @property
    def shards(self) -> frozenset[str]:
        """The shards of the tenants that were looked at."""
        return frozenset(self._kept)

    async def keep(self, name: str) -> None:
        """Have the shard of a tenant kept that is not looked at: without its attestation, ingest stops in a day."""
        async with self.reconciler.database() as connection:
            found = await tenant_named(connection, name)
        if found is not None:
            self._kept.setdefault(found.shard_id, (name, found.isolation is Isolation.POOLED))

    async def keep_shard(self, shard_id: str) -> Converged:
        """Repair a shard, and renew the attestation of its durability."""
        name, pooled = self._kept[shard_id]
        if pooled:
            self._pool_read_at = self.clock() - POOL_HELD_SECONDS
        try:
            converged = await self._view(name, pooled=pooled).converge_shard(shard_id)
        except BaseException:
            self._doubt(shard_id)
            raise
        if converged.troubles:
            self._doubt(shard_id)
        return converged

    def _doubt(self, shard_id: str) -> None:
        """Have each tenant of a shard looked at that was believed to be sound, so that its status tells the trouble."""
        for name, known in list(self._known.items()):
            if known.converged.shard_id == shard_id and known.at > -math.inf:
                self._known[name] = known._replace(at=-math.inf)
                self.doubted(name)

    async def retire(self, name: str, *, pooled: bool) -> Converged | None:
        """Close the endpoint of a tenant; None when it was closed before or never opened."""
        if (known := self._known.get(name)) is not None:
            self._known[name] = known._replace(at=-math.inf)  # whoever has the name next is looked at
        return await self._view(name, pooled=pooled).retire(name)

    async def is_drained(self, shard_id: str) -> bool:
        """Tell whether everything in a shard's stream has been stored."""
        async with (
            self.reconciler.database() as connection,
            self.reconciler.shards.cluster.streams(shard_id) as streams,
        ):
            stream = await streams.stream(stream_name(shard_id))
            offset = await shard_offset(connection, shard_id)
        return stream is None or offset is None or offset.stream_sequence >= stream.state.last_seq

    async def is_known(self, name: str) -> bool:
        """Tell whether a tenant of that name is there."""
        async with self.reconciler.database() as connection:
            return await tenant_named(connection, name) is not None

    async def drop(self, name: str, shard_id: str) -> bool:
        """Delete the log that a removed tenant had for itself; False, deleting nothing, when it is not its own."""
        self._kept.pop(shard_id, None)  # from here on nobody repairs it
        shards = self.reconciler.shards
        return await drop_log(self.reconciler.database, shards.cluster, shards.clock, shard_id, name=name)

    async def release(self, name: str, *, pooled: bool) -> None:
        """Forget a tenant that has ended, and delete what lies outside its namespace."""
        if pooled:
            await SecretPlace(self.api, self.namespace).delete(f"{FIRST_KEY_SECRET}-{name}")
        ended = self._known.pop(name, None)
        if ended is not None and not pooled:
            self._kept.pop(ended.converged.shard_id, None)

    def _view(self, name: str, *, pooled: bool) -> Reconciler:
        place = SecretPlace(self.api, self.namespace if pooled else namespace_of(name))
        credentials = SecretCredentials(
            place=self._pool_place() if pooled else place,
            name=_pool_credentials if pooled else credentials_name,
            authority=self.authority,
            dsn=self.dsn,
            random=self.random,
        )
        keyring = SecretKeyring(
            place=place, name=f"{FIRST_KEY_SECRET}-{name}" if pooled else FIRST_KEY_SECRET
        )
        return replace(
            self.reconciler,
            shards=replace(self.reconciler.shards, credentials=credentials),
            first_key=replace(self.reconciler.first_key, keyring=keyring),
        )

    def _pool_place(self) -> SecretPlace:
        if self.clock() - self._pool_read_at >= POOL_HELD_SECONDS:
            self._pool = SecretPlace(self.api, self.namespace)
            self._pool_read_at = self.clock()
        return self._pool


def _pool_credentials(function: str) -> str:
    """Return the name of the Secret that a pooled function logs in with; the chart mounts it."""
    return f"audit-pool-{function}"
