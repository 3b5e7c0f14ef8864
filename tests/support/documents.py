"""What stands in a document: its sections, tables and blocks of code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE: Final = re.compile(r"`([^`]+)`")
_HERE: Final = re.compile(r"<<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    (_, below) = f"\n{text}".split(f"\n{heading}\n", 1)
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of the tables in a text, without heads and rules."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        is_head = number + 1 < len(lines) and re.fullmatch(r"\|[-|: ]+\|", lines[number + 1]) is not None
        if line.startswith("|") and not is_head and re.fullmatch(r"\|[-|: ]+\|", line) is None:
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def coded(cell: str) -> str:
    """Return the first piece of code in a cell, empty when there is none."""
    found = _CODE.search(cell)
    return found[1] if found else ""


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code of a language."""
    return [content for kind, content in _BLOCK.findall(text) if kind == language]


def manifests(text: str) -> list[dict[str, Any]]:
    """Return every Kubernetes object that is shown, in blocks of YAML and in here-documents of commands."""
    texts = [*blocks(text, "yaml"), *(each for block in blocks(text, "sh") for each in _HERE.findall(block))]
    shown = [each for block in texts for each in yaml.safe_load_all(block)]
    return [each for each in shown if isinstance(each, dict) and "kind" in each]
