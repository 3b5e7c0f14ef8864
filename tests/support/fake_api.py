"""An HTTP server that stands in for an API server where faults are wanted that a real one does not make on demand.

It answers what it is told, request by request, and remembers what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web
from kubernetes.aio.client import Configuration

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class FakeApi:
    """Gives each of `answers` once, the last one for ever. A listing and a watch have answers of their own."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    watches: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def configuration(self) -> Configuration:
        return Configuration(host=self.url)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, str(request.rel_url)))
        self.times.append(asyncio.get_running_loop().time())
        answers = self.watches if "watch" in request.query else self.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return await answer(request)


@asynccontextmanager
async def fake_api() -> AsyncIterator[FakeApi]:
    fake = FakeApi()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            status=status, body=msgspec.json.encode(body), content_type="application/json", headers=headers
        )

    return answer


async def hangs(_request: web.Request) -> web.Response:
    await asyncio.sleep(600)
    raise AssertionError("nobody waits so long")


async def cuts(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    assert request.transport
    request.transport.close()
    return web.Response()


def streams(*events: dict[str, Any], then: str = "end") -> Answer:
    """Send these watch events; then end the answer, hang, or cut the connection within a line."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/json"
        await response.prepare(request)
        for event in events:
            await response.write(msgspec.json.encode(event) + b"\n")
        if then == "hang":
            await asyncio.sleep(600)
        if then == "cut":
            await response.write(b'{"type":"ADD')
            assert request.transport
            request.transport.close()
        return response

    return answer
