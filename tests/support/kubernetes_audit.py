"""Kubernetes audit events to test with, and by hand the events that they must become.

Each case says what differs from one request, its record and its event; None takes a field away.
"""

from __future__ import annotations

import json
from typing import Any, Final

AUDIT_ID: Final = "6b1f0d4e-2a0b-4c3f-9d5e-0f1b2c3d4e5f"
_RECEIVED: Final = "2026-01-31T09:30:00.100000Z"
_STAGED: Final = "2026-01-31T09:30:00.123456Z"
_RBAC: Final = 'RBAC: allowed by ClusterRoleBinding "admins" of ClusterRole "admin" to User "jane"'
_ALLOWED: Final = {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": _RBAC}
_FORBIDDEN: Final = {"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""}

_RECORD: Final[dict[str, Any]] = {
    "level": "Metadata",
    "auditID": AUDIT_ID,
    "stage": "ResponseComplete",
    "requestURI": "/api/v1/namespaces/prod/pods/web",
    "verb": "get",
    "user": {"username": "jane", "groups": ["devs", "system:authenticated"]},
    "sourceIPs": ["203.0.113.7"],
    "userAgent": "kubectl/v1.36.0 (linux/amd64) kubernetes/abc1234",
    "objectRef": {"resource": "pods", "namespace": "prod", "name": "web", "apiVersion": "v1"},
    "responseStatus": {"metadata": {}, "code": 200},
    "requestReceivedTimestamp": _RECEIVED,
    "stageTimestamp": _STAGED,
    "annotations": _ALLOWED,
}
_EVENT: Final[dict[str, Any]] = {
    "id": f"{AUDIT_ID}:ResponseComplete",
    "event_type": "k8s.core.pods.get",
    "action": "get",
    "outcome": "success",
    "severity": "info",
    "occurred_at": _STAGED,
    "actor": {"id": "jane", "type": "user", "groups": ["devs", "system:authenticated"]},
    "targets": [
        {
            "type": "pods",
            "id": "prod/web",
            "name": "web",
            "attributes": {"apiVersion": "v1", "namespace": "prod", "resource": "pods"},
        }
    ],
    "source": {"service": "kubernetes"},
    "context": {
        "ip": "203.0.113.7",
        "user_agent": "kubectl/v1.36.0 (linux/amd64) kubernetes/abc1234",
        "correlation_id": AUDIT_ID,
    },
}
_METADATA: Final[dict[str, Any]] = {
    "level": "Metadata",
    "stage": "ResponseComplete",
    "request_uri": "/api/v1/namespaces/prod/pods/web",
    "response_status": {"metadata": {}, "code": 200},
    "request_received_timestamp": _RECEIVED,
    "annotations": _ALLOWED,
}


def _changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def an_audit_event(**changes: Any) -> dict[str, Any]:
    """Return a record; fields given as None are left out."""
    return _changed(_RECORD, changes)


def an_event_list(*records: Any) -> bytes:
    """Return an EventList as the API server sends it."""
    body = {"kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": {}, "items": list(records)}
    return json.dumps(body, separators=(",", ":")).encode()


def _target(kind: str, target_id: str | None, name: str | None, **attributes: str) -> list[dict[str, Any]]:
    return [_changed({}, {"type": kind, "id": target_id, "name": name, "attributes": attributes})]


def _case(
    record: dict[str, Any], event: dict[str, Any], metadata: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    expected = {**_changed(_EVENT, event), "metadata": _changed(_METADATA, metadata)}
    return an_audit_event(**record), expected


_LEASE: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"
_DEPLOYMENT: Final = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}}
_SCALE: Final = {"kind": "Scale", "apiVersion": "autoscaling/v1", "spec": {"replicas": 5}}

EXPECTED: Final[dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "a read of a pod": _case({}, {}, {}),
    "a request that was received": _case(
        {"stage": "RequestReceived", "responseStatus": None, "annotations": None, "stageTimestamp": _RECEIVED},
        {"id": f"{AUDIT_ID}:RequestReceived", "outcome": "unknown", "occurred_at": _RECEIVED},
        {"stage": "RequestReceived", "response_status": None, "annotations": None},
    ),
    "a watch that began to answer": _case(
        {
            "stage": "ResponseStarted",
            "verb": "watch",
            "requestURI": "/api/v1/pods?watch=true",
            "objectRef": {"resource": "pods", "apiVersion": "v1"},
        },
        {
            "id": f"{AUDIT_ID}:ResponseStarted",
            "event_type": "k8s.core.pods.watch",
            "action": "watch",
            "targets": _target("pods", None, None, apiVersion="v1", resource="pods"),
        },
        {"stage": "ResponseStarted", "request_uri": "/api/v1/pods?watch=true"},
    ),
    "a panic": _case(
        {
            "stage": "Panic",
            "responseStatus": {
                "metadata": {},
                "status": "Failure",
                "message": "APIServer panic'd: nil map",
                "reason": "InternalError",
                "code": 500,
            },
        },
        {"id": f"{AUDIT_ID}:Panic", "outcome": "failure", "severity": "error"},
        {
            "stage": "Panic",
            "response_status": {
                "metadata": {},
                "status": "Failure",
                "message": "APIServer panic'd: nil map",
                "reason": "InternalError",
                "code": 500,
            },
        },
    ),
    "a panic without a status": _case(
        {"stage": "Panic", "responseStatus": None},
        {"id": f"{AUDIT_ID}:Panic", "outcome": "failure", "severity": "error"},
        {"stage": "Panic", "response_status": None},
    ),
    "a service account in the place of a user": _case(
        {
            "user": {
                "username": "system:serviceaccount:ci:deployer",
                "uid": "5d8b6f5e-0001",
                "groups": ["system:serviceaccounts"],
                "extra": {"authentication.kubernetes.io/pod-name": ["deploy-1"]},
            },
            "impersonatedUser": {"username": "jane", "groups": ["devs"]},
        },
        {
            "actor": {
                "id": "system:serviceaccount:ci:deployer",
                "type": "service_account",
                "groups": ["system:serviceaccounts"],
                "on_behalf_of": {"id": "jane", "type": "user"},
            }
        },
        {
            "user": {
                "uid": "5d8b6f5e-0001",
                "extra": {"authentication.kubernetes.io/pod-name": ["deploy-1"]},
            },
            "impersonated_user": {"groups": ["devs"]},
        },
    ),
    "a shell in a pod": _case(
        {
            "verb": "create",
            "requestURI": "/api/v1/namespaces/prod/pods/web/exec?command=sh&stdin=true&tty=true",
            "objectRef": {**_RECORD["objectRef"], "subresource": "exec"},
            "responseStatus": {"metadata": {}, "code": 101},
        },
        {
            "event_type": "k8s.core.pods.exec.create",
            "action": "create",
            "targets": _target(
                "pods", "prod/web", "web", apiVersion="v1", namespace="prod", resource="pods", subresource="exec"
            ),
        },
        {
            "request_uri": "/api/v1/namespaces/prod/pods/web/exec?command=sh&stdin=true&tty=true",
            "response_status": {"metadata": {}, "code": 101},
        },
    ),
    "a pod's log": _case(
        {
            "requestURI": "/api/v1/namespaces/prod/pods/web/log?follow=true",
            "objectRef": {**_RECORD["objectRef"], "subresource": "log"},
        },
        {
            "event_type": "k8s.core.pods.log.get",
            "targets": _target(
                "pods", "prod/web", "web", apiVersion="v1", namespace="prod", resource="pods", subresource="log"
            ),
        },
        {"request_uri": "/api/v1/namespaces/prod/pods/web/log?follow=true"},
    ),
    "a deployment that is scaled": _case(
        {
            "level": "RequestResponse",
            "verb": "patch",
            "requestURI": "/apis/apps/v1/namespaces/prod/deployments/web/scale",
            "objectRef": {
                "resource": "deployments",
                "namespace": "prod",
                "name": "web",
                "apiGroup": "apps",
                "apiVersion": "v1",
                "subresource": "scale",
            },
            "requestObject": {"spec": {"replicas": 5}},
            "responseObject": _SCALE,
        },
        {
            "event_type": "k8s.apps.deployments.scale.patch",
            "action": "patch",
            "targets": _target(
                "deployments.apps", "prod/web", "web", apiGroup="apps", apiVersion="v1", namespace="prod",
                resource="deployments", subresource="scale",
            ),
        },
        {
            "level": "RequestResponse",
            "request_uri": "/apis/apps/v1/namespaces/prod/deployments/web/scale",
            "request_object": {"spec": {"replicas": 5}},
            "response_object": _SCALE,
        },
    ),
    "a status that a controller writes": _case(
        {
            "verb": "update",
            "requestURI": "/apis/apps/v1/namespaces/prod/deployments/web/status",
            "user": {"username": "system:kube-controller-manager", "groups": ["system:authenticated"]},
            "objectRef": {
                "resource": "deployments",
                "namespace": "prod",
                "name": "web",
                "uid": "0a1b2c3d",
                "apiGroup": "apps",
                "apiVersion": "v1",
                "resourceVersion": "812",
                "subresource": "status",
            },
        },
        {
            "event_type": "k8s.apps.deployments.status.update",
            "action": "update",
            "actor": {
                "id": "system:kube-controller-manager",
                "type": "system",
                "groups": ["system:authenticated"],
            },
            "targets": _target(
                "deployments.apps", "prod/web", "web", apiGroup="apps", apiVersion="v1", namespace="prod",
                resource="deployments", resourceVersion="812", subresource="status", uid="0a1b2c3d",
            ),
        },
        {"request_uri": "/apis/apps/v1/namespaces/prod/deployments/web/status"},
    ),
    "a path that is no resource": _case(
        {"requestURI": "/healthz?verbose", "objectRef": None},
        {"event_type": "k8s.nonresource.get", "targets": [{"id": "/healthz", "type": "url"}]},
        {"request_uri": "/healthz?verbose"},
    ),
    "a request that authorization forbids": _case(
        {
            "verb": "delete",
            "responseStatus": {
                "metadata": {},
                "status": "Failure",
                "reason": "Forbidden",
                "code": 403,
            },
            "annotations": _FORBIDDEN,
        },
        {
            "event_type": "k8s.core.pods.delete",
            "action": "delete",
            "outcome": "denied",
            "severity": "warning",
        },
        {
            "response_status": {
                "metadata": {},
                "status": "Failure",
                "reason": "Forbidden",
                "code": 403,
            },
            "annotations": _FORBIDDEN,
        },
    ),
    "somebody anonymous": _case(
        {
            "user": {"username": "system:anonymous", "groups": ["system:unauthenticated"]},
            "requestURI": "/version",
            "objectRef": None,
        },
        {
            "event_type": "k8s.nonresource.get",
            "actor": {
                "id": "system:anonymous",
                "type": "anonymous",
                "groups": ["system:unauthenticated"],
            },
            "targets": [{"id": "/version", "type": "url"}],
        },
        {"request_uri": "/version"},
    ),
    "a credential that is not valid": _case(
        {
            "user": {},
            "responseStatus": {"metadata": {}, "status": "Failure", "reason": "Unauthorized", "code": 401},
            "annotations": None,
        },
        {"actor": {"type": "anonymous"}, "outcome": "denied", "severity": "warning"},
        {
            "response_status": {
                "metadata": {},
                "status": "Failure",
                "reason": "Unauthorized",
                "code": 401,
            },
            "annotations": None,
        },
    ),
    "a pod that a webhook changed": _case(
        {
            "verb": "create",
            "requestURI": "/api/v1/namespaces/prod/pods",
            "responseStatus": {"metadata": {}, "code": 201},
            "annotations": {
                **_ALLOWED,
                "mutation.webhook.admission.k8s.io/round_0_index_0": '{"configuration":"inject","mutated":true}',
            },
        },
        {"event_type": "k8s.core.pods.create", "action": "create"},
        {
            "request_uri": "/api/v1/namespaces/prod/pods",
            "response_status": {"metadata": {}, "code": 201},
            "annotations": {
                **_ALLOWED,
                "mutation.webhook.admission.k8s.io/round_0_index_0": '{"configuration":"inject","mutated":true}',
            },
        },
    ),
    "a collection that is deleted": _case(
        {
            "verb": "deletecollection",
            "requestURI": "/api/v1/namespaces/prod/pods?labelSelector=app%3Dweb",
            "objectRef": {"resource": "pods", "namespace": "prod", "apiVersion": "v1"},
        },
        {
            "event_type": "k8s.core.pods.deletecollection",
            "action": "deletecollection",
            "targets": _target("pods", None, None, apiVersion="v1", namespace="prod", resource="pods"),
        },
        {"request_uri": "/api/v1/namespaces/prod/pods?labelSelector=app%3Dweb"},
    ),
    "a node that renews its lease": _case(
        {
            "verb": "update",
            "requestURI": _LEASE,
            "user": {"username": "system:node:node-1", "groups": ["system:nodes"]},
            "userAgent": "kubelet/v1.36.0",
            "objectRef": {
                "resource": "leases",
                "namespace": "kube-node-lease",
                "name": "node-1",
                "apiGroup": "coordination.k8s.io",
                "apiVersion": "v1",
            },
        },
        {
            "event_type": "k8s.coordination.k8s.io.leases.update",
            "action": "update",
            "actor": {"id": "system:node:node-1", "type": "system", "groups": ["system:nodes"]},
            "targets": _target(
                "leases.coordination.k8s.io", "kube-node-lease/node-1", "node-1", apiVersion="v1",
                apiGroup="coordination.k8s.io", namespace="kube-node-lease", resource="leases",
            ),
            "context": {**_EVENT["context"], "user_agent": "kubelet/v1.36.0"},
        },
        {"request_uri": _LEASE},
    ),
    "what the API server cut itself": _case(
        {"level": "Request", "annotations": {**_ALLOWED, "audit.k8s.io/truncated": "true"}},
        {},
        {"level": "Request", "annotations": {**_ALLOWED, "audit.k8s.io/truncated": "true"}},
    ),
    "an object that is refused": _case(
        {
            "level": "Request",
            "verb": "create",
            "requestURI": "/apis/apps/v1/namespaces/prod/deployments",
            "objectRef": {"resource": "deployments", "namespace": "prod", "apiGroup": "apps", "apiVersion": "v1"},
            "requestObject": {"kind": "Deployment", "spec": _DEPLOYMENT},
            "responseStatus": {"metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422},
        },
        {
            "event_type": "k8s.apps.deployments.create",
            "action": "create",
            "outcome": "failure",
            "severity": "notice",
            "targets": _target(
                "deployments.apps", None, None, apiGroup="apps", apiVersion="v1", namespace="prod",
                resource="deployments",
            ),
        },
        {
            "level": "Request",
            "request_uri": "/apis/apps/v1/namespaces/prod/deployments",
            "request_object": {"kind": "Deployment", "spec": _DEPLOYMENT},
            "response_status": {"metadata": {}, "status": "Failure", "reason": "Invalid", "code": 422},
        },
    ),
    "an answer that was the server's fault": _case(
        {"responseStatus": {"metadata": {}, "status": "Failure", "code": 504}},
        {"outcome": "failure", "severity": "error"},
        {"response_status": {"metadata": {}, "status": "Failure", "code": 504}},
    ),
    "a request through proxies": _case(
        {"sourceIPs": ["198.51.100.1", "2001:db8::7"]},
        {"context": {**_EVENT["context"], "ip": "2001:db8::7"}},
        {"source_ips": ["198.51.100.1", "2001:db8::7"]},
    ),
    "a namespace": _case(
        {
            "verb": "delete",
            "requestURI": "/api/v1/namespaces/prod",
            "objectRef": {"resource": "namespaces", "namespace": "prod", "name": "prod", "apiVersion": "v1"},
        },
        {
            "event_type": "k8s.core.namespaces.delete",
            "action": "delete",
            "targets": _target(
                "namespaces", "prod", "prod", apiVersion="v1", namespace="prod", resource="namespaces"
            ),
        },
        {"request_uri": "/api/v1/namespaces/prod"},
    ),
    "a role that is bound": _case(
        {
            "verb": "create",
            "requestURI": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            "objectRef": {
                "resource": "clusterrolebindings",
                "name": "root",
                "apiGroup": "rbac.authorization.k8s.io",
                "apiVersion": "v1",
            },
        },
        {
            "event_type": "k8s.rbac.authorization.k8s.io.clusterrolebindings.create",
            "action": "create",
            "targets": _target(
                "clusterrolebindings.rbac.authorization.k8s.io", "root", "root", apiVersion="v1",
                apiGroup="rbac.authorization.k8s.io", resource="clusterrolebindings",
            ),
        },
        {"request_uri": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"},
    ),
    "a patch, which is a list": _case(
        {
            "level": "Request",
            "verb": "patch",
            "requestObject": [{"op": "replace", "path": "/spec/parallelism", "value": 0}],
        },
        {"event_type": "k8s.core.pods.patch", "action": "patch"},
        {
            "level": "Request",
            "request_object": [{"op": "replace", "path": "/spec/parallelism", "value": 0}],
        },
    ),
}  # fmt: skip
