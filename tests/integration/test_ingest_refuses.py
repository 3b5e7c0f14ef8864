"""Every refusal that is not about the event itself: its status, its problem type and its headers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit_core.ids import new_api_key
from tests.support.events import an_event, encoded
from tests.support.functions import SeededShard, SeededTenant, ServedIngest, functions_process
from tests.support.nats import NatsServer

EVENT = encoded(an_event())
LOGS = "/api/v1/audit/logs"
JSON = "application/json"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer akl_",
        "Bearer not-a-key",
        "Basic dXNlcjpwYXNz",
        "bearer " + "x" * 5000,
        "Bearer " + new_api_key(bytes(range(32))),
        "Bearer " + new_api_key(bytes(range(32)))[:-1] + "!",
        "Bearer akl_" + "\u00e9" * 36,
    ],
)
async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(
    served_ingest: ServedIngest, authorization: str | None
) -> None:
    headers = {"Content-Type": JSON}
    if authorization is not None:
        headers["Authorization"] = authorization
    answer = await served_ingest.process.request("POST", LOGS, EVENT, headers)
    told = answer.json
    told.pop("request_id")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="audit-log"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert told == {
        "type": "urn:audit-log:unauthenticated",
        "title": "No valid credential",
        "status": 401,
        "detail": "send Authorization: Bearer <API key>",
    }


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Content_Type": "text/plain"}, 415, "urn:audit-log:unsupported-media"),
        ({"Content_Type": "application/x-ndjson"}, 415, "urn:audit-log:unsupported-media"),
        ({"Content_Encoding": "deflate"}, 415, "urn:audit-log:unsupported-media"),
        ({"Content_Encoding": "gzip, gzip"}, 415, "urn:audit-log:unsupported-media"),
        ({"Idempotency_Key": ""}, 400, "urn:audit-log:invalid-query"),
        ({"Idempotency_Key": "k" * 256}, 400, "urn:audit-log:invalid-query"),
        ({"Idempotency_Key": "a\tb"}, 400, "urn:audit-log:invalid-query"),
    ],
)
async def test_headers_that_cannot_be_served_are_refused(
    served_ingest: ServedIngest, headers: dict[str, str], status: int, kind: str
) -> None:
    answer = await served_ingest.post(EVENT, **headers)
    assert (answer.status, answer.json["type"]) == (status, kind)


async def test_an_unsupported_encoding_is_told_which_ones_are(served_ingest: ServedIngest) -> None:
    answer = await served_ingest.post(EVENT, Content_Encoding="br")
    assert answer.headers["accept-encoding"] == "gzip, zstd, identity"


@pytest.mark.parametrize("value", ["yes", "", "True", "true&atomic=false"])
async def test_atomic_is_true_or_false(served_ingest: ServedIngest, value: str) -> None:
    answer = await served_ingest.post(b'{"logs":[{"event_type":"a"}]}', f"/batch?atomic={value}")
    assert (answer.status, answer.json["errors"][0]["pointer"]) == (400, "atomic")


async def test_a_body_beyond_its_limit_is_refused_before_it_is_read(served_ingest: ServedIngest) -> None:
    limit = served_ingest.acme.limits.max_event_bytes * 8
    reader, writer = await asyncio.open_connection("127.0.0.1", served_ingest.process.port)
    writer.write(
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\nAuthorization: Bearer %b\r\n\r\n"
        % (limit + 1, served_ingest.acme.key.encode())
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b" 413 " in head
    writer.close()


async def test_a_body_in_chunks_is_refused_as_soon_as_it_is_beyond_its_limit(
    served_ingest: ServedIngest,
) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"event_type":"'
        for _ in range(60):
            yield b"x" * 100_000

    answer = await served_ingest.post(pieces())
    assert (answer.status, answer.json["type"]) == (413, "urn:audit-log:too-large")


async def test_the_memory_for_bodies_is_reserved_before_they_are_read(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    tenant = SeededTenant(name="acme")
    shard = SeededShard(nats=nats_server, folder=tmp_path)
    await shard.laid_out(tenant)
    async with functions_process(nats_server, tmp_path, AUDIT_MAX_INFLIGHT_BYTES="300000") as process:
        connections = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
            writer.write(
                b"POST /api/v1/audit/logs/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 140000\r\n"
                b"Content-Type: application/json\r\nAuthorization: Bearer %b\r\n\r\n{" % tenant.key.encode()
            )
            await writer.drain()
            connections.append((reader, writer))
        await asyncio.sleep(0.2)
        answer = await process.post(tenant, b" " * 50_000 + EVENT)
        assert (answer.status, answer.json["type"]) == (503, "urn:audit-log:overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        for _, writer in connections:
            writer.close()
        await asyncio.sleep(0.2)
        assert (await process.post(tenant, EVENT)).status == 202


async def test_a_repeated_header_that_decides_something_is_refused(served_ingest: ServedIngest) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served_ingest.process.port)
    key = served_ingest.acme.key.encode()
    writer.write(
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer %b\r\nAuthorization: Bearer %b\r\n\r\n%b"
        % (len(EVENT), key, key, EVENT)
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert b" 400 " in head
    writer.close()


async def test_other_methods_and_paths_are_problems_too(served_ingest: ServedIngest) -> None:
    process = served_ingest.process
    wrong_method = await process.request("DELETE", LOGS)
    assert (wrong_method.status, wrong_method.headers["allow"]) == (405, "POST")
    wrong_path = await process.request("GET", "/api/v2/audit/logs")
    assert (wrong_path.status, wrong_path.json["type"]) == (404, "urn:audit-log:not-found")
    for path in (
        "//api/v1/audit/logs",
        "/api/v1/audit/logs/",
        "/api/v1/audit/logs/../logs",
        "/api%2fv1/audit/logs",
    ):
        headers = {"Authorization": f"Bearer {served_ingest.acme.key}", "Content-Type": JSON}
        answer = await process.request("POST", path, EVENT, headers)
        assert answer.status in (404, 405), path


async def test_a_batch_of_which_nothing_was_acknowledged_is_503(served_ingest: ServedIngest) -> None:
    body = json.dumps({"logs": [{"x": 1}, {"event_type": "a", "tenant_id": "other"}]}).encode()
    answer = await served_ingest.post(body, "/batch")
    assert answer.status == 422
    assert [item["status"] for item in answer.json["results"]] == [422, 403]


async def test_a_body_that_stops_coming_is_given_up(served_ingest: ServedIngest) -> None:
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", served_ingest.process.port)
    writer.write(b"POST /api/v1/audit/logs HT")
    await writer.drain()
    head = await asyncio.wait_for(reader.read(), 20)
    assert head.startswith(b"HTTP/1.1 408 ")
    assert 8 < time.monotonic() - started < 15
    writer.close()
