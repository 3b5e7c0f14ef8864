"""Events as lines, without limit and in constant memory; the answer streams one line for each piece.

One task reads and puts pieces into frames, the other waits for the frames and answers, and a short queue between them
makes a slow stream or a slow reader hold the sender up. The head of the answer goes out with the first piece's result,
so that a stream that nothing was taken of gets an honest status.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from audit_core.errors import EventTooLarge, InvalidEvent, Unavailable
from audit_functions.ingest.answers import chunk_answer, encoded
from audit_functions.ingest.body import ClientGone, body_pieces
from audit_functions.ingest.compression import decoder
from audit_functions.ingest.edge import NDJSON, NO_STORE, NOSNIFF, Edge, Exchange, log
from audit_functions.ingest.lines import CHUNK_BYTES, MAX_LINE_BYTES, Chunk, Lines
from audit_functions.ingest.media import idempotency_key
from audit_functions.ingest.service import Request
from audit_functions.ingest.shard import IngestCaller
from audit_functions.ingest.submission import Settled, Submission
from audit_functions.web.problem import is_known

DEPTH: Final = 2
"""Pieces that wait for their frames while the next one is read."""
_PATIENCE_SECONDS: Final = 10.0
_LINGER_SECONDS: Final = 0.02
_RESERVED_BYTES: Final = MAX_LINE_BYTES + (DEPTH + 2) * CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class _Taken:
    """A piece that is on its way."""

    submission: Submission
    through_line: int


@dataclass(frozen=True, slots=True)
class _Ended:
    """Nothing more was read: the stream ended, or `error` says why not."""

    error: Exception | None


_Step: TypeAlias = _Taken | _Ended


async def serve_stream(edge: Edge, exchange: Exchange, caller: IngestCaller) -> None:
    """Serve one stream. Raises what refuses it as a whole, before anything was answered."""
    key = idempotency_key(exchange.headers.get(b"idempotency-key"))
    steps: asyncio.Queue[_Step] = asyncio.Queue(DEPTH)
    reader = _Reader(edge, exchange, Request(caller, key), steps)
    answerer = _Answerer(edge, exchange, caller, steps)
    failure: Exception | None = None
    edge.budget.take(_RESERVED_BYTES)
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(reader.run(), name="read stream")
            try:
                await answerer.run()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                failure = error
            reading.cancel()
    finally:
        edge.budget.give(_RESERVED_BYTES)
    if reader.gone:
        raise ClientGone
    if failure is not None:
        raise failure


class _Reader:
    """Reads pieces of lines and puts them on their way."""

    def __init__(self, edge: Edge, exchange: Exchange, request: Request, steps: asyncio.Queue[_Step]) -> None:
        self._edge = edge
        self._exchange = exchange
        self._request = request
        self._steps = steps
        self._lines = Lines()
        self.gone = False

    async def run(self) -> None:
        error: Exception | None = None
        try:
            await self._read()
        except ClientGone:
            self.gone = True
        except Exception as raised:  # noqa: BLE001 - the answer says it, known or not
            error = raised
        await self._steps.put(_Ended(error))

    async def _read(self) -> None:
        exchange = self._exchange
        pieces = body_pieces(
            exchange.receive, decoder(exchange.headers.get(b"content-encoding")), self._edge.patience
        )
        async for piece in _lingering(pieces):
            if piece is None:
                if self._lines.waiting:
                    await self._take(self._lines.taken())
                continue
            for chunk in self._lines.fed(piece):
                await self._take(chunk)
        await self._take(self._lines.finish())

    async def _take(self, chunk: Chunk) -> None:
        if chunk.is_empty:
            return
        # Asked again for each piece: a key that is revoked in the middle of a stream ends it.
        caller = self._edge.caller(self._exchange.headers)
        request = Request(caller, self._request.idempotency_key)
        submission = await self._edge.ingest.chunk(request, chunk.lines, patience_seconds=_PATIENCE_SECONDS)
        limit = caller.tenant.limits.max_event_bytes
        submission.refused += [(index, EventTooLarge("", size, limit)) for index, size in chunk.too_long]
        await self._steps.put(_Taken(submission, chunk.through_line))


async def _lingering(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """Yield the pieces, and None when the next one keeps us waiting: then what is there should not wait for it."""
    following = asyncio.ensure_future(anext(pieces, None))
    try:
        while True:
            done, _ = await asyncio.wait({following}, timeout=_LINGER_SECONDS)
            if not done:
                yield None
                await asyncio.wait({following})
            piece = following.result()
            if piece is None:
                return
            yield piece
            following = asyncio.ensure_future(anext(pieces, None))
    finally:
        following.cancel()


class _Answerer:
    """Waits for the pieces in order and answers each."""

    def __init__(
        self, edge: Edge, exchange: Exchange, caller: IngestCaller, steps: asyncio.Queue[_Step]
    ) -> None:
        self._edge = edge
        self._exchange = exchange
        self._caller = caller
        self._steps = steps
        self._through_line = 0

    async def run(self) -> None:
        step = await self._steps.get()
        while isinstance(step, _Taken):
            settled = await step.submission.settled()
            self._count(settled)
            self._through_line = step.through_line
            following = await self._following(settled)
            await self._answer(settled, following)
            step = following or await self._steps.get()
        await self._end(step.error)

    async def _following(self, settled: Settled) -> _Step | None:
        """Return what comes behind, if the head of the answer depends on it."""
        if self._exchange.started or settled.accepted:
            return None
        return await self._steps.get()

    async def _answer(self, settled: Settled, following: _Step | None) -> None:
        answer = chunk_answer(settled, self._through_line)
        if not self._exchange.started:
            await self._start(settled, following)
        for status, lines in Counter(line.status for line in answer.rejected).items():
            self._edge.ingest.refused(self._caller, status, lines)
        await self._write(encoded(answer))

    async def _end(self, error: Exception | None) -> None:
        if not self._exchange.started:
            raise error or InvalidEvent("", "empty")
        if error is not None:
            if not is_known(error):
                log.failure("stream_failed", error)
            await self._write(encoded(chunk_answer(Settled(), self._through_line, error)))
        await self._exchange.send({"type": "http.response.body", "body": b""})

    async def _start(self, settled: Settled, following: _Step | None) -> None:
        """Send the head. When nothing of the first piece was accepted and nothing follows, the status says so."""
        whole = isinstance(following, _Ended)
        if isinstance(following, _Ended) and following.error is not None:
            raise following.error
        headers = [NDJSON, (b"x-request-id", self._exchange.request_id), NO_STORE, NOSNIFF]
        status = 202
        if whole and not settled.accepted:
            status = 503 if any(isinstance(error, Unavailable) for _, error in settled.refused) else 422
        if status == 503:
            headers.append((b"retry-after", b"1"))
        await self._exchange.start(status, headers)

    async def _write(self, line: bytes) -> None:
        await self._exchange.send({"type": "http.response.body", "body": line + b"\n", "more_body": True})

    def _count(self, settled: Settled) -> None:
        self._edge.ingest.counted(self._caller, settled.accepted)
