"""Every statement of the writer is one that the migrated schema accepts from the writer's role."""

from __future__ import annotations

from audit_functions.adapters.postgres import sql
from tests.support.postgres import Database, connected, unprepared

MAKES_THE_LANDING_TABLE = ("make_landing", "keep_bodies_as_they_are")


async def test_the_schema_accepts_every_statement(database: Database) -> None:
    shard = await database.a_shard()
    statements = sql("writer")
    async with connected(shard.dsn("writer")) as writer:
        for name in MAKES_THE_LANDING_TABLE:
            await writer.execute(statements[name])
        others = {name: text for name, text in statements.items() if name not in MAKES_THE_LANDING_TABLE}
        assert await unprepared(writer, others) == {}


async def test_the_landing_table_holds_what_the_log_holds(database: Database) -> None:
    shard = await database.a_shard()
    async with connected(shard.dsn("writer")) as writer:
        for name in MAKES_THE_LANDING_TABLE:
            await writer.execute(sql("writer")[name])
        columns = "SELECT attname, atttypid, attcollation FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0"
        landing = {tuple(row) for row in await writer.fetch(columns, "landing")}
        log = {tuple(row) for row in await writer.fetch(columns, "event")}
        assert {name for name, _, _ in landing - log} == {"body_sha256"}
        assert log <= landing
