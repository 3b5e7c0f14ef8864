"""When a live object still is what a manifest wants."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from audit_operator.resources.drift import digest, project, same
from audit_operator.resources.platform import Manifest
from tests.support.manifests import by_name, written_by_hand

Edit = Callable[[Any], object]


def _wanted(name: str) -> Manifest:
    return by_name(written_by_hand())[name]


def _edited(name: str, edit: Edit) -> Manifest:
    live = copy.deepcopy(_wanted(name))
    edit(live)
    return live


def _pod(live: Manifest) -> Manifest:
    found: Manifest = live["spec"]["template"]["spec"]
    return found


IGNORED: dict[str, tuple[str, Edit]] = {
    "what the server keeps": (
        "Service/ingest",
        lambda live: live["metadata"].update(uid="u", resourceVersion="7", generation=2, managedFields=[]),
    ),
    "a status": ("Deployment/ingest", lambda live: live.update(status={"replicas": 2})),
    "the replicas that an autoscaler set": (
        "Deployment/ingest",
        lambda live: live["spec"].update(replicas=7),
    ),
    "a default of a field that is not ours": (
        "Service/ingest",
        lambda live: live["spec"].update(clusterIP="10.0.0.9", type="ClusterIP"),
    ),
    "a default inside a container": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"][0]["livenessProbe"].update(successThreshold=1),
    ),
    "a label of somebody else": (
        "Namespace/audit-acme",
        lambda live: live["metadata"]["labels"].update(team="a"),
    ),
    "an environment variable of somebody else": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"][0]["env"].insert(0, {"name": "TZ", "value": "UTC"}),
    ),
    "a second container in front": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"].insert(0, {"name": "proxy"}),
    ),
    "an owner beside ours": (
        "Service/ingest",
        lambda live: live["metadata"]["ownerReferences"].insert(0, {"uid": "other"}),
    ),
    "a default inside a route": (
        "HTTPRoute/audit",
        lambda live: live["spec"]["rules"][0]["backendRefs"][0].update(filters=[]),
    ),
    "the same memory written in another way": (
        "ResourceQuota/audit-tenant",
        lambda live: live["spec"]["hard"].update({"requests.memory": str(8832 << 20)}),
    ),
    "the same processors written in another way": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"][0]["resources"]["requests"].update(cpu="0.25"),
    ),
    "empty lists that the server leaves out": (
        "NetworkPolicy/default-deny",
        lambda live: (live["spec"].pop("ingress"), live["spec"].pop("egress")),
    ),
}


@pytest.mark.parametrize(("name", "edit"), IGNORED.values(), ids=IGNORED)
def test_no_difference_is(name: str, edit: Edit) -> None:
    live = _edited(name, edit)
    assert live != _wanted(name)
    assert same(live, _wanted(name))


DIFFERENCES: dict[str, tuple[str, Edit]] = {
    "another image": ("Deployment/ingest", lambda live: _pod(live)["containers"][0].update(image="x")),
    "a missing field": ("Deployment/ingest", lambda live: _pod(live).pop("automountServiceAccountToken")),
    "a missing container": ("Deployment/ingest", lambda live: _pod(live)["containers"].clear()),
    "another value of a variable": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"][0]["env"][0].update(value="query"),
    ),
    "a missing variable": ("Deployment/ingest", lambda live: _pod(live)["containers"][0]["env"].pop()),
    "another command": ("Deployment/ingest", lambda live: _pod(live)["containers"][0]["command"].append("x")),
    "a capability that is kept": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"][0]["securityContext"]["capabilities"].update(drop=[]),
    ),
    "less memory": (
        "Deployment/ingest",
        lambda live: _pod(live)["containers"][0]["resources"]["limits"].update(memory="383Mi"),
    ),
    "a volume of another kind": (
        "Deployment/ingest",
        lambda live: _pod(live)["volumes"].__setitem__(1, {"name": "tmp", "hostPath": {"path": "/tmp"}}),
    ),
    "other replicas where the number is ours": (
        "Deployment/writer",
        lambda live: live["spec"].update(replicas=2),
    ),
    "pods that are less than restricted": (
        "Namespace/audit-acme",
        lambda live: live["metadata"]["labels"].update({"pod-security.kubernetes.io/enforce": "privileged"}),
    ),
    "an exception to what is denied": (
        "NetworkPolicy/default-deny",
        lambda live: live["spec"]["podSelector"].update(matchLabels={"a": "b"}),
    ),
    "a rule in what is denied": (
        "NetworkPolicy/default-deny",
        lambda live: live["spec"].update(ingress=[{}]),
    ),
    "a direction that is not denied": (
        "NetworkPolicy/default-deny",
        lambda live: live["spec"]["policyTypes"].pop(),
    ),
    "one caller more": (
        "NetworkPolicy/ingest",
        lambda live: live["spec"]["ingress"][0]["from"].append({"ipBlock": {"cidr": "0.0.0.0/0"}}),
    ),
    "a caller that is bounded more closely": (
        "NetworkPolicy/ingest",
        lambda live: live["spec"]["ingress"][0]["from"][0].update(podSelector={}),
    ),
    "a server that is no longer reached": (
        "NetworkPolicy/ingest",
        lambda live: live["spec"]["egress"][1].update(to=[{"ipBlock": {"cidr": "10.0.0.0/8"}}]),
    ),
    "a selector that finds fewer pods": (
        "Service/ingest",
        lambda live: live["spec"]["selector"].update(version="2"),
    ),
    "another role": ("RoleBinding/audit-operator-secrets", lambda live: live["roleRef"].update(name="admin")),
    "one more who is bound": (
        "RoleBinding/audit-operator-secrets",
        lambda live: live["subjects"].append({"kind": "User", "name": "eve"}),
    ),
    "a second measure of load": (
        "HorizontalPodAutoscaler/ingest",
        lambda live: live["spec"]["metrics"].append({"type": "Resource"}),
    ),
    "another way to a function": (
        "HTTPRoute/audit",
        lambda live: live["spec"]["rules"][0]["backendRefs"][0].update(name="other"),
    ),
    "an owner that is gone": ("Service/ingest", lambda live: live["metadata"].pop("ownerReferences")),
    "more pods allowed": (
        "ResourceQuota/audit-tenant",
        lambda live: live["spec"]["hard"].update(pods="100"),
    ),
    "a quantity that is none": (
        "ResourceQuota/audit-tenant",
        lambda live: live["spec"]["hard"].update(pods="many"),
    ),
}


@pytest.mark.parametrize(("name", "edit"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_a_difference_is(name: str, edit: Edit) -> None:
    assert not same(_edited(name, edit), _wanted(name))


@pytest.mark.parametrize("name", by_name(written_by_hand()))
def test_every_object_is_its_own_projection(name: str) -> None:
    assert project(_wanted(name), _wanted(name)) == _wanted(name)


def test_a_projection_leaves_what_it_is_given_as_it_was() -> None:
    live, want = _wanted("Deployment/ingest"), _wanted("Deployment/ingest")
    project(live, want)
    assert (live, want) == (_wanted("Deployment/ingest"), _wanted("Deployment/ingest"))


def test_a_digest_is_of_the_content_and_not_of_its_order() -> None:
    want = _wanted("Service/ingest")
    assert digest(dict(reversed(want.items()))) == digest(want)
    assert digest(_edited("Service/ingest", lambda live: live["spec"]["selector"].update(a="b"))) != digest(
        want
    )
