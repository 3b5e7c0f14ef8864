"""What a process serves about itself, how it treats connections, and what it writes to its log."""

from __future__ import annotations

import asyncio
import json
import re
import socket

import pytest
from openapi_spec_validator import validate

from audit_functions.openapi import FILE, text
from audit_functions.routes import ROUTES
from tests.support.events import an_event, encoded
from tests.support.functions import ServedIngest

EVENT = encoded(an_event())


async def raw(served: ServedIngest, data: bytes, wait_seconds: float = 5) -> bytes:
    """Send bytes on a connection of their own and return what comes back until it is closed."""

    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", served.process.port), timeout=wait_seconds) as connection:
            connection.sendall(data)
            found = b""
            try:
                while piece := connection.recv(65536):
                    found += piece
            except (TimeoutError, ConnectionResetError):
                pass
            return found

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/health"])
async def test_a_process_that_can_work_says_so(served_ingest: ServedIngest, path: str) -> None:
    answer = await served_ingest.process.request("GET", path)
    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.headers["cache-control"] == "no-store"


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing_inline(
    served_ingest: ServedIngest,
) -> None:
    page = await served_ingest.process.request("GET", "/docs")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    html = page.body.decode()
    used = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert [source for source in used if source.startswith(("http", "//"))] == []
    assert "<script>" not in html
    for source in used:
        if source.startswith("/"):
            file = await served_ingest.process.request("GET", source)
            assert file.status == 200, source
            assert len(file.body) > 100
            assert file.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
    assert (await served_ingest.process.request("GET", "/docs/../settings.py")).status == 404


async def test_the_document_is_the_committed_one_and_valid(served_ingest: ServedIngest) -> None:
    answer = await served_ingest.process.request("GET", "/openapi.json")
    assert answer.json == json.loads(FILE.read_text(encoding="utf-8"))
    assert FILE.read_text(encoding="utf-8") == text()
    assert answer.json["openapi"] == "3.1.0"
    validate(answer.json)


async def test_every_route_of_the_table_is_described_and_every_described_one_is_in_the_table() -> None:
    described = {
        (method.upper(), path)
        for path, operations in json.loads(text())["paths"].items()
        for method in operations
    }
    assert described == {(route.method, route.path) for route in ROUTES}
    assert len({route.operation_id for route in ROUTES}) == len(ROUTES)


async def test_metrics_count_what_a_tenant_sent(served_ingest: ServedIngest) -> None:
    async def value(name: str) -> float:
        shown = (await served_ingest.process.request("GET", "/metrics")).body.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", shown, re.MULTILINE)
        return float(found[1]) if found else 0.0

    accepted, refused = (
        'audit_ingest_events_accepted_total{tenant="acme"}',
        ('audit_ingest_events_rejected_total{status="422",tenant="acme"}'),
    )
    before = await value(accepted), await value(refused)
    await served_ingest.post(EVENT)
    await served_ingest.post(json.dumps({"logs": [an_event(), an_event(), {"x": 1}]}).encode(), "/batch")
    await served_ingest.post(b"{}")
    assert (await value(accepted), await value(refused)) == (before[0] + 3, before[1] + 2)
    assert await value("audit_ingest_inflight_bytes") == 0
    assert await value("audit_ingest_shards_count") == 1


@pytest.mark.parametrize("sent", ["order-1042", "a" * 128, "01937f4e-7f3b-7c07-b3c1-0d6d2a9a4f10"])
async def test_a_request_keeps_the_id_that_it_came_with(served_ingest: ServedIngest, sent: str) -> None:
    for answer in (
        await served_ingest.post(EVENT, X_Request_ID=sent),
        await served_ingest.post(b"{}", X_Request_ID=sent),
        await served_ingest.process.request("GET", "/healthz", None, {"X-Request-ID": sent}),
        await served_ingest.process.request("GET", "/nowhere", None, {"X-Request-ID": sent}),
    ):
        assert answer.headers["x-request-id"] == sent
        if answer.headers["content-type"] == "application/problem+json":
            assert answer.json["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "a" * 129, "two words", "<script>", "caf\u00e9", "a\tb"])
async def test_an_id_that_could_do_harm_is_replaced(served_ingest: ServedIngest, sent: str) -> None:
    answer = await served_ingest.post(EVENT, X_Request_ID=sent)
    assert answer.status == 202
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["x-request-id"])


async def test_a_head_that_is_too_long_is_refused(served_ingest: ServedIngest) -> None:
    lines = b"".join(b"X-Padding-%d: %b\r\n" % (at, b"p" * 1000) for at in range(400))
    answer = await raw(served_ingest, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + lines)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert (await served_ingest.process.request("GET", "/healthz")).status == 200


@pytest.mark.parametrize(
    "head",
    [
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost : a\r\n\r\n",
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_a_request_that_two_servers_may_read_differently_is_refused_and_ends_the_connection(
    served_ingest: ServedIngest, head: bytes
) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await raw(served_ingest, head + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.split(b" ", 2)[1] in (b"400", b"401", b"408")


async def test_requests_sent_in_one_go_are_answered_in_order(served_ingest: ServedIngest) -> None:
    key = served_ingest.acme.key.encode()
    bodies = [encoded(an_event(id=f"pipelined-{at}")) for at in range(20)]
    requests = b"".join(
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (key, len(body), body)
        for body in bodies
    )
    answer = await raw(
        served_ingest, requests + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert re.findall(rb'"id":"(pipelined-\d+)"', answer) == [b"pipelined-%d" % at for at in range(20)]
    assert answer.count(b"HTTP/1.1 202 ") == 20
    assert answer.count(b"HTTP/1.1 200 ") == 1


async def test_what_is_sent_behind_an_early_answer_does_not_pass_for_a_request(
    served_ingest: ServedIngest,
) -> None:
    body = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n" * 30_000
    head = b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    answer = await raw(
        served_ingest, head + body + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.count(b"HTTP/1.1 200 ") <= 1


async def test_expect_100_continue_is_served(served_ingest: ServedIngest) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served_ingest.process.port)
    writer.write(
        b"POST /api/v1/audit/logs HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
        % (served_ingest.acme.key.encode(), len(EVENT))
    )
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 100 ")
    writer.write(EVENT)
    assert await asyncio.wait_for(reader.readline(), 5) == b"\r\n"
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 202 ")
    writer.close()


async def test_the_log_is_json_without_keys_or_payloads(served_ingest: ServedIngest) -> None:
    await served_ingest.post(encoded(an_event(description="a-secret-payload")))
    lines = [json.loads(line) for line in served_ingest.process.log().splitlines()]
    assert {"time", "level", "event", "logger"} <= set.intersection(*(set(line) for line in lines))
    log = served_ingest.process.log()
    assert served_ingest.acme.key not in log
    assert served_ingest.acme.secret.hex() not in log
    assert "a-secret-payload" not in log
