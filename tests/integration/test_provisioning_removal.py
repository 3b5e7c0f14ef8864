"""A removed tenant's endpoint closes and its log stays; the name is free for a new, empty one."""

from __future__ import annotations

from audit_core.projection import TenantConfig
from audit_operator.clients.tenants import tenant
from tests.support.audittenant import a_pooled_tenant, a_tenant
from tests.support.provisioning import Provisioned


async def test_a_removed_tenant_can_do_nothing_and_keeps_its_data(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme", 2))
    assert made.tenant_id is not None
    removed = await provisioned.reconciler.retire("acme")
    assert removed is not None
    view = await provisioned.view(made.shard_id)
    assert (view.keys, view.secrets) == ({}, {})
    assert view.tenants == {
        made.tenant_id: TenantConfig(tenant_id=made.tenant_id, name="acme", state="Removed", generation=2)
    }
    assert await provisioned.stream(made.shard_id) is not None
    assert (provisioned.shards / made.shard_id / "writer.dsn").exists()
    stored = await tenant(provisioned.database.admin, made.tenant_id)
    assert stored is not None
    assert stored.removed_at == provisioned.clock.now


async def test_removing_twice_changes_nothing(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    await provisioned.reconciler.retire("acme")
    before = await provisioned.observed(made.shard_id)
    assert await provisioned.reconciler.retire("acme") is None
    assert await provisioned.reconciler.retire("nobody") is None
    await provisioned.reconciler.converge_shard(made.shard_id)
    assert await provisioned.observed(made.shard_id) == before


async def test_a_tenant_made_again_has_a_new_and_empty_log(provisioned: Provisioned) -> None:
    first = await provisioned.reconciler.converge(a_tenant("acme"))
    await provisioned.reconciler.retire("acme")
    second = await provisioned.reconciler.converge(a_tenant("acme"))
    assert first.tenant_id is not None
    assert second.tenant_id is not None
    assert second.tenant_id != first.tenant_id
    assert second.shard_id != first.shard_id
    assert provisioned.key(second.tenant_id) != provisioned.key(first.tenant_id)


async def test_removing_one_of_a_pool_does_nothing_to_the_others(provisioned: Provisioned) -> None:
    globex = await provisioned.reconciler.converge(a_pooled_tenant("globex"))
    initech = await provisioned.reconciler.converge(a_pooled_tenant("initech"))
    await provisioned.reconciler.retire("globex")
    view = await provisioned.view(initech.shard_id)
    assert globex.tenant_id is not None
    assert initech.tenant_id is not None
    assert view.tenants[globex.tenant_id].state == "Removed"
    assert view.tenants[initech.tenant_id].state == "Active"
    assert [grant.tenant_id for grant in view.keys.values()] == [initech.tenant_id]
    assert set(view.secrets) == {initech.tenant_id}


async def test_an_adopted_log_is_back_with_its_shard_and_its_key(provisioned: Provisioned) -> None:
    first = await provisioned.reconciler.converge(a_pooled_tenant("globex"))
    assert first.tenant_id is not None
    key = provisioned.key(first.tenant_id)
    before = await provisioned.view(first.shard_id)
    await provisioned.reconciler.retire("globex")
    back = await provisioned.reconciler.converge(a_pooled_tenant("renamed", adopt=first.tenant_id))
    assert (back.tenant_id, back.shard_id) == (first.tenant_id, first.shard_id)
    after = await provisioned.view(first.shard_id)
    assert (after.keys, after.secrets) == (before.keys, before.secrets)
    assert after.tenants[first.tenant_id].name == "renamed"
    assert after.tenants[first.tenant_id].state == "Active"
    assert provisioned.key(first.tenant_id) == key
    again = await provisioned.reconciler.converge(a_pooled_tenant("renamed", adopt=first.tenant_id))
    assert again.changes == ()
