"""API keys in the control schema. A key itself is never here, only its SHA-256."""

from __future__ import annotations

import msgspec
from asyncpg import Connection

from audit_core.projection import Scope
from audit_operator.clients.postgres import as_owner
from audit_operator.clients.sql import load


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an API key. Times in µs; `expires_at` None: it does not expire."""

    key_id: str
    tenant_id: str
    key_sha256: bytes
    principal: str
    scopes: tuple[Scope, ...]
    created_at: int
    expires_at: int | None = None


async def insert_key(connection: Connection, key: ApiKey) -> None:
    """Store a new key."""
    async with as_owner(connection):
        await connection.execute(
            load("api_key")["insert_key"],
            key.key_id,
            key.tenant_id,
            key.key_sha256,
            key.principal,
            list(key.scopes),
            key.created_at,
            key.expires_at,
        )


async def revoke_key(connection: Connection, key_id: str, *, now: int) -> bool:
    """Revoke a key; returns whether it was valid until now. It stops working when the projection is renewed."""
    async with as_owner(connection):
        return await connection.execute(load("api_key")["revoke_key"], key_id, now) == "UPDATE 1"


async def keys_of_shard(connection: Connection, shard_id: str, *, now: int) -> list[ApiKey]:
    """Return the keys that open something in a shard at `now` (µs): what its configuration bucket must hold."""
    async with as_owner(connection):
        rows = await connection.fetch(load("api_key")["keys_of_shard"], shard_id, now)
    return [msgspec.convert(dict(row), ApiKey) for row in rows]


async def keys_of_tenant(connection: Connection, tenant_id: str, *, now: int) -> list[ApiKey]:
    """Return the keys of one tenant that are valid at `now` (µs)."""
    async with as_owner(connection):
        rows = await connection.fetch(load("api_key")["keys_of_tenant"], tenant_id, now)
    return [msgspec.convert(dict(row), ApiKey) for row in rows]


async def key_by_sha256(connection: Connection, key_sha256: bytes) -> ApiKey | None:
    """Return the key with this hash, revoked or not."""
    async with as_owner(connection):
        row = await connection.fetchrow(load("api_key")["key_by_sha256"], key_sha256)
    return None if row is None else msgspec.convert(dict(row), ApiKey)
