"""What the installation decides for the pods of every tenant."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from audit_core.tenant import namespace
from audit_operator.model.audittenant import AuditTenant

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object as JSON, with the fields that are ours and no others."""


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """The Gateway that routes attach to; a tenant's host is its name under `domain`."""

    name: str
    namespace: str
    domain: str


class Egress(msgspec.Struct, frozen=True, kw_only=True):
    """Where NATS and PostgreSQL are reached. With neither networks nor namespaces: anywhere, at these ports."""

    cidrs: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    nats_port: int = 4222
    postgres_port: int = 5432


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """The image of the functions and their surroundings."""

    image: str
    nats_url: str
    operator_namespace: str
    operator_service_account: str
    secrets_cluster_role: str
    installation: str = "audit-log"
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    image_pull_secrets: tuple[str, ...] = ()
    log_level: str = "info"
    backup: Literal["archive", "none"] = "none"
    gateway: Gateway | None = None
    egress: Egress = Egress()

    def host(self, tenant: AuditTenant) -> str | None:
        """Return the host name of a tenant behind the Gateway, None where there is none."""
        return None if self.gateway is None else f"{tenant.name}.{self.gateway.domain}"

    def endpoint(self, tenant: AuditTenant) -> str:
        """Return where the tenant's events are posted; empty for a pooled tenant, whose address the chart decides."""
        if (host := self.host(tenant)) is not None:
            return f"https://{host}"
        return "" if tenant.is_pooled else f"http://ingest.{namespace(tenant.name)}.svc"
