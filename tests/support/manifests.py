"""A platform, tenants on it, and single objects of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from audit_operator.model.audittenant import AuditTenant
from audit_operator.resources.platform import Egress, Gateway, Manifest, Platform
from tests.support.audittenant import a_tenant

UID: Final = "0c6a1b1e-5f0e-4a0b-9f6e-000000000001"
IMAGE: Final = f"registry.example/audit-functions@sha256:{'0123456789abcdef' * 4}"
GATEWAY: Final = Gateway(name="public", namespace="gateways", domain="audit.example")
WRITTEN_BY_HAND: Final = Path(__file__).with_name("dedicated_tenant.yaml")


def a_platform(**changed: Any) -> Platform:
    """Build a platform with a gateway."""
    platform = Platform(
        image=IMAGE,
        nats_url="nats://nats.nats.svc:4222",
        operator_namespace="audit-system",
        operator_service_account="audit-operator",
        secrets_cluster_role="audit-operator-tenant-secrets",
        backup="archive",
        gateway=GATEWAY,
        egress=Egress(),
    )
    return msgspec.structs.replace(platform, **changed)


def a_known_tenant(name: str = "acme", *, uid: str = UID, **spec: Any) -> AuditTenant:
    """Build a tenant as the API server has it: with a uid."""
    tenant = a_tenant(name, **spec)
    return msgspec.structs.replace(tenant, metadata=msgspec.structs.replace(tenant.metadata, uid=uid))


def by_name(objects: Iterable[Manifest]) -> dict[str, Manifest]:
    """Return objects by `Kind/name`."""
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in objects}


def written_by_hand() -> list[Manifest]:
    """Read what a tenant with nothing but its name is made of, anew each time."""
    objects = yaml.safe_load(WRITTEN_BY_HAND.read_text(encoding="utf-8"))
    unshared = msgspec.json.encode(objects)  # anchors make YAML share parts
    return msgspec.json.decode(unshared, type=list[Manifest])
