"""Bodies as they arrive: bounded before they are read, in size and in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final

from starlette.types import Message, Receive

from audit_core.errors import BodyTooLarge, InvalidQuery, Overloaded
from audit_functions.ingest.compression import Decoder
from audit_functions.web.problem import BodyTimeout

BODY_SECONDS: Final = 30.0
"""How long a whole body, or the next piece of a stream, may take."""
_SWEEP_EVERY_SECONDS: Final = 1.0


class ClientGone(Exception):
    """The connection broke before the body was complete; nobody waits for an answer."""


class Budget:
    """The bytes of bodies that this process holds at once, over all requests."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Reserve `size` bytes. Raises Overloaded."""
        if self.used + size > self._limit:
            raise Overloaded("memory for requests that are under way")
        self.used += size

    def give(self, size: int) -> None:
        """Give bytes back."""
        self.used -= size


class Patience:
    """Ends requests whose body takes too long, with one sweep a second instead of a timer for each."""

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self._seconds = seconds
        self._until: dict[asyncio.Task[object], float] = {}
        self._overdue: set[asyncio.Task[object]] = set()

    def limited(self) -> _Limit:
        """Return a context that limits what the current task does inside. It raises BodyTimeout when it takes too long."""
        return _Limit(self)

    def begin(self) -> asyncio.Task[object]:
        """Start the time of the current task."""
        task = asyncio.current_task()
        assert task is not None
        self._until[task] = asyncio.get_running_loop().time() + self._seconds
        return task

    def end(self, task: asyncio.Task[object], error: type[BaseException] | None) -> None:
        """Stop the time of a task that left with `error`. Raises BodyTimeout when it was ended here."""
        self._until.pop(task, None)
        if task in self._overdue:
            self._overdue.discard(task)
            if error is asyncio.CancelledError:
                task.uncancel()
                raise BodyTimeout(self._seconds) from None

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_SECONDS)
            now = asyncio.get_running_loop().time()
            for task in [task for task, until in self._until.items() if until < now]:
                del self._until[task]
                self._overdue.add(task)
                task.cancel()


class _Limit:
    __slots__ = ("_patience", "_task")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        self._task = self._patience.begin()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patience.end(self._task, kind)


def declared_length(header: bytes | None, limit: int) -> int | None:
    """Return the length that a Content-Length states. Raises BodyTooLarge when it is beyond `limit`."""
    if header is None:
        return None
    if not header.isdigit() or len(header) > 18:
        raise InvalidQuery("Content-Length", "not a length")
    length = int(header)
    if length > limit:
        raise BodyTooLarge(limit)
    return length


async def rest_of_body(message: Message, receive: Receive, limit: int, decode: Decoder | None) -> bytes:
    """Return the body that begins with `message`, decoded. Raises BodyTooLarge as soon as it is too large, ClientGone."""
    whole = bytearray()
    while True:
        if message["type"] != "http.request":
            raise ClientGone
        piece = message.get("body", b"")
        for part in (piece,) if decode is None else decode.fed(piece):
            whole += part
            if len(whole) > limit:
                raise BodyTooLarge(limit)
        if not message.get("more_body"):
            break
        message = await receive()
    if decode is not None:
        decode.finish()
    return bytes(whole)


async def body_pieces(receive: Receive, decode: Decoder | None, patience: Patience) -> AsyncIterator[bytes]:
    """Yield the body as it comes, decoded, in pieces of bounded size. Raises ClientGone, BodyTimeout."""
    while True:
        with patience.limited():
            message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        piece = message.get("body", b"")
        if decode is None:
            if piece:
                yield piece
        else:
            for part in decode.fed(piece):
                yield part
        if not message.get("more_body"):
            break
    if decode is not None:
        decode.finish()
