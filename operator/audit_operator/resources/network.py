"""Who may talk to whom: nothing, but what is listed.

Ingest reaches NATS and not PostgreSQL: what takes events from outside cannot touch what is stored.
"""

from __future__ import annotations

from typing import Final

from audit_operator.model.audittenant import AllowFrom, AuditTenant
from audit_operator.resources.metadata import CLIENT, NAMESPACE_NAME, metadata, selector
from audit_operator.resources.platform import Egress, Manifest, Platform
from audit_operator.resources.pod import PORT

DENY: Final = "default-deny"
MONITORING: Final = "auditlog.dev/monitoring"
"""The label, "true", of namespaces whose pods may read metrics."""


def policies(tenant: AuditTenant, platform: Platform) -> tuple[Manifest, ...]:
    """Return every policy of the tenant's namespace."""
    callers = _callers(tenant, platform)
    nats, postgres = platform.egress.nats_port, platform.egress.postgres_port
    return (
        _deny(tenant),
        _policy(tenant, "ingest", [*callers, *_monitoring()], _egress(platform.egress, nats)),
        _policy(tenant, "query", [*callers, *_monitoring()], _egress(platform.egress, nats, postgres)),
        _policy(tenant, "writer", _monitoring(), _egress(platform.egress, nats, postgres)),
    )


def _deny(tenant: AuditTenant) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(tenant, DENY),
        # The empty lists are ours as well: a rule that somebody adds to them is taken out again.
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []},
    }


def _policy(tenant: AuditTenant, function: str, sources: list[Manifest], egress: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(tenant, function, function),
        "spec": {
            "podSelector": {"matchLabels": selector(tenant, function)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": sources, "ports": [{"protocol": "TCP", "port": PORT}]}],
            "egress": egress,
        },
    }


def _callers(tenant: AuditTenant, platform: Platform) -> list[Manifest]:
    allowed = [_source(each) for each in tenant.spec.ingest.allow_from]
    sources = allowed or [{"namespaceSelector": {"matchLabels": {CLIENT: "true"}}}]
    if platform.gateway is not None:
        sources.append(_in_namespace(platform.gateway.namespace))
    return sources


def _source(allowed: AllowFrom) -> Manifest:
    if allowed.cidr is not None:
        return {"ipBlock": {"cidr": allowed.cidr}}
    assert allowed.namespace is not None, "exactly one of the two, by the rules"
    return _in_namespace(allowed.namespace)


def _monitoring() -> list[Manifest]:
    return [{"namespaceSelector": {"matchLabels": {MONITORING: "true"}}}]


def _in_namespace(name: str) -> Manifest:
    return {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: name}}}


def _egress(egress: Egress, *ports: int) -> list[Manifest]:
    targets = [
        *({"ipBlock": {"cidr": cidr}} for cidr in egress.cidrs),
        *(_in_namespace(name) for name in egress.namespaces),
    ]
    servers: Manifest = {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
    if targets:
        servers = {"to": targets, **servers}
    names: Manifest = {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
    return [names, servers]
