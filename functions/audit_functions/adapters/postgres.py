"""Connections to PostgreSQL as one of a shard's runtime roles, whose `timestamptz` values are int µs since 1970."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg import Connection, Pool, Record

from audit_core.errors import StoreUnavailable
from audit_core.statements import statements
from audit_core.timestamps import from_postgres, to_postgres

SQL: Final = Path(__file__).parent.parent / "sql"
CONNECT_TIMEOUT_SECONDS: Final = 5.0
MAX_CONNECTIONS: Final = 4
"""Per shard and function: shards are many, and the server's connections are few."""
_IDLE_SECONDS: Final = 60.0

ConnectionPool: TypeAlias = "Pool[Record]"

# What another try may cure, whatever was asked: the server is away, starting, stopping, full, or not yet provisioned.
# Class 57 holds a cancelled statement too, which is the caller's to judge, so only its shutdowns stand here.
_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.DatabaseDroppedError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
)


@cache
def sql(name: str) -> dict[str, str]:
    """Return the statements of `sql/<name>.sql` by name."""
    return statements((SQL / f"{name}.sql").read_text(encoding="utf-8"))


@contextmanager
def away_as_unavailable() -> Iterator[None]:
    """Raise StoreUnavailable for an error that says the server cannot be used now; others pass."""
    try:
        yield
    except _AWAY as error:
        if isinstance(
            error, ValueError
        ):  # an argument of the wrong type, which asyncpg makes an InterfaceError too
            raise
        raise StoreUnavailable(type(error).__name__) from error


@asynccontextmanager
async def connected(
    dsn: str, settings: Mapping[str, str] | None = None, *, command_timeout: float
) -> AsyncIterator[Connection]:
    """Open one connection and close it. `settings` are the session's defaults. Raises StoreUnavailable.

    `command_timeout` (seconds) is for a server that no longer answers, and has to be longer than `statement_timeout`.
    """
    with away_as_unavailable():
        connection = await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=command_timeout,
            server_settings=_settings(settings),
        )
    try:
        with away_as_unavailable():
            await set_time_codec(connection)
        yield connection
    finally:
        with suppress(*_AWAY):  # asyncpg aborts what it cannot close
            await connection.close(timeout=CONNECT_TIMEOUT_SECONDS)


@asynccontextmanager
async def pooled(
    dsn: str, settings: Mapping[str, str] | None = None, *, command_timeout: float
) -> AsyncIterator[ConnectionPool]:
    """Open a pool that connects when it is first used, and close it.

    `command_timeout` (seconds) is for a server that no longer answers, and has to be longer than `statement_timeout`.
    What a session sets must be local to its transactions: a returned connection is not reset, which saves a round trip.
    """
    pool = asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=MAX_CONNECTIONS,
        max_inactive_connection_lifetime=_IDLE_SECONDS,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout,
        server_settings=_settings(settings),
        init=set_time_codec,
        reset=_kept_as_it_is,
    )
    try:
        yield await pool
    finally:
        with suppress(*_AWAY):  # the same, for every connection
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await pool.close()


async def set_time_codec(connection: Connection) -> None:
    """Make `timestamptz` values of this connection int µs since 1970."""
    await connection.set_type_codec(
        "timestamptz", schema="pg_catalog", encoder=to_postgres, decoder=from_postgres, format="tuple"
    )


def _settings(given: Mapping[str, str] | None) -> dict[str, str]:
    return {"application_name": "audit", "jit": "off"} | dict(
        given or {}
    )  # no plan of ours is worth compiling


async def _kept_as_it_is(connection: Any) -> None:
    """Reset nothing."""
