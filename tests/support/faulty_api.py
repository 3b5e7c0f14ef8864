"""A way to the API server that can be made to fail: at a request of our choice, in the ways that networks and servers do.

It speaks plain HTTP to the operator and TLS to the server, in a thread of its own, and passes watches on as they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Final

import aiohttp
from aiohttp import web

from tests.support.cluster import Cluster

HOST: Final = "127.0.0.1"
_TENANT: Final = re.compile(r"/(?:namespaces/audit-|audittenants/)([a-z0-9-]+)")
_HOP: Final = (
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "content-encoding",
    "accept-encoding",
)


class Fault(Enum):
    """What becomes of one request."""

    REFUSED_500 = 500
    REFUSED_409 = 409
    REFUSED_429 = 429
    REFUSED_403 = 403
    CUT_BEFORE = "the connection breaks before the server has the request"
    CUT_AFTER = "the connection breaks when the server has done it"


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way. `tenant` is empty when it is about none."""

    method: str
    path: str
    tenant: str

    @property
    def is_write(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"


Decide = Callable[[Call], Fault | None]


class FaultyApi:
    """Where the operator is sent. `decide` is asked about each request; None lets it pass."""

    def __init__(self, url: str) -> None:
        self._server = url
        self.url = ""
        self.decide: Decide = lambda _call: None

    async def serve(self, ready: threading.Event, stop: asyncio.Event) -> None:
        """Pass requests on until told to stop."""
        connector = aiohttp.TCPConnector(ssl=False, limit=0)
        async with aiohttp.ClientSession(
            connector=connector, skip_auto_headers=("Accept-Encoding",)
        ) as self._session:
            app = web.Application(client_max_size=1 << 24)
            app.router.add_route("*", "/{path:.*}", self._pass)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            await web.TCPSite(runner, HOST, 0).start()
            self.url = f"http://{HOST}:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
            await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        found = _TENANT.search(request.path)
        fault = self.decide(Call(request.method, request.path, found[1] if found else ""))
        if fault is Fault.CUT_BEFORE:
            return _cut(request)
        if fault is not None and fault is not Fault.CUT_AFTER:
            return _refusal(int(fault.value))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._session.request(
            request.method,
            f"{self._server}{request.rel_url}",
            headers=headers,
            data=await request.read() or None,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if fault is Fault.CUT_AFTER:
                await answer.read()
                return _cut(request)
            passed = web.StreamResponse(status=answer.status)
            passed.headers.update(
                {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            )
            with contextlib.suppress(ConnectionError):  # who asked was killed
                await passed.prepare(request)
                async for piece, _ in answer.content.iter_chunks():
                    await passed.write(piece)
            return passed


@contextmanager
def faulty_api(cluster: Cluster) -> Iterator[FaultyApi]:
    """Give a way to a cluster's API server; it is closed with the context."""
    faulty = FaultyApi(cluster.url)
    ready, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def main() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await faulty.serve(ready, stop)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="faulty api", daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield faulty
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


def _refusal(code: int) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "a fault", "code": code}
    return web.json_response(body, status=code)


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
