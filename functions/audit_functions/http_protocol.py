"""HTTP/1.1 as uvicorn speaks it, with what it leaves out: bounds on time and on heads, and one write for an answer.

uvicorn arms a timer for each request and writes head and body apart, with two regular expressions for each header; at
ten thousand requests a second that is a third of the server's time. Here one sweep a second looks at all connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from audit_functions.web.immediate import Immediate

MAX_HEAD_BYTES: Final = 32 * 1024
HEAD_SECONDS: Final = 10.0
"""How long a head may take, and a new connection may wait with its first."""
SILENT_SECONDS: Final = 30.0
"""How long a client may send nothing of a body that the application waits for."""
KEEP_ALIVE_SECONDS: Final = 75.0
MAX_UNWANTED_BYTES: Final = 8 * 1024 * 1024
"""How much of a body is taken off the wire after its answer was given: a client that is cut off does not read it."""

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_TOO_SLOW: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NOTHING: Final = b""
_SMALL_DIGITS: Final = 4
"""A body whose length has so many digits is at most 9,999 bytes: those are most events."""
_NOT_IMMEDIATE: Final = frozenset({b"content-encoding", b"prefer", b"transfer-encoding", b"upgrade"})
"""Headers that ask for more than a handler without a task can do."""


class Cycle(RequestResponseCycle):
    """One request and its answer. A head waits for the body; if that is whole, both are one write."""

    _held: Any = None

    async def send(self, message: ASGISendEvent) -> None:
        """Take a message of the application."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._held = message
            return
        held = self._held
        if held is None:
            await super().send(message)
            return
        self._held = None
        if message["type"] == "http.response.body" and not message.get("more_body"):
            whole = _whole(held, message.get("body", b""), self.scope["method"])
            if whole is not None and self.keep_alive and not self.flow.write_paused and not self.disconnected:
                self._write(whole)
                return
        await super().send(held)
        await super().send(message)

    def _write(self, whole: bytes) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(whole)
        self.response_complete = True
        self.message_event.set()
        self.on_response()


def _whole(start: Any, body: bytes, method: str) -> bytes | None:
    """Return an answer's bytes, or None when it is one that uvicorn had better put together."""
    headers = start["headers"]
    parts = [STATUS_LINE[start["status"]]]
    length = None
    for name, value in headers:
        if name == b"content-length":
            length = value
        elif name in (b"connection", b"transfer-encoding"):
            return None
        parts += (name, b": ", value, b"\r\n")
    if length is None or method == "HEAD" or int(length) != len(body):
        return None
    parts.append(b"\r\n")
    head = b"".join(parts)
    # One end of line for each header and two more, and no other control character that could pass for one.
    if head.count(b"\n") != len(headers) + 2 or head.count(b"\r") != len(headers) + 2:
        return None
    return head + body


class _Nobody:
    """Stands for the event that a cycle's task would wait for."""

    def set(self) -> None:
        """Wake nobody."""


_NOBODY: Final = _Nobody()


class ArrivingRequest:
    """A small request that an immediate handler will serve. Looks to uvicorn's protocol like one of its cycles."""

    __slots__ = (
        "_handle",
        "_protocol",
        "body",
        "disconnected",
        "headers",
        "keep_alive",
        "more_body",
        "response_complete",
    )
    message_event = _NOBODY

    def __init__(
        self, protocol: Protocol, headers: Mapping[bytes, bytes], handle: Immediate, *, keep_alive: bool
    ) -> None:
        self._protocol = protocol
        self._handle = handle
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_complete = False

    def complete(self) -> None:
        """Serve it."""
        self._handle(self)

    def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send the answer, unless the client is gone."""
        if self.disconnected:
            return
        transport = self._protocol.transport
        parts = [STATUS_LINE[status]]
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", body) if self.keep_alive else (b"connection: close\r\n\r\n", body)
        transport.write(b"".join(parts))
        self.response_complete = True
        if not self.keep_alive:
            transport.close()
        self._protocol.on_response_complete()


class Protocol(HttpToolsProtocol):
    """One connection. `_waits_since` is when it began to wait for its client, None while the client waits for us."""

    _head_bytes = 0
    _unwanted_bytes = 0
    _in_head = True
    _in_message = False
    _waits_since: float | None = None
    _served = False
    _arriving: ArrivingRequest | None = None
    _immediate: Mapping[tuple[bytes, bytes], Immediate] = MappingProxyType({})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time in which the first head has to be there."""
        super().connection_made(transport)  # type: ignore[arg-type]  # as asyncio calls it
        self._immediate = getattr(self.app, "immediate", self._immediate)
        self._waits_since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head that goes on too long."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_TOO_LARGE)
        elif self._unwanted_bytes:
            self._unwanted_bytes += len(data)
            if self._unwanted_bytes > MAX_UNWANTED_BYTES:
                self._refuse(_NOTHING)

    def on_message_begin(self) -> None:
        """Start the time of a head."""
        super().on_message_begin()
        self._in_head = self._in_message = True
        self._waits_since = time.monotonic()
        self._head_bytes = self._unwanted_bytes = 0

    def on_headers_complete(self) -> None:
        """Start the time of the body, and a task if the request needs one."""
        self._in_head = False
        self._arriving = self._immediate_request()
        if self._arriving is None:
            super().on_headers_complete()
        else:
            self.cycle = self._arriving  # type: ignore[assignment]  # it has what uvicorn asks a cycle for

    def on_body(self, body: bytes) -> None:
        """Start the time of the next piece of the body."""
        self._waits_since = time.monotonic()
        if self._arriving is None:
            super().on_body(body)
        else:
            self._arriving.body += body

    def on_message_complete(self) -> None:
        """Stop waiting for the client."""
        self._waits_since = None
        self._in_message = False
        if self._arriving is None:
            super().on_message_complete()
        else:
            arriving, self._arriving = self._arriving, None
            arriving.more_body = False
            arriving.complete()

    def _immediate_request(self) -> ArrivingRequest | None:
        """Return the request whose head is complete, if an immediate handler may serve it."""
        handle = self._immediate.get((self.url, self.parser.get_method()))
        if handle is None or self.flow.write_paused:
            return None
        cycle: RequestResponseCycle | ArrivingRequest | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            return None  # it has to wait for its turn
        headers = dict(self.headers)
        length = headers.get(b"content-length")
        if (
            length is None
            or len(length) > _SMALL_DIGITS
            or len(headers) != len(self.headers)
            or self.expect_100_continue
            or not headers.keys().isdisjoint(_NOT_IMMEDIATE)
            or self.parser.get_http_version() != "1.1"
        ):
            return None
        return ArrivingRequest(self, headers, handle, keep_alive=self.parser.should_keep_alive())

    def on_response_complete(self) -> None:
        """Serve the next request of the connection, or start to wait for it."""
        self.server_state.total_requests += 1
        self._served = True
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self._waits_since = time.monotonic()
            self._in_head = not self._in_message
            self._unwanted_bytes = int(
                self._in_message
            )  # answered before it was read: what comes is left out

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cycle.__class__ = Cycle
        super()._start_asgi_task(cycle, app)

    def sweep(self, now: float) -> None:
        """Close the connection when its client keeps us waiting."""
        if self._waits_since is None or self.flow.read_paused:
            return
        waited = now - self._waits_since
        if not self._in_head:
            if waited > SILENT_SECONDS:
                self._refuse(_NOTHING)
        elif self._head_bytes or not self._served:
            if waited > HEAD_SECONDS:
                self._refuse(_TOO_SLOW if self._head_bytes else _NOTHING)
        elif waited > KEEP_ALIVE_SECONDS:
            self._refuse(_NOTHING)

    def _refuse(self, answer: bytes) -> None:
        """Close without asking the application."""
        self._waits_since = None
        if not self.transport.is_closing():
            if answer:
                self.transport.write(answer)
            self.transport.close()
