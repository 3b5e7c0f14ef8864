"""A shard's configuration bucket brought to what it must say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from audit_core.errors import AuditError
from audit_core.projection import TenantConfig, tenant_key
from audit_operator.clients.api_keys import ApiKey
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.tenants import Tenant
from audit_operator.reconcile.progress import Progress
from audit_operator.reconcile.projection import (
    Change,
    changes,
    grant_entries,
    removed_entries,
    secret_entry,
    tenant_entries,
)


class EntryRaced(AuditError):
    """Someone else changed `key` between reading and writing it: observe again."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        self.key = key


@dataclass(frozen=True, slots=True)
class ConfigProjection:
    """Write a shard's configuration. Raises EntryRaced when another writes at the same time."""

    bucket: Bucket

    async def tenant(
        self, tenant: Tenant, config: TenantConfig, keys: Iterable[ApiKey], progress: Progress
    ) -> None:
        """Project one tenant, reading its own entries only: a pool may have ten thousand."""
        wanted = tenant_entries(tenant, config, keys)
        found = {key: await self.bucket.entry(key) for key in wanted}
        observed = {key: entry for key, entry in found.items() if entry is not None}
        await self._apply(changes(wanted, observed), progress)

    async def shard(self, tenants: Iterable[Tenant], keys: Iterable[ApiKey], progress: Progress) -> None:
        """Project everything of a shard but the resources of tenants that are there; what nobody has is deleted."""
        wanted: dict[str, bytes] = grant_entries(keys)
        untouched = []
        for tenant in tenants:
            if tenant.removed_at is None:
                wanted |= secret_entry(tenant)
                untouched.append(tenant_key(tenant.tenant_id))
            else:
                wanted |= removed_entries(tenant)
        await self._apply(changes(wanted, await self.bucket.entries(), untouched=untouched), progress)

    async def _apply(self, planned: Iterable[Change], progress: Progress) -> None:
        for change in planned:
            if change.value is None:
                written = await self.bucket.delete(change.key, revision=change.revision)
            else:
                written = await self.bucket.put(change.key, change.value, revision=change.revision)
            if not written:
                raise EntryRaced(change.key)
            progress.changed(change.key)
