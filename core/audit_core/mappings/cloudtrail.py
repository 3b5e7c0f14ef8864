"""AWS CloudTrail records (event version 1.08 and later) as events.

eventID → id                       eventSource, eventName → event_type aws.<service>.<name>, action
errorCode → outcome                eventTime → occurred_at
userIdentity → actor               resources, else requestParameters → targets
eventSource, awsRegion → source    sourceIPAddress, userAgent, requestID, sharedEventID → context
everything else → metadata, under its own name in snake case
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from audit_core.columns import normalised_ip
from audit_core.mappings.aws_actors import actor_of, session_of
from audit_core.mappings.aws_targets import targets_of
from audit_core.mappings.fitting import fitting_metadata, short_text

_SERVICE_SUFFIX: Final = ".amazonaws.com"
_NOT_IN_TYPE: Final = re.compile(r"[^A-Za-z0-9_.:-]+")
_DENIED: Final = re.compile(r"AccessDenied|Unauthori[sz]ed|NotAuthori[sz]ed|Forbidden|AuthorizationError")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MAX_TYPE_CHARS: Final = 128

_PLACED: Final = {
    "awsRegion": 128,
    "eventID": 128,
    "eventName": 64,
    "eventSource": 128,
    "eventTime": 64,
    "requestID": 256,
    "sharedEventID": 256,
    "sourceIPAddress": 256,
    "userAgent": 1024,
}
"""What has a field of its own in the event, by the field's length; what does not fit stays in the metadata."""


def cloudtrail_event(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of one record, as the body of a post. Fields that the record lacks are absent."""
    placed = {name: short_text(record.get(name), max_chars) for name, max_chars in _PLACED.items()}
    if placed["sourceIPAddress"] is not None and normalised_ip(placed["sourceIPAddress"]) is None:
        placed["sourceIPAddress"] = None  # the name of a service that calls for itself
    identity = record.get("userIdentity") or {}
    targets, complete = targets_of(record)
    event = {
        "id": placed["eventID"],
        "event_type": _event_type(record),
        "action": placed["eventName"],
        "outcome": _outcome(record),
        "occurred_at": placed["eventTime"],
        "actor": actor_of(identity),
        "targets": targets,
        "source": _present(service=placed["eventSource"], region=placed["awsRegion"]),
        "context": _present(
            ip=placed["sourceIPAddress"],
            user_agent=placed["userAgent"],
            request_id=placed["requestID"],
            correlation_id=placed["sharedEventID"],
            session_id=session_of(identity),
        ),
        "metadata": fitting_metadata(_metadata(record, placed, resources=not complete)),
    }
    return {name: part for name, part in event.items() if part}


def _present(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


def _event_type(record: Mapping[str, Any]) -> str:
    source, name = record.get("eventSource") or "unknown", record.get("eventName") or "unknown"
    text = f"aws.{str(source).removesuffix(_SERVICE_SUFFIX)}.{name}"
    return _NOT_IN_TYPE.sub("-", text)[:_MAX_TYPE_CHARS]


def _outcome(record: Mapping[str, Any]) -> str:
    code = record.get("errorCode")
    if code:
        return "denied" if _DENIED.search(str(code)) else "failure"
    # A sign-in that fails carries no error code, only its answer.
    answer = record.get("responseElements")
    failed = isinstance(answer, Mapping) and answer.get("ConsoleLogin") == "Failure"
    return "failure" if failed else "success"


def _metadata(
    record: Mapping[str, Any], placed: Mapping[str, str | None], *, resources: bool
) -> dict[str, Any]:
    return {
        _snake(name): value
        for name, value in record.items()
        if value is not None and placed.get(name) is None and (name != "resources" or resources)
    }


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()
