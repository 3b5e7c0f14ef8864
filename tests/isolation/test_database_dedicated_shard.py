"""What one shard's roles can do to another shard, to the control schema and to the server: nothing."""

from __future__ import annotations

import pytest
from asyncpg import InsufficientPrivilegeError, PostgresError, ReadOnlySQLTransactionError

from audit_core.tenant import role_name
from audit_operator.clients.database import create_database, provision_database
from audit_operator.clients.roles import ROLE_FUNCTIONS, RoleFunction
from tests.support.postgres import Database, ShardInDatabase, connected
from tests.support.rows import an_event_row, store


@pytest.fixture
async def mine(database: Database) -> ShardInDatabase:
    return await database.a_shard()


@pytest.fixture
async def theirs(database: Database) -> ShardInDatabase:
    shard = await database.a_shard()
    await store(shard, an_event_row(id="secret"))
    return shard


async def test_a_dedicated_reader_sees_its_shard_without_naming_a_tenant(theirs: ShardInDatabase) -> None:
    async with connected(theirs.dsn("query")) as reader:
        assert await reader.fetchval("SELECT id FROM event") == "secret"


BEYOND_THE_GRANTS = [
    "SELECT * FROM {theirs}.event",
    "SELECT * FROM {theirs}.event_202511",
    "SELECT * FROM {theirs}.shard_offset",
    "SELECT * FROM {theirs}.dedupe",
    "INSERT INTO {theirs}.log_head VALUES ('x', 1)",
    "SELECT {theirs}.ensure_partition(now())",
    "SELECT {theirs}.rotate_dedupe(now())",
    "SELECT * FROM control.tenant",
    "SELECT * FROM control.api_key",
    "SELECT * FROM {mine}.migration",
    "SET ROLE {their_query}",
    "SET ROLE audit_owner",
    "SET SESSION AUTHORIZATION {their_query}",
    "ALTER ROLE {their_query} PASSWORD NULL",
    "CREATE TABLE {mine}.notes (n int)",
    "CREATE TABLE public.notes (n int)",
    "CREATE SCHEMA notes",
    "ALTER TABLE {mine}.event DISABLE ROW LEVEL SECURITY",
    "DROP POLICY query ON {mine}.event",
    "ALTER TABLE {mine}.event DETACH PARTITION {mine}.event_202511",
    "DROP TABLE {mine}.event_202511",
    "DO $$ BEGIN LOCK TABLE {mine}.event IN ACCESS EXCLUSIVE MODE; END $$",
    "SELECT lo_from_bytea(0, 'x')",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/hostname')",
    "SELECT rolpassword FROM pg_authid",
]

CHANGES = [
    "INSERT INTO event SELECT * FROM event",
    "UPDATE event SET body = ''",
    "UPDATE shard_offset SET stream_sequence = 0",
    "DELETE FROM event",
    "TRUNCATE event",
    "SELECT * FROM shard_offset FOR UPDATE",
    "SELECT * FROM dead_letter",
    "SELECT ensure_partition(now())",
    "SELECT rotate_dedupe(now())",
    "CREATE TEMPORARY TABLE notes (n int)",
]


@pytest.mark.parametrize("function", ROLE_FUNCTIONS)
async def test_no_role_of_a_shard_reaches_beyond_its_grants(
    mine: ShardInDatabase, theirs: ShardInDatabase, function: RoleFunction, subtests: pytest.Subtests
) -> None:
    names = {"mine": mine.schema, "theirs": theirs.schema, "their_query": role_name(theirs.shard_id, "query")}
    async with connected(mine.dsn(function)) as connection:
        await connection.execute("SET default_transaction_read_only = off")
        for attempt in BEYOND_THE_GRANTS:
            with subtests.test(attempt), pytest.raises(InsufficientPrivilegeError):
                await connection.execute(attempt.format(**names))


async def test_query_changes_nothing_even_out_of_its_read_only_default(
    mine: ShardInDatabase, subtests: pytest.Subtests
) -> None:
    async with connected(mine.dsn("query")) as reader:
        await reader.execute("SET default_transaction_read_only = off")
        for attempt in CHANGES:
            with subtests.test(attempt), pytest.raises(InsufficientPrivilegeError):
                await reader.execute(attempt)


async def test_query_starts_out_read_only(mine: ShardInDatabase) -> None:
    async with connected(mine.dsn("query")) as reader:
        with pytest.raises(ReadOnlySQLTransactionError):
            await reader.execute("TRUNCATE event")


async def test_another_installation_on_the_same_server_is_closed_to_them(
    database: Database, mine: ShardInDatabase
) -> None:
    other = f"{database.name}_other"
    await create_database(database.admin, other)
    try:
        async with connected(database.server.dsn(database=other)) as admin:
            await provision_database(admin)
        for function in ROLE_FUNCTIONS:
            dsn = mine.dsn(function).replace(f"/{database.name}", f"/{other}")
            with pytest.raises(InsufficientPrivilegeError, match="permission denied for database"):
                await _use(dsn)
    finally:
        await database.admin.execute(f"DROP DATABASE {other}")


async def test_a_wrong_or_missing_password_opens_nothing(database: Database, mine: ShardInDatabase) -> None:
    for password in ("wrong-password-of-some-length", "x"):
        with pytest.raises(PostgresError, match="password authentication failed"):
            await _use(mine.dsn("query").replace(mine.passwords["query"], password))


async def test_nobody_logs_in_as_the_owner(database: Database) -> None:
    with pytest.raises(PostgresError, match="password authentication failed"):
        await _use(database.server.dsn(database=database.name, user="audit_owner"))


async def test_passwords_are_kept_as_verifiers_and_reach_no_log(database: Database) -> None:
    await database.admin.execute("SET log_statement = 'all'")
    shard = await database.a_shard()
    verifiers = await database.admin.fetch(
        "SELECT rolpassword FROM pg_authid WHERE rolname LIKE $1", f"audit_{shard.shard_id}_%"
    )
    assert [row["rolpassword"][:19] for row in verifiers] == ["SCRAM-SHA-256$4096:"] * 2
    log = database.server.log()
    assert f"ALTER ROLE audit_{shard.shard_id}_writer LOGIN PASSWORD %L" in log
    for password in shard.passwords.values():
        assert password not in log


async def _use(dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.fetchval("SELECT 1")
