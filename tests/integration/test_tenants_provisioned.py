"""Tenants and keys in the control schema."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from itertools import count

import msgspec
import pytest
from asyncpg import CheckViolationError, UniqueViolationError

from audit_core.ids import KEY_RANDOM_BYTES, api_key_hash, new_api_key
from audit_core.tenant import ID_RANDOM_BYTES, Isolation, new_id
from audit_operator.clients.api_keys import (
    ApiKey,
    insert_key,
    key_by_sha256,
    keys_of_shard,
    revoke_key,
)
from audit_operator.clients.shards import Shard
from audit_operator.clients.tenants import (
    NewTenant,
    Tenant,
    provision_tenant,
    retire_tenant,
    tenant,
    tenant_named,
    tenants,
)
from tests.support.postgres import NOW, Database, connected

_numbers = count()


def _a_tenant(name: str = "acme", generation: int = 1) -> NewTenant:
    tenant_id = new_id(os.urandom(ID_RANDOM_BYTES))
    return NewTenant(tenant_id=tenant_id, name=name, generation=generation, secret=os.urandom(32))


def _a_key(owner: Tenant, *, expires_at: int | None = None) -> ApiKey:
    return ApiKey(
        key_id=f"key-{next(_numbers):04}",
        tenant_id=owner.tenant_id,
        key_sha256=api_key_hash(new_api_key(os.urandom(KEY_RANDOM_BYTES))),
        principal="ci",
        scopes=("events:write", "events:read"),
        created_at=NOW,
        expires_at=expires_at,
    )


@pytest.fixture
async def pooled(database: Database) -> Shard:
    return (await database.a_shard(isolation=Isolation.POOLED)).stored


async def test_a_tenant_is_stored_with_everything_it_was_made_with(database: Database, pooled: Shard) -> None:
    wanted = _a_tenant()
    made = await provision_tenant(database.admin, pooled, wanted, now=NOW)
    assert made == Tenant(
        tenant_id=wanted.tenant_id,
        name="acme",
        shard_id=pooled.shard_id,
        isolation=Isolation.POOLED,
        generation=1,
        created_at=NOW,
        removed_at=None,
        secret=wanted.secret,
    )
    assert await tenant(database.admin, wanted.tenant_id) == made
    assert await tenant_named(database.admin, "acme") == made
    assert await tenants(database.admin) == [made]


async def test_a_tenant_keeps_its_id_secret_and_shard_and_never_an_older_generation(
    database: Database, pooled: Shard
) -> None:
    elsewhere = (await database.a_shard(isolation=Isolation.POOLED)).stored
    made = await provision_tenant(database.admin, pooled, _a_tenant(generation=3), now=NOW)
    newer = await provision_tenant(database.admin, elsewhere, _a_tenant(generation=4), now=NOW + 1)
    assert newer == msgspec.structs.replace(made, generation=4)
    assert await provision_tenant(database.admin, pooled, _a_tenant(generation=2), now=NOW) == newer


async def test_administrators_at_once_make_one_tenant(database: Database, pooled: Shard) -> None:
    async with AsyncExitStack() as stack:
        dsn = database.server.dsn(database=database.name)
        admins = [await stack.enter_async_context(connected(dsn)) for _ in range(4)]
        made = await asyncio.gather(
            *(provision_tenant(admin, pooled, _a_tenant(), now=NOW) for admin in admins)
        )
    assert len({(one.tenant_id, one.secret) for one in made}) == 1


async def test_a_removed_name_can_be_used_again_by_a_new_log(database: Database, pooled: Shard) -> None:
    first = await provision_tenant(database.admin, pooled, _a_tenant(), now=NOW)
    assert await retire_tenant(database.admin, first.tenant_id, now=NOW + 1) is True
    assert await retire_tenant(database.admin, first.tenant_id, now=NOW + 2) is False
    assert await tenant_named(database.admin, "acme") is None

    second = await provision_tenant(database.admin, pooled, _a_tenant(), now=NOW + 3)
    assert second.tenant_id != first.tenant_id
    assert await tenants(database.admin) == [msgspec.structs.replace(first, removed_at=NOW + 1), second]


async def test_a_dedicated_shard_takes_one_tenant_for_ever(database: Database) -> None:
    alone = (await database.a_shard()).stored
    first = await provision_tenant(database.admin, alone, _a_tenant("acme"), now=NOW)
    await retire_tenant(database.admin, first.tenant_id, now=NOW)
    with pytest.raises(UniqueViolationError):
        await provision_tenant(database.admin, alone, _a_tenant("globex"), now=NOW)


async def test_a_secret_has_32_bytes(database: Database, pooled: Shard) -> None:
    with pytest.raises(CheckViolationError):
        await provision_tenant(
            database.admin, pooled, msgspec.structs.replace(_a_tenant(), secret=b"short"), now=NOW
        )
    assert await tenants(database.admin) == []


async def test_secrets_do_not_show_when_a_tenant_is_printed(database: Database, pooled: Shard) -> None:
    wanted = _a_tenant()
    made = await provision_tenant(database.admin, pooled, wanted, now=NOW)
    for shown in (repr(wanted), repr(made), str(made)):
        assert repr(wanted.secret)[2:-1] not in shown


async def test_a_key_opens_its_shard_until_it_is_revoked_or_expires(
    database: Database, pooled: Shard
) -> None:
    owner = await provision_tenant(database.admin, pooled, _a_tenant(), now=NOW)
    lasting, brief = _a_key(owner), _a_key(owner, expires_at=NOW + 10)
    await insert_key(database.admin, lasting)
    await insert_key(database.admin, brief)
    assert await keys_of_shard(database.admin, pooled.shard_id, now=NOW) == [lasting, brief]
    assert await keys_of_shard(database.admin, pooled.shard_id, now=NOW + 10) == [lasting]
    assert await revoke_key(database.admin, lasting.key_id, now=NOW) is True
    assert await revoke_key(database.admin, lasting.key_id, now=NOW) is False
    assert await keys_of_shard(database.admin, pooled.shard_id, now=NOW) == [brief]
    assert await key_by_sha256(database.admin, lasting.key_sha256) == lasting
    assert await key_by_sha256(database.admin, bytes(32)) is None


async def test_a_removed_tenants_keys_open_nothing(database: Database, pooled: Shard) -> None:
    owner = await provision_tenant(database.admin, pooled, _a_tenant(), now=NOW)
    await insert_key(database.admin, _a_key(owner))
    await retire_tenant(database.admin, owner.tenant_id, now=NOW)
    assert await keys_of_shard(database.admin, pooled.shard_id, now=NOW) == []


async def test_the_keys_of_one_shard_are_not_another_shards(database: Database, pooled: Shard) -> None:
    elsewhere = (await database.a_shard(isolation=Isolation.POOLED)).stored
    mine = await provision_tenant(database.admin, pooled, _a_tenant("acme"), now=NOW)
    theirs = await provision_tenant(database.admin, elsewhere, _a_tenant("globex"), now=NOW)
    keys = [_a_key(mine), _a_key(theirs)]
    for key in keys:
        await insert_key(database.admin, key)
    assert await keys_of_shard(database.admin, pooled.shard_id, now=NOW) == [keys[0]]


async def test_two_keys_never_share_a_hash(database: Database, pooled: Shard) -> None:
    owner = await provision_tenant(database.admin, pooled, _a_tenant(), now=NOW)
    key = _a_key(owner)
    await insert_key(database.admin, key)
    with pytest.raises(UniqueViolationError):
        await insert_key(database.admin, msgspec.structs.replace(key, key_id="another"))
