"""Where the API server keeps the objects that stand for a tenant, and what is in them for us to compare."""

from __future__ import annotations

import copy
from typing import Any, Final

from tests.support.api import Api

KINDS: Final[dict[str, str]] = {
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "LimitRange": "/api/v1/namespaces/{}/limitranges",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Service": "/api/v1/namespaces/{}/services",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}
"""The kinds inside a tenant's namespace, and the paths of their collections."""
OURS: Final = "app.kubernetes.io%2Fmanaged-by=audit-operator"
_SERVERS_OWN: Final = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


def namespace_path(tenant: str) -> str:
    """Return where the namespace of a tenant is."""
    return f"/api/v1/namespaces/audit-{tenant}"


def path_of(tenant: str, kind: str, name: str) -> str:
    """Return where one object of a tenant is."""
    return f"{KINDS[kind].format(f'audit-{tenant}')}/{name}"


def objects_of(api: Api, tenant: str) -> dict[str, dict[str, Any]]:
    """Return a tenant's objects by their paths, the namespace among them, without what differs between equal ones."""
    found = {}
    if (namespace := api.find(namespace_path(tenant))) is not None:
        found[namespace_path(tenant)] = bare(namespace)
    for collection in KINDS.values():
        path = collection.format(f"audit-{tenant}")
        for each in api.get(f"{path}?labelSelector={OURS}")["items"]:
            found[f"{path}/{each['metadata']['name']}"] = bare(each)
    return found


def bare(found: dict[str, Any]) -> dict[str, Any]:
    """Return an object without its status and what the server alone decides."""
    kept = copy.deepcopy(
        {key: value for key, value in found.items() if key not in ("status", "kind", "apiVersion")}
    )
    for name in _SERVERS_OWN:
        kept["metadata"].pop(name, None)
    kept["metadata"].pop("annotations", None)
    for owner in kept["metadata"].get("ownerReferences", ()):
        owner.pop("uid")
    for name in ("clusterIP", "clusterIPs"):
        kept.get("spec", {}).pop(name, None)
    return kept
