"""OpenAPI 3.1 from the route table and the structs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec

from audit_functions.web.problem import PROBLEM_TYPE, Problem
from audit_functions.web.routes import Content, Parameter, Reply, Route

_REF: Final = "#/components/schemas/{name}"
_REQUEST_ID: Final = {
    "description": "The request's id: the caller's X-Request-ID when it has a harmless form.",
    "schema": {"type": "string"},
}
_RETRY_AFTER: Final = {
    "description": "Seconds to wait before the same request.",
    "schema": {"type": "integer"},
}
_RATE_LIMITS: Final = {
    "RateLimit": {"description": "What is left of the quota.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The quota.", "schema": {"type": "string"}},
}


def openapi(routes: Sequence[Route], *, title: str, version: str, description: str) -> dict[str, Any]:
    """Return the document that describes `routes`."""
    shapes = list(dict.fromkeys([Problem, *_shapes(routes)]))
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REF)
    described = dict(zip(shapes, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, described)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description, "license": {"name": "MIT"}},
        "servers": [{"url": "/", "description": "The host that serves this document."}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "apiKey": {"type": "http", "scheme": "bearer", "description": "An API key: `akl_…`."}
            },
        },
    }


def _shapes(routes: Iterable[Route]) -> Iterable[type]:
    for route in routes:
        for content in _contents(route):
            if isinstance(content.shape, type):
                yield content.shape


def _contents(route: Route) -> Iterable[Content]:
    yield from route.bodies
    for reply in route.replies:
        yield from reply.contents


def _operation(route: Route, described: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "tags": [route.tag],
        "summary": route.summary,
        "security": [{"apiKey": []}] if route.scope is not None else [],
    }
    description = " ".join(part for part in (route.description, _scope_text(route)) if part)
    if description:
        operation["description"] = description
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.bodies:
        operation["requestBody"] = {"required": True, "content": _media(route.bodies, described)}
    operation["responses"] = {str(reply.status): _reply(reply, described) for reply in route.replies} | {
        str(status): _problem(status, described) for status in route.problems
    }
    return operation


def _scope_text(route: Route) -> str:
    return f"Needs a key with the scope `{route.scope}`." if route.scope is not None else ""


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = dict(parameter.schema)
    if parameter.repeatable:
        schema = {"type": "array", "items": schema}
    told: dict[str, Any] = {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required or parameter.place == "path",
        "schema": schema,
    }
    if parameter.repeatable:
        told |= {"style": "form", "explode": True}
    if parameter.example is not None:
        told["example"] = [parameter.example] if parameter.repeatable else parameter.example
    return told


def _media(contents: Iterable[Content], described: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    return {content.media: _content(content, described) for content in contents}


def _content(content: Content, described: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    shape = content.shape
    told: dict[str, Any] = {"schema": described[shape] if isinstance(shape, type) else dict(shape)}
    if content.examples:
        told["examples"] = {name: {"value": value} for name, value in content.examples.items()}
    return told


def _reply(reply: Reply, described: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    told: dict[str, Any] = {"description": reply.description, "headers": {"X-Request-ID": _REQUEST_ID}}
    if reply.contents:
        told["content"] = _media(reply.contents, described)
    return told


def _problem(status: int, described: Mapping[type, dict[str, Any]]) -> dict[str, Any]:
    headers: dict[str, Any] = {"X-Request-ID": _REQUEST_ID}
    if status in (429, 503):
        headers["Retry-After"] = _RETRY_AFTER
    if status == 429:
        headers |= _RATE_LIMITS
    return {
        "description": HTTPStatus(status).phrase,
        "headers": headers,
        "content": {PROBLEM_TYPE: {"schema": described[Problem]}},
    }
