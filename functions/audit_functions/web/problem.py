"""What an error looks like to a caller: RFC 9457 problems, from one table."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from audit_core.errors import (
    AuditError,
    BodyTooLarge,
    ConfigStale,
    Conflict,
    EventTooLarge,
    Forbidden,
    InvalidEvent,
    InvalidQuery,
    NotFound,
    Overloaded,
    QueryTooBroad,
    RateLimited,
    ShardFrozen,
    StoreUnavailable,
    StreamUnavailable,
    TooManyQueries,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)

PROBLEM_TYPE: Final = "application/problem+json"
_URN: Final = "urn:audit-log:"
_BLANK: Final = "about:blank"
_RETRY_SPREAD: Final = 0.5

E = TypeVar("E", bound=AuditError)


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One offending field: a JSON pointer into the body (or the parameter's name) and what is wrong with it."""

    pointer: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An RFC 9457 problem. `path` is the pointer of the first offending field; `errors` lists all that are known."""

    type: str
    title: str
    status: int
    detail: str
    path: str | None = None
    errors: list[FieldError] = []
    sequence: int | None = None
    retry_after_seconds: int | None = None
    request_id: str | None = None


class Answer(NamedTuple):
    """A problem as it is sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Row(NamedTuple):
    type: str
    title: str
    status: int
    detail: str | Callable[[Any], str]


class MethodNotAllowed(AuditError):
    """The path is there, and not with this method."""

    __slots__ = ("allowed",)

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allowed = allowed


class BodyTimeout(AuditError):
    """The body did not arrive in time."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def _reason(error: InvalidEvent | Forbidden | StreamUnavailable | ShardFrozen) -> str:
    return error.reason


_TABLE: Final[Mapping[type[AuditError], _Row]] = {
    InvalidEvent: _Row("invalid-event", "The event is not valid", 422, _reason),
    EventTooLarge: _Row(
        "too-large", "The event is too large", 413, lambda e: f"{e.size} bytes where {e.limit} are allowed"
    ),
    BodyTooLarge: _Row(
        "too-large", "The request is too large", 413, lambda e: f"more than {e.limit} {e.unit}"
    ),
    UnsupportedMedia: _Row(
        "unsupported-media", "The media type is not served", 415, lambda e: f"not served: {e.what}"
    ),
    Unauthenticated: _Row(
        "unauthenticated", "No valid credential", 401, "send Authorization: Bearer <API key>"
    ),
    Forbidden: _Row("forbidden", "Not allowed", 403, _reason),
    NotFound: _Row("not-found", "Not found", 404, lambda e: f"no such {e.what}"),
    Conflict: _Row(
        "conflict",
        "The id was used for another event",
        409,
        lambda e: f"id {e.id} came before with other content; this event was recorded as a conflict",
    ),
    RateLimited: _Row(
        "rate-limited",
        "Too many events",
        429,
        lambda e: f"the tenant's limit is {e.limit} events per second, in bursts of {e.burst}",
    ),
    TooManyQueries: _Row(
        "rate-limited",
        "Too many queries at once",
        429,
        lambda e: f"the tenant's limit is {e.limit} queries under way",
    ),
    InvalidQuery: _Row(
        "invalid-query", "The query is not valid", 400, lambda e: f"{e.parameter}: {e.reason}"
    ),
    QueryTooBroad: _Row(
        "query-too-broad", "The query would cost too much", 400, lambda e: f"{e.reason}; {e.advice}"
    ),
    StreamUnavailable: _Row(
        "stream-unavailable",
        "The stream did not acknowledge",
        503,
        lambda e: f"nothing is promised: {e.reason}",
    ),
    ShardFrozen: _Row("shard-frozen", "The log is frozen", 503, _reason),
    ConfigStale: _Row(
        "config-stale",
        "The configuration is not confirmed",
        503,
        "keys and limits cannot be checked now",
    ),
    StoreUnavailable: _Row("store-unavailable", "The database did not answer", 503, "try again later"),
    Overloaded: _Row("overloaded", "Too much at once", 503, lambda e: f"used up: {e.what}"),
    MethodNotAllowed: _Row(_BLANK, "Method not allowed", 405, lambda e: f"allowed: {', '.join(e.allowed)}"),
    BodyTimeout: _Row(
        _BLANK, "The body did not arrive", 408, lambda e: f"not complete after {e.seconds:g} s"
    ),
}
_UNKNOWN: Final = _Row(_BLANK, "Internal error", 500, "the fault is ours; it was logged")


def problem_of(error: Exception, request_id: str | None = None) -> Problem:
    """Return the problem that a caller sees of `error`. An error that is in no table row shows nothing of itself."""
    row = _row_of(error)
    path = _path_of(error)
    detail = row.detail if isinstance(row.detail, str) else row.detail(error)
    return Problem(
        type=row.type if row.type == _BLANK else _URN + row.type,
        title=row.title,
        status=row.status,
        detail=detail,
        path=path,
        errors=_field_errors(error, detail),
        sequence=error.sequence if isinstance(error, Conflict) else None,
        retry_after_seconds=_retry_after(error),
        request_id=request_id,
    )


def is_known(error: Exception) -> bool:
    """Tell whether the table has a row for `error`; if not, it is a fault to be logged."""
    return _row_of(error) is not _UNKNOWN


def answer_of(error: Exception, request_id: bytes) -> Answer:
    """Return the response to a request that failed with `error`."""
    return problem_answer(problem_of(error, request_id.decode("ascii")), request_id, error)


def problem_answer(problem: Problem, request_id: bytes, error: Exception | None = None) -> Answer:
    """Return the response that carries `problem`, with the headers that `error` asks for."""
    body = msgspec.json.encode(problem)
    headers = [
        (b"content-type", PROBLEM_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", request_id),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *_headers_of(error),
    ]
    if problem.retry_after_seconds is not None:
        headers.append((b"retry-after", str(problem.retry_after_seconds).encode()))
    return Answer(problem.status, headers, body)


def _path_of(error: Exception) -> str | None:
    if isinstance(error, InvalidEvent | EventTooLarge):
        return error.path
    return "" if isinstance(error, BodyTooLarge) else None


def _row_of(error: Exception) -> _Row:
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    return _UNKNOWN


def _field_errors(error: Exception, detail: str) -> list[FieldError]:
    if isinstance(error, InvalidEvent | EventTooLarge):
        return [FieldError(pointer=error.path, detail=detail)]
    if isinstance(error, InvalidQuery):
        return [FieldError(pointer=error.parameter, detail=error.reason)]
    return []


def _retry_after(error: Exception) -> int | None:
    """Return whole seconds to wait, spread so that those who were refused together do not come back together."""
    if not isinstance(error, Unavailable | RateLimited | TooManyQueries):
        return None
    seconds = error.retry_after_seconds
    return max(1, math.ceil(seconds * (1 + _RETRY_SPREAD * random.random())))  # noqa: S311 - spreads load, hides nothing


def _headers_of(error: Exception | None) -> list[tuple[bytes, bytes]]:
    if isinstance(error, Unauthenticated):
        return [(b"www-authenticate", b'Bearer realm="audit-log"')]
    if isinstance(error, UnsupportedMedia):
        return [
            (b"accept-encoding", b"gzip, zstd, identity"),
            (b"accept", b"application/json, application/x-ndjson"),
        ]
    if isinstance(error, MethodNotAllowed):
        return [(b"allow", ", ".join(error.allowed).encode())]
    if isinstance(error, RateLimited):
        window = max(1, math.ceil(error.burst / max(error.limit, 1)))
        reset = max(1, math.ceil(error.retry_after_seconds))
        return [
            (b"ratelimit-policy", f'"events";q={error.burst};w={window}'.encode()),
            (b"ratelimit", f'"events";r=0;t={reset}'.encode()),
        ]
    if isinstance(error, BodyTimeout):
        return [(b"connection", b"close")]
    return []
