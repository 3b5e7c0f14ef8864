"""Which objects make a tenant."""

from __future__ import annotations

from audit_operator.model.audittenant import AuditTenant
from audit_operator.resources.function import deployment, service
from audit_operator.resources.namespace import (
    limit_range,
    namespace,
    resource_quota,
    secrets_binding,
    service_account,
)
from audit_operator.resources.network import policies
from audit_operator.resources.platform import Manifest, Platform
from audit_operator.resources.route import route
from audit_operator.resources.scale import FUNCTIONS, SCALED, autoscaler, autoscaling, disruption_budget


def manifests(tenant: AuditTenant, platform: Platform) -> tuple[Manifest, ...]:
    """Return everything that a tenant has in the cluster but its Secrets, in the order to make it in.

    A pooled tenant has nothing of its own: the installation's functions serve it.
    """
    if tenant.is_pooled:
        return ()
    return (
        namespace(tenant),
        secrets_binding(tenant, platform),
        service_account(tenant),
        resource_quota(tenant),
        limit_range(tenant),
        *policies(tenant, platform),
        *(service(tenant, function) for function in FUNCTIONS),
        *(deployment(tenant, function, platform) for function in FUNCTIONS),
        *_scaling(tenant),
        *([] if platform.gateway is None else [route(tenant, platform, platform.gateway)]),
    )


def _scaling(tenant: AuditTenant) -> list[Manifest]:
    bounds = {function: autoscaling(tenant, function) for function in SCALED}
    return [
        *(autoscaler(tenant, function, each) for function, each in bounds.items() if each is not None),
        *(disruption_budget(tenant, function) for function in SCALED),
    ]
