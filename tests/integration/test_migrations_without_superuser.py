"""Managed servers give no superuser: a role that may make roles and databases is enough."""

from __future__ import annotations

from collections.abc import Callable

from audit_core.tenant import role_name
from audit_operator.clients.database import create_database, provision_database
from audit_operator.clients.roles import ROLE_FUNCTIONS
from audit_operator.clients.shards import open_shard, provision_shard
from tests.support.catalogue import breaches
from tests.support.postgres import NOW, Database, PostgresServer, ShardInDatabase, a_shard, connected
from tests.support.rows import an_event_row, store


async def test_an_administrator_without_superuser_provisions_all_but_large_objects(
    new_postgres: Callable[[], PostgresServer],
) -> None:
    server = new_postgres()
    server.start()
    async with connected(server.dsn()) as superuser:
        await superuser.execute("CREATE ROLE installer LOGIN CREATEROLE CREATEDB PASSWORD 'installer'")
    async with connected(server.dsn(user="installer", password="installer")) as maintenance:
        assert await create_database(maintenance)
        assert not await create_database(maintenance)

    async with connected(server.dsn(database="audit", user="installer", password="installer")) as admin:
        await provision_database(admin)
        passwords = {function: f"{function}-password-of-some-length" for function in ROLE_FUNCTIONS}
        stored = await provision_shard(admin, a_shard(), passwords, now=NOW)
        await provision_shard(admin, stored, passwords, now=NOW, rotate_passwords=True)
        await open_shard(admin, stored)
        shard = ShardInDatabase(
            database=Database(server=server, name="audit", admin=admin), stored=stored, passwords=passwords
        )
        await store(shard, an_event_row())
        assert await breaches(admin) == [
            f"{role_name(shard.shard_id, function)} may make large objects"
            for function in sorted(ROLE_FUNCTIONS)
        ]
