"""Level-triggered reconciling: from a resource, or from its absence, to everything that it stands for.

Each call observes anew and applies only what differs, so that it may be repeated, interrupted and come late.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from asyncpg import Connection

from audit_core.errors import AuditError
from audit_core.tenant import config_bucket
from audit_operator.clients.api_keys import keys_of_shard, keys_of_tenant
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.jetstream import JetStream, StreamInfo
from audit_operator.clients.placement import tenants_of_shard
from audit_operator.clients.roles import Passwords
from audit_operator.clients.shards import Shard, ShardDropped, shard, shard_offset
from audit_operator.clients.tenants import Tenant, provision_tenant, retire_tenant, tenant_named
from audit_operator.model.audittenant import AuditTenant, tenant_config
from audit_operator.reconcile.config import ConfigProjection
from audit_operator.reconcile.keys import FirstKey
from audit_operator.reconcile.placement import new_tenant, placement
from audit_operator.reconcile.ports import Database, Random
from audit_operator.reconcile.progress import Progress
from audit_operator.reconcile.shard import ShardReconciler


@dataclass(frozen=True, slots=True, kw_only=True)
class Converged:
    """A shard after a reconcile, and the tenant it was done for.

    `stream` is None while it is not sound, `asked_bytes` the size that was wanted of it (0: it was left as it is).
    `changes` names what was written, `troubles` what could not be mended.
    """

    shard_id: str
    tenant_id: str | None
    stream: StreamInfo | None
    asked_bytes: int
    changes: tuple[str, ...]
    troubles: tuple[AuditError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciler:
    """Provision tenants and their shards. One at a time may run in an installation."""

    database: Database
    shards: ShardReconciler
    first_key: FirstKey
    random: Random
    _placing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def converge(self, resource: AuditTenant) -> Converged:
        """Make everything that the resource stands for. Raises InvalidResource, StaleResource and Unavailable."""
        progress = Progress()
        async with self.database() as connection:
            async with self._placing:  # two tenants must not make the same pool twice
                tenant, shard, passwords = await self._placed(connection, resource)
            asked = self._stream_bytes(resource)
            async with self.shards.cluster.streams(shard.shard_id) as streams:
                copies = self._stream_replicas(resource)
                stream = await self.shards.converge(
                    connection, streams, shard, progress, max_bytes=asked, replicas=copies
                )
                await self.first_key.ensure(connection, tenant, progress)
                keys = await keys_of_tenant(connection, tenant.tenant_id, now=self.shards.clock())
                config = tenant_config(resource, tenant.tenant_id)
                await _projection(streams, shard).tenant(tenant, config, keys, progress)
            await self._hand_out(connection, shard, passwords, progress)
        return _converged(shard, stream, progress, tenant_id=tenant.tenant_id, asked_bytes=asked)

    async def retire(self, name: str) -> Converged | None:
        """Stop the endpoint of a tenant whose resource is gone; its data stays. None when there was no such tenant."""
        async with self.database() as connection:
            tenant = await tenant_named(connection, name)
            if tenant is None:
                return None
            await retire_tenant(connection, tenant.tenant_id, now=self.shards.clock())
        return await self.converge_shard(tenant.shard_id, tenant_id=tenant.tenant_id)

    async def converge_shard(self, shard_id: str, *, tenant_id: str | None = None) -> Converged:
        """Repair a shard whoever is in it: infrastructure, attestation, and what its configuration must not hold.

        Raises as `converge`, and ShardDropped.
        """
        progress = Progress()
        async with self.database() as connection:
            stored = await shard(connection, shard_id)
            if stored is None:
                raise ShardDropped(shard_id)
            stored, passwords = await self.shards.provision(connection, stored)
            async with self.shards.cluster.streams(shard_id) as streams:
                stream = await self.shards.converge(connection, streams, stored, progress)
                tenants = await tenants_of_shard(connection, shard_id)
                keys = await keys_of_shard(connection, shard_id, now=self.shards.clock())
                await _projection(streams, stored).shard(tenants, keys, progress)
            await self._hand_out(connection, stored, passwords, progress)
        return _converged(stored, stream, progress, tenant_id=tenant_id)

    async def _placed(self, connection: Connection, resource: AuditTenant) -> tuple[Tenant, Shard, Passwords]:
        place = await placement(connection, resource, self.random)
        shard, passwords = await self.shards.provision(connection, place.shard)
        wanted = new_tenant(resource, self.random)
        tenant = await provision_tenant(connection, shard, wanted, now=self.shards.clock())
        return tenant, shard, passwords

    async def _hand_out(
        self, connection: Connection, shard: Shard, passwords: Passwords, progress: Progress
    ) -> None:
        """Let the functions in, once the shard is open: before, they could not get ready."""
        if await shard_offset(connection, shard.shard_id) is not None:
            progress.changed(*await self.shards.hand_out(shard.shard_id, passwords))

    def _stream_bytes(self, resource: AuditTenant) -> int:
        installation = self.shards.installation
        if resource.is_pooled:
            return installation.pool_max_bytes
        return resource.stream_bytes or installation.stream_max_bytes

    def _stream_replicas(self, resource: AuditTenant) -> int:
        installation = self.shards.installation
        if resource.is_pooled or installation.one_server:
            return installation.stream_replicas
        return resource.stream_replicas or installation.stream_replicas


def _projection(streams: JetStream, shard: Shard) -> ConfigProjection:
    return ConfigProjection(Bucket(streams, config_bucket(shard.shard_id)))


def _converged(
    shard: Shard,
    stream: StreamInfo | None,
    progress: Progress,
    *,
    tenant_id: str | None,
    asked_bytes: int = 0,
) -> Converged:
    return Converged(
        shard_id=shard.shard_id,
        tenant_id=tenant_id,
        stream=stream,
        asked_bytes=asked_bytes,
        changes=tuple(progress.changes),
        troubles=tuple(progress.troubles),
    )
