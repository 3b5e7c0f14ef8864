"""Keys, limits and states take effect while the process runs; without a confirmed configuration nothing is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from audit_core.projection import Limits
from tests.support.events import an_event, encoded
from tests.support.functions import FunctionsProcess, SeededShard, SeededTenant, functions_process, until
from tests.support.nats import NatsServer

EVENT = encoded(an_event())


class Setting:
    """A shard with one tenant, an ingest process, and a server that may be stopped."""

    def __init__(self, nats: NatsServer, shard: SeededShard, tenant: SeededTenant) -> None:
        self.nats = nats
        self.shard = shard
        self.tenant = tenant
        self.process: FunctionsProcess

    async def answers(self, status: int) -> bool:
        """Tell whether an event is answered with that status."""
        return (await self.process.post(self.tenant, EVENT)).status == status


@pytest.fixture
async def setting(new_nats: Callable[[], NatsServer], tmp_path: Path) -> AsyncIterator[Setting]:
    nats = new_nats()
    await nats.started()
    made = Setting(nats, SeededShard(nats=nats, folder=tmp_path), SeededTenant(name="acme"))
    await made.shard.laid_out(made.tenant)
    async with functions_process(nats, tmp_path) as made.process:
        yield made
    nats.kill()


async def test_a_revoked_key_stops_within_five_seconds(setting: Setting) -> None:
    assert await setting.answers(202)
    await setting.shard.revoke(setting.tenant)
    await until(lambda: setting.answers(401), 5)


async def test_a_revoked_key_stops_within_five_seconds_after_a_restart_of_nats_too(setting: Setting) -> None:
    setting.nats.kill()
    await setting.nats.started()
    await until(lambda: setting.answers(202))
    await setting.shard.revoke(setting.tenant)
    await until(lambda: setting.answers(401), 5)


async def test_a_key_that_was_revoked_while_nats_was_cut_off_never_works_again(setting: Setting) -> None:
    await setting.shard.revoke(setting.tenant)
    setting.nats.kill()
    await setting.nats.started()
    deadline = time.monotonic() + 10
    statuses: list[int] = []
    while time.monotonic() < deadline and 401 not in statuses[-1:]:
        statuses.append((await setting.process.post(setting.tenant, EVENT)).status)
        await asyncio.sleep(0.1)
    assert statuses[-1] == 401


async def test_a_key_stops_at_the_time_that_it_expires(setting: Setting) -> None:
    expiring = SeededTenant(name="brief", expires_at=time.time_ns() // 1000 + 2_000_000)
    await setting.shard.put(expiring)

    async def answered(status: int) -> bool:
        return (await setting.process.post(expiring, EVENT)).status == status

    await until(lambda: answered(202), 2)
    await until(lambda: answered(401), 4)


async def test_states_open_and_close_the_endpoint_while_it_runs(setting: Setting) -> None:
    for state in ("ReadOnly", "Suspended", "Active"):
        changed = replace(setting.tenant, state=state)
        await setting.shard.put(changed)
        wanted = 202 if state == "Active" else 403
        await until(lambda wanted=wanted: setting.answers(wanted), 5)  # type: ignore[misc]  # bound per turn


async def test_a_key_without_the_scope_to_write_is_forbidden(setting: Setting) -> None:
    await setting.shard.put(replace(setting.tenant, scopes=("events:read",)))
    await until(lambda: setting.answers(403), 5)


async def test_an_edited_limit_takes_effect_without_a_restart(setting: Setting) -> None:
    pid = setting.process.worker_pid()
    await setting.shard.put(
        replace(setting.tenant, limits=Limits(events_per_second=5, burst=10, max_batch_events=2))
    )

    async def is_limited() -> bool:
        return (await setting.process.post(setting.tenant, EVENT)).status == 429

    await until(is_limited, 8)
    answer = await setting.process.post(setting.tenant, EVENT)
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["ratelimit-policy"] == '"events";q=10;w=2'
    assert answer.headers["ratelimit"].startswith('"events";r=0;t=')
    three = b'{"logs":[{"event_type":"a"},{"event_type":"a"},{"event_type":"a"}]}'
    too_many = await setting.process.post(setting.tenant, three, "/batch")
    assert (too_many.status, too_many.json["detail"]) == (413, "more than 2 events")
    assert setting.process.worker_pid() == pid


async def test_one_tenants_quota_does_not_slow_another(setting: Setting) -> None:
    slow = SeededTenant(name="slow", limits=Limits(events_per_second=1, burst=1))
    await setting.shard.put(slow)

    async def slow_is_limited() -> bool:
        return (await setting.process.post(slow, EVENT)).status == 429

    await until(slow_is_limited)
    assert await setting.answers(202)


async def test_a_batch_is_refused_whole_when_its_tenants_tokens_do_not_last(setting: Setting) -> None:
    tight = SeededTenant(name="tight", limits=Limits(events_per_second=1, burst=10))
    await setting.shard.put(tight)
    six = b'{"logs":[' + b",".join([b'{"event_type":"six"}'] * 6) + b"]}"

    async def post_six() -> int:
        return (await setting.process.post(tight, six, "/batch")).status

    async def is_taken() -> bool:
        return await post_six() == 202

    await until(is_taken)
    assert await post_six() == 429
    stored = [body for body in (await setting.shard.bodies()).values() if b"six" in body]
    assert len(stored) == 6


async def test_a_configuration_that_cannot_be_confirmed_is_not_used(setting: Setting) -> None:
    setting.nats.kill()
    await asyncio.sleep(6)
    answer = await setting.process.post(setting.tenant, EVENT)
    assert (answer.status, answer.json["type"]) == (503, "urn:audit-log:config-stale")
    unknown = SeededTenant(name="nobody")
    assert (await setting.process.post(unknown, EVENT)).status == 503
    assert (await setting.process.request("GET", "/readyz")).status == 503
    assert (await setting.process.request("GET", "/healthz")).status == 200
    await setting.nats.started()
    await until(lambda: setting.answers(202))


async def test_a_shard_that_appears_is_served_and_one_that_goes_is_let_go(
    setting: Setting, tmp_path: Path
) -> None:
    newcomer = SeededTenant(name="newcomer")
    shard = SeededShard(nats=setting.nats, folder=tmp_path)
    await shard.laid_out(newcomer)

    async def newcomer_gets(status: int) -> bool:
        return (await setting.process.post(newcomer, EVENT)).status == status

    await until(lambda: newcomer_gets(202))
    (tmp_path / shard.shard_id / "ingest.creds").unlink()
    await until(lambda: newcomer_gets(401))
    assert await setting.answers(202)
