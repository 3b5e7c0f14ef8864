"""The rows of the route table that every process serves about itself. None asks for a credential."""

from __future__ import annotations

from typing import Any, Final

from audit_functions.web.health import Health
from audit_functions.web.routes import Content, Reply, Route

HEALTHZ: Final = "getLiveness"
READYZ: Final = "getReadiness"
HEALTH: Final = "getHealth"
METRICS: Final = "getMetrics"
OPENAPI: Final = "getOpenApi"
DOCS: Final = "getDocs"

_JSON: Final = "application/json"
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_OK: Final = {"ok": {"status": "ok", "functions": ["ingest", "query"]}}


def _about_itself(path: str, operation_id: str, summary: str, content: Content, *, may_fail: bool) -> Route:
    replies = [Reply(status=200, description="Yes, or what was asked for.", contents=(content,))]
    if may_fail:
        replies.append(Reply(status=503, description="No; the body says why.", contents=(content,)))
    return Route(
        method="GET",
        path=path,
        operation_id=operation_id,
        function="process",
        scope=None,
        summary=summary,
        tag="Process",
        replies=tuple(replies),
    )


_HEALTH: Final = Content(media=_JSON, shape=Health, examples=_OK)

ROUTES: Final = (
    _about_itself("/healthz", HEALTHZ, "Whether the process lives", _HEALTH, may_fail=True),
    _about_itself("/readyz", READYZ, "Whether the process can do its work", _HEALTH, may_fail=True),
    _about_itself("/health", HEALTH, "The same, for callers of the earlier API", _HEALTH, may_fail=True),
    _about_itself(
        "/metrics",
        METRICS,
        "Metrics for Prometheus",
        Content(media="text/plain", shape=_TEXT),
        may_fail=False,
    ),
    _about_itself(
        "/openapi.json",
        OPENAPI,
        "This document",
        Content(media=_JSON, shape={"type": "object"}),
        may_fail=False,
    ),
    _about_itself(
        "/docs", DOCS, "This document as a page", Content(media="text/html", shape=_TEXT), may_fail=False
    ),
)
