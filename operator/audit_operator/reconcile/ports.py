"""What reconciling needs from its surroundings: time, chance, and a place for each kind of secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from asyncpg import Connection

from audit_operator.clients.roles import Passwords, RoleFunction

Clock = Callable[[], int]
"""Returns the time in µs since 1970."""

Random = Callable[[int], bytes]
"""Returns as many unpredictable bytes as asked for."""

Database = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens an administrator's connection to the database of the log."""


class Credentials(Protocol):
    """Where the functions find what they log in with: files here, Secrets in a cluster."""

    async def passwords(self, shard_id: str) -> Mapping[RoleFunction, str]:
        """Return the database passwords that were handed out for a shard."""

    async def hand_out(self, shard_id: str, passwords: Passwords) -> list[str]:
        """Make the shard's functions able to log in; return what was written. Writes nothing that is there."""


class Keyring(Protocol):
    """Where a tenant's first API key is handed to its owner: the only place that holds its text."""

    async def made_key(self, tenant_id: str) -> str | None:
        """Return the key that was made for a tenant."""

    async def keep(self, tenant_id: str, key: str) -> None:
        """Store a new key so that it outlives a crash."""
