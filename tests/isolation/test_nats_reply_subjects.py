"""No answer of the server carries what one shard stored into another.

Permissions bind the subjects that a user publishes, not the reply subject that it names, and the server publishes its
answers there on its own authority. What keeps them inside is that every shard is an account of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client

from audit_core import tenant
from audit_operator.clients.jetstream import JetStream, StreamInfo
from tests.support.nats import NatsServer, make_shard

OURS = tenant.new_id(b"reply-ours")
THEIRS = tenant.new_id(b"reply-them")
STREAM = tenant.stream_name(OURS)
FORGED = b"what an attacker put into its own stream"
TARGETS = (
    tenant.ingest_subject(THEIRS),
    tenant.control_subject(THEIRS),
    f"$KV.{tenant.config_bucket(THEIRS)}.key.{'0' * 64}",
    f"$KV.{tenant.watermark_bucket(THEIRS)}.abc",
)


@pytest.fixture
async def theirs(nats_server: NatsServer) -> AsyncIterator[JetStream]:
    for shard_id in (OURS, THEIRS):
        await make_shard(nats_server, shard_id)
    async with nats_server.function(OURS, "ingest") as ingest:
        await ingest.request(tenant.ingest_subject(OURS), FORGED, timeout=10)
    async with nats_server.provisioner(THEIRS) as client:
        yield JetStream(client)


async def _stored(streams: JetStream) -> dict[str, int]:
    """Return how many messages the other shard's stream and buckets ever took."""
    names = (
        tenant.stream_name(THEIRS),
        f"KV_{tenant.config_bucket(THEIRS)}",
        f"KV_{tenant.watermark_bucket(THEIRS)}",
    )
    found: dict[str, StreamInfo | None] = {name: await streams.stream(name) for name in names}
    return {name: info.state.last_seq for name, info in found.items() if info is not None}


def _requests(function: str) -> list[tuple[str, bytes]]:
    """Return everything that a function may ask and that is answered with what was stored."""
    configuration = f"KV_{tenant.config_bucket(OURS)}"
    last = json.dumps({"seq": 1}).encode()
    every = [(f"$JS.API.STREAM.INFO.{configuration}", b""), (f"$JS.API.DIRECT.GET.{configuration}", last)]
    if function == "ingest":
        every += [(tenant.ingest_subject(OURS), FORGED), (f"$KV.{tenant.watermark_bucket(OURS)}.abc", FORGED)]
    if function == "writer":
        every += [
            (f"$JS.API.STREAM.MSG.GET.{STREAM}", last),
            (f"$JS.API.DIRECT.GET.{STREAM}", last),
            (f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.pull", b"1"),
        ]
    return every


async def _settled(client: Client) -> None:
    """Return when the server has dealt with everything that came before."""
    await client.flush()
    await client.request(f"$JS.API.STREAM.INFO.KV_{tenant.config_bucket(OURS)}", b"", timeout=10)


@pytest.mark.parametrize("function", ["ingest", "writer", "query"])
async def test_no_answer_lands_in_another_shard(
    nats_server: NatsServer, theirs: JetStream, function: str
) -> None:
    before = await _stored(theirs)
    async with nats_server.function(OURS, function) as client:
        if function == "writer":
            pull = json.dumps({"stream_name": STREAM, "config": {"name": "pull", "ack_policy": "none"}})
            await client.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.pull", pull.encode(), timeout=10)
        for subject, data in _requests(function):
            for target in TARGETS:
                await client.publish(subject, data, reply=target)
        await _settled(client)
        assert not client.refusals  # type: ignore[attr-defined]  # it may ask all of this: that is the point
    assert len(before) == 3
    assert await _stored(theirs) == before


async def test_no_push_consumer_delivers_into_another_shard(
    nats_server: NatsServer, theirs: JetStream
) -> None:
    before = await _stored(theirs)
    async with nats_server.function(OURS, "writer") as client:
        for number, target in enumerate(TARGETS):
            config = {"name": f"push{number}", "ack_policy": "none", "deliver_subject": target}
            body = json.dumps({"stream_name": STREAM, "config": config}).encode()
            answer = await client.request(f"$JS.API.CONSUMER.CREATE.{STREAM}.push{number}", body, timeout=10)
            assert "error" not in json.loads(answer.data)
        await _settled(client)
    assert await _stored(theirs) == before


async def test_the_same_answers_do_land_inside_the_shard(nats_server: NatsServer, theirs: JetStream) -> None:
    """Within a shard the functions are trusted with each other. Were this not so, the tests above would prove nothing."""
    async with nats_server.function(OURS, "writer") as client:
        reply = f"$KV.{tenant.config_bucket(OURS)}.key.abc"
        await client.publish(f"$JS.API.DIRECT.GET.{STREAM}", b'{"seq":1}', reply=reply)
        await _settled(client)
        copied = await client.request(
            f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(OURS)}.{reply}", b"", timeout=10
        )
    assert copied.data == FORGED
