"""A shard's function reaches its own subjects on NATS and nothing else, whoever it is."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.errors import Error

from audit_core import tenant
from audit_operator.clients.buckets import Bucket, bucket_config
from audit_operator.clients.jetstream import JetStream, StreamConfig
from tests.support.nats import NatsServer

OURS, THEIRS = "a" * 16, "b" * 16


@pytest.fixture
async def shards(nats_server: NatsServer) -> AsyncIterator[NatsServer]:
    async with nats_server.provisioner() as client:
        streams = JetStream(client)
        for shard in (OURS, THEIRS):
            await streams.create_stream(
                StreamConfig(
                    name=tenant.stream_name(shard),
                    subjects=(tenant.ingest_subject(shard), tenant.control_subject(shard)),
                    max_bytes=1 << 20,
                    allow_direct=True,
                )
            )
            for bucket in (tenant.config_bucket(shard), tenant.watermark_bucket(shard)):
                await streams.create_stream(bucket_config(bucket, max_bytes=1 << 20, replicas=1))
        yield nats_server
        for shard in (OURS, THEIRS):
            for name in (tenant.stream_name(shard), *(f"KV_audit_{kind}_{shard}" for kind in ("cfg", "wm"))):
                await streams.delete_stream(name)


async def _answers(client: Client, subject: str, data: bytes = b"") -> bool:
    """Tell whether a request is let through: a refused one is reported to the client, and gets no answer."""
    before = len(client.refusals)  # type: ignore[attr-defined]  # set by tests.support.nats.connected
    try:
        await client.request(subject, data, timeout=0.3)
    except (Error, TimeoutError):
        return False
    await client.flush()
    return len(client.refusals) == before  # type: ignore[attr-defined]  # as above


def _reads_of(shard: str) -> list[tuple[str, bytes]]:
    get = json.dumps({"last_by_subj": tenant.ingest_subject(shard)}).encode()
    return [
        (f"$JS.API.STREAM.MSG.GET.{tenant.stream_name(shard)}", get),
        (f"$JS.API.DIRECT.GET.{tenant.stream_name(shard)}", get),
    ]


async def test_ingest_publishes_frames_and_watermarks_of_its_shard(shards: NatsServer) -> None:
    async with shards.function(OURS, "ingest") as client:
        assert await _answers(client, tenant.ingest_subject(OURS), b"frame")
        assert await _answers(client, f"$KV.{tenant.watermark_bucket(OURS)}.abc", b"{}")
        assert await _answers(client, f"$JS.API.STREAM.INFO.{tenant.stream_name(OURS)}")


@pytest.mark.parametrize(
    "subject",
    [
        tenant.ingest_subject(THEIRS),
        tenant.control_subject(OURS),
        tenant.control_subject(THEIRS),
        f"$KV.{tenant.config_bucket(OURS)}.key.abc",
        f"$KV.{tenant.watermark_bucket(THEIRS)}.abc",
        f"$JS.API.STREAM.INFO.{tenant.stream_name(THEIRS)}",
        f"$JS.API.STREAM.INFO.KV_{tenant.config_bucket(THEIRS)}",
        f"$JS.API.STREAM.PURGE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.DELETE.{tenant.stream_name(OURS)}",
        f"$JS.API.CONSUMER.CREATE.{tenant.stream_name(OURS)}.spy",
        "$JS.API.STREAM.NAMES",
        "$JS.API.INFO",
        "$SYS.REQ.SERVER.PING.VARZ",
    ],
)
async def test_ingest_reaches_nothing_else(shards: NatsServer, subject: str) -> None:
    async with shards.function(OURS, "ingest") as client:
        assert not await _answers(client, subject, b"{}")


async def test_ingest_reads_no_event_not_even_its_own(shards: NatsServer) -> None:
    async with shards.function(OURS, "ingest") as client:
        assert await _answers(client, tenant.ingest_subject(OURS), b"frame")
        for subject, data in _reads_of(OURS) + _reads_of(THEIRS):
            assert not await _answers(client, subject, data)


@pytest.mark.parametrize("function", ["ingest", "writer", "query"])
@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*",
        "_INBOX.>",
        f"_INBOX.{THEIRS}.>",
        "audit.>",
        "audit.out.>",
        "audit.out.*.*",
        f"audit.out.{THEIRS}.*",
    ],
)
async def test_no_function_hears_another_shard(shards: NatsServer, function: str, subject: str) -> None:
    async with shards.function(OURS, function) as client:
        await client.subscribe(subject)
        async with asyncio.timeout(2):
            while not client.refusals:  # type: ignore[attr-defined]  # noqa: ASYNC110 - set by a callback of the client
                await asyncio.sleep(0.01)


async def test_ingest_hears_the_outcomes_of_its_shard(shards: NatsServer) -> None:
    instance = os.urandom(16)
    async with shards.function(OURS, "ingest") as ingest, shards.function(OURS, "writer") as writer:
        heard = await ingest.subscribe(tenant.outcome_subject(OURS, instance))
        await ingest.flush()
        await writer.publish(tenant.outcome_subject(OURS, instance), b"outcome")
        assert (await heard.next_msg(timeout=2)).data == b"outcome"


async def test_the_writer_consumes_trims_and_says_what_it_alone_knows(shards: NatsServer) -> None:
    stream = tenant.stream_name(OURS)
    async with shards.function(OURS, "writer") as client:
        for subject, data in [
            (f"$JS.API.STREAM.INFO.{stream}", b""),
            (f"$JS.API.STREAM.PURGE.{stream}", b'{"seq":1}'),
            (f"$KV.{tenant.config_bucket(OURS)}.shard.frozen", b"{}"),
            (f"$KV.{tenant.config_bucket(OURS)}.shard.trimmed", b"{}"),
            (f"$JS.API.STREAM.INFO.KV_{tenant.watermark_bucket(OURS)}", b""),
        ]:
            assert await _answers(client, subject, data)


@pytest.mark.parametrize(
    "subject",
    [
        tenant.ingest_subject(OURS),
        tenant.control_subject(OURS),
        f"$KV.{tenant.config_bucket(OURS)}.tenant.x.spec",
        f"$KV.{tenant.config_bucket(OURS)}.key.abc",
        f"$KV.{tenant.watermark_bucket(OURS)}.abc",
        f"$JS.API.STREAM.PURGE.{tenant.stream_name(THEIRS)}",
        f"$JS.API.STREAM.UPDATE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.DELETE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.MSG.DELETE.{tenant.stream_name(OURS)}",
        f"$JS.API.CONSUMER.CREATE.{tenant.stream_name(THEIRS)}.spy",
    ],
)
async def test_the_writer_reaches_nothing_else(shards: NatsServer, subject: str) -> None:
    async with shards.function(OURS, "writer") as client:
        assert not await _answers(client, subject, b"{}")


async def test_query_reads_its_configuration_and_publishes_nothing(shards: NatsServer) -> None:
    async with shards.provisioner() as client:
        await Bucket(JetStream(client), tenant.config_bucket(OURS)).put("shard.versions", b"{}")
    direct = json.dumps({"last_by_subj": f"$KV.{tenant.config_bucket(OURS)}.shard.versions"}).encode()
    async with shards.function(OURS, "query") as client:
        assert await _answers(client, f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(OURS)}", direct)
        for subject, data in [
            *_reads_of(OURS),
            (f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(THEIRS)}", direct),
            (tenant.ingest_subject(OURS), b"frame"),
            (f"$KV.{tenant.config_bucket(OURS)}.shard.frozen", b"{}"),
            (f"$KV.{tenant.watermark_bucket(OURS)}.abc", b"{}"),
        ]:
            assert not await _answers(client, subject, data)


async def test_the_provisioner_publishes_no_events(shards: NatsServer) -> None:
    async with shards.provisioner() as client:
        assert await _answers(client, tenant.control_subject(OURS), b"control")
        assert not await _answers(client, tenant.ingest_subject(OURS), b"frame")
