"""Every right that the chart gives the operator is used, and none is given twice.

What was used is read from the API server's audit log of a whole life: tenants are made, changed, hurt and deleted. An
apply that made an object needed `create` besides `patch`. Two rights leave no request of their own: without them, what
stands on them is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.api import Api
from tests.support.audit_log import Asked
from tests.support.chart import NAMESPACE, render
from tests.support.operator import Installation
from tests.support.tenant_objects import KINDS, namespace_path, path_of

SMALL: Final[dict[str, Any]] = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}
ROLE: Final = "/apis/rbac.authorization.k8s.io/v1/clusterroles/audit-operator"
ASKED_ABOUT_OTHERS: Final = {"audittenants/finalizers": "update", "clusterroles": "bind"}
"""Rights that are looked up when another request is made."""
STRAYS: Final[dict[str, dict[str, Any]]] = {
    "RoleBinding": {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    },
    "ServiceAccount": {},
    "ResourceQuota": {"spec": {"hard": {"count/configmaps": "100"}}},
    "LimitRange": {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "60"}}]}},
    "NetworkPolicy": {"spec": {"podSelector": {"matchLabels": {"app": "stray"}}}},
    "Service": {"spec": {"selector": {"app": "stray"}, "ports": [{"port": 80}]}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "stray"}}}},
    "HorizontalPodAutoscaler": {
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "stray"},
            "maxReplicas": 2,
        }
    },
    "Deployment": {
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "stray"}},
            "template": {
                "metadata": {"labels": {"app": "stray"}},
                "spec": {"containers": [{"name": "stray", "image": "registry.example/stray"}]},
            },
        }
    },
}
"""Objects as a former release might have left them."""


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource, by one role; `rule` is the place of its rule in the role."""

    role: str
    rule: int
    group: str
    resource: str
    verb: str

    def __str__(self) -> str:
        return f"{self.role}: {self.verb} {self.resource}"

    def allows(self, asked: Asked) -> bool:
        """Tell whether a request needed this right, where its role is bound."""
        if (self.group, self.resource) != (asked.group, asked.resource):
            return False
        if self.role == "Role" and asked.namespace != NAMESPACE:
            return False
        if self.role == "tenant-secrets" and asked.namespace == NAMESPACE:
            return False
        return self.verb == asked.verb or (
            self.verb == "create" and asked.verb == "patch" and asked.code == 201  # an apply that made it
        )


def rights() -> list[Right]:
    """Return every right that the chart gives the operator."""
    rendered = render()
    roles = {
        "ClusterRole": rendered["ClusterRole/audit-operator"],
        "Role": rendered["Role/audit-operator"],
        "tenant-secrets": rendered["ClusterRole/audit-operator-tenant-secrets"],
    }
    return [
        Right(role, place, group, resource, verb)
        for role, found in roles.items()
        for place, rule in enumerate(found["rules"])
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


RIGHTS: Final = rights()


@pytest.fixture(scope="module")
def life(standing: Installation) -> list[Asked]:
    """Return what an operator asked for from its start to the end of some tenants."""
    standing.stop()
    log = standing.audit_log()
    standing.start()
    standing.tenant("whole")
    standing.tenant("small", isolation="Pooled", retention={"keep": "90d"})
    standing.settled("whole")
    standing.eventually(
        lambda: standing.condition("small", "CredentialsReady").get("status") == "True",
        "the pooled one is there",
    )
    standing.patch("whole", {"spec": {**SMALL, "ingest": {"replicas": 1, "autoscaling": None}}})
    _leave_strays(standing, "whole")
    for name in ("audit-first-key", "audit-credentials-query"):
        standing.api.merge(f"/api/v1/namespaces/audit-whole/secrets/{name}", {"data": {"key": None}})
    for name in ("small", "whole"):
        standing.cluster.kubectl("delete", "at", name, "--timeout=90s")
    standing.stop()
    return log.read()


def _leave_strays(installation: Installation, tenant: str) -> None:
    labels = {"app.kubernetes.io/managed-by": "audit-operator", "auditlog.dev/tenant": tenant}
    for kind, content in STRAYS.items():
        manifest = {**content, "metadata": {"name": "stray", "labels": labels}}
        installation.api.create(KINDS[kind].format(f"audit-{tenant}"), manifest)
    for kind in STRAYS:
        path = path_of(tenant, kind, "stray")
        installation.eventually(lambda path=path: _is_gone(installation.api, path), f"{path} is removed")  # type: ignore[misc]  # the default binds it


def _is_gone(api: Api, path: str) -> bool:
    return api.find(path) is None


@pytest.mark.parametrize(
    "right", [each for each in RIGHTS if ASKED_ABOUT_OTHERS.get(each.resource) != each.verb], ids=str
)
def test_a_right_is_used_and_given_once(life: list[Asked], right: Right) -> None:
    used = [asked for asked in life if right.allows(asked) and asked.code != 403]
    assert used, f"nothing in a whole life needs it: {right}"
    others = [each for each in RIGHTS if each != right and any(each.allows(asked) for asked in used)]
    assert {each.verb for each in others} <= {"patch", "create"}, f"{right} and {others}"
    assert all(each.rule == right.rule and each.role == right.role for each in others)


def test_nothing_that_it_asked_for_was_refused_for_lack_of_rights(life: list[Asked]) -> None:
    refused = [str(asked) for asked in life if asked.code == 403 and asked.resource != "secrets"]
    assert refused == []  # Secrets: a binding counts a moment after it was made


@pytest.fixture
def role(standing: Installation) -> Iterator[dict[str, Any]]:
    """Give the operator's role, and put it back."""
    found = standing.api.get(ROLE)
    standing.start()
    yield copy.deepcopy(found)
    standing.api.merge(ROLE, {"rules": found["rules"]})
    standing.stop()


@pytest.mark.parametrize("resource", sorted(ASKED_ABOUT_OTHERS))
def test_without_a_right_that_leaves_no_request_a_tenant_is_not_made(
    standing: Installation, role: dict[str, Any], life: list[Asked], resource: str
) -> None:
    rules = [rule for rule in role["rules"] if resource not in rule["resources"]]
    assert len(rules) == len(role["rules"]) - 1
    standing.api.merge(ROLE, {"rules": rules})
    name = f"lacks-{resource.partition('/')[0]}"
    standing.tenant(name, **SMALL)
    standing.eventually(
        lambda: standing.condition(name, "NamespaceReady").get("reason") == "Forbidden",
        "it is refused",
        60.0,
        name,
    )
    standing.api.merge(ROLE, {"rules": role["rules"]})
    standing.settled(name)
    assert standing.api.find(namespace_path(name)) is not None
