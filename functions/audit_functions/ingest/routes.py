"""The rows of the route table that ingest serves."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from audit_core.aliases import SentEvent
from audit_functions.ingest.answers import Accepted, BatchAnswer, Committed, ListAnswer, StreamedChunk
from audit_functions.ingest.http import Batch, Single
from audit_functions.ingest.kubernetes import KubernetesList
from audit_functions.web.routes import Content, Parameter, Reply, Route

_JSON: Final = "application/json"
_LINES: Final = "application/x-ndjson"
_ID: Final = "01937f4e-7f3b-7c07-b3c1-0d6d2a9a4f10"


class LogsBody(msgspec.Struct, frozen=True, kw_only=True):
    """A batch. `events` and `audit_logs` are other names for `logs`."""

    logs: list[SentEvent]


class EventListBody(msgspec.Struct, frozen=True, kw_only=True):
    """An `EventList` of audit.k8s.io/v1; of its fields only `items` is looked at."""

    items: list[dict[str, Any]]


_EVENT: Final[dict[str, Any]] = {
    "event_type": "document.shared",
    "actor": {"id": "user-8123", "type": "user"},
    "targets": [{"type": "document", "id": "doc-99183"}],
    "outcome": "success",
    "context": {"ip": "203.0.113.7"},
    "metadata": {"plan": "enterprise"},
}
_FLAT_EVENT: Final[dict[str, Any]] = {
    "event_type": "user_login",
    "user_id": "u-1042",
    "resource_id": "session-88",
    "metadata": {"ip_address": "203.0.113.7", "user_agent": "curl/8.5"},
}
_EVENT_LIST: Final[dict[str, Any]] = {
    "kind": "EventList",
    "apiVersion": "audit.k8s.io/v1",
    "metadata": {},
    "items": [
        {
            "level": "Metadata",
            "auditID": "6b1f0d4e-2a0b-4c3f-9d5e-0f1b2c3d4e5f",
            "stage": "ResponseComplete",
            "requestURI": "/api/v1/namespaces/prod/pods/web-0",
            "verb": "delete",
            "user": {"username": "jane@example.com", "groups": ["system:authenticated"]},
            "sourceIPs": ["203.0.113.7"],
            "objectRef": {"resource": "pods", "namespace": "prod", "name": "web-0", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "stageTimestamp": "2026-01-31T09:30:00.123456Z",
        }
    ],
}
_COMMITTED: Final = {"id": _ID, "sequence": 1041, "received_at": "2026-01-31T09:30:00.123456Z"}
_REJECTED: Final = {
    "type": "urn:audit-log:invalid-event",
    "title": "The event is not valid",
    "status": 422,
    "detail": "required",
    "path": "/event_type",
    "errors": [{"pointer": "/event_type", "detail": "required"}],
}

_IDEMPOTENCY_KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    description=(
        "Gives each event without an id one that follows from this key and its place, so that the same request may"
        " be sent again within 24 hours without being stored twice."
    ),
    schema={"type": "string", "minLength": 1, "maxLength": 255},
    example="order-1042-shipped",
)
_PREFER: Final = Parameter(
    name="Prefer",
    place="header",
    description=(
        "`wait=committed`: answer when the events are in the database too, for at most 5 s. Answered with"
        " `Preference-Applied` when that was so."
    ),
    example="wait=committed",
)
_ENCODING: Final = Parameter(
    name="Content-Encoding",
    place="header",
    description="The body's compression.",
    schema={"type": "string", "enum": ["gzip", "zstd", "identity"]},
    example="gzip",
)

ROUTES: Final = (
    Route(
        method="POST",
        path="/api/v1/audit/logs",
        operation_id=Single.operation,
        function="ingest",
        scope="events:write",
        summary="Record one event",
        description="202 means that the event is on disk in the stream and cannot be lost any more.",
        parameters=(_IDEMPOTENCY_KEY, _PREFER, _ENCODING),
        bodies=(
            Content(media=_JSON, shape=SentEvent, examples={"event": _EVENT, "flat names": _FLAT_EVENT}),
        ),
        replies=(
            Reply(
                status=202,
                description="The stream has fsynced the event.",
                contents=(Content(media=_JSON, shape=Accepted, examples={"accepted": {"id": _ID}}),),
            ),
            Reply(
                status=201,
                description="The event is in the database (only on `Prefer: wait=committed`).",
                contents=(Content(media=_JSON, shape=Committed, examples={"committed": _COMMITTED}),),
            ),
            Reply(
                status=200,
                description="The same event was there already (only on `Prefer: wait=committed`).",
                contents=(
                    Content(
                        media=_JSON,
                        shape=Committed,
                        examples={"duplicate": {**_COMMITTED, "duplicate": True}},
                    ),
                ),
            ),
        ),
        problems=(400, 401, 403, 408, 409, 413, 415, 422, 429, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/audit/logs/batch",
        operation_id=Batch.operation,
        function="ingest",
        scope="events:write",
        summary="Record many events",
        description=(
            "As JSON at most 1,000 events and 5 MiB, answered item by item: 202 if any was accepted, 422 if none is"
            " valid, 503 if none was acknowledged. As lines (`application/x-ndjson`) without limit; the answer"
            " streams one line for each piece of at most 1,000 lines, and should be read while sending."
        ),
        parameters=(
            Parameter(
                name="atomic",
                place="query",
                description="`true`: all or none. The batch must fit one frame (about 750 kB).",
                schema={"type": "boolean", "default": False},
                example=True,
            ),
            _IDEMPOTENCY_KEY,
            _PREFER,
            _ENCODING,
        ),
        bodies=(
            Content(media=_JSON, shape=LogsBody, examples={"batch": {"logs": [_EVENT, _FLAT_EVENT]}}),
            Content(
                media=_LINES,
                shape={"type": "string", "description": "One event per line."},
                examples={"lines": '{"event_type":"user_login"}\n{"event_type":"user_logout"}\n'},
            ),
        ),
        replies=(
            Reply(
                status=202,
                description="At least one event is on disk in the stream; `results` tells of each.",
                contents=(
                    Content(
                        media=_JSON,
                        shape=BatchAnswer,
                        examples={
                            "batch": {
                                "accepted": 1,
                                "rejected": 1,
                                "results": [
                                    {"index": 0, "id": _ID, "status": 202},
                                    {"index": 1, "status": 422, "error": _REJECTED},
                                ],
                            }
                        },
                    ),
                    Content(
                        media=_LINES,
                        shape=StreamedChunk,
                        examples={"piece": {"through_line": 1000, "accepted": 1000, "rejected": []}},
                    ),
                ),
            ),
        ),
        problems=(400, 401, 403, 408, 413, 415, 422, 429, 503),
    ),
    Route(
        method="POST",
        path="/api/v1/audit/kubernetes",
        operation_id=KubernetesList.operation,
        function="ingest",
        scope="events:write",
        summary="Record what a Kubernetes API server audits",
        description=(
            "Where the audit webhook of a kube-apiserver posts to. At most 12 MiB, and as many events as a batch may"
            " have. 202 means that every event of the list is on disk; after any other answer the whole list is to be"
            " sent again, which stores nothing twice, since an event's id is `<auditID>:<stage>`. An item that is no"
            " audit event is kept as an event of the type `k8s.unmapped`."
        ),
        parameters=(_ENCODING,),
        bodies=(Content(media=_JSON, shape=EventListBody, examples={"list": _EVENT_LIST}),),
        replies=(
            Reply(
                status=202,
                description="The stream has fsynced every event of the list.",
                contents=(
                    Content(
                        media=_JSON, shape=ListAnswer, examples={"accepted": {"accepted": 1, "unmapped": 0}}
                    ),
                ),
            ),
        ),
        problems=(400, 401, 403, 408, 413, 415, 422, 429, 503),
    ),
)
