"""The way from a Gateway to the functions: one host, told apart by the method."""

from __future__ import annotations

from typing import Final

from audit_operator.model.audittenant import AuditTenant
from audit_operator.resources.metadata import metadata
from audit_operator.resources.platform import Gateway, Manifest, Platform

NAME: Final = "audit"
WRITTEN: Final = ("/api/v1/audit",)
READ: Final = ("/api/v1/audit", "/docs", "/health", "/openapi.json")
"""What is led to from outside, and below. Not /metrics, /healthz and /readyz: they ask for no credential."""
_STREAMED: Final = {"request": "0s"}
"""No limit: a stream of lines, an export and a tail last as long as they last."""


def route(tenant: AuditTenant, platform: Platform, gateway: Gateway) -> Manifest:
    """Return the route of the tenant's host: what writes goes to ingest, what reads to query."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(tenant, NAME),
        "spec": {
            "parentRefs": [
                {
                    "group": "gateway.networking.k8s.io",
                    "kind": "Gateway",
                    "name": gateway.name,
                    "namespace": gateway.namespace,
                }
            ],
            "hostnames": [str(platform.host(tenant))],
            "rules": [_rule("ingest", ("POST",), WRITTEN), _rule("query", ("GET", "HEAD"), READ)],
        },
    }


def _rule(function: str, methods: tuple[str, ...], paths: tuple[str, ...]) -> Manifest:
    return {
        "matches": [
            {"method": method, "path": {"type": "PathPrefix", "value": path}}
            for method in methods
            for path in paths
        ],
        "backendRefs": [{"group": "", "kind": "Service", "name": function, "port": 80, "weight": 1}],
        "timeouts": dict(_STREAMED),
    }
