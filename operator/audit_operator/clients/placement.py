"""Where a new tenant goes, as the control schema knows it."""

from __future__ import annotations

import msgspec
from asyncpg import Connection

from audit_core.partitions import PartitionBy
from audit_operator.clients.postgres import as_owner
from audit_operator.clients.shards import Shard
from audit_operator.clients.sql import load
from audit_operator.clients.tenants import Tenant


async def vacant_shard(connection: Connection, partition_by: PartitionBy) -> Shard | None:
    """Return a dedicated shard that was made and never assigned, because provisioning broke off in between."""
    async with as_owner(connection):
        row = await connection.fetchrow(load("placement")["vacant_shard"], partition_by.value)
    return None if row is None else msgspec.convert(dict(row), Shard)


async def adopt_tenant(connection: Connection, tenant_id: str, *, name: str, generation: int) -> bool:
    """Give a removed tenant its log back under a name; return whether it was there and removed."""
    async with as_owner(connection):
        statement = load("placement")["adopt_tenant"]
        return await connection.execute(statement, tenant_id, name, generation) == "UPDATE 1"


async def tenants_of_shard(connection: Connection, shard_id: str) -> list[Tenant]:
    """Return the tenants assigned to a shard, removed ones too."""
    async with as_owner(connection):
        rows = await connection.fetch(load("placement")["tenants_of_shard"], shard_id)
    return [msgspec.convert(dict(row), Tenant) for row in rows]
