"""AuditTenants, as kopf's watch tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import kopf

from audit_operator.clients.kubernetes_kinds import AUDIT_TENANT, Object
from audit_operator.reconcile.queue import WorkQueue

GROUP, VERSION = AUDIT_TENANT.api_version.split("/")


@dataclass(frozen=True, slots=True)
class Seen:
    """Where handlers leave what they saw: each resource by its name, and the name on the queue."""

    resources: dict[str, Object]
    tenants: WorkQueue

    def take(self, event: str | None, found: Object) -> None:
        """Note that a resource is there, was changed or is gone."""
        name = found["metadata"]["name"]
        found["metadata"].pop("managedFields", None)
        if event == "DELETED":
            self.resources.pop(name, None)
        else:
            known = self.resources.get(name)
            if known is not None and _version(known) >= _version(found) and _uid(known) == _uid(found):
                return
            self.resources[name] = found
        self.tenants.add(name)


def registry() -> kopf.OperatorRegistry:
    """Return the handlers, for an operator of their own."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def login(**how: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**how) or kopf.login_with_kubeconfig(**how)

    @kopf.on.event(GROUP, VERSION, AUDIT_TENANT.plural, registry=handlers)
    async def tenant_seen(event: kopf.RawEvent, memo: Seen, **_: Any) -> None:
        memo.take(event["type"], dict(event["object"]))

    return handlers


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])


def _uid(found: Object) -> str:
    return str(found["metadata"]["uid"])
