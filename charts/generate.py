"""Write the chart's values.schema.json, the table of values in its README.md, and its copy of the CRDs.

`python charts/generate.py`. A value's explanation is the comment that starts with `# --` above it; a line
`# @schema {…}` adds to what its default says about its type. A value without an explanation is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
CHART: Final = ROOT / "charts" / "audit-log"
_BEGIN: Final = "<!-- values: written by make generate -->"
_END: Final = "<!-- end of values -->"
_EXPLANATION: Final = "# -- "
_SCHEMA: Final = "# @schema "
_TYPES: Final = {
    "str": "string",
    "bool": "boolean",
    "int": "integer",
    "float": "number",
    "seq": "array",
    "map": "object",
}


class Undocumented(ValueError):
    """A value has no explanation, or its explanation is no value's."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: where it stands, what it is unless somebody sets it, what it means, and what it may be."""

    path: str
    default: Any
    explanation: str
    schema: dict[str, Any]


def values(text: str) -> Iterator[Value]:
    """Yield every value of a values file, in its order. Raises Undocumented."""
    node = yaml.compose(text, yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise Undocumented("a values file is a mapping")
    yield from _values(node, text.splitlines(), "")


def schema(text: str) -> dict[str, Any]:
    """Return the JSON schema of a values file: what it does not name is refused."""
    root = _object()
    for value in values(text):
        *parents, name = value.path.split(".")
        holder = root
        for parent in parents:
            holder = holder["properties"].setdefault(parent, _object())
        holder["properties"][name] = {
            "type": _type(value.default),
            "description": value.explanation,
            "default": value.default,
            **value.schema,
        }
    root["properties"]["global"] = {"type": "object", "description": "Set by a chart that contains this one."}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of audit-log", **root}


def table(text: str) -> str:
    """Return the Markdown table of a values file."""
    rows = [
        f"| `{value.path}` | `{json.dumps(value.default)}` | {value.explanation.replace('|', '&#124;')} |"
        for value in values(text)
    ]
    return "\n".join(("| Value | Default | Meaning |", "|---|---|---|", *rows))


def generated() -> dict[Path, str]:
    """Return what every generated file must contain."""
    text = (CHART / "values.yaml").read_text()
    readme = (CHART / "README.md").read_text()
    before, rest = readme.split(_BEGIN, 1)
    after = rest.split(_END, 1)[1]
    return {
        CHART / "values.schema.json": json.dumps(schema(text), indent=2) + "\n",
        CHART / "README.md": f"{before}{_BEGIN}\n\n{table(text)}\n\n{_END}{after}",
        **{CHART / "files" / "crds" / crd.name: crd.read_text() for crd in (ROOT / "crds").glob("*.yaml")},
    }


def main() -> None:
    """Write them all."""
    for path, content in generated().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def _values(node: yaml.MappingNode, lines: list[str], prefix: str) -> Iterator[Value]:
    for key, child in node.value:
        path = prefix + key.value
        explanation, declared = _comment(lines, key.start_mark.line)
        if explanation:
            yield Value(path, yaml.safe_load(yaml.serialize(child)), explanation, declared)
        elif isinstance(child, yaml.MappingNode) and child.value:
            yield from _values(child, lines, f"{path}.")
        else:
            raise Undocumented(f"{path}: say what it means, in a comment that starts with `# --`")


def _comment(lines: list[str], line: int) -> tuple[str, dict[str, Any]]:
    explanation, declared = "", {}
    while line > 0 and (text := lines[line - 1].strip()).startswith("#"):
        line -= 1
        if text.startswith(_SCHEMA):
            declared = json.loads(text.removeprefix(_SCHEMA))
        elif text.startswith(_EXPLANATION):
            explanation = text.removeprefix(_EXPLANATION)
    return explanation, declared


def _object() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _type(default: Any) -> str:
    kind = type(default).__name__
    return _TYPES[{"list": "seq", "dict": "map"}.get(kind, kind)]


if __name__ == "__main__":
    main()
