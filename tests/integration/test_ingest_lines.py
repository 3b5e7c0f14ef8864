"""Streams of lines: taken in constant memory, answered piece by piece, stopped where they cannot go on."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from audit_core.projection import Limits
from tests.support.events import an_event
from tests.support.functions import UNLIMITED, SeededTenant, ServedIngest, until

LINES = {"Content_Type": "application/x-ndjson"}


def numbered(name: str, count: int, **fields: object) -> bytes:
    """Return events as lines with ids that count from 0."""
    return b"".join(json.dumps(an_event(id=f"{name}-{at}", **fields)).encode() + b"\n" for at in range(count))


async def test_every_line_is_in_the_stream_and_every_piece_is_answered_once(
    served_ingest: ServedIngest,
) -> None:
    answer = await served_ingest.post(numbered("many", 12_345), "/batch", **LINES)
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert sum(line["accepted"] for line in answer.lines) == 12_345
    assert all(line["rejected"] == [] and "error" not in line for line in answer.lines)
    through = [line["through_line"] for line in answer.lines]
    assert through == sorted(set(through))
    assert through[-1] == 12_345
    assert max(later - earlier for earlier, later in zip([0, *through], through, strict=False)) <= 1000
    stored = await served_ingest.shard.bodies()
    assert {f"many-{at}" for at in range(12_345)} <= stored.keys()


async def test_blank_lines_count_and_the_last_line_needs_no_end(served_ingest: ServedIngest) -> None:
    body = (
        b'\n  \n{"event_type":"a","id":"blank-0"}\r\n\r\n{"event_type":1}\n{"event_type":"a","id":"blank-1"}'
    )
    answer = await served_ingest.post(body, "/batch", **LINES)
    (piece,) = answer.lines
    assert (piece["through_line"], piece["accepted"]) == (6, 2)
    assert [(line["line"], line["status"], line["error"]["path"]) for line in piece["rejected"]] == [
        (5, 422, "/event_type")
    ]
    assert {"blank-0", "blank-1"} <= (await served_ingest.shard.bodies()).keys()


async def test_a_line_of_any_length_is_refused_without_being_kept(served_ingest: ServedIngest) -> None:
    before = peak_kib(served_ingest.process.worker_pid())

    def pieces() -> Iterator[bytes]:
        yield b'{"event_type":"a","id":"huge-0"}\n{"event_type":"'
        for _ in range(100):
            yield b"x" * (1 << 20)
        yield b'"}\n{"event_type":"a","id":"huge-1"}\n'

    answer = await served_ingest.post(pieces(), "/batch", **LINES)
    assert sum(line["accepted"] for line in answer.lines) == 2
    (refused,) = [line for piece in answer.lines for line in piece["rejected"]]
    assert (refused["line"], refused["status"]) == (2, 413)
    assert peak_kib(served_ingest.process.worker_pid()) - before < 30_000


async def test_a_long_stream_leaves_memory_where_it_was(served_ingest: ServedIngest) -> None:
    slab = b"".join(
        json.dumps(an_event(metadata={"at": at, "text": "y" * 300})).encode() + b"\n" for at in range(1000)
    )

    def pieces(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield slab

    await served_ingest.post(pieces(10), "/batch", **LINES)
    before = peak_kib(served_ingest.process.worker_pid())
    answer = await served_ingest.post(pieces(60), "/batch", **LINES)
    assert sum(line["accepted"] for line in answer.lines) == 60_000
    after = peak_kib(served_ingest.process.worker_pid())
    assert after - before < 15_000
    assert after < 150_000


async def test_a_compressed_stream_is_taken(served_ingest: ServedIngest) -> None:
    body = gzip.compress(numbered("squeezed", 3000))
    answer = await served_ingest.post(body, "/batch", Content_Encoding="gzip", **LINES)
    assert sum(line["accepted"] for line in answer.lines) == 3000


async def test_a_bomb_in_a_stream_ends_it_with_a_problem(served_ingest: ServedIngest) -> None:
    body = gzip.compress(b'{"event_type":"a","id":"bomb-0"}\n' + b"\n" * (50 << 20))
    answer = await served_ingest.post(body, "/batch", Content_Encoding="gzip", **LINES)
    problem = answer.json if answer.status == 413 else answer.lines[-1]["error"]
    assert problem["status"] == 413


async def test_lines_that_wait_are_answered_before_the_stream_ends(served_ingest: ServedIngest) -> None:
    def talk() -> tuple[bytes, bytes]:
        with socket.create_connection(("127.0.0.1", served_ingest.process.port), timeout=10) as connection:
            connection.sendall(
                b"POST /api/v1/audit/logs/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: application/x-ndjson\r\nAuthorization: Bearer %b\r\n\r\n"
                % served_ingest.acme.key.encode()
            )
            line = b'{"event_type":"a"}\n'
            chunk = b"%x\r\n%b\r\n" % (len(line), line)
            connection.sendall(chunk)
            first = b""
            while b"through_line" not in first:
                first += connection.recv(65536)
            connection.sendall(chunk + b"0\r\n\r\n")
            rest = b""
            while b"0\r\n\r\n" not in rest:
                rest += connection.recv(65536)
            return first, rest

    first, rest = await asyncio.to_thread(talk)
    assert b'{"through_line":1,"accepted":1,"rejected":[]}' in first
    assert b'{"through_line":2,"accepted":1,"rejected":[]}' in rest


async def test_a_stream_without_a_valid_line_is_422_and_an_empty_one_too(served_ingest: ServedIngest) -> None:
    answer = await served_ingest.post(b'{"x":1}\nno\n', "/batch", **LINES)
    assert (answer.status, len(answer.lines[0]["rejected"])) == (422, 2)
    answer = await served_ingest.post(b"\n\n", "/batch", **LINES)
    assert (answer.status, answer.json["detail"]) == (422, "empty")


async def test_a_stream_waits_for_its_quota_instead_of_failing(served_ingest: ServedIngest) -> None:
    paced = SeededTenant(name="paced", limits=Limits(events_per_second=2000, burst=2000))
    await served_ingest.shard.put(paced)
    post = served_ingest.process.post

    async def is_known() -> bool:
        return (await post(paced, b'{"event_type":"a"}')).status == 202

    await until(is_known)
    answer = await post(paced, numbered("paced", 6000), "/batch", **LINES)
    assert sum(line["accepted"] for line in answer.lines) == 6000


async def test_a_key_that_is_revoked_in_the_middle_of_a_stream_ends_it(served_ingest: ServedIngest) -> None:
    brief = SeededTenant(name="brief", limits=UNLIMITED)
    await served_ingest.shard.put(brief)

    async def is_known() -> bool:
        return (await served_ingest.process.post(brief, b'{"event_type":"a"}')).status == 202

    await until(is_known)
    stop = asyncio.Event()

    def talk() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", served_ingest.process.port, timeout=20)
        connection.putrequest("POST", "/api/v1/audit/logs/batch")
        for name, value in (
            ("Authorization", f"Bearer {brief.key}"),
            ("Content-Type", "application/x-ndjson"),
            ("Transfer-Encoding", "chunked"),
        ):
            connection.putheader(name, value)
        connection.endheaders()
        line = b'{"event_type":"a"}\n'
        try:
            while not stop.is_set():
                connection.send(b"%x\r\n%b\r\n" % (len(line), line))
                time.sleep(0.1)
            connection.send(b"0\r\n\r\n")
        except OSError:
            pass  # the server ended it
        with closing(connection):
            return connection.getresponse().read()

    talking = asyncio.create_task(asyncio.to_thread(talk))
    await asyncio.sleep(0.5)
    await served_ingest.shard.revoke(brief)
    await asyncio.sleep(3)
    stop.set()
    lines = [json.loads(line) for line in (await talking).splitlines()]
    assert lines[0]["accepted"] >= 1
    assert lines[-1]["error"]["status"] == 401


async def test_a_client_that_goes_away_leaves_what_was_taken_and_no_trace(
    served_ingest: ServedIngest,
) -> None:
    def talk() -> None:
        with socket.create_connection(("127.0.0.1", served_ingest.process.port), timeout=10) as connection:
            body = numbered("gone", 2500)
            connection.sendall(
                b"POST /api/v1/audit/logs/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                b"Content-Type: application/x-ndjson\r\nAuthorization: Bearer %b\r\n\r\n"
                % (len(body) * 2, served_ingest.acme.key.encode())
            )
            connection.sendall(body)
            while b"through_line" not in connection.recv(65536):
                continue

    await asyncio.to_thread(talk)
    await asyncio.sleep(0.3)
    assert "gone-0" in await served_ingest.shard.bodies()
    assert "Traceback" not in served_ingest.process.log()
    metrics = (await served_ingest.process.request("GET", "/metrics")).body.decode()
    assert re.search(r"^audit_ingest_inflight_bytes 0\.0$", metrics, re.MULTILINE)


async def test_a_tenant_with_larger_events_may_send_longer_lines(served_ingest: ServedIngest) -> None:
    large = SeededTenant(name="large", limits=replace_limits(max_event_bytes=256 * 1024))
    await served_ingest.shard.put(large)
    line = json.dumps(an_event(id="wide", metadata={str(at): "z" * 120 for at in range(200)})).encode()

    async def is_taken() -> bool:
        return (await served_ingest.process.post(large, line, "/batch", **LINES)).status == 202

    await until(is_taken)


def replace_limits(**changes: int) -> Limits:
    """Return limits that no test gets into, but for the ones given."""
    return Limits(**{"events_per_second": UNLIMITED.events_per_second, "burst": UNLIMITED.burst, **changes})


def peak_kib(pid: int) -> int:
    """Return the most memory that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1])
