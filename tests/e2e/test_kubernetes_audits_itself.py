"""The cluster that the product is tested on is audited by it: what the API server's webhook posted is what it logged.

The server and its controllers never rest, so the two sets are bounded: by the time of the last stage of one request,
the marker. What the webhook lost would be missing for ever, since in blocking mode it does not wait for a batch.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import uuid
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.cluster.build import can_build
from tests.support.cluster import Cluster, start
from tests.support.running import RunningStack, running_stack
from tests.support.tls import TlsEndpoint, tls_in_front_of

NAMESPACE = "audited"
WAIT_SECONDS = 60.0

pytestmark = pytest.mark.skipif(
    not can_build(), reason="go is missing, and the cluster's programs are not built"
)


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[RunningStack]:
    async with running_stack(tmp_path) as running:
        yield running


@pytest.fixture
async def audited(stack: RunningStack, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Start a cluster whose API server posts to the product in blocking mode."""
    folder, webhook = tmp_path / "cluster", tmp_path / "audit-webhook.yaml"
    async with tls_in_front_of(stack.port, tmp_path) as endpoint:
        webhook.write_text(yaml.safe_dump(webhook_kubeconfig(endpoint, stack.key("acme"))))
        try:
            await asyncio.to_thread(start, folder, for_process=os.getpid(), webhook=webhook)
            yield Cluster(kubeconfig=folder / "kubeconfig", folder=folder, capabilities=frozenset())
        finally:
            (folder / "stop").touch()


def webhook_kubeconfig(endpoint: TlsEndpoint, key: str) -> dict[str, object]:
    """Return what docs/kubernetes-audit.md tells to write. Over plain HTTP the API server would not send the key."""
    cluster = {
        "server": f"https://127.0.0.1:{endpoint.port}/api/v1/audit/kubernetes",
        "certificate-authority-data": base64.b64encode(endpoint.certificate).decode(),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "audit-log", "cluster": cluster}],
        "users": [{"name": "kube-apiserver", "user": {"token": key}}],
        "contexts": [{"name": "audit", "context": {"cluster": "audit-log", "user": "kube-apiserver"}}],
        "current-context": "audit",
    }


class Told(NamedTuple):
    """One event, with the time of its stage as the API server wrote it; such texts sort like their times."""

    audit_id: str
    stage: str
    at: str


def logged(cluster: Cluster) -> dict[Told, str]:
    """Return what the API server's own log file holds, with the URI; a last line that is not complete is left out."""
    lines = cluster.audit_log.read_bytes().split(b"\n")[:-1]
    events = (json.loads(line) for line in lines)
    return {
        Told(event["auditID"], event["stage"], event["stageTimestamp"]): event["requestURI"]
        for event in events
    }


async def stored(stack: RunningStack) -> list[Told]:
    """Return what PostgreSQL holds, repetitions included."""
    async with stack.database() as connection:
        rows = await connection.fetch(
            "SELECT body::json #>> '{context,correlation_id}' AS audit_id, body::json #>> '{metadata,stage}' AS stage,"
            " body::json ->> 'occurred_at' AS at, id"
            f" FROM {stack.schema('acme')}.event WHERE kind IN (1, 2)"
        )
    assert all(row["id"] == f"{row['audit_id']}:{row['stage']}" for row in rows)
    return [Told(row["audit_id"], row["stage"], row["at"]) for row in rows]


def run(cluster: Cluster, *arguments: str) -> bool:
    """Run kubectl; return whether the server did what was asked."""
    return cluster.try_kubectl(*arguments).returncode == 0


def use(cluster: Cluster) -> None:
    """Do what people do: make, read, change, scale, watch, delete; and be denied."""
    inside = ("--namespace", NAMESPACE)
    assert run(cluster, "create", "namespace", NAMESPACE)
    for number in range(20):
        assert run(
            cluster,
            *inside,
            "create",
            "configmap",
            f"map-{number}",
            f"--from-literal=a={'x' * number * 2000}",
        )
    assert run(cluster, *inside, "create", "secret", "generic", "keys", "--from-literal=a=b")
    assert run(cluster, *inside, "create", "deployment", "web", "--image=example.com/web:1")
    assert run(cluster, *inside, "scale", "deployment", "web", "--replicas=3")
    assert run(cluster, *inside, "label", "configmap", "map-1", "team=a")
    assert run(cluster, *inside, "get", "configmaps")
    assert run(cluster, *inside, "delete", "configmaps", "--all")
    assert run(cluster, "get", "--raw", "/healthz")
    assert not run(cluster, *inside, "get", "secrets", "--as=nobody", "--as-group=system:authenticated")
    assert not run(cluster, *inside, "logs", "no-such-pod")


async def marked(cluster: Cluster) -> str:
    """Send a request that nothing else sends; return the time of its last stage."""
    name = f"marker-{uuid.uuid4().hex}"
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"
    assert not await asyncio.to_thread(run, cluster, "get", "--raw", path)
    (at,) = [
        told.at for told, uri in logged(cluster).items() if uri == path and told.stage == "ResponseComplete"
    ]
    return at


def until(at: str, events: Iterable[Told]) -> set[Told]:
    """Return the events up to a time."""
    return {told for told in events if told.at <= at}


async def test_what_the_api_server_logged_is_what_the_product_stored(
    stack: RunningStack, audited: Cluster
) -> None:
    await asyncio.to_thread(use, audited)
    bound = await marked(audited)
    async with asyncio.timeout(WAIT_SECONDS):
        while until(bound, logged(audited)) != until(bound, await stored(stack)):  # noqa: ASYNC110 - other processes
            await asyncio.sleep(0.2)

    found = await stored(stack)
    assert len(found) == len(set(found))
    assert set(found) <= logged(audited).keys()
    assert len(until(bound, found)) > 300
    assert {told.stage for told in found} >= {"RequestReceived", "ResponseStarted", "ResponseComplete"}
    async with stack.database() as connection:
        kinds = await connection.fetch(
            f"SELECT body::json ->> 'event_type' AS type FROM {stack.schema('acme')}.event WHERE kind = 1"
        )
    types = {row["type"] for row in kinds}
    assert types >= {
        "k8s.core.namespaces.create", "k8s.core.configmaps.create", "k8s.apps.deployments.scale.patch",
        "k8s.core.secrets.list", "k8s.nonresource.get",
    }  # fmt: skip
    assert "k8s.unmapped" not in types
