"""The chart, rendered by the real Helm."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "audit-log"
NAMESPACE: Final = "auditlog"
REQUIRED: Final[dict[str, Any]] = {
    "postgresql": {"existingSecret": "pg"},
    "nats": {"existingSecret": "nats"},
}

Objects = dict[str, dict[str, Any]]
"""What was rendered, by `Kind/name`."""


class HelmRefused(Exception):
    """Helm said no; the text is what it said."""


def binary(name: str) -> str:
    """Return a program of the cluster that is tested against: from its cache, else from PATH."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "audit-log" / "cluster"
    cached = sorted(cache.glob(f"*/**/{name}"), key=lambda path: path.stat().st_mtime)
    found = str(cached[-1]) if cached else shutil.which(name)
    assert found, f"{name} is missing: make cluster builds it"
    return found


def helm(*arguments: str, kubeconfig: Path | str | None = None) -> str:
    """Run Helm and return what it wrote. Raises HelmRefused."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "HOME": home,
            "PATH": os.environ["PATH"],
            "KUBECONFIG": str(kubeconfig or "/nonexistent"),
        }
        done = subprocess.run(
            [binary("helm"), *arguments], capture_output=True, text=True, check=False, env=environment
        )
    if done.returncode:
        raise HelmRefused(done.stderr)
    return done.stdout


def value_arguments(folder: str, values: Mapping[str, Any]) -> list[str]:
    """Write values to a file in `folder` and return the arguments that give it to Helm."""
    path = Path(folder) / "values.yaml"
    path.write_text(yaml.safe_dump(dict(values)))
    return ["--values", str(path)]


def render(values: Mapping[str, Any] | None = None, *, namespace: str = NAMESPACE) -> Objects:
    """Return the chart's objects for these values on top of the required ones."""
    with tempfile.TemporaryDirectory() as folder:
        text = helm(
            *("template", "audit-log", str(CHART), "--namespace", namespace, "--kube-version", "1.36.0"),
            *value_arguments(folder, merged(REQUIRED, values or {})),
        )
    return objects(text)


def objects(text: str) -> Objects:
    """Return the objects of a YAML text. Each appears once, and no mapping has a key twice."""
    found: Objects = {}
    for each in yaml.load_all(text, _Strict):
        if each:
            name = f"{each['kind']}/{each['metadata']['name']}"
            assert name not in found, f"{name} is rendered twice"
            found[name] = each
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on top, mappings into mappings, as Helm does."""
    result = copy.deepcopy(dict(base))
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(keys) == len(set(keys)), f"a key twice: {keys} at {node.start_mark}"
        return super().construct_mapping(node, deep)
