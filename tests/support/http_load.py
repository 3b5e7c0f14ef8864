"""A load generator for one host on the loopback: keep-alive connections, bounded in count and time.

`closed_loop` sends the next request of a connection when the last one is answered; `open_loop` sends on a fixed
schedule and measures from the scheduled moment, so that a stall of the server is not hidden by a waiting client.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

Request = tuple[object, bytes]
"""A token that comes back with the answer, and the request's bytes."""
Source = Callable[[], Request | None]
Sink = Callable[[object, int, bytes], None]
"""Called with the token, the status (0: connection lost before the answer) and the answer's body."""


@dataclass(slots=True)
class Load:
    """What a run saw. Latencies in seconds, in order of answers."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        return self.answered / self.seconds

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def count(self, status: int, latency: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies.append(latency)


def post(host: str, path: str, key: str, body: bytes, *headers: str) -> bytes:
    """Return the bytes of a POST of JSON."""
    head = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, answered: Callable[[_Connection, int, bytes], None]) -> None:
        self._answered = answered
        self._buffer = b""
        self._transport: asyncio.WriteTransport | None = None
        self.pending: tuple[object, float] | None = None
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one by duck typing only

    def send(self, token: object, data: bytes, since: float) -> None:
        assert self._transport is not None
        self.pending = (token, since)
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        total = end + 4 + _content_length(buffer[:end])
        if len(buffer) < total:
            self._buffer = buffer
            return
        self._buffer = buffer[total:]
        self._answered(self, int(buffer[9:12]), buffer[end + 4 : total])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        self.lost = True
        if self.pending is not None:
            self._answered(self, 0, b"")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    if at < 0:
        raise ValueError("an answer without a content-length")
    return int(head[at + 15 :].split(b"\r\n", 1)[0])


def _ignore(token: object, status: int, body: bytes) -> None:
    """Take an answer that the caller did not ask to see."""


async def _connect(port: int, answered: Callable[[_Connection, int, bytes], None]) -> _Connection | None:
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(lambda: _Connection(answered), "127.0.0.1", port)
    except OSError:
        return None
    return connection


async def closed_loop(
    port: int, connections: int, source: Source, *, seconds: float, sink: Sink = _ignore, pace: float = 0.0
) -> Load:
    """Keep `connections` requests under way for `seconds` or until `source` returns None.

    A lost connection is opened again after 50 ms. `pace` is a pause in seconds before each next request.
    """
    load = Load()
    loop = asyncio.get_running_loop()
    finished = asyncio.Event()
    active = connections
    opened: set[_Connection] = set()
    reopening: set[asyncio.Task[None]] = set()

    def next_request(connection: _Connection) -> None:
        nonlocal active
        request = source() if time.perf_counter() < deadline else None
        if request is None:
            active -= 1
            connection.close()
            if active == 0:
                finished.set()
            return
        connection.send(request[0], request[1], time.perf_counter())

    def answered(connection: _Connection, status: int, body: bytes) -> None:
        assert connection.pending is not None
        token, since = connection.pending
        connection.pending = None
        load.count(status, time.perf_counter() - since)
        sink(token, status, body)
        if status == 0 or connection.lost:
            opened.discard(connection)
            task = loop.create_task(reopen())
            reopening.add(task)
            task.add_done_callback(reopening.discard)
        elif pace:
            loop.call_later(pace, next_request, connection)
        else:
            next_request(connection)

    async def reopen() -> None:
        nonlocal active
        while time.perf_counter() < deadline:
            await asyncio.sleep(0.05)
            connection = await _connect(port, answered)
            if connection is not None:
                opened.add(connection)
                next_request(connection)
                return
        active -= 1
        if active == 0:
            finished.set()

    attempts = [await _connect(port, answered) for _ in range(connections)]
    started = time.perf_counter()
    deadline = started + seconds
    for connection in attempts:
        if connection is None:
            reopening.add(asyncio.create_task(reopen()))
        else:
            opened.add(connection)
            next_request(connection)
    async with asyncio.timeout(seconds + 30):
        await finished.wait()
    for connection in opened:
        connection.close()
    load.seconds = time.perf_counter() - started
    return load


async def open_loop(
    port: int, rate: float, source: Source, *, seconds: float, sink: Sink = _ignore, connections: int = 256
) -> Load:
    """Send `rate` requests a second on schedule over at most `connections` connections."""
    load = Load()
    idle: deque[_Connection] = deque()
    due: deque[float] = deque()

    def answered(connection: _Connection, status: int, body: bytes) -> None:
        assert connection.pending is not None
        token, since = connection.pending
        connection.pending = None
        load.count(status, time.perf_counter() - since)
        sink(token, status, body)
        if not connection.lost:
            serve(connection)

    def serve(connection: _Connection) -> None:
        if not due:
            idle.append(connection)
            return
        request = source()
        if request is None:
            due.clear()
            return
        connection.send(request[0], request[1], due.popleft())

    for _ in range(connections):
        connection = await _connect(port, answered)
        if connection is not None:
            idle.append(connection)
    started = time.perf_counter()
    sent = 0
    total = int(rate * seconds)
    while sent < total:
        now = time.perf_counter()
        while sent < total and started + sent / rate <= now:
            due.append(started + sent / rate)
            sent += 1
            while due and idle:
                candidate = idle.popleft()
                if not candidate.lost:
                    serve(candidate)
        await asyncio.sleep(0.001)
    end = time.perf_counter() + 30
    while load.answered < total and time.perf_counter() < end:  # noqa: ASYNC110 - the hot path stays free of events
        await asyncio.sleep(0.01)
    for connection in idle:
        connection.close()
    load.seconds = max(time.perf_counter() - started, seconds)
    return load
