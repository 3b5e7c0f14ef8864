"""What a tenant is in a cluster: all of it for the plainest one, and for each field what it changes and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from audit_operator.resources.platform import Egress, Manifest, Platform
from audit_operator.resources.tenant import manifests
from tests.support.audittenant import a_pooled_tenant
from tests.support.manifests import a_known_tenant, a_platform, by_name, written_by_hand

Objects = dict[str, Manifest]


def _built(platform: Platform | None = None, **spec: Any) -> Objects:
    return by_name(manifests(a_known_tenant(**spec), platform or a_platform()))


def _expected(change: Callable[[Objects], None]) -> Objects:
    objects = by_name(written_by_hand())
    change(objects)
    return objects


def _container(objects: Objects, function: str) -> Manifest:
    found: Manifest = objects[f"Deployment/{function}"]["spec"]["template"]["spec"]["containers"][0]
    return found


def _quota(objects: Objects) -> Manifest:
    hard: Manifest = objects["ResourceQuota/audit-tenant"]["spec"]["hard"]
    return hard


def test_the_plainest_tenant_is_what_is_written_by_hand() -> None:
    assert list(manifests(a_known_tenant(), a_platform())) == written_by_hand()


def test_a_pooled_tenant_has_no_objects() -> None:
    assert manifests(a_pooled_tenant(), a_platform()) == ()


def test_the_namespace_comes_first_and_then_the_right_to_its_secrets() -> None:
    kinds = [manifest["kind"] for manifest in manifests(a_known_tenant(), a_platform())]
    assert kinds[:2] == ["Namespace", "RoleBinding"]


@pytest.mark.parametrize(
    "spec",
    [
        {"displayName": "Acme"},
        {"state": "Suspended"},
        {"state": "ReadOnly"},
        {"deletionPolicy": "Delete"},
        {"adopt": "a" * 16},
        {"retention": {"keep": "30d", "partitionBy": "day"}},
        {"stream": {"maxBytes": "1Gi", "replicas": 5}},
        {"query": {"concurrency": 2}},
        {"ingest": {"limits": {"eventsPerSecond": 10, "burst": 10}}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_what_is_not_of_the_cluster_changes_no_object(spec: dict[str, Any]) -> None:
    assert _built(**spec) == by_name(written_by_hand())


def test_fixed_replicas_take_the_autoscalers_place() -> None:
    def change(objects: Objects) -> None:
        objects["Deployment/ingest"]["spec"]["replicas"] = 3
        del objects["HorizontalPodAutoscaler/ingest"]
        _quota(objects).update({"pods": "31", "requests.cpu": "7750m", "requests.memory": "6Gi"})

    assert _built(ingest={"replicas": 3}) == _expected(change)


def test_no_replicas_at_all_can_be_asked_for() -> None:
    def change(objects: Objects) -> None:
        objects["Deployment/query"]["spec"]["replicas"] = 0
        del objects["HorizontalPodAutoscaler/query"]
        _quota(objects).update({"pods": "25", "requests.cpu": "6250m", "requests.memory": "4992Mi"})

    assert _built(query={"replicas": 0}) == _expected(change)


def test_autoscaling_is_between_the_bounds_that_are_asked_for() -> None:
    def change(objects: Objects) -> None:
        spec = objects["HorizontalPodAutoscaler/query"]["spec"]
        spec |= {"minReplicas": 3, "maxReplicas": 4}
        spec["metrics"][0]["resource"]["target"]["averageUtilization"] = 50
        _quota(objects).update({"pods": "33", "requests.cpu": "8250m", "requests.memory": "6528Mi"})

    asked = {"minReplicas": 3, "maxReplicas": 4, "targetCPUPercent": 50}
    assert _built(query={"autoscaling": asked}) == _expected(change)


def test_resources_of_ingest_are_what_is_asked_for_in_the_servers_form() -> None:
    def change(objects: Objects) -> None:
        _container(objects, "ingest")["resources"] = {
            "requests": {"cpu": "2", "memory": "1Gi", "ephemeral-storage": "1G"},
            "limits": {"cpu": "2500m", "memory": "1536Mi"},
        }
        _quota(objects).update({"requests.cpu": "48", "requests.memory": "26304Mi"})

    asked = {
        "requests": {"cpu": "2000m", "memory": "1024Mi", "ephemeral-storage": "1000M"},
        "limits": {"cpu": "2.5", "memory": "1.5Gi"},
    }
    assert _built(ingest={"resources": asked}) == _expected(change)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (
            {"requests": {"memory": "1Gi"}},
            {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        ),
        (
            {"limits": {"cpu": "100m", "memory": "64Mi"}},
            {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
        ),
        (
            {"requests": {"cpu": "1"}},
            {"requests": {"cpu": "1", "memory": "192Mi"}, "limits": {"memory": "384Mi"}},
        ),
    ],
)
def test_a_default_gives_way_to_what_is_asked_so_that_no_request_exceeds_its_limit(
    asked: dict[str, Any], given: dict[str, Any]
) -> None:
    assert _container(_built(ingest={"resources": asked}), "ingest")["resources"] == given


def test_allow_from_replaces_who_may_connect_but_for_the_gateway() -> None:
    def change(objects: Objects) -> None:
        for function in ("ingest", "query"):
            objects[f"NetworkPolicy/{function}"]["spec"]["ingress"][0]["from"] = [
                {"ipBlock": {"cidr": "10.20.0.0/16"}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}},
                {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "gateways"}}},
                {"namespaceSelector": {"matchLabels": {"auditlog.dev/monitoring": "true"}}},
            ]

    allowed = [{"cidr": "10.20.0.0/16"}, {"namespace": "shop"}]
    assert _built(ingest={"allowFrom": allowed}) == _expected(change)


def test_without_a_gateway_there_is_no_route_and_nobody_comes_from_there() -> None:
    def change(objects: Objects) -> None:
        del objects["HTTPRoute/audit"]
        for function in ("ingest", "query"):
            del objects[f"NetworkPolicy/{function}"]["spec"]["ingress"][0]["from"][1]

    assert _built(a_platform(gateway=None)) == _expected(change)


def test_egress_is_to_where_the_servers_are() -> None:
    servers = [
        {"ipBlock": {"cidr": "10.0.0.0/8"}},
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nats"}}},
    ]

    def change(objects: Objects) -> None:
        for function in ("query", "writer"):
            egress = objects[f"NetworkPolicy/{function}"]["spec"]["egress"]
            egress[1] = {
                "to": servers,
                "ports": [{"protocol": "TCP", "port": 4223}, {"protocol": "TCP", "port": 5433}],
            }
        objects["NetworkPolicy/ingest"]["spec"]["egress"][1] = {
            "to": servers,
            "ports": [{"protocol": "TCP", "port": 4223}],
        }

    egress = Egress(cidrs=("10.0.0.0/8",), namespaces=("nats",), nats_port=4223, postgres_port=5433)
    assert _built(a_platform(egress=egress)) == _expected(change)


def test_the_platform_decides_the_image_and_its_surroundings() -> None:
    def change(objects: Objects) -> None:
        for function in ("ingest", "query", "writer"):
            objects[f"Deployment/{function}"]["spec"]["template"]["spec"]["imagePullSecrets"] = [
                {"name": "registry"}
            ]
            container = _container(objects, function)
            container |= {"image": "functions:2", "imagePullPolicy": "Always"}
            container["env"][2]["value"] = "prod"
            container["env"][3]["value"] = "tls://nats:4222"
            container["env"][6]["value"] = "debug"
        _container(objects, "writer")["env"][7]["value"] = "none"

    platform = a_platform(
        image="functions:2",
        image_pull_policy="Always",
        image_pull_secrets=("registry",),
        installation="prod",
        nats_url="tls://nats:4222",
        log_level="debug",
        backup="none",
    )
    assert _built(platform) == _expected(change)


def test_the_operator_binds_itself_and_the_role_that_the_platform_names() -> None:
    def change(objects: Objects) -> None:
        binding = objects["RoleBinding/audit-operator-secrets"]
        binding["roleRef"]["name"] = "role"
        binding["subjects"] = [{"kind": "ServiceAccount", "name": "operator", "namespace": "elsewhere"}]

    platform = a_platform(
        operator_namespace="elsewhere", operator_service_account="operator", secrets_cluster_role="role"
    )
    assert _built(platform) == _expected(change)


def test_an_endpoint_is_the_host_behind_the_gateway_or_the_service() -> None:
    assert a_platform().endpoint(a_known_tenant()) == "https://acme.audit.example"
    assert a_platform(gateway=None).endpoint(a_known_tenant()) == "http://ingest.audit-acme.svc"
    assert a_platform(gateway=None).endpoint(a_pooled_tenant()) == ""
