"""What one row of the route table says. Dispatch, scopes and OpenAPI read the same rows.

Each function exports its rows as `ROUTES`; `audit_functions.app` joins them and `audit_functions.openapi` describes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from audit_core.projection import Scope

FunctionName = Literal["ingest", "query", "process"]
"""Which function serves a route; `process` is what every process serves about itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of a route. `schema` is JSON Schema; a `repeatable` one may be sent several times."""

    name: str
    place: Literal["query", "path", "header"]
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False
    repeatable: bool = False
    example: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body of one media type. `shape` is a type that msgspec can describe, or JSON Schema."""

    media: str
    shape: type | Mapping[str, Any]
    examples: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response other than a problem."""

    status: int
    description: str
    contents: tuple[Content, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation. `scope` None: no credential is asked for. `problems` are the statuses of its RFC 9457 answers."""

    method: Literal["GET", "POST"]
    path: str
    operation_id: str
    function: FunctionName
    scope: Scope | None
    summary: str
    description: str = ""
    tag: str = "Events"
    parameters: tuple[Parameter, ...] = ()
    bodies: tuple[Content, ...] = ()
    replies: tuple[Reply, ...] = ()
    problems: tuple[int, ...] = ()
