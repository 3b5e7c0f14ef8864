"""What readers send and get over HTTP: lists, pages, single events, and problems that say what to do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest
from starlette.requests import Request

from audit_core.ids import api_key_hash, new_api_key
from audit_core.rfc3339 import time_text
from audit_functions.query.routes import LoggedEvent, LoggedPage
from audit_functions.web.health import Readiness
from audit_functions.web.vital import Vital
from audit_operator.clients.api_keys import ApiKey, insert_key
from tests.support.audittenant import a_tenant
from tests.support.postgres import NOW, ShardInDatabase
from tests.support.provisioning import Provisioned
from tests.support.query_server import LOGS, QueryServer, serving_queries, shard_of
from tests.support.reading import Logged, a_logged, write

WRITE_ONLY = new_api_key(bytes(31) + b"\1")


@dataclass(frozen=True, slots=True)
class Acme:
    """One tenant whose reader is served."""

    server: QueryServer
    tenant_id: str
    key: str
    shard: ShardInDatabase

    async def write(self, *log: Logged) -> None:
        await write(self.shard, log)

    def logged(self, event: dict[str, object], sequence: int = 0, **changes: object) -> Logged:
        return a_logged(
            event, tenant_id=self.tenant_id, received_at=NOW + sequence, sequence=sequence, **changes
        )


@pytest.fixture
async def acme(provisioned: Provisioned) -> AsyncIterator[Acme]:
    made = await provisioned.reconciler.converge(a_tenant("acme"))
    assert made.tenant_id is not None
    await insert_key(
        provisioned.database.admin,
        ApiKey(
            key_id="write-only",
            tenant_id=made.tenant_id,
            key_sha256=api_key_hash(WRITE_ONLY),
            principal="collector",
            scopes=("events:write",),
            created_at=NOW,
        ),
    )
    await provisioned.reconciler.converge(a_tenant("acme"))
    async with serving_queries(provisioned) as server:
        await server.serves(made.shard_id)
        shard = await shard_of(provisioned, made.shard_id)
        yield Acme(server, made.tenant_id, provisioned.key(made.tenant_id), shard)


async def test_callers_of_the_earlier_api_read_back_the_names_they_sent(acme: Acme) -> None:
    sent: dict[str, object] = {
        "event_type": "user_login",
        "user_id": "user123",
        "resource_id": "session456",
        "metadata": {"ip_address": "192.168.1.1", "user_agent": "Mozilla/5.0"},
    }
    await acme.write(
        acme.logged(sent, 0),
        acme.logged({"event_type": "user_logout"}, 1),
        acme.logged({"event_type": "user_login"}, 2),
    )
    answer = await acme.server.get(LOGS, "event_type=user_login&limit=10", key=acme.key)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    page = answer.json()
    assert page["next_cursor"] is None
    bare, full = page["logs"]
    assert {name: full[name] for name in sent} == sent
    assert (full["tenant"], full["sequence"], full["received_at"]) == ("acme", 0, time_text(NOW))
    assert bare["event_type"] == "user_login"
    assert {"user_id", "resource_id", "metadata"}.isdisjoint(bare)


async def test_pages_follow_each_other_by_their_cursor(acme: Acme) -> None:
    await acme.write(*(acme.logged({"event_type": "a.b", "user_id": f"u{n % 2}"}, n) for n in range(11)))
    query = [("user_id", "u0"), ("limit", "2"), ("order", "asc")]
    seen, cursor = [], None
    while True:
        answer = await acme.server.get(
            LOGS, [*query, *([("cursor", cursor)] if cursor else [])], key=acme.key
        )
        page = msgspec.json.decode(answer.body, type=LoggedPage)
        seen.append([event.sequence for event in page.logs])
        if (cursor := page.next_cursor) is None:
            break
    assert seen == [[0, 2], [4, 6], [8, 10], []]


async def test_one_event_is_read_by_its_id(acme: Acme) -> None:
    await acme.write(acme.logged({"event_type": "a.b"}, id="order-7:created"))
    answer = await acme.server.get(f"{LOGS}/order-7:created", key=acme.key)
    event = msgspec.json.decode(answer.body, type=LoggedEvent)
    assert (answer.status, event.id, event.event_type) == (200, "order-7:created", "a.b")
    listed = (await acme.server.get(key=acme.key)).json()["logs"]
    assert [answer.json()] == listed
    missing = await acme.server.get(f"{LOGS}/order-8", key=acme.key)
    assert (missing.status, missing.json()["type"]) == (404, "urn:audit-log:not-found")
    assert (await acme.server.get(f"{LOGS}/order-7:created", "limit=1", key=acme.key)).status == 400


@pytest.mark.parametrize(
    ("query", "parameter", "advice"),
    [
        ("page=2&size=10", "page", "cursor"),
        ("size=10", "size", "limit"),
        ("start=2026-01-01T00:00:00Z", "start", "from"),
        ("evnt_type=x", "evnt_type", "not a parameter"),
        ("event_type", "event_type", "empty"),
        ("limit=1001", "limit", "1000"),
        ("from=2026-01-01", "from", "RFC 3339"),
        ("cursor=AQ", "cursor", "not a cursor"),
        (b"user_id=%FF", "query", "UTF-8"),
        (b"user_id=\xff", "query", "UTF-8"),
        (b"user_id=%ED%A0%80", "query", "UTF-8"),
        ("&".join(["user_id=u"] * 1001), "query", "1000"),
        ("user_id=%00", "user_id", "NUL"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_query_that_is_wrong_is_answered_with_the_parameter(
    acme: Acme, query: str | bytes, parameter: str, advice: str
) -> None:
    answer = await acme.server.get(LOGS, query, key=acme.key)
    problem = answer.json()
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:audit-log:invalid-query"
    [flaw] = problem["errors"]
    assert flaw["pointer"] == parameter
    assert advice in flaw["detail"]
    assert problem["detail"] == f"{parameter}: {flaw['detail']}"


async def test_text_and_times_are_taken_encoded_or_not(acme: Acme) -> None:
    await acme.write(acme.logged({"event_type": "a.b", "user_id": "jürgen + söhne"}))
    for query in (
        "user_id=j%C3%BCrgen+%2B+s%C3%B6hne",
        "user_id=jürgen%20%2B%20söhne",
        "from=2025-11-24T18:00:00+02:00",
        "from=2025-11-24T18:00:00%2B02:00&to=2025-11-24T16:00:00.000001Z",
    ):
        assert len((await acme.server.get(LOGS, query, key=acme.key)).json()["logs"]) == 1
    for query in ("user_id=j%C3%BCrgen", "from=2025-11-24T16:00:00.000001Z", "to=2025-11-24T16:00:00Z"):
        assert (await acme.server.get(LOGS, query, key=acme.key)).json()["logs"] == []


async def test_a_request_id_comes_back(acme: Acme) -> None:
    for path in (LOGS, f"{LOGS}/nothing"):
        answer = await acme.server.get(path, key=acme.key, x_request_id="req-1")
        assert answer.headers["x-request-id"] == "req-1"


async def test_reading_needs_a_key_with_the_scope(acme: Acme) -> None:
    for path in (LOGS, f"{LOGS}/e-1"):
        for key in (None, "akl_" + "0" * 36, acme.key[:-1] + ("0" if acme.key[-1] != "0" else "1")):
            answer = await acme.server.get(path, key=key)
            assert (answer.status, answer.json()["type"]) == (401, "urn:audit-log:unauthenticated")
        answer = await acme.server.get(path, key=WRITE_ONLY)
        assert (answer.status, answer.json()["type"]) == (403, "urn:audit-log:forbidden")


async def test_a_tenant_that_is_read_only_reads_and_a_suspended_one_does_not(acme: Acme) -> None:
    converge = acme.server.provisioned.reconciler.converge
    await acme.write(acme.logged({"event_type": "a.b"}))
    await converge(a_tenant("acme", 2, state="ReadOnly"))
    assert len((await acme.server.answered(200, key=acme.key)).json()["logs"]) == 1
    await converge(a_tenant("acme", 3, state="Suspended"))
    refused = await acme.server.answered(403, key=acme.key)
    assert "logs" not in refused.json()
    await converge(a_tenant("acme", 4))
    assert len((await acme.server.answered(200, key=acme.key)).json()["logs"]) == 1
    await acme.server.provisioned.reconciler.retire("acme")
    assert "logs" not in (await acme.server.answered(401, 403, key=acme.key)).json()


async def test_a_tenant_has_as_many_queries_under_way_as_it_may(acme: Acme) -> None:
    provisioned = acme.server.provisioned
    await provisioned.reconciler.converge(a_tenant("acme", 2, query={"concurrency": 2}))
    [shard] = acme.server.function.folder.serving.values()
    async with asyncio.timeout(10):
        while shard.view.tenants[acme.tenant_id].query_concurrency != 2:  # noqa: ASYNC110 - it follows a bucket
            await asyncio.sleep(0.05)
    async with provisioned.database.admin.transaction():
        await provisioned.database.admin.execute(f"LOCK TABLE {acme.shard.schema}.event")
        waiting = [asyncio.create_task(acme.server.get(key=acme.key)) for _ in range(2)]
        await asyncio.sleep(0.2)
        refused = await acme.server.get(key=acme.key)
    assert (refused.status, refused.json()["type"]) == (429, "urn:audit-log:rate-limited")
    assert int(refused.headers["retry-after"]) >= 1
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_database_that_cannot_be_used_is_503_until_it_can(acme: Acme) -> None:
    folder = acme.server.provisioned.shards / acme.shard.shard_id
    right = (folder / "query.dsn").read_text()
    assert (await acme.server.get(key=acme.key)).status == 200
    role = right.split("//")[1].split(":")[0]
    await acme.server.provisioned.database.admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    await acme.server.provisioned.database.admin.execute(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = $1", role
    )
    for path in (LOGS, f"{LOGS}/e-1"):
        answer = await acme.server.answered(503, path=path, key=acme.key)
        assert answer.json()["type"] == "urn:audit-log:store-unavailable"
        assert int(answer.headers["retry-after"]) >= 1
        assert role not in answer.body.decode()
    [shard] = acme.server.function.folder.serving.values()
    assert shard.problem() is None
    assert shard.impairment() == "database away: TooManyConnectionsError"
    ready = await Readiness([acme.server.function], Vital(lambda: None)).readyz(Request({"type": "http"}))
    assert ready.status_code == 200
    assert json.loads(bytes(ready.body))["shards"] == {
        "query": {acme.shard.shard_id: "ok, but database away: TooManyConnectionsError"}
    }
    assert acme.server.metric("audit_query_databases_away_count") == 1
    await acme.server.provisioned.database.admin.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    assert (await acme.server.answered(200, key=acme.key)).status == 200
    assert shard.impairment() is None
    assert acme.server.metric("audit_query_databases_away_count") == 0


async def test_a_password_that_changed_is_taken_up_from_its_file(acme: Acme) -> None:
    file = acme.server.provisioned.shards / acme.shard.shard_id / "query.dsn"
    old = file.read_text()
    role, password = acme.shard.dsn("query").split("//")[1].split("@")[0].split(":")
    admin = acme.server.provisioned.database.admin
    await admin.execute(f"ALTER ROLE {role} PASSWORD 'another-one'")
    assert (await acme.server.get(key=acme.key)).status == 503
    file.write_text(old.replace(password, "another-one"))
    assert (await acme.server.answered(200, key=acme.key)).status == 200


async def test_answers_and_refusals_are_counted(acme: Acme) -> None:
    await acme.write(*(acme.logged({"event_type": "a.b"}, n, id=f"e-{n}") for n in range(3)))
    for query in ("", "limit=2", "page=1"):
        await acme.server.get(LOGS, query, key=acme.key)
    for event_id in ("e-1", "e-9"):
        await acme.server.get(f"{LOGS}/{event_id}", key=acme.key)
    metric = acme.server.metric
    assert metric("audit_query_request_seconds_count", operation="searchEvents") == 2
    assert metric("audit_query_request_seconds_count", operation="readEvent") == 1
    assert metric("audit_query_requests_refused_total", operation="searchEvents", status="400") == 1
    assert metric("audit_query_requests_refused_total", operation="readEvent", status="404") == 1
    assert metric("audit_query_events_shown_total") == 3 + 2 + 1


async def test_a_shard_that_is_made_later_is_served_without_a_restart(acme: Acme) -> None:
    made = await acme.server.provisioned.reconciler.converge(a_tenant("initech"))
    assert made.tenant_id is not None
    key = acme.server.provisioned.key(made.tenant_id)
    answer = await acme.server.answered(200, key=key)
    assert json.loads(answer.body) == {"logs": [], "next_cursor": None}
