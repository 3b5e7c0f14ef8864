"""A shard's function reaches its own subjects on NATS and nothing else, whoever it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.errors import Error, NoRespondersError

from audit_core import tenant
from audit_operator.clients.buckets import Bucket
from audit_operator.clients.jetstream import JetStream
from tests.support.nats import NatsServer, make_shard

OURS = tenant.new_id(b"perms-ours")
THEIRS = tenant.new_id(b"perms-them")
PATIENCE_SECONDS = 10.0


@pytest.fixture(scope="module")
def shards(nats_server: NatsServer) -> NatsServer:
    async def made() -> None:
        for shard_id in (OURS, THEIRS):
            await make_shard(nats_server, shard_id)

    asyncio.run(made())
    return nats_server


@pytest.fixture
async def ingest(shards: NatsServer) -> AsyncIterator[Client]:
    async with shards.function(OURS, "ingest") as client:
        yield client


@pytest.fixture
async def writer(shards: NatsServer) -> AsyncIterator[Client]:
    async with shards.function(OURS, "writer") as client:
        yield client


@pytest.fixture
async def query(shards: NatsServer) -> AsyncIterator[Client]:
    async with shards.function(OURS, "query") as client:
        yield client


async def _is_let_through(client: Client, subject: str, data: bytes = b"") -> bool:
    """Ask, and wait for whichever comes: an answer, or the server's word that the subject is refused."""
    refusals: list[str] = client.refusals  # type: ignore[attr-defined]  # set by tests.support.nats.connected
    refusals.clear()
    answer = asyncio.ensure_future(client.request(subject, data, timeout=PATIENCE_SECONDS))
    while not answer.done() and not refusals:  # noqa: ASYNC110 - the client tells of refusals by a callback
        await asyncio.sleep(0.005)
    if refusals:
        assert f'publish to "{subject}"'.lower() in refusals[0].lower()
        answer.cancel()
        return False
    try:
        await answer
    except NoRespondersError:  # it may ask, and nobody is there
        return True
    return True


def _reads_of(shard_id: str) -> list[tuple[str, bytes]]:
    get = json.dumps({"last_by_subj": tenant.ingest_subject(shard_id)}).encode()
    return [
        (f"$JS.API.STREAM.MSG.GET.{tenant.stream_name(shard_id)}", get),
        (f"$JS.API.DIRECT.GET.{tenant.stream_name(shard_id)}", get),
        (f"$JS.API.DIRECT.GET.{tenant.stream_name(shard_id)}.{tenant.ingest_subject(shard_id)}", b""),
        (f"$JS.API.CONSUMER.CREATE.{tenant.stream_name(shard_id)}.spy", b"{}"),
    ]


@pytest.mark.parametrize(
    "subject",
    [
        tenant.ingest_subject(OURS),
        f"$KV.{tenant.watermark_bucket(OURS)}.abc",
        f"$JS.API.STREAM.INFO.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.INFO.KV_{tenant.config_bucket(OURS)}",
        f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(OURS)}",
        f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(OURS)}.$KV.{tenant.config_bucket(OURS)}.shard.versions",
    ],
)
async def test_ingest_publishes_frames_and_watermarks_and_reads_its_configuration(
    ingest: Client, subject: str
) -> None:
    assert await _is_let_through(ingest, subject, b"{}")


@pytest.mark.parametrize(
    "subject",
    [
        tenant.ingest_subject(THEIRS),
        tenant.control_subject(OURS),
        tenant.control_subject(THEIRS),
        tenant.outcome_subject(OURS, bytes(16)),
        f"$KV.{tenant.config_bucket(OURS)}.key.abc",
        f"$KV.{tenant.config_bucket(OURS)}.shard.durability",
        f"$KV.{tenant.watermark_bucket(THEIRS)}.abc",
        f"$JS.API.STREAM.INFO.{tenant.stream_name(THEIRS)}",
        f"$JS.API.STREAM.INFO.KV_{tenant.config_bucket(THEIRS)}",
        f"$JS.API.STREAM.INFO.KV_{tenant.watermark_bucket(OURS)}",
        f"$JS.API.STREAM.PURGE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.DELETE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.UPDATE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.CREATE.{tenant.stream_name(OURS)}x",
        "$JS.API.STREAM.NAMES",
        "$JS.API.INFO",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.CLAIMS.UPDATE",
    ],
)
async def test_ingest_reaches_nothing_else(ingest: Client, subject: str) -> None:
    assert not await _is_let_through(ingest, subject, b"{}")


@pytest.mark.parametrize(("subject", "data"), _reads_of(OURS) + _reads_of(THEIRS))
async def test_ingest_reads_no_event_not_even_its_own(ingest: Client, subject: str, data: bytes) -> None:
    assert not await _is_let_through(ingest, subject, data)


@pytest.mark.parametrize("function", ["ingest", "writer", "query"])
@pytest.mark.parametrize(
    "subject",
    [
        ">",
        "*",
        "_INBOX.>",
        f"_INBOX.{OURS}.>",
        f"_INBOX.{THEIRS}.>",
        f"_INBOX.{OURS}.provisioner.>",
        "audit.>",
        "audit.in.>",
        f"audit.in.{OURS}",
        "audit.out.>",
        "audit.out.*.*",
        f"audit.out.{THEIRS}.*",
        f"$KV.{tenant.config_bucket(OURS)}.>",
        "$JS.>",
        "$SYS.>",
    ],
)
async def test_no_function_hears_what_is_not_sent_to_it(
    shards: NatsServer, function: str, subject: str
) -> None:
    async with shards.function(OURS, function) as client:
        await client.subscribe(subject)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not client.refusals:  # type: ignore[attr-defined]  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.005)


async def test_ingest_hears_the_outcomes_of_its_shard(ingest: Client, writer: Client) -> None:
    instance = os.urandom(16)
    heard = await ingest.subscribe(tenant.outcome_subject(OURS, instance))
    await ingest.flush()
    for _ in range(10):  # a core message is promised to nobody
        await writer.publish(tenant.outcome_subject(OURS, instance), b"outcome")
        with contextlib.suppress(TimeoutError):
            assert (await heard.next_msg(timeout=1)).data == b"outcome"
            return
    pytest.fail("no outcome was heard")


async def test_outcomes_of_another_shard_arrive_nowhere_else(ingest: Client, shards: NatsServer) -> None:
    instance = os.urandom(16)
    heard = await ingest.subscribe(tenant.outcome_subject(OURS, instance))
    await ingest.flush()
    async with shards.provisioner(THEIRS) as anyone:
        await anyone.publish(f"$KV.{tenant.config_bucket(OURS)}.key.abc", b"stray")
        await anyone.flush()
    async with shards.provisioner(OURS) as ours:
        assert await Bucket(JetStream(ours), tenant.config_bucket(OURS)).entry("key.abc") is None
    with pytest.raises(Error):
        await heard.next_msg(timeout=0.1)


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        (f"$JS.API.STREAM.INFO.{tenant.stream_name(OURS)}", b""),
        (f"$JS.API.STREAM.MSG.GET.{tenant.stream_name(OURS)}", b'{"seq":1}'),
        (f"$JS.API.DIRECT.GET.{tenant.stream_name(OURS)}", b'{"seq":1}'),
        (f"$JS.API.STREAM.PURGE.{tenant.stream_name(OURS)}", b'{"seq":1}'),
        (f"$JS.API.CONSUMER.CREATE.{tenant.stream_name(OURS)}.c", b"{}"),
        (f"$JS.API.CONSUMER.INFO.{tenant.stream_name(OURS)}.c", b""),
        (f"$JS.API.CONSUMER.DELETE.{tenant.stream_name(OURS)}.c", b""),
        (f"$KV.{tenant.config_bucket(OURS)}.shard.frozen", b"{}"),
        (f"$KV.{tenant.config_bucket(OURS)}.shard.versions", b"{}"),
        (f"$KV.{tenant.config_bucket(OURS)}.shard.trimmed", b"{}"),
        (f"$JS.API.STREAM.INFO.KV_{tenant.config_bucket(OURS)}", b""),
        (f"$JS.API.STREAM.INFO.KV_{tenant.watermark_bucket(OURS)}", b""),
        (f"$JS.API.DIRECT.GET.KV_{tenant.watermark_bucket(OURS)}", b'{"seq":1}'),
    ],
)
async def test_the_writer_consumes_trims_and_says_what_it_alone_knows(
    writer: Client, subject: str, data: bytes
) -> None:
    assert await _is_let_through(writer, subject, data)


@pytest.mark.parametrize(
    "subject",
    [
        tenant.ingest_subject(OURS),
        tenant.control_subject(OURS),
        tenant.outcome_subject(THEIRS, bytes(16)),
        f"$KV.{tenant.config_bucket(OURS)}.tenant.x.spec",
        f"$KV.{tenant.config_bucket(OURS)}.key.abc",
        f"$KV.{tenant.config_bucket(OURS)}.shard.durability",
        f"$KV.{tenant.watermark_bucket(OURS)}.abc",
        f"$JS.API.STREAM.PURGE.{tenant.stream_name(THEIRS)}",
        f"$JS.API.STREAM.PURGE.KV_{tenant.config_bucket(OURS)}",
        f"$JS.API.STREAM.UPDATE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.DELETE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.MSG.DELETE.{tenant.stream_name(OURS)}",
        f"$JS.API.STREAM.RESTORE.{tenant.stream_name(OURS)}",
        f"$JS.API.CONSUMER.CREATE.{tenant.stream_name(THEIRS)}.spy",
    ],
)
async def test_the_writer_reaches_nothing_else(writer: Client, subject: str) -> None:
    assert not await _is_let_through(writer, subject, b"{}")


@pytest.mark.parametrize(
    "subject",
    [
        f"$JS.API.STREAM.INFO.KV_{tenant.config_bucket(OURS)}",
        f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(OURS)}",
    ],
)
async def test_query_reads_its_configuration(query: Client, subject: str) -> None:
    assert await _is_let_through(query, subject, b'{"seq":1}')


@pytest.mark.parametrize(
    "subject",
    [
        *(subject for subject, _ in _reads_of(OURS)),
        f"$JS.API.STREAM.INFO.{tenant.stream_name(OURS)}",
        f"$JS.API.DIRECT.GET.KV_{tenant.config_bucket(THEIRS)}",
        f"$JS.API.DIRECT.GET.KV_{tenant.watermark_bucket(OURS)}",
        tenant.ingest_subject(OURS),
        tenant.outcome_subject(OURS, bytes(16)),
        f"$KV.{tenant.config_bucket(OURS)}.shard.frozen",
        f"$KV.{tenant.watermark_bucket(OURS)}.abc",
    ],
)
async def test_query_publishes_nothing_and_reads_nothing_else(query: Client, subject: str) -> None:
    assert not await _is_let_through(query, subject, b"{}")


async def test_the_provisioner_publishes_control_frames_and_no_events(shards: NatsServer) -> None:
    async with shards.provisioner(OURS) as client:
        assert await _is_let_through(client, tenant.control_subject(OURS), b"control")
        assert not await _is_let_through(client, tenant.control_subject(THEIRS), b"control")
        assert not await _is_let_through(client, tenant.ingest_subject(OURS), b"frame")


async def test_who_asks_the_servers_reaches_no_shard(shards: NatsServer) -> None:
    async with shards.system() as client:
        assert await _is_let_through(client, "$SYS.REQ.SERVER.PING.VARZ")
        for subject in (
            tenant.ingest_subject(OURS),
            f"$JS.API.STREAM.INFO.{tenant.stream_name(OURS)}",
            "$SYS.REQ.CLAIMS.DELETE",
            "$SYS.REQ.CLAIMS.LIST",
            "$SYS.REQ.SERVER.PING.CONNZ",
            "$SYS.REQ.ACCOUNT.PING.CONNZ",
        ):
            assert not await _is_let_through(client, subject)
