"""Columns follow from canonical bytes alone, with defaults that the bytes do not have."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit_core.columns import COLUMNS, Promoted, normalised_ip, promoted
from audit_core.event import canonical_event
from audit_core.rfc3339 import EARLIEST_US, LATEST_US
from tests.support.events import an_event, encoded, event_types, events, json_values


def columns_of(**fields: Any) -> Promoted:
    return promoted(canonical_event(encoded(an_event(**fields))).body)


def test_every_column_of_a_full_event() -> None:
    event = an_event(
        action="share",
        severity="notice",
        occurred_at="2026-11-23T10:00:00.123456789Z",
        context={"ip": "203.0.113.77", "correlation_id": "c-1"},
        source={"service": "docs"},
    )
    assert promoted(canonical_event(encoded(event)).body) == Promoted(
        event_type="document.shared",
        action="share",
        outcome="success",
        severity="notice",
        occurred_at_us=1_795_428_000_123_456,
        actor_id="user-8123",
        actor_type="user",
        target_id="doc-99183",
        target_type="document",
        correlation_id="c-1",
        service="docs",
        ip="203.0.113.77",
    )


def test_an_event_with_nothing_but_a_type_has_the_defaults() -> None:
    assert promoted(b'{"event_type":"user_login"}') == Promoted(
        "user_login", "user_login", "unknown", "info", None, None, None, None, None, None, None, None
    )
    assert len(COLUMNS) == 12


def test_text_is_promoted_like_bytes() -> None:
    body = canonical_event(encoded(an_event(description="é"))).body
    assert promoted(body) == promoted(body.decode())


@pytest.mark.parametrize(
    ("event_type", "action"),
    [
        ("user_login", "user_login"), ("doc.read", "read"), ("k8s.apps:deployments.patch", "patch"), ("a:b", "b"),
        ("a.b:c", "c"), ("a:b.c", "c"), ("a.", "a."), ("a.b:", "a.b:"), ("urn:x-y", "x-y"),
    ],
)  # fmt: skip
def test_the_action_is_the_last_segment_of_the_type(event_type: str, action: str) -> None:
    assert columns_of(event_type=event_type).action == action


@given(event_types)
def test_the_action_is_never_empty(event_type: str) -> None:
    action = columns_of(event_type=event_type).action
    assert action
    assert event_type.endswith(action)


def test_only_the_first_target_has_columns() -> None:
    columns = columns_of(targets=[{"id": "a"}, {"id": "b", "type": "t"}])
    assert (columns.target_id, columns.target_type) == ("a", None)
    columns = columns_of(targets=[])
    assert (columns.target_id, columns.target_type) == (None, None)


@pytest.mark.parametrize(
    ("context", "metadata", "ip"),
    [
        ({"ip": "10.0.0.1"}, {"ip": "10.0.0.2", "ip_address": "10.0.0.3"}, "10.0.0.1"),
        (None, {"ip": "10.0.0.2", "ip_address": "10.0.0.3"}, "10.0.0.2"),
        ({}, {"ip_address": "10.0.0.3"}, "10.0.0.3"),
        ({"ip": "unknown"}, {"ip": "10.0.0.2"}, None),
        (None, {"ip": None, "ip_address": "2001:DB8::1"}, "2001:db8::1"),
        (None, {"ip": 167772161}, None),
        (None, {"ip": ["10.0.0.1"], "ip_address": "10.0.0.3"}, None),
        (None, {"ip": ""}, None),
        (None, {"client": {"ip": "10.0.0.1"}}, None),
        (None, None, None),
    ],
)
def test_the_address_is_the_contexts_or_else_the_metadatas(
    context: dict[str, Any] | None, metadata: dict[str, Any] | None, ip: str | None
) -> None:
    assert columns_of(context=context, metadata=metadata).ip == ip


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("10.1.2.3", "10.1.2.3"), ("255.255.255.255", "255.255.255.255"), ("0.0.0.0", "0.0.0.0"),
        ("2001:0DB8:0:0::1", "2001:db8::1"), ("::", "::"), ("::ffff:10.1.2.3", "10.1.2.3"), ("::FFFF:a01:203", "10.1.2.3"),
        ("fe80::1%eth0", None), ("010.1.2.3", None), ("10.1.2", None), ("10.1.2.3.4", None), ("10.1.2.256", None),
        ("10.1.2.3.", None), ("10.1.2.3\n", None), (" 10.1.2.3", None), ("10.1.2.3/24", None), ("10.1.2.3:443", None),
        ("1\uff10.1.2.3", None), ("[::1]", None), ("", None), ("localhost", None), (":" * 300, None), ("1" * 300, None),
    ],
)  # fmt: skip
def test_an_address_has_one_normal_form(text: str, normal: str | None) -> None:
    assert normalised_ip(text) == normal


@given(
    st.ip_addresses()
    | st.integers(0, 2**32 - 1).map(lambda bits: ipaddress.IPv6Address((0xFFFF << 32) + bits))
)
def test_every_address_is_normalised(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    for text in (str(address), address.exploded, address.exploded.upper()):
        assert normalised_ip(text) == str(mapped or address)


@given(st.text(max_size=50))
@example("1.2.3.4\n")
def test_what_is_no_address_for_the_standard_library_is_none_for_us(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert normalised_ip(text) is None


def expected_columns(body: bytes) -> Promoted:
    event = json.loads(body)
    target = (event.get("targets") or [{}])[0]
    tail = event["event_type"].replace(":", ".").rsplit(".", 1)[-1]
    found = promoted(body)
    return Promoted(
        event["event_type"],
        event.get("action", tail or event["event_type"]),
        event.get("outcome", "unknown"),
        event.get("severity", "info"),
        found.occurred_at_us,  # its own tests are those of RFC 3339
        event.get("actor", {}).get("id"),
        event.get("actor", {}).get("type"),
        target.get("id"),
        target.get("type"),
        event.get("context", {}).get("correlation_id"),
        event.get("source", {}).get("service"),
        found.ip,
    )


@given(events())
@settings(max_examples=300)
def test_any_accepted_event_has_columns_that_postgresql_takes(event: dict[str, Any]) -> None:
    body = canonical_event(encoded(event)).body
    columns = promoted(body)
    assert columns == expected_columns(body)
    assert columns.occurred_at_us is None or EARLIEST_US <= columns.occurred_at_us <= LATEST_US
    for value in columns:
        assert value is None or isinstance(value, int) or "\0" not in value.encode().decode()


@given(st.dictionaries(st.sampled_from(["ip", "ip_address", "user_agent"]), json_values))
def test_whatever_stands_in_the_metadata_promotion_does_not_fail(metadata: dict[str, Any]) -> None:
    ip = columns_of(metadata=metadata).ip
    assert ip is None or str(ipaddress.ip_address(ip)) == ip
