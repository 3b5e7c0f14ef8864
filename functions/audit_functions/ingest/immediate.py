"""One small event without a task: checked and put into a frame as soon as it is there, answered when the frame is."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from audit_core.errors import AuditError
from audit_functions import logs
from audit_functions.ingest.answers import single_answer
from audit_functions.ingest.edge import JSON, NO_STORE, NOSNIFF, Edge, log
from audit_functions.ingest.frames import Acknowledged, NotAcknowledged
from audit_functions.ingest.media import demand_json, idempotency_key
from audit_functions.ingest.service import Placed, Request
from audit_functions.ingest.shard import IngestCaller
from audit_functions.web.immediate import Arrived
from audit_functions.web.problem import answer_of, is_known
from audit_functions.web.request_id import request_id_of

_OPERATION: Final = "createAuditLog"


class ImmediateSingle:
    """The same as `Single`, for the requests that need no waiting but for their frame."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._observed = edge.telemetry.requests[_OPERATION]

    def __call__(self, arrived: Arrived) -> None:
        """Put the event into a frame, or answer why not."""
        since = perf_counter()
        headers = arrived.headers
        request_id = request_id_of(headers.get(b"x-request-id"))
        edge = self._edge
        caller: IngestCaller | None = None
        try:
            caller = edge.caller(headers)
            demand_json(headers.get(b"content-type"))
            request = Request(caller, idempotency_key(headers.get(b"idempotency-key")))
            placed = edge.ingest.place(request, arrived.body)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a problem
            self.refuse(arrived, error, caller, request_id, since)
            return
        placed.frame.waiters.append(_Waiting(self, arrived, caller, placed, request_id, since))

    def accept(self, arrived: Arrived, placed: Placed, request_id: bytes, since: float) -> None:
        """Answer 202."""
        self._edge.ingest.acknowledged(placed)
        status, body = single_answer(placed.event.id, None)
        length = (b"content-length", b"%d" % len(body))
        arrived.answer(status, (JSON, length, (b"x-request-id", request_id), NO_STORE, NOSNIFF), body)
        self._observed.observe(perf_counter() - since)

    def refuse(
        self, arrived: Arrived, error: Exception, caller: IngestCaller | None, request_id: bytes, since: float
    ) -> None:
        """Answer the problem that `error` is."""
        logs.request_id.set(request_id.decode("ascii"))
        if not is_known(error):
            log.failure("request_failed", error, operation=_OPERATION)
        answer = answer_of(error, request_id)
        self._edge.telemetry.refuse(answer.status)
        if caller is not None and isinstance(error, AuditError):
            self._edge.ingest.refused(caller, answer.status)
        arrived.answer(answer.status, answer.headers, answer.body)
        self._observed.observe(perf_counter() - since)
        logs.request_id.set(None)


class _Waiting:
    """A request that waits for its frame."""

    __slots__ = ("_arrived", "_caller", "_placed", "_request_id", "_since", "_single")

    def __init__(
        self,
        single: ImmediateSingle,
        arrived: Arrived,
        caller: IngestCaller,
        placed: Placed,
        request_id: bytes,
        since: float,
    ) -> None:
        self._single = single
        self._arrived = arrived
        self._caller = caller
        self._placed = placed
        self._request_id = request_id
        self._since = since

    def __call__(self, result: Acknowledged | NotAcknowledged) -> None:
        if isinstance(result, Acknowledged):
            self._single.accept(self._arrived, self._placed, self._request_id, self._since)
        else:
            self._single.refuse(self._arrived, result.error(), self._caller, self._request_id, self._since)
