"""The canonical event: its fields, their types and their limits.

Fields stand in alphabetical order, because the encoder writes them in the order given here and canonical bytes
have sorted keys. `None` means absent; a null that a caller sends for one of these fields means absent too. What
is free-form (`metadata`, `attributes`, `geo`, `old`, `new`) keeps its nulls.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

Outcome: TypeAlias = Literal["success", "failure", "denied", "unknown"]
Severity: TypeAlias = Literal["debug", "info", "notice", "warning", "error", "critical"]
ActorType: TypeAlias = Literal["user", "service_account", "api_key", "system", "agent", "anonymous"]
Classification: TypeAlias = Literal["public", "internal", "confidential", "restricted"]

OUTCOMES: Final[tuple[str, ...]] = get_args(Outcome)
SEVERITIES: Final[tuple[str, ...]] = get_args(Severity)
ACTOR_TYPES: Final[tuple[str, ...]] = get_args(ActorType)
CLASSIFICATIONS: Final[tuple[str, ...]] = get_args(Classification)

MAX_INTEGER: Final = 2**63 - 1
MIN_INTEGER: Final = -(2**63)
MAX_METADATA_KEY_BYTES: Final = 128

# `$` alone lets a newline pass behind it in Python; the look-ahead does not, and JSON Schema reads it alike.
_END: Final = r"$(?!\n)"
_EVENT_TYPE: Final = rf"^[A-Za-z][A-Za-z0-9_.:-]*{_END}"
EVENT_TYPE_FORM: Final = re.compile(_EVENT_TYPE)

Text64: TypeAlias = Annotated[str, Meta(max_length=64)]
Text128: TypeAlias = Annotated[str, Meta(max_length=128)]
Text256: TypeAlias = Annotated[str, Meta(max_length=256)]
Text320: TypeAlias = Annotated[str, Meta(max_length=320)]
Text512: TypeAlias = Annotated[str, Meta(max_length=512)]
Text1024: TypeAlias = Annotated[str, Meta(max_length=1024)]
Text2048: TypeAlias = Annotated[str, Meta(max_length=2048)]
Text4096: TypeAlias = Annotated[str, Meta(max_length=4096)]
EventId: TypeAlias = Annotated[str, Meta(max_length=128, pattern=rf"^[A-Za-z0-9._:-]+{_END}")]
EventType: TypeAlias = Annotated[str, Meta(max_length=128, pattern=_EVENT_TYPE)]
TraceId: TypeAlias = Annotated[str, Meta(pattern=rf"^[0-9A-Fa-f]{{32}}{_END}")]
SpanId: TypeAlias = Annotated[str, Meta(pattern=rf"^[0-9A-Fa-f]{{16}}{_END}")]
JsonPointer: TypeAlias = Annotated[str, Meta(max_length=1024, pattern=rf"^(?:/(?:[^~/]|~[01])*)*{_END}")]
Positive: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Labels: TypeAlias = Annotated[dict[Annotated[str, Meta(max_length=63)], Text256], Meta(max_length=32)]
Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Meta(max_length=MAX_METADATA_KEY_BYTES)], Any], Meta(max_length=256)
]


class Part(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """Base of the objects inside an event. Mutable, since aliases fill in what the canonical form lacks."""


class Principal(Part, kw_only=True):
    """Whom an actor acted for."""

    id: Text256 | None = None
    name: Text256 | None = None
    type: ActorType | None = None


class Actor(Part, kw_only=True):
    """Who did it."""

    auth_method: Text128 | None = None
    email: Text320 | None = None
    groups: Annotated[list[Text256], Meta(max_length=64)] | None = None
    id: Text256 | None = None
    name: Text256 | None = None
    on_behalf_of: Principal | None = None
    type: ActorType | None = None


class Target(Part, kw_only=True):
    """What it was done to. `attributes` is free-form."""

    attributes: dict[str, Any] | None = None
    id: Text512 | None = None
    name: Text256 | None = None
    type: Text128 | None = None


class Source(Part, kw_only=True):
    """Which software reports it."""

    component: Text128 | None = None
    environment: Text128 | None = None
    instance: Text128 | None = None
    region: Text128 | None = None
    service: Text128 | None = None
    version: Text128 | None = None


class Context(Part, kw_only=True):
    """From where and in which course of things. `ip` is text as sent; `geo` is free-form."""

    causation_id: Text256 | None = None
    correlation_id: Text256 | None = None
    geo: dict[str, Any] | None = None
    ip: Text256 | None = None
    request_id: Text256 | None = None
    session_id: Text256 | None = None
    span_id: SpanId | None = None
    trace_id: TraceId | None = None
    user_agent: Text1024 | None = None


class Change(Part, kw_only=True):
    """One changed value: `path` is a JSON pointer (RFC 6901); `old` and `new` are any JSON, null included."""

    new: Any | UnsetType = UNSET
    old: Any | UnsetType = UNSET
    path: JsonPointer


class Producer(Part, kw_only=True):
    """The caller's own numbering and signature, kept as stated."""

    id: Text128 | None = None
    seq: Count | None = None
    sig: Text4096 | None = None


class Event(Part, kw_only=True):
    """One audit event. `id` is the caller's and never part of the canonical bytes."""

    action: Text64 | None = None
    actor: Actor | None = None
    changes: Annotated[list[Change], Meta(max_length=100)] | None = None
    classification: Classification | None = None
    context: Context | None = None
    description: Text2048 | None = None
    event_type: EventType | None = None
    id: EventId | None = None
    labels: Labels | None = None
    metadata: Metadata | None = None
    occurred_at: Text64 | None = None
    outcome: Outcome | None = None
    producer: Producer | None = None
    reason: Text1024 | None = None
    regulation: Annotated[list[Text64], Meta(max_length=16)] | None = None
    schema_version: Positive | None = None
    severity: Severity | None = None
    source: Source | None = None
    subjects: Annotated[list[Text256], Meta(max_length=8)] | None = None
    targets: Annotated[list[Target], Meta(max_length=16)] | None = None
