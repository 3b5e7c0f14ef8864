"""nats-py's client without its detours, for messages that hundreds of requests wait for.

It hands an answer to a queue and the queue to a task, and a publication to a queue and that to another task. On a busy
loop each of these turns takes as long as thirty requests do. Here an answer is heard where it is parsed, and a
publication is written where it is made; everything else is the client's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg


class PromptClient(Client):
    """A client whose `hear` and `write_now` take no turn of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self._prompt: dict[int, Callable[[Msg], None]] = {}

    async def hear(self, subject: str, heard: Callable[[Msg], None]) -> None:
        """Call `heard` with each message on `subject` from now on, over reconnections too. It must not raise."""
        subscription = await self.subscribe(subject)
        self._prompt[subscription._id] = heard  # noqa: SLF001 - the id that the server knows it by

    def write_now(self, command: bytes) -> None:
        """Write a whole command of the protocol. Only while connected."""
        assert self._transport is not None
        self._transport.write(command)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: Any) -> None:
        heard = self._prompt.get(sid)
        if heard is None:
            await super()._process_msg(sid, subject, reply, data, headers)
            return
        told = await self._process_headers(headers) if headers else None
        heard(self._build_message(sid, subject, reply, data, told))
