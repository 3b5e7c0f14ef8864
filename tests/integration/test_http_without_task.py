"""Small events are served without a task; nothing that a client can do tells the two ways apart."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time

import pytest

from tests.support.events import an_event, encoded
from tests.support.functions import ServedIngest


def request(
    served: ServedIngest, body: bytes, *headers: bytes, version: bytes = b"1.1", length: bool = True
) -> bytes:
    """Return the bytes of a POST of one event."""
    lines = [
        b"POST /api/v1/audit/logs HTTP/" + version,
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Authorization: Bearer " + served.acme.key.encode(),
        *headers,
    ]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def said(served: ServedIngest, *pieces: bytes, pause_seconds: float = 0.0) -> bytes:
    """Send pieces, with pauses between, and return what comes back until the connection is closed or silent."""

    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", served.process.port), timeout=1.5) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
                if pause_seconds:
                    time.sleep(pause_seconds)
            found = b""
            try:
                while piece := connection.recv(65536):
                    found += piece
            except TimeoutError:
                pass
            return found

    return await asyncio.to_thread(talk)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (b"X-Padding: " + b"p" * 3000,),
        (b"Prefer: respond-async",),
        (b"Idempotency-Key: k",),
        (b"Connection: close",),
        (b"Connection: keep-alive",),
        (b"X-Same: 1", b"X-Same: 2"),
    ],
)
async def test_the_answer_is_the_same_whatever_way_the_request_takes(
    served_ingest: ServedIngest, headers: tuple[bytes, ...]
) -> None:
    answer = await said(served_ingest, request(served_ingest, encoded(an_event()), *headers))
    head, _, body = answer.partition(b"\r\n\r\n")
    names = {line.split(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert statuses(answer) == [202]
    assert names - {b"connection"} == {
        b"content-type", b"content-length", b"x-request-id", b"cache-control", b"x-content-type-options"
    }  # fmt: skip
    assert json.loads(body).keys() == {"id"}
    assert (b"connection: close" in head) == (headers == (b"Connection: close",))


async def test_a_body_of_any_size_is_served(served_ingest: ServedIngest) -> None:
    for size in (10, 9_000, 9_999, 10_000, 30_000):
        body = encoded(an_event(id=f"size-{size}", metadata={"a": "x" * size}))
        assert statuses(await said(served_ingest, request(served_ingest, body, b"Connection: close"))) == [
            202
        ]
    stored = await served_ingest.shard.bodies()
    assert {f"size-{size}" for size in (10, 9_000, 9_999, 10_000, 30_000)} <= stored.keys()


async def test_a_request_that_comes_byte_by_byte_is_served(served_ingest: ServedIngest) -> None:
    whole = request(served_ingest, encoded(an_event(id="bytewise")), b"Connection: close")
    pieces = [whole[at : at + 1] for at in range(len(whole))]
    assert statuses(await said(served_ingest, *pieces, pause_seconds=0.0005)) == [202]
    assert "bytewise" in await served_ingest.shard.bodies()


async def test_requests_of_both_ways_in_one_go_are_answered_in_order(served_ingest: ServedIngest) -> None:
    sent = []
    for at in range(12):
        body = encoded(an_event(id=f"mixed-{at}", metadata={"a": "x" * (20_000 if at % 3 == 1 else 10)}))
        sent.append(request(served_ingest, body))
        if at % 4 == 2:
            sent.append(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = await said(served_ingest, b"".join(sent))
    assert re.findall(rb'"id":"(mixed-\d+)"', answer) == [b"mixed-%d" % at for at in range(12)]
    assert statuses(answer).count(200) == 3


async def test_an_old_client_is_served_and_let_go(served_ingest: ServedIngest) -> None:
    answer = await said(served_ingest, request(served_ingest, encoded(an_event()), version=b"1.0"))
    assert statuses(answer) == [202]
    assert b"connection: close" in answer


async def test_a_client_that_leaves_before_its_answer_disturbs_nobody(served_ingest: ServedIngest) -> None:
    def leave(at: int) -> None:
        with socket.create_connection(("127.0.0.1", served_ingest.process.port), timeout=5) as connection:
            connection.sendall(request(served_ingest, encoded(an_event(id=f"left-{at}"))))

    for at in range(30):
        await asyncio.to_thread(leave, at)
    assert (await served_ingest.post(encoded(an_event()))).status == 202
    log = served_ingest.process.log()
    assert "Traceback" not in log
    assert "answer_failed" not in log


async def test_a_refusal_keeps_the_connection(served_ingest: ServedIngest) -> None:
    bad = request(served_ingest, b'{"event_type":1}')
    good = request(served_ingest, encoded(an_event()), b"Connection: close")
    assert statuses(await said(served_ingest, bad + good)) == [422, 202]


async def test_an_empty_body_and_a_missing_length_are_refused_alike(served_ingest: ServedIngest) -> None:
    empty = await said(served_ingest, request(served_ingest, b""))
    missing = await said(served_ingest, request(served_ingest, b"", length=False))
    assert statuses(empty) == statuses(missing) == [422]
