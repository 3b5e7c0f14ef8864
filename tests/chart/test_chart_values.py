"""Values: explained, checked, each of use; contradictions fail with a sentence."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import yaml
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # it has no types

from charts.generate import Undocumented, Value, generated, values
from tests.support.chart import CHART, ROOT, HelmRefused, merged, render

TEXT: Final = (CHART / "values.yaml").read_text()
VALUES: Final = tuple(values(TEXT))

# What makes a value matter, for those that only matter together with another.
_CONTEXT: Final[dict[str, dict[str, Any]]] = {
    "gateway": {"gateway": {"name": "public", "domain": "audit.example"}},
    "ingress": {"ingress": {"enabled": True, "ingestHost": "in.example", "queryHost": "out.example"}},
    "monitoring": {"monitoring": {"podMonitor": {"enabled": True}}},
    "pool.ingest.autoscaling": {"pool": {"ingest": {"autoscaling": {"enabled": True}}}},
    "pool.query.autoscaling": {"pool": {"query": {"autoscaling": {"enabled": True}}}},
}
_OTHER: Final[dict[str, Any]] = {
    "tolerations": [{"key": "audit", "operator": "Exists"}],
    "operator.resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
    "networkPolicies.clients": [],
    "networkPolicies.monitoring": [{"podSelector": {}}],
    "networkPolicies.dns": [],
    "networkPolicies.apiServer.cidrs": ["10.0.0.1/32"],
    "networkPolicies.apiServer.ports": [8443],
    "streams.replicas": 5,
    "streams.backup": "archive",
    "monitoring.interval": "10s",
    "tests.tenant": "other",
    "ingress.enabled": False,
    "monitoring.podMonitor.enabled": False,
    "pool.ingest.autoscaling.enabled": False,
    "pool.query.autoscaling.enabled": False,
}


def _nested(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def _another(value: Value) -> Any:
    if value.path in _OTHER:
        return _OTHER[value.path]
    if value.path.endswith("digest"):
        return "sha256:" + "b" * 64
    if value.path.endswith("resources"):
        return {"requests": {"cpu": "3"}}
    if "enum" in value.schema:
        return next(each for each in value.schema["enum"] if each != value.default)
    match value.default:
        case bool():
            return not value.default
        case int():
            return value.default + 1 if value.path.endswith("maxReplicas") else max(value.default - 1, 0) or 2
        case list():
            return ["192.0.2.0/24" if value.path.endswith("cidrs") else "another"]
        case dict():
            return {"another": "one"}
        case _:
            return "another"


def _context(path: str) -> dict[str, Any]:
    if path == "monitoring.serviceMonitor.enabled":
        return {}
    return next((each for prefix, each in _CONTEXT.items() if path.startswith(prefix)), {})


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.path)
def test_each_value_changes_what_is_rendered(value: Value) -> None:
    context = _context(value.path)
    assert render(merged(context, _nested(value.path, _another(value)))) != render(context)


@pytest.mark.parametrize("parent", sorted({value.path.rpartition(".")[0] for value in VALUES}))
def test_a_misspelt_value_is_refused_by_helm(parent: str) -> None:
    with pytest.raises(HelmRefused, match="additional properties 'mispelt' not allowed"):
        render(_nested(f"{parent}.mispelt".lstrip("."), 1))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.path)
def test_a_value_of_another_type_is_refused(value: Value) -> None:
    schema = Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
    wrong: Any = {"not": "text"} if isinstance(value.default, str) else "text"
    assert [error.validator for error in schema.iter_errors(_nested(value.path, value.default))] == []
    assert "type" in {error.validator for error in schema.iter_errors(_nested(value.path, wrong))}


def test_what_is_generated_is_committed_as_it_is_made() -> None:
    assert {path: path.read_text() for path in generated()} == generated()


def test_the_chart_carries_every_crd_and_no_other() -> None:
    ours = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    carried = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert carried == ours
    assert ours


def test_a_value_without_an_explanation_is_an_error() -> None:
    with pytest.raises(Undocumented, match=r"a\.b: say what it means"):
        list(values("a:\n  b: 1\n"))


def test_defaults_in_the_schema_are_the_defaults() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())

    def defaults(node: dict[str, Any]) -> Any:
        if "default" in node:
            return node["default"]
        return {name: defaults(each) for name, each in node["properties"].items() if name != "global"}

    assert defaults(schema) == yaml.safe_load(TEXT)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"postgresql": {"existingSecret": ""}}, "postgresql.existingSecret: name the Secret"),
        ({"nats": {"existingSecret": ""}}, "python -m audit_operator.authority makes one"),
        ({"gateway": {"name": "public"}}, "gateway.domain: needed with gateway.name"),
        ({"gateway": {"domain": "audit.example"}}, "gateway.name: without it"),
        ({"ingress": {"enabled": True, "queryHost": "a"}}, "both are needed"),
        (
            {"ingress": {"enabled": True, "ingestHost": "a", "queryHost": "a"}},
            "it must differ from ingress.ingestHost",
        ),
        (
            {
                "ingress": {"enabled": True, "ingestHost": "a", "queryHost": "b"},
                "pool": {"enabled": False},
            },
            "it leads to the pool",
        ),
        (
            {"monitoring": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
            "scraped twice",
        ),
        (
            {"pool": {"query": {"autoscaling": {"minReplicas": 9}}}},
            "pool.query.autoscaling: minReplicas 9 is above maxReplicas 6",
        ),
    ],
)
def test_values_that_contradict_each_other_fail_with_a_sentence(
    changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(HelmRefused) as refused:
        render(changed)
    assert sentence in str(refused.value)


def test_a_namespace_that_a_tenant_could_have_is_refused() -> None:
    with pytest.raises(HelmRefused, match="namespaces named audit-… are tenants'"):
        render(namespace="audit-system")


@pytest.mark.parametrize("path", sorted(CHART.glob("values-*.yaml")), ids=lambda path: path.stem)
def test_the_value_files_for_environments_are_accepted(path: Any) -> None:
    assert render(yaml.safe_load(path.read_text()))
