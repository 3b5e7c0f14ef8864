"""Each value changes what it says and nothing else: `expected` is the default with that change, and all is compared."""

from __future__ import annotations

import copy
from typing import Any, Final

import pytest
import yaml

from tests.support.chart import CHART, Objects, render

DIGEST: Final = "sha256:" + "a" * 64
POOL: Final = ("ingest", "query", "writer")
WORKLOADS: Final = ("Deployment/audit-operator", *(f"Deployment/audit-log-{each}" for each in POOL))
PODS: Final = (*WORKLOADS, "Job/audit-log-uninstall-guard", "Pod/audit-log-roundtrip")

_default: Objects = {}


def default() -> Objects:
    if not _default:
        _default.update(render())
    return copy.deepcopy(_default)


def _pod(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["spec"]
    return spec if manifest["kind"] == "Pod" else spec["template"]["spec"]


def _container(manifest: dict[str, Any]) -> dict[str, Any]:
    (container,) = _pod(manifest)["containers"]
    return container  # type: ignore[no-any-return]  # YAML


def _environment(manifest: dict[str, Any]) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in _container(manifest)["env"]}


def _set_environment(objects: Objects, workload: str, **values: str) -> None:
    for each in _container(objects[workload])["env"]:
        if each["name"] in values:
            each["value"] = values.pop(each["name"])
    assert not values


def test_an_image_is_taken_by_digest_and_the_tenants_functions_with_it() -> None:
    expected = default()
    image = f"audit-functions@{DIGEST}"
    for name in (*(f"Deployment/audit-log-{each}" for each in POOL), "Pod/audit-log-roundtrip"):
        _container(expected[name])["image"] = image
    _set_environment(expected, "Deployment/audit-operator", AUDIT_IMAGE=image)
    assert render({"functions": {"image": {"tag": "ignored", "digest": DIGEST}}}) == expected


def test_the_operator_image_is_the_guards() -> None:
    expected = default()
    for name in ("Deployment/audit-operator", "Job/audit-log-uninstall-guard"):
        _container(expected[name])["image"] = "registry.example/x/mine:2"
    for name in (*(f"Deployment/audit-log-{each}" for each in POOL), "Pod/audit-log-roundtrip"):
        _container(expected[name])["image"] = "registry.example/x/audit-functions:0.1.0"
    _set_environment(
        expected, "Deployment/audit-operator", AUDIT_IMAGE="registry.example/x/audit-functions:0.1.0"
    )
    values = {
        "imageRegistry": "registry.example/x",
        "operator": {"image": {"repository": "mine", "tag": "2"}},
    }
    assert render(values) == expected


def test_replicas_of_the_operator() -> None:
    expected = default()
    expected["Deployment/audit-operator"]["spec"]["replicas"] = 3
    assert render({"operator": {"replicas": 3}}) == expected


def test_what_is_autoscaled_names_no_replicas() -> None:
    expected = default()
    for function, maximum in (("ingest", 10), ("query", 6)):
        name = f"audit-log-{function}"
        del expected[f"Deployment/{name}"]["spec"]["replicas"]
        expected[f"HorizontalPodAutoscaler/{name}"] = {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": expected[f"PodDisruptionBudget/{name}"]["metadata"],
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "minReplicas": 2,
                "maxReplicas": maximum,
                "metrics": [
                    {
                        "type": "Resource",
                        "resource": {
                            "name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 70},
                        },
                    }
                ],
            },
        }
    values = {"pool": {each: {"autoscaling": {"enabled": True}} for each in ("ingest", "query")}}
    assert render(values) == expected


def test_without_the_pool_nothing_of_it_is_left() -> None:
    expected = {
        name: each
        for name, each in default().items()
        if not (name.endswith((*POOL, "-functions", "log-test")) or "roundtrip" in name)
    }
    assert render({"pool": {"enabled": False}}) == expected


@pytest.mark.parametrize(
    ("values", "gone"),
    [
        ({"networkPolicies": {"enabled": False}}, "NetworkPolicy/"),
        ({"admissionPolicies": {"enabled": False}}, "ValidatingAdmissionPolicy"),
        ({"rbac": {"aggregate": False}}, "ClusterRole/audit-tenants-"),
        ({"crds": {"enabled": False}}, "CustomResourceDefinition/"),
        (
            {"operator": {"podDisruptionBudget": {"enabled": False}}},
            "PodDisruptionBudget/audit-operator",
        ),
        (
            {"pool": {"writer": {"podDisruptionBudget": {"enabled": False}}}},
            "PodDisruptionBudget/audit-log-writer",
        ),
    ],
)
def test_what_is_turned_off_goes_alone(values: dict[str, Any], gone: str) -> None:
    assert render(values) == {name: each for name, each in default().items() if not name.startswith(gone)}


def test_without_the_guard_its_policy_goes_too() -> None:
    expected = default()
    del expected["Job/audit-log-uninstall-guard"], expected["NetworkPolicy/audit-log-guard"]
    assert render({"uninstall": {"guard": False}}) == expected


def test_the_guard_runs_before_anything_is_deleted() -> None:
    guard = default()["Job/audit-log-uninstall-guard"]
    assert guard["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert guard["spec"]["backoffLimit"] == 0
    assert _container(guard)["command"] == ["python", "-m", "audit_operator.guard"]


def test_a_gateway_gives_the_pool_a_route_by_method_and_the_operator_the_right_to_make_them() -> None:
    found = render({"gateway": {"name": "public", "namespace": "gateways", "domain": "audit.example"}})
    expected = default()
    route = found.pop("HTTPRoute/audit-log-pool")
    expected["ClusterRole/audit-operator"]["rules"] = [
        *expected["ClusterRole/audit-operator"]["rules"][:9],
        {
            "apiGroups": ["gateway.networking.k8s.io"],
            "resources": ["httproutes"],
            "verbs": ["list", "watch", "create", "patch", "delete"],
        },
        *expected["ClusterRole/audit-operator"]["rules"][9:],
    ]
    environment = _container(expected["Deployment/audit-operator"])["env"]
    at = [each["name"] for each in environment].index("AUDIT_CONCURRENCY")
    environment[at:at] = [
        {"name": "AUDIT_GATEWAY_NAME", "value": "public"},
        {"name": "AUDIT_GATEWAY_NAMESPACE", "value": "gateways"},
        {"name": "AUDIT_DOMAIN", "value": "audit.example"},
    ]
    assert found == expected
    assert route["spec"]["hostnames"] == ["pool.audit.example"]
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert [
        (rule["backendRefs"][0]["name"], match["method"], match["path"]["value"])
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ] == [
        ("audit-log-ingest", "POST", "/api/v1/audit"),
        ("audit-log-query", "GET", "/api/v1/audit"),
        ("audit-log-query", "GET", "/openapi.json"),
        ("audit-log-query", "GET", "/docs"),
    ]


def test_an_ingress_has_a_host_for_each_direction() -> None:
    found = render({"ingress": {"enabled": True, "ingestHost": "in.example", "queryHost": "out.example"}})
    ingress = found.pop("Ingress/audit-log-pool")
    assert found == default()
    assert {
        rule["host"]: rule["http"]["paths"][0]["backend"]["service"]["name"]
        for rule in ingress["spec"]["rules"]
    } == {"in.example": "audit-log-ingest", "out.example": "audit-log-query"}


def test_a_crd_that_is_not_kept_has_no_policy() -> None:
    expected = default()
    for name, each in expected.items():
        if name.startswith("CustomResourceDefinition/"):
            del each["metadata"]["annotations"]["helm.sh/resource-policy"]
            if not each["metadata"]["annotations"]:
                each["metadata"]["annotations"] = {}
    assert render({"crds": {"keep": False}}) == expected


@pytest.mark.parametrize("name", PODS)
def test_every_pod_meets_the_restricted_standard(name: str) -> None:
    pod, container = _pod(default()[name]), _container(default()[name])
    assert pod["securityContext"] | {"fsGroup": 0} == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}


@pytest.mark.parametrize("name", PODS)
def test_only_what_speaks_to_the_api_server_has_a_token(name: str) -> None:
    has_token = name in {"Deployment/audit-operator", "Job/audit-log-uninstall-guard"}
    assert _pod(default()[name])["automountServiceAccountToken"] is has_token


@pytest.mark.parametrize("name", WORKLOADS)
def test_no_variable_is_given_twice(name: str) -> None:
    names = [each["name"] for each in _container(default()[name])["env"]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", sorted(CHART.glob("ci/*-values.yaml")), ids=lambda path: path.stem)
def test_no_secret_is_rendered_and_no_wildcard(path: Any) -> None:
    for name, each in render(yaml.safe_load(path.read_text())).items():
        assert not name.startswith("Secret/")
        for rule in each.get("rules", []) if name.startswith(("ClusterRole/", "Role/")) else []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


def test_no_rule_of_the_cluster_lets_the_operator_at_secrets() -> None:
    rules = default()["ClusterRole/audit-operator"]["rules"]
    assert [rule for rule in rules if "secrets" in rule["resources"]] == []
    assert [rule for rule in rules if {"bind", "escalate", "impersonate"} & set(rule["verbs"])] == [
        {
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": ["clusterroles"],
            "resourceNames": ["audit-operator-tenant-secrets"],
            "verbs": ["bind"],
        }
    ]


def test_each_selector_selects_its_own_pods_only() -> None:
    labels = {name: default()[name]["spec"]["template"]["metadata"]["labels"] for name in WORKLOADS}
    for name in WORKLOADS:
        selector = default()[name]["spec"]["selector"]["matchLabels"].items()
        assert [other for other in WORKLOADS if selector <= labels[other].items()] == [name]
