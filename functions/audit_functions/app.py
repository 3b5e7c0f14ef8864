"""The composition root of an HTTP process: functions, routes, vital tasks, and in which order they stop."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as RouterRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from audit_core.errors import NotFound
from audit_functions.ingest.function import ingest_function
from audit_functions.logs import Log
from audit_functions.query.function import query_function
from audit_functions.routes import ROUTES, document
from audit_functions.settings import Settings
from audit_functions.telemetry import Telemetry
from audit_functions.web import process_routes
from audit_functions.web.docs import docs_file, docs_page
from audit_functions.web.endpoint import Open
from audit_functions.web.function import HttpFunction
from audit_functions.web.health import Readiness
from audit_functions.web.immediate import Immediate
from audit_functions.web.problem import MethodNotAllowed
from audit_functions.web.routes import Route
from audit_functions.web.vital import Vital

_GC_THRESHOLDS: Final = (20_000, 20, 50)
"""Few cycles are made for each request: looking for them less often costs little memory and saves its time."""

_log: Final = Log("process")


def application(settings: Settings) -> ASGIApp:
    """Return the ASGI app that serves the functions of `settings`. Nothing runs before its lifespan starts."""
    registry = _registry()
    telemetry = Telemetry(registry)
    made: Mapping[str, Callable[[], HttpFunction]] = {
        "ingest": lambda: ingest_function(settings, telemetry),
        "query": lambda: query_function(settings, registry),
    }
    functions = [made[name]() for name in settings.functions]
    vital = Vital(_end_process)
    readiness = Readiness(functions, vital)
    handlers = _handlers(functions, readiness, registry)
    served = [route for route in ROUTES if route.operation_id in handlers]
    router = Router(
        _router_routes(served, handlers),
        redirect_slashes=False,
        default=Open(_unknown_path),
        lifespan=_lifespan(functions, vital, readiness),
    )
    immediate = {name: handler for function in functions for name, handler in function.immediate.items()}
    return Dispatch(
        {(route.path.encode(), route.method): handlers[route.operation_id] for route in served},
        router,
        {
            (route.path.encode(), route.method.encode()): immediate[route.operation_id]
            for route in served
            if route.operation_id in immediate
        },
    )


class Dispatch:
    """Sends requests for a plain path straight to its app, and everything else through the router.

    `immediate`, by path and method as they are on the wire, is for a server that can do without a task.
    """

    def __init__(
        self,
        plain: Mapping[tuple[bytes, str], ASGIApp],
        router: ASGIApp,
        immediate: Mapping[tuple[bytes, bytes], Immediate],
    ) -> None:
        self.immediate = immediate
        self._plain = plain
        self._router = router
        self._unknown = Open(_unknown_path)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Return what serves one request, or the lifespan, without a coroutine of its own."""
        app = self._plain.get((scope["raw_path"], scope["method"])) if scope["type"] == "http" else None
        if app is None:
            app = self._unknown if _hides_a_slash(scope) else self._router
        return app(scope, receive, send)


def _hides_a_slash(scope: Scope) -> bool:
    """Tell whether a path has an encoded slash, which a proxy in front and the router behind read differently."""
    return scope["type"] == "http" and b"%2f" in scope["raw_path"].lower()


def _handlers(
    functions: Sequence[HttpFunction], readiness: Readiness, registry: CollectorRegistry
) -> dict[str, ASGIApp]:
    described = msgspec.json.encode(document())

    async def metrics(request: Request) -> Response:  # noqa: ARG001 - the signature of a handler
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(request: Request) -> Response:  # noqa: ARG001 - as above
        return Response(described, media_type="application/json")

    handlers: dict[str, ASGIApp] = {
        process_routes.HEALTHZ: Open(readiness.healthz),
        process_routes.READYZ: Open(readiness.readyz),
        process_routes.HEALTH: Open(readiness.health),
        process_routes.METRICS: Open(metrics),
        process_routes.OPENAPI: Open(openapi),
        process_routes.DOCS: Open(docs_page),
    }
    for function in functions:
        handlers |= function.handlers
    return handlers


def _router_routes(served: Sequence[Route], handlers: Mapping[str, ASGIApp]) -> list[RouterRoute]:
    """Return every path once, with all its methods: a router answers 405 for the first path that fits."""
    apps: dict[str, dict[str, ASGIApp]] = {}
    for route in served:
        apps.setdefault(route.path, {})[route.method] = handlers[route.operation_id]
    apps["/docs/{name}"] = {"GET": Open(docs_file)}
    return [RouterRoute(path, _ByMethod(by_method)) for path, by_method in apps.items()]


class _ByMethod:
    """The apps of one path. What serves GET serves HEAD, whose body the server leaves out."""

    def __init__(self, apps: Mapping[str, ASGIApp]) -> None:
        self._apps = apps
        self._allowed = tuple(sorted({*apps, "HEAD"} if "GET" in apps else apps))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        app = self._apps.get(method) or Open(self._refuse)
        await app(scope, receive, send)

    async def _refuse(self, request: Request) -> Response:  # noqa: ARG002 - the signature of a handler
        raise MethodNotAllowed(self._allowed)


async def _unknown_path(request: Request) -> Response:  # noqa: ARG001 - the signature of a handler
    raise NotFound("path")


def _lifespan(
    functions: Sequence[HttpFunction], vital: Vital, readiness: Readiness
) -> Callable[[object], AbstractAsyncContextManager[None]]:
    """Return the lifespan: by its end no request runs any more, so what is left is to flush and to close."""

    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:  # noqa: ARG001 - the router's signature
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        async with vital:
            for function in functions:
                vital.start(f"{function.name} shards", function.folder.run())
                for name, work in function.tasks.items():
                    vital.start(f"{function.name} {name}", work())
            _log.info("process_started", functions=[function.name for function in functions])
            yield
            readiness.draining = True
            await asyncio.gather(*(function.folder.drain() for function in functions))
        _log.info("process_drained")

    return lifespan


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _end_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
