"""A tenant that was made through Kubernetes takes and serves events, and its log outlives its resource."""

from __future__ import annotations

from pathlib import Path

from tests.support.operator import Installation
from tests.support.pods import Pods
from tests.support.tenant_events import EVENTS, ask, bodies, send, stored


async def test_a_log_is_written_read_kept_and_taken_back(installation: Installation, tmp_path: Path) -> None:
    installation.start()
    installation.tenant("acme", ingest={"replicas": 1}, query={"replicas": 1})
    installation.wait("acme")
    key = installation.secret("audit-acme", "audit-first-key")["key"]
    first_id = installation.get("acme")["status"]["tenantID"]
    with Pods(cluster=installation.cluster, folder=tmp_path / "first") as pods:
        ingest, query = pods.run("audit-acme", "ingest"), pods.run("audit-acme", "query")
        pods.run("audit-acme", "writer")
        send(ingest, key)
        installation.eventually(lambda: len(stored(query, key)) == EVENTS, "events are queryable")
        before = await bodies(installation)
        assert ask(query, "akl_wrong", "GET", "/api/v1/audit/logs")[0] == 401

        installation.cluster.kubectl("delete", "at", "acme", "--timeout=90s")
        assert installation.cluster.try_kubectl("get", "namespace", "audit-acme").returncode == 1
        installation.eventually(
            lambda: ask(ingest, key, "POST", "/api/v1/audit/logs", {"event_type": "late"})[0] in (401, 503),
            "the endpoint is closed",
        )
    assert await bodies(installation) == before

    installation.tenant("acme", ingest={"replicas": 1}, query={"replicas": 1})
    installation.wait("acme")
    second_id = installation.get("acme")["status"]["tenantID"]
    assert second_id != first_id
    new_key = installation.secret("audit-acme", "audit-first-key")["key"]
    assert new_key != key
    with Pods(cluster=installation.cluster, folder=tmp_path / "second") as pods:
        assert stored(pods.run("audit-acme", "query"), new_key) == []

    refused = {"adopt": second_id, "ingest": {"replicas": 1}, "query": {"replicas": 1}}
    installation.tenant("thief", **refused)
    installation.eventually(
        lambda: "belongs to the tenant acme" in installation.condition("thief").get("message", ""),
        "a log in use is not given away",
    )
    installation.cluster.kubectl("delete", "at", "thief", "--timeout=90s")

    installation.tenant("acme-again", adopt=first_id, ingest={"replicas": 1}, query={"replicas": 1})
    installation.wait("acme-again")
    assert installation.get("acme-again")["status"]["tenantID"] == first_id
    adopted_key = installation.secret("audit-acme-again", "audit-first-key")["key"]
    with Pods(cluster=installation.cluster, folder=tmp_path / "third") as pods:
        found = stored(pods.run("audit-acme-again", "query"), adopted_key)
    assert sorted(found) == sorted(f"e-{n}" for n in range(EVENTS))
    after = await bodies(installation)
    assert {schema: after[schema] for schema in before} == before


async def test_a_pooled_tenant_needs_no_objects_of_its_own(installation: Installation) -> None:
    installation.start()
    installation.tenant("globex", isolation="Pooled", retention={"keep": "90d"})
    installation.eventually(
        lambda: installation.condition("globex", "DatabaseReady").get("status") == "True", "it is provisioned"
    )
    assert installation.cluster.try_kubectl("get", "namespace", "audit-globex").returncode == 1
    assert installation.secret("auditlog", "audit-first-key-globex")["key"].startswith("akl_")
    files = installation.secret("auditlog", "audit-pool-writer")
    assert sorted(name.partition(".")[2] for name in files) == ["writer.creds", "writer.dsn"]
    installation.cluster.kubectl("delete", "at", "globex", "--timeout=60s")
    gone = installation.cluster.try_kubectl("--namespace=auditlog", "get", "secret", "audit-first-key-globex")
    assert gone.returncode == 1
