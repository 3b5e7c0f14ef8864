"""A CloudTrail record becomes an event field by field, and nothing of it gets lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_core.columns import promoted
from audit_core.event import canonical_event
from audit_core.mappings.cloudtrail import cloudtrail_event
from tests.support.cloudtrail import CLOUDTRAIL_RECORDS, cloudtrail_records, needs_cloudtrail
from tests.support.cloudtrail_expected import EXPECTED
from tests.support.events import json_values
from tests.support.independent_encoder import independently_encoded

MINIMAL = {"eventSource": "iam.amazonaws.com", "eventName": "CreateUser", "eventTime": "2023-07-10T12:25:03Z"}


def body_of(event: dict[str, Any]) -> bytes:
    return canonical_event(json.dumps(event).encode()).body


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    elif value is not None:
        yield value


@needs_cloudtrail
def test_every_record_is_a_valid_event_with_the_bytes_of_an_independent_encoder() -> None:
    records = cloudtrail_records()
    assert len(records) == CLOUDTRAIL_RECORDS
    for record in records:
        event = cloudtrail_event(record)
        accepted = canonical_event(json.dumps(event).encode())
        assert accepted.id == record["eventID"]
        assert accepted.body == independently_encoded(event)


@needs_cloudtrail
def test_twenty_records_become_the_events_written_by_hand() -> None:
    records = {record["eventID"]: record for record in cloudtrail_records()}
    assert len(EXPECTED) == 20
    for event_id, (expected, metadata) in EXPECTED.items():
        event = cloudtrail_event(records[event_id])
        assert set(event.pop("metadata")) == metadata
        assert event == {"id": event_id, **expected}


@needs_cloudtrail
def test_no_value_of_a_record_is_lost() -> None:
    for record in cloudtrail_records():
        mapped = Counter(map(repr, leaves(cloudtrail_event(record))))
        missing = {value for value in map(repr, leaves(record)) if value not in mapped}
        assert not missing, record["eventID"]


@needs_cloudtrail
def test_the_records_have_the_columns_that_questions_are_asked_by() -> None:
    records = cloudtrail_records()
    columns = [promoted(body_of(cloudtrail_event(record))) for record in records]
    assert Counter(row.outcome for row in columns) == {"success": 1956, "failure": 176, "denied": 43}
    assert Counter(row.actor_type for row in columns) == {"user": 2056, "service_account": 56, "system": 63}
    assert sum(row.ip is None for row in columns) == 261
    assert all(row.actor_id for row in columns)
    assert all(row.occurred_at_us for row in columns)
    assert [row.action for row in columns] == [record["eventName"] for record in records]


@pytest.mark.parametrize(
    ("identity", "actor"),
    [
        ({"type": "Root", "arn": "arn:aws:iam::1:root", "principalId": "1"}, {"id": "arn:aws:iam::1:root", "type": "user"}),
        ({"type": "AWSAccount", "principalId": "AROA:x", "accountId": "2"}, {"id": "AROA:x", "type": "service_account"}),
        ({"type": "AWSAccount", "accountId": "ANONYMOUS_PRINCIPAL", "principalId": ""}, {"type": "anonymous"}),
        ({"type": "WebIdentityUser", "principalId": "accounts.example:app:7", "userName": "7"},
         {"id": "accounts.example:app:7", "name": "7", "type": "user"}),
        ({"type": "AssumedRole", "principalId": "AROA:s", "arn": "arn:aws:sts::1:assumed-role/r/s"},
         {"id": "arn:aws:sts::1:assumed-role/r/s", "type": "service_account"}),
        ({"type": "IAMUser", "arn": "a" * 257, "principalId": "AIDA"}, {"id": "AIDA", "type": "user"}),
        ({"type": "Unknown"}, {"type": "system"}),
        ({}, {"type": "anonymous"}),
    ],
)  # fmt: skip
def test_an_identity_becomes_an_actor(identity: dict[str, Any], actor: dict[str, Any]) -> None:
    event = cloudtrail_event({**MINIMAL, "userIdentity": identity})
    assert event["actor"] == actor
    body_of(event)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "success"),
        ({"errorCode": None}, "success"),
        ({"errorCode": "AccessDeniedException"}, "denied"),
        ({"errorCode": "Client.UnauthorizedOperation"}, "denied"),
        ({"errorCode": "NotAuthorizedException"}, "denied"),
        ({"errorCode": "ThrottlingException"}, "failure"),
        (
            {"errorMessage": "Failed authentication", "responseElements": {"ConsoleLogin": "Failure"}},
            "failure",
        ),
        ({"responseElements": {"ConsoleLogin": "Success"}}, "success"),
    ],
)
def test_the_outcome_follows_from_the_error(fields: dict[str, Any], outcome: str) -> None:
    assert cloudtrail_event({**MINIMAL, **fields})["outcome"] == outcome


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1"])
def test_an_address_goes_to_the_context(address: str) -> None:
    event = cloudtrail_event({**MINIMAL, "sourceIPAddress": address})
    assert (event["context"], "metadata" in event) == ({"ip": address}, False)


def test_what_does_not_fit_its_field_stays_in_the_metadata() -> None:
    record = {
        **MINIMAL,
        "eventName": "N" * 70,
        "userAgent": "u" * 1025,
        "sourceIPAddress": "ec2.amazonaws.com",
    }
    event = cloudtrail_event(record)
    assert event["event_type"] == "aws.iam." + "N" * 70
    assert event["metadata"] == {
        "event_name": "N" * 70, "user_agent": "u" * 1025, "source_ip_address": "ec2.amazonaws.com",
    }  # fmt: skip
    body_of(event)


def test_more_resources_than_targets_are_kept_whole() -> None:
    resources = [{"ARN": f"arn:aws:ssm:eu-west-1:1:parameter/p{at}", "accountId": "1"} for at in range(17)]
    event = cloudtrail_event({**MINIMAL, "resources": resources})
    assert len(event["targets"]) == 16
    assert event["metadata"]["resources"] == resources
    body_of(event)


@pytest.mark.parametrize("resource", [{"ARNPrefix": "arn:aws:s3:::b/"}, {"ARN": "a" * 513}, {"ARN": ""}])
def test_a_resource_that_is_no_target_is_kept(resource: dict[str, Any]) -> None:
    event = cloudtrail_event({**MINIMAL, "resources": [resource]})
    assert "targets" not in event
    assert event["metadata"]["resources"] == [resource]


def test_what_nests_too_deep_is_kept_as_text() -> None:
    deep: Any = {"end": 1}
    for _ in range(40):
        deep = {"a": [deep]}
    event = cloudtrail_event({**MINIMAL, "requestParameters": deep})
    inner, levels = event["metadata"]["request_parameters"], 0
    while not isinstance(inner, str):
        inner, levels = inner["a"] if isinstance(inner, dict) else inner[0], levels + 1
    assert json.loads(inner)
    assert levels == 14
    body_of(event)


def test_what_is_too_large_is_kept_as_a_hash_and_its_beginning() -> None:
    event = cloudtrail_event(
        {**MINIMAL, "requestParameters": {"a": "x" * 40_000}, "responseElements": {"b": "y"}}
    )
    kept = event["metadata"]["request_parameters"]
    assert {name: kept[name] for name in ("truncated", "size", "sha256")} == {
        "truncated": True,
        "size": 40_008,
        "sha256": "f6498756322d9fe67d73ad2e12994651253c612d5705252616543edda4c15b99",
    }
    assert kept["beginning"].startswith('{"a":"xxx')
    assert event["metadata"]["response_elements"] == {"b": "y"}
    body_of(event)


@given(
    st.dictionaries(
        st.sampled_from(["requestParameters", "responseElements", "additionalEventData"]), json_values
    )
)
def test_whatever_a_service_reports_the_event_is_valid(fields: dict[str, Any]) -> None:
    event = cloudtrail_event({**MINIMAL, **fields})
    assert body_of(event) == independently_encoded(event)
