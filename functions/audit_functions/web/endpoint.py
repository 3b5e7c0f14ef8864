"""From a request to a handler and back: request id, credential, scope, problems. For routes that are not hot."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from audit_core.projection import Scope
from audit_functions import logs
from audit_functions.logs import Log
from audit_functions.web.auth import Caller, Directory, S
from audit_functions.web.problem import Answer, answer_of, is_known
from audit_functions.web.request_id import HEADER, request_id_of

_COMMON: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

_log: Final = Log("web")


class Open:
    """An ASGI app around a handler that asks for no credential.

    Every answer carries the request's id and is not kept by caches unless the handler says so.
    """

    def __init__(self, handle: Callable[[Request], Awaitable[Response]]) -> None:
        self._handle = handle

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        request_id = request_id_of(request.headers.get("x-request-id", "").encode("latin-1"))
        logs.request_id.set(request_id.decode("ascii"))
        stamped = _stamped(send, request_id)
        try:
            response = await self._answer(request)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets a problem
            await send_failure(send, error, request_id)
        else:
            await response(scope, receive, stamped)

    async def _answer(self, request: Request) -> Response:
        return await self._handle(request)


class Guarded(Open, Generic[S]):
    """The same for a handler that needs a caller with a scope."""

    def __init__(
        self,
        directory: Directory[S],
        scope: Scope,
        handle: Callable[[Request, Caller[S]], Awaitable[Response]],
    ) -> None:
        self._directory = directory
        self._scope: Scope = scope
        self._handle_caller = handle

    async def _answer(self, request: Request) -> Response:
        caller = self._directory.authenticate(dict(request.scope["headers"]))
        caller.may(self._scope)
        return await self._handle_caller(request, caller)


async def send_failure(send: Send, error: Exception, request_id: bytes) -> None:
    """Send the problem that `error` is, and log it when it is a fault of ours."""
    if not is_known(error):
        _log.failure("request_failed", error)
    await send_answer(send, answer_of(error, request_id))


async def send_answer(send: Send, answer: Answer) -> None:
    """Send a whole answer."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": answer.body})


def _stamped(send: Send, request_id: bytes) -> Send:
    async def stamped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            present = {name.lower() for name, _ in headers}
            headers += [pair for pair in _COMMON if pair[0] not in present]
            headers.append((HEADER, request_id))
            message = {**message, "headers": headers}
        await send(message)

    return stamped
