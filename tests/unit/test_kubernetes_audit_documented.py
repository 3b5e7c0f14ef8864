"""docs/kubernetes-audit.md shows what the mapping makes, and configures what the end-to-end test configures."""

from __future__ import annotations

import json
from typing import Any

from audit_core.mappings.kubernetes import STAGES, kubernetes_event
from audit_operator.model.decoding import audit_tenant
from tests.e2e.test_kubernetes_audits_itself import webhook_kubeconfig
from tests.support.documents import DOCS, blocks, coded, manifests, rows, section
from tests.support.tls import TlsEndpoint

TEXT = (DOCS / "kubernetes-audit.md").read_text()
LEVELS = {"None", "Metadata", "Request", "RequestResponse"}


def _shape(value: Any) -> Any:
    match value:
        case dict():
            return {name: _shape(each) for name, each in value.items()}
        case list():
            return [_shape(each) for each in value]
        case _:
            return type(value).__name__


def _shown(kind: str) -> dict[str, Any]:
    (found,) = [each for each in manifests(TEXT) if each["kind"] == kind]
    return found


def test_the_example_becomes_what_is_shown() -> None:
    record, event = (json.loads(block) for block in blocks(TEXT, "json"))
    mapped = kubernetes_event(json.dumps(record).encode())
    assert (mapped.event, mapped.is_mapped) == (event, True)


def test_the_table_names_each_part_of_the_event_that_is_shown() -> None:
    _, event = (json.loads(block) for block in blocks(TEXT, "json"))
    told = {coded(row[1]).partition(".")[0] for row in rows(section(TEXT, "## Mapping"))}
    assert event.keys() - told == {"source"}


def test_the_webhook_is_configured_as_it_was_tried() -> None:
    tried = webhook_kubeconfig(TlsEndpoint(443, b"certificate"), "akl_key")
    assert _shape(_shown("Config")) == _shape(tried)
    assert _shown("Config")["clusters"][0]["cluster"]["server"].endswith("/api/v1/audit/kubernetes")


def test_the_policy_speaks_of_levels_and_stages_that_there_are() -> None:
    policy = _shown("Policy")
    assert {rule["level"] for rule in policy["rules"]} <= LEVELS
    assert set(policy["omitStages"]) <= set(STAGES)
    assert policy["rules"][-1] == {"level": "Metadata"}


def test_the_tenant_is_valid_and_takes_the_webhooks_lists() -> None:
    limits = audit_tenant(_shown("AuditTenant")).spec.ingest.limits
    assert limits.max_batch_events >= 400
