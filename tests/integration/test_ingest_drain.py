"""A process that is told to stop loses nothing: it answers what it took, writes its last watermark and goes in time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.events import an_event, encoded
from tests.support.functions import FunctionsProcess, SeededShard, SeededTenant, functions_process
from tests.support.http_load import closed_loop, post
from tests.support.nats import NatsServer


@pytest.fixture
async def shard(nats_server: NatsServer, tmp_path: Path) -> SeededShard:
    return SeededShard(nats=nats_server, folder=tmp_path)


@pytest.fixture
async def tenant(shard: SeededShard) -> SeededTenant:
    tenant = SeededTenant(name="acme")
    await shard.laid_out(tenant)
    return tenant


@pytest.fixture
async def process(
    nats_server: NatsServer, tenant: SeededTenant, tmp_path: Path
) -> AsyncIterator[FunctionsProcess]:
    async with functions_process(nats_server, tmp_path) as process:
        yield process


async def test_sigterm_under_load_keeps_every_acknowledged_event(
    process: FunctionsProcess, shard: SeededShard, tenant: SeededTenant
) -> None:
    acknowledged: set[object] = set()
    numbers = iter(range(1_000_000))

    def request() -> tuple[object, bytes]:
        event_id = f"drain-{next(numbers)}"
        body = encoded(an_event(id=event_id))
        return event_id, post("127.0.0.1", "/api/v1/audit/logs", tenant.key, body)

    def answered(token: object, status: int, body: bytes) -> None:
        if status == 202:
            acknowledged.add(token)

    loading = asyncio.create_task(closed_loop(process.port, 32, request, seconds=4, sink=answered))
    await asyncio.sleep(1.5)
    started = time.monotonic()
    code = await asyncio.to_thread(process.stop)
    took = time.monotonic() - started
    await loading
    assert code == 0
    assert took < 10
    assert len(acknowledged) > 100
    stored = await shard.bodies()
    assert acknowledged <= stored.keys()


async def test_the_last_watermark_is_that_of_the_last_frame_and_says_that_no_more_will_come(
    process: FunctionsProcess, shard: SeededShard, tenant: SeededTenant
) -> None:
    for _ in range(3):
        assert (await process.post(tenant, encoded(an_event()))).status == 202
    await asyncio.to_thread(process.stop)
    messages = await shard.messages()
    (mark,) = await shard.watermarks()
    assert mark.drained
    assert (mark.epoch, mark.frame, mark.stream_sequence) == (shard.epoch, 3, 3)
    assert mark.frame_sha256 == hashlib.sha256(messages[-1]).digest()


async def test_a_watermark_follows_within_two_seconds(
    process: FunctionsProcess, shard: SeededShard, tenant: SeededTenant
) -> None:
    assert (await process.post(tenant, encoded(an_event()))).status == 202
    await asyncio.sleep(2)
    (mark,) = await shard.watermarks()
    assert (mark.frame, mark.drained) == (1, False)


async def test_a_worker_that_is_killed_is_started_again_as_another_instance(
    process: FunctionsProcess, shard: SeededShard, tenant: SeededTenant
) -> None:
    assert (await process.post(tenant, encoded(an_event()))).status == 202
    killed = process.worker_pid()

    os.kill(killed, signal.SIGKILL)
    await asyncio.sleep(0.5)
    await process.until_ready()
    assert (await process.post(tenant, encoded(an_event()))).status == 202
    frames = await shard.frames()
    assert len({frame.instance for frame in frames}) == 2
    assert [frame.number for frame in frames] == [1, 1]


async def test_a_client_that_dawdles_does_not_hold_up_the_stop(
    process: FunctionsProcess, tenant: SeededTenant
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer %b\r\n\r\n{" % tenant.key.encode()
    )
    await writer.drain()
    await asyncio.sleep(0.3)
    started = time.monotonic()
    await asyncio.to_thread(process.stop)
    assert time.monotonic() - started < 20
    writer.close()
    assert await reader.read() is not None
