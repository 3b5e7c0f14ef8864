"""What an HTTP function hands to the composition root."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.types import ASGIApp

from audit_core.tenant import ShardId
from audit_functions.web.immediate import Immediate
from audit_functions.web.shards import ShardFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpFunction:
    """One function of a process: its shards, and by `operation_id` the ASGI apps for its rows of the route table.

    `immediate` serves small requests of some rows in place of their app, where the server can do that. `tasks` run as long as the process does, beside `folder.run`, and must not end. `impairments` says by shard what
    hampers the function without being a reason to send requests elsewhere.
    """

    name: Literal["ingest", "query"]
    folder: ShardFolder[Any]
    handlers: Mapping[str, ASGIApp]
    immediate: Mapping[str, Immediate] = field(default_factory=dict)
    tasks: Mapping[str, Callable[[], Coroutine[Any, Any, None]]] = field(default_factory=dict)
    impairments: Callable[[], Mapping[ShardId, str]] = dict
