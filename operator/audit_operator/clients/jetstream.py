"""The JetStream API: streams as they are and as they are wanted.

The API is spoken as JSON, because planning needs to see exactly the fields that the server keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, Error, NoRespondersError

from audit_core.errors import AuditError, StreamUnavailable

TIMEOUT_SECONDS: Final = 10.0
NANOSECONDS: Final = 1_000_000_000
_NOT_FOUND: Final = frozenset({10059, 10037})
"""The API's codes for a stream and for a message that is not there."""


class JetStreamRefused(AuditError):
    """The server answered with an error: its `code` and `description`."""

    __slots__ = ("code", "description")

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        self.description = description


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Another stream whose messages a stream takes in, those on `filter_subject` if one is named.

    A stream that holds messages already takes in only new ones, unless `opt_start_seq` says where to begin.
    """

    name: str
    filter_subject: str = ""
    opt_start_seq: int = 0


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a stream's configuration that we set. Defaults are the server's, for fields that it leaves out.

    Sizes in bytes, times in ns. `first_seq` counts only when the stream is created.
    """

    name: str
    subjects: tuple[str, ...] = ()
    retention: str = "limits"
    storage: str = "file"
    discard: str = "old"
    num_replicas: int = 1
    max_bytes: int = -1
    max_age: int = 0
    max_msgs: int = -1
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    duplicate_window: int = 0
    deny_delete: bool = False
    deny_purge: bool = False
    allow_direct: bool = False
    allow_rollup_hdrs: bool = False
    metadata: dict[str, str] = {}
    sources: tuple[Source, ...] = ()
    first_seq: int = 0


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream holds."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """A follower of a replicated stream, by its server's name."""

    name: str
    offline: bool = False


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Who keeps a replicated stream."""

    leader: str = ""
    replicas: tuple[Peer, ...] = ()


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A stream as it is. `created` tells a stream from another of the same name."""

    config: StreamConfig
    state: StreamState
    created: str
    cluster: Cluster | None = None


class StoredMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a stream."""

    subject: str
    seq: int
    data: bytes = b""
    hdrs: bytes = b""

    def source_sequence(self) -> int:
        """Return the sequence that the message had in the stream it was taken in from, 0 if it was not."""
        for line in self.hdrs.split(b"\r\n"):
            name, _, value = line.partition(b": ")
            if name == b"Nats-Stream-Source":
                return int(value.split()[1])
        return 0


class Acked(msgspec.Struct, frozen=True, kw_only=True):
    """A stored message, as its publisher learns of it."""

    stream: str
    seq: int
    duplicate: bool = False


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    err_code: int = 0
    description: str = ""


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    message: StoredMessage


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    error: _Refusal | None = None


@dataclass(frozen=True, slots=True)
class JetStream:
    """The API of one account, over a connection whose user may use it."""

    connection: Client

    async def stream(self, name: str) -> StreamInfo | None:
        """Return a stream, or None when there is none of that name."""
        try:
            return msgspec.json.decode(await self._call(f"STREAM.INFO.{name}"), type=StreamInfo)
        except JetStreamRefused as refused:
            if refused.code in _NOT_FOUND:
                return None
            raise

    async def create_stream(self, config: StreamConfig) -> StreamInfo:
        """Create a stream. One that is there with the same configuration is returned as it is."""
        return await self._configure("CREATE", config)

    async def update_stream(self, config: StreamConfig) -> StreamInfo:
        """Change the configuration of a stream."""
        return await self._configure("UPDATE", config)

    async def delete_stream(self, name: str) -> None:
        """Delete a stream and everything in it."""
        await self._call(f"STREAM.DELETE.{name}")

    async def last_message(self, stream: str, subject: str) -> StoredMessage | None:
        """Return the last message on a subject, or None when there is none."""
        request = msgspec.json.encode({"last_by_subj": subject})
        try:
            answer = await self._call(f"STREAM.MSG.GET.{stream}", request)
        except JetStreamRefused as refused:
            if refused.code in _NOT_FOUND:
                return None
            raise
        return msgspec.json.decode(answer, type=_Found).message

    async def publish(
        self, subject: str, data: bytes, *, stream: str, headers: dict[str, str] | None = None
    ) -> Acked:
        """Publish to the stream of that name; return when it is stored. StreamUnavailable leaves that open."""
        every = {"Nats-Expected-Stream": stream, **(headers or {})}
        return msgspec.json.decode(await self._request(subject, data, every), type=Acked)

    async def _configure(self, verb: str, config: StreamConfig) -> StreamInfo:
        answer = await self._call(f"STREAM.{verb}.{config.name}", msgspec.json.encode(config))
        return msgspec.json.decode(answer, type=StreamInfo)

    async def _call(self, verb: str, payload: bytes = b"") -> bytes:
        return await self._request(f"$JS.API.{verb}", payload)

    async def _request(self, subject: str, data: bytes, headers: dict[str, Any] | None = None) -> bytes:
        try:
            message = await self.connection.request(subject, data, timeout=TIMEOUT_SECONDS, headers=headers)
        except NoRespondersError as error:
            raise StreamUnavailable("nothing listens") from error
        except (TimeoutError, ConnectionClosedError, Error) as error:
            raise StreamUnavailable(type(error).__name__) from error
        if refusal := msgspec.json.decode(message.data, type=_Answer).error:
            raise JetStreamRefused(refusal.err_code or refusal.code, refusal.description)
        return message.data
