"""A small HTTP server for whoever watches a writer: `/healthz`, `/readyz`, `/metrics`. Nothing else is served."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

MAX_HEAD_BYTES: Final = 16 * 1024
HEAD_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 32

_JSON: Final = "application/json"


class Probe:
    """Answers from `states`, which gives the trouble of every served shard (None: none), and None before the first look."""

    def __init__(
        self, registry: CollectorRegistry, states: Callable[[], Mapping[str, str | None] | None]
    ) -> None:
        self._registry = registry
        self._states = states
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)

    @asynccontextmanager
    async def served(self, address: str, port: int) -> AsyncIterator[None]:
        """Listen for the time of the block. Raises OSError when the port is taken."""
        server = await asyncio.start_server(self._answer, address, port, limit=MAX_HEAD_BYTES)
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._slots, asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer_to(head.split(b"\r\n", 1)[0])
                writer.write(_encoded(status, kind, body))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _answer_to(self, request_line: bytes) -> tuple[HTTPStatus, str, bytes]:
        match request_line.split(b" "):
            case [b"GET", b"/metrics", _]:
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._registry)
            case [b"GET", b"/healthz", _]:
                return HTTPStatus.OK, _JSON, b'{"status":"ok"}'
            case [b"GET", b"/readyz", _]:
                return self._readiness()
            case [b"GET", _, _]:
                return HTTPStatus.NOT_FOUND, _JSON, b"{}"
            case _:
                return HTTPStatus.METHOD_NOT_ALLOWED, _JSON, b"{}"

    def _readiness(self) -> tuple[HTTPStatus, str, bytes]:
        """Ready is who serves its shards, in trouble or not: restarting would cure none of it."""
        states = self._states()
        if states is None:
            return HTTPStatus.SERVICE_UNAVAILABLE, _JSON, b'{"status":"starting"}'
        shown = {shard_id: trouble or "ok" for shard_id, trouble in states.items()}
        return HTTPStatus.OK, _JSON, json.dumps({"status": "ok", "shards": shown}).encode()


def _encoded(status: HTTPStatus, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: {kind}\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
