"""One request to the API server: connections, credentials, patience, and how often it is tried.

The `kubernetes` package reads the configuration, renews tokens and keeps the connections. Its models and its own retries
are left out: objects are JSON here, and whether a request may be repeated is known here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import msgspec
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from audit_operator.clients.kubernetes_errors import ApiUnavailable, KubernetesError, refusal
from audit_operator.clients.kubernetes_kinds import Kind, Object
from audit_operator.telemetry import KubernetesTelemetry

_log = logging.getLogger(__name__)

CONNECTIONS: Final = 64
"""Requests in flight at a time, watches included. What comes on top waits, within its own patience."""
DEADLINE_SECONDS: Final = 30.0
ATTEMPT_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LAST_PAUSE_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 5.0
_BROKEN: Final = (aiohttp.ClientError, OSError, TimeoutError)
_IN_CLUSTER: Final = "KUBERNETES_SERVICE_HOST"


async def configuration(kubeconfig: str | None = None) -> Configuration:
    """Return how to reach the API server: by `kubeconfig`, else as a pod is told, else by the user's own file.

    In a pod the token is read anew every minute, so that one that was rotated is used in time.
    """
    found = Configuration()
    if kubeconfig is None and _IN_CLUSTER in os.environ:
        config.load_incluster_config(client_configuration=found)
    else:
        await config.load_kube_config(
            config_file=kubeconfig, client_configuration=found, persist_config=False
        )
    return found


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask. `kind` and `verb` are for the metrics; `body` is sent as JSON of the given `content_type`."""

    verb: str
    method: str
    kind: Kind
    path: str
    query: Mapping[str, str]
    body: Any = None
    content_type: str = "application/json"


class Transport:
    """Connections to one API server. Leaving the context closes them."""

    def __init__(self, configuration: Configuration, telemetry: KubernetesTelemetry) -> None:
        configuration.connection_pool_maxsize = CONNECTIONS
        configuration.retries = None
        self._configuration = configuration
        self._telemetry = telemetry
        self._api: ApiClient | None = None

    async def __aenter__(self) -> Self:
        """Open nothing yet but what the configuration needs."""
        self._api = ApiClient(self._configuration)
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close what is open."""
        if self._api is not None:
            await self._api.close()
            self._api = None

    async def send(
        self,
        request: Request,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        repeat: bool = True,
        permit: Callable[[], None] = lambda: None,
    ) -> Object:
        """Return the answer. 429, 5xx and lost connections are tried again until the deadline, if `repeat`.

        `permit` is called before each attempt, and ends it all by raising. Raises ApiUnavailable after it, and another KubernetesError at once when the server refuses.
        """
        deadline = time.monotonic() + deadline_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            permit()
            remaining = deadline - time.monotonic()
            try:
                return await self._attempt(request, min(ATTEMPT_SECONDS, max(remaining, 0.01)))
            except _Retryable as error:
                wait = max(error.retry_after_seconds, pause * random.uniform(0.75, 1.0))  # noqa: S311
                if not repeat or time.monotonic() + wait >= deadline:
                    raise error.unavailable from error
            await asyncio.sleep(wait)
            pause = min(pause * 2, _LAST_PAUSE_SECONDS)

    @asynccontextmanager
    async def lines(self, request: Request, inactivity_seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a stream of lines, once. Silence for longer than `inactivity_seconds` is ApiUnavailable, too."""
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=inactivity_seconds
        )
        try:
            async with self._answering(request, timeout) as answer:
                yield _lines(answer)
        except _Retryable as error:
            raise error.unavailable from error
        except _BROKEN as error:
            raise _unavailable(error) from error

    async def _attempt(self, request: Request, seconds: float) -> Object:
        since = time.perf_counter()
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS)
        try:
            async with self._answering(request, timeout) as answer:
                body = await answer.read()
        except _BROKEN as error:
            raise _Retryable(_unavailable(error)) from error
        self._telemetry.seconds.labels(request.verb).observe(time.perf_counter() - since)
        try:
            return msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise _Retryable(ApiUnavailable(answer.status, "NotJson", str(error))) from error

    @asynccontextmanager
    async def _answering(
        self, request: Request, patience: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send once; yield an answer of 2xx. Other answers raise, connections that break raise what aiohttp does."""
        assert self._api is not None, "not entered"
        headers = {"Accept": "application/json", "Content-Type": request.content_type}
        await self._api.update_params_for_auth(
            headers, [], ["BearerToken"], request.path, request.method, request.body
        )
        query = f"?{urlencode(request.query)}" if request.query else ""
        count = self._telemetry.requests.labels
        try:
            response = await self._api.rest_client.request(
                request.method,
                f"{self._configuration.host}{request.path}{query}",
                headers=headers,
                body=request.body,
                _request_timeout=patience,
            )
        except _BROKEN:
            count(request.verb, request.kind.name, "none").inc()
            raise
        answer: aiohttp.ClientResponse = response.response
        async with answer:
            count(request.verb, request.kind.name, str(answer.status)).inc()
            if not 200 <= answer.status < 300:
                raise _refused(refusal(answer.status, await answer.read()), answer.headers)
            yield answer


class _Retryable(Exception):
    def __init__(self, unavailable: ApiUnavailable, retry_after_seconds: float = 0.0) -> None:
        self.unavailable = unavailable
        self.retry_after_seconds = retry_after_seconds


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for line in answer.content:
            yield line
    except (*_BROKEN, ValueError) as error:  # ValueError: a line beyond every buffer
        raise _unavailable(error) from error


def _refused(error: KubernetesError, headers: Mapping[str, str]) -> Exception:
    if not isinstance(error, ApiUnavailable):
        return error
    after = headers.get("Retry-After", "")
    return _Retryable(error, float(after) if after.isdecimal() else 0.0)


def _unavailable(error: Exception) -> ApiUnavailable:
    return ApiUnavailable(0, type(error).__name__, str(error))
