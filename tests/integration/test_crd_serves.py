"""AuditTenants at the API server: what it takes, completes and shows, and what of a tenant it does not let change."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from audit_operator.clients.kubernetes_errors import Invalid
from audit_operator.clients.kubernetes_kinds import Object
from audit_operator.model.decoding import audit_tenant
from tests.support.audittenant import a_tenant_resource
from tests.support.cluster import Cluster
from tests.support.crd import CRD_PATH, TenantApi

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "tenants").glob("*.yaml"))
PAUSED = {"auditlog.dev/paused": "true"}
LOG, OTHER_LOG = "a" * 16, "b" * 16
EVERYTHING: dict[str, Any] = {
    "displayName": "Acme",
    "state": "ReadOnly",
    "deletionPolicy": "Delete",
    "adopt": LOG,
    "ingest": {
        "replicas": 3,
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "1Gi"}},
        "limits": {"eventsPerSecond": 1, "burst": 1, "maxEventBytes": 1024, "maxBatchEvents": 1},
        "allowFrom": [{"namespace": "acme-web"}, {"cidr": "10.20.0.0/16"}, {"cidr": "fd00::/8"}],
    },
    "query": {"autoscaling": {"minReplicas": 1, "maxReplicas": 1}, "concurrency": 256},
    "stream": {"maxBytes": "1.5Gi", "replicas": 5},
    "retention": {"keep": "99999d", "partitionBy": "day"},
}
TAKEN: dict[str, dict[str, Any]] = {
    "empty": {},
    "everything": EVERYTHING,
    "zero-replicas": {"ingest": {"replicas": 0}, "query": {"replicas": 0}},
    "default-scaling": {"ingest": {"autoscaling": {}}, "query": {"autoscaling": {}}},
    "forever": {"retention": {"keep": "forever"}},
    "stream-of-the-smallest-size": {"stream": {"maxBytes": "64Mi"}},
    "stream-of-a-number": {"stream": {"maxBytes": 67108864, "replicas": 1}},
    "stream-of-an-exponent": {"stream": {"maxBytes": "1e9"}},
    "request-equals-limit": {"ingest": {"resources": {"requests": {"cpu": "1000m"}, "limits": {"cpu": "1"}}}},
    "everyone-may-connect": {"ingest": {"allowFrom": [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}]}},
    "pooled": {"isolation": "Pooled"},
    "pooled-and-nobody-named": {"isolation": "Pooled", "ingest": {"allowFrom": []}},
    "pooled-forever": {"isolation": "Pooled", "retention": {"keep": "forever"}},
}


class Tenants:
    """Resources for one test. They are paused: an operator that another test runs leaves them alone."""

    def __init__(self, api: TenantApi) -> None:
        self._api = api
        self.names: list[str] = []

    async def made(self, **spec: Any) -> str:
        """Create a tenant and return its name."""
        name = f"t-{uuid.uuid4().hex[:12]}"
        resource = a_tenant_resource(name, **spec)
        resource["metadata"]["annotations"] = PAUSED
        await self._api.create(resource)
        self.names.append(name)
        return name


@pytest.fixture
async def tenants(tenant_api: TenantApi) -> AsyncIterator[Tenants]:
    tenants = Tenants(tenant_api)
    yield tenants
    for name in tenants.names:
        await tenant_api.delete(name)


@pytest.mark.parametrize("spec", TAKEN.values(), ids=TAKEN.keys())
async def test_what_is_taken_means_the_same_to_the_server_and_to_the_model(
    tenant_api: TenantApi, spec: dict[str, Any]
) -> None:
    resource = a_tenant_resource(**spec)
    completed = await tenant_api.rehearse(resource, strict=True)
    assert audit_tenant(completed).spec == audit_tenant(resource).spec


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
async def test_the_examples_are_taken(tenant_api: TenantApi, path: Path) -> None:
    resource = yaml.safe_load(path.read_text())
    completed = await tenant_api.rehearse(resource, strict=True)
    assert audit_tenant(completed).spec == audit_tenant(resource).spec


async def test_defaults_are_shown(tenant_api: TenantApi) -> None:
    completed = await tenant_api.rehearse(a_tenant_resource())
    assert completed["spec"] == {
        "displayName": "",
        "state": "Active",
        "isolation": "Dedicated",
        "deletionPolicy": "Retain",
        "ingest": {
            "limits": {
                "eventsPerSecond": 1000,
                "burst": 5000,
                "maxEventBytes": 65536,
                "maxBatchEvents": 1000,
            },
            "allowFrom": [],
        },
        "query": {"concurrency": 16},
        "stream": {},
        "retention": {"keep": "365d"},
    }


REFUSED_CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "isolation-to-pooled": (
        {},
        {"isolation": "Pooled"},
        "spec.isolation",
        "isolation cannot be changed; create a new tenant and import",
    ),
    "isolation-to-dedicated": (
        {"isolation": "Pooled"},
        {"isolation": "Dedicated"},
        "spec.isolation",
        "isolation cannot be changed; create a new tenant and import",
    ),
    "pool": (
        {"isolation": "Pooled", "retention": {"keep": "90d"}},
        {"retention": {"keep": "365d"}},
        "spec.retention.keep",
        "a Pooled tenant's retention cannot be changed; create a new tenant and import",
    ),
    "partitions-to-days": (
        {},
        {"retention": {"partitionBy": "day"}},
        "spec.retention.partitionBy",
        "partitionBy cannot be changed; create a new tenant and import",
    ),
    "partitions-back-to-months": (
        {"retention": {"partitionBy": "day"}},
        {"retention": {"partitionBy": None}},
        "spec.retention.partitionBy",
        "partitionBy cannot be changed; create a new tenant and import",
    ),
    "autoscaling-besides-replicas": (
        {"ingest": {"replicas": 2}},
        {"ingest": {"autoscaling": {}}},
        "spec.ingest",
        "set either replicas or autoscaling",
    ),
}


@pytest.mark.parametrize(
    ("spec", "change", "path", "reason"), REFUSED_CHANGES.values(), ids=REFUSED_CHANGES.keys()
)
async def test_what_a_log_was_made_with_cannot_change(
    tenant_api: TenantApi,
    tenants: Tenants,
    spec: dict[str, Any],
    change: dict[str, Any],
    path: str,
    reason: str,
) -> None:
    name = await tenants.made(**spec)
    with pytest.raises(Invalid) as refused:
        await tenant_api.patch(name, {"spec": change})
    assert f"{path}: " in refused.value.message
    assert reason in refused.value.message


@pytest.mark.parametrize(
    ("spec", "change"),
    [
        ({}, {"retention": {"keep": "7d"}}),
        ({}, {"retention": {"keep": "forever", "partitionBy": "month"}}),
        ({"retention": {"partitionBy": "month"}}, {"retention": {"partitionBy": None}}),
        ({"ingest": {"replicas": 2}}, {"ingest": {"replicas": None, "autoscaling": {"maxReplicas": 4}}}),
        ({"stream": {"replicas": 3, "maxBytes": "1Gi"}}, {"stream": {"replicas": 5, "maxBytes": "2Gi"}}),
        ({"state": "Active"}, {"state": "Suspended", "deletionPolicy": "Delete"}),
        ({"isolation": "Pooled"}, {"displayName": "other", "query": {"concurrency": 1}}),
    ],
)
async def test_the_rest_may_change(
    tenant_api: TenantApi, tenants: Tenants, spec: dict[str, Any], change: dict[str, Any]
) -> None:
    name = await tenants.made(**spec)
    changed = await tenant_api.patch(name, {"spec": change})
    assert changed["metadata"]["generation"] == 2


async def test_a_log_is_named_for_adoption_until_there_is_one_and_then_only_that(
    tenant_api: TenantApi, tenants: Tenants
) -> None:
    name = await tenants.made(adopt=OTHER_LOG)
    await tenant_api.patch(name, {"spec": {"adopt": LOG}})
    await tenant_api.patch(name, {"status": {"tenantID": LOG}}, "status")
    with pytest.raises(Invalid) as refused:
        await tenant_api.patch(name, {"spec": {"adopt": OTHER_LOG}})
    assert "spec.adopt: " in refused.value.message
    assert "adopt counts when a tenant is made" in refused.value.message
    await tenant_api.patch(name, {"spec": {"adopt": None}})
    with pytest.raises(Invalid, match="adopt counts when a tenant is made"):
        await tenant_api.patch(name, {"spec": {"adopt": OTHER_LOG}})
    await tenant_api.patch(name, {"spec": {"adopt": LOG}})


def _condition(kind: str, **fields: str) -> Object:
    return {
        "type": kind,
        "status": "True",
        "reason": "Ready",
        "message": "events are accepted, stored and readable",
        "lastTransitionTime": "2026-11-23T10:00:00Z",
    } | fields


async def test_a_status_is_kept_whole_and_changes_nothing_of_the_spec(
    tenant_api: TenantApi, tenants: Tenants
) -> None:
    name = await tenants.made()
    status = {
        "observedGeneration": 1,
        "namespace": f"audit-{name}",
        "tenantID": LOG,
        "ingest": {"endpoint": "http://ingest", "replicas": 2, "ready": "1/2", "selector": "a=b"},
        "query": {"ready": "2/2"},
        "stream": {"name": f"AUDIT_{LOG}"},
        "database": {"schema": f"shard_{LOG}"},
        "conditions": [_condition("Ready"), _condition("Degraded", status="False")],
    }
    written = await tenant_api.patch(name, {"status": status, "spec": {"state": "Suspended"}}, "status")
    assert (written["status"], written["spec"]["state"]) == (status, "Active")
    assert written["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (_condition("Happy"), 'type: Unsupported value: "Happy"'),
        (_condition("Ready", status="Yes"), 'status: Unsupported value: "Yes"'),
        (_condition("Ready", reason="not a word"), "reason: Invalid value"),
    ],
)
async def test_conditions_are_of_the_closed_list(
    tenant_api: TenantApi, tenants: Tenants, condition: Object, told: str
) -> None:
    name = await tenants.made()
    with pytest.raises(Invalid) as refused:
        await tenant_api.patch(name, {"status": {"conditions": [condition]}}, "status")
    assert f"status.conditions[0].{told}" in refused.value.message


async def test_the_list_shows_what_matters(crd: Cluster, tenant_api: TenantApi, tenants: Tenants) -> None:
    name = await tenants.made(state="ReadOnly", retention={"keep": "7d"})
    status = {"ingest": {"ready": "1/2", "endpoint": "http://i"}, "conditions": [_condition("Ready")]}
    await tenant_api.patch(name, {"status": {"namespace": "n", **status}}, "status")
    heading, line = crd.kubectl("get", "at", name, "--output=wide").splitlines()
    assert heading.split() == [
        *("NAME", "READY", "REASON", "STATE", "INGEST", "RETENTION", "AGE"),
        *("ISOLATION", "NAMESPACE", "ENDPOINT", "MESSAGE"),
    ]
    shown = line.split()
    assert shown[:6] == [name, "True", "Ready", "ReadOnly", "1/2", "7d"]
    assert shown[7:10] == ["Dedicated", "n", "http://i"]
    assert line.endswith("events are accepted, stored and readable")


async def test_tenants_are_found_by_state_and_isolation(tenant_api: TenantApi, tenants: Tenants) -> None:
    suspended = await tenants.made(state="Suspended")
    pooled = await tenants.made(isolation="Pooled")
    made = {suspended, pooled}
    assert await tenant_api.names("spec.state=Suspended") & made == {suspended}
    assert await tenant_api.names("spec.isolation=Pooled") & made == {pooled}


async def test_kubectl_scales_a_fixed_number_of_ingest_pods(
    crd: Cluster, tenant_api: TenantApi, tenants: Tenants
) -> None:
    name = await tenants.made(ingest={"replicas": 1})
    await tenant_api.patch(name, {"status": {"ingest": {"replicas": 1, "selector": "a=b"}}}, "status")
    crd.kubectl("scale", "audittenant", name, "--replicas=3")
    assert (await tenant_api.get(name))["spec"]["ingest"]["replicas"] == 3
    scale = await tenant_api.get(name, "scale")
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 1, "selector": "a=b"})


async def test_scaling_does_not_overrule_autoscaling_and_stays_in_bounds(
    tenant_api: TenantApi, tenants: Tenants
) -> None:
    scaled = await tenants.made(ingest={"autoscaling": {}})
    with pytest.raises(Invalid, match="set either replicas or autoscaling"):
        await tenant_api.patch(scaled, {"spec": {"replicas": 3}}, "scale")
    pooled = await tenants.made(isolation="Pooled")
    with pytest.raises(Invalid, match="belong to the pool"):
        await tenant_api.patch(pooled, {"spec": {"replicas": 3}}, "scale")
    fixed = await tenants.made(ingest={"replicas": 1})
    with pytest.raises(Invalid, match="should be less than or equal to 100"):
        await tenant_api.patch(fixed, {"spec": {"replicas": 101}}, "scale")


async def test_installing_the_definition_again_leaves_tenants_as_they_are(
    crd: Cluster, tenant_api: TenantApi, tenants: Tenants
) -> None:
    name = await tenants.made(**{**EVERYTHING, "adopt": None})
    before = await tenant_api.get(name)
    crd.kubectl("apply", "--server-side", "--filename", str(CRD_PATH))
    assert await tenant_api.get(name) == before


async def test_a_tenant_of_the_release_before_keeps_its_meaning(tenant_api: TenantApi) -> None:
    """What `make up` took before there was a cluster."""
    former: dict[str, Any] = {
        "displayName": "Acme",
        "ingest": {"limits": {"eventsPerSecond": 20000, "burst": 100000}},
        "query": {"concurrency": 16},
        "stream": {"maxBytes": "10Gi"},
        "retention": {"keep": "365d", "partitionBy": "month"},
    }
    completed = audit_tenant(await tenant_api.rehearse(a_tenant_resource(**former), strict=True))
    assert completed.spec == audit_tenant(a_tenant_resource(**former)).spec
    assert (completed.spec.ingest.limits.burst, completed.stream_bytes) == (100_000, 10 << 30)
