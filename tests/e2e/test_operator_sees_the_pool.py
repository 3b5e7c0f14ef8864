"""A Pooled tenant is as ready as the pooled functions that the chart made."""

from __future__ import annotations

from tests.support.chart import NAMESPACE, render
from tests.support.operator import Installation


def test_a_pooled_tenant_is_ready_when_the_charts_pool_is(installation: Installation) -> None:
    installation.start()
    installation.tenant("globex", isolation="Pooled", retention={"keep": "90d"})
    installation.eventually(
        lambda: installation.condition("globex").get("reason") == "Reconciling", "there is no pool yet"
    )
    pool = [
        each
        for each in render().values()
        if each["kind"] == "Deployment" and each["metadata"]["name"] != "audit-operator"
    ]
    installation.apply(*pool)
    installation.wait("globex")
    assert installation.condition("globex", "IngestReady")["reason"] == "Pool"
    assert installation.condition("globex", "QueryReady")["reason"] == "Pool"
    assert installation.get("globex")["status"]["ingest"]["ready"] == "2/2"

    scale = ("--namespace", NAMESPACE, "scale", "deployment", "audit-log-query")
    installation.cluster.kubectl(*scale, "--replicas=0")
    installation.eventually(
        lambda: installation.condition("globex").get("reason") == "NoReplicas", "the pool's state is told"
    )
    installation.cluster.kubectl(*scale, "--replicas=2")
    installation.wait("globex")
    names = [each["metadata"]["name"] for each in pool]
    installation.cluster.kubectl("--namespace", NAMESPACE, "delete", "deployment", *names)
    installation.eventually(
        lambda: installation.condition("globex", "IngestReady").get("status") == "Unknown", "the pool is gone"
    )
