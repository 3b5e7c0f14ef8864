"""The query function behind its routes, called as an ASGI app, on provisioned tenants and real servers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from prometheus_client import CollectorRegistry
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message

from audit_core.tenant import ShardId
from audit_functions.query.function import query_function
from audit_functions.query.routes import ROUTES
from audit_functions.settings import settings_from
from audit_functions.web.function import HttpFunction
from audit_operator.clients.shards import shard
from tests.support.postgres import ShardInDatabase
from tests.support.provisioning import Provisioned

READY_SECONDS = 20.0
LOGS = "/api/v1/audit/logs"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class QueryServer:
    """What a process with `AUDIT_FUNCTIONS=query` answers."""

    provisioned: Provisioned
    function: HttpFunction
    app: ASGIApp
    registry: CollectorRegistry

    async def get(
        self,
        path: str = LOGS,
        query: str | Sequence[tuple[str, str]] | bytes = "",
        *,
        key: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send one GET. A `query` of pairs is encoded; underscores in the names of `headers` become hyphens."""
        encoded = query if isinstance(query, str | bytes) else urlencode(query)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["authorization"] = f"Bearer {key}"
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": encoded.encode() if isinstance(encoded, str) else encoded,
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        messages: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, send)
        start, *rest = messages
        return Answer(
            start["status"],
            {name.decode(): value.decode() for name, value in start["headers"]},
            b"".join(message.get("body", b"") for message in rest),
        )

    def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric, zero before it was counted."""
        return self.registry.get_sample_value(name, labels) or 0.0

    async def serves(self, *shard_ids: str) -> None:
        """Return when these shards are open and their configuration is there."""
        serving = self.function.folder.serving
        async with asyncio.timeout(READY_SECONDS):
            while not all(  # noqa: ASYNC110 - it follows a folder and a bucket
                (open_shard := serving.get(ShardId(shard_id))) is not None and open_shard.problem() is None
                for shard_id in shard_ids
            ):
                await asyncio.sleep(0.02)

    async def answered(self, *statuses: int, path: str = LOGS, key: str) -> Answer:
        """Ask until the answer has one of these statuses; what is asked for takes effect by itself, within seconds."""
        async with asyncio.timeout(READY_SECONDS):
            while (answer := await self.get(path, key=key)).status not in statuses:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        return answer


@asynccontextmanager
async def serving_queries(provisioned: Provisioned) -> AsyncIterator[QueryServer]:
    """Run the query function on the shards of `provisioned`, those that come later too."""
    settings = settings_from(
        {
            "AUDIT_FUNCTIONS": "query",
            "AUDIT_SHARDS": str(provisioned.shards),
            "AUDIT_NATS_URL": provisioned.nats.url,
        }
    )
    registry = CollectorRegistry()
    function = query_function(settings, registry)
    router = Router([Route(route.path, function.handlers[route.operation_id]) for route in ROUTES])
    running = asyncio.create_task(function.folder.run())
    try:
        yield QueryServer(provisioned, function, router, registry)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def shard_of(provisioned: Provisioned, shard_id: str) -> ShardInDatabase:
    """Return a provisioned shard with the passwords that its functions were given."""
    stored = await shard(provisioned.database.admin, shard_id)
    assert stored is not None
    folder = provisioned.shards / shard_id
    writer, query = ((folder / f"{name}.dsn").read_text().strip() for name in ("writer", "query"))
    return ShardInDatabase(
        database=provisioned.database,
        stored=stored,
        passwords={"writer": urlsplit(writer).password or "", "query": urlsplit(query).password or ""},
    )
