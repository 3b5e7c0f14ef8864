"""A tenant that is deleted while the operator may change nothing keeps its endpoint, and ends afterwards."""

from __future__ import annotations

import pytest

from tests.support.operator import Installation
from tests.support.postgres import connected


async def removed(installation: Installation, name: str) -> bool:
    """Tell whether PostgreSQL has a tenant as removed."""
    async with connected(installation.dsn) as admin:
        return bool(
            await admin.fetchval("SELECT removed_at IS NOT NULL FROM control.tenant WHERE name = $1", name)
        )


@pytest.mark.slow
async def test_a_deletion_waits_until_the_operator_may_write(installation: Installation) -> None:
    installation.start()
    installation.tenant("acme", ingest={"replicas": 1}, query={"replicas": 1})
    installation.wait("acme")
    installation.stop()

    installation.start(AUDIT_READ_ONLY="true")
    installation.cluster.kubectl("delete", "at", "acme", "--wait=false")
    installation.eventually(
        lambda: "change_withheld verb=end object=AuditTenant" in installation.log().read_text(),
        "it tells that it would end the tenant",
        name="acme",
    )
    assert not await removed(installation, "acme")
    assert "deletionTimestamp" in installation.get("acme")["metadata"]
    installation.cluster.kubectl("get", "namespace", "audit-acme")
    installation.stop()

    installation.start()
    installation.cluster.kubectl("wait", "--for=delete", "at/acme", "--timeout=120s")
    assert await removed(installation, "acme")
