"""The way from a Gateway to the functions: one host, told apart by the method."""

from __future__ import annotations

from typing import Final

from audit_operator.model.audittenant import AuditTenant
from audit_operator.resources.metadata import metadata
from audit_operator.resources.platform import Gateway, Manifest, Platform

NAME: Final = "audit"
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
            "rules": [_rule("ingest", ("POST",)), _rule("query", ("GET", "HEAD", "OPTIONS"))],
        },
    }


def _rule(function: str, methods: tuple[str, ...]) -> Manifest:
    return {
        "matches": [{"method": method, "path": {"type": "PathPrefix", "value": "/"}} for method in methods],
        "backendRefs": [{"group": "", "kind": "Service", "name": function, "port": 80, "weight": 1}],
        "timeouts": dict(_STREAMED),
    }
