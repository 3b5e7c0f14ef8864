"""Every error of the core has its place in the table, and nothing that is not in it shows anything of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from audit_core import errors
from audit_core.errors import AuditError, IntegrityError, Refused, Unavailable
from audit_functions.web.problem import answer_of, is_known, problem_of

EXAMPLES: list[tuple[AuditError, int, str]] = [
    (errors.InvalidEvent("/actor/id", "required"), 422, "invalid-event"),
    (errors.EventTooLarge("/metadata", 40_000, 32_768), 413, "too-large"),
    (errors.BodyTooLarge(1000, "events"), 413, "too-large"),
    (errors.UnsupportedMedia("text/plain"), 415, "unsupported-media"),
    (errors.Unauthenticated("unknown"), 401, "unauthenticated"),
    (errors.Forbidden("no"), 403, "forbidden"),
    (errors.NotFound("event"), 404, "not-found"),
    (errors.Conflict("id-1", 7), 409, "conflict"),
    (errors.RateLimited(retry_after_seconds=1.5, limit=10, burst=20), 429, "rate-limited"),
    (errors.InvalidQuery("limit", "must be a number"), 400, "invalid-query"),
    (errors.QueryTooBroad("too slow", "narrow it"), 400, "query-too-broad"),
    (errors.StreamUnavailable("away"), 503, "stream-unavailable"),
    (errors.ShardFrozen("s" * 16, "gap"), 503, "shard-frozen"),
    (errors.ConfigStale("s" * 16, 7.0), 503, "config-stale"),
    (errors.StoreUnavailable("away"), 503, "store-unavailable"),
    (errors.Overloaded("memory"), 503, "overloaded"),
]


def leaves(kind: type[AuditError]) -> Iterator[type[AuditError]]:
    for child in kind.__subclasses__():
        if child.__module__ == "audit_core.errors":
            if not child.__subclasses__():
                yield child
            yield from leaves(child)


@pytest.mark.parametrize(("error", "status", "kind"), EXAMPLES, ids=lambda value: str(value)[:30])
def test_an_error_is_told_by_type_and_status(error: AuditError, status: int, kind: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.type) == (status, f"urn:audit-log:{kind}")
    assert problem.title
    assert problem.detail


def test_every_error_that_a_caller_can_cause_or_wait_out_is_in_the_table() -> None:
    of_callers = {*leaves(Refused), *leaves(Unavailable)}
    shown = {type(error) for error, _, _ in EXAMPLES}
    missing = {kind.__name__ for kind in of_callers - shown}
    assert missing <= {"TooManyQueries"}  # shown in the tests of queries
    assert all(is_known(error) for error, _, _ in EXAMPLES)


def test_a_flaw_is_told_with_its_pointer() -> None:
    told = json.loads(answer_of(errors.InvalidEvent("/targets/0/id", "must be a string"), b"r-1").body)
    assert told == {
        "type": "urn:audit-log:invalid-event",
        "title": "The event is not valid",
        "status": 422,
        "detail": "must be a string",
        "path": "/targets/0/id",
        "errors": [{"pointer": "/targets/0/id", "detail": "must be a string"}],
        "request_id": "r-1",
    }


@pytest.mark.parametrize(
    "error", [ValueError("secret"), IntegrityError(), errors.Undecodable("secret"), KeyError("secret")]
)
def test_what_nobody_expected_shows_nothing_of_itself(error: Exception) -> None:
    answer = answer_of(error, b"r-1")
    assert answer.status == 500
    assert not is_known(error)
    assert b"secret" not in answer.body
    assert type(error).__name__.encode() not in answer.body


def test_who_has_to_wait_is_told_how_long_and_not_all_the_same() -> None:
    told = {
        dict(answer_of(errors.StreamUnavailable("away", 10.0), b"r").headers)[b"retry-after"]
        for _ in range(200)
    }
    assert len(told) > 1
    assert {int(seconds) for seconds in told} <= set(range(10, 16))


def test_who_sent_too_much_is_told_the_quota() -> None:
    error = errors.RateLimited(retry_after_seconds=1.5, limit=10, burst=20)
    headers = dict(answer_of(error, b"r").headers)
    assert headers[b"ratelimit-policy"] == b'"events";q=20;w=2'
    assert headers[b"ratelimit"] == b'"events";r=0;t=2'
    assert int(headers[b"retry-after"]) in (2, 3)


def test_only_problems_that_pass_say_when_to_come_back() -> None:
    for error, status, _ in EXAMPLES:
        headers = dict(answer_of(error, b"r").headers)
        assert (b"retry-after" in headers) == (status in (429, 503))
