"""A broken AuditTenant is refused with the path of the field and the reason, and never with anything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_core.tenant import Isolation
from audit_operator.model.decoding import audit_tenant, named
from audit_operator.model.invalid import FieldProblem, InvalidResource
from audit_operator.model.rules import broken_transitions
from tests.support.audittenant import a_pooled_tenant, a_tenant, a_tenant_resource

NAME_RULE = (
    "name must be a DNS label of at most 40 characters that starts with a letter:"
    " namespace, stream and database role names are derived from it"
)
POOL_RULE = (
    "stream, retention.partitionBy, replicas, autoscaling, resources and allowFrom belong to"
    " the pool: set them in the installation, or use isolation Dedicated"
)
CIDR_RULE = "cidr must be a network such as 10.20.0.0/16, without host bits"
KEEP_RULE = "keep must be a number of days such as 365d, or forever"
CLASS_RULE = (
    "a Pooled tenant's retention.keep must be one of 30d, 90d, 365d, 2555d, forever: pools share partitions"
)


def _limits(**limits: Any) -> dict[str, Any]:
    return a_tenant_resource(ingest={"limits": limits})


def _ingest(**ingest: Any) -> dict[str, Any]:
    return a_tenant_resource(ingest=ingest)


def _pooled(**spec: Any) -> dict[str, Any]:
    return a_tenant_resource(isolation="Pooled", **spec)


def _with(**fields: Any) -> dict[str, Any]:
    return a_tenant_resource() | fields


def _without(field: str) -> dict[str, Any]:
    return {key: value for key, value in a_tenant_resource().items() if key != field}


BROKEN: list[tuple[object, str, str]] = [
    (None, "", "must be a mapping"),
    ([a_tenant_resource()], "", "must be a mapping"),
    (_without("apiVersion"), "apiVersion", "must be auditlog.dev/v1alpha1"),
    (_with(apiVersion="auditlog.dev/v1"), "apiVersion", "must be auditlog.dev/v1alpha1"),
    (_with(kind="Deployment"), "kind", "must be AuditTenant"),
    (_without("metadata"), "metadata", "required"),
    (_with(metadata={}), "metadata.name", "required"),
    (_with(metadata={"name": 7}), "metadata.name", "must be str, got int"),
    (a_tenant_resource(name="Acme"), "metadata.name", NAME_RULE),
    (a_tenant_resource(name="a" * 41), "metadata.name", NAME_RULE),
    (a_tenant_resource(name="acme\n"), "metadata.name", NAME_RULE),
    (a_tenant_resource(name="system"), "metadata.name", "this tenant name is reserved"),
    (_without("spec"), "spec", "required"),
    (_with(spec=None), "spec", "must be object, got null"),
    (_with(spec={1: 2}), "spec", "keys must be strings"),
    (_with(extra={}), "extra", "unknown field"),
    (a_tenant_resource(quota={"maxStoredBytes": "1Gi"}), "spec.quota", "unknown field"),
    (a_tenant_resource(ingest={"limit": {}}), "spec.ingest.limit", "unknown field"),
    (a_tenant_resource(stream={"maxAge": "1h"}), "spec.stream.maxAge", "unknown field"),
    (a_tenant_resource(displayName="x" * 129), "spec.displayName", "must be str of length <= 128"),
    (a_tenant_resource(state="Paused"), "spec.state", "must be one of Active, ReadOnly, Suspended"),
    (a_tenant_resource(state="Removed"), "spec.state", "must be one of Active, ReadOnly, Suspended"),
    (a_tenant_resource(isolation="pooled"), "spec.isolation", "must be one of Dedicated, Pooled"),
    (_limits(eventsPerSecond="5"), "spec.ingest.limits.eventsPerSecond", "must be int, got str"),
    (_limits(eventsPerSecond=True), "spec.ingest.limits.eventsPerSecond", "must be int, got bool"),
    (_limits(eventsPerSecond=0), "spec.ingest.limits.eventsPerSecond", "must be int >= 1"),
    (_limits(eventsPerSecond=10**9), "spec.ingest.limits.eventsPerSecond", "must be int <= 1000000"),
    (_limits(burst=10), "spec.ingest.limits", "burst must be at least eventsPerSecond"),
    (_limits(maxEventBytes=262145), "spec.ingest.limits.maxEventBytes", "must be int <= 262144"),
    (_limits(maxBatchEvents=1001), "spec.ingest.limits.maxBatchEvents", "must be int <= 1000"),
    (a_tenant_resource(query={"concurrency": 257}), "spec.query.concurrency", "must be int <= 256"),
    (
        a_tenant_resource(stream={"maxBytes": "10GB"}),
        "spec.stream.maxBytes",
        "must be a quantity such as 10Gi",
    ),
    (a_tenant_resource(stream={"maxBytes": 0}), "spec.stream.maxBytes", "must be at least 64Mi"),
    (a_tenant_resource(retention={"keep": "1y"}), "spec.retention.keep", KEEP_RULE),
    (a_tenant_resource(retention={"keep": "0d"}), "spec.retention.keep", KEEP_RULE),
    (
        a_tenant_resource(retention={"partitionBy": "week"}),
        "spec.retention.partitionBy",
        "must be one of day, month",
    ),
    (
        a_tenant_resource(adopt="ABCDEFGHIJKLMNOP"),
        "spec.adopt",
        "must be a tenantID: 16 characters of a-z and 2-7",
    ),
    (a_tenant_resource(isolation="Pooled", retention={"keep": "31d"}), "spec.retention.keep", CLASS_RULE),
    (a_tenant_resource(isolation="Pooled", stream={"maxBytes": "10Gi"}), "spec", POOL_RULE),
    (_pooled(retention={"partitionBy": "day"}), "spec", POOL_RULE),
    (_pooled(stream={"replicas": 3}), "spec", POOL_RULE),
    (_pooled(ingest={"replicas": 2}), "spec", POOL_RULE),
    (_pooled(ingest={"autoscaling": {}}), "spec", POOL_RULE),
    (_pooled(ingest={"resources": {}}), "spec", POOL_RULE),
    (_pooled(ingest={"allowFrom": [{"namespace": "web"}]}), "spec", POOL_RULE),
    (_pooled(query={"replicas": 0}), "spec", POOL_RULE),
    (_pooled(query={"autoscaling": {}}), "spec", POOL_RULE),
    (
        _pooled(deletionPolicy="Delete"),
        "spec.deletionPolicy",
        "a Pooled tenant's events expire with its pool; Delete needs isolation Dedicated",
    ),
    (a_tenant_resource(deletionPolicy="Keep"), "spec.deletionPolicy", "must be one of Retain, Delete"),
    (_ingest(replicas=-1), "spec.ingest.replicas", "must be int >= 0"),
    (_ingest(replicas=101), "spec.ingest.replicas", "must be int <= 100"),
    (_ingest(replicas=1, autoscaling={}), "spec.ingest", "set either replicas or autoscaling"),
    (
        a_tenant_resource(query={"replicas": 1, "autoscaling": {}}),
        "spec.query",
        "set either replicas or autoscaling",
    ),
    (
        _ingest(autoscaling={"minReplicas": 11}),
        "spec.ingest.autoscaling",
        "minReplicas must not exceed maxReplicas",
    ),
    (_ingest(autoscaling={"minReplicas": 0}), "spec.ingest.autoscaling.minReplicas", "must be int >= 1"),
    (
        _ingest(autoscaling={"targetCPUPercent": 5}),
        "spec.ingest.autoscaling.targetCPUPercent",
        "must be int >= 10",
    ),
    (
        _ingest(resources={"requests": {"cpu": "half"}}),
        "spec.ingest.resources.requests[...]",
        "must be a quantity such as 500m or 512Mi",
    ),
    (
        _ingest(resources={"limits": {"nvidia.com/gpu": 1}}),
        "spec.ingest.resources",
        "name only cpu, memory, ephemeral-storage",
    ),
    (
        _ingest(resources={"requests": {"cpu": 1}, "limits": {"cpu": "999m"}}),
        "spec.ingest.resources",
        "a request must not exceed its limit",
    ),
    (_ingest(allowFrom=[{}]), "spec.ingest.allowFrom[0]", "set exactly one of cidr and namespace"),
    (
        _ingest(allowFrom=[{"namespace": "a"}, {"namespace": "b", "cidr": "10.0.0.0/8"}]),
        "spec.ingest.allowFrom[1]",
        "set exactly one of cidr and namespace",
    ),
    *[
        (_ingest(allowFrom=[{"cidr": cidr}]), "spec.ingest.allowFrom[0].cidr", CIDR_RULE)
        for cidr in ("10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/255.0.0.0", "10.0.0.0/08", "web", "")
    ],
    (
        _ingest(allowFrom=[{"namespace": "Web"}]),
        "spec.ingest.allowFrom[0].namespace",
        "namespace must be the name of a namespace: a DNS label",
    ),
    (
        _ingest(allowFrom=[{"namespace": "web"}] * 33),
        "spec.ingest.allowFrom",
        "must be array of length <= 32",
    ),
    (a_tenant_resource(stream={"replicas": 2}), "spec.stream.replicas", "must be one of 1, 3, 5"),
    (_with(metadata={"name": "acme", "finalizers": "x"}), "metadata.finalizers", "must be array, got str"),
    (
        _with(metadata={"name": "acme", "deletionTimestamp": "yesterday"}),
        "metadata.deletionTimestamp",
        "Invalid RFC3339 encoded datetime",
    ),
]


@pytest.mark.parametrize(("resource", "path", "reason"), BROKEN)
def test_a_broken_resource_is_refused_with_path_and_reason(resource: object, path: str, reason: str) -> None:
    with pytest.raises(InvalidResource) as refused:
        audit_tenant(resource)
    assert refused.value.problems == (FieldProblem(path=path, reason=reason),)


def test_every_broken_rule_is_named_at_once() -> None:
    resource = a_tenant_resource(
        name="kube", ingest={"limits": {"eventsPerSecond": 9000}}, retention={"keep": "x"}
    )
    with pytest.raises(InvalidResource) as refused:
        audit_tenant(resource)
    assert [problem.path for problem in refused.value.problems] == [
        "metadata.name",
        "spec.ingest.limits",
        "spec.retention.keep",
    ]
    assert str(refused.value).startswith("metadata.name: this tenant name is reserved; spec.ingest.limits: ")


def test_isolation_cannot_change() -> None:
    problems = broken_transitions(
        a_pooled_tenant(), isolation=Isolation.DEDICATED, retention_class=None, partition_by="month"
    )
    assert problems == [
        FieldProblem(
            path="spec.isolation", reason="isolation cannot be changed; create a new tenant and import"
        )
    ]


def test_the_retention_of_a_pooled_tenant_cannot_change() -> None:
    problems = broken_transitions(
        a_pooled_tenant(keep="30d"),
        isolation=Isolation.POOLED,
        retention_class="90d",
        partition_by="month",
    )
    assert problems == [
        FieldProblem(
            path="spec.retention.keep",
            reason="a Pooled tenant's retention cannot be changed; create a new tenant and import",
        )
    ]


def test_partitioning_cannot_change_but_may_be_left_out() -> None:
    stored: dict[str, Any] = {"isolation": Isolation.DEDICATED, "retention_class": None}
    monthly = a_tenant(retention={"partitionBy": "month"})
    assert broken_transitions(a_tenant(), **stored, partition_by="day") == []
    assert [p.path for p in broken_transitions(monthly, **stored, partition_by="day")] == [
        "spec.retention.partitionBy"
    ]


def test_the_retention_of_a_dedicated_tenant_may_change() -> None:
    changed = a_tenant(retention={"keep": "7d"})
    assert (
        broken_transitions(changed, isolation=Isolation.DEDICATED, retention_class=None, partition_by="month")
        == []
    )


@pytest.mark.parametrize(
    ("resource", "name"),
    [(a_tenant_resource("acme", foo=1), "acme"), ({"metadata": {"name": 5}}, None), ([], None)],
)
def test_a_name_is_read_even_from_a_broken_resource(resource: object, name: str | None) -> None:
    assert named(resource) == name


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
_anything = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_scalars, inner, max_size=3),
    max_leaves=10,
)
_fields = (
    "displayName",
    "state",
    "isolation",
    "deletionPolicy",
    "ingest",
    "query",
    "stream",
    "retention",
    "adopt",
)


def _problems(resource: object) -> tuple[FieldProblem, ...]:
    try:
        audit_tenant(resource)
    except InvalidResource as refused:
        return refused.problems
    return ()


@settings(max_examples=200, deadline=None)
@given(spec=st.dictionaries(st.sampled_from(_fields), _anything, max_size=4))
def test_nothing_but_a_refusal_with_reasons_comes_of_any_content(spec: dict[str, object]) -> None:
    assert all(problem.reason for problem in _problems(_with(spec=spec)))
