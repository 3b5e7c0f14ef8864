"""What has to change in a shard's configuration bucket. Pure.

The bucket follows from the resources and the control schema, and from nothing that was in it before: a bucket that was
restored from an old copy gives nobody access. Keys under `shard.` belong to the writer and to the attestation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from audit_core.projection import (
    KeyGrant,
    TenantConfig,
    TenantSecret,
    api_key_key,
    secret_key,
    tenant_key,
)
from audit_core.tenant import Isolation
from audit_operator.clients.api_keys import ApiKey
from audit_operator.clients.buckets import Entry
from audit_operator.clients.tenants import Tenant

_OWN_PREFIXES: Final = ("tenant.", "key.")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One entry to write (`value` None: to delete), if it still has `revision` (0: if it never was there)."""

    key: str
    value: bytes | None
    revision: int


def tenant_entries(tenant: Tenant, config: TenantConfig, keys: Iterable[ApiKey]) -> dict[str, bytes]:
    """Return the entries of a tenant that is there: what it may do, its secret and its keys."""
    spec = {tenant_key(tenant.tenant_id): msgspec.json.encode(config)}
    return spec | secret_entry(tenant) | grant_entries(keys)


def secret_entry(tenant: Tenant) -> dict[str, bytes]:
    """Return the entry from which idempotency ids and cursors derive."""
    return {secret_key(tenant.tenant_id): msgspec.json.encode(TenantSecret(secret=tenant.secret))}


def grant_entries(keys: Iterable[ApiKey]) -> dict[str, bytes]:
    """Return the entries of keys: what each may do, under its hash."""
    return {api_key_key(key.key_sha256): msgspec.json.encode(_grant(key)) for key in keys}


def removed_entries(tenant: Tenant) -> dict[str, bytes]:
    """Return what is left of a tenant whose resource is gone: that it was there. Its secret and keys go."""
    gone = TenantConfig(
        tenant_id=tenant.tenant_id,
        name=tenant.name,
        state="Removed",
        pooled=tenant.isolation is Isolation.POOLED,
        generation=tenant.generation,
    )
    return {tenant_key(tenant.tenant_id): msgspec.json.encode(gone)}


def changes(
    wanted: Mapping[str, bytes], observed: Mapping[str, Entry], *, untouched: Iterable[str] = ()
) -> list[Change]:
    """Return the changes that make `observed` hold what is wanted, and of our keys nothing but that and `untouched`.

    Deletions come first: what opens nothing any more goes before anything is opened.
    """
    kept = {*wanted, *untouched}
    stale = [
        Change(key=key, value=None, revision=entry.revision)
        for key, entry in observed.items()
        if entry.value is not None and key.startswith(_OWN_PREFIXES) and key not in kept
    ]
    return stale + [
        Change(key=key, value=value, revision=entry.revision if (entry := observed.get(key)) else 0)
        for key, value in wanted.items()
        if key not in observed or observed[key].value != value
    ]


def _grant(key: ApiKey) -> KeyGrant:
    return KeyGrant(
        tenant_id=key.tenant_id,
        key_id=key.key_id,
        principal=key.principal,
        scopes=key.scopes,
        expires_at=key.expires_at,
    )
