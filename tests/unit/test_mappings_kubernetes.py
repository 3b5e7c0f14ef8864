"""A Kubernetes audit event becomes an event field by field; whatever does not fit is kept in another form."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.errors import InvalidEvent
from audit_core.event import DEFAULT_LIMITS, EventLimits, canonical_event
from audit_core.mappings.json_pieces import items, members
from audit_core.mappings.kubernetes import STAGES, UNMAPPED, Mapped, kubernetes_event
from audit_core.mappings.kubernetes_list import records_in
from tests.support.events import json_values, texts
from tests.support.independent_encoder import independently_encoded
from tests.support.kubernetes_audit import AUDIT_ID, EXPECTED, an_audit_event, an_event_list

SMALLEST = EventLimits(max_event_bytes=1024)


def sent(record: Any) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def mapped(**changes: Any) -> dict[str, Any]:
    found = kubernetes_event(sent(an_audit_event(**changes)))
    assert found.is_mapped
    assert canonical_event(found.body).body == independently_encoded(found.event)
    return found.event


@pytest.mark.parametrize("name", EXPECTED)
def test_a_record_becomes_the_event_written_by_hand(name: str) -> None:
    record, expected = EXPECTED[name]
    found = kubernetes_event(sent(record))
    assert found.is_mapped
    assert found.event == expected
    assert canonical_event(found.body).id == expected["id"]
    assert canonical_event(found.body).body == independently_encoded(expected)


def test_there_are_twenty_of_them_and_every_stage_is_among_them() -> None:
    assert len(EXPECTED) >= 20
    assert {record["stage"] for record, _ in EXPECTED.values()} == set(STAGES)


def test_what_nests_too_deep_is_kept_as_json_text_and_said_so() -> None:
    deep: Any = {"end": 1}
    for _ in range(40):
        deep = {"a": [deep]}
    event = mapped(requestObject=deep)
    assert event["metadata"]["kept_as"] == {"request_object": "JSON text where too deep"}
    inner = event["metadata"]["request_object"]
    while not isinstance(inner, str):
        inner = inner["a"] if isinstance(inner, dict) else inner[0]
    assert json.loads(inner)


def test_what_is_too_large_is_kept_as_its_length_its_hash_and_its_beginning() -> None:
    large, small = {"data": {"a": "x" * 90_000}}, {"kind": "Secret"}
    event = mapped(requestObject=large, responseObject=small)
    raw = sent(large)
    assert event["metadata"]["request_object"] == {
        "truncated": True,
        "size": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
        "beginning": raw.decode()[:512],
    }
    assert event["metadata"]["response_object"] == small
    assert event["metadata"]["kept_as"] == {"request_object": "hash"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (rb'{"a":"\u0000"}', '{"a":"\\u0000"}'),
        (rb'{"a":"\ud800"}', '{"a":"\\ud800"}'),
        (b'{"a":99999999999999999999}', '{"a":99999999999999999999}'),
        (b'{"a":1e999}', '{"a":1e999}'),
        (b'{"a":"\xff"}', '{"a":"\\xff"}'),
        (b"[" * 3000 + b"]" * 3000, "[" * 3000 + "]" * 3000),
    ],
)
def test_what_no_event_may_hold_is_kept_as_the_text_that_was_sent(raw: bytes, text: str) -> None:
    record = sent(an_audit_event(requestObject="HERE")).replace(b'"HERE"', raw)
    found = kubernetes_event(record)
    assert found.is_mapped
    assert found.event["id"] == f"{AUDIT_ID}:ResponseComplete"
    assert found.event["metadata"]["request_object"] == text
    assert found.event["metadata"]["kept_as"] == {"request_object": "text as sent"}


def test_fields_of_a_newer_release_are_kept() -> None:
    event = mapped(newField={"a": 1}, request_uri="not the same")
    assert event["metadata"]["other"] == {"newField": {"a": 1}, "request_uri": "not the same"}


def test_texts_beyond_the_limits_of_their_fields_stay_in_the_metadata() -> None:
    user = {"username": "u" * 257, "groups": ["g" * 257, "devs"]}
    event = mapped(
        user=user, userAgent="a" * 1025, verb="v" * 65, sourceIPs=["nowhere"], stageTimestamp="yesterday"
    )
    assert event["actor"] == {"type": "anonymous", "groups": ["devs"]}
    assert event["occurred_at"] == event["metadata"]["request_received_timestamp"]
    assert {name: event["metadata"][name] for name in ("user", "user_agent", "verb", "source_ips", "stage_timestamp")} == {
        "user": user, "user_agent": "a" * 1025, "verb": "v" * 65, "source_ips": ["nowhere"], "stage_timestamp": "yesterday",
    }  # fmt: skip


def test_more_groups_than_an_actor_may_have_are_kept_whole() -> None:
    groups = [f"group-{number}" for number in range(70)]
    event = mapped(user={"username": "jane", "groups": groups})
    assert event["actor"]["groups"] == groups[:64]
    assert event["metadata"]["user"] == {"groups": groups}


def test_a_reference_that_a_target_cannot_hold_is_kept_whole() -> None:
    reference = {"resource": "pods", "name": "n" * 300, "newer": "field"}
    event = mapped(objectRef=reference)
    assert event["targets"] == [{"type": "pods", "attributes": {"resource": "pods"}}]
    assert event["metadata"]["object_ref"] == reference


@pytest.mark.parametrize("audit_id", ["ab c/é", "x" * 200])
def test_an_audit_id_that_is_no_id_gives_one_of_its_hash(audit_id: str) -> None:
    event = mapped(auditID=audit_id)
    assert event["id"] == f"sha256:{hashlib.sha256(f'{audit_id}:ResponseComplete'.encode()).hexdigest()}"
    assert event["context"]["correlation_id"] == audit_id


@pytest.mark.parametrize(
    ("reference", "verb", "event_type"),
    [
        ({"resource": "a" * 150, "apiGroup": "g"}, "get", "k8s." + "a" * 120 + ".get"),
        ({"resource": "things", "apiGroup": "g" * 253}, "get", "k8s." + "g" * 113 + ".things.get"),
        ({"resource": "things", "apiGroup": "é x"}, "ge t", "k8s.-x.things.ge-t"),
        ({"resource": 7}, "get", "k8s.nonresource.get"),
    ],
)
def test_a_type_that_does_not_fit_is_cut_where_the_group_ends(
    reference: dict[str, Any], verb: str, event_type: str
) -> None:
    assert mapped(objectRef=reference, verb=verb)["event_type"] == event_type


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"null", b"[1]", b'"text"', b"{}", b'{"auditID":"a"}', b"\xff\x00"]
)
def test_what_is_no_audit_event_is_kept_as_unmapped(raw: bytes) -> None:
    found = kubernetes_event(raw)
    assert not found.is_mapped
    assert (found.event["event_type"], found.event["severity"]) == (UNMAPPED, "warning")
    assert found.event["id"] == f"sha256:{hashlib.sha256(raw).hexdigest()}"
    told = raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    assert found.event["metadata"] == {"reason": "not an audit event", "record": told}


def test_an_event_that_does_not_fit_even_so_is_kept_with_its_audit_id_and_its_hash() -> None:
    raw = sent(an_audit_event(requestObject="x" * 5000))
    found = kubernetes_event(raw, SMALLEST)
    assert not found.is_mapped
    assert found.event["id"] == f"{AUDIT_ID}:ResponseComplete"
    assert found.event["context"] == {"correlation_id": AUDIT_ID}
    record = {"truncated": True, "size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    assert {name: found.event["metadata"]["record"][name] for name in record} == record


def holds_up(raw: bytes, limits: EventLimits = DEFAULT_LIMITS) -> Mapped:
    """Check what holds for any record: a valid event, the same each time."""
    found = kubernetes_event(raw, limits)
    assert canonical_event(found.body, limits).id == found.event["id"]
    assert kubernetes_event(raw, limits) == found
    return found


fields = st.sampled_from(
    [*an_audit_event(), "impersonatedUser", "requestObject", "responseObject", "surprise"]
)


@given(
    st.dictionaries(
        fields.filter(lambda name: name != "auditID"), json_values | texts.map(lambda text: text * 200)
    ),
    texts.filter(bool),
    st.sampled_from([EventLimits(), SMALLEST, EventLimits(max_event_bytes=262_144)]),
)
def test_any_record_that_is_shaped_like_one_keeps_its_audit_id(
    changes: dict[str, Any], audit_id: str, limits: EventLimits
) -> None:
    found = holds_up(sent({**an_audit_event(), **changes, "auditID": audit_id}), limits)
    assert found.event["context"]["correlation_id"] == audit_id


@given(st.binary(max_size=300) | json_values.map(sent))
def test_any_bytes_become_a_valid_event(raw: bytes) -> None:
    holds_up(raw)
    holds_up(raw, SMALLEST)


@given(st.lists(json_values, min_size=1, max_size=5))
def test_a_list_is_cut_alike_with_and_without_a_decoder(records: list[Any]) -> None:
    expected = [sent(record) for record in records]
    whole = an_event_list(*records)
    assert [json.loads(record) for record in records_in(whole)] == records
    assert [json.loads(record) for record in items(members(whole)["items"])] == records
    assert items(b" [" + b" , ".join(expected) + b"] ") == expected


def test_a_record_that_no_decoder_takes_does_not_spoil_its_list() -> None:
    bad = [rb'{"auditID":"\ud800"}', b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"]
    good = sent(an_audit_event())
    body = b'{"kind":"EventList","items":[' + b",".join([bad[0], good, bad[1]]) + b"]}"
    assert records_in(body) == [bad[0], good, bad[1]]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"items":[]}', b'{"items":{}}', b'{"items":[1}', b"null", b'{"items":[1]']
)
def test_what_is_no_list_of_events_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEvent):
        records_in(body)


@pytest.mark.parametrize("audit_id", ["\x01" * 64, "x" * 256, "\U0001f512" * 256, "é" * 5000])
@pytest.mark.parametrize("fields", [{}, {"stage": "\x01" * 300}, {"requestObject": "\x01" * 90_000}])
def test_no_audit_id_that_a_client_chooses_spoils_the_smallest_form(
    audit_id: str, fields: dict[str, Any]
) -> None:
    holds_up(sent(an_audit_event(auditID=audit_id, **fields)), SMALLEST)
