"""The ceiling of the HTTP side: ASGI apps that read the body and answer, on the same server, loop and parser.

`answer` does nothing else. `answer_after_a_shared_future` suspends once on a future that it shares with everything
that arrived in the same turn of the loop, which is the least that group commit must do.
"""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope, Send

_BODY = b'{"id":"01a20801-2873-7000-8000-00000000007b"}'
_START: Message = {
    "type": "http.response.start",
    "status": 202,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())],
}
_END: Message = {"type": "http.response.body", "body": _BODY}


async def _read(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        continue


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer 202."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    await _read(receive)
    await send(_START)
    await send(_END)


_waiting: asyncio.Future[None] | None = None


def _release() -> None:
    global _waiting  # noqa: PLW0603 - one future per turn of the loop is the thing measured
    if _waiting is not None:
        _waiting.set_result(None)
        _waiting = None


async def answer_after_a_shared_future(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, wait for a future that is shared by all requests of this turn, answer 202."""
    global _waiting  # noqa: PLW0603 - see above
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    await _read(receive)
    if _waiting is None:
        loop = asyncio.get_running_loop()
        _waiting = loop.create_future()
        loop.call_soon(_release)
    await _waiting
    await send(_START)
    await send(_END)
