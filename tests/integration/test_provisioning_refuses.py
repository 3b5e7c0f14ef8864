"""What provisioning does not do: contradict what is stored, hide a loss, or promise what was not seen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from audit_core.errors import StreamUnavailable
from audit_core.projection import DURABILITY_KEY
from audit_core.tenant import stream_name
from audit_operator.clients.buckets import Bucket, bucket_config
from audit_operator.clients.jetstream import JetStreamRefused
from audit_operator.clients.tenants import tenants
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.invalid import FieldProblem, InvalidResource
from audit_operator.reconcile.durability import NotDurable
from audit_operator.reconcile.placement import StaleResource
from audit_operator.reconcile.stream import StreamBroken, wanted_stream
from tests.support.audittenant import a_pooled_tenant, a_tenant
from tests.support.nats import NatsServer
from tests.support.postgres import Database
from tests.support.provisioning import MIB, Provisioned, provisioned_on

MINUTE = 60_000_000


@pytest.mark.parametrize(
    ("first", "then", "path"),
    [
        (a_tenant("acme"), a_pooled_tenant("acme"), "spec.isolation"),
        (a_pooled_tenant("acme"), a_tenant("acme"), "spec.isolation"),
        (a_pooled_tenant("acme", keep="90d"), a_pooled_tenant("acme", keep="30d"), "spec.retention.keep"),
        (
            a_tenant("acme", retention={"partitionBy": "day"}),
            a_tenant("acme", retention={"partitionBy": "month"}),
            "spec.retention.partitionBy",
        ),
        (a_tenant("acme"), a_tenant("acme", adopt="a" * 16), "spec.adopt"),
    ],
    ids=["to-pooled", "to-dedicated", "class", "partitions", "late-adoption"],
)
async def test_what_a_log_was_made_with_cannot_change(
    provisioned: Provisioned, first: AuditTenant, then: AuditTenant, path: str
) -> None:
    made = await provisioned.reconciler.converge(first)
    before = await provisioned.observed(made.shard_id)
    with pytest.raises(InvalidResource) as refused:
        await provisioned.reconciler.converge(then)
    assert [problem.path for problem in refused.value.problems] == [path]
    assert await provisioned.observed(made.shard_id) == before


async def test_an_older_generation_never_overwrites_a_newer(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme", 5, state="Suspended"))
    with pytest.raises(StaleResource):
        await provisioned.reconciler.converge(a_tenant("acme", 4))
    assert made.tenant_id is not None
    assert (await provisioned.view(made.shard_id)).tenants[made.tenant_id].state == "Suspended"


@pytest.mark.parametrize(
    ("adopt", "reason"),
    [
        ("z" * 16, "there is no log of that tenantID"),
        (None, "that log belongs to the tenant acme, which is there"),
    ],
)
async def test_only_a_log_that_was_left_can_be_adopted(
    provisioned: Provisioned, adopt: str | None, reason: str
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    with pytest.raises(InvalidResource) as refused:
        await provisioned.reconciler.converge(a_tenant("thief", adopt=adopt or made.tenant_id))
    assert refused.value.problems == (FieldProblem(path="spec.adopt", reason=reason),)
    assert len(await tenants(provisioned.database.admin)) == 1


async def test_a_log_cannot_be_adopted_with_another_isolation(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    await provisioned.reconciler.retire("acme")
    with pytest.raises(InvalidResource):
        await provisioned.reconciler.converge(a_pooled_tenant("acme", adopt=made.tenant_id))
    [tenant] = await tenants(provisioned.database.admin)
    assert tenant.removed_at is not None


async def test_a_stream_that_vanished_is_reported_and_not_created_again(
    provisioned: Provisioned,
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    async with provisioned.streams(made.shard_id) as streams:
        await streams.delete_stream(stream_name(made.shard_id))
    limits = {"eventsPerSecond": 9}
    again = await provisioned.reconciler.converge(a_tenant("acme", ingest={"limits": limits}))
    [trouble] = again.troubles
    assert isinstance(trouble, StreamBroken)
    assert (trouble.reason, again.stream) == ("vanished", None)
    assert await provisioned.stream(made.shard_id) is None
    [config] = (await provisioned.view(made.shard_id)).tenants.values()
    assert config.limits.events_per_second == 9


async def test_a_stream_of_another_epoch_is_reported_and_left_as_it_is(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    strange = wanted_stream(made.shard_id, b"\3" * 16, max_bytes=70 * MIB, replicas=1)
    async with provisioned.streams(made.shard_id) as streams:
        await streams.delete_stream(stream_name(made.shard_id))
        await streams.create_stream(strange)
    again = await provisioned.reconciler.converge(a_tenant("acme"))
    [trouble] = again.troubles
    assert isinstance(trouble, StreamBroken)
    assert trouble.reason == "replaced"
    stream = await provisioned.stream(made.shard_id)
    assert stream is not None
    assert stream.config.max_bytes == 70 * MIB


async def test_the_attestation_is_renewed_after_a_minute_and_not_before(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    start = provisioned.clock.now
    for after, attested_at in ((MINUTE - 1, start), (MINUTE, start + MINUTE)):
        provisioned.clock.now = start + after
        await provisioned.reconciler.converge_shard(made.shard_id)
        durability = (await provisioned.view(made.shard_id)).durability
        assert durability is not None
        assert durability.attested_at == attested_at


@pytest.fixture
async def lax_nats() -> AsyncIterator[NatsServer]:
    """Run a server with the sync interval that servers have by default."""
    server = NatsServer(sync="2m")
    await server.started()
    yield server
    server.kill()


async def test_a_server_that_does_not_fsync_gets_no_attestation(
    database: Database, lax_nats: NatsServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as exits:
        provisioned = await provisioned_on(exits, database, lax_nats, tmp_path)
        made = await provisioned.reconciler.converge(a_tenant("acme"))
        assert [type(trouble) for trouble in made.troubles] == [NotDurable]
        assert (await provisioned.view(made.shard_id)).durability is None


async def test_an_attestation_that_became_untrue_is_withdrawn(
    database: Database, lax_nats: NatsServer, tmp_path: Path
) -> None:
    async with AsyncExitStack() as exits:
        provisioned = await provisioned_on(exits, database, lax_nats, tmp_path)
        made = await provisioned.reconciler.converge(a_tenant("acme"))
        async with provisioned.bucket(made.shard_id) as bucket:
            await bucket.put(DURABILITY_KEY, b'{"attested_at":1,"peers":["gone"],"replicas":1}')
        swept = await provisioned.reconciler.converge_shard(made.shard_id)
        assert swept.changes == (DURABILITY_KEY,)
        assert (await provisioned.view(made.shard_id)).durability is None


async def test_without_room_for_its_stream_a_tenant_gets_no_credentials_and_others_go_on(
    provisioned: Provisioned,
) -> None:
    good = await provisioned.reconciler.converge(a_tenant("acme"))
    wide = await provisioned.reconciler.converge(a_tenant("wide", stream={"maxBytes": "7Ei"}))
    [trouble] = wide.troubles
    assert isinstance(trouble, JetStreamRefused)
    assert trouble.code == 10047
    assert not (provisioned.shards / wide.shard_id).exists()
    assert (await provisioned.reconciler.converge(a_tenant("acme"))).troubles == ()
    assert good.shard_id != wide.shard_id
    narrow = await provisioned.reconciler.converge(a_tenant("wide"))
    assert (narrow.tenant_id, narrow.troubles) == (wide.tenant_id, ())
    assert (provisioned.shards / wide.shard_id).exists()


async def test_an_entry_that_someone_else_changed_is_not_overwritten(provisioned: Provisioned) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    async with provisioned.bucket(made.shard_id) as bucket:
        assert not await bucket.put(f"tenant.{made.tenant_id}.spec", b"{}", revision=0)
        assert not await bucket.delete(f"tenant.{made.tenant_id}.spec", revision=999)


async def test_a_bucket_of_many_entries_is_read_whole(provisioned: Provisioned) -> None:
    async with provisioned.streams("m" * 16) as streams:
        await streams.create_stream(bucket_config("many", max_bytes=4 * MIB, replicas=1))
        bucket = Bucket(streams, "many")
        for number in range(1100):
            assert await bucket.put(f"a.{number}", b"value")
        entry = await bucket.entry("a.3")
        assert entry is not None
        assert await bucket.delete("a.3", revision=entry.revision)
        entries = await bucket.entries()
        assert entries.keys() == {f"a.{number}" for number in range(1100)}
        assert [key for key, each in entries.items() if each.value is None] == ["a.3"]
        deleted = await bucket.entry("a.3")
        assert deleted is not None
        assert deleted.value is None
        assert await bucket.put("a.3", b"again", revision=deleted.revision)


async def test_a_connection_that_broke_is_replaced(
    provisioned: Provisioned, new_nats: Callable[[], NatsServer], tmp_path: Path
) -> None:
    server = new_nats()
    await server.started()
    async with AsyncExitStack() as exits:
        provisioned = await provisioned_on(exits, provisioned.database, server, tmp_path)
        made = await provisioned.reconciler.converge(a_tenant("acme"))
        server.kill()
        with pytest.raises(StreamUnavailable):
            await provisioned.reconciler.converge(a_tenant("acme"))
        await server.started()
        again = await provisioned.reconciler.converge(a_tenant("acme"))
        assert (again.tenant_id, again.troubles) == (made.tenant_id, ())


async def test_a_server_that_forgot_an_account_learns_of_it_again(
    provisioned: Provisioned, new_nats: Callable[[], NatsServer], tmp_path: Path
) -> None:
    server = new_nats()
    await server.started()
    async with AsyncExitStack() as exits:
        provisioned = await provisioned_on(exits, provisioned.database, server, tmp_path)
        made = await provisioned.reconciler.converge(a_tenant("acme"))
        server.stop()
        for jwt in (server.folder / "accounts").glob("*.jwt"):
            jwt.unlink()
        await server.started()
        again = await provisioned.reconciler.converge(a_tenant("acme"))
        assert (again.tenant_id, again.troubles) == (made.tenant_id, ())
