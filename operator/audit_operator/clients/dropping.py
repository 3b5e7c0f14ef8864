"""The end of a log in PostgreSQL: its keys and secret, its schema, its roles. Only a removed tenant's own log ends."""

from __future__ import annotations

from typing import Final

from asyncpg import Connection

from audit_core.statements import rendered
from audit_core.tenant import role_name, schema_name
from audit_operator.clients.postgres import as_owner
from audit_operator.clients.roles import ROLE_FUNCTIONS
from audit_operator.clients.sql import load

PARTITIONS_AT_ONCE: Final = 50


async def begin_drop(connection: Connection, shard_id: str, *, name: str, now: int) -> bool:
    """Close a log for good at `now` (µs): nobody adopts it, no key opens it. Returns whether it is to be dropped.

    It is not, unless it is the dedicated log of the removed tenant of that name.
    """
    sql = load("drop")
    async with as_owner(connection):
        await connection.execute(sql["begin_drop"], shard_id, name, now)
        if not await connection.fetchval(sql["dropped"], shard_id, name):
            return False
        await connection.execute(sql["forget_keys"], shard_id)
        await connection.execute(sql["forget_secret"], shard_id)
    return True


async def drop_schema(connection: Connection, shard_id: str) -> None:
    """Drop every event of a shard, its partitions first. Raises LockNotAvailableError while somebody reads."""
    schema = schema_name(shard_id)
    sql = {key: rendered(text, {"schema": schema}) for key, text in _of_schema().items()}
    while True:
        async with as_owner(connection):
            await connection.execute(sql["lock_timeout"])
            partitions = await connection.fetch(sql["partitions"], PARTITIONS_AT_ONCE)
            for row in partitions:
                names = {"schema": schema, "partition": row["relname"]}
                await connection.execute(rendered(load("drop")["drop_partition"], names))
            if not partitions:
                await connection.execute(sql["drop_schema"])
                return


async def drop_roles(connection: Connection, shard_id: str) -> None:
    """Drop the login roles of a shard whose schema is gone."""
    for function in ROLE_FUNCTIONS:
        names = {"role": role_name(shard_id, function)}
        async with as_owner(connection):
            await connection.execute(load("migration")["lock"])
            await connection.execute(rendered(load("drop")["leave_database"], names))
        await connection.execute(rendered(load("drop")["drop_role"], names))


def _of_schema() -> dict[str, str]:
    return {key: load("drop")[key] for key in ("lock_timeout", "partitions", "drop_schema")}
