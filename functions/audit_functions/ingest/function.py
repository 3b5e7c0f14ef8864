"""Ingest as a function of a process: its shards and its endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from starlette.types import ASGIApp

from audit_core.tenant import ShardId
from audit_functions.ingest.body import Budget, Patience
from audit_functions.ingest.edge import Edge
from audit_functions.ingest.http import Batch, Single
from audit_functions.ingest.immediate import ImmediateSingle
from audit_functions.ingest.kubernetes import KubernetesList
from audit_functions.ingest.opening import CREDENTIALS, open_shard
from audit_functions.ingest.service import Ingest
from audit_functions.ingest.shard import IngestShard
from audit_functions.settings import Settings
from audit_functions.telemetry import Telemetry
from audit_functions.web.auth import Directory
from audit_functions.web.function import HttpFunction
from audit_functions.web.shard_files import ShardFiles
from audit_functions.web.shards import ShardFolder


def ingest_function(settings: Settings, telemetry: Telemetry) -> HttpFunction:
    """Return the function; nothing runs yet."""

    def opened(shard_id: ShardId, files: ShardFiles) -> AbstractAsyncContextManager[IngestShard]:
        return open_shard(settings.nats_url, shard_id, files, telemetry)

    folder = ShardFolder(settings.shards, (CREDENTIALS,), opened, able=lambda shard: shard.problem() is None)
    budget, patience = Budget(settings.max_inflight_bytes), Patience()
    telemetry.inflight_bytes = lambda: budget.used
    telemetry.shards = lambda: len(folder.serving)
    edge = Edge(
        directory=Directory(folder.serving, folder.awaited),
        ingest=Ingest(telemetry),
        budget=budget,
        patience=patience,
        telemetry=telemetry,
    )
    handlers: Mapping[str, ASGIApp] = {
        endpoint.operation: endpoint(edge) for endpoint in (Single, Batch, KubernetesList)
    }
    return HttpFunction(
        name="ingest",
        folder=folder,
        handlers=handlers,
        immediate={Single.operation: ImmediateSingle(edge)},
        tasks={"slow_bodies": patience.run},
    )
