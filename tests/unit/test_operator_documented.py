"""docs/operator.md names every field, condition, reason and metric that there is, and none that there is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry

from audit_operator.model.conditions import ConditionType, Reason
from audit_operator.model.decoding import audit_tenant
from audit_operator.reconcile.cluster.tenant import FINALIZER, PAUSED
from audit_operator.resources.metadata import CLIENT, TENANT
from audit_operator.resources.network import MONITORING
from audit_operator.telemetry import KubernetesTelemetry, QueueTelemetry, TenantTelemetry
from tests.support.audittenant import a_tenant_resource
from tests.support.crd import whole_schema
from tests.support.documents import DOCS, coded, manifests, rows, section

TEXT: Final = (DOCS / "operator.md").read_text()
FIELDS: Final = {coded(row[0]): row for row in rows(section(TEXT, "### What is wanted"))}
_NONE: Final = "none"


def _leaves(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        place = f"{path}.{name}"
        if "properties" in field:
            yield from _leaves(field, place)
        elif "properties" in field.get("items", {}):
            yield from _leaves(field["items"], f"{place}[]")
        else:
            yield place, field


def _of_schema(part: str) -> dict[str, dict[str, Any]]:
    return dict(_leaves(whole_schema()["properties"][part], part))


def _names(heading: str) -> list[str]:
    return [coded(row[0]) for row in rows(section(TEXT, heading))]


def _with(path: str, value: Any) -> dict[str, Any]:
    """Return a tenant that sets one field."""
    for name in reversed(path.removeprefix("spec.").split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    return a_tenant_resource("acme", **value)


def test_every_field_of_the_specification_is_explained() -> None:
    assert FIELDS.keys() == _of_schema("spec").keys()


def test_every_field_of_the_status_is_explained() -> None:
    assert sorted(_names("### What is so")) == sorted(_of_schema("status"))


@pytest.mark.parametrize("path", FIELDS)
def test_a_default_is_the_servers(path: str) -> None:
    told = FIELDS[path][1]
    schema = _of_schema("spec")[path]
    assert told == _NONE if "default" not in schema else yaml.safe_load(coded(told)) == schema["default"]


@pytest.mark.parametrize("path", FIELDS)
def test_an_example_of_a_field_is_valid(path: str) -> None:
    audit_tenant(_with(path, yaml.safe_load(coded(FIELDS[path][2]))))


def test_every_condition_is_explained() -> None:
    table = section(TEXT, "## Conditions").split("### ")[0]
    assert [coded(row[0]) for row in rows(table)] == [each.value for each in ConditionType]


def test_every_reason_is_explained_with_what_to_do() -> None:
    assert sorted(_names("### Reasons")) == sorted(each.value for each in Reason)
    assert all(row[3] for row in rows(section(TEXT, "### Reasons")))


def test_every_metric_is_explained_with_its_labels() -> None:
    registry = CollectorRegistry()
    declared: dict[str, set[str]] = {}
    for telemetry in (KubernetesTelemetry, TenantTelemetry, QueueTelemetry):
        for metric in vars(telemetry(registry)).values():
            if hasattr(metric, "_labelnames"):
                (family,) = metric.describe()
                name = f"{family.name}_total" if family.type == "counter" else family.name
                declared[name] = set(metric._labelnames)
    told = {
        coded(row[0]): {label.strip(" `") for label in row[1].split(",")} - {""}
        for row in rows(section(TEXT, "## Metrics"))
    }
    assert told == declared


def test_marks_on_objects_are_named_as_they_are() -> None:
    marks = {name.partition(":")[0] for name in _names("## Annotations, labels and the finalizer")}
    assert {FINALIZER, PAUSED, CLIENT, TENANT, MONITORING} <= marks


def test_every_tenant_that_is_shown_is_valid() -> None:
    shown = manifests(TEXT)
    assert len(shown) == 3
    for each in shown:
        audit_tenant(each)
