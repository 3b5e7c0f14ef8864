"""An answer shows what was stored, byte for byte, beside what the server knows of it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from audit_core.event import canonical_event
from audit_functions.query.answer import event_answer, page_answer
from audit_functions.query.routes import LoggedEvent, LoggedPage
from audit_functions.query.service import Page, StoredEvent
from tests.support.events import encoded, events

ENVELOPE = '{"accepted_at":"2026-01-31T09:30:00.121004Z","key_id":"k1","principal":"ci","transport":"http"}'
GONE = b'{"id":"e-1","tenant":"acme","sequence":7,"received_at":"2026-01-31T09:30:00.123456Z"}'
AT = 1_769_851_800_123_456


def a_stored(body: str | None, envelope: str | None = ENVELOPE) -> StoredEvent:
    return StoredEvent(AT, 7, "e-1", envelope, body)


def test_an_event_is_shown_with_its_place_its_fields_and_their_flat_names() -> None:
    body = (
        '{"actor":{"id":"u1","type":"user"},"event_type":"user_login","metadata":{"n":1e+22},'
        '"targets":[{"id":"r1","type":"doc"}]}'
    )
    assert event_answer(a_stored(body), "acme") == (
        b'{"id":"e-1","tenant":"acme","sequence":7,"received_at":"2026-01-31T09:30:00.123456Z","envelope":'
        + ENVELOPE.encode()
        + b',"actor":{"id":"u1","type":"user"},"event_type":"user_login","metadata":{"n":1e+22},'
        b'"targets":[{"id":"r1","type":"doc"}],"user_id":"u1","resource_id":"r1","resource_type":"doc"}'
    )


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (Page(events=[], next_cursor=None), b'{"logs":[],"next_cursor":null}'),
        (
            Page(events=[a_stored(None, None)] * 2, next_cursor="abc"),
            b'{"logs":[' + b",".join([GONE, GONE]) + b'],"next_cursor":"abc"}',
        ),
    ],
    ids=["no events", "events whose payload is gone"],
)
def test_a_page_holds_its_events_and_the_way_on(page: Page, expected: bytes) -> None:
    assert page_answer(page, "acme") == expected


@given(events())
def test_whatever_was_stored_reads_back_as_it_was_and_as_documented(event: dict[str, Any]) -> None:
    body = canonical_event(encoded(event)).body
    answer = event_answer(a_stored(body.decode()), "acme")
    assert body[1:-1] in answer
    shown = json.loads(answer)
    stored = json.loads(body)
    assert {name: shown[name] for name in stored} == stored
    assert shown.get("user_id") == stored.get("actor", {}).get("id")
    target = stored.get("targets", [{}])[:1] or [{}]
    assert (shown.get("resource_id"), shown.get("resource_type")) == (
        target[0].get("id"),
        target[0].get("type"),
    )
    msgspec.json.decode(answer, type=LoggedEvent)
    msgspec.json.decode(
        page_answer(Page(events=[a_stored(body.decode())], next_cursor="x"), "acme"), type=LoggedPage
    )
