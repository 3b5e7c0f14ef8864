"""Names, labels and owners of objects."""

from __future__ import annotations

from typing import Final

from audit_core.tenant import namespace
from audit_operator.model.audittenant import API_VERSION, KIND, AuditTenant
from audit_operator.resources.platform import Manifest

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
OPERATOR: Final = "audit-operator"
PART_OF: Final = "app.kubernetes.io/part-of"
NAME: Final = "app.kubernetes.io/name"
TENANT: Final = "auditlog.dev/tenant"
CLIENT: Final = "auditlog.dev/client"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""The label that the API server gives every namespace."""


def labels(tenant: AuditTenant, function: str | None = None) -> dict[str, str]:
    """Return the labels of a tenant's object, of one of its functions if that is named."""
    own = {} if function is None else {NAME: function}
    return {MANAGED_BY: OPERATOR, PART_OF: "audit-log", TENANT: tenant.name, **own}


def selector(tenant: AuditTenant, function: str) -> dict[str, str]:
    """Return what finds the pods of one function. It never changes: a Deployment's is immutable."""
    return {NAME: function, TENANT: tenant.name}


def metadata(tenant: AuditTenant, name: str, function: str | None = None) -> Manifest:
    """Return the metadata of an object in the tenant's namespace."""
    return {
        "name": name,
        "namespace": namespace(tenant.name),
        "labels": labels(tenant, function),
        "ownerReferences": [owner(tenant)],
    }


def owner(tenant: AuditTenant) -> Manifest:
    """Return the reference by which an object goes with its tenant."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": tenant.name,
        "uid": tenant.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
