"""Every field of an AuditTenant that may be changed has its effect; what may be done by kubectl works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.support.crd import spec_schema
from tests.support.operator import PATIENCE_SECONDS, Installation
from tests.support.shard_state import config_of, stream_bytes_of
from tests.support.tenant_objects import path_of

TENANT: Final = "changing"
SMALL: Final[dict[str, Any]] = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}
FIXED: Final = {"isolation", "retention.partitionBy", "adopt"}
"""The fields that count when a tenant is made; that the server refuses to change them is tested elsewhere."""


@dataclass(frozen=True, slots=True)
class Change:
    """A merge patch of the spec; `sees` returns what shows that it was followed, `wanted` is what that must be."""

    fields: tuple[str, ...]
    patch: dict[str, Any]
    sees: Callable[[Installation], Awaitable[Any]]
    wanted: Any

    def __str__(self) -> str:
        return "+".join(self.fields)


def live(kind: str, name: str, *path: str | int) -> Callable[[Installation], Awaitable[Any]]:
    """Look at a part of one of the tenant's objects."""

    async def look(installation: Installation) -> Any:
        return _part(installation.api.find(path_of(TENANT, kind, name)), *path)

    return look


def told(*path: str | int) -> Callable[[Installation], Awaitable[Any]]:
    """Look at a part of the tenant's status."""

    async def look(installation: Installation) -> Any:
        return _part(installation.get(TENANT)["status"], *path)

    return look


def config(*path: str) -> Callable[[Installation], Awaitable[Any]]:
    """Look at what the functions are told."""

    async def look(installation: Installation) -> Any:
        return _part(await config_of(installation, TENANT), *path)

    return look


async def stream_bytes(installation: Installation) -> Any:
    return await stream_bytes_of(installation, TENANT)


async def why_ready(installation: Installation) -> Any:
    ready = installation.condition(TENANT)
    return ready.get("status"), ready.get("reason"), (await config_of(installation, TENANT)).get("state")


async def stream_condition(installation: Installation) -> Any:
    return installation.condition(TENANT, "StreamReady").get("status")


async def unconfirmed_deletion(installation: Installation) -> Any:
    return installation.cluster.try_kubectl("delete", "at", TENANT, "--dry-run=server").returncode


async def taken_in(installation: Installation) -> Any:
    found = installation.get(TENANT)
    return found["metadata"]["generation"] - found["status"]["observedGeneration"]


async def columns(installation: Installation) -> Any:
    return installation.cluster.kubectl("get", "at", TENANT, "--no-headers").split()[5]


def _part(found: Any, *path: str | int) -> Any:
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return None
    return found


CONTAINER: Final = ("spec", "template", "spec", "containers", 0, "resources")
CALLERS: Final = ("spec", "ingress", 0, "from", 0)
AT_CPU: Final = ("spec", "metrics", 0, "resource", "target", "averageUtilization")
CHANGES: Final = [
    Change(
        ("ingest.replicas",), {"ingest": {"replicas": 3, "autoscaling": None}}, told("ingest", "ready"), "3/3"
    ),
    Change(
        ("query.replicas",), {"query": {"replicas": 2, "autoscaling": None}}, told("query", "ready"), "2/2"
    ),
    *(
        Change(
            (f"{function}.autoscaling.{field}",),
            {function: {"replicas": None, "autoscaling": {field: value}}},
            live("HorizontalPodAutoscaler", function, *path),
            value,
        )
        for function in ("ingest", "query")
        for field, value, path in (
            ("minReplicas", 3, ("spec", "minReplicas")),
            ("maxReplicas", 7, ("spec", "maxReplicas")),
            ("targetCPUPercent", 55, AT_CPU),
        )
    ),
    Change(
        ("ingest.resources.requests",),
        {"ingest": {"resources": {"requests": {"cpu": "123m"}}}},
        live("Deployment", "ingest", *CONTAINER, "requests", "cpu"),
        "123m",
    ),
    Change(
        ("ingest.resources.limits",),
        {"ingest": {"resources": {"limits": {"memory": "987Mi"}}}},
        live("Deployment", "ingest", *CONTAINER, "limits", "memory"),
        "987Mi",
    ),
    Change(
        ("ingest.limits.eventsPerSecond",),
        {"ingest": {"limits": {"eventsPerSecond": 77}}},
        config("limits", "events_per_second"),
        77,
    ),
    Change(
        ("ingest.limits.burst",), {"ingest": {"limits": {"burst": 9999}}}, config("limits", "burst"), 9999
    ),
    Change(
        ("ingest.limits.maxEventBytes",),
        {"ingest": {"limits": {"maxEventBytes": 4096}}},
        config("limits", "max_event_bytes"),
        4096,
    ),
    Change(
        ("ingest.limits.maxBatchEvents",),
        {"ingest": {"limits": {"maxBatchEvents": 12}}},
        config("limits", "max_batch_events"),
        12,
    ),
    Change(
        ("ingest.allowFrom.cidr",),
        {"ingest": {"allowFrom": [{"cidr": "10.20.0.0/16"}]}},
        live("NetworkPolicy", "ingest", *CALLERS),
        {"ipBlock": {"cidr": "10.20.0.0/16"}},
    ),
    Change(
        ("ingest.allowFrom.namespace",),
        {"ingest": {"allowFrom": [{"namespace": "web"}]}},
        live("NetworkPolicy", "query", *CALLERS),
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "web"}}},
    ),
    Change(("query.concurrency",), {"query": {"concurrency": 5}}, config("query_concurrency"), 5),
    Change(("stream.maxBytes",), {"stream": {"maxBytes": "96Mi"}}, stream_bytes, 96 << 20),
    Change(("stream.replicas",), {"stream": {"replicas": 3}}, stream_condition, "False"),
    Change(("stream.replicas",), {"stream": {"replicas": None}}, stream_condition, "True"),
    Change(("state",), {"state": "ReadOnly"}, why_ready, ("True", "ReadOnly", "ReadOnly")),
    Change(("state",), {"state": "Suspended"}, why_ready, ("False", "Suspended", "Suspended")),
    Change(("state",), {"state": "Active"}, why_ready, ("True", "Ready", "Active")),
    Change(("retention.keep",), {"retention": {"keep": "400d"}}, columns, "400d"),
    Change(("deletionPolicy",), {"deletionPolicy": "Delete"}, unconfirmed_deletion, 1),
    Change(("deletionPolicy",), {"deletionPolicy": "Retain"}, unconfirmed_deletion, 0),
    Change(("displayName",), {"displayName": "Changing Ltd"}, taken_in, 0),
]


@pytest.fixture(scope="module")
def changing(standing: Installation) -> Installation:
    standing.tenant(TENANT, **SMALL)
    standing.wait(TENANT)
    return standing


def _fields(schema: dict[str, Any], path: tuple[str, ...] = ()) -> set[str]:
    inner = schema.get("properties") or schema.get("items", {}).get("properties")
    if not inner:
        return {".".join(path)}
    return set().union(*(_fields(each, (*path, name)) for name, each in inner.items()))


def test_every_field_is_changed_here_or_fixed() -> None:
    changed = {field for change in CHANGES for field in change.fields}
    assert changed | FIXED == _fields(spec_schema())
    assert not changed & FIXED


@pytest.mark.parametrize("change", CHANGES, ids=str)
async def test_a_change_has_its_effect(changing: Installation, change: Change) -> None:
    assert await change.sees(changing) != change.wanted or change.wanted == 0, (
        "it would be seen without the change"
    )
    before = changing.get(TENANT)["metadata"]["generation"]
    assert changing.patch(TENANT, {"spec": change.patch})["metadata"]["generation"] == before + 1
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await change.sees(changing)) != change.wanted:
        assert time.monotonic() < deadline, f"{found}\n{changing.log().read_text()[-3000:]}"
        await asyncio.sleep(0.05)


def test_autoscaling_and_a_fixed_number_replace_one_another(changing: Installation) -> None:
    path = path_of(TENANT, "HorizontalPodAutoscaler", "ingest")
    changing.patch(TENANT, {"spec": {"ingest": {"replicas": None, "autoscaling": {"maxReplicas": 4}}}})
    changing.eventually(lambda: changing.api.find(path) is not None, "there is an autoscaler")
    changing.patch(TENANT, {"spec": {"ingest": {"replicas": 1, "autoscaling": None}}})
    changing.eventually(lambda: changing.api.find(path) is None, "the autoscaler is gone")
    deployment = path_of(TENANT, "Deployment", "ingest")
    changing.eventually(lambda: changing.api.get(deployment)["spec"]["replicas"] == 1, "one pod")


def test_kubectl_scale_changes_the_number_of_ingest_pods(changing: Installation) -> None:
    changing.patch(TENANT, {"spec": {"ingest": {"replicas": 1, "autoscaling": None}}})
    changing.cluster.kubectl("scale", f"at/{TENANT}", "--replicas=2")
    changing.eventually(lambda: changing.get(TENANT)["status"]["ingest"].get("ready") == "2/2", "two pods")
    scale = changing.api.get(f"/apis/auditlog.dev/v1alpha1/audittenants/{TENANT}/scale")
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (2, 2)
    assert scale["status"]["selector"] == "app.kubernetes.io/name=ingest"
    changing.cluster.kubectl("scale", f"at/{TENANT}", "--replicas=1")
    changing.eventually(lambda: changing.get(TENANT)["status"]["ingest"].get("ready") == "1/1", "one pod")


def test_kubectl_get_and_wait_tell_how_it_stands(changing: Installation) -> None:
    changing.cluster.kubectl("wait", "--for=condition=Ready", f"at/{TENANT}", "--timeout=60s")
    header, row = changing.cluster.kubectl("get", "at", TENANT).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "STATE", "INGEST", "RETENTION", "AGE"]
    assert row.split()[:5] == [TENANT, "True", "Ready", "Active", "1/1"]
    wide = changing.cluster.kubectl("get", "at", TENANT, "--output=wide").splitlines()[1]
    assert f"audit-{TENANT}" in wide
    assert f"http://ingest.audit-{TENANT}.svc" in wide
    selected = changing.cluster.kubectl("get", "at", "--field-selector=spec.state=Active", "--output=name")
    assert f"audittenant.auditlog.dev/{TENANT}" in selected.split()


async def test_a_paused_tenant_is_not_written_and_one_beside_it_is(standing: Installation) -> None:
    for name in ("paused", "beside"):
        standing.tenant(name, **SMALL)
    for name in ("paused", "beside"):
        standing.settled(name)
    former = await config_of(standing, "paused")
    standing.patch("paused", {"metadata": {"annotations": {"auditlog.dev/paused": "true"}}})
    standing.eventually(
        lambda: standing.condition("paused", "Paused").get("status") == "True", "it is paused"
    )
    log = standing.audit_log()
    for name in ("paused", "beside"):
        standing.api.delete(path_of(name, "PodDisruptionBudget", "ingest"))
        standing.patch(name, {"spec": {"query": {"concurrency": 3}, "ingest": {"replicas": 2}}})
    standing.settled("beside")
    written = log.wait(3.0)
    assert [each for each in written if "beside" in each.path and "poddisruptionbudgets" in each.path]
    of_paused = [each for each in written if "audit-paused" in each.path or each.name == "paused"]
    assert {each.resource for each in of_paused} <= {"audittenants/status"}, of_paused
    assert await config_of(standing, "paused") == former
    assert (await config_of(standing, "beside"))["query_concurrency"] == 3

    standing.patch("paused", {"metadata": {"annotations": {"auditlog.dev/paused": None}}})
    standing.eventually(lambda: not standing.condition("paused", "Paused"), "it is not paused any more")
    found = standing.settled("paused")
    standing.api.get(path_of("paused", "PodDisruptionBudget", "ingest"))
    assert found["status"]["ingest"]["ready"] == "2/2"
    assert (await config_of(standing, "paused"))["query_concurrency"] == 3


def test_a_tenant_that_is_made_again_is_another(standing: Installation) -> None:
    standing.tenant("again", **SMALL)
    first = standing.settled("again")["status"]
    standing.cluster.kubectl("delete", "at", "again", "--timeout=90s")
    assert standing.api.find("/api/v1/namespaces/audit-again") is None
    standing.tenant("again", **SMALL)
    second = standing.settled("again")["status"]
    assert second["tenantID"] != first["tenantID"]
    assert second["stream"] != first["stream"]
