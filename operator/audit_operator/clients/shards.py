"""Shards in PostgreSQL: the schema, roles and partitions of each, and its entry in the control schema."""

from __future__ import annotations

from itertools import islice
from typing import Final

import msgspec
from asyncpg import Connection, Record

from audit_core.errors import AuditError, IntegrityError
from audit_core.partitions import PartitionBy, partitions_from
from audit_core.statements import rendered
from audit_core.tenant import Isolation, schema_name
from audit_operator.clients.migrations import migrate, shard_scope
from audit_operator.clients.postgres import as_owner, fetch_one
from audit_operator.clients.roles import Passwords, provision_roles
from audit_operator.clients.sql import load

PARTITIONS_AHEAD: Final = 2


class ShardDiffers(IntegrityError):
    """Shard `shard_id` exists with another `stored` isolation, retention class or partitioning: they never change."""

    __slots__ = ("shard_id", "stored", "wanted")

    def __init__(self, shard_id: str, *, stored: str, wanted: str) -> None:
        self.shard_id = shard_id
        self.stored = stored
        self.wanted = wanted


class ShardDropped(AuditError):
    """The log in shard `shard_id` was dropped by order of its owner, and is not made again."""

    __slots__ = ("shard_id",)

    def __init__(self, shard_id: str) -> None:
        self.shard_id = shard_id


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """One stream and one schema. `retention_class` names a pool and is None for a dedicated shard.

    `epoch` is the one the shard was made with: it stands here before the stream exists, so that a stream half made is
    finished under the same epoch. The current one stands in the shard's offset.
    """

    shard_id: str
    isolation: Isolation
    retention_class: str | None = None
    partition_by: PartitionBy = PartitionBy.MONTH
    epoch: bytes


class ShardOffset(msgspec.Struct, frozen=True, kw_only=True):
    """How far a shard has come. `received_at` in µs; None, as the frame's hash, before the first message."""

    epoch: bytes
    stream_sequence: int
    received_at: int | None
    frame_sha256: bytes | None
    trimmed_through: int


async def provision_shard(
    connection: Connection, wanted: Shard, passwords: Passwords, *, now: int, rotate_passwords: bool = False
) -> Shard:
    """Make or complete everything of a shard in the database but its offset; return the shard as it is stored.

    The stored epoch is the first caller's. `now` in µs; the partition that holds it and the following two are made.
    Raises ShardDiffers and ShardDropped. The offset row comes last, by `open_shard`, when the stream is there: a stream is only ever
    created where no offset exists.
    """
    stored = await _registered(connection, wanted, now)
    await provision_roles(connection, stored.shard_id, passwords, rotate=rotate_passwords)
    await migrate(connection, shard_scope(stored.shard_id, stored.isolation, stored.partition_by))
    await ensure_partitions(connection, stored, now=now)
    return stored


async def ensure_partitions(connection: Connection, shard: Shard, *, now: int) -> int:
    """Make the partition that holds `now` (µs) and the ones ahead; return how many were missing."""
    sql = _statements(shard.shard_id)
    created = 0
    for partition in islice(partitions_from(now, shard.partition_by), 1 + PARTITIONS_AHEAD):
        async with as_owner(connection):
            created += await connection.fetchval(sql["ensure_partition"], partition.lower)
    return created


async def open_shard(connection: Connection, shard: Shard) -> ShardOffset:
    """Start the shard, whose stream exists now; return its offset. One that was started before stays where it is."""
    sql = _statements(shard.shard_id)
    async with as_owner(connection):
        await connection.execute(sql["open_shard"], shard.shard_id, shard.epoch)
        return ShardOffset(**await fetch_one(connection, sql["shard_offset"]))


async def shard_offset(connection: Connection, shard_id: str) -> ShardOffset | None:
    """Return how far a provisioned shard has come, or None before `open_shard`."""
    async with as_owner(connection):
        row = await connection.fetchrow(_statements(shard_id)["shard_offset"])
    return None if row is None else ShardOffset(**row)


async def shard(connection: Connection, shard_id: str) -> Shard | None:
    """Return a shard by its id; None when there is none, or none any more."""
    return _one(await _fetch(connection, "shard", shard_id))


async def pool(connection: Connection, retention_class: str) -> Shard | None:
    """Return the shard that pooled tenants of a retention class are assigned to."""
    return _one(await _fetch(connection, "pool", retention_class))


async def shards(connection: Connection) -> list[Shard]:
    """Return every shard that was not dropped, oldest first."""
    return [_shard(row) for row in await _fetch(connection, "shards")]


async def _registered(connection: Connection, wanted: Shard, now: int) -> Shard:
    async with as_owner(connection):
        await connection.execute(
            load("shard")["insert_shard"],
            wanted.shard_id,
            wanted.isolation.value,
            wanted.retention_class,
            wanted.partition_by.value,
            wanted.epoch,
            now,
        )
        stored = _one(await connection.fetch(load("shard")["shard"], wanted.shard_id))
    if stored is None:
        raise ShardDropped(wanted.shard_id)
    if msgspec.structs.replace(stored, epoch=wanted.epoch) != wanted:
        raise ShardDiffers(wanted.shard_id, stored=_described(stored), wanted=_described(wanted))
    return stored


async def _fetch(connection: Connection, statement: str, *arguments: str) -> list[Record]:
    async with as_owner(connection):
        return await connection.fetch(load("shard")[statement], *arguments)


def _statements(shard_id: str) -> dict[str, str]:
    names = {"schema": schema_name(shard_id)}
    return {key: rendered(text, names) for key, text in load("shard").items()}


def _one(rows: list[Record]) -> Shard | None:
    return _shard(rows[0]) if rows else None


def _shard(row: Record) -> Shard:
    return msgspec.convert(dict(row), Shard)


def _described(shard: Shard) -> str:
    return f"{shard.isolation.value}, {shard.retention_class}, {shard.partition_by.value}"
