"""The restricted Pod Security Standard, written from its definition: what each control demands of a pod."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST_NAMESPACES: Final = ("hostNetwork", "hostPID", "hostIPC")
SECCOMP: Final = ("RuntimeDefault", "Localhost")


def violations(pod: dict[str, Any]) -> list[str]:
    """Return each control that the spec of a pod breaks."""
    return [
        *_of_pod(pod),
        *(each for container in _containers(pod) for each in _of_container(pod, container)),
    ]


def _containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in pod.get(kind, ())]


def _of_pod(pod: dict[str, Any]) -> Iterator[str]:
    yield from (name for name in HOST_NAMESPACES if pod.get(name))
    for volume in pod.get("volumes", ()):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    security = pod.get("securityContext", {})
    if security.get("runAsUser") == 0:
        yield "runAsUser of the pod"
    if security.get("sysctls"):
        yield "sysctls"
    if security.get("seccompProfile", {}).get("type") not in (None, *SECCOMP):
        yield "seccompProfile of the pod"


def _of_container(pod: dict[str, Any], container: dict[str, Any]) -> Iterator[str]:
    security, outer = container.get("securityContext", {}), pod.get("securityContext", {})
    if security.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation"
    if security.get("privileged"):
        yield "privileged"
    if not security.get("runAsNonRoot", outer.get("runAsNonRoot", False)):
        yield "runAsNonRoot"
    if security.get("runAsUser") == 0:
        yield "runAsUser"
    if security.get("seccompProfile", outer.get("seccompProfile", {})).get("type") not in SECCOMP:
        yield "seccompProfile"
    capabilities = security.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", ()):
        yield "capabilities are kept"
    if not set(capabilities.get("add", ())) <= {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if security.get("procMount") not in (None, "Default"):
        yield "procMount"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "hostPort"
