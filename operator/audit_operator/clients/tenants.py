"""Tenants in the control schema: made once, retired, never deleted."""

from __future__ import annotations

import msgspec
from asyncpg import Connection, Record

from audit_core.tenant import Isolation
from audit_operator.clients.postgres import as_owner, fetch_one
from audit_operator.clients.shards import Shard
from audit_operator.clients.sql import load


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant as it is stored. Times in µs; `removed_at` is None while its resource exists."""

    tenant_id: str
    name: str
    shard_id: str
    isolation: Isolation
    generation: int
    created_at: int
    removed_at: int | None
    secret: bytes

    def __repr__(self) -> str:
        return f"Tenant({self.tenant_id}, {self.name})"


class NewTenant(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant is made with, if there is none of that name. The secret is 32 random bytes, never rotated."""

    tenant_id: str
    name: str
    generation: int
    secret: bytes

    def __repr__(self) -> str:
        return f"NewTenant({self.tenant_id}, {self.name})"


async def provision_tenant(connection: Connection, shard: Shard, wanted: NewTenant, *, now: int) -> Tenant:
    """Make the tenant in `shard` unless there is one of its name; return the one there is.

    That one keeps the id, secret and shard of its first time: the assignment is never recomputed.
    """
    sql = load("tenant")
    async with as_owner(connection):
        inserted = await connection.execute(
            sql["insert_tenant"],
            wanted.tenant_id,
            wanted.name,
            shard.shard_id,
            shard.isolation.value,
            wanted.generation,
            now,
        )
        if inserted == "INSERT 0 1":
            await connection.execute(sql["insert_secret"], wanted.tenant_id, wanted.secret)
        await connection.execute(sql["raise_generation"], wanted.name, wanted.generation)
        return _tenant(await fetch_one(connection, sql["tenant_named"], wanted.name))


async def retire_tenant(connection: Connection, tenant_id: str, *, now: int) -> bool:
    """Note that the tenant's resource is gone: its name is free, its data stays. Returns whether it was there."""
    async with as_owner(connection):
        return await connection.execute(load("tenant")["retire_tenant"], tenant_id, now) == "UPDATE 1"


async def tenant_named(connection: Connection, name: str) -> Tenant | None:
    """Return the tenant that has this name now."""
    return await _find(connection, "tenant_named", name)


async def tenant(connection: Connection, tenant_id: str) -> Tenant | None:
    """Return a tenant by its id, removed or not."""
    return await _find(connection, "tenant", tenant_id)


async def tenants(connection: Connection) -> list[Tenant]:
    """Return every tenant, removed ones too, oldest first."""
    async with as_owner(connection):
        return [_tenant(row) for row in await connection.fetch(load("tenant")["tenants"])]


async def _find(connection: Connection, statement: str, argument: str) -> Tenant | None:
    async with as_owner(connection):
        row = await connection.fetchrow(load("tenant")[statement], argument)
    return None if row is None else _tenant(row)


def _tenant(row: Record) -> Tenant:
    return msgspec.convert(dict(row), Tenant)
