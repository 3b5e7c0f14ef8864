"""A shard in the database: provisioned as often as you like, the same every time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest
from asyncpg import InvalidPasswordError

from audit_core.partitions import PartitionBy
from audit_core.tenant import Isolation
from audit_operator.clients.roles import RoleFunction
from audit_operator.clients.shards import (
    Shard,
    ShardDiffers,
    ShardOffset,
    open_shard,
    pool,
    provision_shard,
    shard,
    shard_offset,
    shards,
)
from tests.support.postgres import NOW, Database, a_shard, connected

PASSWORDS: dict[RoleFunction, str] = {
    "writer": "writer-password-of-some-length",
    "query": "query-password-of-some-length",
}


async def test_a_provisioned_shard_is_found_by_its_id_and_its_pool(database: Database) -> None:
    dedicated = (await database.a_shard(partition_by=PartitionBy.DAY)).stored
    pooled = (await database.a_shard(isolation=Isolation.POOLED)).stored
    assert await shard(database.admin, dedicated.shard_id) == dedicated
    assert await pool(database.admin, "90d") == pooled
    assert await pool(database.admin, "30d") is None
    assert await shard(database.admin, "nosuchshardatall") is None
    assert sorted(await shards(database.admin), key=_id) == sorted([dedicated, pooled], key=_id)


async def test_the_first_pool_of_a_class_stays_the_one_tenants_are_assigned_to(database: Database) -> None:
    first = await database.a_shard(isolation=Isolation.POOLED, now=NOW)
    await database.a_shard(isolation=Isolation.POOLED, now=NOW + 1)
    assert await pool(database.admin, "90d") == first.stored


async def test_the_epoch_of_the_first_time_is_kept(database: Database) -> None:
    wanted = a_shard()
    first = await provision_shard(database.admin, wanted, PASSWORDS, now=NOW)
    again = msgspec.structs.replace(wanted, epoch=bytes(16))
    assert first == wanted
    assert await provision_shard(database.admin, again, PASSWORDS, now=NOW) == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"partition_by": PartitionBy.DAY},
        {"isolation": Isolation.POOLED, "retention_class": "90d"},
    ],
)
async def test_what_a_shard_is_never_changes(database: Database, change: dict[str, object]) -> None:
    stored = (await database.a_shard()).stored
    with pytest.raises(ShardDiffers) as raised:
        await provision_shard(database.admin, msgspec.structs.replace(stored, **change), PASSWORDS, now=NOW)
    assert raised.value.shard_id == stored.shard_id
    assert raised.value.stored == "Dedicated, None, month"


async def test_administrators_at_once_make_one_shard(database: Database) -> None:
    wanted = a_shard(isolation=Isolation.POOLED)
    epochs = [bytes([n]) * 16 for n in range(4)]
    async with AsyncExitStack() as stack:
        dsn = database.server.dsn(database=database.name)
        admins = [await stack.enter_async_context(connected(dsn)) for _ in epochs]
        provisioned = await asyncio.gather(
            *(
                provision_shard(admin, msgspec.structs.replace(wanted, epoch=epoch), PASSWORDS, now=NOW)
                for admin, epoch in zip(admins, epochs, strict=True)
            )
        )
    assert len({made.epoch for made in provisioned}) == 1
    assert provisioned[0].epoch in epochs


async def test_a_shard_has_no_offset_until_it_is_opened(database: Database) -> None:
    made = await database.a_shard(opened=False)
    assert await shard_offset(database.admin, made.shard_id) is None
    opened = await open_shard(database.admin, made.stored)
    assert opened == ShardOffset(
        epoch=made.stored.epoch, stream_sequence=0, received_at=None, frame_sha256=None, trimmed_through=0
    )
    assert await shard_offset(database.admin, made.shard_id) == opened


async def test_opening_again_never_moves_an_offset(database: Database) -> None:
    made = await database.a_shard()
    async with connected(made.dsn("writer")) as writer:
        await writer.execute(
            "UPDATE shard_offset SET stream_sequence = 9, received_at = $1, frame_sha256 = $2", NOW, bytes(32)
        )
    expected = ShardOffset(
        epoch=made.stored.epoch, stream_sequence=9, received_at=NOW, frame_sha256=bytes(32), trimmed_through=0
    )
    assert await open_shard(database.admin, made.stored) == expected


async def test_a_password_changes_only_when_asked(database: Database) -> None:
    made = await database.a_shard()
    other = {**PASSWORDS}
    await provision_shard(database.admin, made.stored, other, now=NOW)
    async with connected(made.dsn("writer")) as writer:
        assert await writer.fetchval("SELECT stream_sequence FROM shard_offset") == 0

    await provision_shard(database.admin, made.stored, other, now=NOW, rotate_passwords=True)
    with pytest.raises(InvalidPasswordError):
        async with connected(made.dsn("writer")):
            pass
    rotated = made.dsn("writer").replace(made.passwords["writer"], other["writer"])
    async with connected(rotated) as writer:
        assert await writer.fetchval("SELECT stream_sequence FROM shard_offset") == 0


async def test_settings_that_someone_changed_are_put_back(database: Database) -> None:
    made = await database.a_shard()
    role = f"audit_{made.shard_id}_writer"
    await database.admin.execute(f"ALTER ROLE {role} SET synchronous_commit = off")
    await provision_shard(database.admin, made.stored, PASSWORDS, now=NOW)
    async with connected(made.dsn("writer")) as writer:
        assert await writer.fetchval("SHOW synchronous_commit") == "on"


def _id(made: Shard) -> str:
    return made.shard_id
