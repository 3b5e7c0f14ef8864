"""The namespace of a Dedicated tenant, and what bounds whatever runs in it."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Final

from audit_core.tenant import namespace as namespace_of
from audit_operator.model.audittenant import AuditTenant
from audit_operator.model.quantity import ResourceQuantity
from audit_operator.resources.metadata import labels, metadata, owner
from audit_operator.resources.platform import Manifest, Platform
from audit_operator.resources.pod import SERVICE_ACCOUNT, resources_of
from audit_operator.resources.scale import FUNCTIONS, most_replicas

NAME: Final = "audit-tenant"
BINDING: Final = "audit-operator-secrets"
_DEFAULT_REQUEST: Final = {"cpu": "100m", "memory": "128Mi"}
_SURGE: Final = 1
"""Pods of each function that a rolling update adds."""


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
    pods = sum(most_replicas(tenant, function) + _SURGE for function in FUNCTIONS)
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(tenant, NAME),
        "spec": {
            "hard": {
                "count/services": "8",
                "persistentvolumeclaims": "0",
                "pods": str(pods),
                "requests.cpu": _canonical(_total(tenant, "cpu")),
                "requests.memory": _canonical(_total(tenant, "memory")),
            }
        },
    }


def limit_range(tenant: AuditTenant) -> Manifest:
    """Return what a container gets that asks for nothing."""
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(tenant, NAME),
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    "default": {"memory": "256Mi"},
                    "defaultRequest": dict(_DEFAULT_REQUEST),
                }
            ]
        },
    }


def _total(tenant: AuditTenant, resource: str) -> Decimal:
    """Return what all pods together may request of a resource; one that asks for nothing gets the default."""
    default = ResourceQuantity(_DEFAULT_REQUEST[resource])
    total = Decimal(0)
    for function in FUNCTIONS:
        asked = resources_of(tenant, function)
        # The API server takes a limit for the request where only that is given.
        each = asked.requests.get(resource) or asked.limits.get(resource) or default
        total += each.amount * (most_replicas(tenant, function) + _SURGE)
    return total


def _canonical(amount: Decimal) -> str:
    """Return an amount as the API server writes it: whole, or in thousandths."""
    thousandths = math.ceil(amount * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)
