"""The check for restricted pods that other tests rely on finds each thing that is not allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.manifests import by_name, written_by_hand
from tests.support.pod_security import violations

Edit = Callable[[dict[str, Any], dict[str, Any]], object]

BROKEN: dict[str, Edit] = {
    "hostNetwork": lambda pod, _: pod.update(hostNetwork=True),
    "hostPID": lambda pod, _: pod.update(hostPID=True),
    "volume x": lambda pod, _: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
    "runAsUser of the pod": lambda pod, _: pod["securityContext"].update(runAsUser=0),
    "sysctls": lambda pod, _: pod["securityContext"].update(sysctls=[{"name": "a", "value": "b"}]),
    "runAsNonRoot": lambda pod, _: pod["securityContext"].pop("runAsNonRoot"),
    "seccompProfile": lambda pod, _: pod["securityContext"].pop("seccompProfile"),
    "allowPrivilegeEscalation": lambda _, own: own["securityContext"].pop("allowPrivilegeEscalation"),
    "privileged": lambda _, own: own["securityContext"].update(privileged=True),
    "runAsUser": lambda _, own: own["securityContext"].update(runAsUser=0),
    "capabilities are kept": lambda _, own: own["securityContext"].pop("capabilities"),
    "capabilities are added": lambda _, own: own["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "procMount": lambda _, own: own["securityContext"].update(procMount="Unmasked"),
    "hostPort": lambda _, own: own["ports"][0].update(hostPort=80),
}


@pytest.mark.parametrize(("control", "edit"), BROKEN.items(), ids=BROKEN)
def test_a_broken_control_is_named(control: str, edit: Edit) -> None:
    pod = by_name(written_by_hand())["Deployment/ingest"]["spec"]["template"]["spec"]
    assert violations(pod) == []
    edit(pod, pod["containers"][0])
    assert violations(pod) == [control]
