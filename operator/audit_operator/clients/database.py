"""The database that all shards live in: made once, closed to everyone, with the control schema in it."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote, urlsplit, urlunsplit

from asyncpg import Connection, DuplicateDatabaseError, InvalidCatalogNameError, UniqueViolationError

from audit_core.errors import IntegrityError
from audit_core.statements import rendered
from audit_core.tenant import OWNER_ROLE
from audit_operator.clients.migrations import control_scope, migrate
from audit_operator.clients.postgres import as_owner, connected, fetch_one, is_supported
from audit_operator.clients.sql import load

DATABASE: Final = "audit"
MAINTENANCE: Final = "postgres"
"""The database that every server has: where another one is made from."""


class UnsuitableServer(IntegrityError):
    """The server or database cannot hold the log; `reason` says what would have to be different."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


async def create_database(connection: Connection, name: str = DATABASE) -> bool:
    """Make the owner role and the database, connected to another one; return whether the database is new.

    Raises UnsuitableServer for a server below the version floor and for a database that is someone else's.
    """
    sql = _statements(name)
    server = await fetch_one(connection, sql["server"])
    if not is_supported(server["version"]):
        raise UnsuitableServer("PostgreSQL 15.14, 16.10, 17.6, 18 or newer is needed")
    await connection.execute(sql["create_owner"])
    if (owner := await connection.fetchval(sql["database_owner"], name)) is None:
        try:
            await connection.execute(sql["create_database"])
        except (DuplicateDatabaseError, UniqueViolationError):
            return False  # another administrator was faster, with the same owner
        return True
    if owner != OWNER_ROLE:
        raise UnsuitableServer(f"database {name} must belong to {OWNER_ROLE}")
    return False


async def ensure_database(dsn: str) -> None:
    """Make the owner role, and the database that an administrator's URL names. Raises as create_database."""
    parts = urlsplit(dsn)
    name = unquote(parts.path.removeprefix("/")) or DATABASE
    try:
        async with connected(dsn) as connection:
            await create_database(connection, name)
    except InvalidCatalogNameError:
        async with connected(urlunsplit(parts._replace(path=f"/{MAINTENANCE}"))) as connection:
            await create_database(connection, name)


async def provision_database(connection: Connection) -> list[str]:
    """Close the connected database to PUBLIC and migrate the control schema; return the migrations applied now."""
    sql = _statements(DATABASE)
    server = await fetch_one(connection, sql["server"])
    if server["encoding"] != "UTF8":
        raise UnsuitableServer("the database's encoding must be UTF8")
    async with connection.transaction():
        await connection.execute(load("migration")["lock"])
        if server["superuser"]:
            await connection.execute(sql["close_large_objects"])
        async with as_owner(connection):
            await connection.execute(sql["close_database"])
    return await migrate(connection, control_scope())


def _statements(database: str) -> dict[str, str]:
    names = {"owner": OWNER_ROLE, "database": database}
    return {key: rendered(text, names) for key, text in load("database").items()}
