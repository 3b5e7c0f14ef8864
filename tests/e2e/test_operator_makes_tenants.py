"""`kubectl apply` of an AuditTenant makes a tenant, and everything follows the resource from then on."""

from __future__ import annotations

from tests.support.operator import Installation


def test_a_dedicated_tenant_gets_its_objects_and_becomes_ready(installation: Installation) -> None:
    installation.start()
    installation.tenant("acme", ingest={"replicas": 2}, query={"replicas": 1})
    installation.wait("acme")
    found = installation.cluster.json(
        "--namespace=audit-acme",
        "get",
        "deployments,services,hpa,pdb,networkpolicies,resourcequotas,limitranges,rolebindings",
    )
    names = sorted(f"{each['kind']}/{each['metadata']['name']}" for each in found["items"])
    assert names == [
        "Deployment/ingest",
        "Deployment/query",
        "Deployment/writer",
        "LimitRange/audit-tenant",
        "NetworkPolicy/default-deny",
        "NetworkPolicy/ingest",
        "NetworkPolicy/query",
        "NetworkPolicy/writer",
        "PodDisruptionBudget/ingest",
        "PodDisruptionBudget/query",
        "ResourceQuota/audit-tenant",
        "RoleBinding/audit-operator-secrets",
        "Service/ingest",
        "Service/query",
        "Service/writer",
    ]
    key = installation.secret("audit-acme", "audit-first-key")["key"]
    assert key.startswith("akl_")
    status = installation.get("acme")["status"]
    assert status["ingest"]["ready"] == "2/2"
    assert status["observedGeneration"] == 1
