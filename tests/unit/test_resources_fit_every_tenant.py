"""What holds for the objects of every valid tenant: legal names, nothing of another's, room for all its pods."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from audit_core.tenant import name_problem
from audit_functions.server import STOP_SECONDS
from audit_operator.model.quantity import resource_quantity
from audit_operator.model.rules import broken_rules
from audit_operator.resources.drift import project, same
from audit_operator.resources.platform import Egress, Manifest, Platform
from audit_operator.resources.tenant import manifests
from tests.support.manifests import a_known_tenant, a_platform
from tests.support.pod_security import violations

FUNCTIONS = ("ingest", "query", "writer")
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"([a-z0-9][-a-z0-9.]{0,252}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")

_replicas = st.integers(0, 100)
_scaling = st.tuples(st.integers(1, 100), st.integers(1, 100), st.integers(10, 95)).map(
    lambda drawn: {
        "minReplicas": min(drawn[:2]),
        "maxReplicas": max(drawn[:2]),
        "targetCPUPercent": drawn[2],
    }
)
_scale = st.one_of(
    st.just({}),
    st.builds(lambda replicas: {"replicas": replicas}, _replicas),
    st.builds(lambda scaling: {"autoscaling": scaling}, _scaling),
)
_amounts = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from(("50m", "0.3", "1", "2500m")),
        "memory": st.sampled_from(("64Mi", "0.25Gi", "1024Mi", "3e9")),
        "ephemeral-storage": st.sampled_from(("1Gi", "500M")),
    },
)
_allowed = st.lists(
    st.one_of(
        st.sampled_from(("10.0.0.0/8", "fd00::/8", "0.0.0.0/0")).map(lambda cidr: {"cidr": cidr}),
        st.from_regex(r"[a-z][a-z0-9]{0,20}", fullmatch=True).map(lambda name: {"namespace": name}),
    ),
    max_size=4,
)
_names = st.from_regex(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True).filter(
    lambda name: name_problem(name) is None
)
_specs = st.builds(
    lambda ingest, query, requests, limits, allowed: {
        "ingest": {**ingest, "resources": {"requests": requests, "limits": limits}, "allowFrom": allowed},
        "query": query,
    },
    _scale,
    _scale,
    _amounts,
    _amounts,
    _allowed,
).filter(lambda spec: _is_valid(spec["ingest"]["resources"]))
_platforms = st.builds(
    lambda gateway, secrets, cidrs: a_platform(
        **({} if gateway else {"gateway": None}), image_pull_secrets=secrets, egress=Egress(cidrs=cidrs)
    ),
    st.booleans(),
    st.lists(st.sampled_from(("registry", "mirror")), unique=True).map(tuple),
    st.lists(st.just("10.0.0.0/8"), max_size=1).map(tuple),
)


def _is_valid(resources: dict[str, dict[str, str]]) -> bool:
    requests, limits = resources["requests"], resources["limits"]
    return all(_amount(requests[name]) <= _amount(limits[name]) for name in requests.keys() & limits.keys())


def _amount(quantity: str) -> Decimal:
    return resource_quantity(quantity).amount


def _of_kind(objects: tuple[Manifest, ...], kind: str) -> dict[str, Manifest]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def _pod(deployment: Manifest) -> Manifest:
    found: Manifest = deployment["spec"]["template"]["spec"]
    return found


def _labels(value: Any) -> list[tuple[str, str]]:
    """Return every label, and every label that a selector asks for."""
    if isinstance(value, list):
        return [label for each in value for label in _labels(each)]
    if not isinstance(value, dict):
        return []
    own = [*value.get("labels", {}).items(), *value.get("matchLabels", {}).items()]
    return own + [label for each in value.values() for label in _labels(each)]


@given(_names, _specs, _platforms)
def test_names_and_labels_are_legal(name: str, spec: dict[str, Any], platform: Platform) -> None:
    tenant = a_known_tenant(name, **spec)
    assert broken_rules(tenant) == []
    objects = manifests(tenant, platform)
    assert objects[0]["metadata"]["name"] == f"audit-{name}"
    assert {each["metadata"].get("namespace") for each in objects[1:]} == {f"audit-{name}"}
    for each in objects:
        assert LABEL.fullmatch(each["metadata"]["name"])
    for key, value in _labels(list(objects)):
        assert LABEL_KEY.fullmatch(key)
        assert LABEL_VALUE.fullmatch(value)
    assert all(
        len(host) <= 253
        for each in _of_kind(objects, "HTTPRoute").values()
        for host in each["spec"]["hostnames"]
    )


@given(_names, _specs, _platforms)
def test_no_object_is_there_twice(name: str, spec: dict[str, Any], platform: Platform) -> None:
    objects = manifests(a_known_tenant(name, **spec), platform)
    assert len({(each["kind"], each["metadata"]["name"]) for each in objects}) == len(objects)


@given(_names, _names, _specs)
def test_of_another_tenant_nothing_but_the_shape_is_the_same(
    one: str, other: str, spec: dict[str, Any]
) -> None:
    """With its own name and uid put in place of the other's, one tenant's objects are the other's."""
    spec["ingest"]["allowFrom"] = []
    tenants = a_known_tenant("first-of-two", uid="uid-1"), a_known_tenant("second-of-two", uid="uid-2")
    first, second = (
        manifests(msgspec.structs.replace(tenant, spec=a_known_tenant(each, **spec).spec), a_platform())
        for tenant, each in zip(tenants, (one, other), strict=True)
    )
    told = json.dumps(first)
    assert "second-of-two" not in told
    assert "uid-2" not in told
    assert json.loads(told.replace("first-of-two", "second-of-two").replace("uid-1", "uid-2")) == list(second)


@given(_names, _specs, _platforms)
def test_every_selector_finds_the_pods_of_one_function_of_this_tenant_alone(
    name: str, spec: dict[str, Any], platform: Platform
) -> None:
    objects = manifests(a_known_tenant(name, **spec), platform)
    for function, deployment in _of_kind(objects, "Deployment").items():
        pods = {"app.kubernetes.io/name": function, "auditlog.dev/tenant": name}
        assert deployment["spec"]["selector"] == {"matchLabels": pods}
        assert pods.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
        assert _of_kind(objects, "Service")[function]["spec"]["selector"] == pods
        assert _of_kind(objects, "NetworkPolicy")[function]["spec"]["podSelector"] == {"matchLabels": pods}
        assert [each["labelSelector"] for each in _pod(deployment)["topologySpreadConstraints"]] == [
            {"matchLabels": pods},
            {"matchLabels": pods},
        ]
    for function, budget in _of_kind(objects, "PodDisruptionBudget").items():
        assert budget["spec"]["selector"]["matchLabels"] == {
            "app.kubernetes.io/name": function,
            "auditlog.dev/tenant": name,
        }


@given(_names, _specs, _platforms)
def test_every_object_belongs_to_the_tenant_and_says_so(
    name: str, spec: dict[str, Any], platform: Platform
) -> None:
    tenant = a_known_tenant(name, **spec)
    for each in manifests(tenant, platform):
        assert each["metadata"]["labels"]["auditlog.dev/tenant"] == name
        assert each["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "audit-operator"
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["name"], owner["uid"], owner["controller"]) == (name, tenant.metadata.uid, True)


@given(_specs, _platforms)
def test_pods_are_restricted(spec: dict[str, Any], platform: Platform) -> None:
    for deployment in _of_kind(manifests(a_known_tenant(**spec), platform), "Deployment").values():
        assert violations(_pod(deployment)) == []


@given(_specs, _platforms)
def test_pods_hold_no_token_and_only_the_secret_of_their_function(
    spec: dict[str, Any], platform: Platform
) -> None:
    for function, deployment in _of_kind(manifests(a_known_tenant(**spec), platform), "Deployment").items():
        pod = _pod(deployment)
        assert pod["automountServiceAccountToken"] is False
        secrets = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        assert secrets == [f"audit-credentials-{function}"]
        assert all(container["securityContext"]["readOnlyRootFilesystem"] for container in pod["containers"])


@given(_specs, _platforms)
def test_ingest_reaches_no_database(spec: dict[str, Any], platform: Platform) -> None:
    policies = _of_kind(manifests(a_known_tenant(**spec), platform), "NetworkPolicy")
    reached = {
        function: {port["port"] for rule in policies[function]["spec"]["egress"] for port in rule["ports"]}
        for function in FUNCTIONS
    }
    assert reached == {"ingest": {53, 4222}, "query": {53, 4222, 5432}, "writer": {53, 4222, 5432}}
    assert all(rule["ports"] for policy in policies.values() for rule in policy["spec"]["egress"])


@given(_specs)
def test_replicas_are_the_autoscalers_or_the_deployments_and_never_both(spec: dict[str, Any]) -> None:
    objects = manifests(a_known_tenant(**spec), a_platform())
    scaled = set(_of_kind(objects, "HorizontalPodAutoscaler"))
    fixed = {
        name
        for name, deployment in _of_kind(objects, "Deployment").items()
        if "replicas" in deployment["spec"]
    }
    assert scaled | fixed == set(FUNCTIONS)
    assert not scaled & fixed
    assert "writer" in fixed


@given(_specs)
def test_the_quota_has_room_for_every_pod_being_replaced_at_the_largest_scale(spec: dict[str, Any]) -> None:
    """A pod that drains still counts: so many new ones as old ones, and one more that an eviction may add."""
    objects = manifests(a_known_tenant(**spec), a_platform())
    hard = _of_kind(objects, "ResourceQuota")["audit-tenant"]["spec"]["hard"]
    scalers = _of_kind(objects, "HorizontalPodAutoscaler")
    pods, cpu, memory = 0, Decimal(0), Decimal(0)
    for function, deployment in _of_kind(objects, "Deployment").items():
        most = (
            scalers[function]["spec"]["maxReplicas"]
            if function in scalers
            else deployment["spec"]["replicas"]
        )
        (container,) = _pod(deployment)["containers"]
        pods += 2 * most
        cpu += 2 * most * _amount(container["resources"]["requests"]["cpu"])
        memory += 2 * most * _amount(container["resources"]["requests"]["memory"])
    assert int(hard["pods"]) > pods
    assert _amount(hard["requests.cpu"]) > cpu
    assert _amount(hard["requests.memory"]) > memory


@given(_specs)
def test_nothing_of_our_containers_is_left_to_the_limit_range(spec: dict[str, Any]) -> None:
    objects = manifests(a_known_tenant(**spec), a_platform())
    (item,) = _of_kind(objects, "LimitRange")["audit-tenant"]["spec"]["limits"]
    for deployment in _of_kind(objects, "Deployment").values():
        resources = _pod(deployment)["containers"][0]["resources"]
        assert item["defaultRequest"].keys() <= resources["requests"].keys()
        assert item["default"].keys() <= resources["limits"].keys()
        for name in resources["requests"].keys() & resources["limits"].keys():
            assert _amount(resources["requests"][name]) <= _amount(resources["limits"][name])


@given(_names, _specs, _platforms)
def test_every_object_is_its_own_projection(name: str, spec: dict[str, Any], platform: Platform) -> None:
    for each in manifests(a_known_tenant(name, **spec), platform):
        assert project(each, each) == each
        assert same(json.loads(json.dumps(each)), each)


def test_pods_are_given_the_time_that_they_take_to_drain() -> None:
    for deployment in _of_kind(manifests(a_known_tenant(), a_platform()), "Deployment").values():
        (container,) = _pod(deployment)["containers"]
        leaving = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        assert leaving + STOP_SECONDS < _pod(deployment)["terminationGracePeriodSeconds"]
