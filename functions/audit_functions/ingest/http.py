"""`POST /api/v1/audit/logs` and `/batch`: bytes in, one use case, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from audit_core.errors import AuditError, BodyTooLarge, InvalidEvent
from audit_core.malformed import flaw_in_text
from audit_functions.ingest.answers import batch_answer, encoded, single_answer
from audit_functions.ingest.body import declared_length, rest_of_body
from audit_functions.ingest.compression import decoder
from audit_functions.ingest.edge import (
    CANONICAL_TO_SENT,
    MAX_BODY_BYTES,
    PREFERENCE_APPLIED,
    Edge,
    Endpoint,
    Exchange,
)
from audit_functions.ingest.media import (
    Media,
    demand_json,
    idempotency_key,
    is_atomic,
    media_of,
    wants_committed,
)
from audit_functions.ingest.service import NotAtomic, Request
from audit_functions.ingest.shard import IngestCaller
from audit_functions.ingest.streaming import serve_stream
from audit_functions.ingest.submission import COMMIT_WAIT_SECONDS
from audit_functions.web.problem import Answer, FieldError, Problem, problem_answer, problem_of

_MAX_DEPTH: Final = 18
_MAX_LISTED: Final = 100
_RETRY_AFTER: Final = (b"retry-after", b"1")


class Single(Endpoint):
    """One event."""

    operation = "createAuditLog"

    async def serve(self, exchange: Exchange) -> None:
        """Answer 202 once the stream has the event, or what was waited for."""
        headers = exchange.headers
        edge = self.edge
        caller = edge.caller(headers)
        demand_json(headers.get(b"content-type"))
        request = Request(
            caller, idempotency_key(headers.get(b"idempotency-key")), wants_committed(headers.get(b"prefer"))
        )
        try:
            body = await whole_body(edge, exchange, CANONICAL_TO_SENT * caller.tenant.limits.max_event_bytes)
            event_id, told = await edge.ingest.single(request, body)
            status, answer = single_answer(event_id, told)
        except AuditError as error:
            edge.ingest.refused(caller, problem_of(error).status)
            raise
        if told is None:
            await exchange.answer(status, answer)
        else:
            await exchange.answer(status, answer, PREFERENCE_APPLIED)


class Batch(Endpoint):
    """Many events, as one JSON document or as a stream of lines."""

    operation = "createAuditLogs"

    async def serve(self, exchange: Exchange) -> None:
        """Answer item by item, or line by line."""
        headers = exchange.headers
        caller = self.edge.caller(headers)
        if media_of(headers.get(b"content-type")) is Media.NDJSON:
            await serve_stream(self.edge, exchange, caller)
            return
        await self._serve_document(exchange, caller)

    async def _serve_document(self, exchange: Exchange, caller: IngestCaller) -> None:
        headers = exchange.headers
        until = asyncio.get_running_loop().time() + COMMIT_WAIT_SECONDS
        request = Request(
            caller, idempotency_key(headers.get(b"idempotency-key")), wants_committed(headers.get(b"prefer"))
        )
        atomic = is_atomic(exchange.query_string)
        raws = events_in(await whole_body(self.edge, exchange, MAX_BODY_BYTES))
        submission = await self.edge.ingest.batch(request, raws, atomic=atomic)
        settled = await submission.settled()
        told = await settled.committed(until) if request.wants_committed else {}
        status, answer = batch_answer(settled, told)
        self.edge.ingest.counted(caller, settled.accepted)
        for item in answer.results:
            if item.error is not None and item.status != 409:
                self.edge.ingest.refused(caller, item.status)
        more = [PREFERENCE_APPLIED] if told and len(told) == settled.accepted_events else []
        if status == 503:
            more.append(_RETRY_AFTER)
        await exchange.answer(status, encoded(answer), *more)

    def problem(self, error: Exception, request_id: bytes) -> Answer:
        """Return the answer for `error`; for a batch that is all or none it lists the events that hold it back."""
        if isinstance(error, NotAtomic):
            return problem_answer(_not_atomic(error, request_id), request_id)
        return super().problem(error, request_id)


async def whole_body(edge: Edge, exchange: Exchange, limit: int) -> bytes:
    """Return the body, for which memory was reserved before it was read.

    One that is there already costs no timer; for its first bytes the server has a limit of its own.
    """
    headers = exchange.headers
    decode = decoder(headers.get(b"content-encoding"))
    length = declared_length(headers.get(b"content-length"), limit)
    reserved = limit if length is None or decode is not None else length
    edge.budget.take(reserved)
    try:
        message = await exchange.receive()
        if decode is None and not message.get("more_body") and message["type"] == "http.request":
            body: bytes = message["body"]
            if len(body) > limit:
                raise BodyTooLarge(limit)
            return body
        with edge.patience.limited():
            return await rest_of_body(message, exchange.receive, limit, decode)
    finally:
        edge.budget.give(reserved)


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    logs: list[Raw] | UnsetType = UNSET
    events: list[Raw] | UnsetType = UNSET
    audit_logs: list[Raw] | UnsetType = UNSET


_documents: Final = msgspec.json.Decoder(_Document)


def events_in(body: bytes) -> Sequence[Raw]:
    """Return the events of a batch, each as its own bytes. Raises InvalidEvent."""
    try:
        document = _documents.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidEvent("", 'must be an object with one list, "logs"') from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from error
    lists = {"logs": document.logs, "events": document.events, "audit_logs": document.audit_logs}
    given = {name: events for name, events in lists.items() if not isinstance(events, UnsetType)}
    if len(given) != 1:
        raise InvalidEvent("", 'must hold exactly one of "logs", "events" and "audit_logs"')
    ((name, raws),) = given.items()
    if not raws:
        raise InvalidEvent(f"/{name}", "empty")
    return raws


def _malformed(body: bytes, error: Exception) -> InvalidEvent:
    if not body.strip():
        return InvalidEvent("", "empty")
    flaw = flaw_in_text(body.decode("utf-8", "surrogateescape"), _MAX_DEPTH, MAX_BODY_BYTES)
    if flaw is not None:
        return InvalidEvent(flaw.path, flaw.reason)
    if isinstance(error, UnicodeDecodeError):
        return InvalidEvent("", "bytes that are not UTF-8")
    return InvalidEvent("", "not JSON")


def _not_atomic(error: NotAtomic, request_id: bytes) -> Problem:
    listed = [(index, problem_of(refusal)) for index, refusal in error.refused[:_MAX_LISTED]]
    return Problem(
        type="urn:audit-log:invalid-event",
        title="The batch is all or none, and holds events that are not valid",
        status=422,
        detail=f"{len(error.refused)} events were refused; nothing was accepted",
        errors=[_item_error(index, problem) for index, problem in listed],
        request_id=request_id.decode("ascii"),
    )


def _item_error(index: int, problem: Problem) -> FieldError:
    return FieldError(pointer=f"/{index}{problem.path or ''}", detail=problem.detail)
