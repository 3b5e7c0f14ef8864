"""Secrets from texts."""

from __future__ import annotations

from audit_operator.resources.metadata import owner
from audit_operator.resources.secrets import secret
from tests.support.manifests import UID, a_known_tenant


def test_a_secret_holds_its_texts_in_the_servers_form() -> None:
    assert secret("audit-credentials-ingest", "audit-acme", {"a.ingest.creds": "geheim\n", "ü": "ß"}) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "audit-credentials-ingest",
            "namespace": "audit-acme",
            "labels": {
                "app.kubernetes.io/managed-by": "audit-operator",
                "app.kubernetes.io/part-of": "audit-log",
            },
        },
        "type": "Opaque",
        "data": {"a.ingest.creds": "Z2VoZWltCg==", "ü": "w58="},
    }


def test_a_secret_may_belong_to_a_tenant_and_say_what_it_is_for() -> None:
    tenant = a_known_tenant()
    metadata = secret("name", "namespace", {}, annotations={"a": "b"}, owner=owner(tenant))["metadata"]
    assert metadata["annotations"] == {"a": "b"}
    assert metadata["ownerReferences"][0]["uid"] == UID


def test_no_secret_is_watched_as_a_tenants_object() -> None:
    assert "auditlog.dev/tenant" not in secret("name", "namespace", {})["metadata"]["labels"]
