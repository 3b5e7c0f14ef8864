"""What a reader asks for, and the place in a log where a page starts.

Lists are ordered by `(received_at, sequence)`. That pair never repeats within a tenant and never falls behind what
was already committed, so a page that starts behind the last event seen neither skips nor repeats one, whatever
arrives meanwhile.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import Final

import msgspec

from audit_core.rfc3339 import EARLIEST_US, LATEST_US
from audit_core.schema import MAX_INTEGER

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
NO_SEQUENCE: Final = -1
PAST_ALL_SEQUENCES: Final = MAX_INTEGER


class Order(Enum):
    """Which way a list runs."""

    ASCENDING = "asc"
    DESCENDING = "desc"


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an event must match: of each column that is named here, one of the values; of time, the span.

    `received_from` is inclusive, `received_to` exclusive, both in µs since 1970.
    """

    event_type: tuple[str, ...] = ()
    action: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    severity: tuple[str, ...] = ()
    actor_id: tuple[str, ...] = ()
    actor_type: tuple[str, ...] = ()
    target_id: tuple[str, ...] = ()
    target_type: tuple[str, ...] = ()
    correlation_id: tuple[str, ...] = ()
    service: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    received_from: int | None = None
    received_to: int | None = None


FILTERED_COLUMNS: Final = tuple(
    name for name in Filters.__struct_fields__ if not name.startswith("received_")
)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """One request for a page. `cursor` is the sealed token, not opened yet."""

    filters: Filters = Filters()
    order: Order = Order.DESCENDING
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one event in its tenant's log, as lists are ordered. `received_at` in µs."""

    received_at: int
    sequence: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page lies: `lower` <= received_at <= `upper`, in µs.

    At the bound it starts from (`lower` when ascending, `upper` when descending), only events beyond `sequence`.
    """

    lower: int
    upper: int
    sequence: int


def span(search: Search, after: Position | None) -> Span:
    """Return where the page behind `after` lies; the first page for None."""
    filters = search.filters
    lower = EARLIEST_US if filters.received_from is None else filters.received_from
    upper = LATEST_US if filters.received_to is None else filters.received_to - 1
    if search.order is Order.ASCENDING:
        if after is None:
            return Span(lower=lower, upper=upper, sequence=NO_SEQUENCE)
        return Span(lower=after.received_at, upper=upper, sequence=after.sequence)
    if after is None:
        return Span(lower=lower, upper=upper, sequence=PAST_ALL_SEQUENCES)
    return Span(lower=lower, upper=after.received_at, sequence=after.sequence)


def filters_digest(filters: Filters) -> bytes:
    """Return the 32 bytes that a cursor carries, so that it goes on with these filters and no others."""
    return hashlib.sha256(msgspec.json.encode(filters, order="deterministic")).digest()
