"""A tenant's first API key: made once, handed to its owner, kept by us only as its hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncpg import Connection

from audit_core.ids import KEY_RANDOM_BYTES, api_key_hash, new_api_key
from audit_core.tenant import ID_RANDOM_BYTES, new_id
from audit_operator.clients.api_keys import ApiKey, insert_key, key_by_sha256
from audit_operator.clients.tenants import Tenant
from audit_operator.reconcile.ports import Clock, Keyring, Random
from audit_operator.reconcile.progress import Progress

PRINCIPAL: Final = "bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstKey:
    """Make the key with which a tenant starts."""

    keyring: Keyring
    clock: Clock
    random: Random

    async def ensure(self, connection: Connection, tenant: Tenant, progress: Progress) -> None:
        """Make the key if there is none. Its text is kept before its hash is stored, so that no key is lost.

        A key that was revoked stays revoked: who wants another asks for one.
        """
        key = await self.keyring.made_key(tenant.tenant_id)
        if key is None:
            key = new_api_key(self.random(KEY_RANDOM_BYTES))
            await self.keyring.keep(tenant.tenant_id, key)
            progress.changed("first key")
        digest = api_key_hash(key)
        if await key_by_sha256(connection, digest) is None:
            await insert_key(connection, self._stored(tenant, digest))

    def _stored(self, tenant: Tenant, digest: bytes) -> ApiKey:
        return ApiKey(
            key_id=new_id(self.random(ID_RANDOM_BYTES)),
            tenant_id=tenant.tenant_id,
            key_sha256=digest,
            principal=PRINCIPAL,
            scopes=("events:write", "events:read"),
            created_at=self.clock(),
        )
