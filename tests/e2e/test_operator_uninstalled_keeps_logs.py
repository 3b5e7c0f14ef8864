"""What is stored outlives the chart, the operator, the tenant's namespace and the tenant's resource.

The chart is installed and uninstalled by Helm. The bodies of all stored events are compared by their hash.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.api import TENANTS
from tests.support.chart import CHART, NAMESPACE, REQUIRED, helm, value_arguments
from tests.support.operator import MODULES, Installation
from tests.support.pods import Pods
from tests.support.tenant_events import EVENTS, bodies, send, stored
from tests.support.tenant_objects import namespace_path, path_of

SMALL: Final[dict[str, Any]] = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}


def install(installation: Installation) -> None:
    """Install the chart, and start what its Deployment would."""
    helm(
        *("install", "audit-log", str(CHART), "--namespace", NAMESPACE, "--create-namespace"),
        *value_arguments(str(installation.folder), REQUIRED),
        kubeconfig=installation.cluster.kubeconfig,
    )
    installation.start()


def uninstall(installation: Installation) -> None:
    """Uninstall the chart as if nobody had asked first."""
    installation.stop()
    helm(
        *("uninstall", "audit-log", "--namespace", NAMESPACE, "--no-hooks", "--wait"),
        kubeconfig=installation.cluster.kubeconfig,
    )


@pytest.fixture(scope="module")
def helmed(bare: Installation) -> Installation:
    install(bare)
    return bare


def may_be_uninstalled(installation: Installation) -> tuple[int, str]:
    """Return what the hook says that asks before an uninstallation."""
    done = subprocess.run(
        [sys.executable, "-m", "audit_operator.guard"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": MODULES,
            "KUBECONFIG": str(installation.kubeconfig("guard")),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def key_of(installation: Installation, name: str) -> str:
    return installation.secret(f"audit-{name}", "audit-first-key")["key"]


async def test_a_log_outlives_chart_and_namespace(helmed: Installation, tmp_path: Path) -> None:
    assert may_be_uninstalled(helmed) == (0, "")
    helmed.tenant("acme", **SMALL)
    before = helmed.settled("acme")["status"]
    with Pods(cluster=helmed.cluster, folder=tmp_path / "first") as pods:
        ingest, query = pods.run("audit-acme", "ingest"), pods.run("audit-acme", "query")
        pods.run("audit-acme", "writer")
        key = key_of(helmed, "acme")
        send(ingest, key)
        helmed.eventually(lambda: len(stored(query, key)) == EVENTS, "events are queryable")
    kept = await bodies(helmed)
    code, sentence = may_be_uninstalled(helmed)
    assert (code, sentence.strip()) == (1, "1 AuditTenants need the operator (acme): delete them first")

    uninstall(helmed)
    assert helmed.api.find(f"{TENANTS}/acme") is not None, "the tenants go with the CRD, and it stays"
    assert helmed.cluster.try_kubectl("get", "deployment", "--namespace=audit-acme", "writer").returncode == 0
    helmed.cluster.kubectl("delete", "namespace", "audit-acme", "--timeout=90s")
    assert await bodies(helmed) == kept

    install(helmed)
    writer = path_of("acme", "Deployment", "writer")
    helmed.eventually(
        lambda: (helmed.api.find(writer) or {}).get("status", {}).get("availableReplicas") == 1,
        "its functions are there again",
    )
    after = helmed.settled("acme")["status"]
    assert (after["tenantID"], after["stream"]) == (before["tenantID"], before["stream"])
    assert await bodies(helmed) == kept
    with Pods(cluster=helmed.cluster, folder=tmp_path / "second") as pods:
        found = stored(pods.run("audit-acme", "query"), key_of(helmed, "acme"))
    assert sorted(found) == sorted(f"e-{number}" for number in range(EVENTS))


async def test_a_log_is_taken_back_once_and_by_whom_it_fits(helmed: Installation, tmp_path: Path) -> None:
    former = helmed.get("acme")["status"]["tenantID"]
    kept = await bodies(helmed)
    helmed.tenant("other", **SMALL)
    others = helmed.settled("other")["status"]["tenantID"]

    def refused(name: str, why: str) -> None:
        helmed.eventually(
            lambda: why in helmed.condition(name).get("message", ""), f"{name} is refused", 60.0, name
        )
        assert helmed.condition(name)["reason"] == "Invalid"
        assert "tenantID" not in helmed.get(name)["status"]

    helmed.tenant("takes-used", adopt=former, **SMALL)
    refused("takes-used", "belongs to the tenant acme, which is there")
    helmed.tenant("takes-unknown", adopt="a" * 16, **SMALL)
    refused("takes-unknown", "there is no log of that tenantID")
    helmed.api.delete(f"{TENANTS}/acme")
    helmed.eventually(lambda: helmed.api.find(f"{TENANTS}/acme") is None, "acme is gone", 90.0)
    helmed.tenant("takes-pooled", adopt=former, isolation="Pooled", retention={"keep": "90d"})
    refused("takes-pooled", "isolation cannot be changed")
    assert helmed.get("other")["status"]["tenantID"] == others
    assert kept.items() <= (await bodies(helmed)).items()

    helmed.patch("takes-used", {"spec": {"displayName": "once more, now that it is free"}})
    helmed.settled("takes-used")
    assert helmed.get("takes-used")["status"]["tenantID"] == former
    helmed.tenant("takes-late", adopt=former, **SMALL)
    refused("takes-late", "belongs to the tenant takes-used, which is there")
    helmed.tenant("acme", **SMALL)
    anew = helmed.settled("acme")["status"]["tenantID"]
    assert anew not in (former, others)
    with Pods(cluster=helmed.cluster, folder=tmp_path) as pods:
        assert stored(pods.run("audit-acme", "query"), key_of(helmed, "acme")) == []
        found = stored(pods.run("audit-takes-used", "query"), key_of(helmed, "takes-used"))
    assert sorted(found) == sorted(f"e-{number}" for number in range(EVENTS))
    assert kept.items() <= (await bodies(helmed)).items()


async def test_a_resource_that_is_not_told_of_its_end_comes_back_to_its_log(helmed: Installation) -> None:
    """As after a restored backup of the cluster: another uid, generation 1, no status."""
    name = "restored"
    helmed.tenant(name, **SMALL)
    helmed.settled(name)
    helmed.patch(name, {"spec": {"query": {"replicas": 2}}})
    before = helmed.settled(name)
    helmed.stop()
    helmed.patch(name, {"metadata": {"finalizers": None}})
    helmed.api.delete(f"{TENANTS}/{name}")
    helmed.eventually(
        lambda: helmed.api.find(namespace_path(name)) is None, "the namespace went with it", 90.0
    )
    helmed.tenant(name, **SMALL)
    helmed.start()
    after = helmed.settled(name)
    assert after["metadata"]["generation"] < before["metadata"]["generation"]
    assert after["status"]["tenantID"] == before["status"]["tenantID"]
