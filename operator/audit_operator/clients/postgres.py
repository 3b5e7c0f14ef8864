"""Connections to PostgreSQL as an administrator, and acting as the owner of our objects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from asyncpg import Connection, Record

from audit_core.errors import StoreUnavailable
from audit_core.tenant import OWNER_ROLE
from audit_core.timestamps import from_postgres, to_postgres

CONNECT_TIMEOUT_SECONDS: Final = 10.0
MINIMUM_VERSIONS: Final = {15: 150014, 16: 160010, 17: 170006}
"""Of each major release, the first without known leaks past row-level security; newer majors have none."""
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
)


def is_supported(version: int) -> bool:
    """Tell whether a `server_version_num` is one that isolation can rest on."""
    major = version // 10000
    return major > max(MINIMUM_VERSIONS) or version >= MINIMUM_VERSIONS.get(major, version + 1)


@asynccontextmanager
async def connected(dsn: str, *, statement_seconds: float | None = None) -> AsyncIterator[Connection]:
    """Open a connection whose `timestamptz` values are µs since 1970, and close it. Raises StoreUnavailable.

    A statement that takes longer than `statement_seconds` raises TimeoutError, also when the server has vanished.
    """
    try:
        connection = await asyncpg.connect(
            dsn, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=statement_seconds
        )
    except _AWAY as error:
        raise StoreUnavailable(type(error).__name__) from error
    try:
        await set_time_codec(connection)
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)


async def set_time_codec(connection: Connection) -> None:
    """Make `timestamptz` values of this connection int µs since 1970."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=to_postgres, decoder=from_postgres, format="tuple"
    )


@asynccontextmanager
async def as_owner(connection: Connection) -> AsyncIterator[None]:
    """Run a transaction as the role that owns every object, so that no object is the administrator's."""
    async with connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {OWNER_ROLE}")
        yield


async def fetch_one(connection: Connection, statement: str, *arguments: object) -> Record:
    """Return the row that a statement cannot fail to find."""
    rows = await connection.fetch(statement, *arguments)
    return rows[0]
