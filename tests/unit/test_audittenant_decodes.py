"""A valid AuditTenant decodes into a value with every default filled in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from audit_core.partitions import PartitionBy
from audit_core.projection import Limits, TenantConfig
from audit_core.tenant import Isolation
from audit_operator.model.audittenant import tenant_config
from audit_operator.model.decoding import audit_tenant
from audit_operator.model.quantity import byte_quantity, shown
from tests.support.audittenant import a_tenant_resource

EXAMPLES = Path(__file__).parents[2] / "examples" / "tenants"
TENANT_ID = "a" * 16


def test_an_empty_spec_is_a_dedicated_active_tenant_with_the_default_limits() -> None:
    tenant = audit_tenant(a_tenant_resource(name="acme"))
    assert tenant_config(tenant, TENANT_ID) == TenantConfig(
        tenant_id=TENANT_ID,
        name="acme",
        state="Active",
        pooled=False,
        limits=Limits(events_per_second=1000, burst=5000, max_event_bytes=65536, max_batch_events=1000),
        query_concurrency=16,
        generation=0,
    )
    assert (tenant.spec.stream.max_bytes, tenant.spec.retention.keep) == (None, "365d")


def test_everything_that_is_set_is_found_again() -> None:
    resource = a_tenant_resource(
        name="globex",
        generation=7,
        displayName="Globex",
        state="ReadOnly",
        isolation="Dedicated",
        ingest={"limits": {"eventsPerSecond": 2, "burst": 3, "maxEventBytes": 262144, "maxBatchEvents": 10}},
        query={"concurrency": 4},
        stream={"maxBytes": "1.5Gi"},
        retention={"keep": "forever", "partitionBy": "day"},
        adopt="abcdefghijklmnop",
    )
    tenant = audit_tenant(resource)
    assert tenant_config(tenant, TENANT_ID) == TenantConfig(
        tenant_id=TENANT_ID,
        name="globex",
        state="ReadOnly",
        limits=Limits(events_per_second=2, burst=3, max_event_bytes=262144, max_batch_events=10),
        query_concurrency=4,
        generation=7,
    )
    assert tenant.spec.stream.max_bytes == 3 << 29
    assert tenant.spec.retention.partition_by is PartitionBy.DAY
    assert tenant.spec.adopt == "abcdefghijklmnop"


def test_a_pooled_tenant_belongs_to_the_pool_of_its_retention() -> None:
    tenant = audit_tenant(a_tenant_resource(isolation="Pooled", retention={"keep": "2555d"}))
    assert (tenant.spec.isolation, tenant.retention_class) == (Isolation.POOLED, "2555d")


def test_what_the_api_server_adds_is_no_obstacle() -> None:
    resource = a_tenant_resource(name="acme")
    resource["metadata"] |= {"uid": "7", "labels": {"a": "b"}, "resourceVersion": "12"}
    resource["status"] = {"conditions": []}
    assert audit_tenant(resource).name == "acme"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_valid_and_named_like_their_files(path: Path) -> None:
    assert audit_tenant(yaml.safe_load(path.read_text())).name == path.stem


def test_the_examples_are_one_dedicated_and_two_pooled_tenants() -> None:
    tenants = [audit_tenant(yaml.safe_load(path.read_text())) for path in EXAMPLES.glob("*.yaml")]
    assert sorted(tenant.spec.isolation.value for tenant in tenants) == ["Dedicated", "Pooled", "Pooled"]


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        ("10Gi", 10 << 30),
        ("500M", 500_000_000),
        ("1.5Ki", 1536),
        ("0.1", 1),
        (".5k", 500),
        ("1e9", 10**9),
        ("2E", 2 * 10**18),
        ("1Ei", 1 << 60),
        (123, 123),
    ],
)
def test_a_quantity_is_a_number_of_bytes(quantity: str | int, amount: int) -> None:
    assert byte_quantity(quantity) == amount


@pytest.mark.parametrize(
    "quantity",
    ["", "10GiB", "-1", "1m", "8Ei", "1e99", "1" * 21, "1Gi\n", "٣Gi", " 1", 1.5, True, None, [], "NaN"],
)
def test_anything_else_is_no_quantity(quantity: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        byte_quantity(quantity)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (10 << 30, "10 GiB")],
)
def test_bytes_are_shown_in_the_largest_unit(amount: int, text: str) -> None:
    assert shown(amount) == text
