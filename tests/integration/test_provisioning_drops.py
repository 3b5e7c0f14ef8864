"""A log that its owner wants gone: all of it goes, nothing else does, and whoever breaks off is continued."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from audit_core.tenant import config_bucket, role_name, schema_name, stream_name, watermark_bucket
from audit_operator.clients.buckets import stream_of
from audit_operator.clients.roles import ROLE_FUNCTIONS
from audit_operator.clients.shards import ShardDropped
from audit_operator.model.invalid import InvalidResource
from audit_operator.reconcile import destruction
from audit_operator.reconcile.destruction import drop_log
from tests.support.audittenant import a_pooled_tenant, a_tenant
from tests.support.provisioning import Provisioned

STEPS = ("begin_drop", "_delete_streams", "drop_schema", "drop_roles")


class Killed(Exception):
    """The process ended here."""


async def drop(provisioned: Provisioned, shard_id: str, name: str) -> bool:
    reconciler = provisioned.reconciler
    return await drop_log(
        reconciler.database, reconciler.shards.cluster, provisioned.clock, shard_id, name=name
    )


async def remains(provisioned: Provisioned, shard_id: str) -> set[str]:
    """Return what is left of a log, in PostgreSQL and in NATS."""
    admin = provisioned.database.admin
    roles = [role_name(shard_id, function) for function in ROLE_FUNCTIONS]
    found = await admin.fetch("SELECT rolname::text FROM pg_roles WHERE rolname = ANY ($1)", roles)
    left = {str(row[0]) for row in found}
    if await admin.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema_name(shard_id)):
        left.add(schema_name(shard_id))
    buckets = map(stream_of, (config_bucket(shard_id), watermark_bucket(shard_id)))
    async with provisioned.streams(shard_id) as streams:
        for name in (stream_name(shard_id), *buckets):
            if await streams.stream(name) is not None:
                left.add(name)
    return left


async def secrets_and_keys(provisioned: Provisioned, tenant_id: str | None) -> int:
    admin = provisioned.database.admin
    held = 0
    for table in ("tenant_secret", "api_key"):
        held += await admin.fetchval(f"SELECT count(*) FROM control.{table} WHERE tenant_id = $1", tenant_id)
    return held


async def test_everything_of_the_log_goes_and_nothing_of_anothers(provisioned: Provisioned) -> None:
    acme = await provisioned.reconciler.converge(a_tenant("acme"))
    other = await provisioned.reconciler.converge(a_tenant("other"))
    whole = await remains(provisioned, acme.shard_id)
    assert len(whole) == 6
    others, held = (
        await remains(provisioned, other.shard_id),
        await secrets_and_keys(provisioned, other.tenant_id),
    )
    await provisioned.reconciler.retire("acme")
    assert await remains(provisioned, acme.shard_id) == whole
    assert await drop(provisioned, acme.shard_id, "acme")
    assert await remains(provisioned, acme.shard_id) == set()
    assert await secrets_and_keys(provisioned, acme.tenant_id) == 0
    assert await remains(provisioned, other.shard_id) == others
    assert await secrets_and_keys(provisioned, other.tenant_id) == held == 2
    assert (await provisioned.reconciler.converge(a_tenant("other"))).changes == ()


async def test_a_log_is_dropped_once_and_for_all(provisioned: Provisioned) -> None:
    acme = await provisioned.reconciler.converge(a_tenant("acme"))
    await provisioned.reconciler.retire("acme")
    await drop(provisioned, acme.shard_id, "acme")
    assert await drop(provisioned, acme.shard_id, "acme")
    with pytest.raises(ShardDropped):
        await provisioned.reconciler.converge_shard(acme.shard_id)
    with pytest.raises(InvalidResource, match="no log of that tenantID"):
        await provisioned.reconciler.converge(a_tenant("acme", adopt=acme.tenant_id))
    assert await remains(provisioned, acme.shard_id) == set()
    again = await provisioned.reconciler.converge(a_tenant("acme"))
    assert again.shard_id != acme.shard_id
    assert again.tenant_id != acme.tenant_id


@pytest.mark.parametrize("step", STEPS)
async def test_whoever_breaks_off_is_continued(
    provisioned: Provisioned, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    acme = await provisioned.reconciler.converge(a_tenant("acme"))
    await provisioned.reconciler.retire("acme")
    done: Callable[..., Awaitable[Any]] = getattr(destruction, step)

    async def done_and_killed(*arguments: Any, **named: Any) -> None:
        await done(*arguments, **named)
        raise Killed

    with monkeypatch.context() as killing:
        killing.setattr(destruction, step, done_and_killed)
        with pytest.raises(Killed):
            await drop(provisioned, acme.shard_id, "acme")
    with pytest.raises(InvalidResource, match="no log of that tenantID"):
        await provisioned.reconciler.converge(a_tenant("late", adopt=acme.tenant_id))
    assert await drop(provisioned, acme.shard_id, "acme")
    assert await remains(provisioned, acme.shard_id) == set()


async def test_more_partitions_than_one_transaction_may_lock_go_too(
    provisioned: Provisioned, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme = await provisioned.reconciler.converge(a_tenant("acme"))
    await provisioned.reconciler.retire("acme")
    monkeypatch.setattr("audit_operator.clients.dropping.PARTITIONS_AT_ONCE", 2)
    assert await drop(provisioned, acme.shard_id, "acme")
    assert await remains(provisioned, acme.shard_id) == set()


async def test_a_log_that_is_not_the_removed_tenants_own_is_left_alone(provisioned: Provisioned) -> None:
    acme = await provisioned.reconciler.converge(a_tenant("acme"))
    other = await provisioned.reconciler.converge(a_tenant("other"))
    pooled = await provisioned.reconciler.converge(a_pooled_tenant("globex"))
    await provisioned.reconciler.converge(a_pooled_tenant("initech"))
    for name in ("acme", "globex"):
        await provisioned.reconciler.retire(name)
    shards = {each.shard_id: await remains(provisioned, each.shard_id) for each in (acme, other, pooled)}
    refused = [
        await drop(provisioned, other.shard_id, "other"),  # it is there
        await drop(provisioned, other.shard_id, "acme"),  # it is another's
        await drop(provisioned, pooled.shard_id, "globex"),  # others are in it
        await drop(provisioned, "a" * 16, "acme"),
    ]
    assert refused == [False] * 4
    assert shards == {shard_id: await remains(provisioned, shard_id) for shard_id in shards}
