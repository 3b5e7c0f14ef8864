"""From a caller's bytes to an event: checked against the schema, aliases settled, in canonical bytes.

Stands on the path of every event, so the common case is one decode, a few looks at attributes and one encode.
What costs a walk through the body (depth, integers, NUL) is done only where a cheap look at the bytes cannot
rule the flaw out.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from audit_core.aliases import SentEvent, settle
from audit_core.canonical import CANONICAL_ORDER, canonical_float
from audit_core.errors import EventTooLarge, InvalidEvent
from audit_core.flaws import flaw_in_value, holds_unfit, nests_deeper, too_deep
from audit_core.malformed import flaw_in_text
from audit_core.pointers import pointer
from audit_core.refusal import READ_ERRORS, refused_or_reread
from audit_core.schema import MAX_METADATA_KEY_BYTES


class EventLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one event may measure. Sizes count canonical bytes; depth counts nested objects and arrays."""

    max_event_bytes: int = 65536
    max_metadata_bytes: int = 32768
    max_depth: int = 16


class CanonicalEvent(msgspec.Struct, frozen=True, gc=False):
    """An accepted event. `id` and `tenant_hint` are what the body said, and no part of the bytes in `body`."""

    id: str | None
    body: bytes
    tenant_hint: str | None


DEFAULT_LIMITS: Final = EventLimits()

# A character takes at most six bytes in JSON (\u00e9); the rest is for white space.
_SENT_PER_CANONICAL: Final = 8
# What is left of a body for the cheap looks: every digit is 0, every opening bracket {, backslashes stay.
_OUTLINE: Final = bytes(
    ord("0" if byte in b"0123456789" else "{" if byte in b"{[" else "\\" if byte == ord("\\") else " ")
    for byte in range(256)
)
_LONG_INTEGER: Final = b"0" * 19

_decoder: Final = msgspec.json.Decoder(SentEvent, float_hook=canonical_float)
_encoder: Final = msgspec.json.Encoder(order=CANONICAL_ORDER)


def canonical_event(
    raw: bytes | memoryview | msgspec.Raw, limits: EventLimits = DEFAULT_LIMITS
) -> CanonicalEvent:
    """Return the event in `raw`. Raises InvalidEvent or EventTooLarge, and nothing else, for any bytes."""
    if len(raw) > _SENT_PER_CANONICAL * limits.max_event_bytes:
        raise EventTooLarge("", len(raw), limits.max_event_bytes)
    try:
        sent = _decoder.decode(raw)
    except READ_ERRORS as error:
        sent = refused_or_reread(
            bytes(raw), error, max_depth=limits.max_depth, max_scan_chars=limits.max_event_bytes
        )
    try:
        return _canonical(sent, raw, limits)
    except RecursionError:
        # Text that only just decoded; whatever handles it next may need one level more than the stack has left.
        raise _nested_too_deep(raw, limits) from None


def _canonical(sent: SentEvent, raw: bytes | memoryview | msgspec.Raw, limits: EventLimits) -> CanonicalEvent:
    settle(sent)
    event_id, tenant_hint = sent.id, sent.tenant_id
    sent.id = sent.tenant_id = None
    body = _encoder.encode(sent)
    if len(body) > limits.max_event_bytes:
        raise EventTooLarge("", len(body), limits.max_event_bytes)
    if sent.metadata is not None:
        _check_metadata(sent.metadata, body, limits)
    outline = body.translate(_OUTLINE)
    deep = outline.count(b"{") > limits.max_depth
    unfit = _LONG_INTEGER in outline or (b"\\" in outline and b"\\u0000" in body)
    if deep or unfit:
        _look_closely(raw, limits, deep=deep, unfit=unfit)
    return CanonicalEvent(event_id, body, tenant_hint)


def _check_metadata(metadata: dict[str, Any], body: bytes, limits: EventLimits) -> None:
    if len(body) > limits.max_metadata_bytes:
        size = len(_encoder.encode(metadata))
        if size > limits.max_metadata_bytes:
            raise EventTooLarge("/metadata", size, limits.max_metadata_bytes)
    if not body.isascii():  # the schema counts characters, which are bytes only there
        for key in metadata:
            if len(key.encode()) > MAX_METADATA_KEY_BYTES:
                raise InvalidEvent(
                    pointer(["metadata", key]), f"its key: more than {MAX_METADATA_KEY_BYTES} bytes"
                )


def _look_closely(
    raw: bytes | memoryview | msgspec.Raw, limits: EventLimits, *, deep: bool, unfit: bool
) -> None:
    """Decide what a glance at the bytes left open: siblings, nanoseconds and escaped backslashes are harmless."""
    sent = msgspec.json.decode(raw)
    if (deep and nests_deeper(sent, limits.max_depth)) or (unfit and holds_unfit(sent)):
        flaw = flaw_in_value(sent, limits.max_depth)
        raise InvalidEvent(flaw.path, flaw.reason)


def _nested_too_deep(raw: bytes | memoryview | msgspec.Raw, limits: EventLimits) -> InvalidEvent:
    flaw = flaw_in_text(bytes(raw).decode(), limits.max_depth, limits.max_event_bytes)
    return InvalidEvent(flaw.path if flaw is not None else "", too_deep(limits.max_depth))
