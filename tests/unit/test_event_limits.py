"""Every limit holds to the character: what it allows is accepted, one more is refused at its field."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit_core.errors import EventTooLarge, InvalidEvent
from audit_core.event import EventLimits, canonical_event
from tests.support.events import an_event, encoded

Make = Callable[[int], dict[str, Any]]

CHARACTERS: list[tuple[int, str, Make]] = [
    (128, "/event_type", lambda n: {"event_type": "e" * n}),
    (64, "/action", lambda n: {"action": "a" * n}),
    (128, "/id", lambda n: {"id": "i" * n}),
    (1024, "/reason", lambda n: {"reason": "é" * n}),
    (2048, "/description", lambda n: {"description": "é" * n}),
    (2048, "/message", lambda n: {"message": "é" * n}),
    (256, "/actor/id", lambda n: {"actor": {"id": "a" * n}}),
    (256, "/user_id", lambda n: {"user_id": "a" * n, "actor": None}),
    (256, "/actor/on_behalf_of/name", lambda n: {"actor": {"on_behalf_of": {"name": "a" * n}}}),
    (320, "/actor/email", lambda n: {"actor": {"email": "a" * n}}),
    (256, "/actor/groups/0", lambda n: {"actor": {"groups": ["a" * n]}}),
    (128, "/targets/0/type", lambda n: {"targets": [{"type": "t" * n}]}),
    (512, "/targets/0/id", lambda n: {"targets": [{"id": "t" * n}]}),
    (512, "/resource_id", lambda n: {"resource_id": "t" * n, "targets": None}),
    (256, "/targets/0/name", lambda n: {"targets": [{"name": "t" * n}]}),
    (128, "/source/service", lambda n: {"source": {"service": "s" * n}}),
    (128, "/service_name", lambda n: {"service_name": "s" * n}),
    (128, "/version", lambda n: {"version": "1" * n}),
    (256, "/context/ip", lambda n: {"context": {"ip": "i" * n}}),
    (1024, "/context/user_agent", lambda n: {"context": {"user_agent": "u" * n}}),
    (256, "/context/correlation_id", lambda n: {"context": {"correlation_id": "c" * n}}),
    (1024, "/changes/0/path", lambda n: {"changes": [{"path": "/" + "p" * (n - 1)}]}),
    (256, "/labels/team", lambda n: {"labels": {"team": "l" * n}}),
    (256, "/subjects/0", lambda n: {"subjects": ["s" * n]}),
    (64, "/regulation/0", lambda n: {"regulation": ["r" * n]}),
    (128, "/producer/id", lambda n: {"producer": {"id": "p" * n}}),
    (4096, "/producer/sig", lambda n: {"producer": {"sig": "p" * n}}),
]
COUNTS: list[tuple[int, str, Make]] = [
    (64, "/actor/groups", lambda n: {"actor": {"groups": ["g"] * n}}),
    (16, "/targets", lambda n: {"targets": [{"id": "t"}] * n}),
    (100, "/changes", lambda n: {"changes": [{"path": "/a", "old": [1]}] * n}),
    (32, "/labels", lambda n: {"labels": {f"l{at}": "" for at in range(n)}}),
    (32, "/fields", lambda n: {"fields": {f"l{at}": "" for at in range(n)}}),
    (256, "/metadata", lambda n: {"metadata": {f"k{at}": at for at in range(n)}}),
    (8, "/subjects", lambda n: {"subjects": ["s"] * n}),
    (16, "/regulation", lambda n: {"regulation": ["r"] * n}),
]


@pytest.mark.parametrize(("limit", "path", "make"), [*CHARACTERS, *COUNTS])
def test_a_limit_holds_exactly(limit: int, path: str, make: Make) -> None:
    canonical_event(encoded(an_event(**make(limit))))
    with pytest.raises(InvalidEvent) as caught:
        canonical_event(encoded(an_event(**make(limit + 1))))
    assert (caught.value.path, caught.value.reason.split()[:3]) == (path, ["more", "than", str(limit)])


@pytest.mark.parametrize("key", ["k" * 128, "é" * 64, "\U0001f600" * 32])
def test_a_metadata_key_is_measured_in_bytes(key: str) -> None:
    canonical_event(encoded(an_event(metadata={key: 1})))
    with pytest.raises(InvalidEvent) as caught:
        canonical_event(encoded(an_event(metadata={key + "k": 1})))
    assert caught.value.path == f"/metadata/{key}k"


@pytest.mark.parametrize("key", ["k" * 63, "é" * 63])
def test_a_label_key_is_measured_in_characters(key: str) -> None:
    canonical_event(encoded(an_event(labels={key: ""})))
    with pytest.raises(InvalidEvent) as caught:
        canonical_event(encoded(an_event(labels={"a": "", key + "k": ""})))
    assert caught.value.path == f"/labels/{key}k"


def test_metadata_is_measured_in_canonical_bytes() -> None:
    fitting = {"note": "é" * 16_378 + "n"}
    assert len(json.dumps(fitting, separators=(",", ":"), ensure_ascii=False).encode()) == 32_768
    canonical_event(encoded(an_event(metadata=fitting)))
    with pytest.raises(EventTooLarge) as caught:
        canonical_event(encoded(an_event(metadata={"note": fitting["note"] + "n"})))
    assert caught.value.fields() == {"path": "/metadata", "size": 32_769, "limit": 32_768}


def sized_event(size: int) -> dict[str, Any]:
    frame = {"event_type": "a", "changes": [{"path": "", "new": ""}]}
    frame["changes"] = [{"path": "", "new": "x" * (size - len(canonical_event(encoded(frame)).body))}]
    return frame


@pytest.mark.parametrize("limit", [65_536, 262_144, 1_000])
def test_an_event_is_measured_in_canonical_bytes(limit: int) -> None:
    limits = EventLimits(max_event_bytes=limit)
    assert len(canonical_event(encoded(sized_event(limit)), limits).body) == limit
    with pytest.raises(EventTooLarge) as caught:
        canonical_event(encoded(sized_event(limit + 1)), limits)
    assert caught.value.fields() == {"path": "", "size": limit + 1, "limit": limit}


def test_escapes_do_not_count_against_the_limit() -> None:
    escaped = '{"event_type":"a","changes":[{"path":"","new":"' + "\\u0041" * 65_000 + '"}]}'
    assert b"A" * 65_000 in canonical_event(escaped.encode()).body


def test_white_space_is_bounded_too() -> None:
    with pytest.raises(EventTooLarge):
        canonical_event(b'{"event_type":"a"' + b" " * (8 * 65_536) + b"}")


@pytest.mark.parametrize(
    ("opened", "closed", "levels"),
    [
        ('"metadata":{"a":', "}", 14),
        ('"metadata":{"a":', "}", 0),
        ('"targets":[{"attributes":{"a":', "}}]", 12),
        ('"target":{"attributes":{"a":', "}}", 12),
        ('"context":{"geo":{"a":', "}}", 13),
        ('"changes":[{"path":"","old":{"a":', "}}]", 12),
        ('"new":{"a":', "}", 12),
    ],
)
def test_sixteen_levels_are_allowed_and_no_more(opened: str, closed: str, levels: int) -> None:
    def nested(depth: int) -> bytes:
        return f'{{"event_type":"a",{opened}{"[" * depth}{"]" * depth or 1}{closed}}}'.encode()

    body = canonical_event(nested(levels)).body
    assert canonical_event(body).body == body
    with pytest.raises(InvalidEvent) as caught:
        canonical_event(nested(max(levels, 14) + 1))
    assert caught.value.reason == "nested deeper than 16 levels"


def test_many_siblings_are_no_depth() -> None:
    rows = [{"cells": [[at], {"b": []}]} for at in range(500)]
    assert canonical_event(encoded(an_event(metadata={"rows": rows}))).body.count(b"cells") == 500


@pytest.mark.parametrize(
    "metadata",
    [
        {"nanoseconds": 1_795_428_000_123_456_789},
        {"card": "4111111111111111111111111111"},
        {"text": "a backslash, then \\u0000"},
        {"edge": [2**63 - 1, -(2**63)]},
    ],
)
def test_what_only_looks_like_a_flaw_is_accepted(metadata: dict[str, Any]) -> None:
    body = canonical_event(encoded(an_event(metadata=metadata))).body
    assert json.loads(body)["metadata"] == metadata


def test_a_pointer_is_cut_where_the_callers_key_is_endless() -> None:
    with pytest.raises(InvalidEvent) as caught:
        canonical_event(encoded({"event_type": "a", "k" * 5_000: 1}))
    assert caught.value.path == "/" + "k" * 254 + "…"


def test_a_reason_never_quotes_a_value() -> None:
    for field in ("outcome", "severity", "occurred_at", "id", "trace_id", "status", "crud", "classification"):
        with pytest.raises(InvalidEvent) as caught:
            canonical_event(encoded({"event_type": "a", field: "correct horse"}))
        assert "horse" not in caught.value.reason
