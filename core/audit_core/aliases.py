"""The flat and older names that callers send, and what they mean in the canonical event.

An alias beside its canonical field must say the same, else the event is refused at the alias. An alias only adds
what is absent: `user_id` beside an `actor` with that id changes nothing, so an event that was read back (canonical
and flat names) and is sent again has the bytes it had.

    event_id, audit_id             id                   type, else action         event_type
    user_id, user                  actor (type user)    resource_id/_type, target targets[0]
    timestamp, time, created       occurred_at          service_name, component   source
    ip_address, user_agent, …      context              message                   description
    version (text / integer)       source.version / schema_version
    status                         outcome, or severity for warning and info
    is_failure                     outcome              crud                      action
    fields                         labels               old, new                  changes[0]

`tenant_id` is no part of the event: the caller's credential names the tenant, and may only be confirmed.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from msgspec import UNSET, Meta

from audit_core.canonical import canonical_json
from audit_core.errors import InvalidEvent
from audit_core.rfc3339 import is_time
from audit_core.schema import (
    EVENT_TYPE_FORM,
    Actor,
    Change,
    Context,
    Event,
    EventId,
    EventType,
    Labels,
    Outcome,
    Part,
    Positive,
    Severity,
    Source,
    Target,
    Text64,
    Text128,
    Text256,
    Text512,
    Text1024,
    Text2048,
    TraceId,
)

P = TypeVar("P", bound=Part)
V = TypeVar("V")

_OUTCOME_OF_STATUS: Final[dict[str, Outcome]] = {
    "success": "success",
    "error": "failure",
    "failure": "failure",
    "failed": "failure",
    "denied": "denied",
}
_SEVERITY_OF_STATUS: Final[dict[str, Severity]] = {"warning": "warning", "info": "info"}
STATUSES: Final = (*_OUTCOME_OF_STATUS, *_SEVERITY_OF_STATUS)
_ACTION_OF_CRUD: Final = {"c": "create", "r": "read", "u": "update", "d": "delete"}
CRUD: Final = tuple(_ACTION_OF_CRUD)


class SentEvent(Event, kw_only=True):
    """An event as a caller may send it. `settle` empties the aliases, which leaves the canonical event."""

    audit_id: EventId | None = None
    component: Text128 | None = None
    correlation_id: Text256 | None = None
    created: Text64 | None = None
    crud: Literal["c", "r", "u", "d"] | None = None
    event_id: EventId | None = None
    fields: Labels | None = None
    ip_address: Text256 | None = None
    is_failure: bool | None = None
    message: Text2048 | None = None
    new: Any = None
    old: Any = None
    request_id: Text256 | None = None
    resource_id: Text512 | None = None
    resource_type: Text128 | None = None
    service_name: Text128 | None = None
    session_id: Text256 | None = None
    status: Literal["success", "error", "failure", "failed", "denied", "warning", "info"] | None = None
    target: Target | None = None
    tenant_id: Text128 | None = None
    time: Text64 | None = None
    timestamp: Text64 | None = None
    trace_id: TraceId | None = None
    type: EventType | None = None
    user: Actor | None = None
    user_agent: Text1024 | None = None
    user_id: Text256 | None = None
    version: Annotated[str, Meta(max_length=128)] | Positive | None = None


_Names: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of an alias and the field it stands for."""

_ID_NAMES: Final[_Names] = (("event_id", "id"), ("audit_id", "id"))
_TIME_NAMES: Final[_Names] = (
    ("timestamp", "occurred_at"),
    ("time", "occurred_at"),
    ("created", "occurred_at"),
)
_OTHER_NAMES: Final[_Names] = (("message", "description"), ("fields", "labels"))
_ACTOR_NAMES: Final[_Names] = (("user_id", "id"),)
_TARGET_NAMES: Final[_Names] = (("resource_id", "id"), ("resource_type", "type"))
_SOURCE_NAMES: Final[_Names] = (("service_name", "service"), ("component", "component"))
_CONTEXT_NAMES: Final[_Names] = (
    ("ip_address", "ip"),
    ("user_agent", "user_agent"),
    ("session_id", "session_id"),
    ("correlation_id", "correlation_id"),
    ("request_id", "request_id"),
    ("trace_id", "trace_id"),
)


def settle(sent: SentEvent) -> None:  # noqa: C901 - one line per group, asked only where a group is used
    """Move what the aliases say into the canonical fields.

    Raises InvalidEvent where two of them disagree, and for a time that is none.
    """
    if sent.event_type is None or sent.type is not None or sent.crud is not None:
        _settle_type(sent)
    if sent.user_id is not None or sent.user is not None:
        _settle_actor(sent)
    if sent.resource_id is not None or sent.resource_type is not None or sent.target is not None:
        _settle_target(sent)
    if (
        sent.ip_address is not None
        or sent.user_agent is not None
        or sent.session_id is not None
        or sent.correlation_id is not None
        or sent.request_id is not None
        or sent.trace_id is not None
    ):
        _settle_context(sent)
    if sent.service_name is not None or sent.component is not None or sent.version is not None:
        _settle_source(sent)
    if sent.occurred_at is not None:
        _check_time(sent.occurred_at, "/occurred_at")
    if sent.timestamp is not None or sent.time is not None or sent.created is not None:
        _settle_time(sent)
    if sent.status is not None or sent.is_failure is not None:
        _settle_outcome(sent)
    if sent.event_id is not None or sent.audit_id is not None:
        _move(sent, _ID_NAMES, sent, "")
    if sent.message is not None or sent.fields is not None:
        _move(sent, _OTHER_NAMES, sent, "")
    if sent.old is not None or sent.new is not None:
        _settle_change(sent)


def _agreed(canonical: V | None, alias: V, path: str, canonical_path: str) -> V:
    if canonical is not None and canonical != alias:
        raise InvalidEvent(path, f"contradicts {canonical_path}")
    return alias


def _move(sent: SentEvent, names: _Names, part: Part, part_path: str) -> None:
    for alias, field in names:
        value = getattr(sent, alias)
        if value is not None:
            present = getattr(part, field)
            if present is not None and present != value:
                raise InvalidEvent(f"/{alias}", f"contradicts {part_path}/{field}")
            setattr(part, field, value)
            setattr(sent, alias, None)


def _filled(canonical: P | None, alias: P, alias_path: str, canonical_path: str) -> P:
    """Give a part the fields that only its alias has."""
    if canonical is None:
        return alias
    for field in alias.__struct_fields__:
        ours, theirs = getattr(canonical, field), getattr(alias, field)
        if theirs is None:
            continue
        # By their bytes: for Python 1, 1.0 and True are one value, in JSON they are three.
        if ours is not None and canonical_json(ours) != canonical_json(theirs):
            raise InvalidEvent(f"{alias_path}/{field}", f"contradicts {canonical_path}/{field}")
        setattr(canonical, field, theirs)
    return canonical


def _settle_type(sent: SentEvent) -> None:
    if sent.type is not None:
        sent.event_type = _agreed(sent.event_type, sent.type, "/type", "/event_type")
        sent.type = None
    if sent.event_type is None:
        sent.event_type = _type_of_action(sent.action)
        if sent.crud is not None:
            # Callers that send both name the event by `action` and the action by `crud`.
            sent.action = None
    if sent.crud is not None:
        sent.action = _agreed(sent.action, _ACTION_OF_CRUD[sent.crud], "/crud", "/action")
        sent.crud = None


def _type_of_action(action: str | None) -> str:
    if action is None:
        raise InvalidEvent("/event_type", "required")
    if EVENT_TYPE_FORM.fullmatch(action) is None:
        raise InvalidEvent("/action", "not an event type, for which it stands when event_type is absent")
    return action


# Most callers of the flat names use nothing else, so there the part is made in one go.


def _settle_actor(sent: SentEvent) -> None:
    if sent.actor is None and sent.user is None:
        sent.actor, sent.user_id = Actor(id=sent.user_id, type="user"), None
        return
    named = sent.actor is not None and sent.actor.id is not None
    if sent.user is not None:
        sent.actor = _filled(sent.actor, sent.user, "/user", "/actor")
        sent.user = None
    sent.actor = sent.actor or Actor()
    _move(sent, _ACTOR_NAMES, sent.actor, "/actor")
    if not named and sent.actor.id is not None and sent.actor.type is None:
        sent.actor.type = "user"


def _settle_target(sent: SentEvent) -> None:
    if not sent.targets and sent.target is None:
        sent.targets = [Target(id=sent.resource_id, type=sent.resource_type)]
        sent.resource_id = sent.resource_type = None
        return
    first, *others = sent.targets or [Target()]
    if sent.target is not None:
        first = _filled(first, sent.target, "/target", "/targets/0")
        sent.target = None
    _move(sent, _TARGET_NAMES, first, "/targets/0")
    sent.targets = [first, *others]


def _settle_context(sent: SentEvent) -> None:
    if sent.context is not None:
        _move(sent, _CONTEXT_NAMES, sent.context, "/context")
        return
    sent.context = Context(
        correlation_id=sent.correlation_id,
        ip=sent.ip_address,
        request_id=sent.request_id,
        session_id=sent.session_id,
        trace_id=sent.trace_id,
        user_agent=sent.user_agent,
    )
    sent.correlation_id = sent.ip_address = sent.request_id = None
    sent.session_id = sent.trace_id = sent.user_agent = None


def _settle_source(sent: SentEvent) -> None:
    if isinstance(sent.version, int):
        sent.schema_version = _agreed(sent.schema_version, sent.version, "/version", "/schema_version")
        sent.version = None
        if sent.service_name is None and sent.component is None:
            return
    sent.source = sent.source or Source()
    _move(sent, _SOURCE_NAMES, sent.source, "/source")
    if sent.version is not None:
        sent.source.version = _agreed(sent.source.version, sent.version, "/version", "/source/version")
        sent.version = None


def _check_time(text: str, path: str) -> None:
    if not is_time(text):
        raise InvalidEvent(path, "not an RFC 3339 time with a zone, such as 2026-01-31T09:30:00.123Z")


def _settle_time(sent: SentEvent) -> None:
    for alias, _ in _TIME_NAMES:
        text = getattr(sent, alias)
        if text is not None:
            _check_time(text, f"/{alias}")
    _move(sent, _TIME_NAMES, sent, "")


def _settle_outcome(sent: SentEvent) -> None:
    if sent.status in _SEVERITY_OF_STATUS:
        sent.severity = _agreed(sent.severity, _SEVERITY_OF_STATUS[sent.status], "/status", "/severity")
    elif sent.status is not None:
        sent.outcome = _agreed(sent.outcome, _OUTCOME_OF_STATUS[sent.status], "/status", "/outcome")
    if sent.is_failure is not None:
        stated: Outcome = "failure" if sent.is_failure else "success"
        sent.outcome = _agreed(sent.outcome, stated, "/is_failure", "/outcome")
    sent.status = sent.is_failure = None


def _settle_change(sent: SentEvent) -> None:
    change = Change(path="", old=_or_unset(sent.old), new=_or_unset(sent.new))
    if sent.changes is not None and _bytes_of(sent.changes) != _bytes_of([change]):
        raise InvalidEvent("/old" if sent.old is not None else "/new", "contradicts /changes")
    sent.changes, sent.old, sent.new = [change], None, None


def _or_unset(value: Any) -> Any:
    return UNSET if value is None else value


def _bytes_of(changes: list[Change]) -> list[bytes]:
    return [canonical_json(change) for change in changes]
