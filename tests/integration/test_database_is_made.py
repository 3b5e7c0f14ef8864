"""The operator makes its database on a server that has none, with the rights that a managed server gives."""

from __future__ import annotations

from collections.abc import Callable

from audit_operator.clients.database import ensure_database, provision_database
from tests.support.postgres import PostgresServer, connected


async def test_an_administrators_url_is_all_that_an_empty_server_needs(
    new_postgres: Callable[[], PostgresServer],
) -> None:
    server = new_postgres()
    server.start()
    async with connected(server.dsn()) as superuser:
        await superuser.execute("CREATE ROLE installer LOGIN CREATEROLE CREATEDB PASSWORD 'installer'")
    dsn = server.dsn(database="audit", user="installer", password="installer")
    for _ in range(2):
        await ensure_database(dsn)
        async with connected(dsn) as admin:
            await provision_database(admin)
    async with connected(dsn) as admin:
        assert await admin.fetchval("SELECT count(*) FROM control.tenant") == 0
