"""The pod of one function, as the restricted Pod Security Standard asks for it."""

from __future__ import annotations

from typing import Final

from audit_operator.model.audittenant import AuditTenant, Resources
from audit_operator.model.quantity import ResourceQuantity
from audit_operator.resources.metadata import labels, selector
from audit_operator.resources.platform import Manifest, Platform
from audit_operator.resources.quantity import canonical

PORT: Final = 8000
SHARDS: Final = "/etc/audit/shards"
SERVICE_ACCOUNT: Final = "audit-functions"
GRACE_SECONDS: Final = 40
"""More than what follows, and then the time a function takes to drain after SIGTERM."""
LEAVE_SECONDS: Final = 5
"""How long a pod that is to stop still takes connections: until then some proxies have not heard that it goes."""
_USER: Final = 65532


def _resources(memory: str, memory_limit: str) -> Resources:
    return Resources(
        requests={"cpu": ResourceQuantity("250m"), "memory": ResourceQuantity(memory)},
        limits={"memory": ResourceQuantity(memory_limit)},
    )


DEFAULT_RESOURCES: Final = {
    "ingest": _resources("192Mi", "384Mi"),
    "query": _resources("192Mi", "512Mi"),
    "writer": _resources("256Mi", "512Mi"),
}


def credentials_name(function: str) -> str:
    """Return the name of the Secret that a function of a Dedicated tenant logs in with."""
    return f"audit-credentials-{function}"


def pod(tenant: AuditTenant, function: str, platform: Platform) -> Manifest:
    """Return the template of a function's pods. They hold no token of the cluster and write nothing but /tmp."""
    spec: Manifest = {
        "serviceAccountName": SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            _spread(tenant, function, "kubernetes.io/hostname"),
            _spread(tenant, function, "topology.kubernetes.io/zone"),
        ],
        "containers": [_container(tenant, function, platform)],
        "volumes": [
            {"name": "shards", "secret": {"secretName": credentials_name(function), "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if platform.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in platform.image_pull_secrets]
    return {"metadata": {"labels": labels(tenant, function)}, "spec": spec}


def resources_of(tenant: AuditTenant, function: str) -> Resources:
    """Return what a function's container requests and is limited to: what is asked, and for the rest the defaults.

    A default that contradicts what is asked gives way. Nothing is left to the LimitRange, whose limit a request might
    exceed: such a pod would be refused.
    """
    default = DEFAULT_RESOURCES[function]
    asked = tenant.spec.ingest.resources if function == "ingest" else None
    if asked is None:
        return default
    requests, limits = default.requests | asked.requests, default.limits | asked.limits
    for name in requests.keys() & limits.keys():
        if requests[name].amount > limits[name].amount:
            yielding, firm = (limits, requests) if name in asked.requests else (requests, limits)
            yielding[name] = firm[name]
    return Resources(requests=requests, limits=limits)


def _container(tenant: AuditTenant, function: str, platform: Platform) -> Manifest:
    resources = resources_of(tenant, function)
    container: Manifest = {
        "name": function,
        "image": platform.image,
        "imagePullPolicy": platform.image_pull_policy,
        "command": ["python", "-m", "audit_functions"],
        "env": [{"name": name, "value": value} for name, value in _environment(function, platform).items()],
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/healthz", period=2, failures=30),
        "livenessProbe": _probe("/healthz", period=10, failures=6),
        "readinessProbe": _probe("/readyz", period=5, failures=2),
        "resources": {
            kind: {name: canonical(quantity) for name, quantity in quantities.items()}
            for kind, quantities in (("requests", resources.requests), ("limits", resources.limits))
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "shards", "mountPath": SHARDS, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
        ],
    }
    if function != "writer":  # nobody connects to a writer
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": LEAVE_SECONDS}}}
    return container


def _environment(function: str, platform: Platform) -> dict[str, str]:
    environment = {
        "AUDIT_FUNCTIONS": function,
        "AUDIT_SHARDS": SHARDS,
        "AUDIT_INSTALLATION": platform.installation,
        "AUDIT_NATS_URL": platform.nats_url,
        "AUDIT_ADDRESS": "0.0.0.0",  # noqa: S104 - behind the pod's network policy
        "AUDIT_PORT": str(PORT),
        "AUDIT_LOG_LEVEL": platform.log_level,
    }
    if function == "writer":
        environment["AUDIT_BACKUP"] = platform.backup
    return environment


def _probe(path: str, *, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }


def _spread(tenant: AuditTenant, function: str, topology: str) -> Manifest:
    return {
        "maxSkew": 1,
        "topologyKey": topology,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(tenant, function)},
    }
