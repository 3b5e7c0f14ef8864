"""Readers are refused while a revocation could not reach the process, and served again when it can."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.audittenant import a_tenant
from tests.support.nats import NatsServer
from tests.support.postgres import Database
from tests.support.provisioning import Provisioned, provisioned_on
from tests.support.query_server import serving_queries


@pytest.fixture
async def own_nats(new_nats: Callable[[], NatsServer]) -> NatsServer:
    """Start a server that the test may kill."""
    server = new_nats()
    await server.started()
    return server


@pytest.fixture
async def provisioned(database: Database, own_nats: NatsServer, tmp_path: Path) -> AsyncIterator[Provisioned]:
    async with AsyncExitStack() as exits:
        yield await provisioned_on(exits, database, own_nats, tmp_path)


async def test_without_a_confirmed_configuration_nobody_reads(
    provisioned: Provisioned, own_nats: NatsServer
) -> None:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    assert made.tenant_id is not None
    key = provisioned.key(made.tenant_id)
    async with serving_queries(provisioned) as server:
        await server.serves(made.shard_id)
        assert (await server.get(key=key)).status == 200
        own_nats.kill()
        stale = await server.answered(503, key=key)
        assert stale.json()["type"] == "urn:audit-log:config-stale"
        assert "retry-after" in stale.headers
        [shard] = server.function.folder.serving.values()
        assert 5.0 < shard.config_age_seconds() < 6.5
        assert shard.problem() == "configuration not confirmed"
        await own_nats.started()
        assert (await server.answered(200, key=key)).status == 200
