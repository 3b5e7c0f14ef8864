"""From the names and values of a query string to a search: every parameter known, every value possible.

A parameter that is not known, or a value that no event can have, is refused and not ignored: an auditor who mistypes
a filter must not take a wrong list for the right one. A filter may be given more than once, or under several of its
names, and then takes any of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from audit_core.columns import normalised_ip
from audit_core.errors import InvalidQuery
from audit_core.query import DEFAULT_LIMIT, MAX_LIMIT, Filters, Order, Search
from audit_core.rfc3339 import microseconds
from audit_core.schema import ACTOR_TYPES, EVENT_TYPE_FORM, OUTCOMES, SEVERITIES

MAX_VALUES: Final = 64
"""Of one column in one search."""


class FilterParameter(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that filters by a column. `also` holds its other names, `values` its closed set if it has one."""

    name: str
    column: str
    description: str
    example: str
    max_chars: int = 256
    also: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


FILTER_PARAMETERS: Final = (
    FilterParameter(
        name="event_type",
        column="event_type",
        description="What happened, in full.",
        example="user_login",
        max_chars=128,
    ),
    FilterParameter(
        name="user_id",
        column="actor_id",
        description="Who did it: the actor's id.",
        example="u-1042",
        also=("actor_id", "actor"),
    ),
    FilterParameter(
        name="actor_type",
        column="actor_type",
        description="What kind of actor did it.",
        example="service_account",
        values=ACTOR_TYPES,
    ),
    FilterParameter(
        name="resource_id",
        column="target_id",
        description="What it was done to: the first target's id.",
        example="invoice-77",
        max_chars=512,
        also=("target_id", "target"),
    ),
    FilterParameter(
        name="resource_type",
        column="target_type",
        description="What kind of thing it was done to: the first target's type.",
        example="invoice",
        max_chars=128,
        also=("target_type",),
    ),
    FilterParameter(
        name="action",
        column="action",
        description="The verb; where the event has none, the last part of its event_type.",
        example="delete",
        max_chars=128,
    ),
    FilterParameter(
        name="outcome",
        column="outcome",
        description="How it ended; `unknown` where the event does not say.",
        example="denied",
        values=OUTCOMES,
    ),
    FilterParameter(
        name="severity",
        column="severity",
        description="How grave it is; `info` where the event does not say.",
        example="warning",
        values=SEVERITIES,
    ),
    FilterParameter(
        name="service",
        column="service",
        description="Which software reported it.",
        example="billing",
        max_chars=128,
        also=("service_name",),
    ),
    FilterParameter(
        name="correlation_id",
        column="correlation_id",
        description="The course of things that it belongs to.",
        example="req-5f0c",
    ),
    FilterParameter(
        name="ip",
        column="ip",
        description="The address it came from, in any notation of it.",
        example="2001:db8::7",
        also=("ip_address",),
    ),
)

_BY_NAME: Final = {name: filter_ for filter_ in FILTER_PARAMETERS for name in (filter_.name, *filter_.also)}
_SINGLE: Final = frozenset({"from", "to", "order", "limit", "cursor"})
_BY_CURSOR: Final = (
    "not a parameter: pages follow each other by `cursor`, which takes the `next_cursor` of the page before,"
    " and `limit` is the number of events on a page"
)
_BY_TIME: Final = "not a parameter: `from` (inclusive) and `to` (exclusive) bound received_at"
_ADVICE: Final = dict.fromkeys(("page", "page_size", "per_page", "size", "offset", "skip"), _BY_CURSOR) | (
    dict.fromkeys(
        ("start", "end", "since", "until", "start_time", "end_time", "start_date", "end_date"), _BY_TIME
    )
)


def parse_search(parameters: Iterable[tuple[str, str]]) -> Search:
    """Return the search that decoded parameters ask for. Raises InvalidQuery."""
    values: dict[str, set[str]] = {}
    singles: dict[str, str] = {}
    for name, text in parameters:
        if name in _SINGLE:
            if name in singles:
                raise InvalidQuery(name, "given more than once")
            singles[name] = text
        else:
            filter_ = _filter_named(name)
            column = values.setdefault(filter_.column, set())
            column.add(_value(filter_, name, text))
            if len(column) > MAX_VALUES:
                raise InvalidQuery(name, f"more than {MAX_VALUES} values")
    received_from, received_to = _time(singles, "from"), _time(singles, "to")
    if received_from is not None and received_to is not None and received_from >= received_to:
        raise InvalidQuery("to", "not later than `from`")
    return Search(
        filters=Filters(
            **{column: tuple(sorted(any_of)) for column, any_of in values.items()},
            received_from=received_from,
            received_to=received_to,
        ),
        order=_order(singles.get("order")),
        limit=_limit(singles.get("limit")),
        cursor=singles.get("cursor"),
    )


def refuse_parameters(parameters: Iterable[tuple[str, str]]) -> None:
    """Raise InvalidQuery for any parameter, where a path takes none."""
    for name, _ in parameters:
        raise InvalidQuery(_shown(name), "not a parameter here")


def _filter_named(name: str) -> FilterParameter:
    found = _BY_NAME.get(name)
    if found is None:
        raise InvalidQuery(_shown(name), _ADVICE.get(name, "not a parameter"))
    return found


def _shown(name: str) -> str:
    return name if len(name) <= 64 else name[:63] + "…"


def _value(filter_: FilterParameter, name: str, text: str) -> str:
    if filter_.values and text not in filter_.values:
        raise InvalidQuery(name, f"must be one of {', '.join(filter_.values)}")
    if not text:
        raise InvalidQuery(name, "empty")
    if len(text) > filter_.max_chars:
        raise InvalidQuery(name, f"longer than {filter_.max_chars} characters")
    if "\0" in text:
        raise InvalidQuery(name, "contains NUL")
    return _FORMS[filter_.column](name, text) if filter_.column in _FORMS else text


def _event_type(name: str, text: str) -> str:
    if EVENT_TYPE_FORM.fullmatch(text) is None:
        raise InvalidQuery(name, "not an event type: letters, digits and `_ . : -`, a letter first")
    return text


def _ip(name: str, text: str) -> str:
    address = normalised_ip(text)
    if address is None:
        raise InvalidQuery(name, "not an IP address")
    return address


_FORMS: Final[dict[str, Callable[[str, str], str]]] = {"event_type": _event_type, "ip": _ip}


def _time(singles: dict[str, str], name: str) -> int | None:
    text = singles.get(name)
    if text is None:
        return None
    # An offset's `+` that the caller did not encode arrives as a space, and a time has no other there.
    at = microseconds(text[:-6] + "+" + text[-5:] if text[-6:-5] == " " else text)
    if at is None:
        raise InvalidQuery(name, "not an RFC 3339 time with a zone, such as 2026-01-31T09:30:00Z")
    return at


def _order(text: str | None) -> Order:
    if text is None:
        return Order.DESCENDING
    try:
        return Order(text)
    except ValueError:
        raise InvalidQuery("order", "must be asc or desc") from None


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT))):
        raise InvalidQuery("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    limit = int(text)
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidQuery("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return limit
