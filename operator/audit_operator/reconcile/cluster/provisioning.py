"""Provisioning of tenants whose credentials are Secrets, by the code that the local runtime uses too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

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


@dataclass(slots=True, kw_only=True)
class Provisioning:
    """One Reconciler, seen from each tenant's namespace: there its credentials are written."""

    reconciler: Reconciler
    api: Kubernetes
    namespace: str
    authority: Authority
    dsn: Dsn
    random: Random
    _known: dict[str, Converged] = field(default_factory=dict)
    _views: dict[str, Reconciler] = field(default_factory=dict)

    async def converge(self, tenant: AuditTenant) -> Converged:
        """Make everything outside the cluster that the resource stands for. Raises as Reconciler.converge."""
        view = self._view(tenant.name, pooled=tenant.is_pooled)
        converged = await view.converge(tenant)
        self._known[tenant.name] = converged
        self._views[converged.shard_id] = view
        return converged

    def known(self, name: str) -> Converged | None:
        """Return what the last look at a tenant came to."""
        return self._known.get(name)

    @property
    def shards(self) -> frozenset[str]:
        """The shards of the tenants that were looked at."""
        return frozenset(self._views)

    async def keep(self, name: str) -> None:
        """Have the shard of a tenant kept that is not looked at: without its attestation, ingest stops in a day."""
        async with self.reconciler.database() as connection:
            found = await tenant_named(connection, name)
        if found is not None:
            view = self._view(name, pooled=found.isolation is Isolation.POOLED)
            self._views.setdefault(found.shard_id, view)

    async def keep_shard(self, shard_id: str) -> Converged:
        """Repair a shard, and renew the attestation of its durability."""
        return await self._views[shard_id].converge_shard(shard_id)

    async def retire(self, name: str, *, pooled: bool) -> Converged | None:
        """Close the endpoint of a tenant; None when it was closed before or never opened."""
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
        self._views.pop(shard_id, None)  # from here on nobody repairs it
        shards = self.reconciler.shards
        return await drop_log(self.reconciler.database, shards.cluster, shards.clock, shard_id, name=name)

    async def release(self, name: str, *, pooled: bool) -> None:
        """Forget a tenant that has ended, and delete what lies outside its namespace."""
        if pooled:
            await SecretPlace(self.api, self.namespace).delete(f"{FIRST_KEY_SECRET}-{name}")
        ended = self._known.pop(name, None)
        if ended is not None and not pooled:
            self._views.pop(ended.shard_id, None)

    def _view(self, name: str, *, pooled: bool) -> Reconciler:
        namespace = self.namespace if pooled else namespace_of(name)
        place = SecretPlace(self.api, namespace)
        credentials = SecretCredentials(
            place=place,
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


def _pool_credentials(function: str) -> str:
    """Return the name of the Secret that a pooled function logs in with; the chart mounts it."""
    return f"audit-pool-{function}"
