"""What ingest answers when the stream is away, silent, full, frozen or not attested: 503, and nothing that is not so."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from audit_core.projection import FROZEN_KEY
from tests.support.events import an_event, encoded
from tests.support.functions import (
    MIB,
    FunctionsProcess,
    SeededShard,
    SeededTenant,
    functions_process,
    until,
)
from tests.support.nats import NatsServer


class Setting:
    """A NATS server, a shard and an ingest process that one test may break."""

    def __init__(self, nats: NatsServer, shard: SeededShard, tenant: SeededTenant) -> None:
        self.nats = nats
        self.shard = shard
        self.tenant = tenant
        self.process: FunctionsProcess

    async def status(self, event_id: str) -> int:
        """Post one event and return the answer's status."""
        return (await self.process.post(self.tenant, encoded(an_event(id=event_id)))).status

    async def is_taken(self) -> bool:
        """Tell whether events are accepted."""
        return (await self.process.post(self.tenant, b'{"event_type":"probe"}')).status == 202


@pytest.fixture
async def setting(new_nats: Callable[[], NatsServer], tmp_path: Path) -> AsyncIterator[Setting]:
    nats = new_nats()
    await nats.started()
    made = Setting(nats, SeededShard(nats=nats, folder=tmp_path), SeededTenant(name="acme"))
    await made.shard.laid_out(made.tenant, max_bytes=8 * MIB)
    async with functions_process(nats, tmp_path) as made.process:
        yield made
    nats.kill()


async def test_without_nats_the_answer_is_503_at_once_and_202_again_afterwards(setting: Setting) -> None:
    assert await setting.status("before") == 202
    setting.nats.kill()
    started = time.monotonic()
    answer = await setting.process.post(setting.tenant, encoded(an_event(id="away")))
    assert answer.status == 503
    assert time.monotonic() - started < 1.0
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json["type"] in ("urn:audit-log:stream-unavailable", "urn:audit-log:config-stale")
    await setting.nats.started()
    await until(setting.is_taken)
    assert await setting.status("after") == 202
    assert {"before", "after"} <= (await setting.shard.bodies()).keys()


async def test_nothing_is_acknowledged_that_a_killed_stream_does_not_hold(setting: Setting) -> None:
    statuses: dict[str, int] = {}
    stopped = asyncio.Event()

    async def keep_posting(name: str) -> None:
        number = 0
        while not stopped.is_set():
            event_id = f"{name}-{number}"
            statuses[event_id] = await setting.status(event_id)
            number += 1
            if statuses[event_id] != 202:
                await asyncio.sleep(0.02)

    posting = [asyncio.create_task(keep_posting(f"killed-{name}")) for name in range(8)]
    for _ in range(3):
        await asyncio.sleep(0.7)
        setting.nats.kill()
        await asyncio.sleep(0.3)
        await setting.nats.started()
        await until(setting.is_taken)
    stopped.set()
    await asyncio.gather(*posting)
    await until(setting.is_taken)
    acknowledged = {event_id for event_id, status in statuses.items() if status == 202}
    assert set(statuses.values()) <= {202, 503}
    assert len(acknowledged) > 20
    times = Counter(
        event.id
        for frame in await setting.shard.frames()
        for entry in frame.entries
        for event in entry.events
        if event.id in statuses
    )
    assert acknowledged <= times.keys()
    assert set(times.values()) == {1}


async def test_a_stream_that_is_silent_until_the_deadline_gets_503_and_its_frame_is_abandoned(
    setting: Setting,
) -> None:
    assert await setting.status("before") == 202
    assert setting.nats.process is not None
    setting.nats.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    try:
        first = await setting.process.post(setting.tenant, encoded(an_event(id="silent-1")))
        waited = time.monotonic() - started
        second = await setting.process.post(setting.tenant, encoded(an_event(id="silent-2")))
    finally:
        setting.nats.process.send_signal(signal.SIGCONT)
    assert first.status == second.status == 503
    assert 4.5 < waited < 7.0
    assert time.monotonic() - started < waited + 1.0  # the second was not made to wait
    await until(setting.is_taken)
    frames = await setting.shard.frames()
    numbers = [frame.number for frame in frames]
    declared = {number for frame in frames for number in frame.abandoned}
    assert declared == {2}
    assert numbers == sorted(set(numbers))
    stored = await setting.shard.bodies()
    assert "silent-2" not in stored


async def test_a_frame_whose_ack_was_late_is_sent_again_and_stored_once(setting: Setting) -> None:
    assert await setting.status("before") == 202
    assert setting.nats.process is not None
    setting.nats.process.send_signal(signal.SIGSTOP)
    posting = asyncio.create_task(setting.process.post(setting.tenant, encoded(an_event(id="late"))))
    await asyncio.sleep(3)
    setting.nats.process.send_signal(signal.SIGCONT)
    assert (await posting).status == 202
    await until(setting.is_taken)
    found = [
        (frame.number, frame.abandoned)
        for frame in await setting.shard.frames()
        if any(event.id == "late" for entry in frame.entries for event in entry.events)
    ]
    assert found == [(2, [])]


async def test_a_stream_that_is_nearly_full_takes_no_more(setting: Setting) -> None:
    filling = json.dumps({"logs": [an_event(metadata={"a": "x" * 30_000}) for _ in range(20)]}).encode()
    statuses = Counter(
        [(await setting.process.post(setting.tenant, filling, "/batch")).status for _ in range(20)]
    )
    assert statuses.keys() == {202, 503}
    refused = await setting.process.post(setting.tenant, b'{"event_type":"a"}')
    assert refused.status == 503
    assert "full" in refused.json["detail"]
    assert "retry-after" in refused.headers
    messages = await setting.shard.messages()
    held = sum(map(len, messages))
    assert 0.85 * 8 * MIB < held < 8 * MIB
    ready = await setting.process.request("GET", "/readyz")
    assert "full" in json.dumps(ready.json)


async def test_a_batch_whose_later_frames_do_not_fit_is_told_so_item_by_item(setting: Setting) -> None:
    large = json.dumps({"logs": [an_event(metadata={"a": "x" * 30_000}) for _ in range(150)]}).encode()
    first = await setting.process.post(setting.tenant, large, "/batch")
    assert first.json["accepted"] == 150
    answer = await setting.process.post(setting.tenant, large, "/batch")
    statuses = Counter(item["status"] for item in answer.json["results"])
    assert answer.status == 202
    assert statuses.keys() == {202, 503}
    assert (answer.json["accepted"], answer.json["rejected"]) == (statuses[202], statuses[503])
    stored = await setting.shard.bodies()
    accepted = {item["id"] for item in answer.json["results"] if item["status"] == 202}
    assert accepted <= stored.keys()
    assert all("id" not in item for item in answer.json["results"] if item["status"] == 503)


async def test_a_frozen_shard_takes_nothing_until_it_goes_on(setting: Setting) -> None:
    await setting.shard.freeze("gap")

    async def is_frozen() -> bool:
        answer = await setting.process.post(setting.tenant, b'{"event_type":"a"}')
        return answer.status == 503 and bool(answer.json["type"] == "urn:audit-log:shard-frozen")

    await until(is_frozen)
    await setting.shard.write(FROZEN_KEY, None)
    await until(setting.is_taken)


async def test_without_a_fresh_attestation_nothing_is_taken_and_the_process_is_not_ready(
    setting: Setting,
) -> None:
    day_us = 24 * 3600 * 1_000_000
    await setting.shard.attest(time.time_ns() // 1000 - day_us - 1)

    async def is_refused() -> bool:
        answer = await setting.process.post(setting.tenant, b'{"event_type":"a"}')
        return answer.status == 503 and "attested" in answer.json["detail"]

    await until(is_refused)
    assert (await setting.process.request("GET", "/readyz")).status == 503
    assert (await setting.process.request("GET", "/healthz")).status == 200
    await setting.shard.attest()
    await until(setting.is_taken)
    assert (await setting.process.request("GET", "/readyz")).status == 200
