from __future__ import annotations

import pytest

from audit_core.statements import rendered, statements


def test_statements_are_found_by_name_with_their_comments() -> None:
    text = "-- What this file is for.\n\n-- name: one\n-- The number $1.\nSELECT $1::int\n\n-- name: two\nSELECT 2\n"
    assert statements(text) == {"one": "-- The number $1.\nSELECT $1::int", "two": "SELECT 2"}


def test_an_empty_file_holds_no_statement() -> None:
    assert statements("-- nothing yet\n") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("SELECT 1\n-- name: one\nSELECT 1", "before the first"),
        ("-- name: one\nSELECT 1\n-- name: one\nSELECT 2", "two statements are named one"),
        ("-- name: one\n-- only a comment\n-- name: two\nSELECT 2", "statement one is empty"),
        ("-- name: One\nSELECT 1", "not a statement name"),
        ("-- name:\nSELECT 1", "not a statement name"),
    ],
)
def test_a_malformed_file_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        statements(text)


def test_identifiers_are_put_in_and_other_braces_stay() -> None:
    text = "SELECT '{}', '{1,2}' FROM {schema}.event, {schema}.dedupe"
    assert rendered(text, {"schema": "shard_a", "unused": "x"}) == (
        "SELECT '{}', '{1,2}' FROM shard_a.event, shard_a.dedupe"
    )


@pytest.mark.parametrize(
    "name", ["", "a b", 'a"b', "a;b", "a.b", "A", "1a", "a\n", "x" * 64, "ä", "a--", "{schema}"]
)
def test_only_plain_identifiers_become_sql(name: str) -> None:
    with pytest.raises(ValueError, match="not a plain identifier"):
        rendered("SELECT * FROM {schema}.event", {"schema": name})


def test_a_place_without_a_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no name given for \{schema\}"):
        rendered("SELECT * FROM {schema}.event", {"owner": "audit_owner"})
