"""Canonical bytes are one encoding of an event, which anybody can make again with the standard library."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit_core.canonical import canonical_json
from audit_core.event import canonical_event
from audit_core.schema import Event, Part
from tests.support.events import an_event, encoded, events, json_values
from tests.support.independent_encoder import independently_encoded


def body_of(event: dict[str, Any]) -> bytes:
    return canonical_event(encoded(event)).body


@given(events())
@settings(max_examples=300)
def test_an_independent_encoder_makes_the_same_bytes(event: dict[str, Any]) -> None:
    assert body_of(event) == independently_encoded(event)


@given(events())
def test_canonical_bytes_are_their_own_canonical_bytes(event: dict[str, Any]) -> None:
    once = body_of(event)
    assert canonical_event(once).body == once


@given(events(), st.randoms(use_true_random=False))
def test_order_white_space_and_escapes_of_the_sender_do_not_matter(
    event: dict[str, Any], randomness: random.Random
) -> None:
    names = list(event)
    randomness.shuffle(names)
    shuffled = {name: event[name] for name in names}
    otherwise = json.dumps(
        shuffled, indent=randomness.choice([None, 1, 4]), ensure_ascii=randomness.random() < 0.5
    )
    assert canonical_event(otherwise.encode()).body == body_of(event)


@given(json_values)
def test_any_value_has_the_bytes_of_the_standard_library(value: Any) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical_json(value) == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=2000)
def test_a_float_is_written_in_its_shortest_form(number: float) -> None:
    body = canonical_event(b'{"event_type":"a","metadata":{"x":%s}}' % repr(number).encode()).body
    assert body == b'{"event_type":"a","metadata":{"x":%s}}' % repr(number).encode()


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=2000)
def test_a_float_of_any_bits_reads_back_equal(bits: int) -> None:
    number = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    if number - number == 0:  # neither NaN nor infinite
        assert struct.pack("<d", json.loads(canonical_json([number]))[0]) == struct.pack("<d", number)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("1E5", "100000.0"), ("1.0", "1.0"), ("1", "1"), ("-0", "0"), ("-0.0", "-0.0"), ("1e-400", "0.0"),
        ("1e22", "1e+22"), ("0.00001", "1e-05"), ("0.0001", "0.0001"), ("9999999999999998.0", "9999999999999998.0"),
        ("1e16", "1e+16"), ("5e-324", "5e-324"), ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("0.30000000000000004", "0.30000000000000004"), ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"), ("1234567890123456789012.0", "1.2345678901234568e+21"),
    ],
)  # fmt: skip
def test_numbers_have_one_form(sent: str, kept: str) -> None:
    body = canonical_event(f'{{"event_type":"a","metadata":{{"n":{sent}}}}}'.encode()).body
    assert body == f'{{"event_type":"a","metadata":{{"n":{kept}}}}}'.encode()


def test_nulls_of_the_schema_are_absent_and_nulls_of_the_caller_are_kept() -> None:
    event = an_event(
        actor={"id": "a", "name": None, "on_behalf_of": {"id": None}},
        targets=[{"id": None, "attributes": {"color": None}}],
        changes=[{"path": "/a", "old": None}],
        context={"geo": {"city": None}},
        metadata={"a": None, "b": [None]},
    )
    event["reason"] = None
    assert json.loads(body_of(event)) == {
        "actor": {"id": "a", "on_behalf_of": {}},
        "changes": [{"path": "/a", "old": None}],
        "context": {"geo": {"city": None}},
        "event_type": "document.shared",
        "metadata": {"a": None, "b": [None]},
        "outcome": "success",
        "targets": [{"attributes": {"color": None}}],
    }


def test_nothing_of_the_server_and_no_default_is_added() -> None:
    assert canonical_event(b'{"event_type":"a","id":"x","tenant_id":"t"}').body == b'{"event_type":"a"}'


def test_empty_objects_and_arrays_are_kept() -> None:
    event = {"event_type": "a", "actor": {}, "labels": {}, "metadata": {}, "targets": [], "source": {}}
    assert (
        body_of(event) == b'{"actor":{},"event_type":"a","labels":{},"metadata":{},"source":{},"targets":[]}'
    )


def test_id_and_tenant_are_given_beside_the_bytes() -> None:
    event = canonical_event(b'{"event_type":"a","id":"order:7","tenant_id":"acme"}')
    assert (event.id, event.tenant_hint) == ("order:7", "acme")
    assert canonical_event(b'{"event_type":"a"}').id is None


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_type":"b","event_type":"a","metadata":{"x":2,"x":1}}',
        b'{"event_type":7,"event_type":"a","metadata":{"x":1}}',
        b'{"metadata":[],"event_type":"a","metadata":{"x":[99999999999999999999],"x":1}}',
        b'{"user_id":null,"metadata":{"y":1},"event_type":"a","metadata":{"x":{"z":1},"x":1}}',
        b'{"actor":{"id":"b"},"actor":null,"event_type":"a","metadata":{"x":1}}',
        b'{"user_id":"u-1","event_type":"a","metadata":{"x":1},"user_id":null}',
        b'{"user_id":1,"event_type":"a","metadata":{"x":1},"user_id":null}',
    ],
)
def test_of_duplicate_keys_the_last_counts(body: bytes) -> None:
    assert canonical_event(body).body == b'{"event_type":"a","metadata":{"x":1}}'


def test_the_body_may_be_a_piece_of_a_larger_buffer() -> None:
    batch = b'{"logs":[{"event_type": "a"}]}'
    piece = msgspec.json.decode(batch, type=dict[str, list[msgspec.Raw]])["logs"][0]
    assert (
        canonical_event(piece).body == canonical_event(memoryview(batch)[9:-2]).body == b'{"event_type":"a"}'
    )


def test_fields_are_declared_in_the_order_of_their_bytes() -> None:
    parts: list[type[Part]] = [Event, *Part.__subclasses__()]
    for part in parts:
        assert list(part.__struct_fields__) == sorted(part.__struct_fields__)
