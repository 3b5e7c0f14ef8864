"""Connections of who provisions to the NATS servers: to the system account, and to each shard's own.

A shard's account is made known to the servers before the first connection to it. Connections stay open while they are
likely to be used again; one that broke is replaced at its next use, so that nothing waits for a server here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self

import nats
from nats.aio.client import Client, RawCredentials
from nats.errors import Error

from audit_core.errors import StreamUnavailable
from audit_operator.clients.jetstream import JetStream
from audit_operator.clients.nats_accounts import Accounts
from audit_operator.clients.nats_jwt import Authority, Random
from audit_operator.clients.nats_permissions import PROVISIONER_INBOX
from audit_operator.clients.servers import Servers

CONNECT_SECONDS: Final = 5
RETRY_SECONDS: Final = 0.1
IDLE_CONNECTIONS: Final = 32
"""How many stay open unused: enough for an installation of that many shards to be reconciled without connecting."""

_SYSTEM: Final = ""


@dataclass(slots=True)
class _Connection:
    client: Client
    users: int = 0


class Cluster:
    """The servers at `url()`. Leaving the context closes every connection."""

    def __init__(self, url: Callable[[], str], authority: Authority, random: Random) -> None:
        self._url = url
        self._authority = authority
        self._random = random
        self._connections: dict[str, _Connection] = {}
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Open nothing yet."""
        return self

    async def __aexit__(self, *_exception: object) -> None:
        """Close what is open."""
        for connection in self._connections.values():
            await connection.client.close()
        self._connections.clear()

    @asynccontextmanager
    async def servers(self) -> AsyncIterator[Servers]:
        """Ask the servers about themselves. Raises StreamUnavailable."""
        async with self._leased(_SYSTEM) as client:
            yield Servers(client)

    @asynccontextmanager
    async def streams(self, shard_id: str) -> AsyncIterator[JetStream]:
        """Use JetStream in a shard's account. Raises StreamUnavailable and AccountRefused."""
        async with self._leased(shard_id) as client:
            yield JetStream(client)

    @asynccontextmanager
    async def _leased(self, name: str) -> AsyncIterator[Client]:
        async with self._connecting:
            connection = await self._opened(name)
            connection.users += 1
        try:
            yield connection.client
        finally:
            connection.users -= 1
            await self._close_idle()

    async def _opened(self, name: str) -> _Connection:
        connection = self._connections.pop(name, None)
        if connection is None or not connection.client.is_connected:
            connection = _Connection(await (self._to_system() if name == _SYSTEM else self._to_shard(name)))
        self._connections[name] = connection  # the last used stand last
        return connection

    async def _to_system(self) -> Client:
        return await self._connect(self._authority.system_creds(self._random))

    async def _to_shard(self, shard_id: str) -> Client:
        system = await self._opened(_SYSTEM)
        account = self._authority.account(shard_id)
        await Accounts(system.client).make_known(account, self._authority.account_jwt(shard_id))
        return await self._connect(self._authority.provisioner_creds(shard_id, self._random))

    async def _connect(self, creds: str) -> Client:
        try:
            return await nats.connect(
                self._url(),
                user_credentials=RawCredentials(creds),
                inbox_prefix=PROVISIONER_INBOX,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # at first, too, and 0 would mean without end
                reconnect_time_wait=RETRY_SECONDS,
                connect_timeout=CONNECT_SECONDS,
                error_cb=_ignored,
            )
        except (OSError, TimeoutError, Error) as error:
            raise StreamUnavailable(type(error).__name__) from error

    async def _close_idle(self) -> None:
        idle = [name for name, each in self._connections.items() if each.users == 0]
        for name in idle[: max(len(idle) - IDLE_CONNECTIONS, 0)]:
            await self._connections.pop(name).client.close()


async def _ignored(_error: Exception) -> None:
    """Every request reports its own failure; what the connection meets in between is not news."""
