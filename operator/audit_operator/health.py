"""The operator about itself over HTTP: whether it lives, whether it works, what it counts.

`/healthz` goes by the age of what the watches last heard, not by whether HTTP is answered: a watch that has silently
died is the failure that operators have. `/readyz`: it leads or waits to lead. `/metrics`: for Prometheus.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST


@asynccontextmanager
async def serving(
    address: str, port: int, registry: CollectorRegistry, *, problem: Callable[[], str | None]
) -> AsyncIterator[int]:
    """Answer until the context is left; give the port. `problem` tells what is wrong, None when nothing is."""

    async def healthz(_request: web.Request) -> web.Response:
        found = problem()
        return web.Response(text=found or "ok", status=503 if found else 200)

    async def readyz(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
