"""What the endpoints of ingest share, and how they answer. Raw ASGI: this is the hot path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from audit_functions import logs
from audit_functions.ingest.body import Budget, ClientGone, Patience
from audit_functions.ingest.media import refuse_repeated
from audit_functions.ingest.service import Ingest
from audit_functions.ingest.shard import IngestCaller, IngestShard
from audit_functions.logs import Log
from audit_functions.telemetry import Telemetry
from audit_functions.web.auth import Directory
from audit_functions.web.problem import Answer, answer_of, is_known
from audit_functions.web.request_id import request_id_of

MAX_BODY_BYTES: Final = 5 * 1024 * 1024
"""A batch's body, before and after decompression."""
CANONICAL_TO_SENT: Final = 8
"""How many bytes a caller may send for one byte of a canonical event: escapes and white space."""

JSON: Final = (b"content-type", b"application/json")
NDJSON: Final = (b"content-type", b"application/x-ndjson")
NO_STORE: Final = (b"cache-control", b"no-store")
NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
PREFERENCE_APPLIED: Final = (b"preference-applied", b"wait=committed")

log: Final = Log("ingest")


@dataclass(frozen=True, slots=True)
class Edge:
    """What every endpoint needs."""

    directory: Directory[IngestShard]
    ingest: Ingest
    budget: Budget
    patience: Patience
    telemetry: Telemetry

    def caller(self, headers: Mapping[bytes, bytes]) -> IngestCaller:
        """Return who sends events. Raises Unauthenticated, Forbidden, ConfigStale."""
        caller = self.directory.authenticate(headers)
        caller.may("events:write")
        return caller


class Exchange:
    """One request and its answer."""

    __slots__ = ("headers", "query_string", "receive", "request_id", "send", "started")

    def __init__(
        self,
        scope: AsgiScope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        request_id: bytes,
    ) -> None:
        self.headers = headers
        self.query_string: bytes = scope["query_string"]
        self.receive = receive
        self.send = send
        self.request_id = request_id
        self.started = False

    async def answer(self, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
        """Send a whole answer of JSON."""
        self.started = True
        length = (b"content-length", b"%d" % len(body))
        headers = [JSON, length, (b"x-request-id", self.request_id), NO_STORE, NOSNIFF, *more]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer."""
        self.started = True
        await self.send({"type": "http.response.start", "status": status, "headers": headers})


class Endpoint:
    """One operation: turns what goes wrong into a problem, and counts."""

    operation = ""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self._observed = edge.telemetry.requests[self.operation]

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        started_at = perf_counter()
        headers = dict(scope["headers"])
        request_id = request_id_of(headers.get(b"x-request-id"))
        logs.request_id.set(request_id.decode("ascii"))
        exchange = Exchange(scope, receive, send, headers, request_id)
        try:
            if len(headers) != len(scope["headers"]):
                refuse_repeated(scope["headers"])
            await self.serve(exchange)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a problem
            await self._fail(exchange, error)
        self._observed.observe(perf_counter() - started_at)

    async def serve(self, exchange: Exchange) -> None:
        """Serve the request; what is raised becomes its answer."""
        raise NotImplementedError

    def problem(self, error: Exception, request_id: bytes) -> Answer:
        """Return the answer for `error`."""
        return answer_of(error, request_id)

    async def _fail(self, exchange: Exchange, error: Exception) -> None:
        if not is_known(error):
            log.failure("request_failed", error, operation=self.operation)
        answer = self.problem(error, exchange.request_id)
        self.edge.telemetry.refuse(answer.status)
        if exchange.started:
            return  # the head is out; the server cuts the connection, which tells the caller that this is no end
        await exchange.send(
            {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        )
        await exchange.send({"type": "http.response.body", "body": answer.body})
