"""Which shard and which id a tenant has: decided once, stored, never recomputed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from asyncpg import Connection

from audit_core.errors import AuditError
from audit_core.partitions import PartitionBy
from audit_core.tenant import ID_RANDOM_BYTES, new_id
from audit_operator.clients.placement import adopt_tenant, vacant_shard
from audit_operator.clients.shards import Shard, pool, shard
from audit_operator.clients.tenants import NewTenant, Tenant, tenant, tenant_named
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.invalid import FieldProblem, InvalidResource
from audit_operator.model.rules import broken_transitions
from audit_operator.reconcile.ports import Random

EPOCH_BYTES: Final = 16
SECRET_BYTES: Final = 32


class StaleResource(AuditError):
    """The resource is older than the one that was applied last (`generation` against `applied`)."""

    __slots__ = ("applied", "generation")

    def __init__(self, generation: int, applied: int) -> None:
        self.generation = generation
        self.applied = applied


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The shard of a tenant, which may have to be made first, and the tenant unless it is new."""

    shard: Shard
    tenant: Tenant | None


async def placement(connection: Connection, resource: AuditTenant, random: Random) -> Placement:
    """Return where the tenant is, or is to be. Raises InvalidResource and StaleResource; adopts if asked to."""
    stored = await tenant_named(connection, resource.name)
    if stored is None and resource.spec.adopt is not None:
        stored = await _adopted(connection, resource, resource.spec.adopt)
    if stored is None:
        return Placement(shard=await _new_place(connection, resource, random), tenant=None)
    if resource.metadata.generation < stored.generation and not _is_younger(resource, stored):
        raise StaleResource(resource.metadata.generation, stored.generation)
    if resource.spec.adopt not in (None, stored.tenant_id):
        raise _no_adoption(
            f"{resource.name} has the log {stored.tenant_id}; adopt counts when a tenant is made"
        )
    assigned = await _shard_of(connection, stored)
    _demand_same_log(resource, assigned)
    return Placement(shard=assigned, tenant=stored)


def new_tenant(resource: AuditTenant, random: Random) -> NewTenant:
    """Return what a tenant is made with if there is none of that name."""
    return NewTenant(
        tenant_id=new_id(random(ID_RANDOM_BYTES)),
        name=resource.name,
        generation=resource.metadata.generation,
        secret=random(SECRET_BYTES),
    )


def _is_younger(resource: AuditTenant, stored: Tenant) -> bool:
    """Tell whether the resource was made after its log: restored from a backup, its generations count from 1 again."""
    made = resource.metadata.creation_timestamp
    return made is not None and made.timestamp() * 1_000_000 > stored.created_at


def _demand_same_log(resource: AuditTenant, assigned: Shard) -> None:
    problems = broken_transitions(
        resource,
        isolation=assigned.isolation,
        retention_class=assigned.retention_class,
        partition_by=assigned.partition_by.value,
    )
    if problems:
        raise InvalidResource(*problems)


async def _adopted(connection: Connection, resource: AuditTenant, tenant_id: str) -> Tenant:
    kept = await tenant(connection, tenant_id)
    if kept is None:
        raise _no_adoption("there is no log of that tenantID")
    if kept.removed_at is None:
        raise _no_adoption(f"that log belongs to the tenant {kept.name}, which is there")
    _demand_same_log(resource, await _shard_of(connection, kept))
    generation = resource.metadata.generation
    await adopt_tenant(connection, tenant_id, name=resource.name, generation=generation)
    return msgspec.structs.replace(kept, name=resource.name, generation=generation, removed_at=None)


async def _new_place(connection: Connection, resource: AuditTenant, random: Random) -> Shard:
    partition_by = resource.spec.retention.partition_by or PartitionBy.MONTH
    if resource.retention_class is not None:
        found = await pool(connection, resource.retention_class)
    else:
        found = await vacant_shard(connection, partition_by)
    return found or Shard(
        shard_id=new_id(random(ID_RANDOM_BYTES)),
        isolation=resource.spec.isolation,
        retention_class=resource.retention_class,
        partition_by=partition_by,
        epoch=random(EPOCH_BYTES),
    )


async def _shard_of(connection: Connection, stored: Tenant) -> Shard:
    assigned = await shard(connection, stored.shard_id)
    assert assigned is not None, "a foreign key sees to it"
    return assigned


def _no_adoption(reason: str) -> InvalidResource:
    return InvalidResource(FieldProblem(path="spec.adopt", reason=reason))
