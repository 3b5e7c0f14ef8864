"""Events to test with: a builder for one, and strategies for any."""

from __future__ import annotations

import json
import string
from typing import Any, Final

from hypothesis import strategies as st

from audit_core.errors import EventTooLarge, InvalidEvent
from audit_core.event import CanonicalEvent, canonical_event

ACTOR_TYPES: Final = ("user", "service_account", "api_key", "system", "agent", "anonymous")


def an_event(**fields: Any) -> dict[str, Any]:
    """Return the body of a valid event; fields given as None are left out."""
    event = {
        "event_type": "document.shared",
        "actor": {"id": "user-8123", "type": "user", "name": "Alice Example"},
        "targets": [{"type": "document", "id": "doc-99183"}],
        "outcome": "success",
        "metadata": {"plan": "enterprise"},
        **fields,
    }
    return {name: value for name, value in event.items() if value is not None}


def encoded(event: dict[str, Any]) -> bytes:
    """Return a body as a caller might send it: JSON with white space and escapes."""
    return json.dumps(event).encode()


def taken(body: bytes) -> CanonicalEvent | InvalidEvent | EventTooLarge:
    """Return the event, or the refusal as a value."""
    try:
        return canonical_event(body)
    except (InvalidEvent, EventTooLarge) as error:
        return error


texts: Final = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
integers: Final = st.integers(-(2**63), 2**63 - 1)
floats: Final = st.floats(allow_nan=False, allow_infinity=False)
json_values: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | integers | floats | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects: Final = st.dictionaries(texts, json_values, max_size=5)


def _part(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in fields.items()})


_hexadecimal: Final = st.text("0123456789abcdefABCDEF", min_size=32, max_size=32)
_times: Final = st.sampled_from(
    [
        "2026-11-23T10:00:00Z",
        "2026-11-23T10:00:00.123456789+01:00",
        "0001-01-01T00:00:00-23:59",
        "2016-12-31T23:59:60Z",
    ]
)
event_types: Final = st.from_regex(r"[A-Za-z][A-Za-z0-9_.:-]{0,30}", fullmatch=True)


def events() -> st.SearchStrategy[dict[str, Any]]:
    """Any valid event in canonical field names, nulls and odd values included."""
    principal = _part(id=texts, name=texts, type=st.sampled_from(ACTOR_TYPES))
    actor = _part(
        id=texts, name=texts, email=texts, auth_method=texts, type=st.sampled_from(ACTOR_TYPES),
        groups=st.lists(texts, max_size=3), on_behalf_of=principal,
    )  # fmt: skip
    target = _part(id=texts, name=texts, type=texts, attributes=objects)
    context = _part(
        ip=texts | st.ip_addresses().map(str), user_agent=texts, session_id=texts, request_id=texts,
        correlation_id=texts, causation_id=texts, geo=objects, trace_id=_hexadecimal,
    )  # fmt: skip
    change = st.fixed_dictionaries(
        {"path": st.sampled_from(["", "/a", "/a/b~0c"])}, optional={"old": json_values, "new": json_values}
    )
    return st.fixed_dictionaries(
        {"event_type": event_types},
        optional={
            "id": st.none() | st.text(string.ascii_letters + "0123456789._:-", min_size=1, max_size=20),
            "tenant_id": st.none() | texts,
            "action": st.none() | texts,
            "actor": st.none() | actor,
            "changes": st.none() | st.lists(change, max_size=2),
            "classification": st.none() | st.sampled_from(["public", "restricted"]),
            "context": st.none() | context,
            "description": st.none() | texts,
            "labels": st.none() | st.dictionaries(texts, texts, max_size=3),
            "metadata": st.none() | objects,
            "occurred_at": st.none() | _times,
            "outcome": st.none() | st.sampled_from(["success", "failure", "denied", "unknown"]),
            "producer": st.none() | _part(id=texts, seq=st.integers(0, 2**63 - 1), sig=texts),
            "reason": st.none() | texts,
            "regulation": st.none() | st.lists(texts, max_size=2),
            "schema_version": st.none() | st.integers(1, 2**63 - 1),
            "severity": st.none() | st.sampled_from(["debug", "critical"]),
            "source": st.none() | _part(service=texts, component=texts, version=texts, region=texts),
            "subjects": st.none() | st.lists(texts, max_size=2),
            "targets": st.none() | st.lists(target, max_size=3),
        },
    )
