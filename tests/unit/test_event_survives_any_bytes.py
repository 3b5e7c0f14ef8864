"""Whatever arrives, the answer is an event that PostgreSQL can hold or a refusal with a place, and soon."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_core.columns import promoted
from audit_core.errors import EventTooLarge, InvalidEvent
from audit_core.event import canonical_event
from audit_core.public import public_event
from tests.support.events import an_event, encoded, events, taken

GOOD = encoded(
    an_event(
        context={"ip": "10.0.0.1", "geo": {"a": [1.5, None]}},
        changes=[{"path": "/a", "old": 1, "new": "\u00e9"}],
        labels={"a": "b"},
        occurred_at="2026-11-23T10:00:00Z",
    )
)
FRAGMENTS = [
    b"\\u0000", b"\\ud800", b"\xff", b"\xed\xa0\x80", b"NaN", b"1e999", b"9" * 25, b"{", b"[", b"}", b"]", b'"', b"\\",
    b",", b":", b"null", b"\0", b'"user_id":', b'"actor":', b"[" * 40, b'{"a":' * 40, b"-", b"1.", b" - at `$.actor`",
]  # fmt: skip


KINDS: list[Any] = ["a", 1, 1.5, True, {}, {"a": 1}, [], [{}]]


def is_taken(body: bytes) -> bool:
    """Tell whether a body is accepted, after checking what callers, databases and readers may rely on."""
    found = taken(body)
    if isinstance(found, EventTooLarge):
        assert found.size > found.limit
    if isinstance(found, InvalidEvent | EventTooLarge):
        assert found.path == "" or found.path.startswith("/")
        assert len(found.path) <= 256
        json.dumps(found.fields(), ensure_ascii=False).encode()
        return False
    assert "\0" not in json.dumps(checked(json.loads(found.body)), ensure_ascii=False)
    assert canonical_event(found.body).body == found.body
    promoted(found.body)
    json.loads(public_event(found.body))
    return True


def checked(value: Any, depth: int = 1) -> Any:
    if isinstance(value, dict | list):
        assert depth <= 16
        for inner in value.values() if isinstance(value, dict) else value:
            checked(inner, depth + 1)
    if isinstance(value, int):
        assert -(2**63) <= value < 2**63
    return value


@given(st.binary(max_size=120))
@settings(max_examples=400)
def test_random_bytes(body: bytes) -> None:
    is_taken(body)


@given(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(FRAGMENTS))
@settings(max_examples=1500)
def test_a_good_body_with_a_piece_replaced(at: int, length: int, fragment: bytes) -> None:
    is_taken(GOOD[:at] + fragment + GOOD[at + length :])


@given(st.integers(0, len(GOOD)))
def test_a_good_body_cut_off(at: int) -> None:
    assert is_taken(GOOD[:at]) == (at == len(GOOD))


@given(
    events(), st.sampled_from(["user_id", "target", "x", "status", "version", "old", "timestamp", "labels"])
)
@settings(max_examples=300)
def test_any_event_with_a_field_of_any_kind(event: dict[str, Any], name: str) -> None:
    for value in KINDS:
        is_taken(encoded({**event, name: value}))


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"event_type":"a","metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        b'{"a":' * 80_000,
        b'{"event_type":"a","metadata":' + b'{"a":' * 80_000 + b"1" + b"}" * 80_001,
        b'{"event_type":"a","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'"' * 60_000,
        b'{"a":"' + b'\\"' * 30_000,
        b"\\" * 60_000,
        b'{"event_type":"a","metadata":{"a":[' + b"1," * 30_000 + b"NaN]}}",
        b'{"event_type":"a","metadata":{"a":' + b"9" * 60_000 + b"}}",
        b'{"event_type":"a","metadata":{"a":1.' + b"9" * 400_000 + b"e999}}",
        b'{"event_type":"a","description":"' + b"\\u0000" * 10_000 + b'"}',
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_hostile_body_is_refused_quickly(body: bytes) -> None:
    started = time.perf_counter()
    assert not is_taken(body)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize("depth", range(920, 1010, 3))
def test_depths_around_the_interpreters_own_limit_are_refused_like_any_other(depth: int) -> None:
    shapes = [
        b'{"event_type":"a","metadata":{"a":%s}}' % (b"[" * depth + b"]" * depth),
        b'{"event_type":"a","old":%s}' % (b'{"a":' * depth + b"1" + b"}" * depth),
        b'{"event_type":1,"event_type":"a","old":%s}' % (b"[" * depth + b"]" * depth),
        b'{"event_type":"a","target":{"attributes":{"a":%s}},"targets":[{"attributes":{"a":1}}]}'
        % (b"[" * depth + b"]" * depth),
    ]
    for body in shapes:
        with pytest.raises(InvalidEvent) as caught:
            canonical_event(body)
        assert caught.value.reason in ("nested deeper than 16 levels", "contradicts /targets/0/attributes")
