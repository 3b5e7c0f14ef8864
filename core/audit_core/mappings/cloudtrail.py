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

# What has a field of its own in the event, and is repeated in the metadata only if it does not fit there.
_PLACED: Final = {
    "awsRegion",
    "eventID",
    "eventName",
    "eventSource",
    "eventTime",
    "requestID",
    "sharedEventID",
    "sourceIPAddress",
    "userAgent",
}


def cloudtrail_event(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of one record, as the body of a post. Fields that the record lacks are absent."""
    identity = record.get("userIdentity") or {}
    targets, complete = targets_of(record)
    top = _present(
        id=short_text(record.get("eventID"), 128),
        action=short_text(record.get("eventName"), 64),
        occurred_at=short_text(record.get("eventTime"), 64),
    )
    source = _present(
        service=short_text(record.get("eventSource"), 128), region=short_text(record.get("awsRegion"), 128)
    )
    context = _context(record, identity)
    placed = {*top.values(), *source.values(), *context.values()}
    parts = {
        "targets": targets,
        "source": source,
        "context": context,
        "metadata": fitting_metadata(_metadata(record, placed, resources=not complete)),
    }
    return {
        **top,
        "event_type": _event_type(record),
        "outcome": _outcome(record),
        "actor": actor_of(identity),
        **{name: part for name, part in parts.items() if part},
    }


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


def _context(record: Mapping[str, Any], identity: Mapping[str, Any]) -> dict[str, str]:
    address = short_text(record.get("sourceIPAddress"), 256)
    return _present(
        # A service that calls for itself states its name instead of an address.
        ip=address if address is not None and normalised_ip(address) is not None else None,
        user_agent=short_text(record.get("userAgent"), 1024),
        request_id=short_text(record.get("requestID"), 256),
        correlation_id=short_text(record.get("sharedEventID"), 256),
        session_id=session_of(identity),
    )


def _metadata(record: Mapping[str, Any], placed: set[str], *, resources: bool) -> dict[str, Any]:
    return {
        _snake(name): value
        for name, value in record.items()
        if value is not None
        and not (name in _PLACED and isinstance(value, str) and value in placed)
        and (name != "resources" or resources)
    }


def _snake(name: str) -> str:
    return _HUMP.sub("_", name).lower()
