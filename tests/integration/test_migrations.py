"""Migrations on a real server: once, in order, all or nothing, and by several administrators at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from audit_core.partitions import PartitionBy
from audit_core.statements import rendered
from audit_core.tenant import CONTROL_SCHEMA, OWNER_ROLE, Isolation
from audit_operator.clients.database import (
    UnsuitableServer,
    create_database,
    provision_database,
)
from audit_operator.clients.migrations import (
    MigrationChanged,
    Phase,
    Scope,
    control_scope,
    migrate,
    read_migrations,
    shard_scope,
)
from audit_operator.clients.shards import provision_shard
from audit_operator.clients.sql import SQL, load
from tests.support.catalogue import breaches
from tests.support.postgres import (
    NOW,
    Database,
    PostgresServer,
    connected,
    unprepared,
)

SCHEMA = "shard_made_up"
MakeScope = Callable[..., Scope]


@pytest.fixture
def scope_of(tmp_path: Path) -> MakeScope:
    """Return a scope of files given by name and text."""

    def make(**files: str) -> Scope:
        for path in tmp_path.glob("*.sql"):
            path.unlink()
        for name, text in files.items():
            (tmp_path / f"{name.removeprefix('_')}.sql").write_text(text)
        names = {"schema": SCHEMA, "owner": OWNER_ROLE}
        return Scope(schema=SCHEMA, migrations=read_migrations(tmp_path), names=names)

    return make


async def _tables(database: Database, schema: str = SCHEMA) -> set[str]:
    rows = await database.admin.fetch("SELECT tablename::text FROM pg_tables WHERE schemaname = $1", schema)
    return {row["tablename"] for row in rows}


async def _catalogue(database: Database) -> set[tuple[object, ...]]:
    """Return every row version that provisioning could have written."""
    tables = (
        "pg_class",
        "pg_proc",
        "pg_policy",
        "pg_namespace",
        "pg_database",
        "pg_authid",
        "pg_db_role_setting",
        "control.shard",
        "control.migration",
    )
    rows = [
        await database.admin.fetch(f"SELECT '{name}', ctid::text, xmin::text FROM {name}") for name in tables
    ]
    return {tuple(row) for found in rows for row in found}


async def test_a_second_run_changes_nothing(database: Database) -> None:
    shard = await database.a_shard()
    before = await _catalogue(database)
    assert await provision_database(database.admin) == []
    assert await migrate(database.admin, control_scope()) == []
    scope = shard_scope(shard.shard_id, shard.stored.isolation, shard.stored.partition_by)
    assert await migrate(database.admin, scope) == []
    assert await provision_shard(database.admin, shard.stored, shard.passwords, now=NOW) == shard.stored
    assert await _catalogue(database) == before


async def test_the_record_names_every_file_with_its_hash(database: Database) -> None:
    recorded = await database.admin.fetch(f"SELECT number, name, sha256 FROM {CONTROL_SCHEMA}.migration")
    assert [tuple(row) for row in recorded] == [
        (file.number, file.name, file.sha256) for file in read_migrations(SQL / "control")
    ]


async def test_files_are_applied_in_order_and_only_the_new_ones(
    database: Database, scope_of: MakeScope
) -> None:
    first = "CREATE TABLE {schema}.a (n int)"
    assert await migrate(database.admin, scope_of(_0001_a=first)) == ["0001_a.sql"]
    longer = scope_of(
        _0001_a=first, _0002_b="ALTER TABLE {schema}.a RENAME TO b", _0003_c="DROP TABLE {schema}.b"
    )
    assert await migrate(database.admin, longer) == ["0002_b.sql", "0003_c.sql"]
    assert await _tables(database) == {"migration"}


async def test_post_files_wait_for_the_functions_to_be_replaced(
    database: Database, scope_of: MakeScope
) -> None:
    scope = scope_of(_0001_pre_a="CREATE TABLE {schema}.a ()", _0002_post_b="DROP TABLE {schema}.a")
    assert await migrate(database.admin, scope, phase=Phase.PRE) == ["0001_pre_a.sql"]
    assert await _tables(database) == {"migration", "a"}
    assert await migrate(database.admin, scope, phase=Phase.POST) == ["0002_post_b.sql"]


async def test_an_edited_file_is_named_and_nothing_is_applied(
    database: Database, scope_of: MakeScope
) -> None:
    await migrate(database.admin, scope_of(_0001_a="CREATE TABLE {schema}.a ()"))
    edited = scope_of(_0001_a="CREATE TABLE {schema}.a (n int)", _0002_b="CREATE TABLE {schema}.b ()")
    with pytest.raises(MigrationChanged) as raised:
        await migrate(database.admin, edited)
    assert raised.value.fields() == {"schema": SCHEMA, "name": "0001_a.sql"}
    assert await _tables(database) == {"migration", "a"}


async def test_a_file_that_fails_leaves_nothing_and_can_be_mended(
    database: Database, scope_of: MakeScope
) -> None:
    broken = scope_of(_0001_a="CREATE TABLE {schema}.a (); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database.admin, broken)
    assert await _tables(database) == set()
    assert await migrate(database.admin, scope_of(_0001_a="CREATE TABLE {schema}.a ()")) == ["0001_a.sql"]


async def test_the_administrator_is_itself_again_after_a_failure(
    database: Database, scope_of: MakeScope
) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(database.admin, scope_of(_0001_a="SELECT 1 / 0"))
    assert await database.admin.fetchval("SELECT current_user") == "postgres"


async def test_two_administrators_at_once_apply_each_file_once(
    database: Database, scope_of: MakeScope
) -> None:
    scope = scope_of(
        _0001_a="CREATE TABLE {schema}.a (); SELECT pg_sleep(0.05)",
        _0002_b="CREATE TABLE {schema}.b (); SELECT pg_sleep(0.05)",
    )
    async with AsyncExitStack() as stack:
        dsn = database.server.dsn(database=database.name)
        admins = [await stack.enter_async_context(connected(dsn)) for _ in range(4)]
        applied = await asyncio.gather(*(migrate(admin, scope) for admin in admins))
    assert sorted(name for names in applied for name in names) == ["0001_a.sql", "0002_b.sql"]


async def test_administrators_that_start_at_once_make_one_database(postgres_server: PostgresServer) -> None:
    name = "audit_made_by_many"
    async with AsyncExitStack() as stack:
        maintenance = [await stack.enter_async_context(connected(postgres_server.dsn())) for _ in range(4)]
        created = await asyncio.gather(*(create_database(admin, name) for admin in maintenance))
        assert sorted(created) == [False, False, False, True]
        try:
            async with AsyncExitStack() as inner:
                dsn = postgres_server.dsn(database=name)
                admins = [await inner.enter_async_context(connected(dsn)) for _ in range(4)]
                applied = await asyncio.gather(*(provision_database(admin) for admin in admins))
                files = sorted(path.name for path in (SQL / "control").glob("*.sql"))
                assert sorted(name for names in applied for name in names) == files
                assert await breaches(admins[0]) == []
        finally:
            await maintenance[0].execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_database_of_someone_else_is_refused(postgres_server: PostgresServer) -> None:
    async with connected(postgres_server.dsn()) as maintenance:
        await maintenance.execute("CREATE DATABASE not_ours")
        with pytest.raises(UnsuitableServer, match="not_ours must belong to audit_owner"):
            await create_database(maintenance, "not_ours")
        await maintenance.execute("DROP DATABASE not_ours")


async def test_a_database_in_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    async with connected(postgres_server.dsn()) as maintenance:
        await maintenance.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
        async with connected(postgres_server.dsn(database="latin")) as admin:
            with pytest.raises(UnsuitableServer, match="UTF8"):
                await provision_database(admin)
        await maintenance.execute("DROP DATABASE latin WITH (FORCE)")


async def test_every_object_belongs_to_the_owner(database: Database) -> None:
    await database.a_shard()
    owners = await database.admin.fetch(
        "SELECT DISTINCT pg_get_userbyid(relowner)::text AS owner FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'control' OR nspname LIKE 'shard_%'"
    )
    assert [row["owner"] for row in owners] == [OWNER_ROLE]


@pytest.mark.parametrize("isolation", Isolation)
@pytest.mark.parametrize("partition_by", PartitionBy)
async def test_every_statement_is_accepted_by_the_migrated_schema(
    database: Database, isolation: Isolation, partition_by: PartitionBy
) -> None:
    shard = await database.a_shard(isolation=isolation, partition_by=partition_by)
    names = {"schema": shard.schema, "owner": OWNER_ROLE, "database": database.name, "role": OWNER_ROLE}
    for path in sorted((SQL / "statements").glob("*.sql")):
        plain = {
            name: rendered(text, names)
            for name, text in load(path.stem).items()
            if not _first_line(text).startswith(("DO ", "CREATE ", "DROP "))  # PostgreSQL only parses these
        }
        assert await unprepared(database.admin, plain) == {}, path.name


def _first_line(statement: str) -> str:
    return next(line for line in statement.splitlines() if not line.startswith("--"))
