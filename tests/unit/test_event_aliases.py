"""The flat and older names mean the canonical field, and only add what it lacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.errors import InvalidEvent
from audit_core.event import canonical_event
from tests.support.events import encoded, texts

TRACE = "0af7651916cd43dd8448eb211c80319c"
TIME = "2026-11-23T10:00:00.5Z"


def canonical(**fields: Any) -> Any:
    return json.loads(canonical_event(encoded({"event_type": "doc.read", **fields})).body)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"user_id": "u"}, {"actor": {"id": "u", "type": "user"}}),
        ({"user": {"id": "u", "name": "Ann"}}, {"actor": {"id": "u", "name": "Ann", "type": "user"}}),
        ({"user": {"id": "u", "type": "agent"}}, {"actor": {"id": "u", "type": "agent"}}),
        ({"user": {"name": "Ann"}}, {"actor": {"name": "Ann"}}),
        ({"user": {}}, {"actor": {}}),
        ({"user_id": "u", "user": {"name": "Ann"}}, {"actor": {"id": "u", "name": "Ann", "type": "user"}}),
        ({"user_id": "u", "actor": {"name": "Ann"}}, {"actor": {"id": "u", "name": "Ann", "type": "user"}}),
        ({"user_id": "u", "actor": {"id": "u"}}, {"actor": {"id": "u"}}),
        ({"user_id": "u", "actor": {"type": "system"}}, {"actor": {"id": "u", "type": "system"}}),
        ({"user_id": "u", "actor": {"id": "u", "type": "api_key"}}, {"actor": {"id": "u", "type": "api_key"}}),
        ({"user_id": ""}, {"actor": {"id": "", "type": "user"}}),
        ({"resource_id": "r"}, {"targets": [{"id": "r"}]}),
        ({"resource_type": "t"}, {"targets": [{"type": "t"}]}),
        ({"resource_id": "r", "resource_type": "t"}, {"targets": [{"id": "r", "type": "t"}]}),
        ({"resource_id": "r", "targets": []}, {"targets": [{"id": "r"}]}),
        ({"resource_id": "r", "targets": [{"type": "t"}, {"id": "x"}]},
         {"targets": [{"id": "r", "type": "t"}, {"id": "x"}]}),
        ({"target": {"id": "r", "attributes": {"a": 1}}}, {"targets": [{"id": "r", "attributes": {"a": 1}}]}),
        ({"target": {"id": "r"}, "resource_id": "r", "targets": [{"id": "r"}]}, {"targets": [{"id": "r"}]}),
        ({"ip_address": "10.0.0.1", "user_agent": "curl", "session_id": "s", "correlation_id": "c",
          "request_id": "q", "trace_id": TRACE},
         {"context": {"ip": "10.0.0.1", "user_agent": "curl", "session_id": "s", "correlation_id": "c",
                      "request_id": "q", "trace_id": TRACE}}),
        ({"ip_address": "10.0.0.1", "context": {"ip": "10.0.0.1", "geo": {}}},
         {"context": {"ip": "10.0.0.1", "geo": {}}}),
        ({"service_name": "s", "component": "c", "version": "1.2"},
         {"source": {"service": "s", "component": "c", "version": "1.2"}}),
        ({"version": "1.2"}, {"source": {"version": "1.2"}}),
        ({"version": 2}, {"schema_version": 2}),
        ({"version": 2, "service_name": "s"}, {"schema_version": 2, "source": {"service": "s"}}),
        ({"timestamp": TIME}, {"occurred_at": TIME}),
        ({"time": TIME, "created": TIME, "occurred_at": TIME}, {"occurred_at": TIME}),
        ({"message": "m"}, {"description": "m"}),
        ({"fields": {"team": "red"}}, {"labels": {"team": "red"}}),
        ({"status": "success"}, {"outcome": "success"}),
        ({"status": "error"}, {"outcome": "failure"}),
        ({"status": "failure"}, {"outcome": "failure"}),
        ({"status": "failed", "outcome": "failure"}, {"outcome": "failure"}),
        ({"status": "denied"}, {"outcome": "denied"}),
        ({"status": "warning"}, {"severity": "warning"}),
        ({"status": "info", "outcome": "denied"}, {"severity": "info", "outcome": "denied"}),
        ({"is_failure": True}, {"outcome": "failure"}),
        ({"is_failure": False, "status": "success"}, {"outcome": "success"}),
        ({"crud": "d"}, {"action": "delete"}),
        ({"crud": "u", "action": "update"}, {"action": "update"}),
        ({"old": 1, "new": {"a": None}}, {"changes": [{"path": "", "old": 1, "new": {"a": None}}]}),
        ({"new": False, "changes": [{"path": "", "new": False}]}, {"changes": [{"path": "", "new": False}]}),
        ({"type": "doc.read"}, {}),
        ({"user_id": None, "resource_id": None, "ip_address": None, "status": None, "version": None}, {}),
    ],
)  # fmt: skip
def test_an_alias_means_its_canonical_field(sent: dict[str, Any], meant: dict[str, Any]) -> None:
    assert canonical(**sent) == {"event_type": "doc.read", **meant}


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"type": "a.b"}, {"event_type": "a.b"}),
        ({"type": "a.b", "action": "c"}, {"event_type": "a.b", "action": "c"}),
        ({"action": "user.signed_in"}, {"event_type": "user.signed_in", "action": "user.signed_in"}),
        ({"action": "playbook.run", "crud": "c"}, {"event_type": "playbook.run", "action": "create"}),
    ],
)
def test_without_an_event_type_another_name_serves(sent: dict[str, Any], meant: dict[str, Any]) -> None:
    assert json.loads(canonical_event(encoded(sent)).body) == meant


@pytest.mark.parametrize("name", ["id", "event_id", "audit_id"])
def test_every_name_of_the_id_is_given_beside_the_bytes(name: str) -> None:
    event = canonical_event(encoded({"event_type": "a", name: "order:7"}))
    assert (event.id, event.body) == ("order:7", b'{"event_type":"a"}')


@pytest.mark.parametrize(
    "numeric", [{"user_id": 7}, {"resource_id": 7}, {"user": {"id": 7}}, {"user_id": 7.5}, {"user_id": True}]
)
def test_a_numeric_id_is_refused_in_words_that_say_what_to_do(numeric: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent) as caught:
        canonical(**numeric)
    assert caught.value.reason.startswith("must be a string, not a")


@given(texts, texts)
def test_two_names_that_disagree_are_refused_at_the_alias(alias: str, field: str) -> None:
    if alias == field:
        assert canonical(user_id=alias, actor={"id": field})["actor"] == {"id": field}
        return
    with pytest.raises(InvalidEvent) as caught:
        canonical(user_id=alias, actor={"id": field})
    assert caught.value.fields() == {"path": "/user_id", "reason": "contradicts /actor/id"}


@given(st.sampled_from([1, 1.0, True, "1", None]), st.sampled_from([1, 1.0, True, "1", None]))
def test_values_that_only_python_calls_equal_disagree(alias: Any, field: Any) -> None:
    event = {"target": {"attributes": {"n": alias}}, "targets": [{"attributes": {"n": field}}]}
    if type(alias) is type(field):
        assert canonical(**event)["targets"] == event["targets"]
        return
    with pytest.raises(InvalidEvent):
        canonical(**event)
