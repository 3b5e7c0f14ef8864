"""What is acknowledged is in the stream, byte for byte, with the envelope that the server adds."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time

import zstandard

from audit_core.event import canonical_event
from audit_core.frame import FrameEntry, FrameEvent
from audit_core.ids import idempotent_id, tenant_subkey
from tests.support.events import an_event, encoded
from tests.support.functions import SeededShard, SeededTenant, ServedIngest, until

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


async def entry_with(shard: SeededShard, event_id: str) -> FrameEntry:
    """Return the entry of the frame that holds an event."""
    for frame in await shard.frames():
        for entry in frame.entries:
            if any(event.id == event_id for event in entry.events):
                return entry
    raise AssertionError(f"{event_id} is in no frame")


async def test_an_event_is_in_the_stream_in_canonical_bytes(served_ingest: ServedIngest) -> None:
    body = encoded(an_event(id="whole-1"))
    answer = await served_ingest.post(body)
    assert (answer.status, answer.json) == (202, {"id": "whole-1"})
    entry = await entry_with(served_ingest.shard, "whole-1")
    assert entry.tenant_id == served_ingest.acme.tenant_id
    assert entry.events == [FrameEvent("whole-1", True, canonical_event(body).body)]


async def test_the_envelope_says_when_by_which_key_and_for_whom(served_ingest: ServedIngest) -> None:
    before = time.time()
    await served_ingest.post(encoded(an_event(id="envelope-1")))
    envelope = (await entry_with(served_ingest.shard, "envelope-1")).envelope
    told = json.loads(envelope)
    at = told.pop("accepted_at")
    assert told == {"key_id": "key-1", "principal": "app@example", "transport": "http"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", at)
    assert abs(time.mktime(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - before) < 5
    assert envelope == json.dumps(json.loads(envelope), sort_keys=True, separators=(",", ":")).encode()


async def test_an_event_without_an_id_gets_one_that_does_not_count_as_the_clients(
    served_ingest: ServedIngest,
) -> None:
    answer = await served_ingest.post(b'{"event_type":"user_login"}')
    event_id = answer.json["id"]
    assert UUID7.fullmatch(event_id)
    (event,) = (await entry_with(served_ingest.shard, event_id)).events
    assert event.id_from_client is False


async def test_the_same_idempotency_key_gives_the_same_ids(served_ingest: ServedIngest) -> None:
    body = json.dumps({"logs": [an_event(), an_event(id="own-1"), an_event()]}).encode()
    first = await served_ingest.post(body, "/batch", Idempotency_Key="order-1042")
    again = await served_ingest.post(body, "/batch", Idempotency_Key="order-1042")
    other = await served_ingest.post(body, "/batch", Idempotency_Key="order-1043")
    ids = [item["id"] for item in first.json["results"]]
    assert ids == [item["id"] for item in again.json["results"]]
    secret = tenant_subkey(served_ingest.acme.secret, "idempotency")
    assert ids == [idempotent_id(secret, "order-1042", 0), "own-1", idempotent_id(secret, "order-1042", 2)]
    assert other.json["results"][0]["id"] != ids[0]
    entry = await entry_with(served_ingest.shard, ids[0])
    assert [event.id_from_client for event in entry.events] == [True, True, True]


async def test_two_tenants_get_different_ids_for_one_idempotency_key(served_ingest: ServedIngest) -> None:
    process = served_ingest.process
    ids = [
        (await process.post(tenant, b'{"event_type":"a"}', Idempotency_Key="same")).json["id"]
        for tenant in (served_ingest.acme, served_ingest.globex)
    ]
    assert ids[0] != ids[1]


async def test_a_batch_is_answered_item_by_item_in_order(served_ingest: ServedIngest) -> None:
    events = [an_event(id=f"item-{index}") for index in range(300)]
    answer = await served_ingest.post(json.dumps({"events": events}).encode(), "/batch")
    assert answer.status == 202
    assert answer.json == {
        "accepted": 300,
        "rejected": 0,
        "results": [{"index": index, "id": f"item-{index}", "status": 202} for index in range(300)],
    }
    entry = await entry_with(served_ingest.shard, "item-0")
    assert [event.id for event in entry.events] == [f"item-{index}" for index in range(300)]


async def test_a_batch_larger_than_a_frame_is_taken_in_several(served_ingest: ServedIngest) -> None:
    events = [
        an_event(id=f"large-{index}", description="x" * 2000, metadata={"a": "y" * 28_000})
        for index in range(100)
    ]
    answer = await served_ingest.post(json.dumps({"logs": events}).encode(), "/batch")
    assert answer.json["accepted"] == 100
    bodies = await served_ingest.shard.bodies()
    assert all(
        bodies[f"large-{index}"] == canonical_event(encoded(events[index])).body for index in range(100)
    )
    frames = [frame for frame in await served_ingest.shard.messages() if b"large-" in frame]
    assert len(frames) > 1
    assert max(map(len, frames)) <= 768 * 1024


async def test_compressed_bodies_are_taken(served_ingest: ServedIngest) -> None:
    body = encoded(an_event(id="gzip-1"))
    answer = await served_ingest.post(gzip.compress(body), Content_Encoding="gzip")
    assert (answer.status, answer.json) == (202, {"id": "gzip-1"})
    many = json.dumps({"logs": [an_event(id=f"zstd-{index}") for index in range(500)]}).encode()
    answer = await served_ingest.post(
        zstandard.ZstdCompressor().compress(many), "/batch", Content_Encoding="zstd"
    )
    assert answer.json["accepted"] == 500
    bodies = await served_ingest.shard.bodies()
    assert bodies["gzip-1"] == canonical_event(body).body
    assert {f"zstd-{index}" for index in range(500)} <= bodies.keys()


async def test_a_body_that_names_its_own_tenant_is_taken(served_ingest: ServedIngest) -> None:
    acme = served_ingest.acme
    for hint in (acme.tenant_id, acme.name):
        answer = await served_ingest.post(json.dumps(an_event(tenant_id=hint)).encode())
        assert answer.status == 202
        (event,) = (await entry_with(served_ingest.shard, answer.json["id"])).events
        assert b"tenant_id" not in event.body


async def test_what_arrives_together_shares_frames(served_ingest: ServedIngest) -> None:
    before = len(await served_ingest.shard.messages())
    answers = await asyncio.gather(
        *(served_ingest.post(encoded(an_event(id=f"together-{index}"))) for index in range(100))
    )
    assert {answer.status for answer in answers} == {202}
    assert {f"together-{index}" for index in range(100)} <= (await served_ingest.shard.bodies()).keys()
    assert len(await served_ingest.shard.messages()) - before < 100


async def test_frames_count_from_one_and_carry_epoch_and_own_seeds(served_ingest: ServedIngest) -> None:
    await served_ingest.post(encoded(an_event()))
    await served_ingest.post(encoded(an_event()))
    frames = await served_ingest.shard.frames()
    assert [frame.number for frame in frames] == list(range(1, len(frames) + 1))
    assert {frame.epoch for frame in frames} == {served_ingest.shard.epoch}
    assert len({frame.instance for frame in frames}) == 1
    assert len({frame.seed for frame in frames}) == len(frames)
    assert {number for frame in frames for number in frame.abandoned} == set()


async def test_all_or_none_takes_a_batch_without_a_flaw(served_ingest: ServedIngest) -> None:
    body = json.dumps({"logs": [an_event(id="atomic-0"), an_event(id="atomic-1")]}).encode()
    answer = await served_ingest.post(body, "/batch?atomic=true")
    assert (answer.status, answer.json["accepted"]) == (202, 2)
    entry = await entry_with(served_ingest.shard, "atomic-0")
    assert [event.id for event in entry.events] == ["atomic-0", "atomic-1"]


async def test_all_or_none_takes_nothing_of_a_batch_with_a_flaw(served_ingest: ServedIngest) -> None:
    body = json.dumps({"logs": [an_event(id="half-0"), {"x": 1}]}).encode()
    answer = await served_ingest.post(body, "/batch?atomic=true")
    assert answer.status == 422
    assert answer.json["errors"] == [{"pointer": "/1/x", "detail": "unknown field"}]
    assert "half-0" not in await served_ingest.shard.bodies()


async def test_all_or_none_does_not_spread_over_frames(served_ingest: ServedIngest) -> None:
    events = [an_event(id=f"spread-{index}", metadata={"a": "y" * 30_000}) for index in range(40)]
    answer = await served_ingest.post(json.dumps({"logs": events}).encode(), "/batch?atomic=true")
    assert answer.status == 413
    assert "spread-0" not in await served_ingest.shard.bodies()


async def test_the_key_may_come_as_x_api_key(served_ingest: ServedIngest) -> None:
    headers = {"X-API-Key": served_ingest.acme.key, "Content-Type": "application/json; charset=UTF-8"}
    answer = await served_ingest.process.request("POST", "/api/v1/audit/logs", b'{"event_type":"a"}', headers)
    assert answer.status == 202


async def test_a_tenant_is_served_as_soon_as_it_is_in_the_configuration(served_ingest: ServedIngest) -> None:
    late = SeededTenant(name="late")
    assert (await served_ingest.process.post(late, encoded(an_event()))).status == 401
    await served_ingest.shard.put(late)

    async def is_taken() -> bool:
        return (await served_ingest.process.post(late, encoded(an_event()))).status == 202

    await until(is_taken, 5)
