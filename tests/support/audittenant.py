"""Builders of AuditTenant resources."""

from __future__ import annotations

from typing import Any

from audit_operator.model.audittenant import API_VERSION, KIND, AuditTenant
from audit_operator.model.decoding import audit_tenant


def a_tenant_resource(name: str = "acme", generation: int | None = None, **spec: Any) -> dict[str, Any]:
    """Build a resource as YAML or the API server gives it."""
    metadata: dict[str, Any] = {"name": name}
    if generation is not None:
        metadata["generation"] = generation
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}


def a_tenant(name: str = "acme", generation: int | None = None, **spec: Any) -> AuditTenant:
    """Build a decoded resource."""
    return audit_tenant(a_tenant_resource(name, generation, **spec))


def a_pooled_tenant(name: str = "globex", keep: str = "90d", **spec: Any) -> AuditTenant:
    """Build a decoded resource of a pool."""
    return a_tenant(name, isolation="Pooled", retention={"keep": keep}, **spec)
