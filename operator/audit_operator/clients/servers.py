"""What each NATS server says about itself, asked through the system account.

Only here is it seen whether a server fsyncs every message: neither a stream nor its account shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.errors import Error

from audit_core.errors import StreamUnavailable

PATIENCE_SECONDS: Final = 2.0
_MAX_SERVERS: Final = 1000
_EVERY_VARZ: Final = "$SYS.REQ.SERVER.PING.VARZ"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One server of the cluster. Storage in bytes; `reserved` is what the streams' `max_bytes` add up to."""

    name: str
    server_id: str
    sync_always: bool = False
    max_storage: int = 0
    reserved_storage: int = 0


class _Identity(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    id: str


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    sync_always: bool = False
    max_storage: int = 0


class _Stats(msgspec.Struct, frozen=True, kw_only=True):
    reserved_storage: int = 0


class _JetStream(msgspec.Struct, frozen=True, kw_only=True):
    config: _Config = _Config()
    stats: _Stats = _Stats()


class _Variables(msgspec.Struct, frozen=True, kw_only=True):
    jetstream: _JetStream = _JetStream()


class _Varz(msgspec.Struct, frozen=True, kw_only=True):
    server: _Identity
    data: _Variables


@dataclass(frozen=True, slots=True)
class Servers:
    """The cluster, over a connection whose user belongs to the system account."""

    connection: Client

    async def answering(self, needed: Collection[str] = ()) -> list[Server]:
        """Return the servers that answer, as soon as the needed ones have; with none needed, the first.

        Raises StreamUnavailable when none answers; who is missing after `PATIENCE_SECONDS` is left out.
        """
        answers: dict[str, Server] = {}
        try:
            inbox = self.connection.new_inbox()
            subscription = await self.connection.subscribe(inbox, pending_msgs_limit=_MAX_SERVERS)
            try:
                await self.connection.publish(_EVERY_VARZ, b"", reply=inbox)
                async with asyncio.timeout(PATIENCE_SECONDS):
                    while not answers or not answers.keys() >= set(needed):
                        server = _server((await subscription.next_msg(timeout=PATIENCE_SECONDS)).data)
                        answers[server.name] = server
            finally:
                await subscription.unsubscribe()
        except (TimeoutError, Error) as error:
            if not answers:
                raise StreamUnavailable("no server answers the system account") from error
        return list(answers.values())


def _server(varz: bytes) -> Server:
    answer = msgspec.json.decode(varz, type=_Varz)
    return Server(
        name=answer.server.name,
        server_id=answer.server.id,
        sync_always=answer.data.jetstream.config.sync_always,
        max_storage=answer.data.jetstream.config.max_storage,
        reserved_storage=answer.data.jetstream.stats.reserved_storage,
    )
