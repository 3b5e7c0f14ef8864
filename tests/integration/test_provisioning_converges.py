"""A tenant converges to everything it stands for, and then nothing is written any more."""

from __future__ import annotations

import asyncio
import stat

import msgspec
import pytest

from audit_core.ids import api_key_hash, is_api_key
from audit_core.projection import Durability, KeyGrant, Limits, TenantConfig
from audit_core.tenant import stream_name
from audit_operator.clients.postgres import connected
from audit_operator.clients.shards import Shard, shard, shard_offset
from audit_operator.clients.tenants import tenant
from audit_operator.model.audittenant import AuditTenant
from audit_operator.reconcile.stream import settled, wanted_stream
from tests.support.audittenant import a_pooled_tenant, a_tenant
from tests.support.postgres import NOW
from tests.support.provisioning import MIB, Provisioned


async def test_a_dedicated_tenant_gets_a_stream_a_schema_and_a_configuration_of_its_own(
    provisioned: Provisioned,
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme", stream={"maxBytes": "80Mi"}))
    stored = await shard(provisioned.database.admin, made.shard_id)
    stream = await provisioned.stream(made.shard_id)
    assert stored is not None
    assert stream is not None
    assert settled(stream.config) == wanted_stream(
        made.shard_id, stored.epoch, max_bytes=80 * MIB, replicas=1
    )
    offset = await shard_offset(provisioned.database.admin, made.shard_id)
    assert offset is not None
    assert (offset.epoch, offset.stream_sequence) == (stored.epoch, 0)
    assert made.troubles == ()


async def test_functions_find_limits_secret_key_and_attestation_in_the_configuration(
    provisioned: Provisioned,
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme", 3))
    assert made.tenant_id is not None
    view = await provisioned.view(made.shard_id)
    stored = await tenant(provisioned.database.admin, made.tenant_id)
    assert stored is not None
    key = provisioned.key(made.tenant_id)
    assert is_api_key(key)
    [(digest, grant)] = view.keys.items()
    assert digest == api_key_hash(key)
    assert grant == KeyGrant(
        tenant_id=made.tenant_id,
        key_id=grant.key_id,
        principal="bootstrap",
        scopes=("events:write", "events:read"),
    )
    assert view.secrets == {made.tenant_id: stored.secret}
    assert view.tenants == {made.tenant_id: TenantConfig(tenant_id=made.tenant_id, name="acme", generation=3)}
    assert view.durability is not None
    assert view.durability == Durability(attested_at=NOW, peers=view.durability.peers, replicas=1)
    assert len(view.durability.peers) == 1


async def test_the_credentials_of_a_shard_are_files_that_only_we_may_read(
    provisioned: Provisioned,
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    folder = provisioned.shards / made.shard_id
    assert sorted(path.name for path in folder.iterdir()) == [
        "ingest.creds",
        "query.creds",
        "query.dsn",
        "writer.creds",
        "writer.dsn",
    ]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for function in ("writer", "query"):
        async with connected((folder / f"{function}.dsn").read_text().strip()) as connection:
            assert await connection.fetchval("SELECT current_user") == f"audit_{made.shard_id}_{function}"


@pytest.mark.parametrize("resource", [a_tenant("acme", 2), a_pooled_tenant("globex")], ids=lambda it: it.name)
async def test_converging_again_writes_nothing(provisioned: Provisioned, resource: AuditTenant) -> None:
    made = await provisioned.reconciler.converge(resource)
    assert made.changes != ()
    await provisioned.reconciler.converge_shard(made.shard_id)
    before = await provisioned.observed(made.shard_id)
    again = await provisioned.reconciler.converge(resource)
    swept = await provisioned.reconciler.converge_shard(made.shard_id)
    assert (again.changes, swept.changes) == ((), ())
    assert await provisioned.observed(made.shard_id) == before
    assert again.tenant_id == made.tenant_id


async def test_pooled_tenants_of_one_retention_share_a_shard(provisioned: Provisioned) -> None:
    converge = provisioned.reconciler.converge
    globex = await converge(a_pooled_tenant("globex", keep="90d"))
    initech = await converge(a_pooled_tenant("initech", keep="90d"))
    hooli = await converge(a_pooled_tenant("hooli", keep="30d"))
    acme = await converge(a_tenant("acme", retention={"keep": "90d"}))
    assert globex.shard_id == initech.shard_id
    assert len({globex.shard_id, hooli.shard_id, acme.shard_id}) == 3
    view = await provisioned.view(globex.shard_id)
    assert {config.name for config in view.tenants.values()} == {"globex", "initech"}
    assert all(config.pooled for config in view.tenants.values())
    assert len(view.keys) == 2


async def test_a_changed_limit_reaches_the_functions(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    limits = {"eventsPerSecond": 5, "burst": 7, "maxEventBytes": 2048, "maxBatchEvents": 3}
    changed = await provisioned.reconciler.converge(a_tenant("acme", ingest={"limits": limits}))
    assert changed.changes == (f"tenant.{made.tenant_id}.spec",)
    [config] = (await provisioned.view(made.shard_id)).tenants.values()
    assert config.limits == Limits(events_per_second=5, burst=7, max_event_bytes=2048, max_batch_events=3)


async def test_a_changed_size_reaches_the_stream_and_keeps_what_is_in_it(
    provisioned: Provisioned,
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme", stream={"maxBytes": "80Mi"}))
    async with provisioned.nats.function(made.shard_id, "ingest") as ingest:
        await ingest.request(f"audit.in.{made.shard_id}", b"frame", timeout=5)
    changed = await provisioned.reconciler.converge(a_tenant("acme", stream={"maxBytes": "64Mi"}))
    assert changed.changes == (stream_name(made.shard_id),)
    stream = await provisioned.stream(made.shard_id)
    assert stream is not None
    assert (stream.config.max_bytes, stream.state.messages) == (64 * MIB, 1)


async def test_drift_of_the_stream_is_mended(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    stream = await provisioned.stream(made.shard_id)
    assert stream is not None
    async with provisioned.streams(made.shard_id) as streams:
        await streams.update_stream(
            msgspec.structs.replace(stream.config, max_age=3600 * 10**9, discard="old")
        )
    mended = await provisioned.reconciler.converge_shard(made.shard_id)
    assert mended.changes == (stream_name(made.shard_id),)
    now = await provisioned.stream(made.shard_id)
    assert now is not None
    assert settled(now.config) == settled(stream.config)


async def test_drift_of_the_configuration_is_mended(provisioned: Provisioned) -> None:
    """A bucket that was restored from an old copy opens nothing."""
    made = await provisioned.reconciler.converge(a_pooled_tenant("globex"))
    before = await provisioned.view(made.shard_id)
    revoked = KeyGrant(tenant_id="z" * 16, key_id="old", principal="x", scopes=("events:read",))
    async with provisioned.bucket(made.shard_id) as bucket:
        await bucket.put(f"key.{'ab' * 32}", msgspec.json.encode(revoked))
        await bucket.put(f"tenant.{'z' * 16}.secret", b'{"secret":""}')
        entry = await bucket.entry(f"tenant.{made.tenant_id}.spec")
        assert entry is not None
        await bucket.put(f"tenant.{made.tenant_id}.spec", b"{}", revision=entry.revision)
    await provisioned.reconciler.converge_shard(made.shard_id)
    await provisioned.reconciler.converge(a_pooled_tenant("globex"))
    after = await provisioned.view(made.shard_id)
    assert (after.tenants, after.keys, after.secrets) == (before.tenants, before.keys, before.secrets)


async def test_what_the_writer_says_in_the_configuration_stays(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    async with provisioned.bucket(made.shard_id) as bucket:
        await bucket.put("shard.trimmed", b'{"through":4}')
    await provisioned.reconciler.converge_shard(made.shard_id)
    view = await provisioned.view(made.shard_id)
    assert view.trimmed is not None
    assert view.trimmed.through == 4


async def test_lost_credentials_are_replaced_and_work(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    folder = provisioned.shards / made.shard_id
    former = (folder / "writer.dsn").read_text()
    (folder / "writer.dsn").unlink()
    (folder / "ingest.creds").write_text("-----BEGIN NATS USER JWT-----\nno.jwt\n")
    again = await provisioned.reconciler.converge(a_tenant("acme"))
    assert again.changes == ("ingest.creds", "writer.dsn")
    assert (folder / "writer.dsn").read_text() != former
    for function in ("writer", "query"):
        async with connected((folder / f"{function}.dsn").read_text().strip()) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_credentials_work_of_a_shard_whose_tenants_are_made_at_once(provisioned: Provisioned) -> None:
    names = [f"globex-{number}" for number in range(8)]
    made = await asyncio.gather(*(provisioned.reconciler.converge(a_pooled_tenant(name)) for name in names))
    (shard_id,) = {each.shard_id for each in made}
    for function in ("writer", "query"):
        dsn = (provisioned.shards / shard_id / f"{function}.dsn").read_text().strip()
        async with connected(dsn) as connection:
            assert await connection.fetchval("SELECT 1") == 1


async def test_a_crash_before_the_shard_was_opened_is_finished_under_the_same_epoch(
    provisioned: Provisioned,
) -> None:
    resource = a_tenant("acme")
    unassigned = Shard(shard_id="a" * 16, isolation=resource.spec.isolation, epoch=b"\5" * 16)
    shards = provisioned.reconciler.shards
    async with provisioned.reconciler.database() as connection:
        await shards.provision(connection, unassigned)
    async with provisioned.streams("a" * 16) as streams:
        await streams.create_stream(wanted_stream("a" * 16, b"\5" * 16, max_bytes=64 * MIB, replicas=1))
    made = await provisioned.reconciler.converge(resource)
    assert (made.shard_id, made.troubles) == ("a" * 16, ())
    offset = await shard_offset(provisioned.database.admin, "a" * 16)
    assert offset is not None
    assert offset.epoch == b"\5" * 16
