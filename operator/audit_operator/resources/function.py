"""One function of a Dedicated tenant: its Deployment and its Service."""

from __future__ import annotations

from audit_operator.model.audittenant import AuditTenant
from audit_operator.resources.metadata import metadata, selector
from audit_operator.resources.platform import Manifest, Platform
from audit_operator.resources.pod import pod
from audit_operator.resources.scale import SURGE, fixed_replicas


def deployment(tenant: AuditTenant, function: str, platform: Platform) -> Manifest:
    """Return the pods of a function. A new one is there before an old one goes: two writers are safe, by the fence."""
    spec: Manifest = {
        "selector": {"matchLabels": selector(tenant, function)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": SURGE, "maxUnavailable": 0}},
        "template": pod(tenant, function, platform),
    }
    if (replicas := fixed_replicas(tenant, function)) is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(tenant, function, function),
        "spec": spec,
    }


def service(tenant: AuditTenant, function: str) -> Manifest:
    """Return the address of a function inside the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(tenant, function, function),
        "spec": {
            "selector": selector(tenant, function),
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        },
    }
