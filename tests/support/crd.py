"""AuditTenants asked of a real API server in the plainest way: one request, one answer, nothing written by default."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest
import yaml

from audit_operator.clients.kubernetes_kinds import AUDIT_TENANT, Object
from audit_operator.clients.kubernetes_transport import Request, Transport, configuration
from audit_operator.telemetry import KubernetesTelemetry
from tests.support.cluster import Cluster

CRD_PATH: Final = Path(__file__).parents[2] / "crds" / "audittenants.yaml"
MERGE: Final = "application/merge-patch+json"


def spec_schema() -> dict[str, Any]:
    """Return the schema of `spec` as the CustomResourceDefinition has it."""
    return whole_schema()["properties"]["spec"]  # type: ignore[no-any-return]  # YAML is untyped


def whole_schema() -> dict[str, Any]:
    """Return the schema of an AuditTenant as the CustomResourceDefinition has it."""
    definition = yaml.safe_load(CRD_PATH.read_text())
    (version,) = definition["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]  # type: ignore[no-any-return]  # YAML is untyped


class TenantApi:
    """The resource as an API server serves it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    async def at(cls, kubeconfig: Path) -> Self:
        """Return the resource at the server of a kubeconfig."""
        return cls(Transport(await configuration(str(kubeconfig)), KubernetesTelemetry()))

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def rehearse(self, resource: Object, *, strict: bool = False) -> Object:
        """Return what would be created. Raises Invalid. Without `strict`, fields that the schema lacks are dropped."""
        query = {"dryRun": "All", "fieldValidation": "Strict" if strict else "Ignore"}
        return await self._send("POST", AUDIT_TENANT.path(), query, resource)

    async def create(self, resource: Object) -> Object:
        """Create a resource for the time of a test."""
        return await self._send("POST", AUDIT_TENANT.path(), {}, resource)

    async def patch(self, name: str, change: Object, subresource: str = "") -> Object:
        """Merge a change into a resource, or into its status or scale."""
        suffix = f"/{subresource}" if subresource else ""
        return await self._send("PATCH", f"{AUDIT_TENANT.path()}/{name}{suffix}", {}, change, MERGE)

    async def get(self, name: str, subresource: str = "") -> Object:
        """Return a resource, or its status or scale."""
        suffix = f"/{subresource}" if subresource else ""
        return await self._send("GET", f"{AUDIT_TENANT.path()}/{name}{suffix}", {})

    async def delete(self, name: str) -> None:
        """Delete a resource, whatever waits for it to do something first."""
        await self.patch(name, {"metadata": {"finalizers": None}})
        await self._send("DELETE", f"{AUDIT_TENANT.path()}/{name}", {})

    async def names(self, field_selector: str) -> set[str]:
        """Return the names of the resources that a field selector selects."""
        found = await self._send("GET", AUDIT_TENANT.path(), {"fieldSelector": field_selector})
        return {item["metadata"]["name"] for item in found["items"]}

    async def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Object | None = None,
        content_type: str = "application/json",
    ) -> Object:
        request = Request(method.lower(), method, AUDIT_TENANT, path, query, body, content_type)
        return await self._transport.send(request)


@pytest.fixture(scope="session")
def crd(cluster: Cluster) -> Cluster:
    """Give the cluster with the CustomResourceDefinition installed."""
    cluster.kubectl("apply", "--server-side", "--filename", str(CRD_PATH))
    cluster.kubectl("wait", "--for=condition=Established", "crd/audittenants.auditlog.dev")
    return cluster


@pytest.fixture
async def tenant_api(crd: Cluster) -> AsyncIterator[TenantApi]:
    """Give the resource at the server of the test run."""
    async with await TenantApi.at(crd.kubeconfig) as api:
        yield api
