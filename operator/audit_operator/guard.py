"""`python -m audit_operator.guard`: refuse to go on while there are AuditTenants.

Run before the chart is uninstalled: without the operator nobody takes the finalizer off a tenant, and its deletion would
wait for ever.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from audit_operator.clients.kubernetes import Kubernetes
from audit_operator.clients.kubernetes_errors import KubernetesError, NotFound
from audit_operator.clients.kubernetes_kinds import AUDIT_TENANT
from audit_operator.clients.kubernetes_transport import configuration

_NAMED: Final = 5


def refusal(tenants: Sequence[str]) -> str | None:
    """Return why the operator must stay, or None when no tenant needs it."""
    if not tenants:
        return None
    more = f" and {len(tenants) - _NAMED} more" if len(tenants) > _NAMED else ""
    names = ", ".join(sorted(tenants)[:_NAMED])
    return f"{len(tenants)} AuditTenants need the operator ({names}{more}): delete them first"


async def present() -> list[str]:
    """Return the names of all AuditTenants; none where the kind itself is gone. Raises KubernetesError."""
    async with Kubernetes(await configuration()) as kubernetes:
        try:
            found = await kubernetes.list(AUDIT_TENANT)
        except NotFound:
            return []
    return [each["metadata"]["name"] for each in found]


def main() -> None:
    """Exit with a sentence unless the operator may go."""
    try:
        reason = refusal(asyncio.run(present()))
    except KubernetesError as error:
        sys.exit(f"cannot tell whether there are AuditTenants: {error}")
    if reason is not None:
        sys.exit(reason)


if __name__ == "__main__":
    main()
