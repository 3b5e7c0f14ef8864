"""The documents keep the forms that the project promises: one page a decision, one sorted list of words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADRS = sorted((ROOT / "docs" / "adr").glob("*.md"))
FOLDERS = ("charts", "core", "docs", "examples", "functions", "operator")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for each in FOLDERS for path in (ROOT / each).rglob("*.md"))])
_ENTRY = re.compile(r"^- \*\*([^*]+)\*\*: (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]*)(#[^)]*)?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _entries() -> list[tuple[str, str]]:
    return _ENTRY.findall((ROOT / "docs" / "glossary.md").read_text())


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_glossary_is_sorted_and_explains_each_word_once() -> None:
    words = [word for word, _ in _entries()]
    assert words == sorted(set(words), key=str.casefold)


def test_every_line_of_the_glossary_is_an_entry() -> None:
    lines = (ROOT / "docs" / "glossary.md").read_text().splitlines()
    assert len(_entries()) == sum(line.startswith("- ") for line in lines) > 40


def test_the_glossary_explains_the_words_of_the_wire_and_the_tables() -> None:
    words = {word for word, _ in _entries()}
    needed = {
        "event", "actor", "action", "target", "outcome", "occurred_at", "received_at", "sequence", "tenant", "shard",
        "frame", "retention", "legal_hold", "erasure", "sink", "leaf", "tree_size", "root_hash", "checkpoint",
        "inclusion_proof", "consistency_proof", "witness", "stream", "subject", "consumer", "ack", "dead letter",
        "spec", "status", "condition", "finalizer", "desired", "observed",
    }  # fmt: skip
    assert needed - words == set()


def test_a_word_in_italics_is_explained_on_the_same_page() -> None:
    words = {word for word, _ in _entries()}
    mentioned = {word for _, text in _entries() for word in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", text)}
    singular = {re.sub(r"s$", "", word) if word not in words else word for word in mentioned}
    assert singular - words == set()


def test_decisions_are_numbered_without_holes() -> None:
    assert [path.name[:4] for path in ADRS] == [f"{number:04d}" for number in range(1, len(ADRS) + 1)]


@pytest.mark.parametrize("path", ADRS, ids=_id)
def test_a_decision_has_the_four_headings_and_fits_a_page(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"# {path.name[:4]}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
        "Context",
        "Decision",
        "Consequences",
        "What would change our mind",
    ]
    assert len(text.split()) <= 500


def test_the_architecture_has_one_diagram() -> None:
    assert (ROOT / "docs" / "architecture.md").read_text().count("```mermaid") == 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=_id)
def test_a_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    inside = [target for target, _ in _LINK.findall(path.read_text()) if "://" not in target]
    assert [target for target in inside if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=_id)
def test_a_link_to_a_heading_finds_it(path: Path) -> None:
    dead = []
    for target, anchor in _LINK.findall(path.read_text()):
        page = path if not target else path.parent / target
        if anchor and "://" not in target and anchor.removeprefix("#") not in _anchors(page):
            dead.append(target + anchor)
    assert dead == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors that a renderer gives the headings of a page."""
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(page.read_text()))
    return {heading.replace(" ", "-") for heading in plain}
