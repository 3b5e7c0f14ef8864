"""One connection to NATS, and what is asked of JetStream over it.

A publication ends in one of three ways, and the difference is the promise: acknowledged, certainly not stored
(`NotStored`), or unknown (`StorageUnknown`), after which only the same bytes under the same message id may follow.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error

from audit_core.errors import AuditError, StreamUnavailable
from audit_core.tenant import EPOCH_METADATA
from audit_functions.adapters.prompt_client import PromptClient
from audit_functions.logs import Log

CALL_TIMEOUT_SECONDS: Final = 2.0
_CONNECT_TIMEOUT_SECONDS: Final = 2
_RECONNECT_WAIT_SECONDS: Final = 0.25
_PING_SECONDS: Final = 5
_FOREVER: Final = -1
_NO_RESPONDERS: Final = "503"
_NOT_FOUND: Final = frozenset({10059, 10037})
# Of the server's refusals these alone say for certain that nothing was written: the message is too large, for another
# stream, behind the expected sequence, or the stream is full.
_CERTAIN: Final = frozenset({10054, 10060, 10070, 10071, 10164})
_STORE_FAILED: Final = 10077
_FULL: Final = ("maximum bytes exceeded", "maximum messages exceeded")
_LOG_EVERY_SECONDS: Final = 10.0

_log: Final = Log("nats")


class JetStreamRefused(AuditError):
    """The server answered with an error: its `code` and `description`."""

    __slots__ = ("code", "description")

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        self.description = description

    @property
    def stream_is_full(self) -> bool:
        """Whether the stream's limits hold the message off."""
        return self.code == _STORE_FAILED and self.description.startswith(_FULL)


class NotStored(AuditError):
    """The message is certainly not in the stream: not sent, nobody listened, or the server refused it."""

    __slots__ = ("full", "reason")

    def __init__(self, reason: str, *, full: bool = False) -> None:
        self.reason = reason
        self.full = full


class StorageUnknown(AuditError):
    """The message was sent and no acknowledgement came: it may be in the stream, or get there later."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """A stored message. `duplicate`: its message id was there already, and the stream kept the earlier one."""

    stream: str
    seq: int
    duplicate: bool = False


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What we read of a stream's configuration."""

    name: str
    max_bytes: int = -1
    metadata: dict[str, str] = {}


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream holds."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it is. `created` tells a stream from another of the same name."""

    config: StreamConfig
    state: StreamState
    created: str

    @property
    def epoch(self) -> bytes | None:
        """The stream's epoch, or None when it carries none that we can read."""
        try:
            epoch = bytes.fromhex(self.config.metadata.get(EPOCH_METADATA, ""))
        except ValueError:
            return None
        return epoch if len(epoch) == 16 else None


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    error: _Refusal | None = None


class _PubAnswer(msgspec.Struct, frozen=True, kw_only=True):
    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Refusal | None = None


_answers: Final = msgspec.json.Decoder(_Answer)
_acks: Final = msgspec.json.Decoder(_PubAnswer)
_infos: Final = msgspec.json.Decoder(StreamInfo)


class Connection:
    """A connection that comes back by itself. Made by `connected`."""

    def __init__(self, client: PromptClient, name: str) -> None:
        self.client = client
        self._name = name
        self._closed = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._tokens = 0
        self._inbox = ""
        self._closing = False
        self._complained_at = -_LOG_EVERY_SECONDS

    @property
    def up(self) -> bool:
        """Whether there is a connection now, as far as is known."""
        return self.client.is_connected

    async def until_closed(self) -> None:
        """Return never, but raise StreamUnavailable when the server ended this connection for good.

        It does when credentials expire or are revoked; who opened the connection opens another.
        """
        await self._closed.wait()
        raise StreamUnavailable("the server ended the connection")

    async def stream(self, name: str, *, wait_seconds: float = CALL_TIMEOUT_SECONDS) -> StreamInfo | None:
        """Return a stream, or None when there is none of that name. Raises StreamUnavailable."""
        try:
            return _infos.decode(await self.call(f"$JS.API.STREAM.INFO.{name}", wait_seconds=wait_seconds))
        except JetStreamRefused as refused:
            if refused.code in _NOT_FOUND:
                return None
            raise StreamUnavailable(refused.description) from refused

    async def call(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> bytes:
        """Ask the API; return the answer's JSON. Raises StreamUnavailable, JetStreamRefused."""
        message = await self.ask(subject, payload, headers=headers, wait_seconds=wait_seconds)
        if refusal := _decoded(_answers, message).error:
            raise JetStreamRefused(refusal.err_code or refusal.code, refusal.description)
        return message.data

    async def ask(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        wait_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> Msg:
        """Send a request and return its first answer, which may be a status. Raises StreamUnavailable."""
        try:
            message = await self._request(subject, payload, headers, wait_seconds)
        except (NotStored, StorageUnknown) as error:
            raise StreamUnavailable(error.reason) from error
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            raise StreamUnavailable("nothing listens")
        return message

    async def publish(
        self,
        subject: str,
        payload: bytes,
        headers: Mapping[str, str],
        *,
        wait_seconds: float,
    ) -> Acked:
        """Publish to a stream; return when it is stored. Raises NotStored, StorageUnknown."""
        message = await self._request(subject, payload, headers, wait_seconds)
        if (message.headers or {}).get("Status") == _NO_RESPONDERS:
            raise NotStored("nothing listens")
        try:
            answer = _acks.decode(message.data)
        except msgspec.DecodeError as error:
            raise StorageUnknown("an answer that is no acknowledgement") from error
        if answer.error is not None:
            raise _refused(answer.error)
        return Acked(stream=answer.stream, seq=answer.seq, duplicate=answer.duplicate)

    async def send(self, subject: str, payload: bytes) -> bool:
        """Send a core message, of which nothing is promised; return whether there was a connection to send it on."""
        try:
            await self.client.publish(subject, payload)
        except Error:
            return False
        return True

    async def subscribe(self, subject: str, heard: Callable[[Msg], Awaitable[None]]) -> Subscription:
        """Hear a subject from now on, over reconnections too."""
        return await self.client.subscribe(subject, cb=heard)

    async def many(
        self, subject: str, payload: bytes, *, wait_seconds: float = CALL_TIMEOUT_SECONDS
    ) -> AsyncIterator[Msg]:
        """Yield the answers to one request until the caller has enough. Raises StreamUnavailable.

        `wait_seconds` is for each answer. An answer without responders is raised, other statuses are the caller's.
        """
        try:
            inbox = self.client.new_inbox()
            subscription = await self.client.subscribe(inbox)
            try:
                await self.client.publish(subject, payload, reply=inbox)
                while True:
                    message = await subscription.next_msg(timeout=wait_seconds)
                    if (message.headers or {}).get("Status") == _NO_RESPONDERS:
                        raise StreamUnavailable("nothing listens")
                    yield message
            finally:
                with suppress(Error):
                    await subscription.unsubscribe()
        except (TimeoutError, Error) as error:
            raise StreamUnavailable(type(error).__name__) from error

    async def _request(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None, seconds: float
    ) -> Msg:
        """Send and wait for the answer on our own inbox: half the work of the client's `request`."""
        loop = asyncio.get_running_loop()
        self._tokens += 1
        token = str(self._tokens)
        waiting: asyncio.Future[Msg] = loop.create_future()
        self._waiting[token] = waiting
        try:
            await self._sent(subject, payload, self._inbox + token, headers)
            timer = loop.call_later(seconds, _time_out, waiting)
            try:
                return await waiting
            finally:
                timer.cancel()
        finally:
            del self._waiting[token]

    async def _sent(
        self, subject: str, payload: bytes, reply: str, headers: Mapping[str, str] | None
    ) -> None:
        if not self.client.is_connected:
            raise NotStored("not connected")
        if headers is not None:
            self._write(subject, payload, reply, headers)
            return
        try:
            await self.client.publish(subject, payload, reply)
        except Error as error:
            raise NotStored(type(error).__name__) from error

    def _write(self, subject: str, payload: bytes, reply: str, headers: Mapping[str, str]) -> None:
        """Write a publication with headers. Names and values are ours: no line of theirs can end early."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"NATS/1.0\r\n{lines}\r\n".encode()
        if len(payload) > self.client.max_payload:
            raise NotStored("larger than the server takes")
        command = f"HPUB {subject} {reply} {len(head)} {len(head) + len(payload)}\r\n".encode()
        self.client.write_now(b"".join((command, head, payload, b"\r\n")))

    async def _opened(self) -> None:
        prefix = self.client.new_inbox()
        self._inbox = f"{prefix}."
        await self.client.hear(f"{prefix}.*", self._answered)

    def _answered(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject[len(self._inbox) :])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def lost(self) -> None:
        """Take note that the connection broke: what was under way is unknown."""
        if not self._closing:
            _log.warning("nats_disconnected", connection=self._name)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(StorageUnknown("disconnected"))

    async def back(self) -> None:
        """Take note that there is a connection again."""
        _log.info("nats_reconnected", connection=self._name)

    async def close(self) -> None:
        """Close for good."""
        self._closing = True
        await self.client.close()

    async def gone(self) -> None:
        """Take note that there will be no connection again."""
        self._closed.set()

    async def complained(self, error: Exception) -> None:
        """Log what the client reports, not more often than somebody can read."""
        now = time.monotonic()
        if now - self._complained_at >= _LOG_EVERY_SECONDS:
            self._complained_at = now
            _log.warning("nats_complained", connection=self._name, error=str(error) or type(error).__name__)


@asynccontextmanager
async def connected(url: str, credentials: Path, *, name: str, inbox: str) -> AsyncIterator[Connection]:
    """Connect as the user in `credentials`, whose private inbox prefix is `inbox`; wait for the server if need be.

    While there is no connection, publications fail at once: the client keeps nothing for later.
    """
    client = PromptClient()
    connection = Connection(client, name)
    await client.connect(
        url.split(","),
        name=name,
        user_credentials=str(credentials),
        inbox_prefix=inbox,
        connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        reconnect_time_wait=_RECONNECT_WAIT_SECONDS,  # type: ignore[arg-type]  # asyncio.sleep takes the fraction
        max_reconnect_attempts=_FOREVER,
        ping_interval=_PING_SECONDS,
        max_outstanding_pings=2,
        pending_size=0,
        error_cb=connection.complained,
        disconnected_cb=connection.lost,
        reconnected_cb=connection.back,
        closed_cb=connection.gone,
    )
    try:
        await connection._opened()  # noqa: SLF001 - the connection is made here and nowhere else
        yield connection
    finally:
        await connection.close()


def _time_out(waiting: asyncio.Future[Msg]) -> None:
    if not waiting.done():
        waiting.set_exception(StorageUnknown("no answer in time"))


def _refused(refusal: _Refusal) -> NotStored | StorageUnknown:
    code = refusal.err_code or refusal.code
    full = JetStreamRefused(code, refusal.description).stream_is_full
    if full or code in _CERTAIN:
        return NotStored(refusal.description, full=full)
    return StorageUnknown(refusal.description)


def _decoded(decoder: msgspec.json.Decoder[_Answer], message: Msg) -> _Answer:
    try:
        return decoder.decode(message.data)
    except msgspec.DecodeError as error:
        raise StreamUnavailable("an answer that is not JSON") from error
