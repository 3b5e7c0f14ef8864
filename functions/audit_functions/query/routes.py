"""The query function's rows of the route table."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from audit_core.query import DEFAULT_LIMIT, MAX_LIMIT
from audit_core.query_parameters import FILTER_PARAMETERS, FilterParameter
from audit_core.schema import Event, EventId
from audit_functions.web.routes import Content, Parameter, Reply, Route

SEARCH_EVENTS: Final = "searchEvents"
READ_EVENT: Final = "readEvent"
_JSON: Final = "application/json"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What the server adds to an event: when it was accepted, over what, and by whose credential."""

    accepted_at: str
    key_id: str
    principal: str
    transport: str


class LoggedEvent(Event, kw_only=True):
    """An event as readers get it: as it was sent, in canonical fields and flat names, and its place in the log."""

    id: EventId
    tenant: str
    sequence: int
    received_at: str
    envelope: Envelope | None = None
    user_id: str | None = None
    resource_id: str | None = None
    resource_type: str | None = None


class LoggedPage(msgspec.Struct, kw_only=True):
    """Events in order. `next_cursor` is null where the list ends, as far as it has been received."""

    logs: list[LoggedEvent]
    next_cursor: str | None


_EXAMPLE: Final = {
    "id": "01937f4e-7f3b-7c07-b3c1-0d6d2a9a4f10",
    "tenant": "acme",
    "sequence": 1041,
    "received_at": "2026-01-31T09:30:00.123456Z",
    "envelope": {
        "accepted_at": "2026-01-31T09:30:00.121004Z",
        "key_id": "key-1",
        "principal": "acme",
        "transport": "http",
    },
    "actor": {"id": "u-1042", "type": "user"},
    "event_type": "user_login",
    "metadata": {"ip_address": "203.0.113.7"},
    "targets": [{"id": "session-88"}],
    "user_id": "u-1042",
    "resource_id": "session-88",
}


def _filter(parameter: FilterParameter) -> Parameter:
    schema: dict[str, Any] = {"type": "string", "maxLength": parameter.max_chars}
    if parameter.values:
        schema = {"type": "string", "enum": list(parameter.values)}
    also = f" Also as {' or '.join(f'`{name}`' for name in parameter.also)}." if parameter.also else ""
    return Parameter(
        name=parameter.name,
        place="query",
        description=parameter.description + also,
        schema=schema,
        repeatable=True,
        example=parameter.example,
    )


_SEARCH_PARAMETERS: Final = (
    *map(_filter, FILTER_PARAMETERS),
    Parameter(
        name="from",
        place="query",
        description="Only events received at this time or later.",
        schema={"type": "string", "format": "date-time"},
        example="2026-01-31T00:00:00Z",
    ),
    Parameter(
        name="to",
        place="query",
        description="Only events received before this time.",
        schema={"type": "string", "format": "date-time"},
        example="2026-02-01T00:00:00Z",
    ),
    Parameter(
        name="order",
        place="query",
        description="`desc`: newest first. `asc`: oldest first.",
        schema={"type": "string", "enum": ["asc", "desc"], "default": "desc"},
        example="asc",
    ),
    Parameter(
        name="limit",
        place="query",
        description="How many events on a page, at most: one of large events ends after 4 MiB of them.",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        example=10,
    ),
    Parameter(
        name="cursor",
        place="query",
        description="`next_cursor` of the page before. Filters, times and order must be the same; `limit` may differ.",
    ),
)

ROUTES: Final = (
    Route(
        method="GET",
        path="/api/v1/audit/logs",
        operation_id=SEARCH_EVENTS,
        function="query",
        scope="events:read",
        summary="List events",
        description=(
            "Events by the time they were received. A filter given more than once takes any of its values; different"
            " filters must all hold. While `next_cursor` is not null, there is another page: walking the pages"
            " neither skips nor repeats an event, whatever arrives meanwhile."
        ),
        parameters=_SEARCH_PARAMETERS,
        replies=(
            Reply(
                status=200,
                description="One page.",
                contents=(
                    Content(
                        media=_JSON,
                        shape=LoggedPage,
                        examples={"page": {"logs": [_EXAMPLE], "next_cursor": None}},
                    ),
                ),
            ),
        ),
        problems=(400, 401, 403, 429, 503),
    ),
    Route(
        method="GET",
        path="/api/v1/audit/logs/{id}",
        operation_id=READ_EVENT,
        function="query",
        scope="events:read",
        summary="Read one event",
        description=(
            "The newest event with this id; a client's own id is unique within 24 hours. What was refused as a"
            " conflict with it is no event, and is not shown here."
        ),
        parameters=(
            Parameter(
                name="id",
                place="path",
                description="The event's id.",
                required=True,
                example=_EXAMPLE["id"],
            ),
        ),
        replies=(
            Reply(
                status=200,
                description="The event.",
                contents=(Content(media=_JSON, shape=LoggedEvent, examples={"event": _EXAMPLE}),),
            ),
        ),
        problems=(400, 401, 403, 404, 429, 503),
    ),
)
