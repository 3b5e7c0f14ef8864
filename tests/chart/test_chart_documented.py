"""docs/deployment.md names values, files and commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, Final

import pytest
import yaml

from audit_operator.model.decoding import audit_tenant
from charts.generate import values
from tests.support.chart import CHART, ROOT, merged, render
from tests.support.documents import DOCS, blocks, manifests

TEXT: Final = (DOCS / "deployment.md").read_text()
VALUES: Final = {value.path for value in values((CHART / "values.yaml").read_text())}
PARENTS: Final = {path.rpartition(".")[0] for path in VALUES}
TOP: Final = {path.partition(".")[0] for path in VALUES}
_CODE: Final = re.compile(r"`([a-zA-Z]+(?:\.[a-zA-Z]+)+)(?::[^`]*)?`")
_FILE: Final = re.compile(r"(?:charts|docs|operator|functions|examples|requirements)/[\w./-]*\w")
_YOURS: Final = {"my-values.yaml", "authority-values.yaml"}


def _of_chart(shown: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in shown.items():
        place = f"{path}.{name}".lstrip(".")
        if place in VALUES or not isinstance(value, dict):
            yield place
        else:
            yield from _of_chart(value, place)


def _commands(program: str) -> list[list[str]]:
    lines = "\n".join(blocks(TEXT, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]


def _after(command: list[str], *flags: str) -> list[str]:
    return [command[place + 1] for place, word in enumerate(command) if word in flags]


SHOWN: Final = [each for text in blocks(TEXT, "yaml") if "kind" not in (each := yaml.safe_load(text))]


def test_every_value_that_the_text_names_is_there() -> None:
    named = {
        name for name in _CODE.findall(TEXT) if name.partition(".")[0] in TOP and not name.endswith("yaml")
    }
    assert len(named) > 15
    assert named - VALUES - PARENTS == set()


@pytest.mark.parametrize("shown", SHOWN, ids=",".join)
def test_values_that_are_shown_are_there_and_render(shown: dict[str, Any]) -> None:
    assert set(_of_chart(shown)) - VALUES == set()
    assert render(merged({}, shown)) != render()


def test_what_helm_is_told_for_the_chart_is_there() -> None:
    commands = [each for each in _commands("helm") if "charts/audit-log" in each]
    assert commands
    for command in commands:
        assert {told.partition("=")[0] for told in _after(command, "--set")} - VALUES == set()


def test_every_file_that_is_named_is_there() -> None:
    named = {name for name in _FILE.findall(TEXT) if not name.startswith("docs/")}
    told = {each for command in _commands("helm") for each in _after(command, "-f")} - _YOURS
    assert len(named) > 5
    assert [name for name in sorted(named | told) if not (ROOT / name).exists()] == []


def test_every_tenant_that_is_shown_is_valid() -> None:
    shown = [each for each in manifests(TEXT) if each["kind"] == "AuditTenant"]
    assert [audit_tenant(each).name for each in shown] == ["first"]


def test_the_files_beside_the_chart_and_the_text_speak_of_the_same_names() -> None:
    cluster = yaml.safe_load((CHART / "postgresql-cluster.yaml").read_text())
    assert f"@{cluster['metadata']['name']}-rw.{cluster['metadata']['namespace']}.svc:5432/" in TEXT
    (role,) = cluster["spec"]["managed"]["roles"]
    assert f"postgresql://{role['name']}:" in TEXT
    assert f"create secret generic {role['passwordSecret']['name']} " in TEXT
    for environment in ("development", "staging", "production"):
        shown = yaml.safe_load((CHART / f"values-{environment}.yaml").read_text())
        assert shown["postgresql"]["existingSecret"] == "audit-postgresql"
        assert shown["nats"]["existingSecret"] == "audit-nats"
        assert set(_of_chart(shown)) - VALUES == set()


def test_skaffold_sets_values_that_there_are() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    (release,) = config["deploy"]["helm"]["releases"]
    assert set(release["setValueTemplates"]) - VALUES == set()
    assert all((ROOT / each).exists() for each in [release["chartPath"], *release["valuesFiles"]])
    assert {profile["name"] for profile in config["profiles"]} >= {"kind"}
