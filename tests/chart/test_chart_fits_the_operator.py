"""The operator finds in the chart what it looks for there."""

from __future__ import annotations

from audit_operator.handlers.operator import pooled_function
from tests.support.chart import render


def test_the_operator_knows_the_pools_deployments_by_their_labels() -> None:
    deployments = [each for each in render().values() if each["kind"] == "Deployment"]
    found = {each["metadata"]["name"]: pooled_function(each) for each in deployments}
    assert found == {
        "audit-log-ingest": "ingest",
        "audit-log-query": "query",
        "audit-log-writer": "writer",
        "audit-operator": None,
    }
