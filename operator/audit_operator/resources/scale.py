"""How many pods a function has: fixed, or between two bounds."""

from __future__ import annotations

from typing import Final

from audit_operator.model.audittenant import AuditTenant, Autoscaling
from audit_operator.resources.metadata import metadata, selector
from audit_operator.resources.platform import Manifest

SCALED: Final = ("ingest", "query")
FUNCTIONS: Final = (*SCALED, "writer")
SURGE: Final = 1
"""Pods of a function that a rolling update starts before an old one has to go."""


def autoscaling(tenant: AuditTenant, function: str) -> Autoscaling | None:
    """Return the bounds between which a function scales, None when its number is fixed."""
    if function not in SCALED:
        return None
    spec = tenant.spec.ingest if function == "ingest" else tenant.spec.query
    if spec.replicas is not None:
        return None
    return spec.autoscaling or Autoscaling()


def fixed_replicas(tenant: AuditTenant, function: str) -> int | None:
    """Return the number of pods to ask for, None where an autoscaler decides: two owners would fight for it.

    The writer has one: its place is guarded by the shard's offset, and a second one would only wait.
    """
    if function not in SCALED:
        return 1
    return (tenant.spec.ingest if function == "ingest" else tenant.spec.query).replicas


def most_replicas(tenant: AuditTenant, function: str) -> int:
    """Return the largest number of pods that can be wanted at once, without those of a rolling update."""
    bounds = autoscaling(tenant, function)
    if bounds is not None:
        return bounds.max_replicas
    return fixed_replicas(tenant, function) or 0


def most_pods(tenant: AuditTenant, function: str) -> int:
    """Return the largest number of pods that can be there at once.

    A rolling update starts a new pod for each old one, and an old one counts against a quota until it has drained.
    """
    return 2 * most_replicas(tenant, function) + SURGE


def autoscaler(tenant: AuditTenant, function: str, bounds: Autoscaling) -> Manifest:
    """Return what scales a function by its use of processors; it grows at once and shrinks after five minutes."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata(tenant, function, function),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": function},
            "minReplicas": bounds.min_replicas,
            "maxReplicas": bounds.max_replicas,
            "metrics": [
                {
                    "type": "Resource",
                    "resource": {
                        "name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": bounds.target_cpu_percent},
                    },
                }
            ],
        },
    }


def disruption_budget(tenant: AuditTenant, function: str) -> Manifest:
    """Return that nodes are emptied one pod at a time, and that pods which do not work anyway hold up nobody."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(tenant, function, function),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(tenant, function)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
