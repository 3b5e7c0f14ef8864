"""The credential names the tenant, and nothing else that a request says can name another."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.events import an_event, encoded
from tests.support.functions import (
    Answer,
    FunctionsProcess,
    SeededShard,
    SeededTenant,
    functions_process,
    until,
)
from tests.support.nats import NatsServer

EVENT = encoded(an_event())
LINES = {"Content_Type": "application/x-ndjson"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Two tenants of one pool and one with a shard of its own, served by one process."""

    process: FunctionsProcess
    pool: SeededShard
    own: SeededShard
    acme: SeededTenant
    globex: SeededTenant
    initech: SeededTenant

    async def post(self, tenant: SeededTenant, body: bytes = EVENT, path: str = "", **headers: str) -> Answer:
        return await self.process.post(tenant, body, path, **headers)


@pytest.fixture
async def setting(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Setting]:
    pool = SeededShard(nats=nats_server, folder=tmp_path)
    own = SeededShard(nats=nats_server, folder=tmp_path)
    acme, globex, initech = (SeededTenant(name=name) for name in ("acme", "globex", "initech"))
    await pool.laid_out(acme, globex)
    await own.laid_out(initech)
    async with functions_process(nats_server, tmp_path) as process:
        yield Setting(process=process, pool=pool, own=own, acme=acme, globex=globex, initech=initech)


async def test_each_event_is_stored_under_the_tenant_of_its_key(setting: Setting) -> None:
    for tenant in (setting.acme, setting.globex, setting.initech):
        assert (await setting.post(tenant, encoded(an_event(id=f"of-{tenant.name}")))).status == 202
    pooled = {
        event.id: entry.tenant_id
        for frame in await setting.pool.frames()
        for entry in frame.entries
        for event in entry.events
    }
    assert pooled == {"of-acme": setting.acme.tenant_id, "of-globex": setting.globex.tenant_id}
    assert (await setting.own.bodies()).keys() == {"of-initech"}


async def test_a_header_that_names_another_tenant_is_forbidden(setting: Setting) -> None:
    for other in (setting.globex.tenant_id, setting.globex.name, setting.initech.tenant_id, "nobody", ""):
        for path, body in (("", EVENT), ("/batch", b'{"logs":[{"event_type":"a"}]}')):
            answer = await setting.post(setting.acme, body, path, X_Tenant_ID=other)
            assert (answer.status, answer.json["type"]) == (403, "urn:audit-log:forbidden")
    assert (await setting.post(setting.acme, X_Tenant_ID=setting.acme.tenant_id)).status == 202
    assert (await setting.post(setting.acme, X_Tenant_ID="acme")).status == 202


@pytest.mark.parametrize(
    "host", ["globex.localhost", "GLOBEX.localhost:8000", "globex.localhost.", "x.acme.localhost"]
)
async def test_a_local_host_that_names_another_tenant_is_forbidden(setting: Setting, host: str) -> None:
    assert (await setting.post(setting.acme, Host=host)).status == 403


@pytest.mark.parametrize("host", ["acme.localhost", "Acme.Localhost:8000", "localhost:8000", "127.0.0.1"])
async def test_a_local_host_that_names_the_tenant_or_none_is_served(setting: Setting, host: str) -> None:
    assert (await setting.post(setting.acme, Host=host)).status == 202


async def test_a_body_that_names_another_tenant_is_forbidden_and_stored_nowhere(setting: Setting) -> None:
    stolen = an_event(id="stolen", tenant_id=setting.globex.tenant_id)
    single = await setting.post(setting.acme, encoded(stolen))
    assert (single.status, single.json["type"]) == (403, "urn:audit-log:forbidden")
    batch = await setting.post(
        setting.acme, json.dumps({"logs": [an_event(id="kept"), stolen]}).encode(), "/batch"
    )
    assert [item["status"] for item in batch.json["results"]] == [202, 403]
    lines = await setting.post(setting.acme, json.dumps(stolen).encode() + b"\n" + EVENT, "/batch", **LINES)
    assert [(line["line"], line["status"]) for line in lines.lines[0]["rejected"]] == [(1, 403)]
    atomic = await setting.post(
        setting.acme, json.dumps({"logs": [an_event(id="with-it"), stolen]}).encode(), "/batch?atomic=true"
    )
    assert atomic.status == 422
    stored = await setting.pool.bodies()
    assert "kept" in stored
    assert stored.keys().isdisjoint({"stolen", "with-it"})


async def test_what_a_refusal_says_names_no_other_tenant(setting: Setting) -> None:
    answer = await setting.post(setting.acme, X_Tenant_ID=setting.globex.tenant_id)
    known = await setting.post(setting.acme, encoded(an_event(tenant_id=setting.globex.tenant_id)))
    unknown = await setting.post(setting.acme, encoded(an_event(tenant_id="nobody")))
    for told in (answer, known, unknown):
        assert b"globex" not in told.body
        assert setting.globex.tenant_id.encode() not in told.body
    assert known.json | {"request_id": ""} == unknown.json | {"request_id": ""}


async def test_a_suspended_neighbour_changes_nothing(setting: Setting) -> None:
    setting.globex.state = "Suspended"
    await setting.pool.put(setting.globex)
    assert (await setting.post(setting.acme)).status == 202
    assert (await setting.post(setting.initech)).status == 202


async def test_one_shard_without_its_stream_stops_no_other(setting: Setting) -> None:
    await setting.pool.freeze("gap")

    async def is_refused() -> bool:
        return (await setting.post(setting.acme)).status == 503

    await until(is_refused, 5)
    assert (await setting.post(setting.initech)).status == 202
    assert (await setting.process.request("GET", "/readyz")).status == 200
