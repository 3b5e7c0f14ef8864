"""A tenant whose owner wants its log gone: only when that is confirmed, in steps that can be seen, and nobody else's."""

from __future__ import annotations

from pathlib import Path

from audit_core.tenant import schema_name
from tests.support.operator import Installation
from tests.support.pods import Pods
from tests.support.shard_state import shard_of
from tests.support.tenant_events import EVENTS, bodies, send, stored

SMALL = {"ingest": {"replicas": 1}, "query": {"replicas": 1}}


def fill(installation: Installation, name: str, folder: Path) -> None:
    """Have a tenant store some events."""
    installation.wait(name)
    key = installation.secret(f"audit-{name}", "audit-first-key")["key"]
    with Pods(cluster=installation.cluster, folder=folder) as pods:
        ingest, query = pods.run(f"audit-{name}", "ingest"), pods.run(f"audit-{name}", "query")
        pods.run(f"audit-{name}", "writer")
        send(ingest, key)
        installation.eventually(lambda: len(stored(query, key)) == EVENTS, "events are queryable")


async def test_a_log_is_dropped_when_that_is_confirmed(installation: Installation, tmp_path: Path) -> None:
    installation.start()
    installation.tenant("doomed", deletionPolicy="Delete", **SMALL)
    installation.tenant("kept", **SMALL)
    for name in ("doomed", "kept"):
        fill(installation, name, tmp_path / name)
    tenant_id = installation.get("doomed")["status"]["tenantID"]
    schema = schema_name(shard_of(installation, "doomed"))
    before = await bodies(installation)
    assert schema in before

    cluster = installation.cluster
    refused = cluster.try_kubectl("delete", "at", "doomed", "--timeout=10s")
    assert refused.returncode == 1
    assert "auditlog.dev/confirm-delete" in refused.stderr
    cluster.kubectl("annotate", "at", "doomed", "auditlog.dev/confirm-delete=doomed")
    cluster.kubectl("delete", "at", "doomed", "--timeout=120s")

    after = await bodies(installation)
    assert after == {name: held for name, held in before.items() if name != schema}
    told = cluster.json("get", "events", "--namespace=default")["items"]
    reasons = {each["reason"] for each in told if each["involvedObject"]["name"] == "doomed"}
    assert "Dropping" in reasons
    installation.tenant("heir", adopt=tenant_id, **SMALL)
    installation.eventually(
        lambda: "no log of that tenantID" in installation.condition("heir").get("message", ""),
        "what was dropped is not there to be adopted",
    )
