"""`Prefer: wait=committed`: the answer waits for the writer's word, which the test gives as the writer does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from audit_core.frame import Frame, decode_message
from audit_core.outcome import EventOutcome, Fate, FrameOutcome, encode_outcome
from audit_core.tenant import outcome_subject, stream_name
from tests.support.events import an_event, encoded
from tests.support.functions import Answer, ServedIngest

AT = 1_769_851_800_123_456
AT_TEXT = "2026-01-31T09:30:00.123456Z"
WAIT = {"Prefer": "wait=committed"}


@asynccontextmanager
async def telling(served: ServedIngest, *fates: Fate) -> AsyncIterator[None]:
    """Tell of the next frame's events, in order, that they ended with `fates`, at sequence 7 and up."""
    shard = served.shard
    async with shard.nats.function(shard.shard_id, "writer") as writer:
        info = await writer.request(f"$JS.API.STREAM.INFO.{stream_name(shard.shard_id)}", b"", timeout=5)
        last = json.loads(info.data)["state"]["last_seq"]

        async def tell() -> None:
            subject = f"$JS.API.DIRECT.GET.{stream_name(shard.shard_id)}"
            while True:
                request = json.dumps({"seq": last + 1}).encode()
                message = await writer.request(subject, request, timeout=5)
                if message.data:
                    break
                await asyncio.sleep(0.02)
            frame = decode_message(message.data)
            assert isinstance(frame, Frame)
            outcomes = [EventOutcome(fate, 7 + at, AT) for at, fate in enumerate(fates)]
            await writer.publish(
                outcome_subject(shard.shard_id, frame.instance),
                encode_outcome(FrameOutcome(frame.number, outcomes)),
            )
            await writer.flush()

        told = asyncio.create_task(tell())
        yield
        await told


async def post_one(served: ServedIngest, fate: Fate, event_id: str) -> Answer:
    """Post an event while the writer tells that it ended with `fate`."""
    async with telling(served, fate):
        return await served.post(encoded(an_event(id=event_id)), **WAIT)


async def test_a_committed_event_is_201_with_its_place(served_ingest: ServedIngest) -> None:
    answer = await post_one(served_ingest, Fate.COMMITTED, "committed-1")
    assert answer.status == 201
    assert answer.json == {"id": "committed-1", "sequence": 7, "received_at": AT_TEXT}
    assert answer.headers["preference-applied"] == "wait=committed"


async def test_a_duplicate_is_200_and_says_so(served_ingest: ServedIngest) -> None:
    answer = await post_one(served_ingest, Fate.DUPLICATE, "duplicate-1")
    assert answer.status == 200
    assert answer.json == {"id": "duplicate-1", "sequence": 7, "received_at": AT_TEXT, "duplicate": True}


async def test_a_conflict_is_409_with_the_sequence_of_its_leaf(served_ingest: ServedIngest) -> None:
    answer = await post_one(served_ingest, Fate.CONFLICT, "conflict-1")
    assert (answer.status, answer.json["type"], answer.json["sequence"]) == (409, "urn:audit-log:conflict", 7)


async def test_a_batch_tells_of_each_item(served_ingest: ServedIngest) -> None:
    body = json.dumps({"logs": [an_event(id="w0"), {"x": 1}, an_event(id="w1"), an_event(id="w2")]}).encode()
    async with telling(served_ingest, Fate.COMMITTED, Fate.DUPLICATE, Fate.CONFLICT):
        answer = await served_ingest.post(body, "/batch", **WAIT)
    assert answer.status == 202
    results = answer.json["results"]
    assert [(item["index"], item["status"]) for item in results] == [(0, 201), (1, 422), (2, 200), (3, 409)]
    assert results[0] == {"index": 0, "id": "w0", "status": 201, "sequence": 7, "received_at": AT_TEXT}
    assert results[2]["duplicate"] is True
    assert (answer.json["accepted"], answer.json["rejected"]) == (2, 2)
    assert answer.headers["preference-applied"] == "wait=committed"


async def test_without_a_word_of_the_writer_the_answer_is_202_at_the_deadline(
    served_ingest: ServedIngest,
) -> None:
    started = time.monotonic()
    answer = await served_ingest.post(encoded(an_event(id="unheard")), **WAIT)
    assert 4.5 < time.monotonic() - started < 7
    assert (answer.status, answer.json) == (202, {"id": "unheard"})
    assert "preference-applied" not in answer.headers


async def test_a_message_that_is_no_outcome_is_left_out(served_ingest: ServedIngest) -> None:
    shard = served_ingest.shard
    await served_ingest.post(encoded(an_event()))
    instance = (await shard.frames())[-1].instance
    async with shard.nats.function(shard.shard_id, "writer") as writer:
        await writer.publish(outcome_subject(shard.shard_id, instance), b"\xff\x00 nonsense")
        await writer.flush()
    answer = await post_one(served_ingest, Fate.COMMITTED, "after-nonsense")
    assert answer.status == 201
    assert '"level": "error"' not in served_ingest.process.log()
