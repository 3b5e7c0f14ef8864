"""A reader gets what was sent, under the canonical and the flat names, and may send it again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from audit_core.event import canonical_event
from audit_core.public import public_event
from tests.support.events import encoded, events


@pytest.mark.parametrize(
    "sent",
    [
        {"event_type": "user_login", "user_id": "user-123", "resource_id": "app-dashboard",
         "metadata": {"ip_address": "203.0.113.9", "user_agent": "Mozilla/5.0", "nested": {"a": [1, 2.5, None]}}},
        {"event_type": "user_logout", "user_id": "user-123"},
        {"event_type": "user_login"},
        {"event_type": "doc.read", "resource_id": "ä", "resource_type": '"doc"', "metadata": {}},
    ],
)  # fmt: skip
def test_flat_names_read_back_equal(sent: dict[str, Any]) -> None:
    read = json.loads(public_event(canonical_event(encoded(sent)).body))
    assert {name: read[name] for name in sent} == sent


@given(events())
def test_reading_adds_only_the_flat_names(event: dict[str, Any]) -> None:
    body = canonical_event(encoded(event)).body
    stored, read = json.loads(body), json.loads(public_event(body))
    flat = {name: read.pop(name) for name in ("user_id", "resource_id", "resource_type") if name in read}
    assert read == stored
    target = (stored.get("targets") or [{}])[0]
    expected = {
        "user_id": stored.get("actor", {}).get("id"),
        "resource_id": target.get("id"),
        "resource_type": target.get("type"),
    }
    assert flat == {name: value for name, value in expected.items() if value is not None}


@given(events())
def test_what_was_read_may_be_sent_again_and_has_the_bytes_it_had(event: dict[str, Any]) -> None:
    body = canonical_event(encoded(event)).body
    assert canonical_event(public_event(body)).body == body


@given(events())
def test_no_key_appears_twice(event: dict[str, Any]) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    json.loads(public_event(canonical_event(encoded(event)).body), object_pairs_hook=unique)
