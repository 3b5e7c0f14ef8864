"""An ephemeral pull consumer: a place in the stream that the server forgets, made anew at every start and error.

It acknowledges nothing, since PostgreSQL remembers the offset. One request for messages is open at a time, bounded in
bytes, and none while what has arrived is not taken. Heartbeats tell an idle stream from a consumer that is gone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from audit_core.errors import AuditError, StreamUnavailable
from audit_functions.adapters.jetstream import Connection, JetStreamRefused
from audit_functions.writer.state import Message

MAX_WAITING_BYTES: Final = 8 * 1024 * 1024
"""How much may lie here untaken before no more is asked for; at most one request's bytes come on top."""
REQUEST_BYTES: Final = 4 * 1024 * 1024
REQUEST_MESSAGES: Final = 2_000
REQUEST_SECONDS: Final = 30
HEARTBEAT_SECONDS: Final = 1
SILENCE_SECONDS: Final = 3.5
"""Without a message or a heartbeat for so long, the consumer is gone."""
_FORGET_AFTER_SECONDS: Final = 60
_NANOSECONDS: Final = 1_000_000_000
_HEARTBEAT: Final = "100"
_ENDED: Final = frozenset({"404", "408", "409"})
_GONE: Final = ("Consumer Deleted", "Consumer is push based", "Server Shutdown", "Leadership Change")


class _Delivered(msgspec.Struct, frozen=True, kw_only=True):
    stream_seq: int = 0


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    delivered: _Delivered = _Delivered()


def consumer_config(**start: object) -> dict[str, Any]:
    """Return the configuration of a consumer that starts as `start` says."""
    return {
        "name": secrets.token_hex(8),
        "ack_policy": "none",
        "replay_policy": "instant",
        "mem_storage": True,
        "num_replicas": 1,
        "inactive_threshold": _FORGET_AFTER_SECONDS * _NANOSECONDS,
        **start,
    }


async def made(connection: Connection, stream: str, config: dict[str, Any]) -> tuple[str, int]:
    """Make a consumer; return its name and the stream sequence before its first message."""
    request = msgspec.json.encode({"stream_name": stream, "config": config, "action": "create"})
    try:
        answer = await connection.call(f"$JS.API.CONSUMER.CREATE.{stream}.{config['name']}", request)
    except JetStreamRefused as refused:
        raise StreamUnavailable(refused.description) from refused
    consumer = msgspec.json.decode(answer, type=_Made)
    return consumer.name, consumer.delivered.stream_seq


async def discarded(connection: Connection, stream: str, name: str) -> None:
    """Delete a consumer, if that works: the server forgets it anyhow."""
    with suppress(AuditError):
        await connection.call(f"$JS.API.CONSUMER.DELETE.{stream}.{name}")


class Consumer:
    """Messages in stream order. `start` before the first `take`, `stop` at the end."""

    def __init__(self, connection: Connection, stream: str, name: str) -> None:
        self._connection = connection
        self._stream = stream
        self._name = name
        self._inbox = connection.client.new_inbox()
        self._subscription: Subscription | None = None
        self._arrived = asyncio.Event()
        self._waiting: list[Message] = []
        self._waiting_bytes = 0
        self._requests = 0
        self._open = 0
        self._lost: str | None = None
        self._heard_at = time.monotonic()
        self._silent_since: float | None = None

    async def start(self) -> None:
        """Ask for the first messages."""
        self._subscription = await self._connection.subscribe(f"{self._inbox}.*", self._heard)
        await self._ask()

    async def stop(self) -> None:
        """Hear no more."""
        if self._subscription is not None:
            with suppress(Error):
                await self._subscription.unsubscribe()
        await discarded(self._connection, self._stream, self._name)

    async def take(self, wait_seconds: float) -> list[Message]:
        """Return what has arrived, waiting so long for the first. Raises StreamUnavailable when the consumer is gone."""
        if not self._waiting and self._lost is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._arrived.wait()
        if not self._waiting:
            self._check()
        taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._arrived.clear()
        await self._ask_if_due()
        return taken

    def _check(self) -> None:
        """Raise if the consumer is gone. Silence counts when it is found twice.

        A process that was stopped for a while finds it once, with all that arrived meanwhile still unread.
        """
        if self._lost is None and time.monotonic() - self._heard_at > SILENCE_SECONDS:
            if self._silent_since == self._heard_at:
                self._lost = "silence"
            self._silent_since = self._heard_at
        if self._lost is not None:
            raise StreamUnavailable(f"the consumer is gone: {self._lost}")

    async def _ask_if_due(self) -> None:
        if self._open <= 0 and self._waiting_bytes < MAX_WAITING_BYTES and self._lost is None:
            await self._ask()

    async def _ask(self) -> None:
        self._requests += 1
        self._open = REQUEST_MESSAGES
        request = {
            "batch": REQUEST_MESSAGES,
            "max_bytes": REQUEST_BYTES,
            "expires": REQUEST_SECONDS * _NANOSECONDS,
            "idle_heartbeat": HEARTBEAT_SECONDS * _NANOSECONDS,
        }
        self._heard_at = time.monotonic()
        try:
            await self._connection.client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}",
                msgspec.json.encode(request),
                f"{self._inbox}.{self._requests}",
            )
        except Error as error:
            self._lost = type(error).__name__

    async def _heard(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        if message.headers and "Status" in message.headers and message.subject.startswith(self._inbox):
            self._status(message)
        else:
            delivered = _delivered(message)
            self._waiting.append(delivered)
            self._waiting_bytes += len(delivered.data)
            self._open -= 1
        self._arrived.set()
        await self._ask_if_due()

    def _status(self, message: Msg) -> None:
        headers = message.headers or {}
        status, description = headers["Status"], headers.get("Description", "")
        if status == _HEARTBEAT:
            return
        if status not in _ENDED or description.startswith(_GONE):
            self._lost = f"{status} {description}".strip()
        elif message.subject == f"{self._inbox}.{self._requests}":
            self._open = 0


def _delivered(message: Msg) -> Message:
    """Decode where a message stands: `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<…>.<time ns>.<pending>`.

    Newer servers put a domain and an account in front of the stream.
    """
    tokens = message.reply.split(".")
    tokens = tokens[2:] if len(tokens) == 9 else tokens[4:]
    return Message(
        sequence=int(tokens[3]),
        timestamp_ns=int(tokens[5]),
        subject=message.subject,
        data=message.data,
        behind=int(tokens[6]),
    )
