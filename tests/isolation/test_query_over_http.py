"""Whatever a reader sends, it reads its own tenant's log: only the credential names the tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.support.audittenant import a_pooled_tenant, a_tenant
from tests.support.postgres import NOW
from tests.support.provisioning import Provisioned
from tests.support.query_server import LOGS, QueryServer, serving_queries, shard_of
from tests.support.reading import a_logged, write


@dataclass(frozen=True, slots=True)
class Tenants:
    """Two tenants of one pool, one of its own; each has the same three ids, and its name in every event."""

    server: QueryServer
    ids: dict[str, str]
    keys: dict[str, str]


@pytest.fixture
async def tenants(provisioned: Provisioned) -> AsyncIterator[Tenants]:
    ids, keys, shards = {}, {}, set()
    for tenant in (a_pooled_tenant("globex"), a_pooled_tenant("initech"), a_tenant("acme")):
        made = await provisioned.reconciler.converge(tenant)
        assert made.tenant_id is not None
        name = tenant.metadata.name
        ids[name], keys[name] = made.tenant_id, provisioned.key(made.tenant_id)
        shards.add(made.shard_id)
        log = [
            a_logged(
                {"event_type": "canary", "user_id": f"canary-of-{name}"},
                tenant_id=made.tenant_id,
                received_at=NOW + sequence,
                sequence=sequence,
                id=f"e-{sequence}",
            )
            for sequence in range(3)
        ]
        await write(await shard_of(provisioned, made.shard_id), log)
    assert len(shards) == 2
    async with serving_queries(provisioned) as server:
        await server.serves(*shards)
        yield Tenants(server, ids, keys)


def _names_in(body: bytes, tenants: Tenants) -> set[str]:
    return {name for name in tenants.ids if f"canary-of-{name}".encode() in body}


async def test_each_key_reads_its_own_log(tenants: Tenants) -> None:
    for name, key in tenants.keys.items():
        for path in (LOGS, f"{LOGS}/e-1"):
            answer = await tenants.server.get(path, key=key)
            assert answer.status == 200
            assert _names_in(answer.body, tenants) == {name}


async def test_naming_another_tenant_anywhere_reads_nothing(
    tenants: Tenants, subtests: pytest.Subtests
) -> None:
    for mine, key in tenants.keys.items():
        for theirs in tenants.ids.keys() - {mine}:
            their_id = tenants.ids[theirs]
            attempts = {
                "parameter id": ([("tenant_id", their_id)], {}),
                "parameter name": ([("tenant_id", theirs)], {}),
                "parameter twice": ([("tenant_id", tenants.ids[mine]), ("tenant_id", their_id)], {}),
                "header id": ([], {"x_tenant_id": their_id}),
                "header name": ([], {"x_tenant_id": theirs}),
                "host": ([], {"host": f"{theirs}.localhost:8000"}),
                "parameter tenant": ([("tenant", theirs)], {}),
            }
            for attempt, (query, headers) in attempts.items():
                for path in (LOGS, f"{LOGS}/e-1"):
                    with subtests.test(attempt, mine=mine, theirs=theirs, path=path):
                        answer = await tenants.server.get(path, query, key=key, **headers)
                        assert answer.status in (400, 403)
                        assert _names_in(answer.body, tenants) == set()


async def test_naming_oneself_changes_nothing(tenants: Tenants) -> None:
    for name, key in tenants.keys.items():
        for said in (name, tenants.ids[name]):
            answer = await tenants.server.get(
                LOGS, [("tenant_id", said)], key=key, x_tenant_id=said, host=f"{name}.localhost:8000"
            )
            assert answer.status == 200
            assert _names_in(answer.body, tenants) == {name}


async def test_a_filter_for_what_another_tenant_has_finds_nothing(tenants: Tenants) -> None:
    for mine, key in tenants.keys.items():
        for theirs in tenants.ids.keys() - {mine}:
            answer = await tenants.server.get(LOGS, [("user_id", f"canary-of-{theirs}")], key=key)
            assert answer.json() == {"logs": [], "next_cursor": None}


async def test_cursors_are_refused_across_tenants_and_read_nothing(tenants: Tenants) -> None:
    cursors = {
        name: (await tenants.server.get(LOGS, "limit=1", key=key)).json()["next_cursor"]
        for name, key in tenants.keys.items()
    }
    for mine, key in tenants.keys.items():
        for theirs, cursor in cursors.items():
            answer = await tenants.server.get(LOGS, [("limit", "1"), ("cursor", cursor)], key=key)
            assert answer.status == (200 if theirs == mine else 400)
            assert _names_in(answer.body, tenants) == ({mine} if theirs == mine else set())
