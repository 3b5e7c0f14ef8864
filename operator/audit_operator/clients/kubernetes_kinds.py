"""The kinds that the operator handles, where the API server keeps them, and how one object is pointed at.

A table instead of discovery: the list is short, known, and the same as the rules that allow it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

Object = dict[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `api_version` is as in a manifest: `v1`, `apps/v1`."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None = None) -> str:
        """Return the path of all objects, or of those in one namespace."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        inside = f"/namespaces/{quote(namespace, safe='')}" if self.namespaced and namespace else ""
        return f"{root}{inside}/{self.plural}"


@dataclass(frozen=True, slots=True)
class Ref:
    """Where one object is, or would be. `namespace` is None for a kind that has none."""

    kind: Kind
    name: str
    namespace: str | None = None

    def __post_init__(self) -> None:
        assert bool(self.namespace) == self.kind.namespaced, f"{self.kind.name} {self.name}: namespace"

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.kind.path(self.namespace)}/{quote(self.name, safe='')}"

    def __str__(self) -> str:
        return "/".join(part for part in (self.kind.name, self.namespace, self.name) if part)


AUDIT_TENANT: Final = Kind("auditlog.dev/v1alpha1", "AuditTenant", "audittenants", namespaced=False)
NAMESPACE: Final = Kind("v1", "Namespace", "namespaces", namespaced=False)
SECRET: Final = Kind("v1", "Secret", "secrets")
SERVICE: Final = Kind("v1", "Service", "services")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
RESOURCE_QUOTA: Final = Kind("v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGE: Final = Kind("v1", "LimitRange", "limitranges")
DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
AUTOSCALER: Final = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
DISRUPTION_BUDGET: Final = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY: Final = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
ROLE_BINDING: Final = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
HTTP_ROUTE: Final = Kind("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")
EVENT: Final = Kind("events.k8s.io/v1", "Event", "events")

KINDS: Final[Mapping[tuple[str, str], Kind]] = {
    (kind.api_version, kind.name): kind
    for kind in (
        AUDIT_TENANT,
        NAMESPACE,
        SECRET,
        SERVICE,
        SERVICE_ACCOUNT,
        RESOURCE_QUOTA,
        LIMIT_RANGE,
        DEPLOYMENT,
        AUTOSCALER,
        DISRUPTION_BUDGET,
        NETWORK_POLICY,
        ROLE_BINDING,
        HTTP_ROUTE,
        LEASE,
        EVENT,
    )
}


def ref_of(manifest: Mapping[str, Any]) -> Ref:
    """Point at the object that a manifest describes. Raises KeyError for a kind that the operator does not handle."""
    kind = KINDS[manifest["apiVersion"], manifest["kind"]]
    metadata = manifest["metadata"]
    return Ref(kind, metadata["name"], metadata.get("namespace"))
