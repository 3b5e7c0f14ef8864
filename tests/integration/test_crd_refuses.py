"""The API server itself refuses what no tenant can be, at the field and in words that say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from audit_operator.clients.kubernetes_errors import Invalid
from tests.support.audittenant import a_tenant_resource
from tests.support.crd import TenantApi
from tests.support.refused_tenants import RefusedTenant, refused_tenants


@pytest.mark.parametrize("refused", refused_tenants(), ids=lambda refused: refused.case)
async def test_a_wrong_tenant_is_refused_with_field_and_reason(
    tenant_api: TenantApi, refused: RefusedTenant
) -> None:
    with pytest.raises(Invalid) as caught:
        await tenant_api.rehearse(refused.resource)
    assert f"{refused.server_path}: " in caught.value.message
    assert refused.server in caught.value.message


@pytest.mark.parametrize(
    "spec",
    [{"quota": {}}, {"stream": {"maxAge": "1h"}}, {"retention": {"confirmShorter": "1d"}}],
    ids=["quota", "stream-max-age", "confirm-shorter"],
)
async def test_a_field_that_nothing_serves_is_unknown(tenant_api: TenantApi, spec: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r'unknown field "spec\.'):
        await tenant_api.rehearse(a_tenant_resource(**spec), strict=True)


async def test_a_tenant_needs_a_spec(tenant_api: TenantApi) -> None:
    resource = a_tenant_resource()
    del resource["spec"]
    with pytest.raises(Invalid, match="spec: Required value"):
        await tenant_api.rehearse(resource)
