"""The namespace of a Dedicated tenant, and what bounds whatever runs in it."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from audit_core.tenant import namespace as namespace_of
from audit_operator.model.audittenant import AuditTenant
from audit_operator.resources.metadata import labels, metadata, owner
from audit_operator.resources.platform import Manifest, Platform
from audit_operator.resources.pod import SERVICE_ACCOUNT, resources_of
from audit_operator.resources.quantity import in_bytes, in_processors
from audit_operator.resources.scale import FUNCTIONS, most_pods

NAME: Final = "audit-tenant"
BINDING: Final = "audit-operator-secrets"


def namespace(tenant: AuditTenant) -> Manifest:
    """Return the namespace. Pods that are less than restricted are refused in it."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace_of(tenant.name),
            "labels": labels(tenant) | levels,
            "ownerReferences": [owner(tenant)],
        },
    }


def secrets_binding(tenant: AuditTenant, platform: Platform) -> Manifest:
    """Return what lets the operator handle Secrets in this namespace; elsewhere it has no such right."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata(tenant, BINDING),
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": platform.secrets_cluster_role,
        },
        "subjects": [
            {
                "kind": "ServiceAccount",
                "name": platform.operator_service_account,
                "namespace": platform.operator_namespace,
            }
        ],
    }


def service_account(tenant: AuditTenant) -> Manifest:
    """Return the identity of the functions, which may do nothing and gets no token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(tenant, SERVICE_ACCOUNT),
        "automountServiceAccountToken": False,
    }


def resource_quota(tenant: AuditTenant) -> Manifest:
    """Return the most that the namespace may hold: every function at its largest, in the middle of an update."""
    pods = sum(most_pods(tenant, function) for function in FUNCTIONS)
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(tenant, NAME),
        "spec": {
            "hard": {
                "count/services": "8",
                "persistentvolumeclaims": "0",
                "pods": str(pods),
                "requests.cpu": in_processors(_total(tenant, "cpu")),
                "requests.memory": in_bytes(_total(tenant, "memory")),
            }
        },
    }


def limit_range(tenant: AuditTenant) -> Manifest:
    """Return what a container gets that asks for nothing, as ours do not: one that somebody starts to look around."""
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(tenant, NAME),
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    "default": {"memory": "256Mi"},
                    "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
                }
            ]
        },
    }


def _total(tenant: AuditTenant, resource: str) -> Decimal:
    """Return what all pods together may request of a resource."""
    return sum(
        (
            resources_of(tenant, function).requests[resource].amount * most_pods(tenant, function)
            for function in FUNCTIONS
        ),
        start=Decimal(0),
    )
