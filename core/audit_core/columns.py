"""The columns that a reader can search by, derived from canonical bytes and from nothing else.

The writer fills them, the sealer derives them again and compares, so they are a pure function that never fails on
an accepted event. Defaults live here and not in the bytes: action is the last segment of the event type, outcome
`unknown`, severity `info`.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from audit_core.rfc3339 import microseconds

_OCTETS: Final = frozenset(map(str, range(256)))
_MAX_IP_CHARS: Final = 45


class Promoted(NamedTuple):
    """One row's worth of columns, in their order; a tuple, because the writer splices it into a row.

    `occurred_at_us` counts µs since 1970. `ip` is in normal form, and None when what was sent is no address.
    """

    event_type: str
    action: str
    outcome: str
    severity: str
    occurred_at_us: int | None
    actor_id: str | None
    actor_type: str | None
    target_id: str | None
    target_type: str | None
    correlation_id: str | None
    service: str | None
    ip: str | None


COLUMNS: Final = Promoted._fields


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: str | None = None
    type: str | None = None


class _Source(msgspec.Struct, frozen=True, gc=False):
    service: str | None = None


class _Context(msgspec.Struct, frozen=True, gc=False):
    correlation_id: str | None = None
    ip: str | None = None


class _Addresses(msgspec.Struct, frozen=True, gc=False):
    ip: Any = None
    ip_address: Any = None


_NOBODY: Final = _Named()
_NO_SOURCE: Final = _Source()
_NO_CONTEXT: Final = _Context()


class _Searchable(msgspec.Struct, frozen=True, gc=False):
    """What of a canonical event becomes a column; the rest is skipped without being built."""

    event_type: str
    action: str | None = None
    actor: _Named = _NOBODY
    context: _Context = _NO_CONTEXT
    metadata: _Addresses | None = None
    occurred_at: str | None = None
    outcome: str = "unknown"
    severity: str = "info"
    source: _Source = _NO_SOURCE
    targets: tuple[_Named, ...] = ()


_decoder: Final = msgspec.json.Decoder(_Searchable)
_row: Final = tuple.__new__  # what a named tuple's own constructor ends in, without the call in front of it


def promoted(body: bytes | str) -> Promoted:
    """Return the columns of canonical bytes. Raises msgspec.DecodeError only for bytes that are no event."""
    event = _decoder.decode(body)
    target = event.targets[0] if event.targets else _NOBODY
    actor, context = event.actor, event.context
    return _row(
        Promoted,
        (
            event.event_type,
            event.action if event.action is not None else last_segment(event.event_type),
            event.outcome,
            event.severity,
            microseconds(event.occurred_at) if event.occurred_at is not None else None,
            actor.id,
            actor.type,
            target.id,
            target.type,
            context.correlation_id,
            event.source.service,
            _ip(event),
        ),
    )


@lru_cache(maxsize=1024)
def last_segment(event_type: str) -> str:
    """Return what stands behind the last dot or colon; the whole type where nothing does."""
    return event_type[max(event_type.rfind("."), event_type.rfind(":")) + 1 :] or event_type


def _ip(event: _Searchable) -> str | None:
    """Take the address from the context; without one from the metadata, where earlier callers put it."""
    text: Any = event.context.ip
    if text is None and event.metadata is not None:
        text = event.metadata.ip if event.metadata.ip is not None else event.metadata.ip_address
    return normalised_ip(text) if isinstance(text, str) else None


def normalised_ip(text: str) -> str | None:
    """Return an address in its one normal form (IPv4 inside IPv6 as IPv4), or None when it is none."""
    if text.count(".") == 3 and _OCTETS.issuperset(text.split(".")):
        return text
    if len(text) > _MAX_IP_CHARS or "%" in text:  # a zone means something on one machine only
        return None
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)
