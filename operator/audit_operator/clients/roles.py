"""The login roles of a shard."""

from __future__ import annotations

from collections.abc import Mapping
from os import urandom
from typing import Final, Literal

from asyncpg import Connection

from audit_core.statements import rendered
from audit_core.tenant import role_name, schema_name
from audit_operator.clients.scram import SALT_BYTES, scram_verifier
from audit_operator.clients.sql import load

RoleFunction = Literal["writer", "query"]
ROLE_FUNCTIONS: Final[tuple[RoleFunction, ...]] = ("writer", "query")
Passwords = Mapping[RoleFunction, str]


async def provision_roles(
    connection: Connection, shard_id: str, passwords: Passwords, *, rotate: bool
) -> None:
    """Make the shard's login roles with these passwords, and keep their settings as they should be.

    A role that can log in keeps the password it has, unless `rotate`. Runs as an administrator that may make roles.
    """
    for function in ROLE_FUNCTIONS:
        names = {"role": role_name(shard_id, function), "schema": schema_name(shard_id)}
        sql = {key: rendered(text, names) for key, text in load("role").items()}
        async with connection.transaction():
            await connection.execute(load("migration")["lock"])
            await connection.execute(sql["create_role"])
            await connection.execute(sql[f"configure_{function}"])
            if rotate or not await connection.fetch(sql["login_roles"], [names["role"]]):
                await connection.execute(
                    sql["pass_verifier"], scram_verifier(passwords[function], urandom(SALT_BYTES))
                )
                await connection.execute(sql["set_password"])
