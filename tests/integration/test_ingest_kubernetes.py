"""The webhook of an API server gets 2xx once every event of its list is in the stream, and anything else never."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from audit_core.projection import Limits
from tests.support.functions import (
    MIB,
    Answer,
    FunctionsProcess,
    SeededShard,
    SeededTenant,
    ServedIngest,
    functions_process,
    until,
)
from tests.support.kubernetes_audit import an_audit_event, an_event_list
from tests.support.nats import NatsServer

PATH = "/api/v1/audit/kubernetes"


async def post(process: FunctionsProcess, tenant: SeededTenant, body: bytes, **headers: str) -> Answer:
    sent = {"Authorization": f"Bearer {tenant.key}", "Content-Type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await process.request("POST", PATH, body, sent)


def records(name: str, count: int, **fields: Any) -> list[dict[str, Any]]:
    return [an_audit_event(auditID=f"{name}-{number}", **fields) for number in range(count)]


def ids(name: str, count: int) -> set[str]:
    return {f"{name}-{number}:ResponseComplete" for number in range(count)}


async def test_a_list_is_in_the_stream_when_it_is_answered(served_ingest: ServedIngest) -> None:
    body = an_event_list(*records("list", 400))
    answer = await post(served_ingest.process, served_ingest.acme, body)
    assert (answer.status, answer.json) == (202, {"accepted": 400, "unmapped": 0})
    assert ids("list", 400) <= (await served_ingest.shard.bodies()).keys()


async def test_a_list_may_be_compressed(served_ingest: ServedIngest) -> None:
    body = gzip.compress(an_event_list(*records("gzip", 3)))
    answer = await post(served_ingest.process, served_ingest.acme, body, Content_Encoding="gzip")
    assert (answer.status, answer.json["accepted"]) == (202, 3)
    assert ids("gzip", 3) <= (await served_ingest.shard.bodies()).keys()


async def test_the_ids_count_as_the_clients_so_that_repeats_are_known(served_ingest: ServedIngest) -> None:
    await post(served_ingest.process, served_ingest.acme, an_event_list(*records("own", 2)))
    events = [
        event
        for frame in await served_ingest.shard.frames()
        for entry in frame.entries
        for event in entry.events
        if event.id.startswith("own-")
    ]
    assert [event.id_from_client for event in events] == [True, True]


async def test_a_list_larger_than_a_frame_is_spread_over_several(served_ingest: ServedIngest) -> None:
    body = an_event_list(*records("spread", 100, requestObject={"a": "x" * 24_000}))
    assert len(body) > 2 * MIB
    answer = await post(served_ingest.process, served_ingest.acme, body)
    assert (answer.status, answer.json["accepted"]) == (202, 100)
    frames = [message for message in await served_ingest.shard.messages() if b"spread-" in message]
    assert len(frames) > 1
    assert ids("spread", 100) <= (await served_ingest.shard.bodies()).keys()


async def test_one_bad_item_is_kept_and_holds_nothing_up(served_ingest: ServedIngest) -> None:
    good = [json.dumps(record).encode() for record in records("beside", 2)]
    bad = rb'{"auditID":"broken","text":"\ud800","deep":' + b"[" * 5000 + b"]" * 5000 + b"}"
    body = b'{"kind":"EventList","items":[' + b",".join([good[0], bad, good[1]]) + b"]}"
    answer = await post(served_ingest.process, served_ingest.acme, body)
    assert (answer.status, answer.json) == (202, {"accepted": 3, "unmapped": 1})
    stored = await served_ingest.shard.bodies()
    assert ids("beside", 2) <= stored.keys()
    (kept,) = (json.loads(event) for event in stored.values() if b'"correlation_id":"broken"' in event)
    assert kept["event_type"] == "k8s.unmapped"
    assert kept["metadata"]["record"] == bad.decode()


async def test_a_huge_object_is_kept_as_its_hash(served_ingest: ServedIngest) -> None:
    body = an_event_list(*records("huge", 1, requestObject={"a": "x" * 6 * MIB}))
    answer = await post(served_ingest.process, served_ingest.acme, body)
    assert (answer.status, answer.json) == (202, {"accepted": 1, "unmapped": 0})
    kept = json.loads((await served_ingest.shard.bodies())["huge-0:ResponseComplete"])["metadata"]
    assert kept["kept_as"] == {"request_object": "hash"}
    assert kept["request_object"]["size"] == 6 * MIB + len('{"a":""}')


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (an_event_list(), {}, 422),
        (b"{}", {}, 422),
        (b"not JSON", {}, 422),
        (an_event_list(*records("many", 1001)), {}, 413),
        (b" ", {"Content_Length": str(12 * MIB + 1)}, 413),
        (gzip.compress(b" " * (12 * MIB + 1), 1), {"Content_Encoding": "gzip"}, 413),
        (an_event_list(1), {"Content_Type": "application/yaml"}, 415),
        (an_event_list(1), {"Content_Type": "application/x-ndjson"}, 415),
        (an_event_list(1), {"Authorization": "Bearer nobody"}, 401),
    ],
)
async def test_what_is_no_list_from_a_caller_is_refused(
    served_ingest: ServedIngest, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = await post(served_ingest.process, served_ingest.acme, body, **headers)
    assert answer.status == status
    assert answer.json["status"] == status


class Setting:
    """A NATS server, a shard and an ingest process that one test may break."""

    def __init__(self, nats: NatsServer, shard: SeededShard) -> None:
        self.nats = nats
        self.shard = shard
        self.tenant = SeededTenant(name="acme")
        self.slow = SeededTenant(name="slow", limits=Limits(events_per_second=1, burst=5))
        self.reader = SeededTenant(name="reader", scopes=("events:read",))
        self.process: FunctionsProcess

    async def post(self, body: bytes) -> Answer:
        return await post(self.process, self.tenant, body)


@pytest.fixture
async def setting(new_nats: Callable[[], NatsServer], tmp_path: Path) -> AsyncIterator[Setting]:
    nats = new_nats()
    await nats.started()
    made = Setting(nats, SeededShard(nats=nats, folder=tmp_path))
    await made.shard.laid_out(made.tenant, made.slow, made.reader, max_bytes=8 * MIB)
    async with functions_process(nats, tmp_path) as made.process:
        yield made
    nats.kill()


async def test_quota_and_scope_are_those_of_a_batch(setting: Setting) -> None:
    first = await post(setting.process, setting.slow, an_event_list(*records("quota", 5)))
    second = await post(setting.process, setting.slow, an_event_list(*records("over", 5)))
    assert (first.status, second.status) == (202, 429)
    assert int(second.headers["retry-after"]) >= 1
    assert (await post(setting.process, setting.reader, an_event_list(*records("read", 1)))).status == 403
    assert (await setting.shard.bodies()).keys() == ids("quota", 5)


async def test_without_the_stream_the_answer_is_503_and_the_list_goes_in_afterwards(setting: Setting) -> None:
    body = an_event_list(*records("away", 10))
    setting.nats.kill()
    answer = await setting.post(body)
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1
    await setting.nats.started()

    async def is_taken() -> bool:
        return (await setting.post(body)).status == 202

    await until(is_taken)
    assert ids("away", 10) <= (await setting.shard.bodies()).keys()


async def test_a_stream_that_is_silent_is_not_taken_for_one_that_has_the_list(setting: Setting) -> None:
    assert setting.nats.process is not None
    assert (await setting.post(an_event_list(*records("before", 1)))).status == 202
    setting.nats.process.send_signal(signal.SIGSTOP)
    try:
        answer = await setting.post(an_event_list(*records("silent", 3)))
    finally:
        setting.nats.process.send_signal(signal.SIGCONT)
    assert answer.status == 503


async def test_a_list_of_which_only_a_part_went_in_is_answered_503(setting: Setting) -> None:
    """The stream holds 8 MiB; each list of 3 MiB needs several frames, so one of them is taken in part."""
    answers = []
    for number in range(6):
        body = an_event_list(*records(f"part{number}", 150, requestObject={"a": "x" * 20_000}))
        answers.append(await setting.post(body))
        await asyncio.sleep(0)
    assert {answer.status for answer in answers} == {202, 503}
    stored = (await setting.shard.bodies()).keys()
    for number, answer in enumerate(answers):
        held = stored & ids(f"part{number}", 150)
        assert answer.status == 503 or len(held) == 150
    assert sum(len(stored & ids(f"part{number}", 150)) % 150 for number in range(6)) > 0
