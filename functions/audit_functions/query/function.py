"""The query function over HTTP: decode the request, call one use case, send its answer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import parse_qsl

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from audit_core.errors import Forbidden, InvalidQuery
from audit_core.query_parameters import parse_search, refuse_parameters
from audit_core.tenant import ShardId
from audit_functions.adapters.postgres import MAX_CONNECTIONS
from audit_functions.query import shard
from audit_functions.query.answer import event_answer, page_answer
from audit_functions.query.routes import READ_EVENT, SEARCH_EVENTS
from audit_functions.query.service import Reader
from audit_functions.query.shard import QueryShard
from audit_functions.query.telemetry import QueryTelemetry
from audit_functions.settings import Settings
from audit_functions.web.auth import Caller, Directory
from audit_functions.web.endpoint import Guarded
from audit_functions.web.function import HttpFunction
from audit_functions.web.shards import ShardFolder

_MAX_PARAMETERS: Final = 1000
_POOLED_SHARE: Final = MAX_CONNECTIONS // 2
"""So that one tenant's slow queries leave connections for the others in its pool."""


def query_function(settings: Settings, registry: CollectorRegistry) -> HttpFunction:
    """Return the function for the shards in the settings' folder. Nothing runs yet."""
    folder = ShardFolder(
        settings.shards,
        (shard.CREDENTIALS, shard.DSN),
        partial(shard.opened, settings.nats_url),
        able=lambda opened: opened.problem() is None,
    )
    directory = Directory(folder.serving, folder.awaited)
    impairments = partial(_impairments, folder)
    readings = Readings(QueryTelemetry(registry, away=lambda: len(impairments())))
    handlers: Mapping[str, ASGIApp] = {
        SEARCH_EVENTS: Guarded(directory, "events:read", readings.search_events),
        READ_EVENT: Guarded(directory, "events:read", readings.read_event),
    }
    return HttpFunction(name="query", folder=folder, handlers=handlers, impairments=impairments)


class Readings:
    """The handlers."""

    def __init__(self, telemetry: QueryTelemetry) -> None:
        self._telemetry = telemetry

    async def search_events(self, request: Request, caller: Caller[QueryShard]) -> Response:
        """Answer one page."""
        with self._telemetry.answering(SEARCH_EVENTS):
            search = parse_search(_parameters(request, caller))
            page = await caller.shard.query.page(_reader(caller), search)
            self._telemetry.events.inc(len(page.events))
            return _json(page_answer(page, caller.tenant.name))

    async def read_event(self, request: Request, caller: Caller[QueryShard]) -> Response:
        """Answer one event."""
        with self._telemetry.answering(READ_EVENT):
            refuse_parameters(_parameters(request, caller))
            event = await caller.shard.query.event(_reader(caller), request.path_params["id"])
            self._telemetry.events.inc()
            return _json(event_answer(event, caller.tenant.name))


def _impairments(folder: ShardFolder[QueryShard]) -> dict[ShardId, str]:
    found = ((shard_id, shard.impairment()) for shard_id, shard in folder.serving.items())
    return {shard_id: impairment for shard_id, impairment in found if impairment is not None}


def _reader(caller: Caller[QueryShard]) -> Reader:
    tenant = caller.tenant
    return Reader(
        tenant_id=tenant.tenant_id,
        secret=caller.secret,
        concurrency=tenant.query_concurrency,
        share=_POOLED_SHARE if tenant.pooled else MAX_CONNECTIONS,
    )


def _parameters(request: Request, caller: Caller[QueryShard]) -> list[tuple[str, str]]:
    """Return the decoded query string. `tenant_id` may only confirm the credential's tenant, as in a body."""
    try:
        text = request.scope["query_string"].decode()
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise InvalidQuery("query", "not UTF-8") from None
    except ValueError:
        raise InvalidQuery("query", f"more than {_MAX_PARAMETERS} parameters") from None
    named = {value for name, value in pairs if name == "tenant_id"}
    if named - {caller.tenant.tenant_id, caller.tenant.name}:
        raise Forbidden("tenant_id names another tenant than the credential")
    return [pair for pair in pairs if pair[0] != "tenant_id"]


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
