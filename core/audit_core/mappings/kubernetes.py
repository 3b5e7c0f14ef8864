"""Kubernetes audit events (audit.k8s.io/v1) as events.

auditID, stage → id                             objectRef, verb → event_type k8s.<group>.<resource>[.<subresource>].<verb>
verb → action                                   responseStatus, stage, annotations → outcome, severity
stageTimestamp → occurred_at                    user → actor, impersonatedUser → actor.on_behalf_of
objectRef, else requestURI → targets            the last of sourceIPs, userAgent, auditID → context
everything else → metadata, under its own name in snake case

The API server tells of one request at several stages with one auditID, so an id is `<auditID>:<stage>`: a list that
its webhook sends again adds nothing. A record that is no audit event becomes `k8s.unmapped` and is kept as text or
hash, since a webhook that refuses one event is sent, and in the end loses, all that stand beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from audit_core.columns import normalised_ip
from audit_core.errors import EventTooLarge, InvalidEvent
from audit_core.event import DEFAULT_LIMITS, EventLimits, canonical_event
from audit_core.mappings.fitting import short_text
from audit_core.mappings.json_pieces import members
from audit_core.mappings.kubernetes_actors import actor_of, left_of_impersonated, left_of_user
from audit_core.mappings.kubernetes_metadata import Member, excerpt, kept, member, text_of
from audit_core.mappings.kubernetes_outcomes import outcome_of, severity_of
from audit_core.mappings.kubernetes_targets import holds_reference, target_of
from audit_core.refusal import READ_ERRORS
from audit_core.rfc3339 import is_time

UNMAPPED: Final = "k8s.unmapped"
SERVICE: Final = "kubernetes"
STAGES: Final = ("RequestReceived", "ResponseStarted", "ResponseComplete", "Panic")

_ID_FORM: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NOT_IN_TYPE: Final = re.compile(r"[^A-Za-z0-9_.:-]+")
_MAX_TYPE_CHARS: Final = 128
_MAX_AUDIT_ID_CHARS: Final = 256
_SHORT_AUDIT_ID_CHARS: Final = 64
"""A client may choose an auditID of any length; one that is longer than this does not fit the smallest form."""
_REST_OF_EVENT_BYTES: Final = 8192
"""What an event needs besides its metadata, unless somebody is in very many groups."""
_OTHER: Final = "other"
_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NAMES: Final = {
    "kind": "kind",
    "apiVersion": "api_version",
    "level": "level",
    "auditID": "audit_id",
    "stage": "stage",
    "requestURI": "request_uri",
    "verb": "verb",
    "user": "user",
    "impersonatedUser": "impersonated_user",
    "sourceIPs": "source_ips",
    "userAgent": "user_agent",
    "objectRef": "object_ref",
    "responseStatus": "response_status",
    "requestObject": "request_object",
    "responseObject": "response_object",
    "requestReceivedTimestamp": "request_received_timestamp",
    "stageTimestamp": "stage_timestamp",
    "annotations": "annotations",
    "authenticationMetadata": "authentication_metadata",
}


class Mapped(NamedTuple):
    """The event, its JSON, and whether the record was understood."""

    event: dict[str, Any]
    body: bytes
    is_mapped: bool


def kubernetes_event(raw: bytes, limits: EventLimits = DEFAULT_LIMITS) -> Mapped:
    """Return the event of one record, valid under `limits` for any bytes."""
    found = _members(raw)
    complete = found is not None and all(_text(found, name) for name in ("auditID", "stage", "verb"))
    if found is not None and complete:
        mapped = _accepted(_event(found, limits), limits)
        if mapped is not None:
            return Mapped(*mapped, True)
    reason = "does not fit an event" if complete else "not an audit event"
    for event in _unmapped(raw, found or {}, reason):
        mapped = _accepted(event, limits)
        if mapped is not None:
            return Mapped(*mapped, False)
    raise AssertionError(f"the last form fits {limits}")


def _accepted(event: dict[str, Any], limits: EventLimits) -> tuple[dict[str, Any], bytes] | None:
    body = msgspec.json.encode(event)
    try:
        canonical_event(body, limits)
    except (InvalidEvent, EventTooLarge):
        return None
    return event, body


def _members(raw: bytes) -> dict[str, Member] | None:
    try:
        pieces = {name: bytes(value) for name, value in _objects.decode(raw).items()}
    except READ_ERRORS:
        try:
            pieces = members(raw)
        except ValueError:
            return None
    return {name: member(piece) for name, piece in pieces.items()}


def _event(found: Mapping[str, Member], limits: EventLimits) -> dict[str, Any]:
    value = {name: read.value for name, read in found.items()}
    stage, status = value["stage"], value.get("responseStatus")
    user, impersonated = value.get("user"), value.get("impersonatedUser")
    target = target_of(
        value.get("objectRef"), value.get("requestURI") if _text(found, "requestURI") else None
    )
    outcome = outcome_of(stage, status, value.get("annotations"))
    ip = _ip(value.get("sourceIPs"))
    placed = {
        "id": _id(found),
        "event_type": _event_type(value.get("objectRef"), value["verb"]),
        "action": short_text(value["verb"], 64),
        "outcome": outcome,
        "severity": severity_of(stage, status, outcome),
        "occurred_at": _occurred_at(value),
        "actor": actor_of(user, impersonated),
        "targets": [target] if target is not None else None,
        "source": {"service": SERVICE},
        "context": _present(
            ip=ip,
            user_agent=short_text(value.get("userAgent"), 1024),
            correlation_id=short_text(value["auditID"], 256),
        ),
    }
    event = {name: part for name, part in placed.items() if part}
    left = _left(found, event, ip)
    room = min(limits.max_metadata_bytes, max(limits.max_event_bytes - _REST_OF_EVENT_BYTES, 0))
    return {**event, "metadata": kept(left, room)}


def _left(found: Mapping[str, Member], event: Mapping[str, Any], ip: str | None) -> dict[str, Member]:
    """Return what the event does not hold yet, by its name in the metadata."""
    whole = {
        "auditID": event["context"].get("correlation_id") is not None,
        "verb": event.get("action") is not None,
        "userAgent": event["context"].get("user_agent") is not None,
        "sourceIPs": ip is not None and found["sourceIPs"].value == [ip],
        "stageTimestamp": event.get("occurred_at") == _text(found, "stageTimestamp") is not None,
        "objectRef": "objectRef" in found and holds_reference(found["objectRef"].value),
    }
    left: dict[str, Member] = {}
    for name, known in _NAMES.items():
        if name in found and not whole.get(name) and found[name].raw != b"null":
            left[known] = found[name]
    for name, known, rest_of in (
        ("user", "user", left_of_user),
        ("impersonatedUser", "impersonated_user", left_of_impersonated),
    ):
        if name in found and found[name].is_readable:
            _replace(left, known, rest_of(found[name].value))
    unknown = {name: read for name, read in found.items() if name not in _NAMES}
    if unknown:
        left[_OTHER] = member(_joined(unknown))
    return left


def _replace(left: dict[str, Member], name: str, rest: Any) -> None:
    left.pop(name, None)
    if rest is not None:
        left[name] = member(msgspec.json.encode(rest))


def _joined(unknown: Mapping[str, Member]) -> bytes:
    pairs = (msgspec.json.encode(name) + b":" + read.raw for name, read in unknown.items())
    return b"{" + b",".join(pairs) + b"}"


def _unmapped(raw: bytes, found: Mapping[str, Member], reason: str) -> Iterator[dict[str, Any]]:
    """Yield forms of a record that was not understood, the last of them small and harmless whatever it holds."""
    audit_id, stage = _text(found, "auditID"), _text(found, "stage")
    event: dict[str, Any] = {
        "id": _id(found) if audit_id and stage else _hashed(raw),
        "event_type": UNMAPPED,
        "severity": "warning",
        "source": {"service": SERVICE},
    }
    occurred_at = _occurred_at({name: read.value for name, read in found.items()})
    if occurred_at is not None:
        event["occurred_at"] = occurred_at
    told = {"reason": reason, **({"stage": stage} if stage in STAGES else {})}
    for record, longest in (
        (text_of(raw), _MAX_AUDIT_ID_CHARS),
        (excerpt(raw, 512), _MAX_AUDIT_ID_CHARS),
        (excerpt(raw, 0), _SHORT_AUDIT_ID_CHARS),
    ):
        known = short_text(audit_id, longest)
        context = {} if known is None else {"context": {"correlation_id": known}}
        yield {**event, **context, "metadata": {**told, "record": record}}


def _id(found: Mapping[str, Member]) -> str:
    literal = _literal_id(found)
    return literal if _ID_FORM.fullmatch(literal) is not None else _hashed(literal.encode())


def _literal_id(found: Mapping[str, Member]) -> str:
    return f"{found['auditID'].value}:{found['stage'].value}"


def _hashed(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _event_type(reference: Any, verb: str) -> str:
    resource = reference.get("resource") if isinstance(reference, Mapping) else None
    if not isinstance(resource, str) or not resource:
        return _typed("k8s.nonresource", f".{verb}")
    group, subresource = reference.get("apiGroup"), reference.get("subresource")
    told = (
        f".{resource}.{subresource}.{verb}"
        if isinstance(subresource, str) and subresource
        else f".{resource}.{verb}"
    )
    return _typed(f"k8s.{group if isinstance(group, str) and group else 'core'}", told)


def _typed(head: str, tail: str) -> str:
    """Return both as an event type; what is too long is cut in the middle, where the group ends."""
    head, tail = _NOT_IN_TYPE.sub("-", head), _NOT_IN_TYPE.sub("-", tail)
    tail = tail[-(_MAX_TYPE_CHARS - len("k8s.")) :]
    return head[: _MAX_TYPE_CHARS - len(tail)] + tail


def _occurred_at(value: Mapping[str, Any]) -> str | None:
    for name in ("stageTimestamp", "requestReceivedTimestamp"):
        text = short_text(value.get(name), 64)
        if text is not None and is_time(text):
            return text
    return None


def _ip(addresses: Any) -> str | None:
    """Return the last address: the connection's own. Those before it are what the client claims."""
    last = addresses[-1] if isinstance(addresses, list) and addresses else None
    text = short_text(last, 256)
    return text if text is not None and normalised_ip(text) is not None else None


def _text(found: Mapping[str, Member], name: str) -> str | None:
    value = found[name].value if name in found else None
    return value if isinstance(value, str) and value else None


def _present(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}
